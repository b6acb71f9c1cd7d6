"""A checkpoint folder opens with plain transformers, in a process of its own, with and without this package."""

import json
import textwrap

import pytest
import torch
from fresh_process import run_python
from tiny_models import RIBONANZANET_TO_TRAIN, tiny_model
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from rna_hf import AutoModelForReactivity, RibonanzaNetConfig, RibonanzaNetForReactivity, RibonanzaNetModel
from rna_hf.hub.loader import add_loader, auto_map_of
from rna_hf.models.loader_file import LOADER_FILE_NAME, LoaderFileMixin, loader_source
from rna_hf.models.registry import ARCHITECTURES
from rna_hf.tokenization.tokenization_rna import RnaTokenizerFast

INPUT_IDS = [[0, 1, 2, 3, 3, 2, 1, 0]]

# Makes `import rna_hf` fail in the way it does where the package is not installed.
WITHOUT_PACKAGE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "rna_hf":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def folder(tmp_path):
    """A tiny checkpoint with a reactivity head and the loader file."""
    folder = tmp_path / "checkpoint"
    tiny_model(**RIBONANZANET_TO_TRAIN).save_pretrained(folder)
    add_loader(folder)
    return folder


def run(code, tmp_path):
    """Run code in a process that has not seen the package, with an empty cache for the loader file."""
    return run_python(textwrap.dedent(code), HF_MODULES_CACHE=str(tmp_path / "modules"))


def test_loader_file_only_imports(folder):
    lines = (folder / LOADER_FILE_NAME).read_text().splitlines()
    assert "from rna_hf.models.ribonanzanet import (" in lines
    assert len(lines) < 20
    assert not any(line.startswith(("class ", "def ", "import ")) for line in lines)


def test_auto_map_names_only_what_transformers_has():
    assert auto_map_of(ARCHITECTURES["ribonanzanet"]) == {
        "AutoConfig": "rna_hf_loader.RibonanzaNetConfig",
        "AutoModel": "rna_hf_loader.RibonanzaNetModel",
        "AutoModelForMaskedLM": "rna_hf_loader.RibonanzaNetForMaskedLM",
        "AutoModelForSequenceClassification": "rna_hf_loader.RibonanzaNetForSequenceClassification",
        "AutoModelForTokenClassification": "rna_hf_loader.RibonanzaNetForTokenClassification",
    }


def test_adding_the_loader_twice_changes_nothing(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    add_loader(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_plain_auto_classes_open_the_folder_in_a_fresh_process(folder, tmp_path):
    expected = RibonanzaNetModel.from_pretrained(folder)(torch.tensor(INPUT_IDS)).last_hidden_state
    result = run(
        f"""
        import json, sys
        import torch
        from transformers import AutoConfig, AutoModel
        assert "rna_hf" not in sys.modules
        config = AutoConfig.from_pretrained({str(folder)!r}, trust_remote_code=True)
        model = AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True)
        assert type(config).__module__ == "rna_hf.models.ribonanzanet.configuration_ribonanzanet"
        assert type(model).__module__ == "rna_hf.models.ribonanzanet.modeling_ribonanzanet"
        with torch.no_grad():
            print(json.dumps(model(torch.tensor({INPUT_IDS})).last_hidden_state.tolist()))
        """,
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    torch.testing.assert_close(torch.tensor(json.loads(result.stdout)), expected.detach(), rtol=0, atol=1e-6)


def test_a_missing_package_is_named(folder, tmp_path):
    result = run(
        WITHOUT_PACKAGE
        + textwrap.dedent(f"""
        from transformers import AutoModel
        AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True)
        """),
        tmp_path,
    )
    assert result.returncode != 0
    assert "requires the following packages that were not found in your environment: rna_hf" in result.stderr


def test_tokenizer_needs_neither_the_package_nor_trust(folder, tmp_path):
    tokenizer = RnaTokenizerFast()
    tokenizer.save_pretrained(folder)
    sequences = ["GGGaaT", "AC"]
    # Not told, transformers would ask whether to trust the folder: its configuration names the loader file.
    result = run(
        WITHOUT_PACKAGE
        + textwrap.dedent(f"""
        import json
        from transformers import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained({str(folder)!r}, trust_remote_code=False)
        print(json.dumps(tokenizer({sequences!r}, padding=True)["input_ids"]))
        """),
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == tokenizer(sequences, padding=True)["input_ids"]


def test_without_trust_transformers_refuses(folder, tmp_path):
    result = run(
        f"""
        from transformers import AutoModel
        AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=False)
        """,
        tmp_path,
    )
    assert result.returncode != 0
    assert "trust_remote_code=True" in result.stderr


def test_with_the_package_imported_no_trust_is_needed(folder):
    assert type(AutoConfig.from_pretrained(folder)) is RibonanzaNetConfig
    assert type(AutoModel.from_pretrained(folder)) is RibonanzaNetModel
    assert type(AutoModelForReactivity.from_pretrained(folder)) is RibonanzaNetForReactivity


def test_saving_a_model_opened_with_trust_keeps_the_loader(folder, tmp_path):
    again, third = tmp_path / "again", tmp_path / "third"
    for source, target in ((folder, again), (again, third)):
        result = run(
            f"""
            from transformers import AutoModel
            model = AutoModel.from_pretrained({str(source)!r}, trust_remote_code=True)
            model.save_pretrained({str(target)!r})
            """,
            tmp_path,
        )
        assert result.returncode == 0, result.stderr
        assert json.loads((target / "config.json").read_text())["auto_map"] == auto_map_of(
            ARCHITECTURES["ribonanzanet"]
        )
        assert sorted(path.name for path in target.glob("*.py")) == [LOADER_FILE_NAME]


def test_saving_a_model_opened_with_the_package_keeps_the_loader(folder, tmp_path):
    AutoModelForReactivity.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / LOADER_FILE_NAME).read_bytes() == (folder / LOADER_FILE_NAME).read_bytes()


def test_mixin_leaves_other_configurations_alone(tmp_path):
    class PlainConfig(LoaderFileMixin, PreTrainedConfig):
        model_type = "plain-without-loader"

    PlainConfig().save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_foreign_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        add_loader(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="'bert' is not one of this package's"):
        add_loader(tmp_path)


def test_loader_source_is_sorted_and_has_no_repetition():
    text = loader_source("rna_hf.models.x", ["XModel", "XConfig", "XModel"])
    assert text.index("XConfig") < text.index("XModel")
    assert text.count("    XModel,") == 1
