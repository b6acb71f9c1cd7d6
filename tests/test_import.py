"""`import rna_hf` loads nothing heavy beyond what transformers has loaded already, and prints nothing."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "RNA",
    "accelerate",
    "datasets",
    "evaluate",
    "gemmi",
    "jinja2",
    "matplotlib",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "tensorboard",
    "triton",
    "yaml",
}
# What a user of transformers has imported before; some of it pulls in heavy modules of its own accord.
BEFORE = "from transformers import AutoModel, PreTrainedModel, pipeline"

CODE = f"""
import json, sys
{BEFORE}
before = set(sys.modules)
import rna_hf
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture(scope="module")
def newly_loaded():
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    # More than the one line would be a message that `import rna_hf` prints.
    assert len(result.stdout.splitlines()) == 1, result.stdout
    return json.loads(result.stdout)


def test_nothing_heavy_is_loaded(newly_loaded):
    assert not {name.split(".")[0] for name in newly_loaded} & HEAVY


def test_own_heavy_parts_wait_until_they_are_used(newly_loaded):
    for prefix in ("rna_hf.cli", "rna_hf.training", "rna_hf.hub"):
        assert not [name for name in newly_loaded if name.startswith(prefix)], prefix
    assert not [name for name in newly_loaded if name.rpartition(".")[2].startswith("convert_")]


def test_no_other_model_of_transformers_is_loaded(newly_loaded):
    assert not [name for name in newly_loaded if name.startswith("transformers.models.") and ".modeling_" in name]
