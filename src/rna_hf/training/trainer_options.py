"""Checks of transformers' `TrainingArguments`: what a run would stumble over later is said before the first step."""

from __future__ import annotations

import importlib.util
import math
import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig

from ..tasks import Task

# Where to get a package that is an extra of this one.
_EXTRAS = frozenset({"peft", "tensorboard", "pytorch_optimizer"})

# Logger: the module that it needs. What is missing here is its own module.
_MODULES = {"azure_ml": "azureml", "flyte": "flytekit", "dagshub": "dagshub"}

# What `torch.utils.checkpoint.checkpoint` takes beside what it calls.
_CHECKPOINTING = frozenset(
    {"use_reentrant", "preserve_rng_state", "context_fn", "determinism_check", "debug", "early_stop"}
)

# Smallest value of an option, and whether it is allowed itself.
_LOWEST: dict[str, tuple[float, bool]] = {
    "per_device_train_batch_size": (1, True),
    "per_device_eval_batch_size": (1, True),
    "gradient_accumulation_steps": (1, True),
    "eval_accumulation_steps": (1, True),
    "learning_rate": (0, True),
    "weight_decay": (0, True),
    "adam_beta1": (0, True),
    "adam_beta2": (0, True),
    "adam_epsilon": (0, True),
    "max_grad_norm": (0, True),
    "label_smoothing_factor": (0, True),
    "logging_steps": (0, False),
    "eval_steps": (0, False),
    "save_steps": (0, False),
    "save_total_limit": (1, True),
    "eval_delay": (0, True),
    "dataloader_num_workers": (0, True),
    "dataloader_prefetch_factor": (1, True),
    "ddp_timeout": (1, True),
    "data_seed": (0, True),
    "seed": (0, True),
    "warmup_steps": (0, True),
    "neftune_noise_alpha": (0, True),
}
# NumPy takes no larger ones.
_LARGEST_SEED = 2**32 - 1
_BELOW_ONE = ("adam_beta1", "adam_beta2", "label_smoothing_factor")

_LOWER_IS_BETTER = ("loss", "mae", "rmse", "mcrmse", "rmsd", "perplexity")


def need(module: str, what: str) -> None:
    """Refuse an option whose package is not installed.

    Raises:
        ImportError: it is not.
    """
    if importlib.util.find_spec(module) is None:
        package = module.replace("_", "-")
        source = "'rna-hf[train]'" if module in _EXTRAS else package
        raise ImportError(f"{what} needs the package {package}: pip install {source}")


def lower_is_better(metric: str) -> bool:
    """Tell whether a metric measures an error, by its name."""
    return metric.removeprefix("eval_").startswith(_LOWER_IS_BETTER)


def check_raw(values: Mapping[str, Any]) -> None:
    """Refuse what `TrainingArguments` would fail on without saying which option it was.

    Args:
        values: options by name, before `TrainingArguments` has seen them.
    """
    import json

    for name in TrainingArguments._VALID_DICT_FIELDS:
        value = values.get(name)
        if not isinstance(value, str):
            continue
        if value.startswith("{"):
            try:
                json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(f"{name} is not JSON: {error}") from error
        elif value and name in ("accelerator_config", "fsdp_config", "deepspeed") and not Path(value).is_file():
            raise FileNotFoundError(f"{name} is {value[:80]!r}: no such file, and no JSON table either")
    known = {part.name for part in fields(AcceleratorConfig)}
    for name, allowed in (("accelerator_config", known), ("gradient_checkpointing_kwargs", _CHECKPOINTING)):
        given = values.get(name)
        given = json.loads(given) if isinstance(given, str) and given.startswith("{") else given
        if isinstance(given, Mapping) and (unknown := sorted(set(given) - set(allowed))):
            raise ValueError(f"{name} has no {str(unknown[0])[:40]!r}; it takes {', '.join(sorted(allowed))}")
    if values.get("deepspeed"):
        need("deepspeed", "deepspeed")
    if values.get("ddp_backend") and "LOCAL_RANK" not in os.environ:
        raise ValueError(f"ddp_backend is {values['ddp_backend']!r}, but this is one process: start it with torchrun")


def check_trainer_options(arguments: TrainingArguments, task: Task) -> None:
    """Refuse options that are out of range, mean nothing here, or need what is not there.

    Raises:
        ImportError: a package is missing.
        FileNotFoundError: the checkpoint to go on from is.
        ValueError: anything else.
    """
    for name, (lowest, is_allowed) in _LOWEST.items():
        value = getattr(arguments, name)
        if value is None:
            continue
        if not math.isfinite(value) or value < lowest or (value == lowest and not is_allowed):
            raise ValueError(f"{name} is {value}: it must be {'at least' if is_allowed else 'more than'} {lowest}")
        if name in _BELOW_ONE and value >= 1:
            raise ValueError(f"{name} is {value}: it must be below 1")
    for name in ("seed", "data_seed"):
        if (getattr(arguments, name) or 0) > _LARGEST_SEED:
            raise ValueError(f"{name} is {getattr(arguments, name)}: it must be at most {_LARGEST_SEED:,}")
    if arguments.max_steps == 0 or arguments.max_steps < -1:
        raise ValueError(f"max_steps is {arguments.max_steps}: it must be at least 1, or -1 for num_train_epochs")
    if arguments.max_steps <= 0 and not 0 < arguments.num_train_epochs < math.inf:
        raise ValueError(f"num_train_epochs is {arguments.num_train_epochs}: it must be more than 0, or set max_steps")
    if arguments.dataloader_persistent_workers:
        raise ValueError(
            "dataloader_persistent_workers is on: workers that stay would repeat the first epoch's examples"
        )
    if arguments.remove_unused_columns:
        raise ValueError("remove_unused_columns is on: it would remove the sequences, which no model takes as they are")
    if arguments.label_names not in (None, ["labels"]):
        raise ValueError(f"label_names is {arguments.label_names}: the labels of every model here are called labels")
    training = task.training
    assert training is not None
    if arguments.label_smoothing_factor and training.labels_of and not training.has_classes:
        raise ValueError(f"label_smoothing_factor is for classes, not for the task {task.name}: leave it out")
    # Not a field before transformers 5.13.
    if getattr(arguments, "dataloader_multiprocessing_context", None) and not arguments.dataloader_num_workers:
        raise ValueError("dataloader_multiprocessing_context needs dataloader_num_workers: set it to 1 or more")
    if arguments.save_strategy == "best" and arguments.eval_strategy == "no":
        raise ValueError("save_strategy best needs evaluations: set eval_strategy")
    if arguments.fsdp and "LOCAL_RANK" not in os.environ:
        raise ValueError("fsdp shares a model among processes, but this is one: start it with torchrun")
    if arguments.use_liger_kernel:
        need("liger_kernel", "use_liger_kernel")
    _check_loggers(arguments.report_to or [])
    _check_compiler(arguments)
    _check_resumption(arguments)


def _check_loggers(names: Collection[str]) -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(INTEGRATION_TO_CALLBACK)
            raise ValueError(f"report_to is {name[:40]!r}: choose one of {known}, all or none")
        if name == "kubeflow":
            if "KUBEFLOW_TRAINER_SERVER_URL" not in os.environ:
                raise ValueError("report_to kubeflow is for a TrainJob of Kubeflow, and this is none: leave it out")
            continue
        need(_MODULES.get(name, name), f"report_to {name}")
        if name == "dagshub":
            need("mlflow", f"report_to {name}")


def _check_compiler(arguments: TrainingArguments) -> None:
    if not arguments.torch_compile:
        return
    from accelerate.utils import DynamoBackend

    backends = [str(backend.value).lower() for backend in DynamoBackend]
    if str(arguments.torch_compile_backend).lower() not in backends:
        raise ValueError(
            f"torch_compile_backend is {arguments.torch_compile_backend!r}: choose one of {', '.join(backends)}"
        )
    if arguments.torch_compile_mode is not None:
        from torch._inductor import list_mode_options

        modes = list(list_mode_options())
        if arguments.torch_compile_mode not in modes:
            raise ValueError(
                f"torch_compile_mode is {arguments.torch_compile_mode!r}: choose one of {', '.join(modes)}"
            )


def _check_resumption(arguments: TrainingArguments) -> None:
    """Put what `resume_from_checkpoint` says into one form: a folder, or None for the last checkpoint, if any."""
    from transformers.trainer_utils import get_last_checkpoint

    value = arguments.resume_from_checkpoint
    if value is None:
        return
    text = str(value)
    if text.lower() in ("true", "yes", "1", "last"):
        arguments.resume_from_checkpoint = None  # as a run does by itself
    elif text.lower() in ("false", "no", "0", "none", ""):
        arguments.resume_from_checkpoint = None
        output = str(arguments.output_dir)
        if os.path.isdir(output) and get_last_checkpoint(output):
            raise FileExistsError(
                f"resume_from_checkpoint is {text}, but {output} holds checkpoints: name another output_dir"
            )
    elif not (Path(text) / "trainer_state.json").is_file():
        raise FileNotFoundError(
            f"resume_from_checkpoint is {text[:200]!r}: no checkpoint of a run; name a folder such as "
            f"{arguments.output_dir}/checkpoint-500, or true for the last one"
        )


def check_schedule(arguments: TrainingArguments) -> None:
    """Refuse arguments that a schedule of the learning rate does not take.

    Raises:
        ValueError: with what the schedule says.
    """
    import torch
    from transformers import get_scheduler

    given: Any = arguments.lr_scheduler_kwargs or {}
    name = str(getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type))
    if not isinstance(given, dict):
        raise ValueError(f'lr_scheduler_kwargs is {str(given)[:80]!r}: a table is needed, such as {{"num_cycles": 2}}')
    if name == "warmup_stable_decay":
        given = {"num_decay_steps": 1} | given
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            get_scheduler(
                name, optimizer, num_warmup_steps=0, num_training_steps=10, scheduler_specific_kwargs=dict(given)
            )
    except (TypeError, ValueError) as error:
        raise ValueError(f"lr_scheduler_kwargs {given} do not fit lr_scheduler_type {name}: {error}") from error


def check_best_metric(arguments: TrainingArguments, task: Task, names: Collection[str]) -> None:
    """Refuse to choose the best checkpoint by a metric that evaluations don't have.

    Args:
        arguments: the Trainer's.
        task: what is trained for.
        names: of the metrics beside the loss.
    """
    metric = arguments.metric_for_best_model
    known = ["loss", *([] if arguments.prediction_loss_only else names)]
    if metric is not None and metric.removeprefix("eval_") not in known:
        why = " with prediction_loss_only" if arguments.prediction_loss_only else ""
        raise ValueError(
            f"metric_for_best_model is {metric[:40]!r}: the task {task.name} has{why} {', '.join(known[:30])}"
        )


def metric_names(model: Any, collator: Any, dataset: Any, metrics: Any) -> list[str]:
    """Return the names of the metrics of an evaluation, as they come out for the shortest RNA of a data set."""
    from types import SimpleNamespace

    import numpy as np
    import torch

    shortest = min(range(len(dataset)), key=[len(sequence) for sequence in dataset["sequence"]].__getitem__)
    batch = collator([dataset[shortest]])
    was_training = model.training
    with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        outputs = model.eval()(**batch)
        found = metrics(SimpleNamespace(predictions=outputs["logits"], label_ids=batch["labels"]), compute_result=True)
    model.train(was_training)
    return list(found)
