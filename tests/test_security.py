"""Poisoned checkpoint folders: one line each, nothing run, nothing read from elsewhere, at once."""

import json
import os
import pickle
import re
import shutil
import struct
import time
import zipfile

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

import rna_hf
from rna_hf.checkpoints import list_checkpoints
from rna_hf.cli.main import run
from rna_hf.safety import INDEX, check_folder
from rna_hf.tokenization import RnaTokenizerFast


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
    "not a number": (weights(lambda value: torch.full_like(value, float("nan"))), "holds NaN or infinite values"),
    "list": (content("config.json", b"[1]"), "config.json must hold a JSON object, not list"),
    "deep": (content("config.json", b"[" * 100_000 + b"]" * 100_000), "config.json is nested too deeply"),
    "long": (content("config.json", b'{"a": "' + b"a" * 60_000_000 + b'"}'), "bytes, too many for such a file"),
    "huge sizes": (fields(hidden_size=10**9), "cannot be loaded"),
    "deep tokenizer": (content("tokenizer.json", b"[" * 100_000), "tokenizer.json is nested too deeply"),
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


# What plain transformers finds out by itself, in its own words.
OWN_WORDS = {"shapes", "huge sizes", "deep tokenizer"}
# What an Auto class has to read by itself, to know whose it is.
READ_BY_AUTO = {"list", "deep", "long", "link of the configuration"}


@pytest.mark.parametrize("name", sorted(set(POISON) - OWN_WORDS))
def test_from_pretrained_refuses_a_poisoned_folder(name, good, tmp_path):
    poison, message = POISON[name]
    folder = tmp_path / "poisoned"
    shutil.copytree(good, folder)
    poison(folder)
    for opener in (rna_hf.RibonanzaNetForReactivity, rna_hf.AutoModelForReactivity):
        if opener is rna_hf.AutoModelForReactivity and name in READ_BY_AUTO:
            continue
        with pytest.raises(ValueError, match=message) as error:
            opener.from_pretrained(folder)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


TOKENIZERS = {
    "deep": (content("tokenizer.json", b"[" * 100_000), "tokenizer.json is nested too deeply"),
    "list": (content("tokenizer.json", b"[1]"), "tokenizer.json must hold a JSON object, not list"),
    "empty": (content("tokenizer.json", b"{}"), "tokenizer.json is no tokenizer, which has added_tokens and a model"),
    "link": (link("tokenizer.json"), "tokenizer.json is not readable JSON"),
    "long": (content("tokenizer.json", b'{"a": "' + b"a" * 60_000_000 + b'"}'), "bytes, too many for such a file"),
    "deep options": (content("tokenizer_config.json", b"[" * 100_000), "tokenizer_config.json is nested too deeply"),
    "list of options": (content("tokenizer_config.json", b"[1]"), "tokenizer_config.json must hold a JSON object"),
    "unknown alphabet": (content("tokenizer_config.json", b'{"alphabet": "klingon"}'), "unknown alphabet 'klingon'"),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_poisoned_tokenizer_ends_in_one_line(name, good, tmp_path):
    poison, message = TOKENIZERS[name]
    folder = tmp_path / "poisoned"
    shutil.copytree(good, folder)
    poison(folder)
    for opener in (RnaTokenizerFast.from_pretrained, rna_hf.load):
        with pytest.raises(ValueError, match=message) as error:
            opener(folder)
        assert "\n" not in str(error.value)


def torch_file(value):
    return lambda path: torch.save({"encoder.weight": value()}, path)


def archive(members):
    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members.items():
                file.writestr(name, data)

    return write


ORIGINALS = {
    "pickle.pt": (lambda path: path.write_bytes(pickle.dumps(Evil(path.parent / "ran"))), "could run code"),
    "torch.pt": (lambda path: torch.save({"w": Evil(path.parent / "ran")}, path), "could run code"),
    "header.safetensors": (lambda path: path.write_bytes(struct.pack("<Q", 2**60) + b"{}"), "can't be read as a che"),
    "path.pt": (archive({"../../ran": b"x", "archive/data.pkl": b"x"}), "can't be read as a checkpoint"),
    "bomb.pt": (archive({"a/data.pkl": bytes(200_000_000), "a/version": b"3"}), "is no checkpoint"),
    "views.pt": (torch_file(lambda: torch.ones(1).expand(10**6, 10**5)), "a view that repeats its values"),
    "sparse.pt": (torch_file(lambda: torch.ones(3, 3).to_sparse()), "is no plain tensor of numbers"),
    "complex.pt": (torch_file(lambda: torch.ones(3, dtype=torch.complex64)), "is no plain tensor of numbers"),
    "whole.pt": (torch_file(lambda: torch.ones(3, dtype=torch.int8)), "is of type int8"),
    "nan.pt": (torch_file(lambda: torch.full((3,), float("nan"))), "holds NaN or infinite values"),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_poisoned_original_ends_in_one_line(name, tmp_path, capsys):
    write, message = ORIGINALS[name]
    write(tmp_path / name)
    output = tmp_path / "out"
    assert run(["convert", "rnatracker", "--checkpoint", str(tmp_path / name), "-o", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("name", ["deep.yaml", "deep.json"])
def test_a_poisoned_configuration_of_an_original(name, tmp_path, capsys):
    torch.save({"encoder.weight": torch.ones(3)}, tmp_path / "original.pt")
    (tmp_path / name).write_text("[" * 100_000)
    command = ["convert", "ribonanzanet", "--checkpoint", str(tmp_path / "original.pt"), "--config"]
    assert run([*command, str(tmp_path / name), "-o", str(tmp_path / "out")]) == 2
    assert re.fullmatch(r"rna-hf: error: config .* can't be read: maximum recursion.*\n", capsys.readouterr().err)


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
