"""What the repository measured, laid out for cards and README.md.

`benchmarks.accuracy.reactivity` writes scores, and the tables are made here. The benchmarks of the other tasks write
their tables themselves, as `.md` beside the `.json`, which names the headline figures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.reporting import weights_digest
from rna_hf.checkpoints import Checkpoint
from rna_hf.hub.model_card import markdown_table

METRIC_NAMES = {"mae": "MAE", "pearson": "Pearson r", "spearman": "Spearman r"}


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
    """Read the file that `benchmarks.accuracy.reactivity` writes.

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


@dataclass(frozen=True)
class Headline:
    """One of the figures that stand for a checkpoint.

    Attributes:
        dataset: key of the test set.
        metric: key of the metric.
        name: of the metric, for readers.
        value: the number.
        baseline: name of the best baseline; empty if there is none to name.
        baseline_value: its number.
    """

    dataset: str
    metric: str
    name: str
    value: float
    baseline: str = ""
    baseline_value: float | None = None


def measured_figures(path: Path, checkpoint: str) -> list[Headline]:
    """Return the figures of a checkpoint for the front matter of its card.

    Args:
        path: a benchmark's JSON.
        checkpoint: its name.

    Returns:
        All its scores of `reactivity_accuracy.json`, else the headlines; none if it was not measured.
    """
    if not path.is_file():
        return []
    report = json.loads(path.read_text(encoding="utf-8"))
    if checkpoint not in report["weights_sha256"]:
        return []
    if "headlines" in report:
        return [Headline(**entry) for entry in report["headlines"]]
    return [
        Headline(score.dataset, score.metric, f"{METRIC_NAMES[score.metric]} {score.channel}", score.value)
        for score in read_scores(path)
        if score.predictor == checkpoint
    ]


def measured_text(path: Path, checkpoint: str, names: Mapping[str, str]) -> str:
    """Return the tables for a checkpoint's card; the empty string if it was not measured."""
    figures = measured_figures(path, checkpoint)
    if not figures:
        return ""
    table = path.with_suffix(".md")
    if table.is_file():
        return table.read_text(encoding="utf-8").strip()
    tested = {figure.dataset for figure in figures}
    tables = accuracy_tables([score for score in read_scores(path) if score.dataset in tested], names)
    further = further_tables(path, checkpoint, names)
    return f"{tables}\n\n{further}" if further else tables


def headline_table(headlines: Mapping[str, Sequence[Headline]], names: Mapping[str, str]) -> str:
    """Lay out the headline figures of several checkpoints.

    Args:
        headlines: by the checkpoint's name; those without a baseline are left out.
        names: what to call test sets; a key that is not there stands for itself.
    """
    rows = []
    for checkpoint, several in headlines.items():
        for one in several:
            if one.baseline_value is not None:
                cells = [f"`{checkpoint}`", names.get(one.dataset, one.dataset), one.name, f"{one.value:.3f}"]
                rows.append([*cells, f"{one.baseline_value:.3f} ({one.baseline})"])
    return markdown_table(["checkpoint", "test", "measure", "it", "best baseline"], rows) if rows else ""


def check_weights(path: Path, checkpoint: Checkpoint) -> None:
    """Check that the scores of a checkpoint are those of the weights that lie there now.

    Args:
        path: a benchmark's JSON; no file, or none of this checkpoint's scores in it, is fine.
        checkpoint: the checkpoint.

    Raises:
        ValueError: the weights are others than those that were measured.
    """
    if not path.is_file():
        return
    measured = json.loads(path.read_text(encoding="utf-8"))["weights_sha256"].get(checkpoint.name)
    if measured is None:
        return
    digest = weights_digest(checkpoint.path)
    if digest != measured:
        raise ValueError(
            f"{path.name} holds scores of weights {measured[:12]}, but {checkpoint.name} has {digest[:12]}: "
            f"run `python -m benchmarks.accuracy.{path.stem.removesuffix('_accuracy')}`, then `make cards`"
        )


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
