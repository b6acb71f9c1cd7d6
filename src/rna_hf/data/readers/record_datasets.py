"""From a function that yields records to a `datasets.Dataset` or `datasets.IterableDataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...version import __version__

if TYPE_CHECKING:
    from datasets import Dataset, Features, IterableDataset


@dataclass(frozen=True)
class _Records:
    """A reading function, together with what its outcome depends on besides its arguments.

    `datasets` names its cached file after a hash of this object, so a file that changed under the same name, or
    another version of the reader, is not served from an old cache.
    """

    read: Callable[..., Iterator[dict[str, Any]]]
    name: str
    stamp: tuple[tuple[str, int, int], ...]
    version: str = __version__

    def __call__(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        is_empty = True
        for record in self.read(**arguments):
            is_empty = False
            yield record
        if is_empty:
            raise ValueError(f"{self.name} holds no record; is it the right file?")


def make_dataset(
    read: Callable[..., Iterator[dict[str, Any]]],
    arguments: Mapping[str, Any],
    features: Features,
    files: Sequence[Path],
    streaming: bool,
    cache_dir: str | Path | None,
) -> Dataset | IterableDataset:
    """Run a reading function through `datasets`.

    Args:
        read: function of a module that yields records of plain Python values.
        arguments: passed to it; a list among them is cut into shards, one item each.
        features: columns of the records.
        files: what is read.
        streaming: whether to yield records as they are asked for, without a copy on disk.
        cache_dir: folder of the Arrow file; the cache of `datasets` if omitted. Unused when streaming.

    Returns:
        A `Dataset`, or an `IterableDataset` when streaming.
    """
    from datasets import Dataset, IterableDataset
    from datasets.exceptions import DatasetGenerationError

    stats = [path.stat() for path in files]
    stamp = tuple((str(path.resolve()), stat.st_size, stat.st_mtime_ns) for path, stat in zip(files, stats))
    records = _Records(read, str(files[0]), stamp)
    if streaming:
        return IterableDataset.from_generator(records, features=features, gen_kwargs=dict(arguments))
    try:
        return Dataset.from_generator(
            records,
            features=features,
            gen_kwargs=dict(arguments),
            cache_dir=None if cache_dir is None else str(cache_dir),
        )
    except DatasetGenerationError as error:
        # "An error occurred while generating the dataset" helps nobody; the reader's own line does.
        if isinstance(error.__cause__, (ValueError, OSError)):
            raise error.__cause__ from None
        raise
