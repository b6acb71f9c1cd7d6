"""`push_to_hub`: of `rna-hf finetune`, and of a Trainer of one's own with `CardCallback`; the Hub is on loopback."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard, snapshot_download
from test_card_callback import make_trainer
from test_finetune import arguments, write_table
from test_push import content, hub  # noqa: F401 - a fixture
from tiny_models import RIBONANZANET_TO_TRAIN, save_tiny

from rna_hf.cli.main import run
from rna_hf.training.card_callback import CardCallback

SMALL = {"max_steps": 2, "per_device_train_batch_size": 4, "use_cpu": True, "report_to": "none", "save_steps": 1}


@pytest.fixture
def base(tmp_path):
    return save_tiny(tmp_path / "base", {"alphabet": "ribonanzanet"}, **RIBONANZANET_TO_TRAIN, fix_attention_mask=True)


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "table.parquet", "reactivity", count=12)


def test_finetune_uploads_the_finished_checkpoint_and_nothing_else(hub, base, table, tmp_path, capsys):  # noqa: F811
    output = tmp_path / "run"
    options = SMALL | {"push_to_hub": True, "hub_model_id": "me/tuned", "license": "cc-by-4.0"}
    assert run(arguments("reactivity", base, table, output, **options)) == 0
    assert f"{output} is at {hub.endpoint}/me/tuned/commit/" in capsys.readouterr().err
    assert hub.count("POST", "/commit/") == 1
    files = hub.files("me/tuned")
    assert {"README.md", "config.json", "golden.json", "model.safetensors", "scores.json", "tokenizer.json"} <= set(
        files
    )
    assert not [name for name in files if name.endswith(".bin") or "checkpoint-" in name]
    assert all(content(output)[name] == data for name, data in files.items())
    assert b"license: cc-by-4.0" in files["README.md"]

    # A second process downloads it and predicts.
    command = ["predict", "reactivity", "GGGAAACGCUUCGGCGUAAACCC", "--model", "me/tuned", "-o", str(tmp_path / "out")]
    hub.run_command(command, tmp_path / "home")
    assert len(pq.read_table(tmp_path / "out" / "predictions.parquet")["reactivity_2A3"][0]) == 23


def test_the_hub_is_asked_before_the_training(hub, base, table, tmp_path, capsys):  # noqa: F811
    options = SMALL | {"push_to_hub": True, "hub_model_id": "you/tuned", "license": "mit"}
    assert run(arguments("reactivity", base, table, tmp_path / "run", **options)) == 1
    assert "making you/tuned: the token may not do that" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_upload_that_fails_loses_nothing(hub, base, table, tmp_path, capsys):  # noqa: F811
    output = tmp_path / "run"
    hub.failures["POST", "/commit/"] = 1
    options = SMALL | {"push_to_hub": True, "hub_model_id": "me/tuned", "license": "mit"}
    assert run(arguments("reactivity", base, table, output, **options)) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    command = f"rna-hf push {output} --repo me/tuned --leave-out-others --yes"
    assert f"{output} is finished, and was not uploaded" in message
    assert f"`{command}` does it" in message
    assert json.loads((output / "scores.json").read_text())
    assert run(command.split()[1:]) == 0
    assert hub.files("me/tuned")["model.safetensors"] == (output / "model.safetensors").read_bytes()


def test_a_trainer_of_ones_own_uploads_our_card(hub, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)  # made at the first use
    trainer = make_trainer(tmp_path)
    CardCallback(trainer, {"license": "mit"})
    trainer.args.push_to_hub, trainer.args.hub_model_id = True, "me/own"
    trainer.init_hf_repo()
    trainer.push_to_hub()
    card = ModelCard.load(Path(snapshot_download("me/own", cache_dir=tmp_path / "cache"), "README.md"))
    assert card.data.license == "mit"
    assert "| parameters |" in card.text
