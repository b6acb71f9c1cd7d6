"""Tertiary structure: positions of the nucleotides."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..measured import is_resolved
from ..options import option
from ..structure import PDB_MAX_RESIDUES, superpose, write_trace, write_viewer
from .base import Kind, Prediction, Row, Task, Training
from .scores import BatchMetrics

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

DEFAULT_SAMPLES = 5
MAX_SAMPLES = 100

# File systems take names of 255 bytes; this leaves room for what is added.
_MAX_STEM_LENGTH = 150


@dataclass(frozen=True)
class TertiaryStructurePrediction(Prediction):
    """Position of each nucleotide's atom C1', in several samples: a row each with `sample` (from 1), `x`, `y` and `z`.

    Sample 1 is the model's plain prediction. Also writes for each RNA `<id>_<sample>.cif` and a page `<id>.html` that
    shows the samples, superposed on the first. See `file_stem` for ids that cannot be names of files.

    Attributes:
        num_samples: structures for each RNA, 1 to 100.
        pdb: write `<id>_<sample>.pdb` as well.
    """

    summary = "position of each nucleotide in several samples"
    columns_in_words = "a row for each of `--samples`: `sample`, `x`, `y`, `z` of the atoms C1', angstrom"
    files_in_words = "mmCIF, a page with a 3D view, PDB with `--pdb`"
    unit = "angstrom"
    per_nucleotide = True
    can_flip = False
    # A processor builds structures one after another, for seconds each: a batch would gain nothing, and what is not
    # written yet would be lost with it.
    cpu_batch_sequences = 1

    num_samples: int = option(
        DEFAULT_SAMPLES, f"structures for each RNA, 1 to {MAX_SAMPLES}", flags=["--samples"], metavar="N"
    )
    pdb: bool = option(False, "write PDB files beside the mmCIF files", for_files=True)

    def __post_init__(self) -> None:
        is_whole = isinstance(self.num_samples, int) and not isinstance(self.num_samples, bool)
        if not is_whole or not 1 <= self.num_samples <= MAX_SAMPLES:
            raise ValueError(f"num_samples must be a whole number from 1 to {MAX_SAMPLES}, got {self.num_samples!r}")

    @property
    def rows_per_sequence(self) -> int:
        return self.num_samples

    def columns(self, config: Any) -> dict[str, Kind]:
        return {"sample": "index", "x": "numbers", "y": "numbers", "z": "numbers"}

    def explain_length(self, length: int, config: Any) -> str | None:
        if self.pdb and length > PDB_MAX_RESIDUES:
            return f"{length:,} nt do not fit into a PDB file, which holds {PDB_MAX_RESIDUES:,}; leave out --pdb"
        return super().explain_length(length, config)

    def forward(self, model: Any, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        return model.sample_coordinates(input_ids, attention_mask=attention_mask, num_samples=self.num_samples)

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        """Return (samples, L, 3), angstrom, for each sequence; see the base class."""
        coordinates = outputs.float().cpu()
        return [coordinates[index][:, keep[index]].numpy() for index in range(len(keep))]

    def rows(self, values: np.ndarray, sequence: str, config: Any) -> list[Row]:
        return [
            {"sample": number, "x": sample[:, 0], "y": sample[:, 1], "z": sample[:, 2]}
            for number, sample in enumerate(values, start=1)
        ]

    def describe(self, rows: list[Row], sequence: str, config: Any) -> dict[str, Any]:
        """Position of each nucleotide's atom C1', for one sequence or a list of them.

        Returns for each sequence a dict with `sequence` (as given), `coordinates` (a list for each sample, the plain
        prediction first, of `[x, y, z]` of each nucleotide, in a frame of no meaning) and `unit` (angstrom).
        `num_samples`, 1 to 100 and 5 by default, is an option of a call. Opened without a model it uses the bundled
        checkpoint, offline.

        Example:
            >>> predict = pipeline("rna-tertiary-structure")
            >>> len(predict("GGGAAACUCC", num_samples=2)["coordinates"])
            2
        """
        traces = [zip(*(row[axis].tolist() for axis in ("x", "y", "z")), strict=True) for row in rows]
        return {"coordinates": [[list(position) for position in trace] for trace in traces]}

    def file_names(self, ids: Iterable[str], config: Any) -> list[str]:
        names = []
        for stem in map(file_stem, ids):
            names += [name for number in range(1, self.num_samples + 1) for name in self._traces(stem, number)]
            names.append(f"{stem}.html")
        return names

    def write_files(self, tables: Callable[[], Iterator[pa.Table]], config: Any, folder: Path) -> None:
        for table in tables():
            for start in range(0, table.num_rows, self.num_samples):
                rows = table.slice(start, self.num_samples)
                identifier, sequence = rows.column("id")[0].as_py(), rows.column("sequence")[0].as_py()
                axes = [np.stack(rows.column(axis).to_numpy()) for axis in ("x", "y", "z")]
                samples = np.stack(axes, axis=-1)  # (samples, L, 3)
                stem = file_stem(identifier)
                for number, sample in enumerate(samples, start=1):
                    for name in self._traces(stem, number):
                        write_trace(folder / name, sample, sequence)
                superposed = [samples[0], *(superpose(sample, samples[0]) for sample in samples[1:])]
                write_viewer(folder / f"{stem}.html", superposed, sequence, f"{identifier}, {len(sequence):,} nt")

    def _traces(self, stem: str, number: int) -> list[str]:
        """Return the names of a sample's files."""
        return [f"{stem}_{number}{suffix}" for suffix in ((".cif", ".pdb") if self.pdb else (".cif",))]


def file_stem(identifier: str) -> str:
    """Turn an id into the beginning of a file's name.

    An id of letters, digits and `.-+=,_` stands for itself. In any other, or a very long one, what a file system may
    refuse becomes `_`, and eight digits made from the whole id follow, so that `a/b` and `a:b` stay apart. Ids that
    differ in case alone stay apart where the file system tells case.
    """
    stem = re.sub(r"^\.|[^A-Za-z0-9.+=,_-]", "_", identifier)[:_MAX_STEM_LENGTH]
    if stem == identifier:
        return stem
    digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{stem}-{digest[:8]}"


class CoordinateMetrics(BatchMetrics):
    """TM-score and root mean squared deviation after superposition, averaged over chains."""

    def __init__(self, config: Any):
        super().__init__()

    def reduce(self, values: np.ndarray, labels: np.ndarray) -> list[tuple[float, float]]:
        from ..structure.coordinates import rmsd, tm_score

        scores = []
        for model, native in zip(values, labels):
            resolved = is_resolved(native)
            if resolved.sum() >= 3:
                scores.append((tm_score(model[resolved], native[resolved]), rmsd(model[resolved], native[resolved])))
        return scores

    def compute(self, batches: list[Any]) -> dict[str, float]:
        scores = np.array([score for batch in batches for score in batch]).reshape(-1, 2)
        return {"tm_score": float(scores[:, 0].mean()), "rmsd": float(scores[:, 1].mean())}


TERTIARY_STRUCTURE = Task(
    name="3d",
    head="TertiaryStructure",
    prediction=TertiaryStructurePrediction(),
    training=Training(
        "`coordinates`: x, y, z of each nucleotide's C1', angstrom",
        "rna_hf.data.collators:DataCollatorForCoordinates",
        CoordinateMetrics,
        best="tm_score",
        greater_is_better=True,
        columns=("sequence", "coordinates"),
        labels_of="nucleotides",
    ),
    default_checkpoint="ribonanzanet-mini-3d",
)
