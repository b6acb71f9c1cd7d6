"""Conversion of the original's checkpoints: every format it comes in, every way it can be broken."""

import argparse
import json
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

import rna_hf
from rna_hf import AutoModelForReactivity, RibonanzaNetForReactivity, RibonanzaNetModel, convert_ribonanzanet
from rna_hf.cli.convert import parse_setting
from rna_hf.cli.main import run

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def original(tmp_path):
    """Weights, configuration and their files, as the original's authors have them."""
    weights = load_file(GOLDEN / "ribonanzanet_notri_weights.safetensors")
    config = json.loads((GOLDEN / "ribonanzanet_notri_weights.json").read_text())["config"]
    config |= {"learning_rate": 0.001, "batch_size": 2}  # keys of the recipe stand in the same file
    checkpoint, config_file = tmp_path / "RibonanzaNet.pt", tmp_path / "pairwise.yaml"
    torch.save(weights, checkpoint)
    config_file.write_text(yaml.safe_dump(config))
    return weights, config, checkpoint, config_file


def _golden_logits(model):
    golden = load_file(GOLDEN / "ribonanzanet_notri_unpadded.safetensors")
    with torch.no_grad():
        difference = (model(golden["input_ids"]).logits - golden["output"]).abs().max()
    return float(difference)


@pytest.mark.parametrize("form", ["pt", "pt under model", "safetensors", "distributed", "json config"])
def test_every_form_of_checkpoint(original, tmp_path, form):
    weights, config, checkpoint, config_file = original
    if form == "pt under model":
        torch.save({"model": weights, "epoch": 3}, checkpoint)
    elif form == "safetensors":
        checkpoint = tmp_path / "weights.safetensors"
        save_file(weights, checkpoint)
    elif form == "distributed":
        torch.save({f"module.{name}": tensor for name, tensor in weights.items()}, checkpoint)
    elif form == "json config":
        config_file = tmp_path / "config.json"
        config_file.write_text(json.dumps(config))
    folder = convert_ribonanzanet(checkpoint, config_file, tmp_path / "out")
    model = AutoModelForReactivity.from_pretrained(folder)
    assert isinstance(model, RibonanzaNetForReactivity)
    assert _golden_logits(model) < 1e-5
    embedding = model.get_input_embeddings().weight
    assert torch.equal(embedding[:5], weights["encoder.weight"])
    assert embedding.shape[0] == 9
    assert (embedding[5:] == 0).all()
    assert AutoTokenizer.from_pretrained(folder)("ACGUN").input_ids == [0, 1, 2, 3, 5]


def test_command_line_with_settings(original, tmp_path, capsys):
    _, _, checkpoint, config_file = original
    output = tmp_path / "out"
    settings = ["fix_attention_mask=true", "padding_quirk=bool", "channels=SHAPE,DMS"]
    arguments = ["--checkpoint", str(checkpoint), "--config", str(config_file), "--output", str(output)]
    code = run(["convert", "ribonanzanet", *arguments, *(part for s in settings for part in ("--set", s))])
    assert code == 0
    assert str(output) in capsys.readouterr().out
    config = rna_hf.RibonanzaNetConfig.from_pretrained(output)
    assert config.fix_attention_mask is True
    assert config.padding_quirk == "bool"
    assert config.channels == ["SHAPE", "DMS"]


def test_heads(original, tmp_path):
    weights, config, checkpoint, config_file = original
    base = {name: tensor for name, tensor in weights.items() if not name.startswith("decoder")}
    torch.save(base, checkpoint)
    folder = convert_ribonanzanet(checkpoint, config_file, tmp_path / "base")
    assert isinstance(AutoModel.from_pretrained(folder), RibonanzaNetModel)
    five = base | {"decoder.weight": torch.randn(5, 32), "decoder.bias": torch.randn(5)}
    torch.save(five, checkpoint)
    config_file.write_text(yaml.safe_dump({k: v for k, v in config.items() if k != "nclass"}))
    folder = convert_ribonanzanet(checkpoint, config_file, tmp_path / "five")
    assert AutoModelForReactivity.from_pretrained(folder).config.channels == [f"channel_{i}" for i in range(1, 6)]
    with pytest.raises(ValueError, match="head 'degradation' is unknown"):
        convert_ribonanzanet(checkpoint, config_file, tmp_path / "other", head="degradation")


class _Code:
    def __reduce__(self):
        return print, ("this must never run",)


def _break_missing(weights, checkpoint, config_file):
    torch.save({k: v for k, v in weights.items() if "transformer_encoder.1.conv" not in k}, checkpoint)


def _break_unexpected(weights, checkpoint, config_file):
    torch.save(weights | {"ct_predictor.weight": torch.zeros(1, 16)}, checkpoint)


def _break_shape(weights, checkpoint, config_file):
    torch.save(weights | {"transformer_encoder.0.linear1.weight": torch.zeros(64, 32)}, checkpoint)


def _break_pickle(weights, checkpoint, config_file):
    checkpoint.write_bytes(pickle.dumps({"model": _Code()}))


def _break_code_in_torch_file(weights, checkpoint, config_file):
    torch.save({"model": weights, "extra": _Code()}, checkpoint)


def _break_truncated(weights, checkpoint, config_file):
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])


def _break_empty(weights, checkpoint, config_file):
    checkpoint.write_bytes(b"")


def _break_text(weights, checkpoint, config_file):
    checkpoint.write_text("hello")


def _break_names(weights, checkpoint, config_file):
    torch.save({1: torch.zeros(2)}, checkpoint)


def _break_nan(weights, checkpoint, config_file):
    torch.save(weights | {"decoder.bias": torch.tensor([float("nan"), 0.0])}, checkpoint)


def _break_list(weights, checkpoint, config_file):
    torch.save([1, 2], checkpoint)


def _break_no_file(weights, checkpoint, config_file):
    checkpoint.unlink()


def _break_no_config(weights, checkpoint, config_file):
    config_file.unlink()


def _break_config_key(weights, checkpoint, config_file):
    config_file.write_text("nlayers: 3\nnhead: 4\nk: 5\npairwise_dimension: 16\n")


def _break_config_syntax(weights, checkpoint, config_file):
    config_file.write_text("ninp: [32\n")


def _break_config_layers(weights, checkpoint, config_file):
    config_file.write_text(config_file.read_text().replace("nlayers: 3", "nlayers: 2"))


def _break_config_even(weights, checkpoint, config_file):
    config_file.write_text(config_file.read_text().replace("k: 5", "k: 4"))


def _break_config_classes(weights, checkpoint, config_file):
    config_file.write_text(config_file.read_text().replace("nclass: 2", "nclass: 3"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_break_missing, "2 tensors are missing (transformer_encoder.1.conv.bias"),
        (_break_unexpected, "1 are not expected (ct_predictor.weight)"),
        (_break_shape, "linear1.weight gives shape (64, 32), the config needs (128, 32)"),
        (_break_pickle, "could run code"),
        (_break_code_in_torch_file, "could run code"),
        (_break_truncated, "can't be read as a checkpoint"),
        (_break_empty, "can't be read as a checkpoint"),
        (_break_text, "can't be read as a checkpoint"),
        (_break_names, "is not a state dict"),
        (_break_nan, "decoder.bias holds NaN"),
        (_break_list, "is not a state dict"),
        (_break_no_file, "does not exist"),
        (_break_no_config, "does not exist"),
        (_break_config_key, "lacks ninp"),
        (_break_config_syntax, "can't be read"),
        (_break_config_layers, "are not expected (transformer_encoder.2."),
        (_break_config_even, "it must be odd"),
        (_break_config_classes, "says nclass 3, but decoder.weight has 2 rows"),
    ],
)
def test_broken_files_give_one_clear_line_and_leave_nothing(original, tmp_path, capsys, damage, message):
    weights, _, checkpoint, config_file = original
    damage(weights, checkpoint, config_file)
    before = sorted(tmp_path.iterdir())
    arguments = ["--checkpoint", str(checkpoint), "--config", str(config_file), "--output", str(tmp_path / "out")]
    code = run(["convert", "ribonanzanet", *arguments])
    captured = capsys.readouterr()
    assert code == 2
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert "this must never run" not in captured.out
    assert sorted(tmp_path.iterdir()) == before


def test_channels_are_names_as_they_stand():
    assert parse_setting("channels=deg") == ("channels", ["deg"])
    assert parse_setting("channels=1, no") == ("channels", ["1", "no"])
    assert parse_setting("label_range=[0, 1]") == ("label_range", [0, 1])
    assert rna_hf.RibonanzaNetConfig(label_range=[0, 1]).label_range == [0, 1]
    for text in ("channels", "=1", "a=[1"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_setting(text)


def test_settings_are_checked(original, tmp_path):
    _, _, checkpoint, config_file = original
    with pytest.raises(ValueError, match="'fix_attention_masc' is not a field"):
        convert_ribonanzanet(checkpoint, config_file, tmp_path / "out", {"fix_attention_masc": True})
    with pytest.raises(ValueError, match="3 channels are named, but the decoder has 2 columns"):
        convert_ribonanzanet(checkpoint, config_file, tmp_path / "out", {"channels": ["a", "b", "c"]})
    with pytest.raises(ValueError, match="padding_quirk"):
        convert_ribonanzanet(checkpoint, config_file, tmp_path / "out", {"padding_quirk": "int"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        convert_ribonanzanet(checkpoint, config_file, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
