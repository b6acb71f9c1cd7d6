"""Folders as PlantRNA-FM was published become ours and go back."""

import json

import pytest
import torch
from safetensors.torch import load_file
from test_modeling_plantrna_fm import MASK, batch, esm, save_published
from transformers import AutoTokenizer, EsmForMaskedLM

from rna_hf import PlantRnaFmForMaskedLM
from rna_hf.cli.main import run


@pytest.fixture
def published(tmp_path):
    return save_published(esm(), tmp_path / "published")


def convert(folder, output, *options):
    return run(["convert", "plantrna_fm", "--checkpoint", str(folder), "-o", str(output), *options])


def test_there_and_back(published, tmp_path, capsys):
    assert convert(published, tmp_path / "ours") == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert tokenizer("ACGT").input_ids == [0, 4, 5, 6, 7, 2]
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["converted_from"] == "PlantRNA-FM"
    assert run(["check", str(tmp_path / "ours")]) == 0
    assert convert(tmp_path / "ours", tmp_path / "back", "--to", "published") == 0
    theirs = EsmForMaskedLM.from_pretrained(published).eval()
    back, info = EsmForMaskedLM.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    known = dict(theirs.named_parameters())
    assert all(torch.equal(parameter, known[name]) for name, parameter in back.named_parameters())
    assert convert(tmp_path / "ours", tmp_path / "ours") == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err


def test_weights_in_a_pickle(published, tmp_path):
    torch.save(load_file(published / "model.safetensors"), published / "pytorch_model.bin")
    expected = PlantRnaFmForMaskedLM.from_pretrained(published)
    (published / "model.safetensors").unlink()
    opened = PlantRnaFmForMaskedLM.from_pretrained(published)
    assert all(torch.equal(one, other) for one, other in zip(expected.parameters(), opened.parameters()))
    assert convert(published, tmp_path / "ours", "--t-as-u", "--set", "fix_mask_token=false") == 0
    assert AutoTokenizer.from_pretrained(tmp_path / "ours")("ACGT").input_ids == [0, 4, 5, 6, 9, 2]
    ids, mask = batch()
    ours = PlantRnaFmForMaskedLM.from_pretrained(tmp_path / "ours")
    opened.config.fix_mask_token = False
    assert torch.equal(ours(ids, attention_mask=mask).logits, opened(ids, attention_mask=mask).logits)
    assert ours.config.dropped_token_id != MASK


def test_omnigenomes_layout(published, tmp_path):
    content = json.loads((published / "config.json").read_text())
    (published / "config.json").write_text(json.dumps(content | {"model_type": "omnigenome"}))
    model = PlantRnaFmForMaskedLM.from_pretrained(published)
    assert model.config.converted_from == "OmniGenome"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "vocab.txt").unlink(), "has no vocab.txt"),
        (lambda f: (f / "vocab.txt").write_text("A\nC\n"), "is not the published vocabulary of 24 tokens"),
        (lambda f: (f / "model.safetensors").unlink(), "has neither of model.safetensors and pytorch_model.bin"),
        (lambda f: edit(f, hidden_size=64), "has shape"),
        (lambda f: edit(f, num_hidden_layers=3), "lacks 16 tensors that its configuration needs"),
        (lambda f: edit(f, num_attention_heads=5), "describe no valid model: hidden_size 32 is not a multiple"),
        (lambda f: edit(f, model_type="bert"), "is not of the published layout"),
        (lambda f: edit(f, hidden_size="x"), "has no whole number 'hidden_size'"),
    ],
)
def test_what_is_refused(spoil, message, published, tmp_path, capsys):
    spoil(published)
    assert convert(published, tmp_path / "ours") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "ours").exists()


def edit(folder, **fields):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | fields))
