"""A new architecture and a new task touch no file of the package: those in `toy.py` are used like any other."""

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import toy
from fresh_process import run_python
from transformers import AutoModel, AutoTokenizer, pipeline

import rna_hf
from rna_hf.cli.main import run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def registered():
    toy.register()
    yield
    toy.unregister()


def random_sequences(count):
    generator = random.Random(0)
    return ["".join(generator.choices("ACGU", k=generator.randint(20, 40))) for _ in range(count)]


def purines(sequence):
    return sum(letter in "AG" for letter in sequence) / len(sequence)


@pytest.fixture
def table(tmp_path):
    sequences = random_sequences(64)
    path = tmp_path / "purines.jsonl"
    rows = [{"sequence": sequence, "labels": [purines(sequence)]} for sequence in sequences]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fine_tune(table, output, **options):
    settings = {
        "task": "purines",
        "model": "toy",
        "from_scratch": True,
        "train_file": table,
        "output_dir": output,
        "max_steps": 60,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 16,
        "split": "random",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    } | options
    return run(["finetune", *(part for name, value in settings.items() for part in (f"--{name}", str(value)))])


def test_from_a_table_to_predictions(table, tmp_path, capsys):
    assert fine_tune(table, tmp_path / "model") == 0
    scores = json.loads((tmp_path / "model" / "scores.json").read_text())
    assert scores["eval_pearson"] > 0.9
    card = (tmp_path / "model" / "README.md").read_text()
    assert "AutoModelForPurines" in card

    model, info = rna_hf.AutoModelForPurines.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert type(model) is toy.ToyForPurines
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(AutoModel.from_pretrained(tmp_path / "model")) is toy.ToyModel
    assert len(AutoTokenizer.from_pretrained(tmp_path / "model")("ACGU").input_ids) == 4

    sequences = random_sequences(5)
    rows = rna_hf.predict(sequences, task="purines", model=tmp_path / "model")
    found = [row["purines"] for row in rows]
    assert np.corrcoef(found, [purines(sequence) for sequence in sequences])[0, 1] > 0.9
    named = pipeline("rna-purines", model=str(tmp_path / "model"))(sequences, batch_size=5, percent=True)
    assert [one["purines"] / 100 for one in named] == pytest.approx(found, abs=1e-5)

    capsys.readouterr()
    file = tmp_path / "in.fa"
    file.write_text("".join(f">{number}\n{sequence}\n" for number, sequence in enumerate(sequences)))
    options = ["--model", str(tmp_path / "model"), "--percent", "--quiet"]
    assert run(["predict", "purines", str(file), "-o", str(tmp_path / "out"), *options]) == 0
    assert capsys.readouterr() == ("", "")
    column = pd.read_parquet(tmp_path / "out" / "predictions.parquet")["purines"]
    np.testing.assert_allclose(column / 100, found, atol=1e-5)


def test_adapters(table, tmp_path):
    assert fine_tune(table, tmp_path / "model", lora_rank=2, max_steps=2) == 0
    assert rna_hf.AutoModelForPurines.from_pretrained(tmp_path / "model").config.model_type == "toy"


def test_a_head_that_others_have(tmp_path):
    """`predict reactivity` takes the new architecture, whose own file says no more than which head it has."""
    torch.manual_seed(0)
    toy.ToyForReactivity(toy.ToyConfig()).save_pretrained(tmp_path)
    rna_hf.RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(tmp_path)
    sequences = random_sequences(3)
    together = rna_hf.predict(sequences, model=tmp_path)
    alone = [rna_hf.predict(sequence, model=tmp_path)[0] for sequence in sequences]
    for one, other in zip(together, alone):
        np.testing.assert_allclose(one["reactivity_DMS"], other["reactivity_DMS"], atol=1e-5)


def test_help(capsys):
    assert run(["predict", "--help"]) == 0
    assert "purines       share of purines of each RNA" in capsys.readouterr().out
    assert run(["predict", "purines", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--percent" in shown
    assert "--samples" not in shown
    assert "--plot" not in shown
    assert run(["predict", "structure", "ACGU", "-o", "x", "--percent"]) == 2
    assert "'--percent' is no option of `rna-hf predict structure`, but of purines" in capsys.readouterr().err
    assert run(["finetune", "--task", "purine"]) == 2
    assert "masked-lm, purines" in capsys.readouterr().err


def test_names_of_the_package():
    assert rna_hf.PurinesPipeline.__doc__ == toy.PurinesPrediction.describe.__doc__
    assert rna_hf.ToyForPurines is toy.ToyForPurines
    assert "ToyConfig" in dir(rna_hf)
    with pytest.raises(AttributeError):
        _ = rna_hf.ToyForSomethingElse


def test_no_file_of_the_package_knows_of_them():
    texts = {path: path.read_text(encoding="utf-8").lower() for path in (ROOT / "src").rglob("*.py")}
    assert len(texts) > 100
    assert not [path for path, text in texts.items() if "purine" in text or "toy" in text.split()]


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="reads the memory of a process as Linux tells it"
)
def test_the_stated_cost_is_near_the_measured_one():
    """For a plain encoder with fused attention, whose memory grows with the length."""
    code = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import toy
from benchmarks.speed.forward_cost import measure_pass
length = int(sys.argv[1])
model = toy.ToyForReactivity(toy.ToyConfig()).eval()
print(model.config.forward_cost(1, length, 4) / measure_pass(model, length))
"""
    for length in (6_000, 12_000, 24_000):
        ratio = float(run_python(code, str(length)).stdout)
        print(length, ratio)
        assert 1 / 1.3 <= ratio <= 1.3
