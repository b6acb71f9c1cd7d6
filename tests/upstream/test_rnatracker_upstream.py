"""transformers' own model, config and training tests, run on RNATracker.

What it skips here asks for an accelerator, a package or a feature (attention between positions, an embedding, tied
weights, text generation) that isn't there.
"""

import random
import unittest
from unittest import mock

import pytest
import torch
from transformers_tests import load

from rna_hf import (
    RnaTrackerConfig,
    RnaTrackerForLocalisation,
    RnaTrackerForSequenceClassification,
    RnaTrackerModel,
)

# The mixins use marks of transformers' own pytest settings, which `--strict-markers` would refuse here.
with mock.patch.object(pytest, "mark", pytest.MarkGenerator(_ispytest=True)):
    modeling_common = load("test_modeling_common")
    training_common = load("test_training_mixin")
configuration_common = load("test_configuration_common")


def make_labels(model_class, batch):
    """Distributions over the four compartments, or classes 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    if model_class is RnaTrackerForLocalisation:
        return torch.rand(batch, 4, generator=generator).softmax(-1)
    return torch.randint(0, 2, (batch,), generator=generator)


class RnaTrackerModelTester:
    """Makes the tiny configurations and the inputs that the mixins ask for."""

    batch_size = 3
    seq_length = 80
    is_training = True
    hidden_size = 16
    num_hidden_layers = 2

    def __init__(self, options):
        self.options = dict(options)

    def get_config(self):
        return RnaTrackerConfig(hidden_size=self.hidden_size, gru_hidden_size=12, attention_size=6, **self.options)

    def prepare_config_and_inputs_for_common(self):
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch_size, self.seq_length)
        attention_mask = torch.ones(shape, dtype=torch.long)
        attention_mask[0, :20] = 0
        input_ids = torch.randint(0, 4, shape, generator=generator)
        return self.get_config(), {"input_ids": input_ids, "attention_mask": attention_mask}


class _RnaTrackerTests(modeling_common.ModelTesterMixin, training_common.TrainingTesterMixin):
    model_tester = None
    all_model_classes = (RnaTrackerModel, RnaTrackerForLocalisation, RnaTrackerForSequenceClassification)
    trained_class = RnaTrackerForLocalisation
    options: dict = {}
    # There is no embedding to resize, and one map of attention for the whole model.
    test_resize_embeddings = False
    has_attentions = False
    # Only files with a recent copyright line are tested otherwise.
    test_can_init_all_missing_weights_before_2023 = True
    training_overfit_seq_length = 80
    # A third of the steps at ten times the rate: the loss falls as far.
    training_overfit_steps = 100
    training_overfit_learning_rate = 1e-2

    def setUp(self):
        super().setUp()
        self.model_tester = RnaTrackerModelTester(self.options)
        self.config_tester = configuration_common.ConfigTester(
            self, config_class=RnaTrackerConfig, has_text_modality=False, common_properties=["hidden_size"]
        )
        for patch in (
            # The mixin's own random numbers have no seed.
            mock.patch.object(modeling_common, "global_rng", random.Random(0)),
            # By these names it knows which classes have no loss.
            mock.patch.dict(modeling_common.MODEL_MAPPING_NAMES, {"rnatracker": "RnaTrackerModel"}),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        """Add labels, which no mapping of transformers knows of, to those of the mixin."""
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels and model_class is not RnaTrackerModel:
            inputs["labels"] = make_labels(model_class, len(inputs["input_ids"]))
        return inputs

    def _get_trainable_model_class(self):
        """The first class, the mixin's choice, has no loss."""
        return self.trained_class

    def _create_text_training_batch(self, batch_size, seq_length, vocab_size):
        """The mixin's labels are tokens; ours are those of the head, the same for each row as its tokens are."""
        batch = super()._create_text_training_batch(batch_size, seq_length, vocab_size)
        return batch | {"labels": make_labels(self.trained_class, 1).repeat(batch_size, 1)}

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_hidden_states_output(self):
        """The mixin asks for as many positions in each as there are tokens; here each pool leaves a third."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        config.output_hidden_states = True
        for model_class in self.all_model_classes:
            states = model_class(config).eval()(**inputs).hidden_states
            assert [tuple(state.shape[1:]) for state in states] == [(23, 16), (4, 16), (4, 24)]

    @unittest.skip("there is no embedding: channels are read")
    def test_inputs_embeds(self): ...

    @unittest.skip("there is no embedding: channels are read")
    def test_inputs_embeds_matches_input_ids(self): ...

    @unittest.skip("there is no embedding: channels are read")
    def test_model_get_set_embeddings(self): ...


class TestMasked(_RnaTrackerTests, unittest.TestCase):
    """Padding is never seen."""


class TestOriginal(_RnaTrackerTests, unittest.TestCase):
    """Padding is read as in the original."""

    options = {"mask_padding": False}
