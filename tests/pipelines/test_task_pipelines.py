"""The pipelines of degradation, dropout, secondary and tertiary structure: what `predict` gives, by name."""

import numpy as np
import pytest
from test_prediction_tasks import PAIRED, save_tiny
from transformers import pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from rna_hf import checkpoints
from rna_hf.pipelines import (
    DegradationPipeline,
    ReactivityPipeline,
    SecondaryStructurePipeline,
    SequenceDropoutPipeline,
    TertiaryStructurePipeline,
)
from rna_hf.prediction import predict
from rna_hf.tasks import TASKS

PIPELINES = {
    "degradation": (DegradationPipeline, "rna-degradation"),
    "dropout": (SequenceDropoutPipeline, "rna-sequence-dropout"),
    "structure": (SecondaryStructurePipeline, "rna-secondary-structure"),
    "3d": (TertiaryStructurePipeline, "rna-tertiary-structure"),
}
SEQUENCES = [PAIRED, "acgt", "GGNNRYAAGCUUAGC"]


@pytest.fixture(params=["padding leaks", "padding is masked", "special tokens"])
def kind(request):
    return {"fix_attention_mask": request.param != "padding leaks", "special_tokens": request.param == "special tokens"}


def open_pipeline(task, folder):
    return pipeline(PIPELINES[task][1], model=str(folder), device="cpu")


def expected(task, folder, sequence):
    """What the pipeline should say besides sequence, unit and warning, and the warning, from the rows of `predict`."""
    rows = predict(sequence, task=task, model=folder, device="cpu")
    columns = {name: value for name, value in rows[0].items() if name not in ("id", "sequence", "warning")}
    return describe(task, columns, rows), rows[0]["warning"]


def describe(task, columns, rows):
    if task == "degradation":
        return {"degradation": columns}
    if task == "dropout":
        return {"reads": {name.removeprefix("reads_"): value for name, value in columns.items()}}
    if task == "structure":
        return columns
    return {"coordinates": [np.array([row[axis] for axis in "xyz"]).T.tolist() for row in rows]}


def assert_close(found, wanted):
    """Compare nested plain values; float32 sums in another order, since batches have other shapes."""
    assert type(found) is type(wanted)
    if isinstance(found, dict):
        assert list(found) == list(wanted)
        for name in found:
            assert_close(found[name], wanted[name])
    elif isinstance(found, str):
        assert found == wanted
    else:
        np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("task", list(PIPELINES))
def test_values_and_batches(task, kind, tmp_path):
    folder = save_tiny(tmp_path / "tiny", task, **kind)
    predictor = open_pipeline(task, folder)
    assert type(predictor) is PIPELINES[task][0]
    wanted = [expected(task, folder, sequence) for sequence in SEQUENCES]
    outputs = [predictor(SEQUENCES, batch_size=size) for size in (1, 3)] + [list(map(predictor, SEQUENCES))]
    for found in outputs:
        for sequence, one, (values, warning) in zip(SEQUENCES, found, wanted, strict=True):
            assert one.pop("sequence") == sequence
            assert one.pop("unit") == predictor.prediction.unit
            assert one.pop("warning") == warning
            assert_close(one, values)


def test_structure_has_pairs(tmp_path):
    output = open_pipeline("structure", save_tiny(tmp_path, "structure", fix_attention_mask=True))(PAIRED)
    assert len(output["structure"]) == len(PAIRED)
    assert "(" in output["structure"]
    assert 0 < output["confidence"] < 1


def test_pairs_pass_the_threshold_of_the_configuration(tmp_path):
    predictor = open_pipeline("structure", save_tiny(tmp_path, "structure", fix_attention_mask=True))
    assert "(" in predictor(PAIRED)["structure"]
    predictor.model.config.pair_threshold = 0.999
    assert set(predictor(PAIRED)["structure"]) == {"."}


def test_pairs_have_the_weight_of_the_configuration():
    predictor = open_pipeline("structure", checkpoints.find_bundled("ribonanzanet-mini-structure"))
    assert "(" in predictor(PAIRED)["structure"]
    predictor.model.config.pair_weight = 1e-6
    assert set(predictor(PAIRED)["structure"]) == {"."}


def test_number_of_samples(tmp_path):
    folder = save_tiny(tmp_path, "3d", fix_attention_mask=True)
    predictor = open_pipeline("3d", folder)
    output = predictor(PAIRED, num_samples=2)
    assert np.shape(output["coordinates"]) == (2, len(PAIRED), 3)
    assert np.shape(predictor(PAIRED)["coordinates"]) == (5, len(PAIRED), 3)
    made_so = pipeline("rna-tertiary-structure", model=str(folder), num_samples=3, device="cpu")
    assert np.shape(made_so(PAIRED)["coordinates"]) == (3, len(PAIRED), 3)
    with pytest.raises(ValueError, match="num_samples must be a whole number from 1 to 100, got 0"):
        predictor(PAIRED, num_samples=0)
    with pytest.raises(ValueError, match="takes no option pdb; options: num_samples, batch_size"):
        predictor(PAIRED, pdb=True)


@pytest.mark.parametrize("task", list(PIPELINES))
def test_wrong_inputs(task, tmp_path):
    predictor = open_pipeline(task, save_tiny(tmp_path, task))
    with pytest.raises(ValueError, match="the sequence is empty"):
        predictor(" ")
    with pytest.raises(ValueError, match=f"{PIPELINES[task][1]} takes a sequence"):
        predictor([5])
    with pytest.raises(ValueError, match=r"takes no option top_k; options: .*batch_size"):
        predictor("ACGU", top_k=3)


def test_a_pipeline_has_the_bundled_checkpoint_of_its_task():
    for task, (pipeline_class, name) in {**PIPELINES, "reactivity": (ReactivityPipeline, "rna-reactivity")}.items():
        registered = PIPELINE_REGISTRY.supported_tasks[name]
        assert registered["impl"] is pipeline_class
        default = TASKS[task].default_checkpoint
        if default is None:
            assert "default" not in registered
        else:
            folder, revision = registered["default"]["model"]
            assert (folder, revision) == (str(checkpoints.FOLDER / default), None)
