"""The scores of `benchmarks.accuracy.degradation` against the same numbers worked out directly."""

import numpy as np
import pytest

from benchmarks.accuracy import degradation as benchmark
from benchmarks.common.reporting import headline


def made_up_rnas(count=6):
    generator = np.random.default_rng(1)
    rnas = [{"labels": generator.normal(size=(5 + index, 5))} for index in range(count)]
    return rnas, [rna["labels"] * 0.5 + generator.normal(size=rna["labels"].shape) for rna in rnas]


def test_scores_over_all_nucleotides():
    rnas, predictions = made_up_rnas()
    scores = benchmark.score(predictions, rnas)
    predicted, measured = np.concatenate(predictions), np.concatenate([rna["labels"] for rna in rnas])
    errors = np.sqrt(((predicted - measured) ** 2).mean(0))
    assert scores["mcrmse"][0] == pytest.approx(errors[[0, 1, 3]].mean())
    assert scores["rmse_deg_50C"][0] == pytest.approx(errors[4])
    for index, target in enumerate(benchmark.TARGETS):
        expected = np.corrcoef(predicted[:, index], measured[:, index])[0, 1]
        assert scores[f"pearson_{target}"][0] == pytest.approx(expected)


def test_intervals_come_from_resampled_rnas():
    rnas, predictions = made_up_rnas()
    values = benchmark.score(predictions, rnas)["mcrmse"]
    found = benchmark.interval(values)
    assert found["low"] < found["value"] < found["high"]
    # Copies of one RNA: every resample is the same.
    same = benchmark.interval(benchmark.score([predictions[0]] * 4, [rnas[0]] * 4)["mcrmse"])
    assert same["low"] == same["value"] == same["high"]


def test_the_headline_names_the_best_baseline():
    found = headline("test", "mcrmse", "MCRMSE", 0.3, {"ridge": 0.4, "trees": 0.35}, is_error=True)
    assert (found["baseline"], found["baseline_value"], found["value"]) == ("trees", 0.35, 0.3)
    assert headline("test", "f1", "F1", 0.3, {"mfe": 0.4, "mea": 0.35})["baseline"] == "mfe"


def test_windows_hold_the_neighbours():
    rna = {"sequence": "ACGUA", "structure": "(..).", "predicted_loop_type": "SHHSE", "labels": np.zeros((3, 5))}
    features = benchmark.window_features(rna).reshape(3, 2 * benchmark.WINDOW + 1, -1)
    centre = benchmark.WINDOW
    assert features[0, centre].nonzero()[0].tolist() == [0, 4, 7]  # A, opening, stem
    assert features[0, centre + 1].nonzero()[0].tolist() == [1, 5, 11]  # C, unpaired, hairpin
    assert not features[0, :centre].any()
