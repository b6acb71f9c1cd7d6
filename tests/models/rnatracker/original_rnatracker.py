"""The original RNATracker in a few plain lines, written from its published description, and weights in its format."""

import torch
from torch import nn

CHANNELS = "GATC"
COMPARTMENTS = 4


def random_weights(seed=0, hidden_size=32, gru_size=32, attention_size=50, kernel_size=10, compartments=COMPARTMENTS):
    """Random tensors under the original's names, of the original's sizes by default."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "conv_block1.0.weight": (hidden_size, 4, kernel_size),
        "conv_block2.0.weight": (hidden_size, hidden_size, kernel_size),
        "attention.attention_w.weight": (attention_size, 2 * gru_size),
        "attention.attention_w.bias": (attention_size,),
        "attention.attention_w2.weight": (1, attention_size),
        "output.weight": (compartments, 2 * gru_size),
        "output.bias": (compartments,),
    }
    for direction in ("", "_reverse"):
        shapes |= {
            f"gru.weight_ih_l0{direction}": (3 * gru_size, hidden_size),
            f"gru.weight_hh_l0{direction}": (3 * gru_size, gru_size),
            f"gru.bias_ih_l0{direction}": (3 * gru_size,),
            f"gru.bias_hh_l0{direction}": (3 * gru_size,),
        }
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def pad_left(sequence, length):
    """The original's fixed length: `_` in front of shorter sequences, the first letters of longer ones."""
    return sequence[:length].rjust(length, "_")


@torch.no_grad()
def run_original(weights, sequence):
    """Return the output (compartments,), the logits before its softmax and the attention (positions,) of a sequence.

    Args:
        weights: under the original's names.
        sequence: of G, A, T and C; `_` is a position without channels.
    """
    states = torch.tensor([[float(letter == channel) for letter in sequence] for channel in CHANNELS])[None]
    for block in ("conv_block1", "conv_block2"):
        states = nn.functional.conv1d(states, weights[f"{block}.0.weight"])
        states = nn.functional.max_pool1d(states.relu(), 3)
    gru = nn.GRU(states.shape[1], weights["gru.weight_hh_l0"].shape[1], batch_first=True, bidirectional=True)
    gru.load_state_dict({name.removeprefix("gru."): tensor for name, tensor in weights.items() if "gru." in name})
    states = gru(states.transpose(1, 2))[0][0].relu()
    inner = torch.tanh(states @ weights["attention.attention_w.weight"].T + weights["attention.attention_w.bias"])
    attention = (inner @ weights["attention.attention_w2.weight"][0]).softmax(0)
    logits = weights["output.weight"] @ (attention @ states).relu() + weights["output.bias"]
    return logits.softmax(0), logits, attention
