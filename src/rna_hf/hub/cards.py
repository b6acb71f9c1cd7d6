"""Model cards and the generated parts of README.md, written from what the repository measured.

A card joins four sources, each fact from one place: the checkpoint's `config.json` and weights, its
`training_data.json`, the scores in `benchmarks/results/reactivity_accuracy.json`, and `model_cards/<checkpoint>.yaml`
for what no file of the checkpoint says (authors, licences, limits). `python -m rna_hf.hub.cards` writes them; `--check`
only says what is stale.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rna_hf.checkpoints import Checkpoint, list_checkpoints
from rna_hf.hub.performance import performance_text

RESULTS_FOLDER = Path("benchmarks/results")
ACCURACY_FILE = RESULTS_FOLDER / "reactivity_accuracy.json"
CHECKPOINTS_FOLDER = Path("src/rna_hf/checkpoints")
FACTS_FOLDER = Path("model_cards")
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
METRIC_NAMES = {"mae": "MAE", "pearson": "Pearson r", "spearman": "Spearman r"}
LICENCE_NAMES = {"apache-2.0": "the Apache License 2.0", "mit": "the MIT License"}
# Rows of the card's table of the architecture: field of the configuration -> its name there.
ARCHITECTURE_ROWS = {
    "num_hidden_layers": "layers",
    "hidden_size": "width of the sequence track",
    "pair_hidden_size": "width of the pair track",
    "num_attention_heads": "attention heads",
    "kernel_size": "kernel of the convolution (nucleotides)",
    "use_triangular_attention": "triangular attention",
    "fix_attention_mask": "`fix_attention_mask`",
    "fix_attention_residual": "`fix_attention_residual`",
    "fix_pairwise_dropout": "`fix_pairwise_dropout`",
}
NOTHING_YET = "*Not measured yet.*"


@dataclass(frozen=True)
class Score:
    """One measured number.

    Attributes:
        dataset: key of the test set.
        predictor: who predicted: a checkpoint's name or a baseline's.
        channel: the reagent.
        metric: key of `METRIC_NAMES`.
        value: the number.
        low: lower end of its 95 % interval.
        high: upper end of its 95 % interval.
        num_sequences: RNAs with labels of this channel in the test set.
    """

    dataset: str
    predictor: str
    channel: str
    metric: str
    value: float
    low: float
    high: float
    num_sequences: int


def read_scores(path: Path) -> list[Score]:
    """Read the file that `benchmarks/reactivity_accuracy.py` writes.

    Args:
        path: the file.

    Returns:
        The scores in the file's order; none if there is no file.
    """
    if not path.is_file():
        return []
    scores = []
    for dataset, test in json.loads(path.read_text(encoding="utf-8"))["tests"].items():
        for channel, entry in test["channels"].items():
            for predictor, metrics in entry["metrics"].items():
                for metric in test["metrics"]:
                    number = metrics[metric]
                    limits = (number["value"], number["low"], number["high"])
                    scores.append(Score(dataset, predictor, channel, metric, *limits, entry["rnas"]))
    return scores


def check_weights(path: Path, checkpoint: Checkpoint) -> None:
    """Check that the scores of a checkpoint are those of the weights that lie there now.

    Args:
        path: as in `read_scores`; no file, or none of this checkpoint's scores in it, is fine.
        checkpoint: the checkpoint.

    Raises:
        ValueError: the weights are others than those that were measured.
    """
    if not path.is_file():
        return
    measured = json.loads(path.read_text(encoding="utf-8"))["weights_sha256"].get(checkpoint.name)
    if measured is None:
        return
    digest = hashlib.sha256((checkpoint.path / "model.safetensors").read_bytes()).hexdigest()
    if digest != measured:
        raise ValueError(
            f"{path.name} holds scores of weights {measured[:12]}, but {checkpoint.name} has {digest[:12]}: "
            "run `make accuracy`, then `make cards`"
        )


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


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; columns of numbers are aligned to the right."""
    rows = list(rows)
    columns = [[row[i] for row in rows if row[i]] for i in range(len(header))]
    are_numbers = [all(cell.lstrip("*-")[:1].isdigit() for cell in column) for column in columns]
    rule = ["---:" if is_number else "---" for is_number in are_numbers]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def accuracy_tables(scores: Sequence[Score], names: Mapping[str, str]) -> str:
    """Lay out the scores, one table per test set, the best of each column in bold.

    Args:
        scores: from `read_scores`; predictors keep their order.
        names: what to call test sets and predictors; a key that is not there stands for itself.
    """
    tables = []
    for dataset in dict.fromkeys(score.dataset for score in scores):
        here = {(s.predictor, s.channel, s.metric): s for s in scores if s.dataset == dataset}
        columns = list(dict.fromkeys((channel, metric) for _, channel, metric in here))
        best = {}
        for channel, metric in columns:
            values = [s.value for s in here.values() if (s.channel, s.metric) == (channel, metric)]
            best[channel, metric] = min(values) if metric == "mae" else max(values)
        rows = []
        for predictor in dict.fromkeys(predictor for predictor, _, _ in here):
            row = [names.get(predictor, predictor)]
            for channel, metric in columns:
                score = here.get((predictor, channel, metric))
                row.append(_shown(score, best[channel, metric]) if score else "")
            rows.append(row)
        sizes = {score.channel: score.num_sequences for score in here.values()}
        title = f"**{names.get(dataset, dataset)}** ({', '.join(f'{c}: {n} RNAs' for c, n in sizes.items())})"
        header = ["", *(f"{METRIC_NAMES[metric]} {channel}" for channel, metric in columns)]
        tables.append(f"{title}\n\n{markdown_table(header, rows)}")
    return "\n\n".join(tables)


def further_tables(path: Path, checkpoint: str, names: Mapping[str, str]) -> str:
    """Lay out what the result file says of one checkpoint beside its scores.

    Args:
        path: as in `read_scores`.
        checkpoint: its name.
        names: as in `accuracy_tables`.

    Returns:
        Differences to the other predictors with intervals, scores by length of the RNA, and the spread over training
        seeds; the empty string if the file says nothing of this checkpoint.
    """
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if report.get("reference") != checkpoint:
        return ""
    parts = []
    for dataset, test in report["tests"].items():
        columns = [(channel, metric) for channel in test["channels"] for metric in test["metrics"]]
        header = [f"{METRIC_NAMES[metric]} {channel}" for channel, metric in columns]
        others = next(iter(test["channels"].values()))["differences"]
        rows = []
        for other in others:
            numbers = [test["channels"][channel]["differences"][other][metric] for channel, metric in columns]
            cells = [f"{n['value']:+.3f} ({n['low']:+.3f} to {n['high']:+.3f})" for n in numbers]
            rows.append([names.get(other, other), *cells])
        title = f"{names.get(dataset, dataset)}: this model minus each baseline, same resamples for both"
        parts.append(f"**{title}**\n\n{markdown_table(['', *header], rows)}")
        if len(test["by_length"]) > 1:
            rows = []
            for part in test["by_length"]:
                cells = [f"{part[c]['metrics'][checkpoint][m]['value']:.3f}" if c in part else "" for c, m in columns]
                counts = "/".join(str(part[channel]["rnas"]) for channel in test["channels"] if channel in part)
                rows.append([f"{part['length'][0]} to {part['length'][1]} nt", counts, *cells])
            title = f"{names.get(dataset, dataset)}: this model by length of the RNA"
            parts.append(f"**{title}**\n\n{markdown_table(['length', 'RNAs', *header], rows)}")
    for dataset, spread in report.get("seeds", {}).items():
        rows = []
        for key, value in spread["metrics"].items():
            metric, channel = key.split("_", 1)
            rows.append([f"{METRIC_NAMES[metric]} {channel}", f"{value['mean']:.3f}", f"{value['sd']:.4f}"])
        title = f"{names.get(dataset, dataset)}: over {spread['number']} training seeds"
        parts.append(f"**{title}**\n\n{markdown_table(['', 'mean', 'standard deviation'], rows)}")
    return "\n\n".join(parts)


def _shown(score: Score, best: float) -> str:
    value = f"{score.value:.3f}"
    return f"{f'**{value}**' if score.value == best else value} ({score.low:.3f} to {score.high:.3f})"


def build_card(checkpoint: Checkpoint, facts: Mapping[str, Any], scores: Sequence[Score], further: str = "") -> str:
    """Render the card of a checkpoint.

    Args:
        checkpoint: a folder with `config.json` and, where it was trained here, `training_data.json`.
        facts: from `load_facts`.
        scores: from `read_scores`; those of other predictors stand beside for comparison.
        further: from `further_tables`.

    Returns:
        Markdown with YAML front matter, which `huggingface_hub.ModelCard` reads, `model-index` included.
    """
    from huggingface_hub import EvalResult, ModelCardData
    from jinja2 import Environment, StrictUndefined

    own = [score for score in scores if score.predictor == checkpoint.name]
    results = [
        EvalResult(
            task_type=facts["task"]["type"],
            task_name=facts["task"]["name"],
            dataset_type=score.dataset,
            dataset_name=facts["tests"].get(score.dataset, score.dataset),
            dataset_split="test",
            metric_type=score.metric,
            metric_name=f"{METRIC_NAMES[score.metric]} {score.channel}",
            metric_value=round(score.value, 4),
        )
        for score in own
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
    tested = {score.dataset for score in own}
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card_data=data.to_yaml(),
        name=checkpoint.name,
        title=facts["title"],
        summary=facts["summary"],
        channels=config["channels"],
        channel_notes=facts["channels"],
        training_max_length=checkpoint.training_max_length,
        architecture_table=_architecture_table(checkpoint, config),
        original=facts["original"],
        training_table=_training_table(checkpoint.path, facts["data"]),
        stage_table=_stage_table(checkpoint.path),
        accuracy=accuracy_tables([s for s in scores if s.dataset in tested], _names(facts)),
        further=further,
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


def _training_table(folder: Path, data: Mapping[str, Mapping[str, str]]) -> str:
    path = folder / "training_data.json"
    if not path.is_file():
        return ""
    rows = []
    for source in json.loads(path.read_text(encoding="utf-8"))["sources"]:
        known = data.get(source["name"])
        if known is None:
            raise ValueError(
                f"{path} names the source {source['name']!r}, which the facts of the card do not know: add its name, "
                f"place and licence under `data` in {FACTS_FOLDER}/{folder.name}.yaml"
            )
        name = f"[{known['name']}]({known['source']})"
        rows.append([name, f"{source['rows']:,}", f"{source['sequences']:,}", known["licence"]])
    return markdown_table(["source", "records", "different sequences", "licence stated there"], rows)


def _stage_table(folder: Path) -> str:
    path = folder / "training_data.json"
    stages = json.loads(path.read_text(encoding="utf-8")).get("stages", []) if path.is_file() else []
    rows = [[s["name"], f"{s['steps']:,}", f"{s['seconds'] / 60:.0f}", s["device"]] for s in stages]
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
    scores = read_scores(root / ACCURACY_FILE)
    files: dict[Path, str] = {}
    names: dict[str, str] = {}
    for checkpoint in checkpoints:
        facts = load_facts(checkpoint.name, root)
        names.update(_names(facts))
        check_weights(root / ACCURACY_FILE, checkpoint)
        files[checkpoint.path / "README.md"] = build_card(
            checkpoint, facts, scores, further_tables(root / ACCURACY_FILE, checkpoint.name, _names(facts))
        )
    readme = (root / "README.md").read_text(encoding="utf-8")
    readme = fill_region(readme, "models", models_table(checkpoints, root))
    readme = fill_region(readme, "accuracy", accuracy_tables(scores, names) or NOTHING_YET)
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
