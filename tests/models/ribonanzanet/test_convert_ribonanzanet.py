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
from rna_hf.hub.golden import check_golden
from rna_hf.models.ribonanzanet.convert_ribonanzanet_to_original import convert_ribonanzanet_to_original

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
    four = base | {"decoder.weight": torch.randn(4, 32), "decoder.bias": torch.randn(4)}
    torch.save(four, checkpoint)
    config_file.write_text(yaml.safe_dump({k: v for k, v in config.items() if k != "nclass"}))
    folder = convert_ribonanzanet(checkpoint, config_file, tmp_path / "four")
    assert AutoModelForReactivity.from_pretrained(folder).config.channels == [f"channel_{i}" for i in range(1, 5)]
    with pytest.raises(ValueError, match="head 'folding' is unknown"):
        convert_ribonanzanet(checkpoint, config_file, tmp_path / "other", head="folding")


class _Code:
    def __reduce__(self):
        return print, ("this must never run",)


def _break_missing(weights, checkpoint, config_file):
    torch.save({k: v for k, v in weights.items() if "transformer_encoder.1.conv" not in k}, checkpoint)


def _break_unexpected(weights, checkpoint, config_file):
    torch.save(weights | {"pair_predictor.weight": torch.zeros(1, 16)}, checkpoint)


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
        (_break_unexpected, "1 are not expected (pair_predictor.weight)"),
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
    assert parse_setting("channels=deg", ["channels"]) == ("channels", ["deg"])
    assert parse_setting("channels=1, no", ["channels"]) == ("channels", ["1", "no"])
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


def _fine_tuned(original, kind):
    """The weights as the original's fine-tunes save them: with a predictor of their own or another decoder."""
    weights, config, checkpoint, _ = original
    generator = torch.Generator().manual_seed(4)
    hidden, pair = config["ninp"], config["pairwise_dimension"]
    weights = dict(weights)

    def linear(name, rows, columns):
        weights[f"{name}.weight"] = torch.randn(rows, columns, generator=generator)
        weights[f"{name}.bias"] = torch.randn(rows, generator=generator)

    if kind == "structure":
        linear("ct_predictor", 1, pair)
    elif kind == "3d":
        linear("xyz_predictor", 3, hidden)
    elif kind in ("degradation", "3d in the decoder", "four"):
        linear("decoder", {"degradation": 5, "3d in the decoder": 3, "four": 4}[kind], hidden)
    torch.save(weights, checkpoint)
    return weights


def _without_classes(original):
    """The original's configuration without the number of classes, which a fine-tune overrides in code."""
    _, config, _, config_file = original
    config_file.write_text(yaml.safe_dump({key: value for key, value in config.items() if key != "nclass"}))
    return config_file


class TestFineTunedOriginals:
    IDS = torch.tensor([[2, 2, 0, 0, 3, 1, 1]])

    def convert(self, original, kind, output, **options):
        weights = _fine_tuned(original, kind)
        folder = convert_ribonanzanet(original[2], _without_classes(original), output, **options)
        assert len(check_golden(folder)) == 4
        return weights, folder

    def test_structure_is_recognised_and_keeps_the_decoder_as_reactivity(self, original, tmp_path):
        weights, folder = self.convert(original, "structure", tmp_path / "out")
        model = rna_hf.AutoModelForSecondaryStructure.from_pretrained(folder)
        with torch.no_grad():
            found = model(self.IDS, output_pair_states=True)
            pair_state = found.pair_states[-1]
            symmetric = pair_state + pair_state.transpose(1, 2)
            expected = symmetric @ weights["ct_predictor.weight"][0] + weights["ct_predictor.bias"]
        torch.testing.assert_close(found.logits, expected, atol=1e-4, rtol=1e-5)
        assert model.config.predict_reactivity
        assert found.reactivity.shape == (1, 7, 2)
        assert torch.equal(model.reactivity_head.weight, weights["decoder.weight"])

    def test_coordinates_are_recognised_and_leave_the_decoder(self, original, tmp_path):
        weights, folder = self.convert(original, "3d", tmp_path / "out")
        model = rna_hf.AutoModelForTertiaryStructure.from_pretrained(folder)
        assert torch.equal(model.coordinate_head.weight, weights["xyz_predictor.weight"])
        assert model(self.IDS).coordinates.shape == (1, 7, 3)

    def test_five_columns_are_degradation(self, original, tmp_path):
        weights, folder = self.convert(original, "degradation", tmp_path / "out")
        model = rna_hf.AutoModelForDegradation.from_pretrained(folder)
        assert model.config.degradation_targets[0] == "reactivity"
        assert torch.equal(model.degradation_head.weight, weights["decoder.weight"])

    def test_what_columns_cannot_tell_is_named(self, original, tmp_path):
        _, folder = self.convert(original, "reads", tmp_path / "reads", head="dropout")
        assert rna_hf.AutoModelForSequenceDropout.from_pretrained(folder)(self.IDS).read_counts.shape == (1, 2)
        _, folder = self.convert(original, "3d in the decoder", tmp_path / "3d", head="3d")
        assert rna_hf.AutoModelForTertiaryStructure.from_pretrained(folder)(self.IDS).coordinates.shape == (1, 7, 3)
        _, folder = self.convert(original, "four", tmp_path / "four")
        assert AutoModelForReactivity.from_pretrained(folder).config.channels == [f"channel_{i}" for i in range(1, 5)]
        with pytest.raises(ValueError, match="the decoder has 4 columns, but head '3d' has 3 coordinates"):
            self.convert(original, "four", tmp_path / "wrong", head="3d")
        with pytest.raises(ValueError, match="ct_predictor"):
            self.convert(original, "3d", tmp_path / "wrong", head="structure")


class TestToOriginal:
    @pytest.mark.parametrize("triangular", ["notri", "tri"])
    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            ("reactivity", "reactivity"),
            ("reactivity", "four"),
            ("degradation", "degradation"),
            ("dropout", "reads"),
            ("structure", "structure"),
            ("3d", "3d"),
            ("none", "base"),
        ],
    )
    def test_round_trip_is_equal_bit_for_bit(self, tmp_path, head, kind, triangular):
        weights = load_file(GOLDEN / f"ribonanzanet_{triangular}_weights.safetensors")
        config = json.loads((GOLDEN / f"ribonanzanet_{triangular}_weights.json").read_text())["config"]
        files = weights, config, tmp_path / "RibonanzaNet.pt", tmp_path / "pairwise.yaml"
        weights = _fine_tuned(files, kind)
        if head in ("3d", "none"):
            # The 3D fine-tune doesn't use the decoder that it inherits, and ours leaves it out.
            weights = {name: tensor for name, tensor in weights.items() if not name.startswith("decoder.")}
        torch.save(weights, files[2])
        folder = convert_ribonanzanet(files[2], _without_classes(files), tmp_path / "ours", head=head)
        written = convert_ribonanzanet_to_original(folder, tmp_path / "back" / "RibonanzaNet.pt")
        again = torch.load(written, weights_only=True)
        assert set(again) == set(weights)
        for name, tensor in weights.items():
            assert torch.equal(again[name], tensor), name
        content = yaml.safe_load(written.with_suffix(".yaml").read_text())
        assert content == config | {"nclass": len(weights["decoder.weight"]) if "decoder.weight" in weights else 2}
        # And once more: the two files are all that the way to ours needs.
        folder = convert_ribonanzanet(written, written.with_suffix(".yaml"), tmp_path / "ours again", head=head)
        again = load_file(folder / "model.safetensors")
        first = load_file(tmp_path / "ours" / "model.safetensors")
        assert set(again) == set(first)
        assert all(torch.equal(again[name], tensor) for name, tensor in first.items())

    def test_coordinates_in_the_decoder_come_back_as_their_predictor(self, original, tmp_path):
        weights = _fine_tuned(original, "3d in the decoder")
        folder = convert_ribonanzanet(original[2], _without_classes(original), tmp_path / "ours", head="3d")
        again = torch.load(convert_ribonanzanet_to_original(folder, tmp_path / "back.pt"), weights_only=True)
        assert torch.equal(again["xyz_predictor.weight"], weights["decoder.weight"])
        assert "decoder.weight" not in again

    def test_command_line(self, original, tmp_path, capsys):
        weights, _, checkpoint, config_file = original
        folder = convert_ribonanzanet(checkpoint, config_file, tmp_path / "ours", {"fix_attention_mask": True})
        arguments = ["convert", "ribonanzanet", "--checkpoint", str(folder), "--to", "original"]
        written = tmp_path / "back.pt"
        assert run([*arguments, "--output", str(written)]) == 0
        assert str(written) in capsys.readouterr().out
        assert torch.equal(torch.load(written, weights_only=True)["decoder.bias"], weights["decoder.bias"])
        # The file holds no more than its tensors.
        assert written.stat().st_size < checkpoint.stat().st_size * 1.1
        before = written.read_bytes()
        for options, message in (
            (["--output", str(written)], "back.pt exists: name another output"),
            (["--output", str(tmp_path / "back")], "does not end in .pt"),
            (["--output", str(tmp_path / "new.pt"), "--head", "none"], "don't go with --to original"),
        ):
            assert run([*arguments, *options]) == 2
            error = capsys.readouterr().err
            assert message in error
            assert len(error.strip().splitlines()) == 1
        assert written.read_bytes() == before

    @pytest.mark.parametrize(
        ("model_class", "settings", "message"),
        [
            (rna_hf.RibonanzaNetForMaskedLM, {}, "class RibonanzaNetForMaskedLM, which the original has not"),
            (rna_hf.RibonanzaNetForTertiaryStructure, {"coordinate_head": "pair"}, "has coordinate_head 'pair'"),
            (RibonanzaNetModel, {"fix_attention_residual": True}, "the original has False always"),
            (RibonanzaNetModel, {"outer_product_size": 8}, "the original has 32 always"),
            (RibonanzaNetModel, {"intermediate_size": 48}, "the original has 64 always"),
            (RibonanzaNetModel, {"bos_token_id": 7}, "has bos_token_id 7"),
            (
                RibonanzaNetModel,
                {"use_triangular_attention": True, "num_triangle_attention_heads": 2},
                "the original has 4 always",
            ),
        ],
    )
    def test_what_the_original_has_not_is_refused(self, tmp_path, model_class, settings, message):
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pair_hidden_size": 8}
        model_class(rna_hf.RibonanzaNetConfig(**(sizes | settings))).save_pretrained(tmp_path / "ours")
        with pytest.raises(ValueError, match=message):
            convert_ribonanzanet_to_original(tmp_path / "ours", tmp_path / "back.pt")
        assert [path.name for path in tmp_path.iterdir()] == ["ours"]

    def test_broken_checkpoints_are_refused(self, original, tmp_path):
        _, _, checkpoint, config_file = original
        with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
            convert_ribonanzanet_to_original(tmp_path / "nowhere", tmp_path / "back.pt")
        folder = convert_ribonanzanet(checkpoint, config_file, tmp_path / "ours")
        weights = load_file(folder / "model.safetensors")
        del weights["reactivity_head.bias"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match=r"lacks weights: reactivity_head\.bias"):
            convert_ribonanzanet_to_original(folder, tmp_path / "back.pt")
        (folder / "config.json").write_text('{"model_type": "ribonanzanet", "pairwise_size": 8}')
        with pytest.raises(ValueError, match="is no RibonanzaNet checkpoint of rna_hf"):
            convert_ribonanzanet_to_original(folder, tmp_path / "back.pt")
        assert not (tmp_path / "back.pt").exists()


def test_settings_that_need_other_parameters_are_refused(original, tmp_path):
    _fine_tuned(original, "3d")
    with pytest.raises(ValueError, match="can't hold what the settings ask for"):
        convert_ribonanzanet(original[2], _without_classes(original), tmp_path / "out", {"coordinate_head": "pair"})
    with pytest.raises(ValueError, match="needs the original's configuration as well"):
        convert_ribonanzanet(original[2], None, tmp_path / "out")
