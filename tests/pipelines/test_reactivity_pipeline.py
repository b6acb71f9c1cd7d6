"""`pipeline("rna-reactivity")`."""

import numpy as np
import pytest
import tiny_models
import torch
from transformers import AutoTokenizer, pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from rna_hf import RibonanzaNetForReactivity
from rna_hf.pipelines import ReactivityPipeline

SEQUENCES = ["GGGAAACUCC", "acgt", "GGNNRYAAGCUUAGC"]


def save_tiny(folder, special_tokens=False, **options):
    return tiny_models.save_tiny(folder, {"bos_token": special_tokens, "eos_token": special_tokens}, **options)


@pytest.fixture(params=["padding leaks", "padding is masked", "special tokens"])
def tiny(request, tmp_path):
    options = {"fix_attention_mask": request.param != "padding leaks"}
    return save_tiny(tmp_path / "tiny", special_tokens=request.param == "special tokens", **options)


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """Register with a tiny model in the place of the bundled one."""
    folder = save_tiny(tmp_path / "bundled")
    arguments = ReactivityPipeline.registration() | {"default": {"model": (str(folder), None)}}
    monkeypatch.setattr(PIPELINE_REGISTRY, "supported_tasks", dict(PIPELINE_REGISTRY.supported_tasks))
    PIPELINE_REGISTRY.supported_tasks.pop(arguments["task"], None)
    PIPELINE_REGISTRY.register_pipeline(**arguments)
    return folder


def open_pipeline(folder, **options):
    return ReactivityPipeline(
        model=RibonanzaNetForReactivity.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        device="cpu",
        **options,
    )


def test_one_sequence(tiny):
    output = open_pipeline(tiny)("GGGAAACUCC")
    assert list(output) == ["sequence", "reactivity", "unit", "warning"]
    assert output["sequence"] == "GGGAAACUCC"
    assert list(output["reactivity"]) == ["2A3", "DMS"]
    assert all(isinstance(value, float) for value in output["reactivity"]["2A3"])
    assert output["unit"] == "normalised; 1 = 90th percentile"
    model = RibonanzaNetForReactivity.from_pretrained(tiny)
    ids = AutoTokenizer.from_pretrained(tiny)("GGGAAACUCC", return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[0]
    added = (ids.shape[1] - 10) // 2
    np.testing.assert_allclose(output["reactivity"]["DMS"], logits[added : added + 10, 1], atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_do_not_change_a_sequence(tiny, batch_size):
    predict = open_pipeline(tiny)
    outputs = predict(SEQUENCES, batch_size=batch_size)
    assert [output["sequence"] for output in outputs] == SEQUENCES
    for sequence, output in zip(SEQUENCES, outputs):
        alone = predict(sequence)["reactivity"]
        for channel in ("2A3", "DMS"):
            assert len(output["reactivity"][channel]) == len(sequence)
            # Float32 sums in another order: batches of other shapes.
            np.testing.assert_allclose(output["reactivity"][channel], alone[channel], atol=2e-5)


def test_by_task_without_a_model(registered):
    output = pipeline("rna-reactivity", device="cpu")("GGGAAACUCC")
    assert output == open_pipeline(registered)("GGGAAACUCC")


def test_by_task_with_a_folder(registered, tmp_path):
    folder = save_tiny(tmp_path / "other", channels=["x"])
    assert list(pipeline("rna-reactivity", model=str(folder), device="cpu")("ACGU")["reactivity"]) == ["x"]


def test_saving_copies_no_code(registered, tmp_path):
    pipeline("rna-reactivity", device="cpu").save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("*.py"))
    assert "custom_pipelines" not in (tmp_path / "saved" / "config.json").read_text()
    pipeline("rna-reactivity", model=str(tmp_path / "saved"), device="cpu")("ACGU")


def test_wrong_inputs(tmp_path):
    predict = open_pipeline(save_tiny(tmp_path))
    with pytest.raises(ValueError, match="the sequence is empty"):
        predict(" ")
    with pytest.raises(ValueError, match="X"):
        predict("ACGX")
    with pytest.raises(ValueError, match="takes a sequence"):
        predict([5])
    with pytest.raises(ValueError, match="takes no option top_k"):
        predict("ACGU", top_k=3)
