"""FASTA: sequences without labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import check_sequence
from ..sequence_files import SequenceFile
from ..text_files import check_file
from .record_datasets import make_dataset

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


def read_fasta(
    path: str | Path, *, on_unknown: str = "error", streaming: bool = False, cache_dir: str | Path | None = None
) -> Dataset | IterableDataset:
    """Read a FASTA file, gzipped or not.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | first word of the header, `seq<number>` (1-based) if it is empty |
    | `sequence` | str | as written, line breaks removed |

    Args:
        path: the file.
        on_unknown: what to do with a letter that is not RNA: `error`, or `n` to read it as N.
        streaming: return an `IterableDataset` that reads as it goes.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a record is empty or has an unknown letter, or the file is not FASTA.
    """
    from datasets import Features, Value

    path = check_file(path)
    features = Features({"id": Value("string"), "sequence": Value("string")})
    arguments = {"path": str(path), "on_unknown": on_unknown}
    return make_dataset(_read_records, arguments, features, [path], streaming, cache_dir)


def _read_records(path: str, on_unknown: str) -> Iterator[dict[str, Any]]:
    for record in SequenceFile(path, kind="fasta").records():
        where = f"{path}, {record.location} (id {record.id[:60]!r})"
        yield {"id": record.id, "sequence": check_sequence(record.sequence, where, on_unknown)}
