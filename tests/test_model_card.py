"""The card of any checkpoint folder: what is known is said, the rest left out, and the snippet opens the model."""

import re

import pytest
from huggingface_hub import ModelCard

from rna_hf import RibonanzaNetConfig, RibonanzaNetForMaskedLM, RibonanzaNetForReactivity, RnaTokenizerFast
from rna_hf.hub.model_card import CardFacts, scores_table, write_card

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pair_hidden_size": 8}


def facts(auto_class="AutoModelForReactivity", **more):
    return CardFacts(title="A title", summary="A summary.", tags=["rna"], task={"auto_class": auto_class, **more})


@pytest.fixture
def folder(tmp_path):
    RibonanzaNetForReactivity(RibonanzaNetConfig(**SIZES, training_max_length=50)).save_pretrained(tmp_path)
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(tmp_path)
    return tmp_path


def test_what_is_not_known_is_left_out(folder):
    card = ModelCard.load(write_card(folder, facts()))
    assert re.findall("^## (.*)$", card.text, re.MULTILINE) == ["Use", "Model", "Accuracy"]
    assert "Not measured." in card.text
    assert "the longest in training had 50 nucleotides" in card.text
    assert "rna_hf.predict" not in card.text
    assert card.data.tags == ["ribonanzanet", "rna"]
    assert not {"license", "base_model"} & set(card.data.to_dict())
    assert "\n\n\n" not in card.text
    assert card.text.endswith("Not measured.\n")


def test_scores_are_numbers_with_a_fraction(folder):
    table = scores_table({"eval_mae": 0.25, "eval_rnas": 7, "epoch": 2.0})
    assert table.splitlines()[2:] == ["| epoch | 2.0000 |", "| eval_mae | 0.2500 |"]
    assert write_card(folder, facts(), accuracy=table).read_text().endswith(f"## Accuracy\n\n{table}\n")


@pytest.mark.parametrize(
    ("model_class", "auto_class", "package"),
    [
        (RibonanzaNetForReactivity, "AutoModelForReactivity", "rna_hf"),
        (RibonanzaNetForMaskedLM, "AutoModelForMaskedLM", "transformers"),
    ],
)
def test_the_snippet_opens_the_model(folder, model_class, auto_class, package):
    model_class(RibonanzaNetConfig(**SIZES)).save_pretrained(folder)
    text = write_card(folder, facts(auto_class, package=package, output="logits", shape="(1, 23, 4)")).read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    namespace = {}
    exec(block.replace('"..."', repr(str(folder))), namespace)
    assert isinstance(namespace["model"], model_class)
    assert namespace["output"].shape[:2] == (1, 23)
