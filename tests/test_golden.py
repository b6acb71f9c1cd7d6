"""A checkpoint's golden output: a good folder passes, and whatever computes something else is refused when it loads."""

import json
import shutil

import pytest
import torch
from fresh_process import run_python
from safetensors.torch import load_file, save_file
from tiny_models import RNATRACKER, save_tiny, tiny_model

import rna_hf
from rna_hf import (
    RibonanzaNetForMaskedLM,
    RibonanzaNetForReactivity,
    RibonanzaNetForTertiaryStructure,
    RibonanzaNetModel,
    RnaTokenizerFast,
    RnaTrackerConfig,
    RnaTrackerForLocalisation,
)
from rna_hf.checkpoints import list_checkpoints
from rna_hf.cli.main import run
from rna_hf.hub.golden import check_golden, write_golden
from rna_hf.hub.loader import add_loader
from rna_hf.models.pretrained_mixin import RnaPreTrainedMixin
from rna_hf.models.registry import ARCHITECTURES

QKV = "model.layers.0.attention.q_proj.weight"


@pytest.fixture
def folder(tmp_path):
    """A tiny checkpoint with its golden output."""
    folder = save_tiny(tmp_path / "model", {"alphabet": "ribonanzanet"}, fix_attention_mask=True)
    write_golden(folder)
    return folder


@pytest.fixture
def checked(monkeypatch):
    """Loading checks."""
    monkeypatch.setenv("RNA_HF_CHECK", "1")


def change_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def change_json(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def shuffle(weights):
    weights[QKV] = weights[QKV].flip(0).contiguous()


def rename(weights):
    weights["model.layers.0.attention.query.weight"] = weights.pop(QKV)


def spoil(weights):
    weights[QKV][0, 0] = torch.nan


@pytest.mark.parametrize("checkpoint", list_checkpoints(), ids=lambda one: one.name)
def test_shipped_checkpoints_give_their_golden_output(checkpoint, checked, capsys):
    findings = check_golden(checkpoint.path)
    assert [finding.what for finding in findings] == ["weights", "configuration", "tokenizer", "model"]
    assert (checkpoint.path / "golden.json").stat().st_size < 8_000
    assert run(["check", checkpoint.name]) == 0
    assert capsys.readouterr().out.count("same") >= 4


def test_weights_that_are_not_finite_open_nowhere(folder):
    change_weights(folder, spoil)
    message = f"{QKV.removeprefix('model.')} holds NaN or infinite values; the checkpoint is damaged"
    for opener in (check_golden, RibonanzaNetForReactivity.from_pretrained, RibonanzaNetModel.from_pretrained):
        with pytest.raises(ValueError, match=message):
            opener(folder)


@pytest.mark.parametrize("change", [shuffle, rename], ids=lambda change: change.__name__)
def test_other_weights_are_refused(change, folder, checked):
    change_weights(folder, change)
    with pytest.raises(ValueError, match=r"weights: model\.safetensors is another file") as caught:
        check_golden(folder)
    assert "model: does not give its golden output" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="does not give its golden output"):
        RibonanzaNetForReactivity.from_pretrained(folder)
    # The base model of the same folder, and another head on it.
    for model_class in (RibonanzaNetModel, RibonanzaNetForMaskedLM):
        with pytest.raises(ValueError, match="last_hidden_state"):
            model_class.from_pretrained(folder)


def test_weights_at_random_are_named(folder, checked):
    change_weights(folder, rename)
    with pytest.raises(ValueError, match=f"not found, and left at random: {QKV}"):
        RibonanzaNetForReactivity.from_pretrained(folder)


def test_weights_at_random_that_no_output_of_the_head_needs_are_found_too(folder, checked):
    name = next(name for name in load_file(folder / "model.safetensors") if "layers.1.pair_update.transition" in name)

    def rename_last(weights):
        weights["other"] = weights.pop(name)

    change_weights(folder, rename_last)
    with pytest.raises(ValueError, match="last_pair_state"):
        RibonanzaNetForReactivity.from_pretrained(folder)


def test_half_precision_is_no_excuse_for_other_weights(folder, checked):
    def turn_letters(weights):
        name = "model.embed_tokens.weight"
        weights[name] = weights[name].roll(1, 0).contiguous()

    RibonanzaNetForReactivity.from_pretrained(folder, dtype=torch.bfloat16)
    change_weights(folder, turn_letters)
    with pytest.raises(ValueError, match=r"0\.05 is allowed"):
        RibonanzaNetForReactivity.from_pretrained(folder, dtype=torch.bfloat16)


def test_every_architecture_checks(checked):
    for architecture in ARCHITECTURES.values():
        if not architecture.package:  # of others
            assert issubclass(architecture.find_class("PreTrainedModel"), RnaPreTrainedMixin)
    model = tiny_model()
    again = RibonanzaNetForReactivity.from_pretrained(None, config=model.config, state_dict=model.state_dict())
    assert torch.equal(again.model.embed_tokens.weight, model.model.embed_tokens.weight)


def test_without_the_variable_nothing_is_checked(folder, monkeypatch):
    monkeypatch.setenv("RNA_HF_CHECK", "0")
    change_weights(folder, shuffle)
    (folder / "golden.json").unlink()
    assert isinstance(RibonanzaNetForReactivity.from_pretrained(folder), RibonanzaNetForReactivity)


@pytest.mark.parametrize("fields", [{"fix_attention_mask": False}, {"fix_attention_residual": True}])
def test_a_wrong_flag_is_refused(fields, folder, checked):
    change_json(folder / "config.json", **fields)
    name = next(iter(fields))
    with pytest.raises(ValueError, match=f"configuration: {name} is"):
        check_golden(folder)
    with pytest.raises(ValueError, match="does not give its golden output"):
        RibonanzaNetForReactivity.from_pretrained(folder)


def test_a_flag_that_no_output_shows_is_refused_by_name(folder):
    change_json(folder / "config.json", training_max_length=12)
    with pytest.raises(ValueError, match=r"training_max_length is 12, was None$"):
        check_golden(folder)


@pytest.mark.parametrize("options", [{"alphabet": "rnatracker"}, {"alphabet": "ribonanzanet", "bos_token": True}])
def test_another_tokenizer_is_refused(options, folder):
    RnaTokenizerFast(**options).save_pretrained(folder)
    with pytest.raises(ValueError, match="tokenizer: gives other ids for GGG"):
        check_golden(folder)


def test_another_class_is_refused(folder):
    change_json(folder / "config.json", architectures=["RibonanzaNetForMaskedLM"])
    with pytest.raises(ValueError, match="is a RibonanzaNetForMaskedLM, was a RibonanzaNetForReactivity"):
        check_golden(folder)


def test_a_new_head_may_begin_anew_on_a_checked_base(folder, checked):
    config = RibonanzaNetForReactivity.config_class.from_pretrained(folder, channels=["2A3", "DMS", "1M7"])
    model, info = RibonanzaNetForReactivity.from_pretrained(
        folder, config=config, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert len(info["mismatched_keys"]) == 2
    assert model.reactivity_head.out_features == 3
    change_weights(folder, shuffle)
    with pytest.raises(ValueError, match="does not give its golden output: last_hidden_state"):
        RibonanzaNetForReactivity.from_pretrained(folder, config=config, ignore_mismatched_sizes=True)


def test_the_command_says_what_differs(folder, capsys):
    change_weights(folder, rename)
    assert run(["check", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "DIFFERS weights",
        "same    configuration",
        "same    tokenizer",
        "DIFFERS model",
    ]


def test_there_has_to_be_something_to_compare(folder, checked, tmp_path, capsys):
    (folder / "golden.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no golden\.json, and RNA_HF_CHECK asks"):
        RibonanzaNetForReactivity.from_pretrained(folder)
    assert run(["check", str(folder)]) == 2
    assert f"write one with `rna-hf check {folder} --write`" in capsys.readouterr().err
    assert run(["check", str(tmp_path)]) == 2
    assert "holds no config.json" in capsys.readouterr().err
    assert run(["check", str(folder), "--write"]) == 0
    assert RibonanzaNetForReactivity.from_pretrained(folder)
    (folder / "golden.json").write_text('{"sequences": []}')
    with pytest.raises(ValueError, match="is no golden output"):
        check_golden(folder)


def test_nothing_broken_is_recorded(folder):
    change_weights(folder, spoil)
    with pytest.raises(ValueError, match="holds NaN or infinite values"):
        write_golden(folder)
    change_weights(folder, rename)
    with pytest.raises(ValueError, match="lacks weights"):
        write_golden(folder)


def test_the_longest_minimum_and_padding_that_is_read(tmp_path, checked):
    config = RnaTrackerConfig(**RNATRACKER, kernel_size=12, num_conv_layers=3, mask_padding=False)
    torch.manual_seed(0)
    RnaTrackerForLocalisation(config).save_pretrained(tmp_path)
    RnaTokenizerFast(alphabet="rnatracker").save_pretrained(tmp_path)
    sequences = json.loads(write_golden(tmp_path).read_text())["sequences"]
    assert min(map(len, sequences)) >= config.min_sequence_length
    check_golden(tmp_path)
    change_json(tmp_path / "config.json", mask_padding=True)
    with pytest.raises(ValueError, match="does not give its golden output"):
        RnaTrackerForLocalisation.from_pretrained(tmp_path)


def test_coordinates_are_left_out_where_they_are_found_from_distances(tmp_path):
    model = tiny_model(RibonanzaNetForTertiaryStructure, coordinate_head="pair")
    ids = torch.tensor([[0, 1, 2, 3, 0, 2]])
    with torch.no_grad():
        without, whole = model(ids, output_coordinates=False), model(ids)
    assert without.coordinates is None
    assert torch.equal(without.distances, whole.distances)


@pytest.mark.parametrize("is_good", [True, False])
def test_auto_model_checks_in_a_fresh_process(is_good, folder, tmp_path):
    add_loader(folder)
    if not is_good:
        change_weights(folder, rename)
    code = f"""
from transformers import AutoModel
print(type(AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True)).__name__)
"""
    done = run_python(code, RNA_HF_CHECK="1")
    assert (done.returncode == 0) == is_good
    if is_good:
        assert done.stdout.strip() == "RibonanzaNetModel"
    else:
        assert done.stderr.strip().splitlines()[-1].startswith("ValueError: ")
        assert "left at random" in done.stderr


def test_shipped_models_predict_with_the_check_on(checked, tmp_path):
    assert rna_hf.predict("GGGAAACUCC", model="ribonanzanet-mini")[0]["sequence"] == "GGGAAACUCC"
    copy = shutil.copytree(rna_hf.checkpoints.find_bundled("ribonanzanet-mini"), tmp_path / "copy")
    change_weights(copy, shuffle)
    with pytest.raises(ValueError, match="does not give its golden output"):
        rna_hf.predict("GGGAAACUCC", model=copy)
