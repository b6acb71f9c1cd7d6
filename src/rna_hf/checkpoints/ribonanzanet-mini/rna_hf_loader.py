"""Opens this checkpoint with transformers' Auto classes. The model itself: pip install rna-hf."""

from rna_hf.models.ribonanzanet import (
    RibonanzaNetConfig,
    RibonanzaNetModel,
)

__all__ = [
    "RibonanzaNetConfig",
    "RibonanzaNetModel",
]
