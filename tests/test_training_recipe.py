"""The recipe of ribonanzanet-mini: resumable step by step, batches as they should be, a checkpoint that opens."""

import numpy as np
import pytest
import torch

pytest.importorskip("RNA", reason="the recipe folds with ViennaRNA: pip install 'rna-hf[structure]'")

from recipes.ribonanzanet_mini import batches as recipe
from recipes.ribonanzanet_mini import train
from recipes.ribonanzanet_mini.batches import (
    Stage,
    TrainingBatches,
    fold,
    generate_hairpin,
    generate_sequence,
    known_pairs,
)
from recipes.ribonanzanet_mini.known_structures import KnownStructure
from recipes.ribonanzanet_mini.measured_data import CHANNELS, Profile
from rna_hf import AutoModelForReactivity
from rna_hf.data.splits import read_manifest

STAGES = (
    Stage("fold", 2, 0.5, 0.5, (20, 24), 0.0, (1e-3, 1e-3), "development", {}),
    Stage("profiles", 4, 0.2, 0.2, (24, 24), 0.5, (1e-3, 5e-4), "development", {"pk50": 1.0, "cloudlab": 1.0}),
    Stage("final", 2, 0.0, 0.0, (24, 24), 1.0, (5e-4, 0.0), "final", {"pk50": 1.0}),
)


def _profiles():
    rng = np.random.default_rng(3)
    profiles = []
    for number, (source, length) in enumerate([("pk50", 115)] * 4 + [("cloudlab", 60), ("cloudlab", 64)] * 2):
        reactivity = np.full((length, len(CHANNELS)), np.nan, np.float32)
        columns = (0, 1) if source == "pk50" else (2,)
        for column in columns:
            reactivity[26:50, column] = rng.random(24)
        error = np.where(np.isnan(reactivity), np.nan, 0.1).astype(np.float32)
        profiles.append(Profile(source, str(number), generate_sequence(rng, length), reactivity, error, ""))
    return profiles


@pytest.fixture(scope="module")
def batches():
    profiles = _profiles()
    structures = [KnownStructure("bprna", "GGGGAAAACCCC" * 2, "((((....))))" * 2)] * 3
    return TrainingBatches(STAGES, {"development": profiles, "final": profiles}, structures, seed=5, pair_budget=4000)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "pair_hidden_size": 8}
    monkeypatch.setattr(train, "CONFIG", train.CONFIG | sizes)


def _run(batches, output, first, last):
    output.mkdir(exist_ok=True)
    trainer = train.Trainer(batches, output, torch.device("cpu"), seed=5)
    trainer.restore()
    assert trainer.step == first
    for step in range(first, last):
        trainer.train_step(batches[step])
    trainer.save()
    return trainer


def test_a_resumed_training_equals_an_unbroken_one(batches, tmp_path):
    unbroken = _run(batches, tmp_path / "unbroken", 0, 8)
    for first, last in ((0, 3), (3, 5)):
        _run(batches, tmp_path / "resumed", first, last)
    resumed = _run(batches, tmp_path / "resumed", 5, 8)
    assert all(torch.equal(a, b) for a, b in zip(unbroken.master, resumed.master))
    assert all(torch.equal(unbroken.average[name], resumed.average[name]) for name in unbroken.average)


def test_a_compact_state_warms_up_again(batches, tmp_path):
    trainer = _run(batches, tmp_path / "run", 0, 4)
    trainer.save(tmp_path / "compact.pt")
    branch = train.Trainer(batches, tmp_path, torch.device("cpu"), seed=6)
    branch.restore(tmp_path / "compact.pt")
    assert (branch.step, branch.warmup_start) == (4, 4)
    assert all(torch.equal(a, b) for a, b in zip(branch.master, trainer.average.values()))
    assert batches.learning_rate(4, 4) < 0.01 * batches.learning_rate(4, -300)


def test_batches_depend_on_seed_and_step_alone(batches):
    for step in range(len(batches)):
        first, second = batches[step], batches[step]
        assert torch.equal(first.input_ids, second.input_ids)
        assert torch.equal(first.labels.nan_to_num(-1), second.labels.nan_to_num(-1))
        assert torch.equal(first.pairs, second.pairs)
    assert not all(batches[0].input_ids.shape == batches[step].input_ids.shape for step in range(1, len(batches)))


def test_labels_stand_at_their_nucleotides(batches):
    """A cropped profile keeps each value beside the letter that it was measured at."""
    by_sequence = {p.sequence: p for p in _profiles()}
    seen = 0
    for step in range(2, len(batches)):
        batch = batches[step]
        for row in range(len(batch.input_ids)):
            letters = "".join("ACGU?"[i] for i in batch.input_ids[row]).rstrip("?")
            for sequence, profile in by_sequence.items():
                start = sequence.find(letters)
                if start >= 0 and batch.pair_source == 0 and batch.labels[row, :, : len(CHANNELS)].isfinite().any():
                    expected = torch.from_numpy(profile.reactivity[start : start + len(letters)])
                    found = batch.labels[row, : len(letters), : len(CHANNELS)]
                    assert torch.equal(expected.nan_to_num(-1), found.nan_to_num(-1))
                    seen += 1
    assert seen > 3


def test_pairing_probabilities():
    pairs = fold("GGGGGAAAACCCCC")
    assert np.allclose(pairs, pairs.T)
    assert pairs[0, 13] > 0.8
    assert (pairs.sum(axis=1) <= 1.0001).all()
    assert np.argwhere(np.triu(known_pairs("((..)).()"))).tolist() == [[0, 5], [1, 4], [7, 8]]
    assert set(generate_sequence(np.random.default_rng(0), 50)) <= set("ACGU")


def test_natural_pieces_and_hairpins_are_folded():
    rng = np.random.default_rng(0)
    for length in (8, 9, 12, 30) * 5:
        hairpin = generate_hairpin(rng, length)
        assert len(hairpin) == length
        assert set(hairpin) <= set("ACGU")
    structures = [KnownStructure("bprna", "GGGGAAAACCCC", "((((....))))")]
    piece = "ACGUUGCAAC" * 8
    stage = Stage("wide", 40, 1.0, 0.0, (60, 60), 0.0, (1e-3, 1e-3), "development", {}, pieces=1.0, hairpins=0.5)
    batches = TrainingBatches([stage], {}, structures, 0, 4000, [piece])
    lengths, from_the_piece = set(), 0
    for step in range(len(batches)):
        batch = batches[step]
        lengths.add(batch.input_ids.shape[1])
        for row in batch.input_ids:
            from_the_piece += "".join("ACGU"[i] for i in row) in piece and len(row) >= 20
        assert batch.pairs.max() > 0
    assert min(lengths) < 20 < max(lengths)
    assert from_the_piece > 10


def test_exported_checkpoint(batches, tmp_path):
    trainer = _run(batches, tmp_path / "run", 0, 2)
    train.export(trainer, _profiles(), tmp_path / "checkpoint")
    model = AutoModelForReactivity.from_pretrained(tmp_path / "checkpoint")
    assert model.config.channels == ["2A3", "DMS"]
    assert model.config.training_max_length == 115
    ids = torch.randint(0, 4, (2, 30))
    with torch.no_grad():
        expected = trainer.averaged_model()(ids, None)[0][..., :2]
        assert torch.allclose(model(ids).logits, expected, atol=1e-6)
    sources, facts = read_manifest(tmp_path / "checkpoint" / "training_data.json")
    assert [(s.name, s.rows) for s in sources] == [("pk50", 4), ("cloudlab", 4)]
    assert facts["stages"][0]["steps"] == 2
    assert recipe.TRAINING_CHANNELS[-1] == "unpaired_viennarna"
