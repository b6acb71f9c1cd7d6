"""`predict 3d`: positions of the nucleotides."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ...structure import PDB_MAX_RESIDUES, superpose, write_trace, write_viewer
from .base import Kind, PredictionTask, Row

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_SAMPLES = 5
MAX_SAMPLES = 100

# File systems take names of 255 bytes; this leaves room for what is added.
_MAX_STEM_LENGTH = 150


@dataclass(frozen=True)
class TertiaryStructureTask(PredictionTask):
    """Position of each nucleotide's atom C1', in several samples: a row each with `sample` (from 1), `x`, `y` and `z`.

    Sample 1 is the model's plain prediction. Also writes for each RNA `<id>_<sample>.cif` and a page `<id>.html` that
    shows the samples, superposed on the first. See `file_stem` for ids that cannot be names of files.

    Attributes:
        num_samples: structures for each RNA, 1 to 100.
        pdb: write `<id>_<sample>.pdb` as well.
    """

    name = "3d"
    unit = "angstrom"
    can_flip = False

    num_samples: int = DEFAULT_SAMPLES
    pdb: bool = False

    def __post_init__(self) -> None:
        is_whole = isinstance(self.num_samples, int) and not isinstance(self.num_samples, bool)
        if not is_whole or not 1 <= self.num_samples <= MAX_SAMPLES:
            raise ValueError(f"num_samples must be a whole number from 1 to {MAX_SAMPLES}, got {self.num_samples!r}")

    @property
    def rows_per_sequence(self) -> int:
        return self.num_samples

    def auto_class(self) -> Any:
        from ...auto import AutoModelForTertiaryStructure

        return AutoModelForTertiaryStructure

    def columns(self, config: Any) -> dict[str, Kind]:
        return {"sample": "index", "x": "numbers", "y": "numbers", "z": "numbers"}

    def explain_length(self, length: int, config: Any) -> str | None:
        if self.pdb and length > PDB_MAX_RESIDUES:
            return f"{length:,} nt do not fit into a PDB file, which holds {PDB_MAX_RESIDUES:,}; leave out --pdb"
        return None

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

    def file_names(self, ids: Iterable[str], config: Any) -> list[str]:
        names = []
        for stem in map(file_stem, ids):
            names += [name for number in range(1, self.num_samples + 1) for name in self._traces(stem, number)]
            names.append(f"{stem}.html")
        return names

    def write_files(self, tables: Callable[[], Iterator["pa.Table"]], config: Any, folder: Path) -> None:
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
