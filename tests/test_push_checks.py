"""What `rna-hf push` refuses, each with one line that says what, where and what to do."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_push import content, save_checkpoint

from rna_hf.cli.main import run
from rna_hf.hub.push_checks import find_problems, is_needed, list_files
from rna_hf.hub.secret_patterns import find_secret


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def problems(folder):
    return list(find_problems(folder, list_files(folder)))


def test_a_whole_checkpoint_is_clean(folder):
    assert problems(folder) == []


def edit(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text()))


def set_field(folder, **fields):
    edit(folder, "config.json", lambda text: json.dumps(json.loads(text) | fields))


def spoil(folder, value):
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    next(iter(weights.values())).view(-1)[0] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def add_metadata(folder):
    save_file(
        load_file(folder / "model.safetensors"), folder / "model.safetensors", metadata={"key": "AKIA" + "B" * 16}
    )


CASES = {
    "pickle": (
        lambda f: (f / "training_args.bin").write_bytes(b"x"),
        "training_args.bin may run code when it is opened",
    ),
    "pickle below": (
        lambda f: [(f / "a").mkdir(), (f / "a" / "state.pt").write_bytes(b"x")],
        "a/state.pt may run code when it is opened",
    ),
    "stray file": (lambda f: (f / "notes.docx").write_text("x"), "notes.docx is nothing that a checkpoint needs"),
    "desktop": (lambda f: (f / ".DS_Store").write_text("x"), ".DS_Store is nothing that a checkpoint needs"),
    "data": (lambda f: (f / "patients.csv").write_text("x"), "patients.csv is nothing that a checkpoint needs"),
    "code": (lambda f: (f / "modeling_x.py").write_text("x"), "modeling_x.py is nothing that a checkpoint needs"),
    "link out": (lambda f: (f / "curve.png").symlink_to("/etc/hostname"), "curve.png is a link to a file outside"),
    "token in the card": (
        lambda f: edit(f, "README.md", lambda text: text + "\nhf_" + "q" * 34 + "\n"),
        "holds a token of the Hugging Face Hub: take it out, and make it invalid",
    ),
    "key in a header": (add_metadata, "model.safetensors, line 1, holds an AWS key"),
    "password in an address": (
        lambda f: set_field(f, source="https://me:secret123@example.org/data"),
        "config.json, line 1, holds a password in an address",
    ),
    "no card": (lambda f: (f / "README.md").unlink(), "it has no card: write one with `rna-hf card"),
    "no licence": (
        lambda f: edit(f, "README.md", lambda text: text.replace("license: mit\n", "")),
        "README.md states no licence",
    ),
    "unknown licence": (
        lambda f: edit(f, "README.md", lambda text: text.replace("license: mit", "license: my-own")),
        "license is 'my-own', which the Hub does not know",
    ),
    "broken front matter": (
        lambda f: edit(f, "README.md", lambda text: text.replace("license: mit", "license: [mit")),
        "the front matter of README.md can't be read",
    ),
    "weights of others": (
        lambda f: set_field(f, converted_from="RNATracker"),
        "its weights come from RNATracker, for which no licence was found",
    ),
    "weights under another licence": (
        lambda f: set_field(f, converted_from="multimolecule"),
        "which is under agpl-3.0, and README.md says mit",
    ),
    "not a number": (lambda f: spoil(f, torch.nan), "holds NaN or infinite values"),
    "infinite": (lambda f: spoil(f, torch.inf), "holds NaN or infinite values"),
    "other weights": (lambda f: spoil(f, 7.0), "is not what its golden output was made with; weights: "),
    "no golden output": (lambda f: (f / "golden.json").unlink(), "has no golden.json: write one with `rna-hf check"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "it holds no config.json, so it is no checkpoint"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused(name, folder, capsys):
    spoil_folder, message = CASES[name]
    spoil_folder(folder)
    found = problems(folder)
    assert any(message in problem for problem in found), found
    assert all("\n" not in problem for problem in found)
    before = content(folder)
    assert run(["push", str(folder), "--repo", "me/model", "--yes"]) in (1, 2)
    assert content(folder) == before


def test_a_licence_that_its_authors_gave_is_stated(folder):
    set_field(folder, converted_from="RNATracker")
    line = "license: other\nlicense_name: by-letter\nlicense_link: https://example.org/licence"
    edit(folder, "README.md", lambda text: text.replace("license: mit", line))
    assert not any("its weights come from" in problem for problem in problems(folder))


def test_converters_say_whose_weights_they_read(tmp_path):
    from rna_hf import RnaTrackerConfig, RnaTrackerForLocalisation
    from rna_hf.models.rnatracker.convert_rnatracker import KEY_TABLE, convert_rnatracker

    state = RnaTrackerForLocalisation(RnaTrackerConfig()).state_dict()
    torch.save({theirs: state[ours].clone() for ours, theirs in KEY_TABLE.items()}, tmp_path / "original.pt")
    written = convert_rnatracker(tmp_path / "original.pt", tmp_path / "converted")
    assert json.loads((written / "config.json").read_text())["converted_from"] == "RNATracker"
    # What is trained from it is no less theirs.
    trained = RnaTrackerForLocalisation.from_pretrained(written)
    trained.save_pretrained(tmp_path / "trained")
    assert json.loads((tmp_path / "trained" / "config.json").read_text())["converted_from"] == "RNATracker"


@pytest.mark.parametrize(
    "text",
    [
        b'"mask_token": "<mask>", "bos_token": "<bos>"',
        b"the token of `hf auth login`, or HF_TOKEN",
        b"https://example.org/a:b/c@d",
        b'"hf_transfer_is_a_name_of_a_package"',
        b"sha256: " + b"0123456789abcdef" * 4,
    ],
)
def test_what_is_no_secret(text):
    assert find_secret(text) is None


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("model-00001-of-00002.safetensors", True),
        (".eval_results/pk90.yaml", True),
        ("LICENSE", True),
        ("optimizer.pt", False),
        ("a/model.safetensors", False),
        ("model.safetensors.bak", False),
        ("training_args.bin", False),
    ],
)
def test_files_of_a_checkpoint(name, is_one):
    assert is_needed(name) is is_one
