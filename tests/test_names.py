"""Names of checkpoints: `rna-hf/<name>` opens offline wherever a folder does, in fresh processes too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, pipeline
from transformers.utils import hub

import rna_hf
from rna_hf import checkpoints
from rna_hf.checkpoints import CHECKPOINTS, CheckpointEntry, find_bundled, find_checkpoint
from rna_hf.checkpoints.names import find_named_checkpoints
from rna_hf.models.registry import ARCHITECTURES
from rna_hf.tokenization import RnaTokenizerFast

# In a process of its own, from which any name of a host would be looked up in vain, and with complaint.
CODE = """
import json, socket, sys, warnings
from pathlib import Path

def refuse(*arguments, **options):
    raise AssertionError(f"asked the network for {arguments[:1]}")

socket.getaddrinfo = refuse
import transformers
from transformers import AutoModel, AutoTokenizer  # before rna_hf is imported, as a user may
import rna_hf
from rna_hf import checkpoints
from rna_hf.models.registry import ARCHITECTURES

checkpoints.FOLDER = Path(sys.argv[1])
opened = {}
for architecture in ARCHITECTURES.values():
    for head in architecture.heads:
        name = f"{architecture.name}-{head.lower()}"
        checkpoints.CHECKPOINTS[name] = checkpoints.CheckpointEntry()
        auto_class = getattr(rna_hf, f"AutoModelFor{head}", None) or getattr(transformers, f"AutoModelFor{head}")
        models = [auto_class.from_pretrained(f"rna-hf/{name}"), rna_hf.load(f"rna-hf/{name}").model]
        models.append(architecture.find_class(f"For{head}").from_pretrained(f"rna-hf/{name}"))
        tokenizer = AutoTokenizer.from_pretrained(f"rna-hf/{name}")
        base = AutoModel.from_pretrained(f"rna-hf/{name}")
        opened[name] = [type(model).__name__ for model in models] + [type(base).__name__, type(tokenizer).__name__]
print(json.dumps(opened))
"""


def test_every_architecture_and_head_opens_by_its_name_in_a_fresh_process(tmp_path):
    for architecture in ARCHITECTURES.values():
        for head in architecture.heads:
            folder = tmp_path / f"{architecture.name}-{head.lower()}"
            config = architecture.find_class("Config")(**tiny_models.SIZES[architecture.name])
            architecture.find_class(f"For{head}")(config).save_pretrained(folder)
            RnaTokenizerFast(alphabet=architecture.alphabet).save_pretrained(folder)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(rna_hf.__file__).parents[1]), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "asked the network" not in done.stderr
    assert json.loads(done.stdout) == {
        f"{architecture.name}-{head.lower()}": [
            *[f"{architecture.prefix}For{head}"] * 3,
            f"{architecture.prefix}Model",
            "RnaTokenizerFast",
        ]
        for architecture in ARCHITECTURES.values()
        for head in architecture.heads
    }


@pytest.fixture
def _no_network(monkeypatch):
    import socket

    def refuse(*arguments, **options):
        raise AssertionError(f"asked the network for {arguments[:1]}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("name", sorted(CHECKPOINTS))
def test_a_name_opens_what_its_folder_holds(name):
    folder = find_bundled(name)
    model, tokenizer = rna_hf.load(f"rna-hf/{name}")
    assert (type(model).__name__, model.training) == (
        json.loads((folder / "config.json").read_text())["architectures"][0],
        False,
    )
    plain = rna_hf.load(folder).model.state_dict()
    assert all(torch.equal(value, plain[key]) for key, value in model.state_dict().items())
    configs = [AutoConfig.from_pretrained(place).to_diff_dict() for place in (f"rna-hf/{name}", folder)]
    assert configs[0] == configs[1]
    assert find_checkpoint(f"rna-hf/{name}") == find_checkpoint(name) == folder
    assert tokenizer("GGCA").input_ids == AutoTokenizer.from_pretrained(folder)("GGCA").input_ids


@pytest.mark.usefixtures("_no_network")
def test_pipelines_and_predict_take_names():
    sequence = "GGGAAACGCUUCGGCGUAAACCCGGGAAACGCUUCGG"
    found = pipeline("rna-reactivity", model="rna-hf/ribonanzanet-mini")(sequence)["reactivity"]["DMS"]
    row = rna_hf.predict(sequence, model="rna-hf/ribonanzanet-mini")[0]
    assert found == pytest.approx(row["reactivity_DMS"], abs=1e-5)


def test_other_names_and_revisions_of_the_callers_own_go_to_the_hub(monkeypatch, tmp_path):
    asked = []

    def download(name, *arguments, revision=None, **options):
        asked.append((name, revision))
        raise hub.OfflineModeIsEnabled("no network in tests")

    for function in ("hf_hub_download", "snapshot_download"):
        monkeypatch.setattr(hub, function, download)
    monkeypatch.setitem(CHECKPOINTS, "published", CheckpointEntry("rna-hf/published", "v1.0"))
    for name, options in (
        ("owner/ribonanzanet-mini", {}),
        ("rna-hf/unknown", {}),
        ("rna-hf/ribonanzanet-mini", {"revision": "v0.1"}),
        ("rna-hf/published", {}),
        ("rna-hf/published", {"revision": "v0.9"}),
    ):
        with pytest.raises(OSError, match="no network in tests"):
            AutoConfig.from_pretrained(name, cache_dir=tmp_path, **options)
    assert list(dict.fromkeys(asked)) == [
        ("owner/ribonanzanet-mini", None),
        ("rna-hf/unknown", None),
        ("rna-hf/ribonanzanet-mini", "v0.1"),
        ("rna-hf/published", "v1.0"),
        ("rna-hf/published", "v0.9"),
    ]


def test_a_folder_of_the_same_name_wins(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tiny_models.save_tiny(tmp_path / "rna-hf" / "ribonanzanet-mini", hidden_size=16)
    assert AutoConfig.from_pretrained("rna-hf/ribonanzanet-mini").hidden_size == 16
    assert AutoModel.from_pretrained("rna-hf/ribonanzanet-mini").config.hidden_size == 16


def test_a_checkpoint_that_is_missing_here_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    assert checkpoints.find_local("rna-hf/ribonanzanet-mini") is None


def test_finding_twice_is_finding_once():
    before = hub.cached_files
    find_named_checkpoints()
    assert hub.cached_files is before


def test_what_load_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint 'nothing'"):
        rna_hf.load("nothing")
    with pytest.raises(ValueError, match=r"task must be one of reactivity, .*, got 'folding'"):
        rna_hf.load("ribonanzanet-mini", task="folding")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"is of another package \(model_type 'bert'"):
        rna_hf.load(tmp_path)


def test_load_takes_a_task(tmp_path):
    model, _ = rna_hf.load("ribonanzanet-mini", task="structure")
    assert type(model).__name__ == "RibonanzaNetForSecondaryStructure"
