"""`rna-hf finetune`: each task from a table to a checkpoint, resumed runs, LoRA, and what is refused."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from datasets import Dataset
from huggingface_hub import ModelCard
from tiny_models import RIBONANZANET_TO_TRAIN, save_tiny
from transformers import AutoTokenizer

import rna_hf
from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, RibonanzaNetForSecondaryStructure, RnaTokenizerFast
from rna_hf.cli.main import run
from rna_hf.hub.card_metadata import check_metadata
from rna_hf.hub.golden import check_golden
from rna_hf.layers import distance_geometry
from rna_hf.tasks import TASKS, trainings
from rna_hf.training.arguments import parse_arguments
from rna_hf.training.examples import Augmented, columns_of_nucleotides, truncated, window
from rna_hf.training.run_record import RECORD_FILE, make_record, write_record
from rna_hf.training.training_data import choose_profiles

HEADS = {
    "reactivity": "Reactivity",
    "degradation": "Degradation",
    "dropout": "SequenceDropout",
    "structure": "SecondaryStructure",
    "3d": "TertiaryStructure",
    "sequence-classification": "SequenceClassification",
    "token-classification": "TokenClassification",
    "contact-prediction": "ContactPrediction",
    "masked-lm": "MaskedLM",
}


def open_trained(task, folder):
    """Open what a run wrote, by the task's Auto class."""
    name = f"AutoModelFor{HEADS[task]}"
    return (getattr(rna_hf, name, None) or getattr(transformers, name)).from_pretrained(folder)


@pytest.fixture(autouse=True)
def _short_search(monkeypatch):
    """No test looks at the traces that a 3D model finds from its distances."""
    monkeypatch.setattr(distance_geometry, "_ROUNDS", 10)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny checkpoint to start from."""
    options = RIBONANZANET_TO_TRAIN | {"fix_attention_mask": True}
    return save_tiny(tmp_path_factory.mktemp("base"), {"alphabet": "ribonanzanet"}, **options)


def write_table(path, task, count=24):
    rng, letters = np.random.default_rng(0), random.Random(0)
    rows = []
    for index in range(count):
        length = int(rng.integers(10, 24))
        row = {"id": str(index), "sequence": "".join(letters.choice("ACGU") for _ in range(length))}
        if task in ("structure", "contact-prediction"):
            row["pairs"] = [[0, length - 1], [1, length - 2]]
        elif task == "3d":
            row["coordinates"] = np.cumsum(rng.normal(size=(length, 3)) * 4, axis=0).tolist()
        elif task == "dropout":
            row["labels"] = rng.integers(1, 500, 2).astype(float).tolist()
        elif task == "sequence-classification":
            row["labels"] = index % 2
        elif task == "token-classification":
            row["labels"] = [int(letter in "GC") for letter in row["sequence"]]
        elif task != "masked-lm":
            labels = rng.random((length, 5 if task == "degradation" else 2))
            labels[-2:] = np.nan
            row["labels"] = labels.tolist()
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def arguments(kind, base, table, output, **options):
    """The command line of a short run on a CPU."""
    settings = {
        "task": kind,
        "model": base,
        "train_file": table,
        "output_dir": output,
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "save_steps": 2,
        "logging_steps": 1,
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "validation_fraction": 0.25,
    } | options
    return ["finetune", *(part for name, value in settings.items() for part in (f"--{name}", str(value)))]


def test_every_task_is_tried():
    # RibonanzaNet has no head for localisation: see test_finetune_localisation.py.
    assert {*HEADS, "localisation"} == set(trainings())


@pytest.mark.parametrize("task", HEADS)
def test_each_task_from_a_table_to_a_checkpoint(task, base, tmp_path):
    table = write_table(tmp_path / "table.parquet", task)
    output = tmp_path / "run"
    assert run(arguments(task, base, table, output, test_file=table)) == 0
    scores = json.loads((output / "scores.json").read_text())
    assert {"eval_loss", "test_loss"} <= set(scores)
    assert all(np.isfinite(value) for value in scores.values())
    model = open_trained(task, output)
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert torch.isfinite(model(**tokenizer("GGGAAACCC", return_tensors="pt"))[0]).all()
    card = ModelCard.load(output / "README.md")
    # The base is a folder here, which means nothing on the Hub.
    assert (card.data.library_name, card.data.base_model) == ("transformers", None)
    assert f"Fine-tuned from `{base.name}`" in card.text
    assert str(tmp_path) not in card.text
    assert "From `scores.json` beside this card." in card.text
    assert f"| {task} | " in card.text
    check_metadata(card.data.to_dict())
    assert len(check_golden(output)) == 4
    assert {"rna", task} <= set(card.data.tags)
    assert f"| test_loss | {scores['test_loss']:.4f} |" in card.text


def losses(output):
    state = json.loads(
        max(output.glob("checkpoint-*"), key=lambda p: int(p.name[11:])).joinpath("trainer_state.json").read_text()
    )
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("reactivity", {"optimizer": "adamw"}),
        ("reactivity", {"optimizer": "ranger"}),
        ("reactivity", {"lora_rank": 2}),
        ("reactivity", {"train_sampling_strategy": "group_by_length", "max_steps": 16}),
        ("masked-lm", {}),
    ],
    ids=str,
)
def test_a_resumed_run_has_the_same_losses(task, options, base, tmp_path):
    table = write_table(tmp_path / "table.parquet", task)
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    schedule = {"lr_scheduler_type": "constant", "reverse_probability": 0.5} | options
    assert run(arguments(task, base, table, whole, **schedule)) == 0
    half = options.get("max_steps", 4) // 2
    assert run(arguments(task, base, table, parted, **schedule | {"max_steps": half, "save_steps": half})) == 0
    assert run(arguments(task, base, table, parted, **schedule)) == 0
    assert losses(parted) == pytest.approx(losses(whole), abs=1e-6)
    assert len(losses(whole)) == 2 * half


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "token-classification"}, "task was 'reactivity' and is 'token-classification' now"),
        ({"model": "ribonanzanet-mini"}, "model was"),
        ({"config": '{"hidden_dropout": 0.5}'}, "config was {} and is {'hidden_dropout': 0.5} now"),
        ({"lora_rank": 2}, "lora_rank was 0 and is 2 now"),
        ({"validation_fraction": 0.3}, "validation_fraction was 0.25 and is 0.3 now"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_folder_of_another_run_is_refused(change, message, base, tmp_path, capsys):
    table = write_table(tmp_path / "table.parquet", "reactivity")
    folder = tmp_path / "run"
    (folder / "checkpoint-1").mkdir(parents=True)
    model, data, training = parse_arguments(arguments("reactivity", base, table, folder)[1:])
    write_record(folder / RECORD_FILE, make_record(model, data, training))
    options = {"task": "reactivity", "model": base} | change
    assert run(arguments(options.pop("task"), options.pop("model"), table, folder, **options)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert "name another output_dir" in error


def test_a_folder_of_other_data_is_refused_and_of_moved_data_is_not(base, tmp_path, capsys):
    table = write_table(tmp_path / "table.parquet", "reactivity")
    folder = tmp_path / "run"
    assert run(arguments("reactivity", base, table, folder, max_steps=2)) == 0
    moved = table.rename(tmp_path / "moved.parquet")
    assert run(arguments("reactivity", base, moved, folder, max_steps=2)) == 0
    write_table(moved, "reactivity", count=25)
    assert run(arguments("reactivity", base, moved, folder)) == 2
    assert f"train_file {moved} had another content then" in capsys.readouterr().err
    write_table(table, "reactivity", count=25)
    assert run(arguments("reactivity", base, table, folder)) == 2
    assert f"train_file was '{moved}' and is '{table}' now" in capsys.readouterr().err


def test_the_best_checkpoint_is_chosen_by_the_task(base, tmp_path):
    table = write_table(tmp_path / "table.parquet", "structure")
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2}
    assert run(arguments("structure", base, table, tmp_path / "run", **best)) == 0
    state = json.loads((tmp_path / "run" / "checkpoint-4" / "trainer_state.json").read_text())
    scores = {entry["step"]: entry["eval_f1"] for entry in state["log_history"] if "eval_f1" in entry}
    assert state["best_metric"] == max(scores.values())


def test_yaml_file_with_options_after_it(base, tmp_path):
    table = write_table(tmp_path / "table.parquet", "degradation")
    recipe = tmp_path / "run.yaml"
    settings = arguments("degradation", base, table, tmp_path / "unused")[1:]
    lines = [f"{settings[i][2:]}: {settings[i + 1]}" for i in range(0, len(settings), 2)]
    recipe.write_text("\n".join([*lines, "config: {hidden_dropout: 0.2}"]))
    assert run(["finetune", str(recipe), "--output_dir", str(tmp_path / "used"), "--max_steps", "1"]) == 0
    assert RibonanzaNetConfig.from_pretrained(tmp_path / "used").hidden_dropout == 0.2
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("task", HEADS)
def test_lora_trains_adapters_and_merges_them(task, base, tmp_path):
    pytest.importorskip("peft")
    table = write_table(tmp_path / "table.parquet", task)
    config = {"config": '{"coordinate_head": "pair"}'} if task == "3d" else {}
    # The adapters' second factor begins at 0, so their first one moves from the second step on. The last layers of the
    # 3D head begin at 0 too, and both factors wait for them.
    steps = 2 if task == "3d" else 1
    assert run(arguments(task, base, table, tmp_path / "run", lora_rank=2, max_steps=steps, **config)) == 0
    model = open_trained(task, tmp_path / "run")
    start = RibonanzaNetForReactivity.from_pretrained(base)
    assert not torch.equal(model.model.layers[0].up_proj.weight, start.model.layers[0].up_proj.weight)
    assert torch.equal(model.model.layers[0].conv.weight, start.model.layers[0].conv.weight)


def test_a_frozen_base_stays_as_it_is(base, tmp_path):
    structure = RibonanzaNetForSecondaryStructure.from_pretrained(base, ignore_mismatched_sizes=True)
    structure.save_pretrained(tmp_path / "structure")
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(tmp_path / "structure")
    table = write_table(tmp_path / "table.parquet", "3d")
    options = {"freeze_base": True, "config": '{"coordinate_head": "pair"}', "weight_decay": 0.1}
    assert run(arguments("3d", tmp_path / "structure", table, tmp_path / "run", **options)) == 0
    model = open_trained("3d", tmp_path / "run")
    start = structure.state_dict()
    trained = model.state_dict()
    assert all(torch.equal(trained[name], value) for name, value in start.items())
    assert trained["distance_head.distances.weight"].any()


def test_early_stopping(base, tmp_path):
    table = write_table(tmp_path / "table.parquet", "reactivity")
    # At a rate of 0 nothing gets better after the first evaluation.
    options = {"learning_rate": 0.0, "max_steps": 20, "early_stopping_patience": 2}
    options |= {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2}
    assert run(arguments("reactivity", base, table, tmp_path / "whole", **options)) == 0
    assert len(losses(tmp_path / "whole")) == 6
    for steps in (4, 20):
        assert run(arguments("reactivity", base, table, tmp_path / "parted", **options | {"max_steps": steps})) == 0
    assert len(losses(tmp_path / "parted")) == 6


def test_tensorboard_and_progress(base, tmp_path, capsys):
    pytest.importorskip("tensorboard")
    table = write_table(tmp_path / "table.parquet", "reactivity")
    options = {"report_to": "tensorboard", "disable_tqdm": False}
    assert run(arguments("reactivity", base, table, tmp_path / "run", **options)) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (tmp_path / "run" / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses(tmp_path / "run"), abs=1e-6)
    assert "4/4" in capsys.readouterr().err


def test_the_rate_is_constant_and_then_falls_along_a_cosine(base, tmp_path):
    table = write_table(tmp_path / "table.parquet", "reactivity", count=8)
    options = {"lr_scheduler_type": "warmup_stable_decay", "num_train_epochs": 10, "max_steps": -1}
    options |= {"save_strategy": "epoch", "save_total_limit": 1, "per_device_train_batch_size": 3}
    assert run(arguments("reactivity", base, table, tmp_path / "run", **options)) == 0
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    history = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    rates = [entry["learning_rate"] for entry in history if "learning_rate" in entry]
    # int(0.75 * 10) = 7 epochs of 2 steps, then 6 steps; the rate that is logged is that of the step itself.
    falling = [0.5 * (1 + np.cos(np.pi * step / 6)) for step in range(6)]
    assert rates == pytest.approx([1e-3 * part for part in [1.0] * 14 + falling], abs=1e-9)


def test_from_scratch_takes_the_configuration_alone(base, tmp_path):
    table = write_table(tmp_path / "table.parquet", "reactivity")
    options = {"from_scratch": True, "learning_rate": 0.0, "max_steps": 1, "config": '{"num_hidden_layers": 1}'}
    assert run(arguments("reactivity", base, table, tmp_path / "run", **options)) == 0
    model = open_trained("reactivity", tmp_path / "run")
    start = RibonanzaNetForReactivity.from_pretrained(base)
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (1, start.config.hidden_size)
    assert not torch.equal(model.model.layers[0].up_proj.weight, start.model.layers[0].up_proj.weight)


def test_profiles_are_chosen_by_their_signal_to_noise():
    nan = float("nan")
    dataset = Dataset.from_dict({"signal_to_noise": [[1.0, 2.0], [0.9, 5.0], [nan, 1.5], [0.5, nan], [nan, nan]]})
    chosen = {name: choose_profiles(dataset, name, "file").tolist() for name in ("all", "good", "dirty", "low_quality")}
    assert chosen == {
        "all": [True] * 5,
        "good": [True, False, False, False, False],
        "dirty": [True, True, True, False, False],
        "low_quality": [False, False, False, True, True],
    }


def test_reads_are_the_labels_of_dropout():
    columns = {"sequence": ["GA", "GC"], "labels": [[[0.5]] * 2] * 2, "reads": [[7, 0], [3, 4]]}
    dataset = Dataset.from_dict(columns | {"signal_to_noise": [[2.0, float("nan")], [0.1, 5.0]]})
    labels = TASKS["dropout"].training.prepare(dataset)["labels"][:]
    np.testing.assert_array_equal(labels, [[7, np.nan], [3, 4]])


def test_masked_lm_reads_fasta(base, tmp_path):
    fasta = tmp_path / "rnas.fasta"
    letters = random.Random(0)
    fasta.write_text("".join(f">r{i}\n{''.join(letters.choices('ACGU', k=20))}\n" for i in range(16)))
    assert run(arguments("masked-lm", base, fasta, tmp_path / "run", data_format="fasta", max_steps=1)) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores["eval_perplexity"] == pytest.approx(np.exp(scores["eval_loss"]), rel=1e-4)
    assert 0 <= scores["eval_accuracy"] <= 1


def test_reactivity_reads_rdat(base, tmp_path):
    letters, rng = random.Random(0), np.random.default_rng(0)
    lines = ["RDAT_VERSION 0.34", "NAME library", f"SEQUENCE {'X' * 20}", f"SEQPOS {' '.join(map(str, range(1, 17)))}"]
    for index in range(1, 17):
        sequence = "".join(letters.choices("ACGU", k=20))
        lines.append(f"ANNOTATION_DATA:{index} sequence:{sequence} modifier:{'DMS' if index % 2 else '1M7'}")
        lines.append(f"REACTIVITY:{index} {' '.join(f'{value:.3f}' for value in rng.random(16))}")
    table = tmp_path / "LIBRARY_0000.rdat"
    table.write_text("\n".join(lines) + "\n")
    assert run(arguments("reactivity", base, table, tmp_path / "run", data_format="rdat")) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    # Four RNAs were set aside, each with 16 measured nucleotides in one channel.
    assert scores["eval_count_2A3"] + scores["eval_count_DMS"] == 64
    assert np.isfinite(scores["eval_mae"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "folding"}, "task is 'folding': choose one of"),
        ({"train_file": "nowhere.parquet"}, "nowhere.parquet does not exist"),
        ({"data_format": "excel"}, "data_format is 'excel': choose table or one of ribonanza, ribonanza_test, rdat"),
        ({"task": "structure"}, "lacks the column 'pairs'"),
        ({"optimizer": "sgd9"}, "optimizer is 'sgd9'"),
        ({"min_length": 500}, "holds no RNA of 500"),
        ({"config": "{"}, "config is not JSON"),
        ({"config": "[1]"}, "config is [1]: a table of fields is needed"),
        ({"profiles": "best"}, "profiles is 'best': choose one of"),
        ({"profiles": "good"}, "lacks the column 'signal_to_noise'"),
        ({"early_stopping_patience": 3}, "set eval_strategy and load_best_model_at_end"),
        ({"constant_part": 1.5}, "constant_part is 1.5"),
        ({"lora_rank": 2, "freeze_base": True}, "freeze_base does not go with lora_rank"),
        ({"from_scratch": True, "freeze_base": True}, "freeze_base does not go with from_scratch"),
        ({"max_steps": "many"}, "--max_steps/--max-steps: invalid int value: 'many' (see rna-hf finetune --help)"),
        ({"maximum_steps": 4}, "'--maximum_steps' is no option; did you mean max_steps? (see rna-hf finetune --help)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_refused(change, message, base, tmp_path, capsys):
    table = write_table(tmp_path / "table.parquet", "reactivity")
    command = arguments(change.get("task", "reactivity"), base, table, tmp_path / "run", **change)
    assert run(command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rna-hf: error: ")
    assert message in last


@pytest.mark.parametrize(
    ("task", "column", "values", "message"),
    [
        ("degradation", "labels", [[float("nan")] * 5] * 12, "no entry of labels was measured"),
        ("degradation", "labels", [[0.5] * 5] * 11, "12 nucleotides but 11 rows"),
        ("dropout", "labels", [-3.0, 5.0], "row 1 (id '0'): labels hold a negative number (-3)"),
        ("3d", "coordinates", [[-1e18] * 3] * 12, "must be NaN"),
        ("structure", "pairs", [[0, 12]], "pairs position 12"),
    ],
)
def test_bad_labels_are_named(task, column, values, message, base, tmp_path, capsys):
    rows = [{"id": str(index), "sequence": "ACGUACGGACGU"[index:] + "ACGUACGGACGU"[:index]} for index in range(8)]
    table = tmp_path / "bad.jsonl"
    table.write_text("".join(json.dumps(row | {column: values}) + "\n" for row in rows))
    assert run(arguments(task, base, table, tmp_path / "run", validation_file=table)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("rna-hf: error: ")
    assert message in last


@pytest.mark.parametrize(
    ("option", "package"),
    [
        ({"lora_rank": 2}, "peft"),
        ({"optimizer": "ranger"}, "pytorch-optimizer"),
        ({"report_to": "tensorboard"}, "tensorboard"),
    ],
    ids=str,
)
def test_a_missing_extra_is_named(option, package, base, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    table = write_table(tmp_path / "table.parquet", "reactivity")
    assert run(arguments("reactivity", base, table, tmp_path / "run", **option)) == 1
    message = capsys.readouterr().err
    assert f"needs the package {package}: pip install 'rna-hf[train]'" in message
    assert "please report" not in message


EXAMPLE = {"sequence": "ACGU", "labels": [[1.0], [2.0], [3.0], [4.0]], "pairs": [[0, 3], [1, 2]]}


def first_of(dataset):
    """The first example without the seed that is drawn for it."""
    return {name: value for name, value in dataset[0].items() if name != "seed"}


def test_reading_backwards_turns_labels_too():
    turned = {"sequence": "UGCA", "labels": [[4.0], [3.0], [2.0], [1.0]], "pairs": [[0, 3], [1, 2]]}
    assert first_of(Augmented([EXAMPLE], ("sequence", "labels"), reverse_probability=1.0)) == turned
    assert first_of(Augmented([EXAMPLE])) == EXAMPLE
    example = {"sequence": "ACG", "pairs": [[0, 1]], "labels": 2}
    backwards = first_of(Augmented([example], reverse_probability=1.0))
    assert backwards == {"sequence": "GCA", "pairs": [[1, 2]], "labels": 2}


def test_labels_of_an_rna_that_happen_to_be_as_many_as_its_nucleotides_stay():
    example = {"sequence": "ACGU", "labels": [1.0, 2.0, 3.0, 4.0]}
    columns = columns_of_nucleotides(TASKS["localisation"].training)
    dataset = Augmented([example], columns, reverse_probability=1.0, crop=2)
    assert (len(dataset[0]["sequence"]), dataset[0]["labels"]) == (2, example["labels"])
    assert truncated(example, 3, "3prime", columns) == {"sequence": "CGU", "labels": example["labels"]}
    assert columns_of_nucleotides(TASKS["reactivity"].training) == ("sequence", "labels")
    assert columns_of_nucleotides(TASKS["3d"].training) == ("sequence", "coordinates")


def test_an_example_has_another_seed_in_each_epoch_and_the_same_when_asked_again():
    dataset = Augmented([EXAMPLE, EXAMPLE])
    first = dataset[0]["seed"]
    assert dataset[0]["seed"] == first != dataset[1]["seed"]
    dataset.epoch = 1
    assert dataset[0]["seed"] != first


def test_a_window_keeps_letters_labels_and_pairs_together():
    columns = ("sequence", "labels")
    assert window(EXAMPLE, 1, 3, columns) == {"sequence": "CG", "labels": [[2.0], [3.0]], "pairs": [[0, 1]]}
    dataset = Augmented([EXAMPLE], columns, crop=2)
    drawn = []
    for epoch in range(20):
        dataset.epoch = epoch
        drawn.append(dataset[0]["sequence"])
        assert dataset[0]["sequence"] == drawn[-1]
    assert set(drawn) == {"AC", "CG", "GU"}
