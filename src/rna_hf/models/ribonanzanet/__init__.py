from .configuration_ribonanzanet import RibonanzaNetConfig
from .modeling_ribonanzanet import RibonanzaNetForReactivity, RibonanzaNetModel, RibonanzaNetPreTrainedModel

__all__ = [
    "RibonanzaNetConfig",
    "RibonanzaNetForReactivity",
    "RibonanzaNetModel",
    "RibonanzaNetPreTrainedModel",
]
