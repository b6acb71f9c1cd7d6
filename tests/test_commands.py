"""What documents, cards and programs name of the checkout is there: modules to run, and files of options."""

import re

import pytest

FOLDERS = ("benchmarks", "examples", "model_cards", "recipes", "src", "tests", "tools", "training_state")
ENDS = {".md", ".py", ".yaml"}
MODULE = re.compile(r"(?:\bpython|/python) -m ((?:benchmarks|recipes|tools)(?:\.\w+)+)")
FILE = re.compile(r"\b((?:recipes|examples|training_state)/[\w/.-]+\.(?:yaml|pt|fasta|md|py))\b")


@pytest.fixture(scope="module")
def texts(repository_root):
    paths = [repository_root / "Makefile", *repository_root.glob("*.md")]
    paths += [path for folder in FOLDERS for path in (repository_root / folder).rglob("*") if path.suffix in ENDS]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def test_modules_are_there(texts, repository_root):
    named = {(module, path) for path, text in texts.items() for module in MODULE.findall(text)}
    assert len({module for module, _ in named}) > 15
    missing = []
    for module, path in sorted(named):
        place = repository_root / module.replace(".", "/")
        if not (place.with_suffix(".py").is_file() or place.is_dir()):
            missing.append(f"{path.relative_to(repository_root)}: {module}")
    assert missing == []


def test_files_are_there(texts, repository_root):
    named = {(name, path) for path, text in texts.items() for name in FILE.findall(text)}
    assert len(named) > 15
    assert [f"{path}: {name}" for name, path in sorted(named) if not (repository_root / name).is_file()] == []


def test_the_package_does_not_need_the_checkout(texts, repository_root):
    package = repository_root / "src"
    outside = re.compile(r"^\s*(?:from|import) (?:benchmarks|recipes|tools|tests)\b", re.MULTILINE)
    assert [path for path, text in texts.items() if package in path.parents and outside.search(text)] == []
