"""What a training run is told beside transformers' own `TrainingArguments`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from transformers import HfArgumentParser, TrainingArguments


@dataclass
class ModelArguments:
    """The model and how it is trained.

    Attributes:
        task: key of `rna_hf.training.tasks.TASKS`.
        model: bundled name, folder or Hub id; its weights below the head are kept, and the head's too if it fits.
        config: fields of the configuration to set, JSON on the command line, a table in YAML.
        lora_rank: rank of LoRA adapters on every linear layer of the layers; 0 trains all weights.
        lora_alpha: scale of the adapters, divided by the rank.
        optimizer: "adamw" (TrainingArguments' `optim`) or "ranger" (Ranger of the package pytorch-optimizer).
    """

    task: str = field(default="", metadata={"help": "what to train for"})
    model: str = field(default="ribonanzanet-mini", metadata={"help": "bundled name, folder or Hub id"})
    config: str = field(default="{}", metadata={"help": "fields of the configuration to set, as JSON"})
    lora_rank: int = field(default=0, metadata={"help": "rank of LoRA adapters; 0: train all weights"})
    lora_alpha: int = field(default=16, metadata={"help": "scale of the adapters, divided by the rank"})
    optimizer: str = field(default="adamw", metadata={"help": "adamw or ranger"})


@dataclass
class DataArguments:
    """The data.

    Attributes:
        train_file: `.parquet`, `.json`(`l`) or `.csv` with the columns of `rna_hf.data.readers`, or a public format.
        validation_file: the same; if empty, clusters of similar sequences are set aside from `train_file`.
        test_file: the same, measured once at the end; may be empty.
        data_format: "table", or a public format: "ribonanza", "openvaccine", "structures" or "rna3d" (then a file is
            `sequences.csv,labels.csv`).
        validation_fraction: part of the RNAs to set aside.
        min_length: shorter RNAs are left out of training, nucleotides.
        max_length: longer RNAs are left out of training, nucleotides; 0 for no limit.
        crop: longer RNAs are cut to a window of this many nucleotides in training, another one each epoch; 0 for none.
        reverse_probability: of reading a training example backwards, labels included.
    """

    train_file: str = field(default="", metadata={"help": "training data"})
    validation_file: str = field(default="", metadata={"help": "validation data; empty: part of the training data"})
    test_file: str = field(default="", metadata={"help": "test data, measured once at the end"})
    data_format: str = field(default="table", metadata={"help": "table, ribonanza, openvaccine, structures or rna3d"})
    validation_fraction: float = field(default=0.1, metadata={"help": "part of the RNAs to set aside"})
    min_length: int = field(default=1, metadata={"help": "shortest RNA in training, nucleotides"})
    max_length: int = field(default=0, metadata={"help": "longest RNA in training, nucleotides; 0: no limit"})
    crop: int = field(default=0, metadata={"help": "nucleotides of a window of longer RNAs; 0: none"})
    reverse_probability: float = field(default=0.0, metadata={"help": "of reading an example backwards"})


def parse_arguments(argv: Sequence[str]) -> tuple[ModelArguments, DataArguments, TrainingArguments]:
    """Read the command line, and before it a YAML file if the first argument is one.

    Args:
        argv: `[FILE.yaml] [--option value ...]`; options after the file win over it.

    Raises:
        FileNotFoundError: the YAML file is missing.
        ValueError: it holds no table of options, or an unknown one.
    """
    dataclasses: Any = (ModelArguments, DataArguments, TrainingArguments)
    parser = HfArgumentParser(dataclasses, prog="rna-hf finetune")
    values: dict[str, Any] = {}
    rest = list(argv)
    if rest and rest[0].endswith((".yaml", ".yml")):
        path = Path(rest.pop(0))
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path} can't be read: {str(error).splitlines()[0]}") from error
        if not isinstance(loaded, dict):
            raise ValueError(f"{path} is not a table of options")
        values = loaded
        known = {action.dest for action in parser._actions}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"{path}: {unknown[0]!r} is no option; see rna-hf finetune --help")
    if isinstance(values.get("config"), dict):
        values["config"] = json.dumps(values["config"])
    # Evaluation sees one batch after the other, and examples hold letters that no model takes.
    parser.set_defaults(**{"batch_eval_metrics": True, "remove_unused_columns": False, "report_to": "none"} | values)
    model, data, training = parser.parse_args_into_dataclasses(args=rest)
    return cast(ModelArguments, model), cast(DataArguments, data), cast(TrainingArguments, training)
