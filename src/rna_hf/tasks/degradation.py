"""Degradation of each nucleotide: profiles, and a ranking of the RNAs by the half-life of the whole molecule."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic_files import replacing
from ..measured import is_measured
from .base import ProfilePrediction, Row, Task, Training
from .scores import ChannelMetrics, column_errors, pearson_r

if TYPE_CHECKING:
    import pyarrow as pa

RANKING_FILE = "half_life_ranking.csv"
# The condition that ranks, where the model has it.
_RANKING_TARGET = "deg_Mg_pH10"


class DegradationPrediction(ProfilePrediction):
    """Reactivity and degradation rates of each nucleotide, one column for each of `config.degradation_targets`.

    Rates are relative to a reference, as in OpenVaccine: only ratios of them mean something.

    Two or more RNAs are also ranked (`half_life_ranking.csv`). A molecule that is cut anywhere is lost, so it decays
    with the sum of its nucleotides' rates, and its half-life is ln 2 / sum (Wayment-Steele et al. 2021; Leppek et al.
    2022). Columns: `rank` (1 is the most stable), `id`, `length` (nucleotides), `<target>_sum` for each target that
    begins with `deg_` (a negative prediction counts as 0), and `relative_half_life_<target>`: that of the RNA divided
    by that of the best one under `deg_Mg_pH10`, or the first such target where the model lacks this one.
    """

    summary = "reactivity and degradation rates of each nucleotide; several RNAs are ranked by half-life"
    notes = """Rates are relative to a reference, so only ratios mean something; several RNAs are ranked by half-life in
half_life_ranking.csv."""
    columns_in_words = "five targets, `deg_Mg_pH10` among them: a number for each nucleotide"
    files_in_words = "heat map; designs ranked by half-life"
    unit = "reactivity and degradation rates relative to a reference, as in OpenVaccine; only ratios mean something"
    plot_file = "degradation.png"

    def labels(self, config: Any) -> dict[str, str]:
        return {target: target for target in config.degradation_targets}

    def describe(self, rows: list[Row], sequence: str, config: Any) -> dict[str, Any]:
        """Degradation of each nucleotide, for one sequence or a list of them.

        Returns for each sequence a dict with `sequence` (as given), `degradation` (for each of the model's targets a
        list of floats as long as the sequence) and `unit`. Rates are relative to a reference: only ratios of them mean
        something. Opened without a model it uses the bundled checkpoint, offline.

        Example:
            >>> predict = pipeline("rna-degradation")
            >>> predict("GGGAAACUCC")["degradation"].keys()
            dict_keys(['reactivity', 'deg_Mg_pH10', 'deg_pH10', 'deg_Mg_50C', 'deg_50C'])
        """
        return {"degradation": {target: rows[0][target].tolist() for target in config.degradation_targets}}

    def plot(self, rows: Sequence[Row], config: Any, path: Path, title: str) -> None:
        from ..plots import plot_heat_map

        plot_heat_map(rows, self.labels(config), path, "reactivity and degradation (relative to a reference)", title)

    def file_names(self, ids: Iterable[str], config: Any) -> list[str]:
        has_two = len(list(islice(ids, 2))) == 2
        return [RANKING_FILE] if has_two and _rates(config) else []

    def write_files(self, tables: Callable[[], Iterator["pa.Table"]], config: Any, folder: Path) -> None:
        targets = _rates(config)
        ids: list[str] = []
        lengths: list[int] = []
        parts = []  # (RNAs of the part, targets)
        for table in tables():
            ids += table.column("id").to_pylist()
            lengths += map(len, table.column("sequence").to_pylist())
            parts.append(np.array([[_sum_rates(values) for values in table.column(name)] for name in targets]).T)
        sums = np.concatenate(parts)
        ranking_target = _RANKING_TARGET if _RANKING_TARGET in targets else targets[0]
        ranked_by = sums[:, targets.index(ranking_target)]
        order = np.argsort(ranked_by, kind="stable")
        best = ranked_by[order[0]]
        with replacing(folder / RANKING_FILE) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            sum_names = [f"{target}_sum" for target in targets]
            writer.writerow(["rank", "id", "length", *sum_names, f"relative_half_life_{ranking_target}"])
            for rank, index in enumerate(order, start=1):
                own = ranked_by[index]
                # An RNA that never decays is as good as the best one.
                relative = 1.0 if own == best else best / own
                numbers = [f"{value:.6g}" for value in (*sums[index], relative)]
                writer.writerow([rank, ids[index], lengths[index], *numbers])


def _rates(config: Any) -> list[str]:
    """Return the targets that are degradation rates."""
    return [target for target in config.degradation_targets if target.startswith("deg_")]


def _sum_rates(values: "pa.ListScalar") -> float:
    return float(np.maximum(values.values.to_numpy(), 0).sum(dtype=np.float64))


class DegradationMetrics(ChannelMetrics):
    """Those of each target, and the mean of the root mean squared errors over targets (MCRMSE).

    `mcrmse_scored` is over the three targets that the OpenVaccine competition scored, where the model has them.
    """

    SCORED = ("reactivity", "deg_Mg_pH10", "deg_Mg_50C")

    def _channels(self, config: Any) -> list[str]:
        return list(config.degradation_targets)

    def _clip(self, config: Any) -> tuple[float, float] | None:
        return None

    def compute(self, batches: list[Any]) -> dict[str, float]:
        values, labels = (np.concatenate(part).astype(np.float64) for part in zip(*batches, strict=True))
        result: dict[str, float] = {}
        errors = dict(zip(self.channels, column_errors(values, labels), strict=True))
        for index, name in enumerate(self.channels):
            known = is_measured(labels[:, index])
            result[f"rmse_{name}"] = errors[name]
            result[f"pearson_{name}"] = pearson_r(values[known, index], labels[known, index])
        result["mcrmse"] = float(np.mean(list(errors.values())))
        if set(self.SCORED) <= set(errors):
            result["mcrmse_scored"] = float(np.mean([errors[name] for name in self.SCORED]))
        return result


DEGRADATION = Task(
    name="degradation",
    head="Degradation",
    prediction=DegradationPrediction(),
    training=Training(
        "`labels`: a row of five targets for each nucleotide",
        "rna_hf.data.collators:DataCollatorForNucleotides",
        DegradationMetrics,
        best="mcrmse",
        label_names="degradation_targets",
        labels_of="nucleotides",
    ),
    default_checkpoint="ribonanzanet-mini-degradation",
)
