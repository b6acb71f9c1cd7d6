"""Names that stand for a checkpoint: folders of the package, or a revision on the Hub."""

import shutil

import huggingface_hub
import pytest

import rna_hf
from rna_hf import checkpoints
from rna_hf.checkpoints import CHECKPOINTS, CheckpointEntry, find_bundled, find_checkpoint
from rna_hf.tasks import TASKS


def test_every_name_has_its_folder():
    assert sorted(CHECKPOINTS) == sorted(checkpoint.name for checkpoint in checkpoints.list_checkpoints())
    for name in CHECKPOINTS:
        assert find_checkpoint(name) == find_bundled(name)
        assert (find_checkpoint(name) / "model.safetensors").is_file()


def test_every_default_is_a_name():
    assert {task.default_checkpoint for task in TASKS.values()} - {None} <= set(CHECKPOINTS)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that has one repository, and notes what was asked for."""
    folder = tmp_path / "snapshot"
    shutil.copytree(find_bundled("ribonanzanet-mini"), folder)
    asked = []

    def download(repo_id, revision=None, **options):
        asked.append((repo_id, revision))
        if repo_id != "owner/model":
            raise OSError("no such repository")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setitem(CHECKPOINTS, "published", CheckpointEntry("owner/model", "v1.0"))
    monkeypatch.setitem(CHECKPOINTS, "lost", CheckpointEntry("owner/lost", "abc"))
    return folder, asked


def test_a_name_stands_for_a_revision_on_the_hub(hub):
    folder, asked = hub
    assert find_checkpoint("published") == folder
    assert find_checkpoint("owner/model") == folder
    assert asked == [("owner/model", "v1.0"), ("owner/model", None)]
    assert len(rna_hf.predict("GGGAAACUCC", model="published")[0]["reactivity_DMS"]) == 10


def test_what_cannot_be_downloaded_is_named(hub):
    with pytest.raises(FileNotFoundError, match="'lost' is not here and cannot be downloaded from owner/lost at abc"):
        find_checkpoint("lost")
    with pytest.raises(FileNotFoundError, match="no checkpoint 'owner/other': neither a folder nor one of"):
        find_checkpoint("owner/other")


def test_names_on_the_hub_are_listed(hub, capsys):
    from rna_hf.cli.main import run

    assert run(["models"]) == 0
    assert "published\n  on the Hugging Face Hub: owner/model at v1.0" in capsys.readouterr().out
