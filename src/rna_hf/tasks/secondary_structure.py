"""Secondary structure: base pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic_files import replacing
from ..options import option
from ..structure import (
    SecondaryStructure,
    decode_pairs,
    format_ct,
    format_dbn,
    parse_dotbracket,
    structure_confidence,
    write_dotbracket,
)
from .base import Kind, Prediction, Row, Task, Training
from .scores import PairMetrics

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor


@dataclass(frozen=True)
class SecondaryStructurePrediction(Prediction):
    """Base pairs of each RNA: `structure` (dot-bracket, pseudoknots included) and `confidence` (0 to 1).

    Also writes all structures to `structures.dbn`. See `rna_hf.structure` for the decoding and the confidence.

    Attributes:
        ct: write all structures to `structures.ct` as well.
    """

    summary = "base pairs of each RNA, pseudoknots included"
    columns_in_words = "`structure`: dot-bracket, pseudoknots included; `confidence`"
    files_in_words = "dot-bracket file, arc diagram, CT with `--ct`"
    unit = "dot-bracket; confidence: mean probability of each nucleotide's state, 0 to 1"
    plot_file = "structure.png"

    ct: bool = option(False, "write a CT file beside the dot-bracket file", for_files=True)

    def columns(self, config: Any) -> dict[str, Kind]:
        return {"structure": "text", "confidence": "number"}

    def plot_columns(self) -> dict[str, Kind]:
        return {"pair_probabilities": "numbers"}

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        logits = outputs.logits.float().cpu()
        return [logits[index][keep[index]][:, keep[index]].numpy() for index in range(len(keep))]

    def reverse(self, values: np.ndarray) -> np.ndarray:
        return values[::-1, ::-1]

    def rows(self, values: np.ndarray, sequence: str, config: Any) -> list[Row]:
        import torch

        probabilities = torch.from_numpy(values).sigmoid().numpy()
        probabilities = (probabilities + probabilities.T) / 2
        pairs = decode_pairs(probabilities, **config.decoding)
        return [
            {
                "structure": write_dotbracket(pairs, len(sequence)),
                "confidence": structure_confidence(probabilities, pairs),
                "pair_probabilities": np.array([probabilities[pair] for pair in pairs], dtype=np.float32),
            }
        ]

    def describe(self, rows: list[Row], sequence: str, config: Any) -> dict[str, Any]:
        """Base pairs, for one sequence or a list of them.

        Returns for each sequence a dict with `sequence` (as given), `structure` (dot-bracket, pseudoknots included),
        `confidence` (0 to 1: the mean probability of the state, paired or not, of each nucleotide) and `unit`. Opened
        without a model it uses the bundled checkpoint, offline.

        Example:
            >>> predict = pipeline("rna-secondary-structure")
            >>> predict("GGGAACGACUCGAGUAGAGUCGAAAA")["structure"]
            '.....((((((.....))))))....'
        """
        return {"structure": rows[0]["structure"], "confidence": rows[0]["confidence"]}

    def plot(self, rows: Sequence[Row], config: Any, path: Path, title: str) -> None:
        from ..plots import plot_arc_diagrams

        plot_arc_diagrams(rows, path, title)

    def file_names(self, ids: Iterable[str], config: Any) -> list[str]:
        return list(self._formats())

    def write_files(self, tables: Callable[[], Iterator[pa.Table]], config: Any, folder: Path) -> None:
        for name, format in self._formats().items():
            with replacing(folder / name) as temporary, open(temporary, "w", encoding="utf-8") as file:
                for table in tables():
                    file.write(format(_structures(table)))

    def _formats(self) -> Mapping[str, Callable[[Iterable[SecondaryStructure]], str]]:
        """Return the files, and what makes the text of each from structures, piece by piece."""
        return {"structures.dbn": format_dbn} | ({"structures.ct": format_ct} if self.ct else {})


def _structures(table: pa.Table) -> Iterator[SecondaryStructure]:
    columns = (table.column(name).to_pylist() for name in ("id", "sequence", "structure"))
    for identifier, sequence, structure in zip(*columns, strict=True):
        # A title is one line; an id of a table may be anything.
        title = " ".join(identifier.split()) or "unnamed"
        yield SecondaryStructure(title, sequence, tuple(parse_dotbracket(structure)))


SECONDARY_STRUCTURE = Task(
    name="structure",
    head="SecondaryStructure",
    prediction=SecondaryStructurePrediction(),
    training=Training(
        "`pairs`: 0-based `[i, j]`",
        "rna_hf.data.collators:DataCollatorForPairs",
        PairMetrics,
        best="f1",
        greater_is_better=True,
        columns=("sequence", "pairs"),
        labels_of="pairs",
        one_partner=True,
    ),
    default_checkpoint="ribonanzanet-mini-structure",
)
