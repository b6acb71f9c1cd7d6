"""Makes transformers' own test mixins importable, from its unpacked source distribution.

The wheel does not hold them and this repository does not copy them. They are looked for in the folder that the
environment variable `TRANSFORMERS_SOURCE` names, and otherwise in `.cache/transformers-<installed version>` at the root
of the repository. A test module gets one with

    from transformers_tests import load

    common = load("test_tokenization_common")

which skips the whole module, with the reason, where there is no source. The package has a name of its own, because
`tests` could be this repository's folder as well.

The source distribution leaves out what the mixins import from sub-folders of `tests`. Those few names are replaced by
`_STUBS`; a full checkout of transformers is used as it is.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch
import transformers

PACKAGE = "transformers_tests"

# Modules missing from the source distribution, with the names that are imported from them. Their tests concern
# `torch.export`, text generation and config keywords common to all models.
_STUBS = {
    "exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
    "generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
    "utils.test_configuration_utils": {"config_common_kwargs": {}},
}


def _source() -> Path:
    """The folder to look in, whether it exists or not."""
    default = Path(__file__).parents[2] / ".cache" / f"transformers-{transformers.__version__}"
    return Path(os.environ.get("TRANSFORMERS_SOURCE") or default).resolve()


def _missing() -> str | None:
    """Why the upstream tests cannot run here; None if they can."""
    if not (_source() / "tests" / "test_tokenization_common.py").is_file():
        return (
            f"transformers' own tests are not at {_source()}: `make upstream-tests` fetches them, or set "
            "TRANSFORMERS_SOURCE to an unpacked source distribution of the installed version"
        )
    if importlib.util.find_spec("parameterized") is None:
        return "transformers' own tests need the package `parameterized`: pip install parameterized"
    return None


def _add_module(name: str, **attributes: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
    return module


def load(name: str) -> ModuleType:
    """Imports a module of transformers' `tests` folder.

    Args:
        name: path inside `tests` with dots, such as "test_modeling_common".

    Raises:
        pytest.skip.Exception: for the whole calling module, if the tests are not there.
    """
    if reason := _missing():
        pytest.skip(reason, allow_module_level=True)
    tests = _source() / "tests"
    for stub, names in _STUBS.items():
        if not (tests / f"{stub.replace('.', '/')}.py").is_file():
            parent = f"{PACKAGE}.{stub.split('.')[0]}"
            _add_module(parent, __path__=[])
            _add_module(f"{PACKAGE}.{stub}", **names)
    if (tests / "__init__.py").is_file():
        return importlib.import_module(f"{PACKAGE}.{name}")
    # A mixin asks for transformers by way of `tests/__init__.py`, which the source distribution leaves out.
    with mock.patch("transformers.utils.direct_transformers_import", return_value=transformers):
        return importlib.import_module(f"{PACKAGE}.{name}")


@pytest.fixture(autouse=True)
def _short_tensors():
    """Print corners of tensors: the mixins write their messages for each comparison, whether it fails or not."""
    torch.set_printoptions(threshold=0, edgeitems=1)
    yield
    torch.set_printoptions(profile="default")


if PACKAGE not in sys.modules:
    _add_module(PACKAGE, __path__=[str(_source() / "tests")], load=load)
