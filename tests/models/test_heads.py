"""What the shared heads promise to every architecture: names that tell the kinds of head apart."""

import dataclasses
import json

import pytest
import torch
from common import named_heads
from tiny_models import SIZES
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification

import rna_hf
from rna_hf import RibonanzaNetConfig
from rna_hf.checkpoints import find_checkpoint
from rna_hf.models.registry import ARCHITECTURES

# Heads that another kind of model has on purpose: it is filled by that one's checkpoints.
SHARED = {
    ("SecondaryStructure", "reactivity_head"),
    ("TertiaryStructure", "pair_head"),
    ("ContactPrediction", "pair_features"),
}


def tiny_config(architecture):
    return architecture.find_class("Config")(**SIZES.get(architecture.name, {}))


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def test_each_kind_of_head_has_a_name_of_its_own(architecture):
    owners = {}
    for head in architecture.heads:
        for fields in ({}, {"predict_reactivity": True}, {"coordinate_head": "pair"}):
            config = tiny_config(architecture)
            known = {field.name for field in dataclasses.fields(config)}
            for name in known & set(fields):
                setattr(config, name, fields[name])
            model = architecture.find_class(f"For{head}")(config)
            assert named_heads(model)
            for name, _ in named_heads(model):
                if (head, name) not in SHARED:
                    owners.setdefault(name, set()).add(head)
    assert {name: heads for name, heads in owners.items() if len(heads) > 1} == {}


@pytest.mark.parametrize(
    ("auto_class", "options", "names"),
    [
        (AutoModelForSequenceClassification, {}, {"sequence_classifier.weight", "sequence_classifier.bias"}),
        (AutoModelForTokenClassification, {"num_labels": 3}, {"token_classifier.weight", "token_classifier.bias"}),
        (AutoModelForMaskedLM, {}, {"lm_head.weight", "lm_head.bias"}),
    ],
)
def test_a_checkpoint_of_another_task_leaves_a_new_head(auto_class, options, names):
    """Two classes are as many as the reactivity head has channels: its weights must not stand in for them."""
    model, report = auto_class.from_pretrained(
        find_checkpoint("ribonanzanet-mini"), output_loading_info=True, **options
    )
    assert set(report["missing_keys"]) == names
    assert set(report["unexpected_keys"]) == {"reactivity_head.weight", "reactivity_head.bias"}
    reactivity = rna_hf.RibonanzaNetForReactivity.from_pretrained(find_checkpoint("ribonanzanet-mini"))
    ours, theirs = (dict(one.model.named_parameters()) for one in (model, reactivity))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    (_, head) = named_heads(model)[0]
    assert torch.isfinite(head.weight).all()
    assert head.weight.shape != reactivity.reactivity_head.weight.shape or not torch.equal(
        head.weight, reactivity.reactivity_head.weight
    )


def test_a_folder_of_multimolecule_names_the_command_that_converts_it(tmp_path):
    config = {
        "model_type": "ribonanzanet",
        "pairwise_size": 64,
        "hidden_size": 256,
        "architectures": ["RibonanzaNetModel"],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    for auto_class in (rna_hf.RibonanzaNetModel, rna_hf.AutoModelForReactivity, RibonanzaNetConfig):
        with pytest.raises(ValueError, match="rna-hf convert ribonanzanet --checkpoint") as refused:
            auto_class.from_pretrained(tmp_path)
        assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="rna-hf convert ribonanzanet"):
        rna_hf.predict("ACGU", model=tmp_path, task="reactivity")
