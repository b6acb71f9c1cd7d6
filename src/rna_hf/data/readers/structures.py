"""Secondary structures: CT, BPSEQ, bpRNA's `.st` and dot-bracket files, and folders of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...structure.pair_files import read_structures
from ..checks import check_sequence
from ..text_files import files_in, list_files
from .record_datasets import make_dataset

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

# What is looked for in a folder; a FASTA file there is more likely to hold sequences alone.
_SUFFIXES = (".ct", ".nopct", ".bpseq", ".st", ".dbn", ".db", ".dot", ".vienna", ".fold", ".sub")


def read_secondary_structures(
    paths: str | Path | Sequence[str | Path],
    *,
    on_unknown: str = "error",
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Read files of secondary structures, or all those in a folder and the folders in it.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | the record's title; without one the file's name, or `seq<number>` (1-based) where it holds several |
    | `sequence` | str | L nucleotides |
    | `pairs` | P x 2 int32 | 0-based positions of base pairs (i, j), i < j, sorted; pseudoknots included |

    Args:
        paths: a file (the suffixes are those of `rna_hf.structure.read_structures`), a folder (`.ct`, `.nopct`,
            `.bpseq`, `.st`, `.dbn`, `.db`, `.dot`, `.vienna`, `.fold` and `.sub` files in it, sorted by path), or
            several of either.
        on_unknown: what to do with a letter that is not RNA: `error`, or `n` to read it as N.
        streaming: return an `IterableDataset` that reads one file at a time; each file is a shard.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a folder holds no such file, or a file is not what its suffix says, is not balanced or has an
            unknown letter.
    """
    from datasets import Features, List, Value

    files = list_files(paths, partial(files_in, suffixes=_SUFFIXES))
    features = Features(
        {"id": Value("string"), "sequence": Value("string"), "pairs": List(List(Value("int32"), length=2))}
    )
    arguments = {"paths": files, "on_unknown": on_unknown}
    return make_dataset(_read_records, arguments, features, files, streaming, cache_dir)


def _read_records(paths: list[Path], on_unknown: str) -> Iterator[dict[str, Any]]:
    for path in paths:
        structures = read_structures(path)
        for structure in structures:
            has_no_title = {structure.id for structure in structures} == {"seq1"}
            where = f"{path} (id {structure.id[:60]!r})"
            yield {
                "id": path.stem if has_no_title else structure.id,
                "sequence": check_sequence(structure.sequence, where, on_unknown),
                "pairs": [list(pair) for pair in structure.pairs],
            }
