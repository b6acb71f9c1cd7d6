"""What a training run is told beside transformers' own `TrainingArguments`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.debug_utils import DebugOption

from ..models.registry import ARCHITECTURES
from ..options import OneLineParser
from .trainer_options import check_raw, lower_is_better


@dataclass
class ModelArguments:
    """The model and how it is trained.

    Attributes:
        task: key of `rna_hf.tasks.TASKS`.
        model: bundled name, folder or Hub id; its weights below the head are kept, and the head's too if it fits.
        from_scratch: take the configuration and the tokenizer of `model`, and no weights; `model` may then also name
            an architecture (a key of `rna_hf.models.registry.ARCHITECTURES`), for its default ones.
        config: fields of the configuration to set, JSON on the command line, a table in YAML.
        lora_rank: rank of LoRA adapters on every linear layer of the layers; 0 trains all weights.
        lora_alpha: scale of the adapters, divided by the rank.
        freeze_base: train the head alone and leave the base model as `model` has it.
        optimizer: "adamw" (TrainingArguments' `optim`) or "ranger" (Ranger of the package pytorch-optimizer).
        constant_part: part of the epochs, rounded down to whole ones, before the rate falls along a cosine; for
            `lr_scheduler_type` "warmup_stable_decay" without `num_decay_steps` in `lr_scheduler_kwargs`.
        early_stopping_patience: evaluations in a row without a better one after which training stops; 0: never.
        every_epochs: with `eval_strategy` and `save_strategy` "epoch": evaluate and save each time that this many
            epochs are over, and at the end.
        eval_dropout: leave dropout on in evaluations, as RNATracker's original did; for comparison with its figures.
        license: of the trained weights, as the Hub calls it, for the card; needed with `push_to_hub`.
    """

    task: str = field(default="", metadata={"help": "what to train for"})
    model: str = field(default="ribonanzanet-mini", metadata={"help": "bundled name, folder or Hub id"})
    from_scratch: bool = field(default=False, metadata={"help": "take the model's configuration and no weights"})
    config: str = field(default="{}", metadata={"help": "fields of the configuration to set, as JSON"})
    lora_rank: int = field(default=0, metadata={"help": "rank of LoRA adapters; 0: train all weights"})
    lora_alpha: int = field(default=16, metadata={"help": "scale of the adapters, divided by the rank"})
    freeze_base: bool = field(default=False, metadata={"help": "train the head alone"})
    optimizer: str = field(default="adamw", metadata={"help": "adamw or ranger"})
    constant_part: float = field(
        default=0.75, metadata={"help": "part of the epochs before warmup_stable_decay lets the rate fall"}
    )
    early_stopping_patience: int = field(
        default=0, metadata={"help": "evaluations without a better one until training stops; 0: never"}
    )

    every_epochs: int = field(
        default=1, metadata={"help": "epochs from one evaluation and checkpoint to the next, with the strategy epoch"}
    )
    eval_dropout: bool = field(default=False, metadata={"help": "leave dropout on in evaluations"})
    license: str | None = field(
        default=None, metadata={"help": "licence of the trained weights for the card, such as apache-2.0"}
    )

    @property
    def is_architecture(self) -> bool:
        """Whether `model` names an architecture rather than a checkpoint."""
        return self.model in ARCHITECTURES and not Path(self.model).is_dir()

    def config_fields(self) -> dict[str, Any]:
        """Return `config` as a table.

        Raises:
            ValueError: it is not JSON, or no table.
        """
        try:
            fields = json.loads(self.config)
        except json.JSONDecodeError as error:
            raise ValueError(f"config is not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ValueError(f'config is {self.config}: a table of fields is needed, such as {{"num_labels": 3}}')
        return _checked_classes(fields)


def _checked_classes(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields of a configuration with the names of classes in both directions, if any.

    Raises:
        ValueError: the number of classes is none, or their names don't count from 0.
    """
    count = fields.get("num_labels")
    if "num_labels" in fields and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise ValueError(f"config: num_labels is {str(count)[:40]!r}: it must be a whole number, 1 or more")
    names, numbers = fields.get("id2label"), fields.get("label2id")
    for name, value in (("id2label", names), ("label2id", numbers)):
        if value is not None and not isinstance(value, dict):
            raise ValueError(f'config: {name} is {str(value)[:40]}: a table is needed, such as {{"0": "a", "1": "b"}}')
    if names is None and numbers is not None:
        names = {str(number): name for name, number in numbers.items()}
    if names is None:
        return fields
    if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
        raise ValueError(
            f"config: the classes are {', '.join(map(str, names))[:80]}: they must count from 0, without gaps"
        )
    return fields | {
        "id2label": {int(number): str(name) for number, name in names.items()},
        "label2id": {str(name): int(number) for number, name in names.items()},
    }


@dataclass
class DataArguments:
    """The data.

    Attributes:
        train_file: `.parquet`, `.json`(`l`) or `.csv` with the columns of `rna_hf.data.readers`, or a public format.
        validation_file: the same; if empty, clusters of similar sequences are set aside from `train_file`.
        test_file: the same, measured once at the end; may be empty.
        data_format: "table", or a public format, a key of `rna_hf.data.readers.READERS`: "ribonanza", "ribonanza_test",
            "rdat", "shape" (or `profiles.react,sequences.fasta`), "openvaccine", "structures", "rna3d" (then a file is
            `sequences.csv,labels.csv`), "fasta", "cefra" or "localisation" (a CSV, or `sequences.fasta,values.csv`).
        profiles: which RNAs to train on, by the signal-to-noise ratios of their profiles: "all", "good" (every one is
            at least 1), "dirty" (one at least is) or "low_quality" (none is).
        validation_fraction: part of the RNAs to set aside.
        split: what is set aside: "similarity" (clusters of similar sequences, so that no copy of a validation RNA is
            trained on) or "random".
        similarity_k: with `split` "similarity", length of the words (k-mers) by which RNAs are compared, nucleotides, 1
            to 24; long ones (24) keep transcripts apart that hold copies of one repeat.
        similarity_min_shared: different words in common that make two RNAs similar, as do half of those of the shorter
            one: 100, with words of 24, for long transcripts.
        folds: cross-validation: train this many models, each of which sets another part of the RNAs aside; 0: one
            model, with `validation_fraction`.
        fold: train this one of them only, from 1; 0: all, one after the other.
        min_length: shorter RNAs are left out of training, nucleotides; of evaluation only those that the model is not
            able to read.
        max_length: longer RNAs are left out of training, nucleotides; 0 for no limit.
        crop: longer RNAs are cut to a window of this many nucleotides in training, another one each epoch; 0 for none.
        truncate: longer RNAs are cut to this many nucleotides, in evaluation as well; 0 for none.
        keep: the end that `truncate` leaves, "5prime" or "3prime".
        pad_to_multiple_of: pad batches to a multiple of this many nucleotides; for labels of whole sequences.
        round_labels: round shares to 4 decimals as RNATracker's original did; for "cefra" and "localisation".
        reverse_probability: of reading a training example backwards, labels included.
    """

    train_file: str = field(default="", metadata={"help": "training data"})
    validation_file: str = field(default="", metadata={"help": "validation data; empty: part of the training data"})
    test_file: str = field(default="", metadata={"help": "test data, measured once at the end"})
    data_format: str = field(default="table", metadata={"help": "table or a public format"})
    profiles: str = field(default="all", metadata={"help": "all, good, dirty or low_quality"})
    validation_fraction: float = field(default=0.1, metadata={"help": "part of the RNAs to set aside"})
    split: str = field(default="similarity", metadata={"help": "what is set aside: similarity or random"})
    similarity_k: int = field(default=12, metadata={"help": "length of the words by which RNAs are compared, 1 to 24"})
    similarity_min_shared: int = field(default=8, metadata={"help": "words in common that make two RNAs similar"})
    folds: int = field(default=0, metadata={"help": "number of folds of a cross-validation; 0: none"})
    fold: int = field(default=0, metadata={"help": "train this fold only, from 1; 0: all of them"})
    min_length: int = field(default=1, metadata={"help": "shortest RNA in training, nucleotides"})
    max_length: int = field(default=0, metadata={"help": "longest RNA in training, nucleotides; 0: no limit"})
    crop: int = field(default=0, metadata={"help": "nucleotides of a window of longer RNAs; 0: none"})
    truncate: int = field(default=0, metadata={"help": "cut longer RNAs to this many nucleotides; 0: none"})
    keep: str = field(default="5prime", metadata={"help": "end that truncate leaves: 5prime or 3prime"})
    pad_to_multiple_of: int = field(default=0, metadata={"help": "pad batches to a multiple of this, nucleotides"})
    round_labels: bool = field(default=False, metadata={"help": "round shares to 4 decimals"})
    reverse_probability: float = field(default=0.0, metadata={"help": "of reading an example backwards"})


# What transformers has called otherwise.
_OLD_NAMES = {
    "evaluation_strategy": "eval_strategy",
    "group_by_length": "train_sampling_strategy",
    "warmup_ratio": "warmup_steps",
    "no_cuda": "use_cpu",
}

Arguments = tuple[ModelArguments, DataArguments, TrainingArguments]


class _Parser(OneLineParser, HfArgumentParser):
    """Transformers' parser of dataclasses, with the errors of every other command."""


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read the command line, and before it a YAML file if the first argument is one.

    Args:
        argv: `[FILE.yaml] [--option value ...]`; options after the file win over it.

    Raises:
        FileNotFoundError: the YAML file is missing.
        ValueError: it holds no table of options, or an option is unknown or has a wrong value.
    """
    if argv and argv[0].endswith((".yaml", ".yml")):
        return parse_options(read_options(Path(argv[0])), argv[1:], source=argv[0])
    return parse_options({}, argv)


def read_options(path: Path) -> dict[str, Any]:
    """Read a YAML file of options; errors as of `parse_arguments`."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} can't be read: {str(error).splitlines()[0]}") from error
    if not isinstance(options, dict):
        raise ValueError(f"{path} is not a table of options")
    return options


def near_match(name: str, known: Sequence[str]) -> str:
    """Return words that name what somebody may have meant, to stand behind a name that is unknown; or nothing."""
    found = [_OLD_NAMES[name]] if name in _OLD_NAMES else difflib.get_close_matches(name, known, 1, 0.8)
    return f"; did you mean {found[0]}?" if found else ""


def parse_options(
    options: dict[str, Any], argv: Sequence[str], source: str = "", command: str = "finetune"
) -> Arguments:
    """Put options of a file and of the command line together.

    Args:
        options: by name.
        argv: `[--option value ...]`, which win.
        source: the file's name in messages.
        command: of rna-hf, in messages.

    Raises:
        ValueError: an option is unknown or has a wrong value.
    """
    dataclasses: Any = (ModelArguments, DataArguments, TrainingArguments)
    parser = _Parser(dataclasses, prog=f"rna-hf {command}", allow_abbrev=False)
    known = [action.dest for action in parser._actions]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"{source}: {unknown[0]!r} is no option{near_match(unknown[0], known)}; see {parser.prog} --help"
        )
    if isinstance(options.get("config"), dict):
        options = options | {"config": json.dumps(options["config"])}
    # Evaluation sees one batch after the other, and examples hold letters that no model takes.
    parser.set_defaults(**{"batch_eval_metrics": True, "remove_unused_columns": False, "report_to": "none"} | options)
    raw, rest = parser.parse_known_args(list(argv))
    if rest:
        if rest[0] in [str(choice.value) for choice in DebugOption]:
            parser.error(f"--debug, which is to show where an error is, takes no {rest[0]!r}; set debug in a YAML file")
        parser.error(f"{rest[0]!r} is no option{near_match(rest[0].lstrip('-').partition('=')[0], known)}")
    check_raw(vars(raw))
    try:
        *parsed, _ = parser.parse_args_into_dataclasses(args=list(argv), return_remaining_strings=True)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"an option of the Trainer can't be used: {error}") from error
    training = parsed[2]
    # TrainingArguments takes all that is not called a loss for better the larger it is.
    if raw.greater_is_better is None and training.metric_for_best_model and training.greater_is_better:
        training.greater_is_better = not lower_is_better(training.metric_for_best_model)
    return cast(Arguments, tuple(parsed))
