"""`rna-hf finetune`: each task from a table to a checkpoint, resumed runs, LoRA, and what is refused."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

import rna_hf
from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, RnaTokenizerFast
from rna_hf.cli.main import run
from rna_hf.training.finetune import Augmented, window

HEADS = {
    "reactivity": "Reactivity",
    "degradation": "Degradation",
    "dropout": "SequenceDropout",
    "structure": "SecondaryStructure",
    "3d": "TertiaryStructure",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny checkpoint to start from."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = RibonanzaNetConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        pair_hidden_size=8,
        outer_product_size=4,
        fix_attention_mask=True,
    )
    RibonanzaNetForReactivity(config).save_pretrained(folder)
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(folder)
    return folder


def write_table(path, task, count=24):
    rng, letters = np.random.default_rng(0), random.Random(0)
    rows = []
    for index in range(count):
        length = int(rng.integers(10, 24))
        row = {"id": str(index), "sequence": "".join(letters.choice("ACGU") for _ in range(length))}
        if task == "structure":
            row["pairs"] = [[0, length - 1], [1, length - 2]]
        elif task == "3d":
            row["coordinates"] = np.cumsum(rng.normal(size=(length, 3)) * 4, axis=0).tolist()
        elif task == "dropout":
            row["labels"] = rng.integers(1, 500, 2).astype(float).tolist()
        else:
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


@pytest.mark.parametrize("task", HEADS)
def test_each_task_from_a_table_to_a_checkpoint(task, base, tmp_path):
    table = write_table(tmp_path / "table.parquet", task)
    output = tmp_path / "run"
    assert run(arguments(task, base, table, output, test_file=table)) == 0
    scores = json.loads((output / "scores.json").read_text())
    assert {"eval_loss", "test_loss"} <= set(scores)
    assert all(np.isfinite(value) for value in scores.values())
    model = getattr(rna_hf, f"AutoModelFor{HEADS[task]}").from_pretrained(output)
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert torch.isfinite(model(**tokenizer("GGGAAACCC", return_tensors="pt"))[0]).all()
    assert "test_loss" in (output / "README.md").read_text()


def losses(output):
    state = json.loads(
        max(output.glob("checkpoint-*"), key=lambda p: int(p.name[11:])).joinpath("trainer_state.json").read_text()
    )
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def test_a_resumed_run_has_the_same_losses(base, tmp_path):
    table = write_table(tmp_path / "table.parquet", "reactivity")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    schedule = {"lr_scheduler_type": "constant", "reverse_probability": 0.5}
    assert run(arguments("reactivity", base, table, whole, **schedule)) == 0
    assert run(arguments("reactivity", base, table, parted, **schedule | {"max_steps": 2})) == 0
    assert run(arguments("reactivity", base, table, parted, **schedule)) == 0
    assert losses(parted) == pytest.approx(losses(whole), abs=1e-6)
    assert len(losses(whole)) == 4


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


@pytest.mark.parametrize("task", ["degradation", "structure", "3d"])
def test_lora_trains_adapters_and_merges_them(task, base, tmp_path):
    pytest.importorskip("peft")
    table = write_table(tmp_path / "table.parquet", task)
    assert run(arguments(task, base, table, tmp_path / "run", lora_rank=2)) == 0
    model = getattr(rna_hf, f"AutoModelFor{HEADS[task]}").from_pretrained(tmp_path / "run")
    start = RibonanzaNetForReactivity.from_pretrained(base)
    assert not torch.equal(model.model.layers[0].up_proj.weight, start.model.layers[0].up_proj.weight)
    assert torch.equal(model.model.layers[0].conv.weight, start.model.layers[0].conv.weight)


def test_ranger(base, tmp_path):
    pytest.importorskip("pytorch_optimizer")
    table = write_table(tmp_path / "table.parquet", "reactivity")
    assert run(arguments("reactivity", base, table, tmp_path / "run", optimizer="ranger")) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "folding"}, "task is 'folding': choose one of"),
        ({"train_file": "nowhere.parquet"}, "nowhere.parquet does not exist"),
        ({"data_format": "excel"}, "data_format is 'excel'"),
        ({"task": "structure"}, "lacks the column 'pairs'"),
        ({"optimizer": "sgd9"}, "optimizer is 'sgd9'"),
        ({"min_length": 500}, "holds no RNA of 500"),
        ({"config": "{"}, "config is not JSON"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_refused(change, message, base, tmp_path, capsys):
    table = write_table(tmp_path / "table.parquet", "reactivity")
    command = arguments(change.get("task", "reactivity"), base, table, tmp_path / "run", **change)
    assert run(command) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "package"), [({"lora_rank": 2}, "peft"), ({"optimizer": "ranger"}, "pytorch-optimizer")], ids=str
)
def test_a_missing_extra_is_named(option, package, base, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    table = write_table(tmp_path / "table.parquet", "reactivity")
    assert run(arguments("reactivity", base, table, tmp_path / "run", **option)) == 1
    message = capsys.readouterr().err
    assert f"needs the package {package}: pip install 'rna-hf[train]'" in message
    assert "please report" not in message


EXAMPLE = {"sequence": "ACGU", "labels": [[1.0], [2.0], [3.0], [4.0]], "pairs": [[0, 3], [1, 2]]}


def test_reading_backwards_turns_labels_too():
    turned = {"sequence": "UGCA", "labels": [[4.0], [3.0], [2.0], [1.0]], "pairs": [[0, 3], [1, 2]]}
    assert Augmented([EXAMPLE], reverse_probability=1.0)[0] == turned
    assert Augmented([EXAMPLE])[0] == EXAMPLE
    example = {"sequence": "ACG", "pairs": [[0, 1]], "labels": 2}
    assert Augmented([example], reverse_probability=1.0)[0] == {"sequence": "GCA", "pairs": [[1, 2]], "labels": 2}


def test_a_window_keeps_letters_labels_and_pairs_together():
    assert window(EXAMPLE, 1, 3) == {"sequence": "CG", "labels": [[2.0], [3.0]], "pairs": [[0, 1]]}
    dataset = Augmented([EXAMPLE], crop=2)
    drawn = []
    for epoch in range(20):
        dataset.epoch = epoch
        drawn.append(dataset[0]["sequence"])
        assert dataset[0]["sequence"] == drawn[-1]
    assert set(drawn) == {"AC", "CG", "GU"}
