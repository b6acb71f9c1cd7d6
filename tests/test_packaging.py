"""Every file of the package that is not Python is named in setup.cfg, or a wheel would miss it."""

import configparser
import re
import tomllib
from importlib.metadata import version

from rna_hf import __version__


def test_every_data_file_is_in_the_wheel(repository_root):
    settings = configparser.ConfigParser()
    settings.read(repository_root / "setup.cfg", encoding="utf-8")
    patterns = settings["options.package_data"]["rna_hf"].split()
    package = repository_root / "src" / "rna_hf"
    included = {path for pattern in patterns for path in package.glob(pattern)}
    # A checkpoint's loader file is data too: its folder is no package.
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    modules = {path for path in files if path.suffix == ".py" and (path.parent / "__init__.py").is_file()}
    assert sorted(files - modules - included) == []


def test_every_folder_with_modules_is_a_package(repository_root):
    package = repository_root / "src" / "rna_hf"
    folders = {path.parent for path in package.rglob("*.py") if path.parent.parent != package / "checkpoints"}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_pins_cover_the_dependencies(repository_root):
    project = tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    pinned = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (repository_root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    }
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ]", requirement)[0]).lower() for requirement in wanted}
    assert sorted(names - pinned - {"rna-hf"}) == []


def test_oldest_versions_that_are_tested_are_the_bounds(repository_root):
    project = tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = dict(re.match(r"([\w-]+)>=([\d.]+)", requirement).groups() for requirement in project["dependencies"])
    lines = (repository_root / "constraints-min.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert sorted(pins) == ["huggingface_hub", "tokenizers", "transformers"]
    assert {name: tuple(pin.split("."))[: bounds[name].count(".") + 1] for name, pin in pins.items()} == {
        name: tuple(bounds[name].split(".")) for name in pins
    }


def test_the_installed_version_is_this_one():
    assert version("rna-hf") == __version__
