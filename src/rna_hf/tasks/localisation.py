"""Localisation: where in the cell an mRNA is found, and which stretches of it the model looks at."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic_files import replacing
from ..interpretation.motifs import KmerCounts, rank_motifs, shuffle_dinucleotides
from ..interpretation.windows import strongest_windows, windows_elsewhere
from ..measured import is_measured
from ..options import option
from .base import Kind, Prediction, Row, Task, Training
from .scores import BatchMetrics, pearson_r

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor
    from transformers import BatchEncoding

DEFAULT_WINDOWS = 5
MAX_WINDOWS = 100
WINDOWS_FILE = "attention_windows.csv"
MOTIFS_FILE = "motifs.csv"

_WINDOW_COLUMNS = ("rank", "start", "end", "sequence", "weight", "relative_weight")
# A larger background makes the test of a motif sharper, slowly: the windows themselves are no more than before.
_SHUFFLES = 4
_SEED = 0


@dataclass(frozen=True)
class LocalisationPrediction(Prediction):
    """Share of an mRNA in each compartment of the cell, 0 to 1, one column for each of `config.compartments`.

    Each mRNA is read whole and as if it were alone, also by a model that reads padding (`config.mask_padding` off): one
    that was trained with padding to a fixed length predicts something else with it (`fixed_length`) than without.

    Also writes the windows with the most attention to `attention_windows.csv`, see `strongest_windows`. Columns: `id`,
    `rank` (1 is the strongest of the RNA), `start` and `end` (nucleotides of the RNA as given, 0-based, the end not
    included), `sequence` of the window as given, `weight` (all weights of an RNA sum to 1, those of padding included)
    and `relative_weight` (1 is the mean of the windows that hold nucleotides; the one to compare RNAs of different
    length by). A window with padding is cut off at the RNA's end; one of padding alone is left out.

    Of two or more RNAs, the 6-mers of these windows are compared with two backgrounds in `motifs.csv`, see
    `rna_hf.interpretation.motifs`: `shuffled`, the same windows shuffled so that pairs of neighbours stay, which tells
    a motif from mere composition; and `elsewhere`, windows of the same RNAs that overlap none of these, which tells
    what the model looks at from what is common in such RNAs. A motif that says something stands out against both.

    Attributes:
        num_windows: windows in the table for each RNA, at most, 1 to 100.
        fixed_length: nucleotides to which each RNA is cut and, for a model that reads padding, padded, on the sides
            that the checkpoint's tokenizer says; None for whole RNAs.
        padding_side: the tokenizer's, "left" or "right"; set by `for_checkpoint`, as is the next.
        truncation_side: the tokenizer's: "right" keeps the 5' end of a longer RNA, "left" its 3' end.
    """

    summary = "share of each mRNA in each compartment of the cell, and the stretches that the model looks at"
    notes = """Also writes attention_windows.csv, the stretches of each mRNA that the model looks at most (start and end
are 0-based, the end is not included; of windows that overlap, the strongest), and for several mRNAs motifs.csv: the
6-mers in more of these windows than in shuffled ones, and than elsewhere in the same mRNAs, with p-values and with
q-values, which are corrected for the number of 6-mers. A motif should stand out against both. Each mRNA is read whole
and without padding, whatever the model. The original's weights were trained on mRNAs padded or cut to 4,000 nt, which
changes what they predict: --fixed-length 4000 does that, on the sides that the checkpoint's tokenizer says."""
    columns_in_words = "share of an RNA in each compartment of the cell"
    files_in_words = "bars and attention; the windows with the most attention; motifs in them"
    unit = "share of the RNA in each compartment, 0 to 1; they sum to 1"
    plot_file = "localisation.png"
    can_flip = False

    num_windows: int = option(
        DEFAULT_WINDOWS,
        f"rows of each RNA in attention_windows.csv at most, 1 to {MAX_WINDOWS}",
        flags=["--windows"],
        metavar="N",
        for_files=True,
    )
    fixed_length: int | None = option(
        None,
        "cut each mRNA to N nucleotides and pad it up to them; a model that masks padding cuts only; default: each "
        "mRNA whole and without padding",
        metavar="N",
    )
    padding_side: str = "left"
    truncation_side: str = "right"

    def __post_init__(self) -> None:
        if not _is_whole(self.num_windows) or not 1 <= self.num_windows <= MAX_WINDOWS:
            raise ValueError(f"num_windows must be a whole number from 1 to {MAX_WINDOWS}, got {self.num_windows!r}")
        if self.fixed_length is not None and (not _is_whole(self.fixed_length) or self.fixed_length < 1):
            raise ValueError(
                f"fixed_length must be a whole number of nucleotides, 1 or more, got {self.fixed_length!r}"
            )

    def for_checkpoint(self, config: Any, tokenizer: Any) -> LocalisationPrediction:
        if self.fixed_length is not None and self.fixed_length < config.min_sequence_length:
            raise ValueError(
                f"fixed_length is {self.fixed_length}, too short for this model, which reads "
                f"{config.min_sequence_length:,} nt or more"
            )
        return replace(self, padding_side=tokenizer.padding_side, truncation_side=tokenizer.truncation_side)

    def columns(self, config: Any) -> dict[str, Kind]:
        return dict.fromkeys(config.compartments, "number")

    def plot_columns(self) -> dict[str, Kind]:
        return {"attention": "numbers"}

    def explain_length(self, length: int, config: Any) -> str | None:
        shortest = config.min_sequence_length
        if self.fixed_length is not None and not config.masks_padding:
            # Behind the last window is a rest that the model doesn't see; with padding on the left it is the RNA's end.
            rest = (self.fixed_length - config.window_size) % config.window_stride
            shortest = rest + 1 if self.padding_side == "left" else 1
        if length < shortest:
            return f"{length:,} nt are too short for this model, which reads {shortest:,} nt or more"
        return None

    def part_read(self, sequence: str) -> str:
        if self.fixed_length is None or len(sequence) <= self.fixed_length:
            return sequence
        return sequence[-self.fixed_length :] if self.truncation_side == "left" else sequence[: self.fixed_length]

    def read_length(self, length: int, config: Any) -> int:
        if self.fixed_length is None:
            return length
        return min(length, self.fixed_length) if config.masks_padding else self.fixed_length

    def encode(self, tokenizer: Any, sequences: Sequence[str], config: Any) -> BatchEncoding:
        # None is longer than the fixed length, so that a multiple of it is the length itself.
        pads = self.fixed_length is not None and not config.masks_padding
        from ..tokenization import encode_bulk

        parts = map(self.part_read, sequences)
        return encode_bulk(tokenizer, parts, pad_to_multiple_of=self.fixed_length if pads else None)

    def forward(self, model: Any, input_ids: Tensor, attention_mask: Tensor | None) -> Any:
        return model(input_ids=input_ids, attention_mask=attention_mask, output_attentions=True)

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        """Return for each sequence its shares, and behind them its row of attention weights; see the base class."""
        shares = outputs.logits.float().softmax(-1).cpu().numpy()
        attentions = outputs.attentions.float().cpu().numpy()
        return list(np.concatenate([shares, attentions], axis=1))

    def rows(self, values: np.ndarray, sequence: str, config: Any) -> list[Row]:
        shares, attention = np.split(values, [len(config.compartments)])
        # A row of a batch has as many weights as its longest sequence needs.
        attention = attention[: config.num_positions(self.read_length(len(sequence), config))]
        return [{**dict(zip(config.compartments, shares.tolist(), strict=True)), "attention": attention}]

    def describe(self, rows: list[Row], sequence: str, config: Any) -> dict[str, Any]:
        """Share of an mRNA in each compartment of the cell, for one sequence or a list of them.

        Returns for each sequence a dict with `sequence` (as given), `localisation` (a float for each of the model's
        compartments, which sum to 1), `windows`, `attention` and `unit`. `attention` is a weight for each window that
        the model looks at, which sum to 1; window i begins at nucleotide i * config.window_stride (0-based) of what the
        model reads and has config.window_size nucleotides. `windows` are those with the most attention that do not
        overlap, the strongest first: dicts with `rank` (from 1), `start` and `end` (nucleotides, 0-based, the end not
        included), `sequence`, `weight` and `relative_weight` (1 is the mean of all windows).

        Each mRNA is read whole and without padding. `fixed_length`, an option of a call, cuts and pads it to so many
        nucleotides as `rna_hf.predict` does; `start` and `end` stay those of the sequence as given.

        Example:
            >>> predict = pipeline("rna-localisation", model="my-checkpoint")
            >>> predict("GGGAAACUCC" * 100)["localisation"].keys()
            dict_keys(['Cytosol', 'Insoluble', 'Membrane', 'Nuclear'])
        """
        attention = rows[0]["attention"]
        return {
            "localisation": {name: rows[0][name] for name in config.compartments},
            "windows": self.describe_windows(attention, sequence, config),
            "attention": attention.tolist(),
        }

    def describe_windows(self, attention: np.ndarray, sequence: str, config: Any) -> list[Row]:
        """Return the windows of an RNA's table, the strongest first, under its columns' names without `id`."""
        attention, windows = self.windows_on_rna(attention, len(sequence), config)
        mean = float(attention.mean()) or 1.0  # all may be on padding
        described = []
        for rank, index in enumerate(strongest_windows(attention, windows, self.num_windows), start=1):
            start, end = windows[index].tolist()
            weight = float(attention[index])
            values = (rank, start, end, sequence[start:end], weight, weight / mean)
            described.append(dict(zip(_WINDOW_COLUMNS, values, strict=True)))
        return described

    def windows_on_rna(self, attention: np.ndarray, length: int, config: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights (P,) of the windows that hold nucleotides of an RNA, and these windows (P, 2).

        Args:
            attention: all weights of the RNA, as in `rows`.
            length: of the RNA as given, nucleotides.
            config: of the model.

        Returns:
            The weights, and start and end of each window in nucleotides of the RNA as given, 0-based, the end not
            included.
        """
        num_read = min(length, self.fixed_length or length)
        windows = config.attention_windows(num_read, self.fixed_length, self.padding_side)
        holds = windows[:, 0] < windows[:, 1]
        start = length - num_read if self.truncation_side == "left" else 0
        return attention[holds], windows[holds] + start

    def plot(self, rows: Sequence[Row], config: Any, path: Path, title: str) -> None:
        from ..plots import plot_localisation

        drawn = []
        for row in rows:
            attention, windows = self.windows_on_rna(np.asarray(row["attention"]), len(row["sequence"]), config)
            strongest = strongest_windows(attention, windows, self.num_windows)
            drawn.append({**row, "attention": attention, "windows": windows, "strongest": strongest})
        plot_localisation(drawn, config.compartments, path, title)

    def file_names(self, ids: Iterable[str], config: Any) -> list[str]:
        has_two = len(list(islice(ids, 2))) == 2
        return [WINDOWS_FILE, MOTIFS_FILE] if has_two else [WINDOWS_FILE]

    def write_files(self, tables: Callable[[], Iterator[pa.Table]], config: Any, folder: Path) -> None:
        motifs = _Motifs()
        num_rnas = 0
        with replacing(folder / WINDOWS_FILE) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", *_WINDOW_COLUMNS])
            for table in tables():
                for row in table.select(["id", "sequence", "attention"]).to_pylist():
                    num_rnas += 1
                    attention = np.array(row["attention"], dtype=np.float32)
                    chosen = self.describe_windows(attention, row["sequence"], config)
                    writer.writerows([row["id"], *map(_as_text, window.values())] for window in chosen)
                    _, windows = self.windows_on_rna(attention, len(row["sequence"]), config)
                    motifs.add(row["sequence"], windows, chosen)
        if num_rnas > 1:
            motifs.write(folder / MOTIFS_FILE)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_text(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


class _Motifs:
    """The k-mers in the strongest windows of RNAs, and in their backgrounds, collected RNA by RNA."""

    def __init__(self) -> None:
        self._counts = KmerCounts()
        self._backgrounds = {"shuffled": KmerCounts(), "elsewhere": KmerCounts()}
        self._generator = random.Random(_SEED)

    def add(self, sequence: str, windows: np.ndarray, chosen: Sequence[Row]) -> None:
        """Count an RNA's windows.

        Args:
            sequence: of the RNA.
            windows: (P, 2), all of its windows.
            chosen: the strongest, from `LocalisationPrediction.describe_windows`.
        """
        letters = sequence.upper().replace("T", "U")  # or a shuffle would keep the case of neighbours as well
        places = [(window["start"], window["end"]) for window in chosen]
        stretches = [letters[start:end] for start, end in places]
        self._counts.add(stretches)
        self._backgrounds["shuffled"].add(shuffle_dinucleotides(one, self._generator) for one in stretches * _SHUFFLES)
        elsewhere = windows_elsewhere(windows, places)
        self._backgrounds["elsewhere"].add(letters[start:end] for start, end in elsewhere)

    def write(self, path: Path) -> None:
        """Write the table, see `rna_hf.interpretation.motifs.rank_motifs`; what is not known is left empty."""
        columns = rank_motifs(self._counts, self._backgrounds)
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(map(_as_text, row) for row in zip(*columns.values(), strict=True))


class LocalisationMetrics(BatchMetrics):
    """Pearson's r of predicted and measured shares: of each compartment, and of all values as one list."""

    def __init__(self, config: Any):
        super().__init__()
        self.compartments = list(config.compartments)

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = values.astype(np.float64)
        return np.exp(values - np.logaddexp.reduce(values, axis=-1, keepdims=True)), labels.astype(np.float64)

    def compute(self, batches: list[Any]) -> dict[str, float]:
        shares, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
        labelled = is_measured(labels).all(-1)
        shares, labels = shares[labelled], labels[labelled]
        result = {"pearson": pearson_r(shares.ravel(), labels.ravel())}
        for index, name in enumerate(self.compartments):
            result[f"pearson_{name}"] = pearson_r(shares[:, index], labels[:, index])
        return result


def shares_as_labels(dataset: Any) -> Any:
    """Divide the numbers of each RNA's compartments by their sum, where that is not 1 already; NaN: not measured.

    Raises:
        ValueError: a label is negative, or all are 0.
    """
    from datasets import Features, List, Value

    from ..data.collators import SHARES_TOLERANCE
    from ..data.readers.localisation import to_distribution

    if "labels" not in dataset.column_names:
        return dataset

    def divide(example: dict[str, Any], index: int) -> dict[str, list[float]]:
        where = f"row {index + 1}" + (f" (id {str(example['id'])[:60]!r})" if "id" in example else "")
        labels = np.array(example["labels"], dtype=np.float64)
        labels[~is_measured(labels)] = np.nan
        shares = to_distribution(labels.tolist(), where)
        return {"labels": labels.tolist() if abs(labels.sum() - 1) <= SHARES_TOLERANCE else shares}

    # The type of whole numbers would stay otherwise, as long as the shares are 0 and 1.
    features = Features(dataset.features | {"labels": List(Value("float32"))})
    return dataset.map(divide, with_indices=True, features=features, desc="shares")


LOCALISATION = Task(
    name="localisation",
    head="Localisation",
    prediction=LocalisationPrediction(),
    training=Training(
        "`labels`: a number for each compartment",
        "rna_hf.data.collators:DataCollatorForLocalisation",
        LocalisationMetrics,
        best="pearson",
        greater_is_better=True,
        finish=shares_as_labels,
        label_names="compartments",
        labels_of="sequence",
    ),
    default_checkpoint="rnatracker-mini",
)
