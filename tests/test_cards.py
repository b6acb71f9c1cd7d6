"""Model cards: what they say comes from files, huggingface_hub reads them back, and none in the repository is stale."""

import hashlib
import json
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard

from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, __version__
from rna_hf.checkpoints import list_checkpoints
from tools.report import cards

NAME = "ribonanzanet-mini"
REGIONS = ("predictions", "trainings", "models", "accuracy", "performance", "embedding_memory")


def number(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def measured(digest):
    """A result file in the form of `benchmarks.accuracy.reactivity`, with made-up numbers."""

    def channel(own, other):
        metrics = {
            NAME: {"mae": number(own), "pearson": number(0.75)},
            "letter": {"mae": number(other), "pearson": number(0.5)},
        }
        differences = {"letter": {"mae": number(own - other), "pearson": number(0.25)}}
        return {"rnas": 7, "nucleotides": 70, "metrics": metrics, "differences": differences}

    channels = {"2A3": channel(0.125, 0.25), "DMS": channel(0.5, 0.375)}
    lengths = [{"length": [1, 80], **channels}, {"length": [81, 100], "DMS": channels["DMS"]}]
    tests = {"pk90": {"metrics": ["mae", "pearson"], "channels": channels, "by_length": lengths}}
    seeds = {
        "pk90": {"number": 3, "metrics": {"mae_2A3": {"mean": 0.126, "sd": 0.0012, "values": [0.125, 0.126, 0.127]}}}
    }
    return {"reference": NAME, "weights_sha256": {NAME: digest}, "tests": tests, "seeds": seeds}


@pytest.fixture
def checkout(tmp_path, repository_root):
    """A small copy of what cards are made from: a tiny checkpoint, made-up scores, and the repository's own facts."""
    folder = tmp_path / cards.CHECKPOINTS_FOLDER / NAME
    config = RibonanzaNetConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        pair_hidden_size=8,
        outer_product_size=4,
        training_max_length=206,
    )
    RibonanzaNetForReactivity(config).save_pretrained(folder)
    manifest = {
        "sources": [
            {
                "name": "lib15k",
                "files": [],
                "rule": "profiles with a good signal",
                "rows": 1234,
                "sequences": 1200,
                "sha256": "",
            }
        ]
    }
    manifest["stages"] = [{"name": "fold", "steps": 2600, "seconds": 1980, "device": "1 CPU thread"}]
    (folder / "training_data.json").write_text(json.dumps(manifest))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    accuracy = tmp_path / cards.ACCURACY_FILE
    accuracy.parent.mkdir(parents=True)
    accuracy.write_text(json.dumps(measured(digest)))
    (tmp_path / cards.FACTS_FOLDER).mkdir()
    facts = (repository_root / cards.FACTS_FOLDER / f"{NAME}.yaml").read_text(encoding="utf-8")
    (tmp_path / cards.FACTS_FOLDER / f"{NAME}.yaml").write_text(facts, encoding="utf-8")
    regions = "\n".join(f"<!-- generated:{name} -->\n<!-- /generated:{name} -->" for name in REGIONS)
    (tmp_path / "README.md").write_text(f"before\n{regions}\nafter\n")
    return tmp_path


def test_card_comes_back_from_huggingface_hub(checkout):
    assert cards.main(["--root", str(checkout)]) == 0
    data = ModelCard.load(checkout / cards.CHECKPOINTS_FOLDER / NAME / "README.md").data
    assert data.license == "apache-2.0"
    assert data.library_name == "transformers"
    results = {(result.dataset_type, result.metric_name): result.metric_value for result in data.eval_results}
    assert results == {
        ("pk90", "MAE 2A3"): 0.125,
        ("pk90", "Pearson r 2A3"): 0.75,
        ("pk90", "MAE DMS"): 0.5,
        ("pk90", "Pearson r DMS"): 0.75,
    }
    assert {result.dataset_name for result in data.eval_results} == {"OpenKnot PK90"}


def test_checkpoints_list_shows_the_scores_of_the_card(checkout):
    cards.main(["--root", str(checkout)])
    (checkpoint,) = list_checkpoints(checkout / cards.CHECKPOINTS_FOLDER)
    assert "OpenKnot PK90, MAE 2A3: 0.125" in checkpoint.scores


def test_card_says_what_the_files_say(checkout):
    cards.main(["--root", str(checkout)])
    (checkpoint,) = list_checkpoints(checkout / cards.CHECKPOINTS_FOLDER)
    text = (checkpoint.path / "README.md").read_text()
    assert f"| parameters | {checkpoint.num_parameters:,} |" in text
    assert "| `fix_attention_mask` | yes |" in text
    assert "the longest in training had 206 nucleotides" in text
    assert "| 1,234 | 1,200 | MIT | profiles with a good signal |" in text
    assert "| ribonanzanet-mini | **0.125** (0.115 to 0.135) |" in text
    assert "| mean of each letter |" in text
    # The best of a column is marked, also where it is a baseline.
    assert "**0.375** (0.365 to 0.385)" in text
    assert "**0.500** (0.490 to 0.510)" not in text
    assert "| mean of each letter | -0.125 (-0.135 to -0.115) |" in text
    assert "| 81 to 100 nt | 7 |  |  | 0.500 |" in text
    assert "over 3 training seeds" in text
    assert "| MAE 2A3 | 0.126 | 0.0012 |" in text
    assert "| fold | 2,600 | 1,980 | 1 CPU thread |" in text


def test_card_of_a_checkpoint_that_was_not_measured(checkout):
    (checkout / cards.ACCURACY_FILE).unlink()
    (checkout / cards.CHECKPOINTS_FOLDER / NAME / "training_data.json").unlink()
    cards.main(["--root", str(checkout)])
    text = (checkout / cards.CHECKPOINTS_FOLDER / NAME / "README.md").read_text()
    assert "Not measured." in text
    assert "model-index" not in text
    assert cards.NOTHING_YET in (checkout / "README.md").read_text()


def test_readme_regions_are_filled_and_the_rest_is_left(checkout):
    cards.main(["--root", str(checkout)])
    text = (checkout / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "RNA reactivity prediction" in text
    assert "**OpenKnot PK90** (2A3: 7 RNAs, DMS: 7 RNAs)" in text


def test_check_names_what_is_stale(checkout, capsys):
    assert cards.main(["--root", str(checkout), "--check"]) == 1
    assert "run `make cards`" in capsys.readouterr().out
    cards.main(["--root", str(checkout)])
    assert cards.main(["--root", str(checkout), "--check"]) == 0


def test_scores_of_other_weights_are_refused(checkout):
    (checkout / cards.ACCURACY_FILE).write_text(json.dumps(measured("0" * 64)))
    with pytest.raises(ValueError, match=r"run `python -m benchmarks\.accuracy\.reactivity`"):
        cards.generate(checkout)


def test_an_unknown_source_of_training_data_is_refused(checkout):
    path = checkout / cards.CHECKPOINTS_FOLDER / NAME / "training_data.json"
    path.write_text(path.read_text().replace("lib15k", "from-somewhere"))
    with pytest.raises(ValueError, match="'from-somewhere'"):
        cards.generate(checkout)


def test_missing_facts_are_named(checkout):
    (checkout / cards.FACTS_FOLDER / f"{NAME}.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=NAME):
        cards.generate(checkout)


def test_regions_need_both_markers():
    with pytest.raises(ValueError, match="generated:models"):
        cards.fill_region("<!-- generated:models -->", "models", "x")


def test_content_of_a_region_is_taken_literally():
    text = "<!-- generated:a -->\nold\n<!-- /generated:a -->"
    assert cards.fill_region(text, "a", r"\1 new") == "<!-- generated:a -->\n\\1 new\n<!-- /generated:a -->"


def test_performance_comes_from_result_files(checkout):
    results = checkout / cards.RESULTS_FOLDER
    (results / "speed.md").write_text("the table\n")
    (results / "localisation_speed.md").write_text("the other table\n")
    (results / "tokenising.json").write_text(
        json.dumps({"sequences": 10000, "length_nt": 200, "bulk_s": 0.0125, "ratio": 150.4, "peer_version": "1.2"})
    )
    cards.main(["--root", str(checkout)])
    readme = (checkout / "README.md").read_text()
    assert "the table\n\nTokenising 10,000 sequences of 200 nt takes `encode_bulk` 12 ms, 150 times less" in readme
    assert "**RNATracker**\n\nthe other table\n<!--" in readme
    assert "bfloat16" not in readme


def test_nothing_in_the_repository_is_stale(repository_root):
    assert cards.find_stale(repository_root) == []


def test_every_bundled_checkpoint_has_its_files(repository_root):
    checkpoints = list_checkpoints(repository_root / cards.CHECKPOINTS_FOLDER)
    if not checkpoints:
        pytest.skip("no checkpoint is bundled in this checkout")
    for checkpoint in checkpoints:
        names = {path.name for path in checkpoint.path.iterdir()}
        assert {"README.md", "config.json", "model.safetensors", "rna_hf_loader.py", "tokenizer.json"} <= names


def test_citation_names_this_version(repository_root):
    citation = yaml.safe_load((repository_root / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert f"\n## {__version__} " in (repository_root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_benchmark_with_tables_of_its_own(checkout):
    """Its headlines are in the card's front matter and in the README, its tables in the card."""
    folder = checkout / cards.CHECKPOINTS_FOLDER / "other"
    shutil.copytree(checkout / cards.CHECKPOINTS_FOLDER / NAME, folder)
    facts = yaml.safe_load((checkout / cards.FACTS_FOLDER / f"{NAME}.yaml").read_text(encoding="utf-8"))
    facts |= {"benchmark": "other", "tests": {"held": "held-out RNAs"}, "outputs": {"structure": "brackets"}}
    facts["task"] = facts["task"] | {"predict": "structure", "column": "structure", "names": None}
    (checkout / cards.FACTS_FOLDER / "other.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    headline = {"dataset": "held", "metric": "f1", "name": "F1", "value": 0.625}
    headline |= {"baseline": "ViennaRNA", "baseline_value": 0.5}
    report = {"weights_sha256": {"other": digest}, "headlines": [headline]}
    results = checkout / cards.RESULTS_FOLDER
    (results / "other_accuracy.json").write_text(json.dumps(report))
    (results / "other_accuracy.md").write_text("| its own table |\n")
    cards.main(["--root", str(checkout)])
    card = ModelCard.load(folder / "README.md")
    assert [(result.dataset_name, result.metric_value) for result in card.data.eval_results] == [
        ("held-out RNAs", 0.625)
    ]
    assert "| its own table |" in card.text
    assert "| structure | brackets |" in card.text
    assert 'task="structure", model="other"' in card.text
    assert "| `other` | held-out RNAs | F1 | 0.625 | 0.500 (ViennaRNA) |" in (checkout / "README.md").read_text()
