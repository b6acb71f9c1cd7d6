"""`rna-hf finetune --task localisation`: from three formats to a checkpoint, resumed, in folds, and what is refused."""

import csv
import gzip
import json
import random
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer

from rna_hf import AutoModelForLocalisation, RnaTokenizerFast, RnaTrackerConfig, RnaTrackerForLocalisation
from rna_hf.cli.main import run
from rna_hf.data.collators import DataCollatorForLocalisation
from rna_hf.tasks.localisation import LocalisationMetrics, shares_as_labels
from rna_hf.training.arguments import DataArguments
from rna_hf.training.examples import Augmented, SimilarLengths, truncated
from rna_hf.training.pretrain import parse_recipe
from rna_hf.training.run_record import kept_step
from rna_hf.training.training_data import rows_to_hold_out, warn_about_unknown

NAN = float("nan")
SIZES = {"hidden_size": 8, "gru_hidden_size": 4, "attention_size": 4}
NAMES = ("Cytosol", "Insoluble", "Membrane", "Nuclear")


@pytest.fixture(scope="module")
def rnas():
    """Sequences of 50 to 120 nt whose numbers follow from their letters."""
    letters = random.Random(0)
    sequences = []
    for _ in range(24):
        weights = [letters.random() for _ in "GAUC"]
        sequences.append("".join(letters.choices("GAUC", weights, k=letters.randrange(50, 121))))
    return [(text, [text.count(letter) + 1 for letter in "GAUC"]) for text in sequences]


@pytest.fixture
def cefra(rnas, tmp_path):
    path = tmp_path / "cefra.fa"
    lines = (f">{i} rna{i}\n{text}\n{' '.join(map(str, numbers))}\n" for i, (text, numbers) in enumerate(rnas))
    path.write_text("".join(lines))
    return path


def arguments(file, output, **options):
    """The command line of a short run on a CPU."""
    settings = {
        "task": "localisation",
        "model": "rnatracker",
        "from_scratch": True,
        "config": json.dumps(SIZES),
        "train_file": file,
        "data_format": "cefra",
        "validation_fraction": 0.25,
        "output_dir": output,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_steps": 1,
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    } | options
    return ["finetune", *(part for name, value in settings.items() for part in (f"--{name}", str(value)))]


def history(output):
    """What the last checkpoint remembers of the training, without times."""
    checkpoint = max(output.glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    entries = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    return [
        {name: value for name, value in entry.items() if not name.endswith(("time", "second"))} for entry in entries
    ]


def test_from_an_architecture_to_a_checkpoint(cefra, tmp_path):
    output = tmp_path / "run"
    options = {"truncate": 80, "keep": "3prime", "test_file": cefra, "run_name": "short"}
    assert run(arguments(cefra, output, **options)) == 0
    scores = json.loads((output / "scores.json").read_text())
    names = ["loss", "pearson", *(f"pearson_{name}" for name in NAMES)]
    assert {f"{split}_{name}" for split in ("eval", "test") for name in names} <= set(scores)
    assert all(np.isfinite(value) for value in scores.values())

    model, tokenizer = AutoModelForLocalisation.from_pretrained(output), AutoTokenizer.from_pretrained(output)
    assert (model.config.hidden_size, model.config.mask_padding) == (8, True)
    assert (tokenizer.padding_side, tokenizer.truncation_side, tokenizer.model_max_length) == ("left", "left", 80)
    assert torch.isfinite(model(**tokenizer("GGAUC" * 20, truncation=True, return_tensors="pt")).logits).all()
    card = (output / "README.md").read_text()
    assert "A `rnatracker`, trained from nothing" in card
    assert "base_model" not in card

    # Two epochs, then the end: the validation and the test set.
    lines = (output / "log.txt").read_text().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1.00", "epoch 2.00", "epoch 2.00", "epoch 2.00"]
    assert all(
        f"pearson_Nuclear {scores[f'{split}_pearson_Nuclear']:.4f}" in line
        for split, line in zip(("eval", "test"), lines[2:], strict=True)
    )
    assert all("  train_loss " in line for line in lines)


def test_training_learns_what_the_letters_say(cefra, tmp_path):
    options = {"num_train_epochs": 15, "save_strategy": "no", "eval_strategy": "no", "test_file": cefra}
    assert run(arguments(cefra, tmp_path / "run", **options)) == 0
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["test_pearson"] > 0.5


@pytest.mark.parametrize("sampling", ["random", "group_by_length"])
def test_a_resumed_run_goes_on_exactly(sampling, cefra, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    options = {"train_sampling_strategy": sampling, "every_epochs": 2}
    assert run(arguments(cefra, whole, num_train_epochs=4, **options)) == 0
    for epochs in (2, 4):
        assert run(arguments(cefra, parted, num_train_epochs=epochs, **options)) == 0
    assert history(parted) == history(whole)
    assert [entry["epoch"] for entry in history(whole) if "eval_pearson" in entry] == [2, 4]
    assert (parted / "log.txt").read_text() == (whole / "log.txt").read_text()
    resumed, other = (AutoModelForLocalisation.from_pretrained(folder).state_dict() for folder in (parted, whole))
    assert all(torch.equal(value, other[name]) for name, value in resumed.items())


def test_checkpoints_every_few_epochs_and_at_the_end(cefra, tmp_path):
    output = tmp_path / "run"
    best = {"load_best_model_at_end": True}
    assert (
        run(arguments(cefra, output, num_train_epochs=5, every_epochs=2, per_device_train_batch_size=18, **best)) == 0
    )
    assert sorted(int(path.name[11:]) for path in output.glob("checkpoint-*")) == [2, 4, 5]
    scores = {entry["step"]: entry["eval_pearson"] for entry in history(output) if "eval_pearson" in entry}
    assert list(scores) == [2, 4, 5]
    state = json.loads((output / "checkpoint-5" / "trainer_state.json").read_text())
    assert state["best_metric"] == max(scores.values())


def test_the_kept_step_is_that_of_the_weights(cefra, tmp_path):
    # Greater losses are called better: training lowers them, so that the first checkpoint is the best.
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": True}
    for name, options, step in (("best", best, 1), ("last", {}, 3)):
        output = tmp_path / name
        batches = {"num_train_epochs": 3, "per_device_train_batch_size": 18}
        assert run(arguments(cefra, output, **batches, **options)) == 0
        assert kept_step(output) == step
        kept, checkpoint = (
            AutoModelForLocalisation.from_pretrained(folder).state_dict()
            for folder in (output, output / f"checkpoint-{step}")
        )
        assert all(torch.equal(value, checkpoint[name]) for name, value in kept.items())
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="holds no checkpoint of a run: name the output folder of one"):
            kept_step(folder)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"crop": 60}, 60),
        ({"truncate": 70}, 70),
        ({"config": json.dumps(SIZES | {"training_max_length": 999})}, 999),
    ],
    ids=str,
)
def test_the_longest_sequence_of_a_training_is_recorded(options, expected, rnas, cefra, tmp_path):
    short = {"max_steps": 1, "eval_strategy": "no", "save_strategy": "no", "validation_file": cefra, "max_length": 110}
    assert run(arguments(cefra, tmp_path / "run", **short, **options)) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    longest = max(len(text) for text, _ in rnas if len(text) <= 110)
    assert 100 < longest < max(len(text) for text, _ in rnas)
    assert config["training_max_length"] == (expected or longest)


@pytest.fixture
def short_rnas(rnas, tmp_path):
    """A table with three RNAs that a model of 45 nt windows can't read."""
    path = tmp_path / "short.csv"
    lines = [f"r{i},{text},{','.join(map(str, numbers))}" for i, (text, numbers) in enumerate(rnas)]
    lines[5:5] = [f"s{length},{('GAUC' * 11)[:length]},1,2,3,4" for length in (44, 30, 20)]
    path.write_text("\n".join([f"id,sequence,{','.join(NAMES)}", *lines]) + "\n")
    return path


@pytest.mark.parametrize("place", ["train_file", "validation_file", "test_file"])
def test_rnas_too_short_for_the_model_are_refused_or_left_out(place, short_rnas, rnas, tmp_path, capsys):
    good = tmp_path / "good.csv"
    good.write_text("".join(line for line in short_rnas.open() if not line.startswith("s")))
    options = {"data_format": "localisation", "max_steps": 1, "eval_strategy": "no", "save_strategy": "no"}
    options |= {"train_file": good, "validation_file": good, "test_file": good} | {place: short_rnas}
    assert run(arguments(good, tmp_path / "run", **options)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        f"rna-hf: error: {short_rnas}: 3 of 27 RNAs are shorter than the 45 nt that the model needs, the first is "
        "'s44' with 44 nt; min_length 45 leaves such RNAs out"
    )
    assert run(arguments(good, tmp_path / "run", min_length=45, **options)) == 0
    card = (tmp_path / "run" / "README.md").read_text()
    assert "(24 validation, 24 train, 24 test RNAs)" in card


def test_short_rnas_that_were_held_out_are_left_out_too(short_rnas, tmp_path):
    options = {"data_format": "localisation", "max_steps": 1, "eval_strategy": "no", "save_strategy": "no"}
    options |= {"split": "random", "validation_fraction": 0.5, "min_length": 100, "seed": 3}
    assert run(arguments(short_rnas, tmp_path / "run", **options)) == 0
    split = DataArguments(split="random", validation_fraction=0.5)
    dataset = Dataset.from_csv(str(short_rnas))
    held_out = dataset.select(rows_to_hold_out(dataset, split, seed=3))["sequence"]
    readable = [text for text in held_out if len(text) >= 45]
    assert len(readable) < len(held_out)
    assert f"({len(readable)} validation, " in (tmp_path / "run" / "README.md").read_text()


def test_padding_that_is_read_makes_short_rnas_long_enough(short_rnas, tmp_path):
    config = json.dumps(SIZES | {"mask_padding": False})
    options = {"data_format": "localisation", "config": config, "pad_to_multiple_of": 150}
    assert run(arguments(short_rnas, tmp_path / "run", **options)) == 0


def test_rnas_with_many_n_are_named(rnas, tmp_path):
    path = tmp_path / "unknown.csv"
    texts = [f"{text[:40]}NNNN{text[44:]}" if i in (3, 7, 8, 11) else text for i, (text, _) in enumerate(rnas)]
    lines = [f"r{i},{text},1,2,3,4" for i, text in enumerate(texts)]
    path.write_text("\n".join([f"id,sequence,{','.join(NAMES)}", *lines]) + "\n")
    options = {"data_format": "localisation", "num_train_epochs": 1}
    with pytest.warns(UserWarning, match="unknown") as caught:
        assert run(arguments(path, tmp_path / "run", **options)) == 0
    messages = [str(one.message) for one in caught if "unknown" in str(one.message)]
    assert len(messages) == 1
    assert messages[0].startswith(f"{path}: 4 RNAs to take with care (more than 1% unknown nucleotides (N)")
    assert messages[0].endswith(": 'r3', 'r7', 'r8' and 1 more")

    dataset = Dataset.from_dict({"sequence": [f"N{'ACGU' * 20}", "ACGU"]})
    with pytest.warns(UserWarning, match=r"^f\.csv: 1 RNA to take with care .more than 1% .*: row 1$"):
        warn_about_unknown(dataset, DataArguments(truncate=60), RnaTrackerConfig(), "f.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about_unknown(dataset, DataArguments(truncate=60, keep="3prime"), RnaTrackerConfig(), "f.csv")


def test_long_words_tell_copies_from_shared_repeats():
    letters = random.Random(0)
    repeat = "".join(letters.choices("GAUC", k=60))
    parts = ["".join(letters.choices("GAUC", k=300)) for _ in range(20)]
    # Each has the repeat, mutated each 20 nt; the second ten are copies of the first.
    sequences = [
        part + "".join(repeat[i : i + 19] + letters.choice("GAUC") for i in (0, 20, 40)) for part in parts[:10]
    ]
    dataset = Dataset.from_dict({"sequence": sequences + [text[5:] for text in sequences]})
    with pytest.raises(ValueError, match="too few to fill"):
        rows_to_hold_out(dataset, DataArguments(validation_fraction=0.2), seed=1)
    options = {"similarity_k": 24, "similarity_min_shared": 100}
    rows = rows_to_hold_out(dataset, DataArguments(validation_fraction=0.2, **options), seed=1).tolist()
    assert len(rows) == 4
    assert {(row + 10) % 20 for row in rows} == set(rows)


@pytest.mark.parametrize("split", ["similarity", "random"])
def test_each_rna_is_in_one_fold(split, rnas):
    dataset = Dataset.from_dict({"sequence": [text for text, _ in rnas] * 2})
    folds = [rows_to_hold_out(dataset, DataArguments(split=split, folds=3, fold=n), seed=1) for n in (1, 2, 3)]
    assert sorted(np.concatenate(folds).tolist()) == list(range(48))
    assert all(12 <= len(rows) <= 20 for rows in folds)
    copies_are_together = all(set(rows.tolist()) == {(row + 24) % 48 for row in rows.tolist()} for rows in folds)
    assert copies_are_together == (split == "similarity")
    other = rows_to_hold_out(dataset, DataArguments(split=split, folds=3, fold=1), seed=2)
    assert other.tolist() != folds[0].tolist()


def test_a_random_part_has_the_size_asked_for():
    dataset = Dataset.from_dict({"sequence": ["A"] * 11373})
    rows = rows_to_hold_out(dataset, DataArguments(split="random", validation_fraction=0.2), seed=1)
    assert len(rows) == 2275  # as the log of RNATracker's original says


def test_folds_are_trained_summed_up_and_resumed(cefra, tmp_path, capsys):
    output = tmp_path / "run"
    options = {"folds": 3, "split": "random", "num_train_epochs": 1, "run_name": "cross"}
    assert run(arguments(cefra, output, **options)) == 0
    summary = json.loads((output / "folds.json").read_text())
    each = [json.loads((output / f"fold_{number}" / "scores.json").read_text()) for number in (1, 2, 3)]
    assert len(summary["folds"]) == 3
    for name in ("eval_loss", "eval_pearson", "eval_pearson_Membrane"):
        values = [scores[name] for scores in each]
        mean = sum(values) / 3
        assert len(set(values)) == 3
        assert summary["mean"][name] == pytest.approx(mean)
        assert summary["std"][name] == pytest.approx((sum((value - mean) ** 2 for value in values) / 2) ** 0.5)
    error = capsys.readouterr().err
    assert f"eval_loss {summary['mean']['eval_loss']:.4f} ± {summary['std']['eval_loss']:.4f} over 3 folds" in error

    # As if it had been stopped in the second fold.
    for path in (output / "folds.json", output / "fold_2" / "scores.json"):
        path.unlink()
    assert run(arguments(cefra, output, **options)) == 0
    error = capsys.readouterr().err
    assert [f"fold {number} of 3 is finished already" in error for number in (1, 2, 3)] == [True, False, True]
    assert json.loads((output / "folds.json").read_text()) == summary
    alone = tmp_path / "alone"
    assert run(arguments(cefra, alone, fold=2, **options)) == 0
    assert json.loads((alone / "scores.json").read_text())["eval_loss"] == each[1]["eval_loss"]


def test_metrics_are_those_computed_by_hand():
    config = RnaTrackerConfig(compartments=["in", "out"])
    shares = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    labels = torch.tensor([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [-100.0, -100.0]])
    metrics = LocalisationMetrics(config)
    logits = shares.log() + torch.tensor([[3.0], [-2.0], [0.0], [7.0]])  # a constant a row changes nothing
    metrics(SimpleNamespace(predictions=logits[:2], label_ids=labels[:2]))
    result = metrics(SimpleNamespace(predictions=logits[2:], label_ids=labels[2:]), compute_result=True)
    # in: deviations (-0.2, -0.1, 0.3) and (-0.5, 0, 0.5): 0.25 / sqrt(0.14 * 0.5).
    assert result["pearson_in"] == result["pearson_out"] == pytest.approx(0.25 / (0.14 * 0.5) ** 0.5, abs=1e-6)
    # All six around 0.5: 0.4 * 0.5 * 2 + 0 + 0.1 * 0.5 * 2 over sqrt(2 * (0.16 + 0.09 + 0.01) * 1).
    assert result["pearson"] == pytest.approx(0.5 / (2 * 0.26 * 1.0) ** 0.5, abs=1e-6)


def test_whole_numbers_become_shares():
    rows = [[2, 0], [0, 3]] * 1000 + [[1, 3]]
    labels = shares_as_labels(Dataset.from_dict({"sequence": ["GA"] * 2001, "labels": rows}))["labels"][:]
    assert labels == [[1, 0], [0, 1]] * 1000 + [[0.25, 0.75]]
    rounded = [[0.3333, 0.6666], [-100, 1], [1, 1]]
    labels = shares_as_labels(Dataset.from_dict({"sequence": ["GA"] * 3, "labels": rounded}))["labels"][:]
    np.testing.assert_array_equal(labels, np.float32([[0.3333, 0.6666], [NAN, NAN], [0.5, 0.5]]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2, 3], "bad.jsonl, row 1: 3 labels where 4 are needed, one for each of Cytosol, Insoluble"),
        ([1, 2, -3, 4], "bad.jsonl, row 1: a compartment has the value -3"),
        ([0, 0, 0, 0], "bad.jsonl, row 1: all 4 compartments are 0"),
        ([1, 2, NAN, 4], "bad.jsonl: no entry of labels was measured"),
        (3, "bad.jsonl, row 1: labels are 3: 4 numbers are needed, one for each of Cytosol"),
    ],
    ids=str,
)
def test_bad_labels_are_named(labels, message, rnas, tmp_path, capsys):
    table = tmp_path / "bad.jsonl"
    table.write_text("".join(json.dumps({"sequence": text, "labels": labels}) + "\n" for text, _ in rnas))
    assert run(arguments(table, tmp_path / "run", data_format="table")) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rna-hf: error: ")
    assert message in last


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"from_scratch": False}, "rnatracker is an architecture, not a checkpoint"),
        ({"model": "ribonanzanet-mini"}, "is a ribonanzanet, which has no head for localisation"),
        ({"task": "structure"}, "rnatracker is a rnatracker, which has no head for structure"),
        ({"lora_rank": 2}, "lora_rank is not for a rnatracker"),
        ({"split": "even"}, "split is 'even': choose one of similarity, random"),
        ({"keep": "middle"}, "keep is 'middle': choose one of 5prime, 3prime"),
        ({"truncate": -1}, "truncate is -1"),
        ({"truncate": 44}, "truncate is 44: the model reads no less than 45 nt"),
        ({"crop": 44}, "crop is 44: the model reads no less than 45 nt"),
        ({"similarity_k": 25}, "similarity_k is 25: choose a number of nucleotides from 1 to 24"),
        ({"similarity_min_shared": 0}, "similarity_min_shared is 0: it must be at least 1"),
        ({"config": '{"compartments": ["a", "b", "ID", "c"]}'}, "compartments hold 'ID'"),
        ({"every_epochs": 0}, "every_epochs is 0"),
        ({"folds": 1}, "folds is 1: a cross-validation has 2 at least"),
        ({"folds": 3, "fold": 4}, "fold is 4: choose one from 1 to folds (3)"),
        ({"folds": 3, "validation_file": "other.fa"}, "folds and validation_file are both set"),
        ({"task": "structure", "pad_to_multiple_of": 8}, "pad_to_multiple_of is not for the task structure"),
        ({"config": '{"compartments": ["a", "b"]}'}, "4 numbers where 2 are needed, one for each of a, b"),
    ],
    ids=str,
)
def test_what_is_refused(change, message, cefra, tmp_path, capsys):
    assert run(arguments(cefra, tmp_path / "run", **change)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rna-hf: error: ")
    assert message in last


def test_dropout_is_off_in_evaluations_unless_asked_for(cefra, tmp_path):
    scores = {}
    for name in ("off", "again", "on"):
        config = SIZES | {"hidden_dropout": 0.6 if name != "off" else 0.0}
        options = {"learning_rate": 0.0, "max_steps": 1, "eval_dropout": name == "on", "config": json.dumps(config)}
        assert run(arguments(cefra, tmp_path / name, eval_strategy="no", **options)) == 0
        scores[name] = json.loads((tmp_path / name / "scores.json").read_text())["eval_loss"]
    assert scores["off"] == scores["again"] != scores["on"]


def test_the_end_that_is_kept():
    example = {"sequence": "GGAUCC", "labels": [0.5, 0.5]}
    assert truncated(example, 4, "5prime") == {"sequence": "GGAU", "labels": [0.5, 0.5]}
    assert truncated(example, 4, "3prime") == {"sequence": "AUCC", "labels": [0.5, 0.5]}
    assert truncated(example, 9, "3prime") == truncated(example, 9, "5prime") == example


def test_batches_of_whole_transcripts_hold_little_padding():
    # Lengths like those of human mRNAs: median 2,400 nt, the longest many times that.
    lengths = np.random.default_rng(0).lognormal(7.8, 0.8, 2000).astype(int)
    dataset = Augmented(Dataset.from_dict({"sequence": ["A" * length for length in lengths]}))

    def padding(order):
        batches = lengths[order].reshape(-1, 8)
        return 1 - batches.sum() / (8 * batches.max(1).sum())

    order = list(SimilarLengths(dataset, 8, seed=1))
    assert sorted(order) == list(range(2000))
    assert padding(order) < 0.1 < 0.4 < padding(np.random.default_rng(0).permutation(2000))


def test_the_collator_pads_in_front_and_leaves_out_what_was_not_measured():
    tokenizer = RnaTokenizerFast(alphabet="rnatracker")
    collate = DataCollatorForLocalisation(tokenizer, pad_to_multiple_of=4)
    examples = [{"sequence": "GATC", "labels": [0.25, 0.75]}, {"sequence": "GAUCG", "labels": [NAN, 0.5]}]
    batch = collate(examples)
    assert batch["input_ids"].tolist() == [[4, 4, 4, 4, 0, 1, 2, 3], [4, 4, 4, 0, 1, 2, 3, 0]]
    assert batch["attention_mask"].sum(1).tolist() == [4, 5]
    assert batch["labels"].tolist() == [[0.25, 0.75], [-100, -100]]
    with pytest.raises(ValueError, match="example 1 of the batch has 3 labels, the first has 2"):
        collate([examples[0], {"sequence": "GA", "labels": [0.5, 0.25, 0.25]}])
    for labels in ([1.0, 3.0], [-0.5, 1.5]):
        with pytest.raises(ValueError, match="together 1; divide them by their sum"):
            collate([{"sequence": "GA", "labels": labels}])
    with pytest.raises(ValueError, match="one share for each compartment"):
        collate([{"sequence": "GA", "labels": 2}])


def test_padding_of_the_original_does_not_depend_on_the_batch(rnas):
    model = RnaTrackerForLocalisation(RnaTrackerConfig(mask_padding=False, **SIZES)).eval()
    collate = DataCollatorForLocalisation(RnaTokenizerFast(alphabet="rnatracker"), pad_to_multiple_of=200)
    texts = [{"sequence": text} for text, _ in rnas[:4]]
    with torch.no_grad():
        together, alone = model(**collate(texts)).logits, model(**collate(texts[:1])).logits
    torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["original", "full_length"])
def test_a_recipe_is_started(name, cefra, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    path = request.config.rootpath / "examples" / "rnatracker" / f"{name}.yaml"
    small = {
        "output_dir": tmp_path / "run",
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "config": json.dumps(SIZES),
    }
    small |= {"use_cpu": True, "disable_tqdm": True, "report_to": "none", "dataloader_num_workers": 0}
    small |= {"dataloader_pin_memory": False}
    options = [part for option, value in small.items() for part in (f"--{option}", str(value))]
    assert run(["finetune", str(path), *options]) == 0
    assert np.isfinite(json.loads((tmp_path / "run" / "scores.json").read_text())["eval_loss"])


def test_every_recipe_is_tried(request):
    folder = request.config.rootpath / "examples" / "rnatracker"
    assert sorted(path.stem for path in folder.glob("*.yaml")) == ["full_length", "original"]


@pytest.mark.shared
def test_real_transcripts_in_four_compartments(shared_dir, tmp_path):
    with gzip.open(shared_dir / "data" / "loc_lncrna_multilabel" / "lncrna.csv.gz", "rt") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: len(row["sequence"]))[:40]
    names = ["Nucleus", "Chromatin", "Cytoplasm", "Insoluble cytoplasm"]
    table = tmp_path / "lncrna.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "sequence", *names])
        for row in rows:
            found = row["locations"].split(";")
            writer.writerow([row["gene_id"], row["sequence"], *(int(name in found) for name in names)])
    config = json.dumps(SIZES | {"compartments": names})
    options = {"data_format": "localisation", "config": config, "train_sampling_strategy": "group_by_length"}
    assert run(arguments(table, tmp_path / "run", **options)) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert np.isfinite([scores["eval_loss"], scores["eval_pearson"], scores["eval_pearson_Nucleus"]]).all()
    assert AutoModelForLocalisation.from_pretrained(tmp_path / "run").config.compartments == names


def test_a_recipe_of_stages_begins_with_an_architecture_and_has_no_folds(cefra, tmp_path):
    recipe = tmp_path / "stages.yaml"
    options = {"task": "localisation", "model": "rnatracker", "from_scratch": True, "data_format": "cefra"}
    options |= {"train_file": str(cefra), "output_dir": str(tmp_path / "run"), "stages": [{"name": "a"}, {"name": "b"}]}
    recipe.write_text(json.dumps(options))
    first, second = parse_recipe([str(recipe)])
    assert (first.model.is_architecture, second.model.model) == (True, str(tmp_path / "run" / "a"))
    with pytest.raises(ValueError, match="stage 'a': folds is for rna-hf finetune; name one of the 3 with fold"):
        parse_recipe([str(recipe), "--folds", "3"])
