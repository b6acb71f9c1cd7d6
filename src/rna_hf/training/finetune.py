"""Fine-tuning over transformers' Trainer: `rna-hf finetune run.yaml`, or with torchrun or accelerate in front.

One page of glue: arguments, data, model, Trainer, and at the end the scores and a card beside the weights.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from ..checkpoints import find_checkpoint
from ..hub.card_metadata import hub_id_of
from ..hub.golden import write_golden
from ..losses import problem_type_of
from ..models.base import UnknownNucleotidesWarning
from ..models.registry import ARCHITECTURES
from ..safety import check_folder
from ..tasks import TASKS, Task, trainings
from ..tokenization import KEPT_ENDS, RnaTokenizerFast
from .arguments import DataArguments, ModelArguments, near_match
from .callbacks import EveryEpochs, LogFile
from .card_callback import CardCallback, describe_source
from .examples import Augmented, SimilarLengths, columns_of_nucleotides
from .hub_push import check_licence, make_hub_push
from .run_record import RECORD_FILE, check_record, describe_data, make_record, write_record
from .trainer_options import check_best_metric, check_schedule, check_trainer_options, metric_names, need
from .training_data import check_data_arguments, load_splits
from .training_range import range_of

# Written last of all: where it lies, the run is finished.
SCORES_FILE = "scores.json"
LOG_FILE = "log.txt"


def check_arguments(
    model_arguments: ModelArguments, data_arguments: DataArguments, training_arguments: TrainingArguments
) -> None:
    """Refuse wrong options, those that contradict each other, and those whose packages are missing."""
    tasks = trainings()
    if model_arguments.task not in tasks:
        raise ValueError(f"task is {model_arguments.task!r}: choose one of {', '.join(tasks)}")
    check_data_arguments(data_arguments)
    check_licence(model_arguments.license)
    if data_arguments.folds and not data_arguments.fold and training_arguments.push_to_hub:
        raise ValueError("push_to_hub is for one model, and folds trains several: leave one of them out")
    if data_arguments.pad_to_multiple_of:
        collator = tasks[model_arguments.task].collator_class()
        if "pad_to_multiple_of" not in {part.name for part in fields(collator)}:
            raise ValueError(f"pad_to_multiple_of is not for the task {model_arguments.task}: leave it out")
    if model_arguments.is_architecture and not model_arguments.from_scratch:
        raise FileNotFoundError(
            f"{model_arguments.model} is an architecture, not a checkpoint: name one, or set from_scratch to train "
            "from nothing"
        )
    if model_arguments.every_epochs < 1:
        raise ValueError(f"every_epochs is {model_arguments.every_epochs}: it must be at least 1")
    if model_arguments.lora_rank < 0 or model_arguments.early_stopping_patience < 0:
        name = "lora_rank" if model_arguments.lora_rank < 0 else "early_stopping_patience"
        raise ValueError(f"{name} is {getattr(model_arguments, name)}: it must be at least 0, which is for none")
    if model_arguments.lora_rank and model_arguments.lora_alpha < 1:
        raise ValueError(f"lora_alpha is {model_arguments.lora_alpha}: it must be at least 1")
    if not 0 <= model_arguments.constant_part < 1:
        raise ValueError(f"constant_part is {model_arguments.constant_part}: it must be at least 0 and below 1")
    model_arguments.config_fields()
    find_optimizer(model_arguments, training_arguments)
    if model_arguments.lora_rank:
        need("peft", "lora_rank")
    if model_arguments.freeze_base and (model_arguments.lora_rank or model_arguments.from_scratch):
        other = "lora_rank" if model_arguments.lora_rank else "from_scratch"
        raise ValueError(f"freeze_base does not go with {other}, which trains the base model: leave one of them out")
    patience = model_arguments.early_stopping_patience
    if patience and not training_arguments.load_best_model_at_end:
        raise ValueError(
            f"early_stopping_patience {patience} needs evaluations and the best checkpoint: set eval_strategy and "
            "load_best_model_at_end"
        )
    check_trainer_options(training_arguments, TASKS[model_arguments.task])
    check_schedule(training_arguments)


def finetune(
    model_arguments: ModelArguments, data_arguments: DataArguments, training_arguments: TrainingArguments
) -> dict[str, float]:
    """Train, measure and write model, tokenizer, scores and card into `training_arguments.output_dir`.

    A run whose output folder holds checkpoints goes on from the last one.

    Returns:
        The scores, also in `scores.json`.

    Raises:
        FileExistsError: the folder's checkpoints are of another task, model or data.
    """
    task, training = TASKS[model_arguments.task], trainings()[model_arguments.task]
    output = Path(str(training_arguments.output_dir))
    record = make_record(model_arguments, data_arguments, training_arguments)
    last = get_last_checkpoint(output) if output.is_dir() else None
    if last:
        check_record(output / RECORD_FILE, record)
    hub_push = make_hub_push(training_arguments, model_arguments.license)
    set_seed(training_arguments.seed)
    config, tokenizer = load_config_for(model_arguments, task), load_tokenizer(model_arguments, data_arguments)
    stated = model_arguments.config_fields()
    # The data say how many classes the head has, where nobody else does.
    datasets = load_splits(
        data_arguments, task, config, training_arguments.seed, stated, getattr(tokenizer, "on_unknown", "") == "n"
    )
    model = load_model(model_arguments, task, config)
    for name, value in range_of(datasets["train"], training, data_arguments.crop).items():
        if name not in stated:
            setattr(model.config, name, value)
    padding = {"pad_to_multiple_of": data_arguments.pad_to_multiple_of} if data_arguments.pad_to_multiple_of else {}
    metrics = training.metrics(model.config)
    collator = training.collator_class()(tokenizer, **padding)
    # Metrics of batches are those of the whole, without a matrix of every RNA in memory.
    training_arguments.batch_eval_metrics = True
    # TrainingArguments puts "loss" where nothing was said; who wants the loss says "eval_loss".
    chooses = training_arguments.load_best_model_at_end or training_arguments.save_strategy == "best"
    if chooses and training_arguments.metric_for_best_model in (None, "loss"):
        is_known = not training_arguments.prediction_loss_only
        training_arguments.metric_for_best_model = training.best if is_known else "loss"
        training_arguments.greater_is_better = training.greater_is_better and is_known
    elif training_arguments.metric_for_best_model not in (None, "loss", "eval_loss"):
        names = metric_names(model, collator, datasets["validation"], metrics)
        check_best_metric(training_arguments, task, names)
    if training_arguments.label_smoothing_factor and training.has_classes:
        check_smoothing(model.config)
    batch = training_arguments.train_batch_size * training_arguments.world_size
    if training_arguments.dataloader_drop_last and len(datasets["train"]) < batch:
        raise ValueError(
            f"dataloader_drop_last is on, and the {len(datasets['train'])} RNAs to train on fill no batch of {batch}: "
            "make per_device_train_batch_size smaller"
        )
    train = Augmented(
        datasets["train"],
        columns_of_nucleotides(training),
        data_arguments.reverse_probability,
        data_arguments.crop,
        training_arguments.seed,
    )
    callbacks: list[TrainerCallback] = [
        EpochCallback(train),
        EveryEpochs(model_arguments.every_epochs),
        LogFile(output / LOG_FILE),
    ]
    if model_arguments.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(model_arguments.early_stopping_patience))
        training_arguments.restore_callback_states_from_checkpoint = True
    trainer = FineTuneTrainer(
        model=add_adapters(model, model_arguments),
        args=training_arguments,
        train_dataset=train,
        eval_dataset=datasets["validation"],
        data_collator=collator,
        compute_metrics=metrics,
        callbacks=callbacks,
        optimizer_cls_and_kwargs=find_optimizer(model_arguments, training_arguments),
        constant_part=model_arguments.constant_part,
        eval_dropout=model_arguments.eval_dropout,
    )
    facts = {"license": model_arguments.license} if model_arguments.license else {}
    card = CardCallback(trainer, facts, manifest=describe_run(model_arguments, data_arguments, record, datasets))
    if model_arguments.lora_rank and trainer.is_fsdp_enabled:
        raise ValueError("lora_rank does not go with FSDP, which splits what is to be merged: start it with DDP")
    if trainer.is_world_process_zero():
        write_record(output / RECORD_FILE, record)
    trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint or last)
    scores = trainer.evaluate()
    if "test" in datasets:
        scores |= trainer.evaluate(datasets["test"], metric_key_prefix="test")
    trained = trainer.accelerator.unwrap_model(trainer.model)
    if model_arguments.lora_rank:
        trained = trained.merge_and_unload()
        weights = trained.state_dict()
    else:
        weights = trainer.accelerator.get_state_dict(trainer.model)  # from all processes, where they share it
    if trainer.is_world_process_zero():
        trained.save_pretrained(output, state_dict=weights)
        tokenizer.save_pretrained(output)
        try:
            write_golden(output)
        except ValueError as error:  # a training that diverged is still measured and written
            warnings.warn(f"no golden output was written: {error}", stacklevel=2)
        card.write(output, scores, SCORES_FILE)
        (output / SCORES_FILE).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        if hub_push:
            hub_push.upload(output)
    trainer.accelerator.wait_for_everyone()
    return scores


class FineTuneTrainer(Trainer):
    """A Trainer for examples that hold `sequence`.

    It groups them by length where `train_sampling_strategy` is "group_by_length", and it knows when
    "warmup_stable_decay" is to let the rate fall where its arguments don't say.

    Args:
        constant_part: part of the epochs, rounded down to whole ones, or of `max_steps`.
        eval_dropout: leave dropout on in evaluations.
        **kwargs: of `Trainer`.
    """

    def __init__(self, *, constant_part: float, eval_dropout: bool, **kwargs: Any):
        self._constant_part = constant_part
        self._eval_dropout = eval_dropout
        super().__init__(**kwargs)

    def prediction_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate one batch; the Trainer has turned dropout off before."""
        if self._eval_dropout:
            model.train()
        with warnings.catch_warnings():
            # `load_splits` has warned already, with names.
            warnings.simplefilter("ignore", UnknownNucleotidesWarning)
            return super().prediction_step(model, *args, **kwargs)

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate every RNA, also where the last ones are dropped in training."""
        drops = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = False
        try:
            return super().get_eval_dataloader(*args, **kwargs)
        finally:
            self.args.dataloader_drop_last = drops

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Set up the optimiser; complaints get the name of the option."""
        name = str(getattr(self.args.optim, "value", self.args.optim))
        what = f"optim {name}" + (f" with optim_args {self.args.optim_args!r}" if self.args.optim_args else "")
        try:
            return super().create_optimizer(*args, **kwargs)
        except ImportError as error:
            raise ImportError(f"{what} can't be used: {error}") from error
        except (ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
            raise ValueError(f"{what} can't be used: {error}") from error

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Set up the schedule for the number of optimiser steps of the whole training."""
        args = self.args
        known: Any = args.lr_scheduler_kwargs or {}
        if args.lr_scheduler_type == "warmup_stable_decay" and "num_decay_steps" not in known:
            epochs = args.num_train_epochs
            part = self._constant_part if args.max_steps > 0 else int(self._constant_part * epochs) / epochs
            num_decay_steps = num_training_steps - round(part * num_training_steps)
            args.lr_scheduler_kwargs = known | {"num_decay_steps": num_decay_steps}
        return super().create_scheduler(num_training_steps, optimizer)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return SimilarLengths(train_dataset or self.train_dataset, size, self.args.seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_eval_sampler(eval_dataset)
        return SimilarLengths(eval_dataset, self.args.eval_batch_size, self.args.seed)


def load_config_for(arguments: ModelArguments, task: Task) -> Any:
    """Open the model's configuration, with the fields that the arguments set.

    Raises:
        ValueError: the model has no head for the task, or a field is unknown or has a wrong value.
    """
    config, fields = open_config(arguments, {}), arguments.config_fields()
    if type(config) not in task.auto_class()._model_mapping:
        raise ValueError(
            f"{arguments.model} is a {config.model_type}, which has no head for {arguments.task}: name another model"
        )
    known = [name for name in dir(config) if not name.startswith("_")]
    if unknown := [name for name in fields if name not in known]:
        hint = near_match(unknown[0], known)
        raise ValueError(f"config: a {config.model_type} has no field {unknown[0][:40]!r}{hint}")
    return open_config(arguments, fields)


def open_config(arguments: ModelArguments, fields: dict[str, Any]) -> Any:
    """Open the model's configuration, with these fields set.

    Raises:
        ValueError: a field has a wrong value.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        if arguments.is_architecture:
            return AutoConfig.for_model(arguments.model, **fields)
        return AutoConfig.from_pretrained(find_checkpoint(arguments.model), **fields)
    except StrictDataclassError as error:  # around what a validator raised
        raise ValueError(f"the configuration of {arguments.model}: {error.__cause__ or error}") from error


def load_model(arguments: ModelArguments, task: Task, config: Any) -> Any:
    """Open the model with the task's head, in the size that a configuration says."""
    from huggingface_hub.errors import StrictDataclassError

    auto_class = task.auto_class()
    if arguments.from_scratch:
        try:
            model = auto_class.from_config(config)
        except (ValueError, TypeError, RuntimeError, ArithmeticError, AssertionError, StrictDataclassError) as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise ValueError(f"config: no model of these sizes can be made: {reason[:200]}") from error
    else:
        # A head of another task has another shape; it begins anew.
        folder = find_checkpoint(arguments.model)
        check_folder(folder)
        model = auto_class.from_pretrained(folder, config=config, ignore_mismatched_sizes=True)
    if arguments.freeze_base:
        model.base_model.requires_grad_(False)
    return model


def load_tokenizer(arguments: ModelArguments, data: DataArguments) -> Any:
    """Open the model's tokenizer, which remembers how sequences are truncated."""
    from transformers import AutoTokenizer

    ends: dict[str, Any] = {}
    if data.truncate:
        ends = {"model_max_length": data.truncate, "truncation_side": KEPT_ENDS[data.keep]}
    if arguments.is_architecture:
        return RnaTokenizerFast(alphabet=ARCHITECTURES[arguments.model].alphabet, **ends)
    return AutoTokenizer.from_pretrained(find_checkpoint(arguments.model), **ends)


def add_adapters(model: Any, arguments: ModelArguments) -> Any:
    """Put LoRA adapters on the model if asked; the head is always trained in full."""
    if not arguments.lora_rank:
        return model
    from peft import LoraConfig, get_peft_model

    targets = list(ARCHITECTURES[model.config.model_type].lora_targets)
    if not targets:
        raise ValueError(
            f"lora_rank is not for a {model.config.model_type}, which has no transformer layers: set it to 0"
        )
    heads = [
        name for name, part in model.named_children() if name != model.base_model_prefix and list(part.parameters())
    ]
    lora = LoraConfig(
        r=arguments.lora_rank, lora_alpha=arguments.lora_alpha, target_modules=targets, modules_to_save=heads
    )
    return get_peft_model(model, lora)


def find_optimizer(arguments: ModelArguments, training: TrainingArguments) -> tuple[Any, dict[str, Any]] | None:
    """Return class and arguments of the optimiser; None for TrainingArguments' own."""
    if arguments.optimizer == "adamw":
        return None
    if arguments.optimizer != "ranger":
        raise ValueError(f"optimizer is {arguments.optimizer!r}: choose adamw or ranger")
    need("pytorch_optimizer", "ranger")
    from pytorch_optimizer import Ranger

    return Ranger, {"lr": training.learning_rate, "weight_decay": training.weight_decay}


def check_smoothing(config: Any) -> None:
    """Refuse to smooth labels that are numbers."""
    if problem_type_of(config) != "single_label_classification":
        raise ValueError(
            f"label_smoothing_factor is for classes, and this is a {problem_type_of(config)}: leave it out"
        )


class EpochCallback(TrainerCallback):
    """Tells the training data which epoch it is."""

    def __init__(self, dataset: Augmented):
        self._dataset = dataset

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch, which a resumed run begins in its middle."""
        self._dataset.epoch = int(state.epoch or 0)


def describe_run(
    model_arguments: ModelArguments, data_arguments: DataArguments, record: dict[str, Any], datasets: dict[str, Any]
) -> dict[str, Any]:
    """Say for `training_data.json` where a fine-tuned checkpoint comes from."""
    is_new = model_arguments.is_architecture or model_arguments.from_scratch
    # A folder's own name: what stands before it is of this machine.
    name = model_arguments.model
    origin = {} if is_new else {"started_from": name if hub_id_of(name) else Path(name).name}
    seed = record["seed"]
    share = f"{data_arguments.validation_fraction:g} of the file's RNAs"
    if data_arguments.fold:
        share = f"fold {data_arguments.fold} of {data_arguments.folds}"
    part = f"{share}, split {data_arguments.split}, seed {seed}"
    is_split = not data_arguments.validation_file
    sources = []
    for split, dataset in datasets.items():
        own = getattr(data_arguments, f"{split}_file", "")
        file = own or data_arguments.train_file
        rule = f"all but {part}" if is_split and split == "train" else "" if own else part
        described = record.get(f"{split}_file" if own else "train_file") or describe_data(file)
        names = [Path(name).name for name in file.split(",")]
        sources.append(describe_source(split, dataset, names, rule, described["sha256"]))
    return {"task": model_arguments.task, **origin, "sources": sources}
