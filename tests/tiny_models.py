"""The tiny models of all tests: sizes for each architecture, and checkpoints with random weights."""

import torch

from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity
from rna_hf.tokenization import RnaTokenizerFast

RIBONANZANET = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "pair_hidden_size": 16}
# For tests that train or compile: the sizes do not matter, the time does.
RIBONANZANET_TO_TRAIN = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pair_hidden_size": 8,
    "outer_product_size": 4,
}
RNATRACKER = {"hidden_size": 8, "gru_hidden_size": 6, "attention_size": 5}
PLANTRNA_FM = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "pair_hidden_size": 8,
}
# By architecture.
SIZES = {"ribonanzanet": RIBONANZANET, "rnatracker": RNATRACKER, "plantrna_fm": PLANTRNA_FM}


def tiny_model(model_class=RibonanzaNetForReactivity, seed=0, **options):
    """Make a RibonanzaNet with random weights, in evaluation mode.

    Args:
        model_class: the class with its head.
        seed: of the weights.
        options: of the configuration, beside the sizes or in their place.
    """
    torch.manual_seed(seed)
    return model_class(RibonanzaNetConfig(**(RIBONANZANET | options))).eval()


def save_tiny(folder, tokenizer_options=None, model_class=RibonanzaNetForReactivity, seed=0, **options):
    """Save a model of `tiny_model` with its tokenizer, and return the folder."""
    tiny_model(model_class, seed, **options).save_pretrained(folder)
    RnaTokenizerFast(**(tokenizer_options or {})).save_pretrained(folder)
    return folder
