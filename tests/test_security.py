"""Poisoned checkpoint folders: one line each, nothing run, nothing read from elsewhere, at once."""

import json
import os
import pickle
import re
import shutil
import struct
import time

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

import rna_hf
from rna_hf.checkpoints import list_checkpoints
from rna_hf.checkpoints.safety import INDEX, check_folder
from rna_hf.cli.main import run


class Evil:
    """A pickle that leaves a file where it is opened."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.system, (f"touch {self.place}",)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return tiny_models.save_tiny(tmp_path_factory.mktemp("good"))


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(folder.parent / "ran")))


def torch_pickled(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Evil(folder.parent / "ran")}, folder / "pytorch_model.bin")


def index(target):
    def poison(folder):
        (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
        names = load_file(folder.parent / "outside.safetensors")
        place = target.format(outside=folder.parent / "outside.safetensors")
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, place)}))

    return poison


def weights(change):
    def poison(folder):
        changed = {name: change(value) for name, value in load_file(folder / "model.safetensors").items()}
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})

    return poison


def content(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def fields(**values):
    def poison(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return poison


def link(name):
    def poison(folder):
        (folder / name).unlink()
        (folder / name).symlink_to("/etc/hostname")

    return poison


POISON = {
    "pickle": (pickled, r"holds its weights as a pickle \(pytorch_model\.bin\), which may run any code"),
    "pickle of torch": (torch_pickled, "holds its weights as a pickle"),
    "index to a parent": (index("../outside.safetensors"), "weights are .safetensors files in the folder itself"),
    "index to a path": (index("{outside}"), "weights are .safetensors files in the folder itself"),
    "index without map": (content(INDEX, b"{}"), "has no weight_map of names to files"),
    "index to nothing": (content(INDEX, b'{"weight_map": {"a": "b.safetensors"}}'), "lacks b.safetensors"),
    "huge header": (content("model.safetensors", struct.pack("<Q", 2**60) + b"{}"), "is no safetensors file"),
    "header beyond the end": (content("model.safetensors", struct.pack("<Q", 90_000_000)), "is no safetensors file"),
    "header no table": (content("model.safetensors", struct.pack("<Q", 2) + b"[]"), "its header is no table"),
    "header no JSON": (content("model.safetensors", struct.pack("<Q", 2) + b"{{"), "its header cannot be read"),
    "deep header": (
        content("model.safetensors", struct.pack("<Q", 100_000) + b"[" * 100_000),
        "its header cannot be read",
    ),
    "whole numbers": (weights(lambda value: value.to(torch.int8)), "holds weights of type I8"),
    "shapes": (weights(lambda value: torch.zeros(3)), r"has shape \[3\], config.json asks for"),
    "not a number": (weights(lambda value: torch.full_like(value, float("nan"))), "is not finite in float32"),
    "list": (content("config.json", b"[1]"), "config.json must hold a JSON object, not list"),
    "deep": (content("config.json", b"[" * 100_000 + b"]" * 100_000), "config.json is nested too deeply"),
    "long": (content("config.json", b'{"a": "' + b"a" * 60_000_000 + b'"}'), "bytes, too many for such a file"),
    "huge sizes": (fields(hidden_size=10**9), "cannot be loaded"),
    "deep tokenizer": (content("tokenizer.json", b"[" * 100_000), "cannot be loaded"),
    "link": (link("model.safetensors"), "is no safetensors file"),
    "link of the configuration": (link("config.json"), "is not readable JSON"),
}


@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_folder_ends_in_one_line(name, good, tmp_path, capsys):
    poison, message = POISON[name]
    folder = tmp_path / "poisoned"
    shutil.copytree(good, folder)
    poison(folder)
    started = time.monotonic()
    output = tmp_path / "out"
    assert run(["predict", "reactivity", "GGGAAACUCC", "-o", str(output), "--model", str(folder), "--quiet"]) in (1, 2)
    assert time.monotonic() - started < 60
    last = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rna-hf: ")]
    assert len(last) == 1
    assert re.search(message, last[0])
    assert not (tmp_path / "ran").exists()
    assert not (output / "predictions.parquet").exists()


@pytest.mark.parametrize("name", ["pickle", "index to a path", "whole numbers"])
def test_load_and_finetune_refuse_it_too(name, good, tmp_path, capsys):
    poison, message = POISON[name]
    folder = tmp_path / "poisoned"
    shutil.copytree(good, folder)
    poison(folder)
    with pytest.raises(ValueError, match=message):
        rna_hf.load(folder)
    rows = [{"sequence": "GGGAAACUCC" * 2, "labels": [[0.1, 0.2]] * 20}] * 8
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["finetune", "--task", "reactivity", "--model", str(folder), "--train_file", str(tmp_path / "t.jsonl")]
    options = ["--output_dir", str(tmp_path / "run"), "--max_steps", "1", "--split", "random", "--use_cpu", "true"]
    assert run([*command, *options, "--validation_fraction", "0.25"]) == 2
    assert "checkpoint 'poisoned'" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_code_beside_a_checkpoint_is_not_run(good, tmp_path):
    folder = tmp_path / "poisoned"
    shutil.copytree(good, folder)
    fields(auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"})(folder)
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    assert len(rna_hf.predict("GGGAAACUCC", model=folder)) == 1
    assert not (tmp_path / "ran").exists()


def test_a_good_folder_passes(good):
    check_folder(good)
    for checkpoint in list_checkpoints():
        check_folder(checkpoint.path)
