"""The files below `examples/ribonanzanet`: each is parsed and started, alone and in two processes."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file

from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, RnaTokenizerFast
from rna_hf.cli.main import run
from rna_hf.data.readers import OPENVACCINE_TARGETS
from rna_hf.tasks import trainings
from rna_hf.training.arguments import parse_arguments
from rna_hf.training.pretrain import parse_recipe

CONFIGS = (
    "3d",
    "contact_prediction",
    "degradation",
    "dropout",
    "masked_lm",
    "reactivity",
    "sequence_classification",
    "structure",
    "token_classification",
)
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pair_hidden_size": 8,
    "outer_product_size": 4,
    "intermediate_size": 32,
}
# What a test changes in every one of them.
SMALL = {
    "max_steps": 2,
    "save_strategy": "no",
    "eval_strategy": "no",
    "load_best_model_at_end": False,
    "early_stopping_patience": 0,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "dataloader_num_workers": 0,
    "dataloader_pin_memory": False,
    "bf16": False,
    "use_cpu": True,
    "disable_tqdm": True,
    "report_to": "none",
}


@pytest.fixture(scope="module")
def examples(request):
    return request.config.rootpath / "examples" / "ribonanzanet"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny `ribonanzanet` and a few RNAs in each of the files that the recipes name."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    RibonanzaNetForReactivity(RibonanzaNetConfig(**SIZES)).save_pretrained(folder / "ribonanzanet")
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(folder / "ribonanzanet")
    letters, numbers = random.Random(0), np.random.default_rng(0)
    rnas = ["".join(letters.choices("ACGU", k=16)) for _ in range(12)]

    names = [f"{name}_{n:04d}" for name in ("reactivity", "reactivity_error") for n in range(1, 17)]
    lines = [",".join(["sequence_id,sequence,experiment_type,dataset_name,reads,signal_to_noise,SN_filter", *names])]
    for index, rna in enumerate(rnas):
        for kind in ("2A3", "DMS"):
            facts = [f"r{index}", rna, f"{kind}_MaP", f"lib_{kind}", 300 + index, 0.5 if index % 4 == 3 else 4.0, 1]
            lines.append(",".join(map(str, [*facts, *numbers.random(32).round(3)])))
    (folder / "train_data.csv").write_text("\n".join(lines) + "\n")

    rows = [f"{16 * i},{16 * i + 15},t{i},{''.join(letters.choices('ACGU', k=16))}" for i in range(12)]
    (folder / "test_sequences.csv").write_text("\n".join(["id_min,id_max,sequence_id,sequence", *rows]) + "\n")

    errors = ["reactivity_error", *(name.replace("deg_", "deg_error_") for name in OPENVACCINE_TARGETS[1:])]
    with open(folder / "train.json", "w", encoding="utf-8") as file:
        for index, rna in enumerate(rnas):
            record = {"id": f"r{index}", "sequence": rna, "structure": "." * 16, "predicted_loop_type": "E" * 16}
            record |= {"seq_length": 16, "seq_scored": 10, "signal_to_noise": 5.0, "SN_filter": 1}
            record |= {name: numbers.random(10).tolist() for name in (*OPENVACCINE_TARGETS, *errors)}
            file.write(json.dumps(record) + "\n")

    (folder / "structures").mkdir()
    for index, rna in enumerate(rnas):
        (folder / "structures" / f"r{index}.dbn").write_text(f">r{index}\n{rna}\n((((........))))\n")

    for name in ("train", "validation"):
        rows = [f"{name}{index}_A,{rna},2000-01-01,," for index, rna in enumerate(rnas)]
        header = "target_id,sequence,temporal_cutoff,description,all_sequences"
        (folder / f"{name}_sequences.csv").write_text("\n".join([header, *rows]) + "\n")
        rows = ["ID,resname,resid,x_1,y_1,z_1"]
        for index, rna in enumerate(rnas):
            trace = np.cumsum(numbers.normal(size=(16, 3)) * 4, axis=0).round(3)
            for residue, (letter, point) in enumerate(zip(rna, trace), start=1):
                rows.append(f"{name}{index}_A_{residue},{letter},{residue},{','.join(map(str, point))}")
        (folder / f"{name}_labels.csv").write_text("\n".join(rows) + "\n")

    (folder / "sequences.fasta").write_text("".join(f">r{index}\n{rna}\n" for index, rna in enumerate(rnas)))
    classes = [f"{rna},{index % 2}" for index, rna in enumerate(rnas)]
    (folder / "classes.csv").write_text("\n".join(["sequence,labels", *classes]) + "\n")
    tables = {
        "contacts": [{"sequence": rna, "pairs": [[0, 15], [1, 14]]} for rna in rnas],
        "nucleotides": [{"sequence": rna, "labels": ["ACG".find(letter) % 3 for letter in rna]} for rna in rnas],
    }
    for name, table in tables.items():
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    return folder


def options(settings):
    return [part for name, value in settings.items() for part in (f"--{name}", str(value))]


def test_every_file_is_tried(examples):
    assert sorted(path.stem for path in examples.glob("*.yaml")) == sorted((*CONFIGS, "pretraining"))
    tasks = {yaml.safe_load(path.read_text())["task"] for path in examples.glob("*.yaml")}
    # RibonanzaNet has no head for localisation: see test_finetune_localisation.py.
    assert {*tasks, "localisation"} == set(trainings())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_recipe_is_started_on_its_own_data(name, examples, place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    path = str(examples / f"{name}.yaml")
    small = SMALL | {"output_dir": tmp_path, "validation_fraction": 0.25}
    model, _, training = parse_arguments([path, "--bf16", "false"])
    assert (model.model, training.eval_strategy in ("epoch", "steps")) == ("ribonanzanet", True)
    assert run(["finetune", path, *options(small)]) == 0
    assert np.isfinite(json.loads((tmp_path / "scores.json").read_text())["eval_loss"])


def test_pretraining_is_started_on_its_own_data(examples, place, tmp_path, monkeypatch):
    pytest.importorskip("pytorch_optimizer")
    monkeypatch.chdir(place)
    path = str(examples / "pretraining.yaml")
    stages = parse_recipe([path, "--bf16", "false"])
    assert [stage.name for stage in stages] == ["teacher", "pseudo", "measured", "anneal"]
    assert [stage.model.from_scratch for stage in stages] == [True, True, False, False]
    released = RibonanzaNetConfig()
    fields = stages[0].model.config_fields()
    assert all(fields[name] == getattr(released, name) for name in fields if name not in NOT_RELEASED)
    small = SMALL | {"output_dir": tmp_path, "validation_fraction": 0.25, "config": json.dumps(SIZES)}
    assert run(["pretrain", path, *options(small)]) == 0
    assert np.isfinite(json.loads((tmp_path / "anneal" / "scores.json").read_text())["eval_loss"])
    assert len(pq.read_table(tmp_path / "pseudo" / "pseudo_labels.parquet")) == 3 + 12


# Fields of the recipe in which it means to differ from the released model.
NOT_RELEASED = ("fix_attention_mask", "training_max_length")


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_accelerate_knows_its_configuration(name, examples):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(examples / "accelerate" / f"{name}.yaml"))
    assert config.num_processes == 4
    if name == "fsdp":
        assert config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"] in RibonanzaNetForReactivity._no_split_modules
        assert config.fsdp_config["fsdp_version"] == 2


def launch(examples, *command):
    """The command line of two processes."""
    start = [sys.executable, "-m", "accelerate.commands.launch"]
    start += ["--config_file", str(examples / "accelerate" / "ddp.yaml"), "--mixed_precision", "no"]
    return [*start, "--num_processes", "2", "--main_process_port", "0", "-m", "rna_hf.cli.main", *command]


def call(command, place):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, env=environment, cwd=place, check=True, timeout=500)


@pytest.mark.slow
def test_two_processes_train_like_one_with_twice_the_batch(examples, place, tmp_path):
    # 12 RNAs: three whole batches an epoch, for accelerate fills up the last one. A fourth of them count nothing.
    common = SMALL | {"max_steps": 4, "profiles": "all", "validation_file": "train_data.csv", "logging_steps": 1}
    common |= {"optimizer": "adamw", "per_device_eval_batch_size": 5}
    common |= {"lr_scheduler_type": "constant", "learning_rate": 1e-3, "save_strategy": "steps", "save_steps": 4}
    common |= {"config": '{"fix_attention_mask": true, "hidden_dropout": 0.0, "attention_dropout": 0.0}'}
    command = ["finetune", str(examples / "reactivity.yaml")]
    for name, start, size in (
        ("two", launch(examples, *command), 2),
        ("one", [sys.executable, "-m", "rna_hf.cli.main", *command], 4),
    ):
        settings = common | {"output_dir": tmp_path / name, "per_device_train_batch_size": size}
        call([*start, *options(settings)], place)
    histories, scores, weights = [], [], []
    for name in ("one", "two"):
        state = json.loads((tmp_path / name / "checkpoint-4" / "trainer_state.json").read_text())
        histories.append([entry["loss"] for entry in state["log_history"] if "loss" in entry])
        scores.append(json.loads((tmp_path / name / "scores.json").read_text()))
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    assert histories[0] == pytest.approx(histories[1], abs=1e-5)
    assert scores[0]["eval_mae"] == pytest.approx(scores[1]["eval_mae"], abs=1e-5)
    # Adam divides by the size of the gradient, so rounding moves a weight by up to a part of the rate.
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], atol=1e-4, rtol=1e-3), name


@pytest.mark.slow
def test_two_processes_go_through_the_stages(examples, place, tmp_path):
    pytest.importorskip("pytorch_optimizer")
    small = SMALL | {"output_dir": tmp_path, "validation_fraction": 0.25, "config": json.dumps(SIZES)}
    call(launch(examples, "pretrain", str(examples / "pretraining.yaml"), *options(small)), place)
    sequences = pq.read_table(tmp_path / "pseudo" / "pseudo_labels.parquet")["sequence"].to_pylist()
    assert len(set(sequences)) == len(sequences) == 3 + 12
    assert np.isfinite(json.loads((tmp_path / "anneal" / "scores.json").read_text())["eval_loss"])
