"""Metrics against scipy, with missing labels put in by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from rna_hf.tasks.scores import (
    average_ranks,
    channel_metrics,
    evaluate,
    regression_metrics,
    spearman_r,
)

stats = pytest.importorskip("scipy.stats")


def _values(size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.normal(0.4, 0.6, size)
    return labels + generator.normal(0, 0.5, size), labels


def test_metrics_equal_scipy_on_measured_values() -> None:
    predictions, labels = _values()
    masked = labels.copy()
    masked[::7], masked[3::11] = np.nan, -100
    keep = np.ones(len(labels), dtype=bool)
    keep[::7], keep[3::11] = False, False
    got = regression_metrics(predictions, masked)
    x, y = predictions[keep].clip(0, 1), labels[keep].clip(0, 1)
    assert got["count"] == keep.sum()
    assert got["mae"] == pytest.approx(np.abs(x - y).mean(), abs=1e-12)
    assert got["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    # Clipping makes hundreds of ties, which must share their ranks.
    assert got["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    raw = regression_metrics(predictions, masked, clip=None)
    assert raw["mae"] == pytest.approx(np.abs(predictions - labels)[keep].mean(), abs=1e-12)


def test_ranks_share_ties() -> None:
    values = np.array([3.0, 1.0, 3.0, 2.0, 1.0, 1.0])
    assert average_ranks(values).tolist() == stats.rankdata(values).tolist()
    assert spearman_r(np.arange(6.0), values) == pytest.approx(stats.spearmanr(np.arange(6.0), values).statistic)


def test_half_precision_is_summed_in_double() -> None:
    predictions, labels = _values(50_000)
    got = regression_metrics(predictions.astype(np.float16), labels)
    assert got["mae"] == pytest.approx(regression_metrics(predictions, labels)["mae"], abs=1e-3)


def test_channels_are_apart_and_averaged() -> None:
    predictions, labels = _values()
    p, y = predictions.reshape(2, 50, 2), labels.reshape(2, 50, 2).copy()
    got = channel_metrics(p, y, ("2A3", "DMS"))
    assert got["mae_DMS"] == regression_metrics(p[..., 1], y[..., 1])["mae"]
    assert got["mae"] == pytest.approx((got["mae_2A3"] + got["mae_DMS"]) / 2)
    y[..., 1] = np.nan
    only = channel_metrics(p, y, ("2A3", "DMS"))
    assert np.isnan(only["mae_DMS"])
    assert only["mae"] == got["mae_2A3"]
    assert only["count"] == 100


def test_undefined_correlation_is_nan() -> None:
    assert np.isnan(regression_metrics(np.ones(5), np.arange(5.0))["pearson"])
    empty = regression_metrics(np.ones(5), np.full(5, np.nan))
    assert empty["count"] == 0
    assert np.isnan(empty["mae"])


def test_evaluate_pools_nucleotides_and_finds_columns_by_name() -> None:
    generator = np.random.default_rng(1)
    records = [
        SimpleNamespace(sequence="ACGU" * n, channels=("1M7", "DMS", "2A3"), reactivity=generator.random((4 * n, 3)))
        for n in (2, 5)
    ]
    exact = [r.reactivity[:, [2, 1]] for r in records]
    result = evaluate(lambda sequences: exact, records, ("2A3", "DMS"))
    assert result["mae"] == 0
    assert result["pearson_2A3"] == pytest.approx(1)
    assert result["count_2A3"] == 28
    swapped = evaluate(lambda sequences: exact, records, ("DMS", "2A3"))
    assert swapped["mae"] > 0.1


def test_wrong_inputs_are_named() -> None:
    record = SimpleNamespace(sequence="ACGU", channels=("2A3",), reactivity=np.zeros((4, 1)))
    with pytest.raises(ValueError, match="DMS"):
        evaluate(lambda s: [np.zeros((4, 1))], [record], ("DMS",))
    with pytest.raises(ValueError, match="expected"):
        evaluate(lambda s: [np.zeros((5, 1))], [record], ("2A3",))
    with pytest.raises(ValueError, match="came out"):
        evaluate(lambda s: [], [record], ("2A3",))
    with pytest.raises(ValueError, match="not finite"):
        regression_metrics(np.full(3, np.nan), np.zeros(3))
    with pytest.raises(ValueError, match="match"):
        regression_metrics(np.zeros(3), np.zeros(4))
