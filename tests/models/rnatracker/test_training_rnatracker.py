"""RNATracker in training: loss, gradients, accumulation, checkpointing and initialisation."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import RNATRACKER
from torch import nn
from transformers import Trainer, TrainingArguments

from rna_hf import RnaTrackerConfig, RnaTrackerForLocalisation, RnaTrackerForSequenceClassification

TINY = RNATRACKER
# With few units, all that a direction gives can be below 0, where the ReLU behind it stops the gradient.
WIDER = {"hidden_size": 16, "gru_hidden_size": 16}
NAN = float("nan")


def _model(model_class=RnaTrackerForLocalisation, **changes):
    """A model with fixed random weights, in training mode."""
    torch.manual_seed(1)
    return model_class(RnaTrackerConfig(**(TINY | changes))).train()


def _batch(lengths=(90, 60, 45), padding_side="left"):
    """Ids, mask and labels, with padding on one side."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.full((len(lengths), max(lengths)), 4)
    for row, length in enumerate(lengths):
        place = slice(max(lengths) - length, None) if padding_side == "left" else slice(length)
        ids[row, place] = torch.randint(0, 4, (length,), generator=generator)
    labels = torch.rand(len(lengths), 4, generator=generator)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 4).long(),
        "labels": labels / labels.sum(1, keepdim=True),
    }


def _gradients(model, seed=0, **batch):
    """The loss and all gradients of one training step."""
    model.zero_grad()
    torch.manual_seed(seed)
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


def _assert_same(found, expected):
    torch.testing.assert_close(found[0], expected[0])
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("mask_padding", [True, False])
def test_gradient_reaches_every_parameter(mask_padding):
    _, gradients = _gradients(_model(mask_padding=mask_padding, **WIDER), **_batch())
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().sum() > 0, name


def test_loss_is_the_divergence_from_the_labels():
    batch = _batch()
    model = _model().eval()
    with torch.no_grad():
        outputs = model(**batch)
        shares = outputs.logits.softmax(-1)
        by_hand = (batch["labels"] * (batch["labels"] / shares).log()).sum(1).mean()
        torch.testing.assert_close(outputs.loss, by_hand)
        batch["labels"] = shares
        assert model(**batch).loss.abs() < 1e-6


def test_rows_without_labels_do_not_count():
    model = _model(hidden_dropout=0.0)
    batch = _batch()
    expected = _gradients(model, **{name: tensor[[0, 2]] for name, tensor in batch.items()})
    for unknown in ([NAN] * 4, [0.2, NAN, 0.3, 0.5], [-100.0] * 4):
        batch["labels"][1] = torch.tensor(unknown)
        _assert_same(_gradients(model, **batch), expected)
    batch["labels"][:] = NAN
    loss, gradients = _gradients(model, **batch)
    assert loss == 0
    assert all((gradient == 0).all() for gradient in gradients.values())


def test_labels_of_another_shape_are_refused():
    batch = _batch()
    with pytest.raises(ValueError, match=r"labels of shape \(3, 3\) do not fit predictions of shape \(3, 4\)"):
        _model()(**(batch | {"labels": batch["labels"][:, :3]}))


def test_padding_side_does_not_matter():
    model = _model(hidden_dropout=0.0)
    _assert_same(_gradients(model, **_batch(padding_side="right")), _gradients(model, **_batch()))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(use_reentrant):
    expected = _gradients(_model(), **_batch())
    model = _model()
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    assert all(block.gradient_checkpointing for block in model.model.blocks)
    _assert_same(_gradients(model, **_batch()), expected)


def test_autocast_is_finite():
    model = _model()
    with torch.autocast("cpu", torch.bfloat16):
        loss, gradients = _gradients(model, **_batch())
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize("steps", [1, 4])
def test_accumulation_by_the_trainer_changes_nothing(tmp_path, steps):
    """Four examples at once or one by one, unequally labelled: the same weights after one step."""
    batch = _batch((90, 60, 45, 70))
    batch["labels"][2] = -100.0
    examples = [{name: tensor[row] for name, tensor in batch.items()} for row in range(4)]
    model = _model(hidden_dropout=0.0)
    expected = _model(hidden_dropout=0.0)
    _, gradients = _gradients(expected, **batch)
    with torch.no_grad():
        for name, parameter in expected.named_parameters():
            parameter -= 0.1 * gradients[name]
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        use_cpu=True,
        per_device_train_batch_size=4 // steps,
        gradient_accumulation_steps=steps,
        max_steps=1,
        learning_rate=0.1,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        optim="sgd",
        save_strategy="no",
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=examples).train()
    for (name, found), wanted in zip(model.named_parameters(), expected.parameters()):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"num_labels": 1}, torch.tensor([0.5, -1.0, 2.0])),
        ({"num_labels": 3}, torch.tensor([2, -100, 0])),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, torch.tensor([[0.0, 1, NAN]] * 3)),
        ({"num_labels": 3, "problem_type": "regression"}, torch.tensor([[0.5, -100, 3.0]] * 3)),
    ],
)
def test_classification_by_problem_type(changes, labels):
    model = _model(RnaTrackerForSequenceClassification, **WIDER, **changes)
    loss, gradients = _gradients(model, **(_batch() | {"labels": labels}))
    assert loss.isfinite()
    assert loss > 0
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients.values())


def test_a_few_steps_learn_the_labels():
    batch = _batch()
    model = _model(hidden_dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
    assert loss < 0.01


class TestInitialisation:
    def test_is_that_of_torch(self):
        """As in the original: each kind of layer keeps within torch's own bounds and fills them."""
        model = _model(hidden_size=32, gru_hidden_size=32, attention_size=50)
        for module in model.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d)):
                bound = 1 / math.sqrt(module.weight[0].numel())
            elif isinstance(module, nn.GRU):
                bound = 1 / math.sqrt(module.hidden_size)
            else:
                continue
            values = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
            assert values.abs().max() <= bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.3)

    def test_missing_weights_are_initialised(self, tmp_path):
        _model().save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        missing = {name for name in weights if "forward_gru" in name or "blocks.1" in name or "score" in name}
        kept = {name: tensor for name, tensor in weights.items() if name not in missing}
        save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
        model, info = RnaTrackerForLocalisation.from_pretrained(tmp_path, output_loading_info=True)
        assert set(info["missing_keys"]) == missing
        for name, parameter in model.named_parameters():
            assert parameter.isfinite().all(), name
            assert (name in missing) != torch.equal(parameter, weights[name]), name
            assert parameter.abs().max() < 1, name
