"""The card of any checkpoint folder: what is known is said, the rest left out, and the snippet opens the model."""

import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from rna_hf import RibonanzaNetConfig, RibonanzaNetForMaskedLM, RibonanzaNetForReactivity, RnaTokenizerFast
from rna_hf.checkpoints import list_checkpoints
from rna_hf.cli.main import run
from rna_hf.hub.card_facts import CardFacts
from rna_hf.hub.card_figures import Figure, check_figures
from rna_hf.hub.card_metadata import check_metadata, hub_id_of
from rna_hf.hub.model_card import build_card, scores_table, write_card
from rna_hf.tasks import REACTIVITY_UNIT

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pair_hidden_size": 8}


def facts(auto_class="AutoModelForReactivity", **more):
    return CardFacts(title="A title", summary="A summary.", tags=["rna"], task={"auto_class": auto_class, **more})


@pytest.fixture
def folder(tmp_path):
    RibonanzaNetForReactivity(RibonanzaNetConfig(**SIZES, training_max_length=50)).save_pretrained(tmp_path)
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(tmp_path)
    return tmp_path


def test_what_is_not_known_is_left_out(folder):
    card = ModelCard.load(write_card(folder, facts()))
    assert re.findall("^## (.*)$", card.text, re.MULTILINE) == [
        "Use",
        "Model",
        "Accuracy",
        "Licence and credits",
    ]
    assert "Not measured." in card.text
    assert "the longest in training had 50 nucleotides" in card.text
    assert "rna_hf.predict" not in card.text
    assert card.data.tags == ["ribonanzanet", "rna"]
    assert not {"license", "base_model"} & set(card.data.to_dict())
    assert "\n\n\n" not in card.text
    assert "\n## Accuracy\n\nNot measured.\n\n## Licence" in card.text


def test_scores_are_numbers_with_a_fraction(folder):
    table = scores_table({"eval_mae": 0.25, "eval_rnas": 7, "epoch": 2.0})
    assert table.splitlines()[2:] == ["| epoch | 2.0000 |", "| eval_mae | 0.2500 |"]
    assert write_card(folder, facts(), accuracy=table).read_text().count(f"## Accuracy\n\n{table}\n\n## ") == 1


@pytest.mark.parametrize(
    ("model_class", "auto_class", "package"),
    [
        (RibonanzaNetForReactivity, "AutoModelForReactivity", "rna_hf"),
        (RibonanzaNetForMaskedLM, "AutoModelForMaskedLM", "transformers"),
    ],
)
def test_the_snippet_opens_the_model(folder, model_class, auto_class, package):
    model_class(RibonanzaNetConfig(**SIZES)).save_pretrained(folder)
    text = write_card(folder, facts(auto_class, package=package, output="logits", shape="(1, 23, 4)")).read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    namespace = {}
    exec(block.replace('"..."', repr(str(folder))), namespace)
    assert isinstance(namespace["model"], model_class)
    assert namespace["output"].shape[:2] == (1, 23)


def test_cost_is_stated_at_three_lengths(folder):
    config = RibonanzaNetConfig.from_pretrained(folder)
    text = write_card(folder, facts()).read_text()
    for length in (100, 1000, 4000):
        assert f"| {length:,} | {config.forward_cost(1, length, 4) / 1e6:,.0f} |" in text


def test_quirks_are_explained_by_the_configuration(folder):
    text = write_card(folder, facts()).read_text()
    assert "| `fix_attention_mask` | yes | False: padding leaks into nucleotides" in text
    RibonanzaNetForReactivity(RibonanzaNetConfig(**SIZES, fix_attention_mask=True)).save_pretrained(folder)
    assert "| `fix_attention_mask` | no | False: padding" in write_card(folder, facts()).read_text()


def test_whose_work_an_architecture_is(folder):
    text = write_card(folder, facts()).read_text()
    assert "https://doi.org/10.1101/2024.02.24.581671" in text
    assert "[RibonanzaNet](https://github.com/Shujun-He/RibonanzaNet)" in text


def card(folder, *options):
    return run(["card", str(folder), *map(str, options)])


def write_facts(folder, **fields):
    path = folder / "facts.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def test_any_folder_gets_a_card_that_opens_it(folder):
    assert card(folder) == 0
    loaded = ModelCard.load(folder / "README.md")
    assert loaded.data.to_dict() == {
        "library_name": "transformers",
        "pipeline_tag": "other",
        "tags": ["ribonanzanet", "rna", "reactivity"],
    }
    assert f"| reactivity_2A3 | {REACTIVITY_UNIT} |" in loaded.text
    (block,) = re.findall(r"^```python\n(.*?)^```$", loaded.text, re.DOTALL | re.MULTILINE)
    namespace = {}
    exec(block.replace('"..."', repr(str(folder))), namespace)
    assert namespace["output"].logits.shape == (1, 23, 2)


def test_a_card_of_somebody_else_is_kept(folder, capsys):
    (folder / "README.md").write_text("mine\n")
    assert card(folder) == 2
    assert "was not made by rna-hf" in capsys.readouterr().err
    assert (folder / "README.md").read_text() == "mine\n"
    assert card(folder, "--overwrite") == 0
    assert card(folder) == 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "MAE", "value": 0.125}, "the number MAE 0.125 on pk90 has no source file"),
        ({"name": "MAE", "value": 0.125, "file": "none.json"}, "0.125 on pk90: its source file none.json is not there"),
        (
            {"name": "MAE", "value": 0.126, "file": "result.json"},
            "MAE 0.126 on pk90 is not in its source file result.json",
        ),
        (
            {"name": "MAE", "value": 0.625, "file": "result.json", "key": "a.mae"},
            "MAE 0.625 on pk90 is not in its source file",
        ),
        ({"name": "MAE", "file": "result.json", "key": "b.mae"}, "result.json has no number at b.mae"),
        ({"name": "MAE", "file": "result.json"}, "neither a value nor a key"),
        ({"name": "MAE", "value": "good", "file": "result.json"}, "the value of MAE is 'good', no number"),
        ({"name": "MAE", "valu": 1}, "must have a name, a value and a file"),
    ],
)
def test_a_number_without_a_source_is_refused(entry, message, folder, capsys):
    (folder / "result.json").write_text('{"a": {"mae": 0.12512, "r": [0.625, 2]}, "text": "3.126"}')
    assert card(folder, "--facts", write_facts(folder, metrics=[{"type": "mae", "dataset": "pk90", **entry}])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (folder / "README.md").exists()


def test_numbers_with_sources_stand_in_the_front_matter_and_for_the_hub(folder, capsys):
    (folder / "result.json").write_text('{"a": {"mae": 0.12512, "r": [0.625, 2]}}')
    metrics = [
        {
            "name": "MAE",
            "type": "mae",
            "dataset": "pk90",
            "dataset_name": "PK90",
            "value": 0.1251,
            "file": "result.json",
        },
        {"name": "r", "type": "pearsonr", "dataset": "pk90", "key": "a.r.0", "file": "result.json"},
    ]
    metrics[1] |= {"hub_dataset": "owner/bench", "hub_task": "default", "date": "2026-01-31"}
    assert card(folder, "--facts", write_facts(folder, metrics=metrics, license="mit")) == 0
    loaded = ModelCard.load(folder / "README.md")
    assert [result.metric_value for result in loaded.data.eval_results] == [0.1251, 0.625]
    assert "| PK90 | MAE | 0.1251 | `result.json` |" in loaded.text
    (path,) = (folder / ".eval_results").iterdir()
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (path.name, entry.dataset_id, entry.task_id, entry.value) == (
        "owner_bench.yaml",
        "owner/bench",
        "default",
        0.625,
    )
    metrics[1]["hub_task"] = ""
    assert card(folder, "--facts", write_facts(folder, metrics=metrics)) == 2
    assert "hub_task '' name one of its tasks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"license": "Apache 2.0"}, "license is 'Apache 2.0', which the Hub does not know"),
        ({"license": "other", "license_name": "mine"}, "license_name and license_link have to say which"),
        ({"license": "mit", "license_name": "mine"}, "license_name and license_link are for `other`"),
        ({"license": "other", "license_name": "x", "license_link": "somewhere"}, "license_link is 'somewhere'"),
        ({"license_name": "mine"}, "go with `license: other`"),
        ({"base_model": "ribonanzanet-mini"}, "base_model is 'ribonanzanet-mini'"),
        ({"base_model": "/home/me/model"}, "base_model is '/home/me/model'"),
        ({"base_model_relation": "finetune"}, "base_model_relation is 'finetune': it needs a base_model"),
        ({"base_model": "a/b", "base_model_relation": "child"}, "must be one of adapter, finetune"),
        ({"datasets": ["my data"]}, "datasets is 'my data'"),
        ({"pipeline_tag": "rna-reactivity"}, "pipeline_tag is 'rna-reactivity'"),
        ({"language": "en"}, "there is no field 'language'"),
        ({"tags": "rna"}, "tags must be a list"),
    ],
)
def test_metadata_that_the_hub_would_not_understand_is_refused(fields, message, folder, capsys):
    assert card(folder, "--facts", write_facts(folder, **fields)) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "README.md").exists()


def test_metadata_of_the_hub(folder):
    fields = {"license": "other", "license_name": "mine", "license_link": "https://example.org/licence"}
    fields |= {"base_model": "owner/model", "datasets": ["owner/data"], "pipeline_tag": "token-classification"}
    assert card(folder, "--facts", write_facts(folder, **fields)) == 0
    data = ModelCard.load(folder / "README.md").data.to_dict()
    assert {name: data[name] for name in fields} == fields
    assert data["base_model_relation"] == "finetune"
    assert "The weights are under [mine](https://example.org/licence)." in (folder / "README.md").read_text()


def test_rules_that_no_file_of_facts_can_break():
    good = {"library_name": "transformers", "license": "mit", "pipeline_tag": "other"}
    with pytest.raises(ValueError, match="language is 'en'"):
        check_metadata({"library_name": "transformers", "language": "en"})
    with pytest.raises(ValueError, match="library_name is missing"):
        check_metadata({})
    result = {"task": {"type": "x"}, "dataset": {"type": "d"}, "metrics": [{"type": "mae", "value": 1.0}]}
    with pytest.raises(ValueError, match=r"a result has no dataset\.name"):
        check_metadata({**good, "model-index": [{"name": "m", "results": [result]}]})
    with pytest.raises(ValueError, match="pipeline_tag is None"):
        check_metadata({**good, "pipeline_tag": None})
    with pytest.raises(ValueError, match="has no source file"):
        build_card(Path(), facts(), [Figure("MAE", 0.5)])


def test_a_local_folder_is_no_base_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "owner" / "model").mkdir(parents=True)
    assert hub_id_of("owner/model") == "owner/model"
    monkeypatch.chdir(tmp_path)
    assert hub_id_of("owner/model") is None
    assert hub_id_of("ribonanzanet-mini") is None


def test_a_head_that_the_hub_has_a_name_for(folder):
    RibonanzaNetForMaskedLM(RibonanzaNetConfig(**SIZES)).save_pretrained(folder)
    assert card(folder) == 0
    assert ModelCard.load(folder / "README.md").data.pipeline_tag == "fill-mask"


def test_what_is_no_checkpoint_has_no_card(folder, tmp_path_factory, capsys):
    assert card(tmp_path_factory.mktemp("empty")) == 2
    assert "holds no config.json" in capsys.readouterr().err
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": "wide"}))
    assert card(folder) == 2
    assert "config.json describes no ribonanzanet: " in capsys.readouterr().err
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    assert card(folder) == 2
    assert "holds no weights" in capsys.readouterr().err


@pytest.mark.parametrize("checkpoint", list_checkpoints(), ids=lambda one: one.name)
def test_shipped_cards_are_as_the_hub_asks_and_their_snippets_run(checkpoint, repository_root):
    loaded = ModelCard.load(checkpoint.path / "README.md")
    check_metadata(loaded.data.to_dict())
    results = loaded.data.eval_results
    assert results
    for result in results:
        name = result.dataset_name
        row = re.search(rf"^\| {re.escape(name)} \| {re.escape(result.metric_name)} \|.*`(.*)` \|$", loaded.text, re.M)
        figure = Figure(result.metric_name, result.metric_value, row[1])
        assert check_figures([figure], repository_root) == [figure]
    blocks = re.findall(r"^```python\n(.*?)^```$", loaded.text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        namespace = {}
        exec(block.replace('"..."', repr(str(checkpoint.path))), namespace)
    assert {"rows", "output"} & set(namespace)
