"""Makes this package known to transformers: the only file that writes to its Auto classes and its pipeline registry."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.pipelines import PIPELINE_REGISTRY

from .auto import auto_class
from .checkpoints.names import find_named_checkpoints
from .models.registry import ARCHITECTURES
from .pipelines import pipeline_class
from .tasks import TASKS, predictions
from .tokenization import RnaTokenizerFast


def register() -> None:
    """Make every model, tokenizer and pipeline of the registries known to transformers.

    Repeating it changes nothing; call it again after an entry was added to `ARCHITECTURES` or `TASKS`.
    """
    for architecture in ARCHITECTURES.values():
        config_class = architecture.find_class("Config")
        AutoConfig.register(architecture.name, config_class, exist_ok=True)
        AutoTokenizer.register(config_class, tokenizer_class=RnaTokenizerFast, exist_ok=True)
        AutoModel.register(config_class, architecture.find_class("Model"), exist_ok=True)
        for head in architecture.heads:
            auto_class(head).register(config_class, architecture.find_class(f"For{head}"), exist_ok=True)

    for name in predictions():
        arguments = pipeline_class(TASKS[name]).registration()
        if arguments["task"] not in PIPELINE_REGISTRY.supported_tasks:
            PIPELINE_REGISTRY.register_pipeline(**arguments)

    find_named_checkpoints()
