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


# What a command says without opening a model, with its exit code.
COMMANDS = [
    (0, "--version"),
    (0, "--help"),
    (2, ""),
    (2, "fold"),
    (0, "models"),
    (0, "predict --help"),
    (0, "predict structure --help"),
    (2, "predict"),
    (2, "predict folding ACGU -o OUT"),
    (2, "predict -o OUT structure ACGU"),
    (2, "predict structure ACGU"),
    (2, "predict structure ACGU -o OUT --dtype int8"),
    (2, "predict structure ACGU -o OUT --batch-tokens 0"),
    (2, "predict structure ACGU -o OUT --samples 3"),
    (2, "predict 3d ACGU -o OUT --samples 0"),
    (2, "predict dropout ACGU -o OUT"),
    (2, "predict structure ACGU -o OUT --model none"),
    (2, "predict structure missing.fa -o OUT"),
    (2, "predict structure EMPTY -o OUT"),
    (2, "predict structure WRONG -o OUT"),
    (0, "convert --help"),
    (2, "convert fold"),
    (2, "convert --checkpoint x ribonanzanet"),
    (0, "convert ribonanzanet --help"),
    (2, "convert ribonanzanet --checkpoint x"),
    (0, "card --help"),
    (2, "card"),
    (2, "card missing"),
    (0, "check --help"),
    (2, "check"),
    (2, "check missing"),
    (2, "finetune missing.yaml"),
    (2, "pretrain missing.yaml"),
]
COMMAND_CODE = """
import json, sys
import rna_hf_command
for code, command in json.loads(sys.argv[1]):
    assert rna_hf_command.run(command.split()) == code, command
    loaded = {"torch", "transformers", "tokenizers", "datasets", "pyarrow", "matplotlib"} & set(sys.modules)
    assert not loaded, f"{command} has loaded {loaded}"
"""


def test_what_needs_no_model_loads_no_framework(tmp_path):
    (tmp_path / "empty.fa").write_text("")
    (tmp_path / "wrong.csv").write_text("id,seq\na,ACGU\n")
    names = {"OUT": "out", "EMPTY": "empty.fa", "WRONG": "wrong.csv"}
    commands = json.dumps(COMMANDS)
    for name, file in names.items():
        commands = commands.replace(name, str(tmp_path / file))
    done = subprocess.run([sys.executable, "-c", COMMAND_CODE, commands], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    errors = [line for line in done.stderr.splitlines() if line]
    # One line for each complaint; `rna-hf` alone prints how it is used.
    assert len(errors) == sum(code == 2 for code, _ in COMMANDS) - 1
    assert all(line.startswith("rna-hf: error: ") for line in errors)
    assert not (tmp_path / "out").exists()


def test_a_command_registers_before_it_opens_a_model(tmp_path):
    code = "import rna_hf_command; raise SystemExit(rna_hf_command.run())"
    arguments = ["predict", "structure", "GGGGAAAACCCC" * 3, "-o", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out" / "structures.dbn").exists()


def test_a_user_is_shown_what_a_user_needs():
    import rna_hf

    shown = dir(rna_hf)
    assert {"predict", "RibonanzaNetForReactivity", "AutoModelForSecondaryStructure", "__version__"} <= set(shown)
    assert shown == rna_hf.__all__
    assert all(hasattr(rna_hf, name) for name in shown)
