"""The metrics as modules of `evaluate`: opened offline from the package, the same numbers as in training."""

import os
import subprocess
import sys

import evaluate
import numpy as np
import pytest
import torch
from fresh_process import ROOT
from transformers import EvalPrediction

from rna_hf import RibonanzaNetConfig, RnaTrackerConfig, evaluation
from rna_hf.structure.coordinates import lddt, rmsd, tm_score
from rna_hf.tasks import TASKS

RANDOM = np.random.default_rng(0)
LENGTHS = (7, 12, 9)


def in_training(task, config, values, labels):
    """What the metrics of a training give for batches of one RNA each."""
    metrics = TASKS[task].training.metrics(config)
    parts = [torch.tensor(np.array(part, dtype=np.float32))[None] for part in values]
    known = [torch.tensor(np.array(part, dtype=np.float32))[None] for part in labels]
    for number, pair in enumerate(zip(parts, known, strict=True), start=1):
        result = metrics(EvalPrediction(*pair), compute_result=number == len(parts))
    return result


def random_rows(width):
    values = [RANDOM.random((length, width)).astype(np.float32) for length in LENGTHS]
    labels = [RANDOM.random((length, width)).astype(np.float32) for length in LENGTHS]
    for part in labels:
        part[0, 0], part[1] = np.nan, -100
    return [part.tolist() for part in values], [part.tolist() for part in labels]


@pytest.mark.parametrize("name", sorted(evaluation.METRICS))
def test_each_opens_by_its_path_and_says_what_it_is(name):
    module = evaluate.load(evaluation.path(name))
    assert set(module.features) == {"predictions", "references"}
    assert module.description == evaluation.METRICS[name].description


def test_reactivity_is_that_of_training():
    values, labels = random_rows(2)
    expected = in_training("reactivity", RibonanzaNetConfig(), values, labels)
    found = evaluation.load("reactivity").compute(predictions=values, references=labels, channels=["2A3", "DMS"])
    assert found == pytest.approx(expected)


def test_mcrmse_is_that_of_training():
    values, labels = random_rows(5)
    expected = in_training("degradation", RibonanzaNetConfig(), values, labels)["mcrmse"]
    module = evaluation.load("mcrmse")
    assert module.compute(predictions=values, references=labels) == {"mcrmse": pytest.approx(expected)}
    for one, other in zip(values, labels, strict=True):
        module.add_batch(predictions=[one], references=[other])
    assert module.compute() == {"mcrmse": pytest.approx(expected)}


def test_localisation_is_that_of_training():
    config = RnaTrackerConfig()
    logits = RANDOM.random((6, len(config.compartments)))
    labels = RANDOM.dirichlet(np.ones(len(config.compartments)), 6)
    labels[2] = np.nan
    expected = in_training("localisation", config, logits, labels)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = evaluation.load("localisation").compute(
        predictions=shares.tolist(), references=labels.tolist(), compartments=list(config.compartments)
    )
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task", ["sequence-classification", "token-classification"])
def test_classification_is_that_of_training(task):
    config = RibonanzaNetConfig(num_labels=4)
    shape = (30, *((5,) if task.startswith("token") else ()))
    logits, labels = RANDOM.random((*shape, 4)), RANDOM.integers(0, 3, shape)
    labels[0] = -100
    expected = TASKS[task].training.metrics(config)(
        EvalPrediction(torch.tensor(logits), torch.tensor(labels)), compute_result=True
    )
    module = evaluation.load(task.replace("-", "_"))
    assert module.compute(predictions=logits.argmax(-1), references=labels) == pytest.approx(expected)
    assert 0 < expected["accuracy"] < 1


def test_masked_lm_is_that_of_training():
    logits, labels = RANDOM.random((3, 8, 5)) * 4, RANDOM.integers(0, 5, (3, 8))
    labels[:, 3:] = -100
    expected = TASKS["masked-lm"].training.metrics(RibonanzaNetConfig())(
        EvalPrediction(torch.tensor(logits), torch.tensor(labels)), compute_result=True
    )
    found = evaluation.load("masked_lm").compute(predictions=logits, references=labels)
    assert found == pytest.approx(expected, rel=1e-6)
    entropy = torch.nn.functional.cross_entropy(torch.tensor(logits).flatten(0, 1), torch.tensor(labels).flatten())
    assert found["perplexity"] == pytest.approx(entropy.exp().item())


def test_structures():
    native = RANDOM.random((15, 3)) * 20
    model = native + RANDOM.normal(size=native.shape)
    native[3] = np.nan
    found = evaluation.load("tertiary_structure").compute(
        predictions=[model.tolist()] * 2, references=[native.tolist()] * 2
    )
    expected = {"tm_score": tm_score(model, native), "rmsd": rmsd(model, native), "lddt": lddt(model, native)[0]}
    assert found == pytest.approx(expected)
    each = evaluation.load("tertiary_structure").compute(
        predictions=[model.tolist()] * 2, references=[native.tolist(), model.tolist()], each=True
    )
    assert each["tm_score"] == pytest.approx([found["tm_score"], 1])


def test_pairs():
    module = evaluation.load("pair_f1")
    found = module.compute(predictions=["((...))", "(.....)"], references=["((...))", ".(...)."])
    assert (found["precision"], found["recall"], found["f1"]) == (0.5, 0.5, 0.5)
    each = module.compute(predictions=["((...))", "(.....)"], references=["((...))", ".(...)."], each=True)
    assert each["f1"] == [1, 0]
    assert module.compute(predictions=["(.....)"], references=["(....)."], shift=1)["f1"] == 1
    with pytest.raises(ValueError, match="RNA 1: structures of 3 and 4 nt; give them for one sequence"):
        module.compute(predictions=["..."], references=["...."])


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"there is no metric 'f1'; choose one of reactivity, "):
        evaluation.load("f1")
    nothing = [[[float("nan")] * 3] * 5]
    with pytest.raises(ValueError, match="RNA 1: fewer than 3 nucleotides of the reference have a position"):
        evaluation.load("tertiary_structure").compute(predictions=[[[0.0] * 3] * 5], references=nothing)


def test_a_trainer_takes_them_whole_and_in_batches(tmp_path):
    from datasets import Dataset
    from tiny_models import save_tiny
    from transformers import AutoTokenizer, Trainer, TrainingArguments

    from rna_hf import RibonanzaNetForTokenClassification
    from rna_hf.data.collators import DataCollatorForTokens

    folder = save_tiny(tmp_path / "base", {"alphabet": "ribonanzanet"}, fix_attention_mask=True)
    model = RibonanzaNetForTokenClassification.from_pretrained(folder, num_labels=3)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sequences = ["GGGAAACCC", "GACU" * 4, "GGAUC"]
    labels = [[index % 3 for index in range(len(sequence))] for sequence in sequences]
    labels[1][2] = -100
    table = Dataset.from_dict({"input_ids": tokenizer(sequences)["input_ids"], "labels": labels})
    results = []
    for in_batches in (False, True):
        arguments = TrainingArguments(
            str(tmp_path), use_cpu=True, per_device_eval_batch_size=2, batch_eval_metrics=in_batches, report_to="none"
        )
        trainer = Trainer(
            model,
            arguments,
            eval_dataset=table,
            data_collator=DataCollatorForTokens(tokenizer),
            compute_metrics=evaluation.compute_metrics("token_classification"),
        )
        results.append({name: trainer.evaluate()[f"eval_{name}"] for name in ("accuracy", "macro_f1")})
    assert results[0] == results[1]
    right = []
    for sequence, row in zip(sequences, labels, strict=True):
        predicted = model(**tokenizer(sequence, return_tensors="pt")).logits[0].argmax(-1).tolist()
        right += [one == label for one, label in zip(predicted, row, strict=True) if label != -100]
    assert results[0]["accuracy"] == pytest.approx(np.mean(right))


def test_without_a_cache_one_line_says_what_to_do():
    code = "from rna_hf import evaluation\nevaluation.load('pair_f1')"
    environment = os.environ | {"HF_HOME": "/dev/null/cache", "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "OSError: the cache of the library evaluate can't be written (/dev/null" in run.stderr.splitlines()[-1]


def test_what_no_trainer_can_compute():
    with pytest.raises(ValueError, match="the metric 'pair_f1' is not for a Trainer: compute it of what"):
        evaluation.compute_metrics("pair_f1")
