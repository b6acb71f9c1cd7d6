"""`rna-hf push` with the real client of the Hub, against a server on loopback that stores what it is sent."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tiny_models
import torch
from fresh_process import run_each
from hub_server import TOKEN, running_hub
from huggingface_hub import constants, snapshot_download

from rna_hf.checkpoints import list_checkpoints
from rna_hf.cli.main import run
from rna_hf.hub.golden import write_golden
from rna_hf.hub.loader import add_loader
from rna_hf.models.registry import ARCHITECTURES
from rna_hf.tokenization import RnaTokenizerFast

URL = "/{repo_id}/resolve/{revision}/{filename}"
SEQUENCE = "GGGAAACGCUUCGGCGUAAACCC" * 3


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that is asked in place of the one on the Internet, by somebody who has a token."""
    with running_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + URL)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def save_checkpoint(folder, architecture="ribonanzanet", kind="ForReactivity", **options):
    """Save a tiny model with all that a checkpoint has."""
    entry = ARCHITECTURES[architecture]
    torch.manual_seed(0)
    entry.find_class(kind)(entry.find_class("Config")(**tiny_models.SIZES[architecture], **options)).save_pretrained(
        folder
    )
    RnaTokenizerFast(alphabet=entry.alphabet).save_pretrained(folder)
    add_loader(folder)
    write_golden(folder)
    facts = folder.parent / f"{folder.name}.yaml"
    facts.write_text("license: mit\n")
    assert run(["card", str(folder), "--facts", str(facts)]) == 0
    return folder


@pytest.fixture
def folder(tmp_path, capsys):
    saved = save_checkpoint(tmp_path / "model")
    capsys.readouterr()
    return saved


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_changed_without_yes(folder, hub, capsys):
    assert run(["push", str(folder), "--repo", "me/model"]) == 0
    text = capsys.readouterr().out
    assert f"{folder} -> me/model, branch main: not on the Hub yet" in text
    for name, data in content(folder).items():
        assert f"  new     {len(data):>12,}  {name}\n" in text
    assert "  | license: mit" in text
    assert "Nothing was uploaded" in text
    assert not hub.repositories
    assert not any(method != "GET" for method, _ in hub.calls)


def test_what_was_pushed_comes_back_byte_by_byte_and_predicts_elsewhere(folder, hub, capsys, tmp_path):
    assert run(["push", str(folder), "--repo", "me/model", "--yes", "--private"]) == 0
    assert f"{folder} is at {hub.endpoint}/me/model/commit/" in capsys.readouterr().out
    assert hub.repositories["me/model"].private
    assert hub.files("me/model") == content(folder)
    downloaded = Path(snapshot_download("me/model", cache_dir=tmp_path / "cache"))
    assert content(downloaded) == content(folder)

    # A process that knows the address of the hub, the token and the name.
    command = ["predict", "reactivity", SEQUENCE, "--model", "me/model", "--output", str(tmp_path / "out")]
    hub.run_command(command, tmp_path / "home")
    assert run(["predict", "reactivity", SEQUENCE, "--model", str(folder), "--output", str(tmp_path / "here")]) == 0
    there, here = (pq.read_table(tmp_path / name / "predictions.parquet").to_pylist()[0] for name in ("out", "here"))
    torch.testing.assert_close(torch.tensor(there["reactivity_2A3"]), torch.tensor(here["reactivity_2A3"]))


def test_a_second_push_sends_what_changed(folder, hub, capsys):
    run(["push", str(folder), "--repo", "me/model", "--yes"])
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMore.\n")
    capsys.readouterr()
    hub.calls.clear()
    assert run(["push", str(folder), "--repo", "me/model"]) == 0
    text = capsys.readouterr().out
    assert f"changed {(folder / 'README.md').stat().st_size:>12,}  README.md" in text
    assert f"same    {(folder / 'config.json').stat().st_size:>12,}  config.json" in text
    assert run(["push", str(folder), "--repo", "me/model", "--yes"]) == 0
    assert hub.files("me/model") == content(folder)
    assert hub.count("PUT", "/lfs/") == 0
    hub.calls.clear()
    assert run(["push", str(folder), "--repo", "me/model", "--yes"]) == 0
    assert hub.count("POST", "/commit/") == 0


def test_files_that_are_there_alone_stay(folder, hub, capsys):
    run(["push", str(folder), "--repo", "me/model", "--yes"])
    commit, files = hub.repositories["me/model"].branches["main"]
    hub.repositories["me/model"].branches["main"] = (commit, files | {"notes.txt": (b"mine", False)})
    run(["push", str(folder), "--repo", "me/model"])
    assert "stays there           notes.txt" in capsys.readouterr().out


def test_an_interrupted_push_goes_on(folder, hub, capsys):
    hub.failures["POST", "/commit/"] = 1
    assert run(["push", str(folder), "--repo", "me/model", "--yes"]) == 1
    message = capsys.readouterr().err
    assert "uploading to me/model failed" in message
    assert "run the same command again" in message
    assert message.count("\n") == 1
    assert hub.count("PUT", "/lfs/") == 1
    assert run(["push", str(folder), "--repo", "me/model", "--yes"]) == 0
    assert hub.count("PUT", "/lfs/") == 1  # the weights were there already
    assert hub.files("me/model") == content(folder)


def test_a_branch_a_pull_request_and_a_collection(folder, hub, capsys):
    run(["push", str(folder), "--repo", "me/model", "--yes"])
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMore.\n")
    assert run(["push", str(folder), "--repo", "me/model", "--yes", "--revision", "trial"]) == 0
    assert hub.files("me/model", "trial") == content(folder)
    assert hub.files("me/model") != content(folder)
    capsys.readouterr()
    command = ["push", str(folder), "--repo", "me/model", "--yes", "--pull-request", "--collection", "RNA models"]
    assert run(command) == 0
    assert f"{folder} is at {hub.endpoint}/me/model/discussions/1" in capsys.readouterr().out
    assert hub.files("me/model", "refs/pr/1") == content(folder)
    assert hub.collections == {"me/rna-models-0123456789abcdef": ["me/model"]}
    assert run([*command[:-1], "me/rna-models-0123456789abcdef"]) == 0


def test_all_shipped_checkpoints_at_once(hub, capsys):
    names = [one.name for one in list_checkpoints()]
    assert run(["push", *names, "--repo", "friends", "--yes"]) == 0
    assert "REFUSED" not in capsys.readouterr().out
    assert sorted(hub.repositories) == [f"friends/{name}" for name in sorted(names)]
    for one in list_checkpoints():
        assert hub.files(f"friends/{one.name}") == content(one.path)


def test_the_folder_of_a_training_is_pushed_without_what_only_the_training_needs(folder, hub, capsys):
    (folder / "training_args.bin").write_bytes(b"\x80\x04.")
    (folder / "checkpoint-5").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "checkpoint-5")
    assert run(["push", str(folder), "--repo", "me/model", "--yes"]) == 1
    text = capsys.readouterr().out
    assert "REFUSED: training_args.bin may run code" in text
    assert "REFUSED: checkpoint-5/model.safetensors is nothing that a checkpoint needs" in text
    assert not hub.repositories
    assert run(["push", str(folder), "--repo", "me/model", "--yes", "--leave-out-others"]) == 0
    assert "left out              training_args.bin" in capsys.readouterr().out
    assert set(content(folder)) - set(hub.files("me/model")) == {"training_args.bin", "checkpoint-5/model.safetensors"}


def test_what_the_hub_will_refuse_keeps_all_here(folder, hub, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "other")
    assert run(["push", str(tmp_path / "other"), "--repo", "me", "--yes"]) == 0
    assert run(["push", str(folder), str(tmp_path / "other"), "--repo", "me", "--yes", "--private"]) == 2
    assert "me/other is public on the Hub" in capsys.readouterr().err
    assert list(hub.repositories) == ["me/other"]


def test_one_bad_folder_keeps_all_here(folder, hub, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "bad")
    (tmp_path / "bad" / "golden.json").unlink()
    assert run(["push", str(folder), str(tmp_path / "bad"), "--repo", "me", "--yes"]) == 1
    assert "1 of 2 folders can't be uploaded; nothing was" in capsys.readouterr().out
    assert not hub.repositories


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repo", "me/a/b"], "'me/a/b' is no id of a repository"),
        (["--repo", "me/.hidden"], "is no id of a repository"),
        (["--repo", "me/" + "x" * 100], "is no id of a repository"),
        (["nowhere", "--repo", "me"], "no checkpoint 'nowhere'"),
        (["{folder}", "--repo", "me/model"], "2 folders can't go to one repository me/model"),
        (["{folder}", "--repo", "me"], "two folders have the same name"),
        (["--repo", "me/model", "--pull-request", "--revision", "trial"], "leave --revision or --pull-request out"),
        (["--repo", "me/model", "--pull-request", "--yes"], "there is nothing to open a pull request for"),
        (["--repo", "you/model", "--yes"], "making you/model: the token may not do that"),
    ],
)
def test_what_is_refused(arguments, message, folder, hub, capsys):
    arguments = [argument.format(folder=folder) for argument in arguments]
    assert run(["push", str(folder), *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not hub.repositories


def test_tokens_and_repositories_of_others(folder, hub, monkeypatch, capsys):
    run(["push", str(folder), "--repo", "me/model", "--yes"])
    assert run(["push", str(folder), "--repo", "me/model", "--yes", "--private"]) == 2
    assert "me/model is public on the Hub" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "hf_" + "b" * 34)
    assert run(["push", str(folder), "--repo", "me/other", "--yes"]) == 1
    assert "the Hub does not know the token" in capsys.readouterr().err
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no-token"))
    assert run(["push", str(folder), "--repo", "me/other"]) == 0
    assert run(["push", str(folder), "--repo", "me/other", "--yes"]) == 1
    assert "there is no token of the Hub: `hf auth login`" in capsys.readouterr().err


def test_without_a_hub_the_folder_is_looked_over_all_the_same(folder, monkeypatch, capsys):
    assert run(["push", str(folder), "--repo", "me/model"]) == 0
    text = capsys.readouterr().out
    assert "the Hub was not asked: " in text
    assert f"?       {(folder / 'config.json').stat().st_size:>12,}  config.json" in text
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert run(["push", str(folder), "--repo", "me/model", "--yes"]) == 1
    assert "the Hub can't be reached" in capsys.readouterr().err


# As somebody who has transformers and the id, in a process that has not seen this package.
BY_ID = """
import json, sys
from huggingface_hub import constants
endpoint, cache, name, auto_class, missing = sys.argv[1:]
constants.ENDPOINT, constants.HF_HUB_OFFLINE = endpoint, False
constants.HUGGINGFACE_CO_URL_TEMPLATE = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
if missing:
    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "rna_hf":
                raise ModuleNotFoundError("No module named 'rna_hf'", name="rna_hf")
    sys.meta_path.insert(0, Missing())
import torch, transformers
options = {"cache_dir": cache, "token": False}
tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False, **options)
batch = tokenizer(["GGGAAACGCUUCGGCGUAAACCC" * 3], return_tensors="pt")
found = [batch["input_ids"].tolist()]
try:
    model = getattr(transformers, auto_class).from_pretrained(name, trust_remote_code=True, **options)
    with torch.no_grad():
        found += [type(model).__name__, model(**batch)[0].flatten()[:5].tolist()]
except ImportError as error:
    found.append(str(error))
print(json.dumps(found))
"""


@pytest.mark.slow
def test_every_head_opens_by_its_id_in_plain_transformers(hub, tmp_path, capsys):
    """With `trust_remote_code` through the loader file, and the tokenizer without the package."""
    cases, expected = [], {}
    for architecture in ARCHITECTURES.values():
        for kind in ["Model", *(f"For{head}" for head in architecture.heads)]:
            name = f"{architecture.name}-{kind.lower()}"
            saved = save_checkpoint(tmp_path / name, architecture.name, kind)
            auto_class = f"AutoModel{kind}" if hasattr(__import__("transformers"), f"AutoModel{kind}") else "AutoModel"
            opened = architecture.find_class("Model" if auto_class == "AutoModel" else kind)
            tokenizer = RnaTokenizerFast.from_pretrained(saved)
            batch = tokenizer([SEQUENCE], return_tensors="pt")
            with torch.no_grad():
                output = opened.from_pretrained(saved).eval()(**batch)[0].flatten()[:5].tolist()
            expected[f"me/{name}"] = [batch["input_ids"].tolist(), opened.__name__, output]
            cases.append((f"me/{name}", auto_class))
    folders = [str(tmp_path / name.split("/")[1]) for name, _ in cases]
    assert run(["push", *folders, "--repo", "me", "--yes"]) == 0
    arguments = [
        [hub.endpoint, str(tmp_path / f"cache{missing}" / name.split("/")[1]), name, auto_class, missing]
        for name, auto_class in cases
        for missing in ("", "yes")
    ]
    for start in range(0, len(arguments), 6):
        for own, done in zip(arguments[start:], run_each(BY_ID, *arguments[start : start + 6])):
            name, missing = own[2], own[4]
            assert done.returncode == 0, done.stderr
            ids, *rest = json.loads(done.stdout.splitlines()[-1])
            assert ids == expected[name][0]
            if missing:
                assert "packages that were not found in your environment: rna_hf" in rest[0]
            else:
                assert rest[0] == expected[name][1]
                torch.testing.assert_close(torch.tensor(rest[1]), torch.tensor(expected[name][2]), atol=1e-6, rtol=0)
