"""Model cards and the generated parts of README.md, written from what the repository measured.

A card joins four sources, each fact from one place: the checkpoint's `config.json` and weights, its
`training_data.json`, the scores in `benchmarks/results/`, and `model_cards/<checkpoint>.yaml` for what no file of the
checkpoint says (authors, licences, limits). `python -m rna_hf.hub.cards` writes them; `--check` only says what is
stale.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rna_hf.checkpoints import Checkpoint, list_checkpoints
from rna_hf.hub.accuracy import (
    Headline,
    accuracy_tables,
    check_weights,
    headline_table,
    markdown_table,
    measured_figures,
    measured_text,
    read_scores,
)
from rna_hf.hub.performance import performance_text

RESULTS_FOLDER = Path("benchmarks/results")
ACCURACY_FILE = RESULTS_FOLDER / "reactivity_accuracy.json"
CHECKPOINTS_FOLDER = Path("src/rna_hf/checkpoints")
FACTS_FOLDER = Path("model_cards")
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
LICENCE_NAMES = {"apache-2.0": "the Apache License 2.0", "mit": "the MIT License"}
# Rows of the card's table of the architecture: field of the configuration -> its name there.
ARCHITECTURE_ROWS = {
    "num_hidden_layers": "layers",
    "hidden_size": "width of the sequence track",
    "pair_hidden_size": "width of the pair track",
    "num_attention_heads": "attention heads",
    "kernel_size": "kernel of the convolution (nucleotides)",
    "use_triangular_attention": "triangular attention",
    "num_conv_layers": "convolutions, each with a pool",
    "gru_hidden_size": "width of the recurrent layer, in each direction",
    "mask_padding": "`mask_padding`",
    "fix_attention_mask": "`fix_attention_mask`",
    "fix_attention_residual": "`fix_attention_residual`",
    "fix_pairwise_dropout": "`fix_pairwise_dropout`",
}
NOTHING_YET = "*Not measured yet.*"


def load_facts(name: str, root: Path) -> dict[str, Any]:
    """Read `model_cards/<name>.yaml`.

    Raises:
        FileNotFoundError: a checkpoint has no such file yet.
    """
    import yaml

    path = root / FACTS_FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: write what the checkpoint's own files cannot say, as in its neighbours"
        )
    facts: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return facts


def build_card(
    checkpoint: Checkpoint, facts: Mapping[str, Any], figures: Sequence[Headline] = (), accuracy: str = ""
) -> str:
    """Render the card of a checkpoint.

    Args:
        checkpoint: a folder with `config.json` and, where it was trained here, `training_data.json`.
        facts: from `load_facts`.
        figures: from `measured_figures`.
        accuracy: from `measured_text`.

    Returns:
        Markdown with YAML front matter, which `huggingface_hub.ModelCard` reads, `model-index` included.
    """
    from huggingface_hub import EvalResult, ModelCardData
    from jinja2 import Environment, StrictUndefined

    results = [
        EvalResult(
            task_type=facts["task"]["type"],
            task_name=facts["task"]["name"],
            dataset_type=figure.dataset,
            dataset_name=facts["tests"].get(figure.dataset, figure.dataset),
            dataset_split="test",
            metric_type=figure.metric,
            metric_name=figure.name,
            metric_value=round(figure.value, 4),
        )
        for figure in figures
    ]
    data = ModelCardData(
        model_name=checkpoint.name,
        license=facts["license"],
        library_name="transformers",
        tags=[checkpoint.model_type, *facts["tags"]],
        eval_results=results or None,
    )
    config = json.loads((checkpoint.path / "config.json").read_text(encoding="utf-8"))
    # A configuration is saved without the values that equal the defaults of its class.
    config = {**_default_config(checkpoint.model_type), **config}
    # Which of the outputs that the facts know a checkpoint has, its configuration says, where it names them.
    outputs = {
        name: facts["outputs"].get(name, "") for name in config.get(facts["task"].get("names"), facts["outputs"])
    }
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card_data=data.to_yaml(),
        name=checkpoint.name,
        title=facts["title"],
        summary=facts["summary"],
        task=facts["task"],
        outputs=outputs,
        training_max_length=checkpoint.training_max_length,
        architecture_table=_architecture_table(checkpoint, config),
        original=facts["original"],
        training_table=_training_table(checkpoint.path, facts["data"]),
        started_from=_read_manifest(checkpoint.path).get("started_from"),
        stage_table=_stage_table(checkpoint.path),
        accuracy=accuracy,
        benchmark=facts["benchmark"],
        scoring=facts["scoring"],
        limits=facts["limits"],
        licence_name=LICENCE_NAMES.get(facts["license"], facts["license"]),
        authors=facts["authors"],
        paper=facts["paper"],
    )


def _names(facts: Mapping[str, Any]) -> dict[str, str]:
    return {**facts["tests"], **facts["baselines"]}


def _default_config(model_type: str) -> dict[str, Any]:
    from transformers import AutoConfig

    import rna_hf  # noqa: F401 - registers the configurations of this package

    defaults: dict[str, Any] = AutoConfig.for_model(model_type).to_dict()
    return defaults


def _architecture_table(checkpoint: Checkpoint, config: Mapping[str, Any]) -> str:
    rows = [["parameters", f"{checkpoint.num_parameters:,}"]]
    for field, label in ARCHITECTURE_ROWS.items():
        if field in config:
            value = config[field]
            rows.append([label, ("yes" if value else "no") if isinstance(value, bool) else str(value)])
    return markdown_table(["", "value"], rows)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "training_data.json"
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return manifest


def _training_table(folder: Path, data: Mapping[str, Mapping[str, str]]) -> str:
    rows = []
    for source in _read_manifest(folder).get("sources", []):
        known = data.get(source["name"])
        if known is None:
            raise ValueError(
                f"{folder / 'training_data.json'} names the source {source['name']!r}, which the facts of the card do "
                f"not know: add its name, place and licence under `data` in {FACTS_FOLDER}/{folder.name}.yaml"
            )
        name = f"[{known['name']}]({known['source']})"
        rows.append([name, f"{source['rows']:,}", f"{source['sequences']:,}", known["licence"]])
    header = ["source", "records", "different sequences", "licence stated there"]
    return markdown_table(header, rows) if rows else ""


def _stage_table(folder: Path) -> str:
    rows = []
    for stage in _read_manifest(folder).get("stages", []):
        minutes = f"{stage['seconds'] / 60:.0f}" if "seconds" in stage else "not recorded"
        rows.append([stage["name"], f"{stage['steps']:,}", minutes, stage.get("device", "not recorded")])
    return markdown_table(["stage", "steps", "minutes", "on"], rows) if rows else ""


def models_table(checkpoints: Sequence[Checkpoint], root: Path) -> str:
    """Lay out the table of the bundled checkpoints for the README."""
    rows = []
    for checkpoint in checkpoints:
        facts = load_facts(checkpoint.name, root)
        link = f"[`{checkpoint.name}`]({CHECKPOINTS_FOLDER.as_posix()}/{checkpoint.name}/README.md)"
        # The weights alone: the card is one of the folder's files, and it must not change its own size.
        size = (checkpoint.path / "model.safetensors").stat().st_size
        cells = [link, checkpoint.model_class, facts["task"]["name"], f"{checkpoint.num_parameters / 1e6:.1f} M"]
        rows.append([*cells, f"{size / 1e6:.1f} MB", facts["license"]])
    if not rows:
        return NOTHING_YET
    return markdown_table(["checkpoint", "class", "task", "parameters", "weights", "licence"], rows)


def fill_region(text: str, name: str, content: str) -> str:
    """Replace what stands between `<!-- generated:NAME -->` and `<!-- /generated:NAME -->`.

    Raises:
        ValueError: the two markers are not there exactly once.
    """
    begin, end = f"<!-- generated:{name} -->", f"<!-- /generated:{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the text needs {begin} and after it {end}, each once")
    return re.sub(
        f"{re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL
    )


def generate(root: Path) -> dict[Path, str]:
    """Render everything that is generated.

    Args:
        root: the checkout.

    Returns:
        Path of each generated file to the text that it should have.
    """
    checkpoints = list_checkpoints(root / CHECKPOINTS_FOLDER)
    files: dict[Path, str] = {}
    names: dict[str, str] = {}
    headlines: dict[str, list[Headline]] = {}
    for checkpoint in checkpoints:
        facts = load_facts(checkpoint.name, root)
        names.update(_names(facts))
        path = root / RESULTS_FOLDER / f"{facts['benchmark']}_accuracy.json"
        check_weights(path, checkpoint)
        headlines[checkpoint.name] = measured_figures(path, checkpoint.name)
        text = measured_text(path, checkpoint.name, _names(facts))
        files[checkpoint.path / "README.md"] = build_card(checkpoint, facts, headlines[checkpoint.name], text)
    accuracy = [accuracy_tables(read_scores(root / ACCURACY_FILE), names), headline_table(headlines, names)]
    readme = (root / "README.md").read_text(encoding="utf-8")
    readme = fill_region(readme, "models", models_table(checkpoints, root))
    readme = fill_region(readme, "accuracy", "\n\n".join(part for part in accuracy if part) or NOTHING_YET)
    readme = fill_region(readme, "performance", performance_text(root / RESULTS_FOLDER) or NOTHING_YET)
    files[root / "README.md"] = readme
    return files


def find_stale(root: Path) -> list[Path]:
    """List the generated files that differ from what they should be."""
    return [
        path for path, text in generate(root).items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the generated files, or with `--check` name the stale ones; exit code 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m rna_hf.hub.cards", description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: the current folder)")
    parser.add_argument("--check", action="store_true", help="write nothing, only say what is stale")
    arguments = parser.parse_args(argv)
    if not (arguments.root / FACTS_FOLDER).is_dir():
        parser.error(f"{arguments.root.resolve()} is no checkout of rna_hf: it has no folder {FACTS_FOLDER}")
    stale = find_stale(arguments.root)
    for path in stale:
        print(f"{path}: {'stale, run `make cards`' if arguments.check else 'written'}")
    if arguments.check:
        return 1 if stale else 0
    for path, text in generate(arguments.root).items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
