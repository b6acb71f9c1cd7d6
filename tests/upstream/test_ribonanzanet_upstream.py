"""transformers' own model, config and training tests, run on RibonanzaNet.

Its pipeline tests are left out: they read tiny checkpoints from the Hub. What it skips here asks for an accelerator, a
package or a feature (flash attention, experts, rotary embeddings, tied weights, text generation) that isn't there.
"""

import random
import unittest
from unittest import mock

import pytest
import torch
from transformers_tests import load

from rna_hf import (
    RibonanzaNetConfig,
    RibonanzaNetForContactPrediction,
    RibonanzaNetForDegradation,
    RibonanzaNetForMaskedLM,
    RibonanzaNetForReactivity,
    RibonanzaNetForSecondaryStructure,
    RibonanzaNetForSequenceClassification,
    RibonanzaNetForSequenceDropout,
    RibonanzaNetForTertiaryStructure,
    RibonanzaNetForTokenClassification,
    RibonanzaNetModel,
)

# The mixins use marks of transformers' own pytest settings, which `--strict-markers` would refuse here.
with mock.patch.object(pytest, "mark", pytest.MarkGenerator(_ispytest=True)):
    modeling_common = load("test_modeling_common")
    training_common = load("test_training_mixin")
configuration_common = load("test_configuration_common")

# Head -> the axes of its labels (B batch, L length), and how many numbers each has, or that it is a class.
LABELS = {
    RibonanzaNetForReactivity: ("BL", 2),
    RibonanzaNetForDegradation: ("BL", 5),
    RibonanzaNetForSequenceDropout: ("B", 2),
    RibonanzaNetForSecondaryStructure: ("BLL", None),
    RibonanzaNetForTertiaryStructure: ("BL", 3),
    RibonanzaNetForContactPrediction: ("BLL", "class"),
    RibonanzaNetForSequenceClassification: ("B", "class"),
    RibonanzaNetForTokenClassification: ("BL", "class"),
    RibonanzaNetForMaskedLM: ("BL", "class"),
}


def make_labels(model_class, batch, length):
    """Random labels of a head, between 0 and 1; classes are 0 and 1."""
    axes, values = LABELS[model_class]
    shape = [batch if axis == "B" else length for axis in axes]
    generator = torch.Generator().manual_seed(1)
    if values == "class":
        return torch.randint(0, 2, shape, generator=generator)
    return torch.rand(*shape, *([values] if values else []), generator=generator)


class RibonanzaNetModelTester:
    """Makes the tiny configurations and the inputs that the mixins ask for."""

    batch_size = 5
    seq_length = 7
    is_training = True
    hidden_size = 32
    num_hidden_layers = 2
    num_attention_heads = 4
    # Larger than the alphabet: the mixin resizes the embedding to 15 rows less.
    vocab_size = 33

    def __init__(self, options):
        self.options = dict(options)
        self.implementation = None

    def get_config(self):
        config = RibonanzaNetConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            pair_hidden_size=16,
            **self.options,
        )
        if self.implementation is not None:
            config._attn_implementation = self.implementation
        return config

    def prepare_config_and_inputs_for_common(self):
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch_size, self.seq_length)
        attention_mask = torch.randint(0, 2, shape, generator=generator)
        attention_mask[:, 0] = 1
        input_ids = torch.randint(0, 4, shape, generator=generator)
        return self.get_config(), {"input_ids": input_ids, "attention_mask": attention_mask}


class _RibonanzaNetTests(modeling_common.ModelTesterMixin, training_common.TrainingTesterMixin):
    model_tester = None
    all_model_classes = (RibonanzaNetModel, RibonanzaNetForReactivity)
    trained_class = RibonanzaNetForReactivity
    options: dict = {}
    # Only files with a recent copyright line are tested otherwise.
    test_can_init_all_missing_weights_before_2023 = True
    training_overfit_seq_length = 16
    # A third of the steps at ten times the rate: the loss falls as far.
    training_overfit_steps = 100
    training_overfit_learning_rate = 1e-2
    # The gradient of a mean absolute error doesn't shrink with the error.
    training_grad_norm_reduction_threshold = float("-inf")

    def setUp(self):
        super().setUp()
        self.model_tester = RibonanzaNetModelTester(self.options)
        self.config_tester = configuration_common.ConfigTester(
            self, config_class=RibonanzaNetConfig, **(self.options | {"hidden_size": 32})
        )
        for patch in (
            # The mixin's own random numbers have no seed.
            mock.patch.object(modeling_common, "global_rng", random.Random(0)),
            # By these names it knows which classes have no loss.
            mock.patch.dict(modeling_common.MODEL_MAPPING_NAMES, {"ribonanzanet": "RibonanzaNetModel"}),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        """Add labels, which no mapping of transformers knows of, to those of the mixin."""
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels and model_class in LABELS:
            inputs["labels"] = make_labels(model_class, *inputs["input_ids"].shape)
        return inputs

    def _get_trainable_model_class(self):
        """The first class, the mixin's choice, has no loss."""
        return self.trained_class

    def _create_text_training_batch(self, batch_size, seq_length, vocab_size):
        """The mixin's labels are tokens; ours are those of the head, the same for each row as its tokens are."""
        batch = super()._create_text_training_batch(batch_size, seq_length, vocab_size)
        labels = make_labels(self.trained_class, 1, seq_length)
        return batch | {"labels": labels.repeat(batch_size, *[1] * (labels.dim() - 1))}

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_model_outputs_equivalence(self):
        """With eager attention: it asks for attention weights, which are refused with sdpa."""
        self.model_tester.implementation = "eager"
        super().test_model_outputs_equivalence()

    def test_capture_outputs_decorator(self):
        """With eager attention: it asks for attention weights, which are refused with sdpa."""
        self.model_tester.implementation = "eager"
        super().test_capture_outputs_decorator()

    def test_eager_matches_sdpa_inference_24_fp32_pad_left_output_attentions(self):
        """It compares eager with sdpa attention that gives weights; ours refuses to, rather than to give none."""
        with pytest.raises(ValueError, match="attention weights are not available with 'sdpa'"):
            super().test_eager_matches_sdpa_inference_24_fp32_pad_left_output_attentions()


class TestDefault(_RibonanzaNetTests, unittest.TestCase):
    """The released model's behaviour."""


class TestFixed(_RibonanzaNetTests, unittest.TestCase):
    """All defects of the original fixed."""

    options = {"fix_attention_mask": True, "fix_attention_residual": True, "fix_pairwise_dropout": True}


class TestTriangularAttention(_RibonanzaNetTests, unittest.TestCase):
    options = {"use_triangular_attention": True, "fix_attention_mask": True, "padding_quirk": "bool"}


class TestHeads(_RibonanzaNetTests, unittest.TestCase):
    """The other heads, on the fixed model."""

    all_model_classes = (RibonanzaNetModel, *(head for head in LABELS if head is not RibonanzaNetForReactivity))
    trained_class = RibonanzaNetForMaskedLM
    options = TestFixed.options
