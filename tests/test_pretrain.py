"""`rna-hf pretrain`: stages from a recipe, labels that models predict, and runs that were stopped in between."""

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from tiny_models import RIBONANZANET_TO_TRAIN

import rna_hf
from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, RnaTokenizerFast
from rna_hf.cli.main import run
from rna_hf.training import finetune

SIZES = RIBONANZANET_TO_TRAIN | {"intermediate_size": 32, "fix_attention_mask": True}


def write_checkpoint(folder, seed):
    torch.manual_seed(seed)
    RibonanzaNetForReactivity(RibonanzaNetConfig(**SIZES)).save_pretrained(folder)
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    return [str(write_checkpoint(tmp_path_factory.mktemp(f"teacher{seed}"), seed)) for seed in (1, 2)]


def write_train_data(path, rows):
    """Write rows as Ribonanza's `train_data.csv`: id, sequence, and for each experiment (L,) values and the ratio."""
    names = [f"{name}_{n:04d}" for name in ("reactivity", "reactivity_error") for n in range(1, 207)]
    lines = [",".join(["sequence_id,sequence,experiment_type,dataset_name,reads,signal_to_noise,SN_filter", *names])]
    for identifier, sequence, profiles in rows:
        for kind, (values, ratio) in profiles.items():
            cells = [f"{value:.3f}" if np.isfinite(value) else "" for value in values]
            cells = [*cells, *[""] * (206 - len(cells)), *["0.1" if cell else "" for cell in cells]]
            cells += [""] * (412 - len(cells))
            facts = [identifier, sequence, f"{kind}_MaP", f"lib_{kind}", 500, ratio, int(ratio > 1)]
            lines.append(",".join(map(str, [*facts, *cells])))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def train_data(tmp_path_factory):
    """Ratios in turn: both good, one good, none good."""
    numbers, letters = np.random.default_rng(0), random.Random(0)
    rows = []
    for index in range(36):
        sequence = "".join(letters.choices("ACGU", k=int(numbers.integers(14, 24))))
        ratios = [(5.0, 3.0), (4.0, 0.5), (0.2, 0.1)][index % 3]
        values = [numbers.random(len(sequence)) for _ in ratios]
        rows.append((f"r{index}", sequence, dict(zip(("2A3", "DMS"), zip(values, ratios)))))
    return write_train_data(tmp_path_factory.mktemp("data") / "train_data.csv", rows)


def recipe_of(teachers, train_data, output):
    return {
        "task": "reactivity",
        "model": teachers[0],
        "from_scratch": True,
        "config": {"hidden_dropout": 0.0},
        "train_file": str(train_data),
        "data_format": "ribonanza",
        "validation_fraction": 0.25,
        "reverse_probability": 0.5,
        "optimizer": "ranger",
        "lr_scheduler_type": "warmup_stable_decay",
        "output_dir": str(output),
        "max_steps": 4,
        "save_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "stages": [
            {"name": "good", "profiles": "good"},
            {
                "name": "pseudo",
                "pseudo_labels": {
                    "models": ["good", *teachers],
                    "sources": [
                        {"file": str(train_data), "data_format": "ribonanza", "profiles": "low_quality"},
                        {"file": str(train_data), "data_format": "ribonanza", "profiles": "low_quality"},
                    ],
                },
            },
            {"name": "true", "profiles": "dirty"},
            {"name": "anneal", "profiles": "good", "learning_rate": 1e-3},
        ],
    }


def write_recipe(path, recipe):
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return ["pretrain", str(path)]


def weights(folder):
    return RibonanzaNetForReactivity.from_pretrained(folder).state_dict()


def is_equal(first, second):
    pairs = zip(weights(first).values(), weights(second).values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_three_stages_and_a_stop_between_any_two_steps(teachers, train_data, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pytorch_optimizer")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert run(write_recipe(tmp_path / "recipe.yaml", recipe_of(teachers, train_data, whole))) == 0

    table = pq.read_table(whole / "pseudo" / "pseudo_labels.parquet").to_pylist()
    low_quality = [line.split(",")[1] for line in train_data.read_text().splitlines()[1:] if ",0.2,0," in line]
    assert [row["sequence"] for row in table] == low_quality
    predictions = [
        rna_hf.predict([row["sequence"] for row in table], model=model, flip_average=True, progress=False)
        for model in (str(whole / "good"), *teachers)
    ]
    for number, row in enumerate(table):
        channels = [[part[number][f"reactivity_{channel}"] for part in predictions] for channel in ("2A3", "DMS")]
        np.testing.assert_allclose(np.array(row["labels"]).T, np.mean(channels, axis=1), atol=1e-6)
    assert not (whole / "pseudo" / "pseudo_labels").exists()

    recipe = write_recipe(tmp_path / "recipe.yaml", recipe_of(teachers, train_data, parted))
    predict = rna_hf.prediction.predict
    calls = []

    def stopped_predict(*arguments, **options):
        calls.append(options["model"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predict(*arguments, **options)

    def stop(self, args, state, control, **kwargs):
        if args.output_dir.endswith("true") and state.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rna_hf.prediction, "predict", stopped_predict)
        assert run(recipe) == 130
    with monkeypatch.context() as patch:
        patch.setattr(finetune.EpochCallback, "on_step_end", stop, raising=False)
        assert run(recipe) == 130
    assert not (parted / "true" / "scores.json").exists()
    capsys.readouterr()
    written = (parted / "good" / "model.safetensors").stat().st_mtime_ns
    assert run(recipe) == 0
    assert (parted / "good" / "model.safetensors").stat().st_mtime_ns == written
    error = capsys.readouterr().err
    assert "stage 2 of 4, pseudo, is finished already" in error
    assert "stage 3 of 4, true, begins or goes on" in error
    for stage in ("good", "pseudo", "true", "anneal"):
        assert is_equal(whole / stage, parted / stage), stage


def test_a_stage_starts_from_the_weights_of_the_one_before(teachers, train_data, tmp_path):
    recipe = recipe_of(teachers, train_data, tmp_path / "run") | {"optimizer": "adamw", "max_steps": 1}
    recipe["stages"] = [
        {"name": "first"},
        {"name": "second", "learning_rate": 0.0},
        {"name": "other", "learning_rate": 0.0, "model": teachers[1]},
        {"name": "again", "learning_rate": 0.0, "model": "first"},
    ]
    assert run([*write_recipe(tmp_path / "recipe.yaml", recipe), "--per_device_train_batch_size", "2"]) == 0
    assert not is_equal(tmp_path / "run" / "first", teachers[0])
    assert is_equal(tmp_path / "run" / "second", tmp_path / "run" / "first")
    assert is_equal(tmp_path / "run" / "other", teachers[1])
    assert is_equal(tmp_path / "run" / "again", tmp_path / "run" / "first")
    # All stages hold out the same RNAs.
    sizes = [json.loads((tmp_path / "run" / name / "finetune.json").read_text()) for name in ("first", "second")]
    assert sizes[0]["train_file"] == sizes[1]["train_file"]


def test_a_recipe_that_was_changed_is_refused_in_a_finished_stage(teachers, train_data, tmp_path, capsys):
    recipe = recipe_of(teachers, train_data, tmp_path / "run") | {"optimizer": "adamw", "max_steps": 1}
    recipe["stages"] = recipe["stages"][:2]
    assert run(write_recipe(tmp_path / "recipe.yaml", recipe)) == 0
    recipe["stages"][1]["pseudo_labels"]["models"] = teachers
    assert run(write_recipe(tmp_path / "recipe.yaml", recipe)) == 2
    assert "holds another run: models was" in capsys.readouterr().err
    recipe["config"] = {"hidden_dropout": 0.1}
    assert run(write_recipe(tmp_path / "recipe.yaml", recipe)) == 2
    assert "config was {'hidden_dropout': 0.0}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": None}, "stages is missing"),
        ({"stages": [{"profiles": "good"}]}, "stages is missing: list the stages, each with a name"),
        ({"stages": [{"name": "a"}, {"name": "a"}]}, "stage 'a': a name is that of a new folder"),
        ({"stages": [{"name": "../a"}]}, "a name is that of a new folder"),
        ({"stages": [{"name": "a"}, {"name": "b", "profiles": "best"}]}, "profiles is 'best'"),
        ({"stages": [{"name": "a"}, {"name": "b", "learning": 1}]}, "stage 'b': 'learning' is no option"),
        ({"stages": [{"name": "a"}, {"name": "b", "model": "nowhere"}]}, "no checkpoint 'nowhere'"),
        ({"stages": [{"name": "a", "train_file": "gone.csv"}]}, "gone.csv does not exist"),
        ({"stages": [{"name": "a", "pseudo_labels": {"models": ["m"]}}]}, "must be a table with models and sources"),
        (
            {"stages": [{"name": "a", "pseudo_labels": {"models": "m", "sources": [{"file": "f"}]}}]},
            "models of pseudo_labels must be a list",
        ),
        (
            {"stages": [{"name": "a", "pseudo_labels": {"models": ["m"], "sources": [{"data": "f"}]}}]},
            "source 1 of pseudo_labels must be a table with file",
        ),
        (
            {
                "task": "masked-lm",
                "stages": [{"name": "a", "pseudo_labels": {"models": ["m"], "sources": [{"file": "f"}]}}],
            },
            "pseudo_labels are reactivities, but task is 'masked-lm'",
        ),
    ],
    ids=str,
)
def test_what_is_refused_before_anything_is_trained(change, message, teachers, train_data, tmp_path, capsys):
    recipe = recipe_of(teachers, train_data, tmp_path / "run") | change
    assert run(write_recipe(tmp_path / "recipe.yaml", recipe)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_help_and_a_missing_recipe(capsys, tmp_path):
    assert run(["pretrain", "--help"]) == 0
    assert "usage: rna-hf pretrain FILE.yaml" in capsys.readouterr().out
    assert run(["pretrain"]) == 2
    assert "the recipe is missing" in capsys.readouterr().err
    assert run(["pretrain", str(tmp_path / "gone.yaml")]) == 2
    assert "gone.yaml does not exist" in capsys.readouterr().err


@pytest.mark.shared
def test_the_stages_on_real_profiles(teachers, shared_dir, tmp_path):
    table = pq.read_table(shared_dir / "data" / "ribonanza_15k" / "lib15k.parquet")
    ratio = np.minimum(table["signal_to_noise_2a3"].to_numpy(), table["signal_to_noise_dms"].to_numpy())
    # Some of each cluster, lest all be similar to one another.
    clusters = [np.flatnonzero(table["cluster"].to_numpy() == cluster) for cluster in (0, 1, 2, 4)]
    good = [row for rows in clusters for row in rows[ratio[rows] >= 1][:4]]
    chosen = table.take([*np.flatnonzero(ratio < 1)[:6], *good]).to_pylist()
    unlabelled = table.take([row for rows in clusters for row in rows[-3:]]).to_pylist()
    fasta = tmp_path / "unlabelled.fasta"
    fasta.write_text("".join(f">{row['id']}\n{row['sequence']}\n" for row in unlabelled))
    rows = [
        (
            row["id"],
            row["sequence"],
            {
                kind: (np.array(row[f"reactivity_{kind.lower()}"], dtype=float), row[f"signal_to_noise_{kind.lower()}"])
                for kind in ("2A3", "DMS")
            },
        )
        for row in chosen
    ]
    train_data = write_train_data(tmp_path / "train_data.csv", rows)
    recipe = recipe_of(teachers, train_data, tmp_path / "run") | {"optimizer": "adamw", "max_steps": 2}
    recipe["stages"][1]["pseudo_labels"]["sources"] = [{"file": str(fasta), "data_format": "fasta"}]
    assert run(write_recipe(tmp_path / "recipe.yaml", recipe)) == 0
    labels = pq.read_table(tmp_path / "run" / "pseudo" / "pseudo_labels.parquet")
    assert labels["sequence"].to_pylist() == [row["sequence"] for row in unlabelled]
    scores = json.loads((tmp_path / "run" / "anneal" / "scores.json").read_text())
    assert np.isfinite(scores["eval_mae"])
