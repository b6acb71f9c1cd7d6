"""Fine-tuning over transformers' Trainer: `rna-hf finetune run.yaml`, or with torchrun or accelerate in front.

One page of glue: arguments, data, model, Trainer, and at the end the scores and a card beside the weights.
"""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from ..checkpoints import find_checkpoint
from .arguments import DataArguments, ModelArguments, parse_arguments
from .tasks import TASKS, FineTuneTask

# Linear layers of the sequence track that get adapters.
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "up_proj", "down_proj"]


def main(argv: Sequence[str]) -> int:
    """Run a fine-tuning and return the exit code."""
    model_arguments, data_arguments, training_arguments = parse_arguments(argv)
    if model_arguments.task not in TASKS:
        raise ValueError(f"task is {model_arguments.task!r}: choose one of {', '.join(TASKS)}")
    if not data_arguments.train_file:
        raise ValueError("train_file is missing: name the training data")
    finetune(model_arguments, data_arguments, training_arguments)
    return 0


def finetune(
    model_arguments: ModelArguments, data_arguments: DataArguments, training_arguments: TrainingArguments
) -> dict[str, float]:
    """Train, measure and write model, tokenizer, scores and card into `training_arguments.output_dir`.

    A run whose output folder holds checkpoints goes on from the last one.

    Returns:
        The scores, also in `scores.json`.
    """
    task = TASKS[model_arguments.task]
    set_seed(training_arguments.seed)
    datasets = load_splits(data_arguments, task, training_arguments.seed)
    model, tokenizer = load_model(model_arguments, task)
    metrics = task.metrics(model.config)
    # TrainingArguments puts "loss" where nothing was said; who wants the loss says "eval_loss".
    if training_arguments.load_best_model_at_end and training_arguments.metric_for_best_model == "loss":
        training_arguments.metric_for_best_model = task.best
        training_arguments.greater_is_better = task.greater_is_better
    train = Augmented(
        datasets["train"], data_arguments.reverse_probability, data_arguments.crop, training_arguments.seed
    )
    trainer = Trainer(
        model=add_adapters(model, model_arguments),
        args=training_arguments,
        train_dataset=train,
        eval_dataset=datasets["validation"],
        data_collator=task.collator(tokenizer),
        compute_metrics=metrics,
        callbacks=[EpochCallback(train)],
        optimizer_cls_and_kwargs=find_optimizer(model_arguments, training_arguments),
    )
    output = Path(str(training_arguments.output_dir))
    last = get_last_checkpoint(output) if output.is_dir() else None
    trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint or last)
    scores = trainer.evaluate()
    if "test" in datasets:
        scores |= trainer.evaluate(datasets["test"], metric_key_prefix="test")
    if trainer.is_world_process_zero():
        trained = trainer.accelerator.unwrap_model(trainer.model)
        if model_arguments.lora_rank:
            trained = trained.merge_and_unload()
        trained.save_pretrained(output)
        tokenizer.save_pretrained(output)
        (output / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        sizes = {name: len(dataset) for name, dataset in datasets.items()}
        (output / "README.md").write_text(run_card(model_arguments, data_arguments, scores, sizes), encoding="utf-8")
    return scores


def load_splits(arguments: DataArguments, task: FineTuneTask, seed: int) -> dict[str, Any]:
    """Read the data sets: `train`, `validation` and, if named, `test`."""
    from ..data.cluster_split import split_by_similarity

    train = load_table(arguments.train_file, arguments.data_format, task)
    lengths = np.array([len(sequence) for sequence in train["sequence"]])
    fits = (lengths >= arguments.min_length) & ((lengths <= arguments.max_length) | (arguments.max_length == 0))
    splits = {}
    if arguments.validation_file:
        splits["validation"] = load_table(arguments.validation_file, arguments.data_format, task)
    else:
        fractions = {"train": 1 - arguments.validation_fraction, "validation": arguments.validation_fraction}
        rows = split_by_similarity(train, fractions, seed)
        splits["validation"] = train.select(rows["validation"])
        fits[rows["validation"]] = False
    if not fits.any():
        raise ValueError(f"{arguments.train_file} holds no RNA of {arguments.min_length} to {arguments.max_length} nt")
    splits["train"] = train.select(np.flatnonzero(fits))
    if arguments.test_file:
        splits["test"] = load_table(arguments.test_file, arguments.data_format, task)
    return splits


def load_table(file: str, data_format: str, task: FineTuneTask) -> Any:
    """Read one file into a `datasets.Dataset` with the task's columns."""
    from datasets import load_dataset

    from ..data import readers

    paths = file.split(",")
    for path in paths:
        if not Path(path).exists():
            raise FileNotFoundError(f"{path} does not exist")
    if data_format == "table":
        suffix = Path(file).suffix.lower().lstrip(".")
        kinds = {"parquet": "parquet", "json": "json", "jsonl": "json", "csv": "csv"}
        if suffix not in kinds:
            raise ValueError(f"{file}: a table is .parquet, .json, .jsonl or .csv; else name its data_format")
        dataset = load_dataset(kinds[suffix], data_files=file, split="train")
    else:
        functions: dict[str, Any] = {
            "ribonanza": readers.read_ribonanza,
            "openvaccine": readers.read_openvaccine,
            "structures": readers.read_secondary_structures,
            "rna3d": readers.read_rna3d,
        }
        if data_format not in functions:
            raise ValueError(f"data_format is {data_format!r}: choose table or one of {', '.join(functions)}")
        dataset = functions[data_format](*paths)
    missing = [column for column in task.columns if column not in dataset.column_names]
    if missing:
        raise ValueError(f"{file} lacks the column {missing[0]!r}; it has {', '.join(dataset.column_names)}")
    return dataset


def load_model(arguments: ModelArguments, task: FineTuneTask) -> tuple[Any, Any]:
    """Open the model with the task's head, and the tokenizer."""
    import transformers

    import rna_hf

    folder = find_checkpoint(arguments.model)
    auto_class = getattr(rna_hf, task.auto_class, None) or getattr(transformers, task.auto_class)
    try:
        fields = json.loads(arguments.config)
    except json.JSONDecodeError as error:
        raise ValueError(f"config is not JSON: {error}") from error
    config = transformers.AutoConfig.from_pretrained(folder, **fields)
    # A head of another task has another shape; it begins anew.
    model = auto_class.from_pretrained(folder, config=config, ignore_mismatched_sizes=True)
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def add_adapters(model: Any, arguments: ModelArguments) -> Any:
    """Put LoRA adapters on the model if asked; the head is always trained in full."""
    if not arguments.lora_rank:
        return model
    if importlib.util.find_spec("peft") is None:
        raise ImportError("lora_rank needs the package peft: pip install 'rna-hf[train]'")
    from peft import LoraConfig, get_peft_model

    heads = [name for name, part in model.named_children() if name != "model" and list(part.parameters())]
    lora = LoraConfig(
        r=arguments.lora_rank, lora_alpha=arguments.lora_alpha, target_modules=LORA_TARGETS, modules_to_save=heads
    )
    return get_peft_model(model, lora)


def find_optimizer(arguments: ModelArguments, training: TrainingArguments) -> tuple[Any, dict[str, Any]] | None:
    """Return class and arguments of the optimiser; None for TrainingArguments' own."""
    if arguments.optimizer == "adamw":
        return None
    if arguments.optimizer != "ranger":
        raise ValueError(f"optimizer is {arguments.optimizer!r}: choose adamw or ranger")
    if importlib.util.find_spec("pytorch_optimizer") is None:
        raise ImportError("ranger needs the package pytorch-optimizer: pip install 'rna-hf[train]'")
    from pytorch_optimizer import Ranger

    return Ranger, {"lr": training.learning_rate, "weight_decay": training.weight_decay}


class Augmented:
    """A data set whose examples are cropped and, with some probability, read backwards, labels included.

    What happens to an example depends on the seed, the epoch and its place alone, so a resumed run sees the same.
    """

    def __init__(self, dataset: Any, reverse_probability: float = 0.0, crop: int = 0, seed: int = 0):
        self._dataset = dataset
        self._reverse_probability = reverse_probability
        self._crop = crop
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an example as the present epoch has it."""
        example = dict(self._dataset[int(index)])
        generator = random.Random(f"{self._seed} {self.epoch} {int(index)}")
        length = len(example["sequence"])
        if self._crop and length > self._crop:
            start = generator.randrange(length - self._crop + 1)
            example = window(example, start, start + self._crop)
        if generator.random() < self._reverse_probability:
            example = turned(example)
        return example


def _per_nucleotide(example: dict[str, Any]) -> list[str]:
    """Name the fields of an example that have an entry for each nucleotide."""
    length = len(example["sequence"])
    return [
        name
        for name in ("sequence", "labels", "coordinates")
        if hasattr(example.get(name), "__len__") and len(example[name]) == length
    ]


def window(example: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Return the nucleotides from start to stop (0-based, without stop), and what belongs to them."""
    cut = example | {name: example[name][start:stop] for name in _per_nucleotide(example)}
    if "pairs" in example:
        inside = [(i, j) for i, j in example["pairs"] if start <= i < stop and start <= j < stop]
        cut["pairs"] = [[i - start, j - start] for i, j in inside]
    return cut


def turned(example: dict[str, Any]) -> dict[str, Any]:
    """Return an example read from its 3' end."""
    last = len(example["sequence"]) - 1
    back = example | {name: example[name][::-1] for name in _per_nucleotide(example)}
    if "pairs" in example:
        back["pairs"] = [[last - j, last - i] for i, j in example["pairs"]]
    return back


class EpochCallback(TrainerCallback):
    """Tells the training data which epoch it is."""

    def __init__(self, dataset: Augmented):
        self._dataset = dataset

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch, which a resumed run begins in its middle."""
        self._dataset.epoch = int(state.epoch or 0)


def run_card(
    model_arguments: ModelArguments, data_arguments: DataArguments, scores: dict[str, float], sizes: dict[str, int]
) -> str:
    """Write the card of a fine-tuned checkpoint."""
    numbers = "\n".join(
        f"| {name} | {value:.4f} |" for name, value in sorted(scores.items()) if isinstance(value, float)
    )
    counts = ", ".join(f"{count:,} {name}" for name, count in sizes.items())
    return (
        f"---\nlibrary_name: transformers\nbase_model: {model_arguments.model}\n"
        f"tags: [rna, {model_arguments.task}]\n---\n\n"
        f"# {model_arguments.task}\n\nFine-tuned from `{model_arguments.model}` with `rna-hf finetune` on "
        f"`{Path(data_arguments.train_file).name}` ({counts} RNAs).\n\n| | value |\n| --- | ---: |\n{numbers}\n"
    )
