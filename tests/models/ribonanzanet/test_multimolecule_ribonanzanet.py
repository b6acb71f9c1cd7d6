"""Conversion of folders in the format of `multimolecule`: their parts, their damages, and the package's own outputs."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import rna_hf
from rna_hf import (
    RibonanzaNetConfig,
    RibonanzaNetForReactivity,
    RibonanzaNetForSecondaryStructure,
    convert_ribonanzanet,
)
from rna_hf.cli.main import run
from rna_hf.models import ribonanzanet
from rna_hf.models.ribonanzanet.multimolecule_ribonanzanet import CLASSES, TOKENS, key_table

PEER_PYTHON = Path(__file__).parents[3] / ".cache" / "multimolecule" / "bin" / "python"

# In its words. Sizes that differ from each other, so that none can stand in for another.
CONFIG = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "pairwise_size": 12,
    "pairwise_intermediate_size": 48,
    "pairwise_attention_size": 8,
    "pairwise_num_attention_heads": 2,
    "kernel_size": 3,
    "layer_norm_eps": 1e-5,
}
SEQUENCES = ("ACGUUGAANC", "GGGAAACUCC")


def _cases():
    """Each of its classes with each option that changes values; a framed sequence has <cls> and <eos> around it."""
    options = {
        "triangular": {"use_triangular_attention": True},
        "fixed": {"fix_attention_mask": True, "fix_attention_residual": True, "fix_pairwise_dropout": True},
        "framed": {},
    }
    cases = {
        f"{name}, {option}": {"class": name, "config": CONFIG | config, "is_framed": option == "framed"}
        for name in CLASSES
        for option, config in options.items()
    }
    config = CONFIG | {"layer_norm_eps": 1e-12}
    cases["its default eps"] = {"class": "RibonanzaNetModel", "config": config, "is_framed": False}
    for case in cases.values():
        case["ids"] = [[TOKENS.index(letter) for letter in sequence] for sequence in SEQUENCES]
        if case["is_framed"]:
            case["ids"] = [[TOKENS.index("<cls>"), *row, TOKENS.index("<eos>")] for row in case["ids"]]
        if case["class"] == "RibonanzaNetForTokenPrediction":
            case["config"] = case["config"] | {"head": {"num_labels": 3}}
    return cases


CASES = _cases()


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The folder that `run_multimolecule.py` filled, once for all cases."""
    if not PEER_PYTHON.is_file():
        pytest.skip(f"no multimolecule at {PEER_PYTHON}: `make .cache/multimolecule/bin/python` installs it there")
    folder = tmp_path_factory.mktemp("multimolecule")
    script = Path(__file__).with_name("run_multimolecule.py")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    command = [PEER_PYTHON, script, json.dumps(CASES), folder]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def _cut(tensor, axes):
    """Cut <bos> and <eos> off, which `multimolecule` does itself."""
    for axis in axes:
        tensor = tensor.narrow(axis, 1, tensor.shape[axis] - 2)
    return tensor


def _compared(name, ours, theirs, is_framed):
    """Pairs of ours and theirs that are to be equal."""
    axes = (1,) if is_framed else ()
    both = [theirs[key] for key in ("logits_2a3", "logits_dms") if key in theirs]
    if name == "RibonanzaNetModel":
        return [(ours.last_hidden_state, theirs["last_hidden_state"])]
    if name == "RibonanzaNetForPreTraining":
        return [(_cut(ours.logits, axes), torch.cat(both, -1))]
    if name == "RibonanzaNetForDegradationPrediction":
        targets = ("reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C")
        return [(_cut(ours.logits, axes), torch.cat([theirs[f"logits_{target}"] for target in targets], -1))]
    if name == "RibonanzaNetForSequenceDropoutPrediction":  # its logits are the exp of ours
        return [(ours.read_counts, torch.cat(both, -1))]
    if name == "RibonanzaNetForSecondaryStructurePrediction":
        pairs = _cut(ours.logits, (1, 2) if is_framed else ())
        return [(pairs, theirs["logits_ss"][..., 0]), (_cut(ours.reactivity, axes), torch.cat(both, -1))]
    return [(_cut(ours.logits, axes), theirs["logits"])]


@pytest.mark.parametrize("name", CASES)
def test_same_outputs_as_multimolecule(peer, tmp_path, name):
    case = CASES[name]
    folder = convert_ribonanzanet(peer / name, None, tmp_path / "ours")
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(ribonanzanet, architecture).from_pretrained(folder)
    tokenizer = rna_hf.RnaTokenizerFast.from_pretrained(folder)
    inputs = tokenizer(list(SEQUENCES), return_tensors="pt")
    assert inputs.input_ids.shape == torch.tensor(case["ids"]).shape
    if name != "its default eps":
        # Ours has 1e-6 in one norm of a layer where it has 1e-5: with the same number only rounding is left.
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.eps = CONFIG["layer_norm_eps"]
    with torch.no_grad():
        ours = model(**inputs)
    theirs = load_file(peer / name / "outputs.safetensors")
    # The logits of pairs are numbers of about 20: hence the relative part.
    atol = 1e-4 if name == "its default eps" else 1e-5
    for found, expected in _compared(case["class"], ours, theirs, case["is_framed"]):
        assert expected.std() > 0.01
        torch.testing.assert_close(found, expected, atol=atol, rtol=1e-6)


def _write_peer_folder(folder, class_name="RibonanzaNetForPreTraining", rows=28, **changes):
    """Write a folder in its format from a random model of ours, and return the model."""
    config = {
        **CONFIG,
        "model_type": "ribonanzanet",
        "architectures": [class_name],
        "hidden_act": "gelu",
        "pairwise_hidden_act": "relu",
        "hidden_dropout": 0.05,
        "attention_dropout": 0.07,
        "use_triangular_attention": True,
        "fix_attention_mask": True,
        "fix_attention_residual": False,
        "fix_pairwise_dropout": True,
        "head": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    ours = RibonanzaNetConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        pair_hidden_size=12,
        outer_product_size=8,
        num_triangle_attention_heads=2,
        kernel_size=3,
        use_triangular_attention=True,
        predict_reactivity=True,
        attention_dropout=0.07,
        fix_attention_mask=True,
        fix_pairwise_dropout=True,
    )
    model = CLASSES[class_name](ours).eval()
    weights = {}
    for name, theirs in key_table(model).items():
        for their, part in zip(theirs, model.state_dict()[name].chunk(len(theirs)), strict=True):
            weights[their] = part.clone()
    embedding = next(name for name in weights if name.endswith("word_embeddings.weight"))
    table = torch.full((rows, 32), 99.0)  # what ours has no letter for must not come along
    for token, row in zip(
        ("A", "C", "G", "U", "<pad>", "N", "<mask>", "<cls>", "<eos>"), weights[embedding], strict=True
    ):
        if TOKENS.index(token) < rows:
            table[TOKENS.index(token)] = row
    weights[embedding] = table
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config | changes))
    save_file(weights, folder / "model.safetensors")
    return model


def test_folder_becomes_ours_bit_for_bit(tmp_path, capsys):
    theirs, output = tmp_path / "theirs", tmp_path / "ours"
    model = _write_peer_folder(theirs)
    arguments = ["--checkpoint", str(theirs), "--output", str(output), "--set", "padding_quirk=bool"]
    assert run(["convert", "ribonanzanet", *arguments]) == 0
    assert str(output) in capsys.readouterr().out
    converted = rna_hf.AutoModelForReactivity.from_pretrained(output)
    assert isinstance(converted, RibonanzaNetForReactivity)
    for name, tensor in model.state_dict().items():
        assert torch.equal(converted.state_dict()[name], tensor), name
    for field in ("attention_dropout", "fix_attention_mask", "fix_attention_residual", "fix_pairwise_dropout"):
        assert getattr(converted.config, field) == getattr(model.config, field)
    assert converted.config.padding_quirk == "bool"
    assert converted.config.channels == ["2A3", "DMS"]


def test_order_of_names_is_literal():
    """The names as its files hold them, spelt out where order matters."""
    model = RibonanzaNetForSecondaryStructure(
        RibonanzaNetConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            pair_hidden_size=4,
            use_triangular_attention=True,
            predict_reactivity=True,
        )
    )
    table = key_table(model)
    layer = "model.encoder.layer.0"
    assert table["reactivity_head.weight"] == ("a3c_head.decoder.weight", "dms_head.decoder.weight")
    assert table["pair_head.bias"] == ("ss_head.decoder.bias",)
    assert table["model.layers.0.pair_update.triangle_row_attention.qkv_proj.weight"] == tuple(
        f"{layer}.pairwise.triangle_attention_out.triangle.{part}.weight" for part in ("query", "key", "value")
    )
    assert table["model.layers.0.pair_update.triangle_ingoing.in_proj.bias"] == tuple(
        f"{layer}.pairwise.triangle_mixer_in.{part}.bias"
        for part in ("left_proj", "right_proj", "left_gate", "right_gate", "out_gate")
    )


@pytest.mark.parametrize(
    ("tokenizer", "config", "framed"),
    [
        (None, {}, False),
        (None, {"bos_token_id": 1, "eos_token_id": 2}, True),
        ({"bos_token": None, "cls_token": "<cls>", "eos_token": None}, {"bos_token_id": 1, "eos_token_id": 2}, False),
        ({"bos_token": "<cls>", "eos_token": "<eos>"}, {}, True),
    ],
)
def test_bos_and_eos_follow_the_tokenizer(tmp_path, tokenizer, config, framed):
    _write_peer_folder(tmp_path / "theirs", **config)
    if tokenizer is not None:
        (tmp_path / "theirs" / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    folder = convert_ribonanzanet(tmp_path / "theirs", None, tmp_path / "ours")
    ids = rna_hf.RnaTokenizerFast.from_pretrained(folder)("AC").input_ids
    assert ids == ([7, 0, 1, 8] if framed else [0, 1])
    converted = RibonanzaNetConfig.from_pretrained(folder)
    assert (converted.bos_token_id, converted.eos_token_id) == ((7, 8) if framed else (None, None))


def test_vocabulary_without_ambiguous_letters_and_without_pooler(tmp_path):
    theirs = tmp_path / "theirs"
    model = _write_peer_folder(theirs, "RibonanzaNetModel", rows=10)
    (theirs / "vocab.txt").write_text("\n".join(TOKENS[:10]))
    weights = load_file(theirs / "model.safetensors")
    pooler = {"pooler.dense.weight": torch.ones(32, 32), "pooler.dense.bias": torch.ones(32)}
    save_file(weights | pooler, theirs / "model.safetensors")
    folder = convert_ribonanzanet(theirs, None, tmp_path / "ours")
    embedding = load_file(folder / "model.safetensors")["embed_tokens.weight"]
    expected = model.embed_tokens.weight.detach().clone()
    expected[5] = 0  # N
    assert torch.equal(embedding, expected)


def test_labels_of_tokens(tmp_path):
    theirs = tmp_path / "theirs"
    model = _write_peer_folder(
        theirs, "RibonanzaNetForTokenPrediction", head={"num_labels": 2, "problem_type": "multilabel", "dropout": 0.2}
    )
    folder = convert_ribonanzanet(theirs, None, tmp_path / "ours")
    converted = rna_hf.RibonanzaNetForTokenClassification.from_pretrained(folder)
    assert torch.equal(converted.token_classifier.weight, model.token_classifier.weight)
    assert converted.problem_type == "multi_label_classification"
    assert converted.config.head_dropout == 0.2
    _config(theirs, head={"num_labels": 2, "problem_type": "ranking"})
    with pytest.raises(ValueError, match="'ranking'"):
        convert_ribonanzanet(theirs, None, tmp_path / "other")


def _without(folder, name):
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors")


def _with(folder, name):
    save_file(load_file(folder / "model.safetensors") | {name: torch.zeros(2)}, folder / "model.safetensors")


def _config(folder, **changes):
    content = json.loads((folder / "config.json").read_text()) | changes
    content = {key: value for key, value in content.items() if value != "left out"}
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: _without(f, "dms_head.decoder.bias"), "1 tensors are missing (dms_head.decoder.bias)"),
        (lambda f: _with(f, "ss_head.decoder.bias"), "1 are not expected (ss_head.decoder.bias)"),
        (lambda f: _config(f, kernel_size=5), "gives shape (32, 32, 3), the config needs (32, 32, 5)"),
        (lambda f: _config(f, model_type="rnafm"), "is of model_type 'rnafm'"),
        (lambda f: _config(f, architectures=["RibonanzaNetForContactPrediction"]), "only RibonanzaNetModel, Ribonanza"),
        (lambda f: _config(f, architectures=None), "holds the class None"),
        (lambda f: _config(f, pairwise_size="left out"), "config.json lacks pairwise_size"),
        (lambda f: _config(f, pairwise_intermediate_size=24), "says pairwise_intermediate_size 24: only 48"),
        (lambda f: _config(f, hidden_act="relu"), "says hidden_act 'relu': only 'gelu'"),
        (lambda f: _config(f, head={"transform": "nonlinear"}), "says head.transform 'nonlinear': only None"),
        (lambda f: _config(f, layer_norm_eps=0.1), "says layer_norm_eps 0.1: only values up to 1e-05"),
        (lambda f: _config(f, pair_hidden_size=12), "is in the format of rna_hf already"),
        (lambda f: _config(f, num_attention_heads=5), "describes no valid model: hidden_size 32 is not a multiple"),
        (lambda f: (f / "config.json").write_text("{"), "config.json can't be read"),
        (lambda f: (f / "config.json").write_text("[]"), "config.json is not a table"),
        (lambda f: (f / "config.json").unlink(), "config.json does not exist"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors does not exist"),
        (lambda f: (f / "model.safetensors").write_bytes(b"{}"), "can't be read as a checkpoint"),
        (lambda f: (f / "vocab.txt").write_text("<pad>\n<cls>\nAAA\n"), "vocab.txt begins with <pad> <cls> AAA"),
    ],
)
def test_broken_folders_give_one_clear_line_and_leave_nothing(tmp_path, capsys, damage, message):
    theirs = tmp_path / "theirs"
    _write_peer_folder(theirs)
    damage(theirs)
    code = run(["convert", "ribonanzanet", "--checkpoint", str(theirs), "--output", str(tmp_path / "ours")])
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_a_folder_has_its_own_config_and_head(tmp_path):
    _write_peer_folder(tmp_path / "theirs")
    with pytest.raises(ValueError, match="holds its own config and head"):
        convert_ribonanzanet(tmp_path / "theirs", None, tmp_path / "ours", head="none")
    with pytest.raises(ValueError, match="holds its own config and head"):
        convert_ribonanzanet(tmp_path / "theirs", tmp_path / "pairwise.yaml", tmp_path / "ours")
