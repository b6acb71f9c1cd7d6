"""The benchmark's bootstrap sums against the metrics themselves, and the baselines on made profiles."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.accuracy import reactivity as benchmark
from benchmarks.accuracy import reactivity_baselines as baselines
from benchmarks.common.vienna import UnpairedProbabilities
from rna_hf.tasks.scores import evaluate

CHANNELS = ("2A3", "DMS")


def _profiles(number: int = 40) -> list[SimpleNamespace]:
    generator = np.random.default_rng(0)
    result = []
    for i in range(number):
        sequence = "".join(generator.choice(list("ACGU"), 30 + i))
        means = np.array([[{"A": 0.8, "C": 0.3, "G": 0.5, "U": 0.4}[c]] * 2 for c in sequence])
        labels = means + generator.normal(0, 0.4, means.shape)
        labels[:5] = np.nan
        if i % 4 == 0:
            labels[:, 1] = np.nan
        result.append(SimpleNamespace(sequence=sequence, channels=CHANNELS, reactivity=labels))
    return result


def test_sums_give_the_metrics_and_intervals_hold_them() -> None:
    profiles = _profiles()
    generator = np.random.default_rng(1)
    good = [np.nan_to_num(p.reactivity) + generator.normal(0, 0.2, p.reactivity.shape) for p in profiles]
    bad = [generator.random(p.reactivity.shape) for p in profiles]
    metrics = ("mae", "pearson", "spearman")
    report = benchmark.compare({"good": good, "bad": bad}, profiles, metrics, reference="good")
    for name, predictions in (("good", good), ("bad", bad)):
        expected = evaluate(lambda sequences, p=predictions: p, profiles, CHANNELS)
        for channel in CHANNELS:
            for metric in metrics:
                value = report[channel]["metrics"][name][metric]
                assert value["value"] == pytest.approx(expected[f"{metric}_{channel}"], abs=1e-5)
                assert value["low"] < value["value"] < value["high"]
    assert report["DMS"]["rnas"] == 30
    assert report["2A3"]["nucleotides"] == sum(len(p.sequence) - 5 for p in profiles)
    assert (
        report["2A3"]["differences"]["bad"]["mae"]["high"] < 0 < report["2A3"]["differences"]["bad"]["pearson"]["low"]
    )
    # The interval of a mean error agrees with the textbook's standard error over RNAs.
    errors = [np.nanmean(np.abs(g.clip(0, 1) - p.reactivity.clip(0, 1))[:, 0]) for g, p in zip(good, profiles)]
    interval = report["2A3"]["metrics"]["good"]["mae"]
    width = 2 * 1.96 * np.std(errors, ddof=1) / np.sqrt(len(errors))
    assert interval["high"] - interval["low"] == pytest.approx(width, rel=0.3)


def test_length_bins_cover_each_rna_once() -> None:
    profiles = _profiles(120)
    constant = [np.random.default_rng(2).random(p.reactivity.shape) for p in profiles]
    parts = benchmark.by_length({"any": constant}, profiles, ("pearson",))
    assert sum(part["2A3"]["rnas"] for part in parts) == len(profiles)


def test_letter_baseline_learns_the_letters() -> None:
    predict = baselines.fit_letter_mean(_profiles(200), "2A3")
    assert predict(["ACGU"])[0] == pytest.approx([0.72, 0.35, 0.5, 0.42], abs=0.04)


def test_linear_and_trees_use_pairing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("RNA")
    pytest.importorskip("sklearn")
    monkeypatch.setattr(baselines, "CACHE", tmp_path / "trees")
    unpaired = UnpairedProbabilities(tmp_path)
    hairpin = "GGGGCCAAAAGGCCCC"
    [probabilities] = unpaired([hairpin])
    assert probabilities[:4].max() < 0.2 < 0.8 < probabilities[6:10].min()
    assert np.array_equal(UnpairedProbabilities(tmp_path).known[hairpin], probabilities)
    profiles = _profiles(60)
    for p in profiles:
        p.reactivity = np.repeat(unpaired([p.sequence])[0][:, None], 2, axis=1)
    linear = baselines.fit_linear(profiles, "DMS", unpaired)
    assert linear([hairpin])[0] == pytest.approx(probabilities, abs=1e-4)
    trees, again = baselines.fit_trees(profiles, "DMS", unpaired)([hairpin, hairpin])
    assert np.corrcoef(trees, probabilities)[0, 1] > 0.9
    assert np.array_equal(trees, again)


def test_window_features_are_aligned() -> None:
    features = baselines.window_features("ACGUA", np.arange(5) / 10).reshape(5, 13, 5)
    for position in range(5):
        for offset in range(-6, 7):
            other = position + offset
            row = features[position, offset + 6]
            if 0 <= other < 5:
                assert row[:4].argmax() == "ACGU".index("ACGUA"[other])
                assert row[4] == pytest.approx(other / 10)
            else:
                assert row.tolist() == [0, 0, 0, 0, -1]
