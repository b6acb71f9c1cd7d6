"""Every field of transformers' `TrainingArguments`: it works in a run of two steps, or is refused before the first."""

import dataclasses
import json

import pytest
import torch
import yaml
from test_finetune import arguments, write_table
from tiny_models import RIBONANZANET_TO_TRAIN, save_tiny
from transformers import TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from rna_hf.cli.main import run
from rna_hf.training.arguments import parse_arguments
from rna_hf.training.trainer_options import lower_is_better

# Fields that came after transformers 5.4, and are not there yet.
LATER = {
    "activation_checkpointing",
    "activation_checkpointing_kwargs",
    "dataloader_in_order",
    "dataloader_multiprocessing_context",
    "ddp_static_graph",
    "trackio_bucket_id",
    "trackio_static_space_id",
}
UNKNOWN = LATER - {field.name for field in dataclasses.fields(TrainingArguments)}

# What every run here has.
ALWAYS = {"max_steps": 2, "split": "random", "save_steps": 2, "use_cpu": True}

# Options that work, in runs that have several of them.
WORKING = {
    "optimisation": {
        "num_train_epochs": 0.5,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": '{"min_lr": 1e-5}',
        "warmup_steps": 1,
        "optim": "adamw_torch",
        "optim_args": "amsgrad=True",
        "optim_target_modules": "all-linear",
        "weight_decay": 0.1,
        "adam_beta1": 0.8,
        "adam_beta2": 0.9,
        "adam_epsilon": 1e-6,
        "gradient_accumulation_steps": 2,
        "average_tokens_across_devices": False,
        "max_grad_norm": 0.5,
        "per_device_train_batch_size": 2,
    },
    "evaluation": {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "eval_delay": 1,
        "per_device_eval_batch_size": 3,
        "eval_on_start": True,
        "eval_do_concat_batches": False,
        "eval_use_gather_object": True,
        "eval_accumulation_steps": 1,
        "include_for_metrics": "inputs",
        "batch_eval_metrics": False,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_mae",
        "greater_is_better": False,
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": 1,
        "save_only_model": True,
        "label_names": "labels",
    },
    "loss alone": {
        "prediction_loss_only": True,
        "load_best_model_at_end": True,
        "eval_strategy": "steps",
        "eval_steps": 2,
    },
    "best": {"save_strategy": "best", "eval_strategy": "steps", "eval_steps": 1},
    "plateau": {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"},
    "reports": {
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_first_step": True,
        "log_on_each_node": False,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "yes",
        "log_level": "error",
        "log_level_replica": "error",
        "disable_tqdm": False,
        "report_to": "none",
        "run_name": "name",
        "project": "project",
        "trackio_space_id": "someone/space",
        "trackio_bucket_id": "someone/bucket",
        "trackio_static_space_id": "someone/space",
        "skip_memory_metrics": False,
    },
    "precision": {
        "bf16": True,
        "bf16_full_eval": True,
        "tf32": False,
        "activation_checkpointing": True,
        "activation_checkpointing_kwargs": '{"use_reentrant": false}',
        "use_cache": True,
        "neftune_noise_alpha": 0.1,
        "torch_empty_cache_steps": 1,
    },
    "half": {
        "fp16": True,
        "fp16_full_eval": True,
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": '{"use_reentrant": false}',
    },
    "loading": {
        "dataloader_num_workers": 1,
        "dataloader_prefetch_factor": 2,
        "dataloader_multiprocessing_context": "fork",
        "dataloader_in_order": False,
        "dataloader_drop_last": True,
        "dataloader_pin_memory": False,
        "train_sampling_strategy": "group_by_length",
        "length_column_name": "length",
        "auto_find_batch_size": True,
        "seed": 1,
        "data_seed": 1,
        "accelerator_config": '{"even_batches": false}',
    },
    "resumption": {
        "resume_from_checkpoint": True,
        "ignore_data_skip": True,
        "restore_callback_states_from_checkpoint": True,
        "enable_jit_checkpoint": True,
        "save_on_each_node": True,
        "do_train": True,
        "do_eval": True,
        "do_predict": True,
    },
    "of what is not used": {
        "hub_token": "none",
        "hub_private_repo": True,
        "hub_model_id": "someone/model",
        "hub_strategy": "end",
        "hub_always_push": True,
        "hub_revision": "main",
        "ddp_find_unused_parameters": True,
        "ddp_bucket_cap_mb": 1,
        "ddp_broadcast_buffers": True,
        "ddp_static_graph": True,
        "ddp_timeout": 60,
        "local_rank": 0,
        "fsdp_config": '{"version": 2}',
    },
    "determinism": {"full_determinism": True},
    "compilation": {"torch_compile": True, "torch_compile_backend": "eager"},
    "no": {"save_strategy": "no", "resume_from_checkpoint": "false", "logging_strategy": "no"},
}

# Options that are refused, each with what the message says and, where it has one, the exit code of a missing package.
REFUSED = [
    ({"remove_unused_columns": True}, "remove_unused_columns is on"),
    ({"dataloader_persistent_workers": True}, "dataloader_persistent_workers is on"),
    ({"label_names": "classes"}, "label_names is ['classes']"),
    ({"label_smoothing_factor": 0.1}, "label_smoothing_factor is for classes"),
    ({"metric_for_best_model": "accuracy"}, "metric_for_best_model is 'accuracy': the task reactivity has loss, mae"),
    ({"metric_for_best_model": "mae", "prediction_loss_only": True}, "has with prediction_loss_only loss"),
    ({"save_strategy": "best"}, "save_strategy best needs evaluations"),
    ({"load_best_model_at_end": True}, "--load_best_model_at_end requires the save and eval strategy to match"),
    ({"resume_from_checkpoint": "nowhere"}, "resume_from_checkpoint is 'nowhere': no checkpoint of a run"),
    ({"push_to_hub": True}, "push_to_hub: say under which licence, such as --license apache-2.0"),
    ({"push_to_hub": True, "license": "mit"}, "there is no token of the Hub: `hf auth login`"),
    ({"push_to_hub": True, "license": "mit", "hub_token": "none"}, "the Hub can't be"),
    ({"push_to_hub": True, "hub_strategy": "checkpoint"}, "hub_strategy checkpoint uploads the state of the training"),
    ({"push_to_hub": True, "folds": 2}, "push_to_hub is for one model, and folds trains several"),
    ({"license": "my own"}, "license is 'my own': use an identifier of the Hub"),
    ({"report_to": "papyrus"}, "report_to is 'papyrus': choose one of azure_ml"),
    ({"report_to": "kubeflow"}, "report_to kubeflow is for a TrainJob"),
    ({"lr_scheduler_kwargs": '{"num_cycles": 2}'}, "do not fit lr_scheduler_type linear"),
    ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_kwargs {} do not fit"),
    ({"lr_scheduler_type": "sawtooth"}, "--lr_scheduler_type"),
    ({"lr_scheduler_type": "greedy"}, "lr_scheduler_type greedy requires an eval strategy"),
    ({"lr_scheduler_kwargs": "{"}, "lr_scheduler_kwargs is not JSON"),
    ({"lr_scheduler_kwargs": "[1]"}, "lr_scheduler_kwargs is '[1]': a table is needed"),
    ({"accelerator_config": '{"sides": 2}'}, "accelerator_config has no 'sides'; it takes dispatch_batches"),
    ({"gradient_checkpointing_kwargs": '{"sides": 2}'}, "gradient_checkpointing_kwargs has no 'sides'; it takes"),
    ({"neftune_noise_alpha": -1}, "neftune_noise_alpha is -1.0: it must be at least 0"),
    ({"warmup_steps": "nan"}, "warmup_steps is nan: it must be at least 0"),
    ({"seed": -1}, "seed is -1: it must be at least 0"),
    ({"data_seed": 2**40}, "data_seed is 1099511627776: it must be at most 4,294,967,295"),
    ({"max_steps": 0}, "max_steps is 0: it must be at least 1, or -1 for num_train_epochs"),
    ({"crop": -1}, "crop is -1: it must be a number of nucleotides, or 0 for none"),
    ({"max_length": -1}, "max_length is -1: it must be a number of nucleotides"),
    ({"min_length": -1}, "min_length is -1: it must be a number of nucleotides"),
    ({"reverse_probability": "nan"}, "reverse_probability is nan: it must be from 0 to 1"),
    ({"reverse_probability": 2}, "reverse_probability is 2.0: it must be from 0 to 1"),
    ({"validation_fraction": 1}, "validation_fraction is 1.0: it must be more than 0 and below 1"),
    ({"lora_rank": -1}, "lora_rank is -1: it must be at least 0"),
    ({"lora_rank": 2, "lora_alpha": 0}, "lora_alpha is 0: it must be at least 1"),
    ({"early_stopping_patience": -1}, "early_stopping_patience is -1: it must be at least 0"),
    ({"config": '{"nope": 1}'}, "config: a ribonanzanet has no field 'nope'"),
    ({"config": '{"hiden_size": 8}'}, "has no field 'hiden_size'; did you mean hidden_size?"),
    ({"config": '{"num_labels": "two"}'}, "config: num_labels is 'two': it must be a whole number, 1 or more"),
    ({"config": '{"num_labels": 0}'}, "config: num_labels is '0': it must be a whole number, 1 or more"),
    ({"config": '{"id2label": ["a"]}'}, "config: id2label is ['a']: a table is needed"),
    ({"config": '{"id2label": {"0": "a", "2": "b"}}'}, "the classes are 0, 2: they must count from 0, without gaps"),
    ({"config": '{"hidden_size": -1}', "from_scratch": True}, "config: no model of these sizes can be made"),
    ({"evaluation_strategy": "epoch"}, "'--evaluation_strategy' is no option; did you mean eval_strategy?"),
    ({"lerning_rate": 1}, "'--lerning_rate' is no option; did you mean learning_rate?"),
    ({"max_step": 3}, "'--max_step' is no option; did you mean max_steps?"),
    ({"accelerator_config": "none.json"}, "accelerator_config is 'none.json': no such file"),
    ({"deepspeed": "none.json"}, "deepspeed is 'none.json': no such file"),
    ({"deepspeed": "{}"}, "deepspeed needs the package deepspeed"),
    ({"parallelism_config": "{}"}, "--parallelism_config"),
    ({"liger_kernel_config": "{}"}, "liger_kernel_config"),
    ({"use_liger_kernel": True}, "use_liger_kernel needs the package liger-kernel"),
    ({"fsdp": "full_shard"}, "fsdp shares a model among processes"),
    ({"ddp_backend": "gloo"}, "ddp_backend is 'gloo', but this is one process"),
    ({"optim": "adamw_bnb_8bit"}, "optim adamw_bnb_8bit can't be used: You need to install `bitsandbytes`"),
    ({"optim": "lomo"}, "optim lomo can't be used"),
    ({"optim_args": "amsgrad"}, "optim_args 'amsgrad'"),
    ({"torch_compile_backend": "gcc"}, "torch_compile_backend is 'gcc': choose one of"),
    ({"torch_compile_mode": "slow"}, "torch_compile_mode is 'slow': choose one of"),
    ({"dataloader_multiprocessing_context": "fork"}, "dataloader_multiprocessing_context needs dataloader_num_workers"),
    ({"dataloader_prefetch_factor": 2}, "--dataloader_prefetch_factor"),
    ({"dataloader_drop_last": True, "per_device_train_batch_size": 99}, "fill no batch of 99"),
    ({"debug": "underflow_overflow"}, "takes no 'underflow_overflow'; set debug in a YAML file"),
    ({"max_steps": -1, "num_train_epochs": 0}, "num_train_epochs is 0.0: it must be more than 0"),
    *(
        ({name: value}, f"{name} is {value}")
        for name, value in {
            "per_device_train_batch_size": 0,
            "per_device_eval_batch_size": 0,
            "gradient_accumulation_steps": 0,
            "eval_accumulation_steps": 0,
            "learning_rate": -1.0,
            "weight_decay": -1.0,
            "adam_beta1": 1.0,
            "adam_beta2": -0.5,
            "adam_epsilon": -1.0,
            "max_grad_norm": -1.0,
            "logging_steps": -1.0,
            "eval_steps": -1.0,
            "save_total_limit": 0,
            "dataloader_num_workers": -1,
        }.items()
    ),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    options = RIBONANZANET_TO_TRAIN | {"fix_attention_mask": True}
    return save_tiny(tmp_path_factory.mktemp("base"), {"alphabet": "ribonanzanet"}, **options)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "table.parquet", "reactivity", count=12)


@pytest.fixture
def _leaves_no_trace(monkeypatch):
    """Take back what some options set for the whole process."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.skipif(bool(UNKNOWN), reason=f"this transformers is too old for {', '.join(sorted(UNKNOWN))}")
def test_every_field_is_tried():
    """A field that is new in transformers fails here until somebody has looked what it does."""
    tried = set(ALWAYS) | {"output_dir", "debug", "dataloader_pin_memory"}
    tried |= {name for options in WORKING.values() for name in options} | {name for one, _ in REFUSED for name in one}
    assert {field.name for field in dataclasses.fields(TrainingArguments)} - tried == set()


@pytest.mark.usefixtures("_leaves_no_trace")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "compilation" else name for name in WORKING]
)
def test_what_works(name, base, table, tmp_path):
    options = {name: value for name, value in (ALWAYS | WORKING[name]).items() if name not in UNKNOWN}
    assert run(arguments("reactivity", base, table, tmp_path / "run", **options)) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert ("eval_mae" in scores) == (name != "loss alone")


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_what_is_refused_in_one_line(options, message, base, table, tmp_path, capsys):
    if UNKNOWN & set(options):
        pytest.skip("this transformers is too old for it")
    command = arguments("reactivity", base, table, tmp_path / "run", **ALWAYS | {"logging_steps": 1} | options)
    assert run(command) in (1, 2)
    error = capsys.readouterr().err
    last = error.splitlines()[-1]
    assert last.startswith("rna-hf: error: ")
    assert message in last
    assert "please report" not in error
    assert not list(tmp_path.glob("run/checkpoint-*"))


@pytest.mark.parametrize("logger", sorted(set(INTEGRATION_TO_CALLBACK) - {"kubeflow"}))
def test_a_logger_that_is_not_installed_is_named(logger, base, table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(arguments("reactivity", base, table, tmp_path / "run", report_to=logger)) == 1
    error = capsys.readouterr().err
    assert f"report_to {logger} needs the package " in error
    assert error.count("\n") == 1


def test_a_debug_option_of_a_file(base, table, tmp_path):
    recipe = tmp_path / "run.yaml"
    command = arguments("reactivity", base, table, tmp_path / "run", **ALWAYS)
    recipe.write_text(yaml.safe_dump({"debug": "underflow_overflow"}))
    assert run(["finetune", str(recipe), *command[1:]]) == 0


def test_smoothed_classes(base, tmp_path, capsys):
    table = write_table(tmp_path / "classes.parquet", "sequence-classification", count=12)
    smooth = ALWAYS | {"label_smoothing_factor": 0.1}
    assert run(arguments("sequence-classification", base, table, tmp_path / "run", **smooth)) == 0
    numbers = smooth | {"config": '{"num_labels": 1}'}
    assert run(arguments("sequence-classification", base, table, tmp_path / "numbers", **numbers)) == 2
    assert "label_smoothing_factor is for classes, and this is a regression" in capsys.readouterr().err


def test_false_does_not_go_on_and_true_does(base, table, tmp_path, capsys):
    command = arguments("reactivity", base, table, tmp_path / "run", **ALWAYS)
    assert run(command) == 0
    assert run([*command, "--resume_from_checkpoint", "true", "--max_steps", "3"]) == 0
    assert run([*command, "--resume_from_checkpoint", "false"]) == 2
    assert "resume_from_checkpoint is false, but" in capsys.readouterr().err


@pytest.mark.parametrize(("metric", "is_better"), [("mae", False), ("eval_rmse_deg_pH10", False), ("f1", True)])
def test_errors_are_better_when_small(metric, is_better):
    arguments = ["--metric_for_best_model", metric, "--output_dir", "unused", "--use_cpu", "true"]
    assert parse_arguments(arguments)[2].greater_is_better is is_better
    assert parse_arguments([*arguments, "--greater_is_better", "true"])[2].greater_is_better is True
    assert lower_is_better(metric) is not is_better
