"""Exported programs give what the model gives, for every head, at other shapes, without this package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_models
import torch

import rna_hf
from rna_hf.cli import export as command
from rna_hf.cli.main import run
from rna_hf.hub import export as exporting
from rna_hf.models.registry import ARCHITECTURES
from rna_hf.tokenization import RnaTokenizerFast

CLASSES = [
    (architecture.name, kind)
    for architecture in ARCHITECTURES.values()
    for kind in ["Model", *(f"For{head}" for head in architecture.heads)]
]
# One of each architecture is exported in the quick tests; each takes seconds.
QUICK = {("ribonanzanet", "ForReactivity"), ("rnatracker", "ForLocalisation")}


def need(to):
    if to == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason="the extra `export` is missing")


def save(folder, name, kind, **options):
    architecture = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = architecture.find_class(kind)(architecture.find_class("Config")(**(tiny_models.SIZES[name] | options)))
    model.save_pretrained(folder)
    RnaTokenizerFast(alphabet=architecture.alphabet).save_pretrained(folder)
    return model.eval()


def open_program(folder, to):
    path = folder / exporting.FILES[to]
    return exporting._open_onnx(path) if to == "onnx" else exporting._open_program(path)


@pytest.mark.parametrize("to", exporting.FILES)
@pytest.mark.parametrize(
    ("name", "kind"), [pytest.param(*one, marks=() if one in QUICK else pytest.mark.slow) for one in CLASSES]
)
def test_every_class_is_exported(name, kind, to, tmp_path):
    need(to)
    model = save(tmp_path / "model", name, kind)
    folder = exporting.export(tmp_path / "model", tmp_path / "out", to)
    description = json.loads((folder / "export.json").read_text())
    program = open_program(folder, to)
    tokenizer = RnaTokenizerFast.from_pretrained(tmp_path / "model")
    shortest = description["min_sequence_length"]
    assert 0 <= shortest - model.config.min_sequence_length < 10
    for lengths in ((shortest + 3,), (shortest + 50, shortest, shortest + 9), (max(64, 2 * shortest),) * 2):
        batch = tokenizer(["GACU" * length for length in lengths], padding=True, return_tensors="pt")
        batch = {key: value[:, : max(lengths)] for key, value in batch.items()}
        batch["attention_mask"] = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        with torch.no_grad():
            expected = model(batch["input_ids"], batch["attention_mask"])
        found = dict(zip(description["outputs"], program(batch["input_ids"], batch["attention_mask"]), strict=True))
        assert set(found) == {key for key, value in expected.items() if isinstance(value, torch.Tensor)}
        for key, values in found.items():
            np.testing.assert_allclose(values, expected[key], atol=1e-5, rtol=1e-5)
    assert description["model_class"] == type(model).__name__
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["config.json", "export.json", "tokenizer.json", "tokenizer_config.json", exporting.FILES[to]]
    )


def test_quirks_are_exported_as_they_are(tmp_path):
    model = save(tmp_path / "model", "rnatracker", "ForLocalisation", mask_padding=False)
    folder = exporting.export(tmp_path / "model", tmp_path / "out", "torch-export")
    assert json.loads((folder / "export.json").read_text())["same_alone_and_padded"] is False
    ids = torch.randint(0, 4, (3, model.config.min_sequence_length + 30))
    mask = torch.ones_like(ids)
    mask[1, -8:] = 0
    with torch.no_grad():
        expected = model(ids, mask).logits
    np.testing.assert_allclose(open_program(folder, "torch-export")(ids, mask)[0], expected, atol=1e-5)


ALONE = """
import json, sys
import numpy, onnxruntime, tokenizers
folder = sys.argv[1]
tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
ids = numpy.array([tokenizer.encode(sys.argv[2]).ids])
values = session.run(["logits"], {"input_ids": ids, "attention_mask": numpy.ones_like(ids)})[0]
assert not {"torch", "transformers", "rna_hf"} & set(sys.modules)
print(json.dumps(values[0].tolist()))
"""


def test_a_shipped_model_runs_without_torch_and_transformers(tmp_path, capsys):
    need("onnx")
    folder = tmp_path / "out"
    assert run(["export", "ribonanzanet-mini", "--to", "onnx", "-o", str(folder)]) == 0
    assert capsys.readouterr().out == f"wrote {folder}; run at four shapes and compared with the model\n"
    sequence = "GGGAAACGCUUCGGCGUAAACCCGGGAAACGCUUCGG"
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, folder, sequence], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (row,) = rna_hf.predict(sequence, model="ribonanzanet-mini")
    np.testing.assert_allclose(np.array(json.loads(done.stdout))[:, 0], row["reactivity_2A3"], atol=1e-5)


def test_what_can_not_be_exported_says_so(tmp_path, capsys):
    output = tmp_path / "out"
    assert run(["export", "ribonanzanet-mini-3d", "--to", "torch-export", "-o", str(output)]) == 2
    error = capsys.readouterr().err
    assert "can't be exported: its 3D head decodes a secondary structure" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert run(["export", "ribonanzanet-mini", "--to", "tflite", "-o", str(output)]) == 2
    output.mkdir()
    (output / "mine.txt").touch()
    assert run(["export", "ribonanzanet-mini", "--to", "onnx", "-o", str(output)]) == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err
    assert set(command.FORMATS) == set(exporting.FILES)


def test_a_program_that_gives_something_else_is_not_written(tmp_path, monkeypatch):
    save(tmp_path / "model", "rnatracker", "ForLocalisation")
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(FloatingPointError, match="gives another logits than the model for 1 seq"):
        exporting.export(tmp_path / "model", tmp_path / "out", "torch-export")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"onnx and onnxscript and onnxruntime: pip install 'rna-hf\[export\]'"):
        exporting.export("ribonanzanet-mini", tmp_path / "out", "onnx")
