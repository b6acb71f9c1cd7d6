"""Pseudo-labels: the mean of several models' predictions for RNAs without good labels of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainingArguments

from ..atomic_files import replacing
from .run_record import check_record, describe_data, describe_model, write_record
from .training_data import check_profiles, choose_profiles, load_table

LABELS_FILE = "pseudo_labels.parquet"
_RECORD_FILE = "pseudo_labels.json"
_FOLDER = "pseudo_labels"
# Rows of the table that are averaged and written at a time.
_ROWS = 1024


@dataclass
class Source:
    """A file of RNAs to predict.

    Attributes:
        file: as `DataArguments.train_file`; only its sequences are read.
        data_format: as there.
        profiles: as there.
    """

    file: str
    data_format: str = "table"
    profiles: str = "all"


@dataclass
class PseudoLabels:
    """What is predicted, and by what.

    Attributes:
        models: checkpoints for reactivity, whose predictions are averaged.
        sources: the RNAs, each sequence once.
        flip_average: average each prediction with that of the reversed sequence.
        dtype: of the models: "float32", "bfloat16" or "float16".
        batch_tokens: nucleotides in a batch.
    """

    models: list[str]
    sources: list[Source]
    flip_average: bool = True
    dtype: str = "float32"
    batch_tokens: int = 2048

    @classmethod
    def parse(cls, options: Any, where: str) -> PseudoLabels:
        """Read them from a table of a recipe.

        Args:
            options: the attributes by name; `sources` is a list of tables.
            where: where the table stands, in messages.

        Raises:
            ValueError: a field is unknown or missing.
        """
        _check_fields(cls, options, f"{where}: pseudo_labels")
        for name in ("models", "sources"):
            if not isinstance(options[name], list):
                raise ValueError(f"{where}: {name} of pseudo_labels must be a list")
        for number, source in enumerate(options["sources"], start=1):
            _check_fields(Source, source, f"{where}: source {number} of pseudo_labels")
            check_profiles(source.get("profiles", "all"))
        return cls(**options | {"sources": [Source(**source) for source in options["sources"]]})


def _check_fields(kind: Any, options: Any, where: str) -> None:
    known = [part.name for part in fields(kind)]
    needed = [part.name for part in fields(kind) if part.default is MISSING]
    if not isinstance(options, dict) or any(not options.get(name) for name in needed):
        raise ValueError(f"{where} must be a table with {' and '.join(needed)}")
    for name in options:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is no field; choose from {', '.join(known)}")


def write_pseudo_labels(
    pseudo_labels: PseudoLabels, folder: Path, channels: Sequence[str], training: TrainingArguments
) -> Path:
    """Predict labels and write them as a table, once; what was interrupted goes on.

    All processes of a launcher must call it, and share the work.

    Args:
        pseudo_labels: what to predict.
        folder: for the table, and for each model's predictions below it.
        channels: of the labels, in order; each of the models must predict them.
        training: says which device to use.

    Returns:
        The path of the table: `sequence`, and `labels`, L rows of a number for each channel.

    Raises:
        FileExistsError: the folder holds the predictions of other models or for other RNAs.
        ValueError: a model does not predict a channel, or an RNA cannot be predicted.
    """
    from ..prediction import predict

    table, work = folder / LABELS_FILE, folder / _FOLDER
    record = {
        "sources": [
            [describe_data(part.file)["sha256"], part.data_format, part.profiles] for part in pseudo_labels.sources
        ],
        "models": [describe_model(name)["sha256"] for name in pseudo_labels.models],
        "channels": list(channels),
        "flip_average": pseudo_labels.flip_average,
        "dtype": pseudo_labels.dtype,
    }
    check_record(folder / _RECORD_FILE, record)
    if table.exists():
        return table
    sequences = work / "sequences.parquet"
    with training.main_process_first(local=False, desc="reading sequences"):
        if not sequences.exists():
            work.mkdir(parents=True, exist_ok=True)
            write_record(folder / _RECORD_FILE, record)
            _write_sequences(pseudo_labels.sources, sequences)
    predictions = [
        predict(
            sequences,
            work / str(number),
            model=model,
            flip_average=pseudo_labels.flip_average,
            dtype=pseudo_labels.dtype,
            batch_tokens=pseudo_labels.batch_tokens,
            device="cpu" if training.use_cpu else "auto",
            plot_rows=0,
            progress=not training.disable_tqdm and training.process_index == 0,
            distributed=True,
        )
        for number, model in enumerate(pseudo_labels.models, start=1)
    ]
    with training.main_process_first(local=False, desc="averaging"):
        if not table.exists():
            _write_means([Path(str(path)) for path in predictions], channels, table)
            shutil.rmtree(work)
    return table


def _write_sequences(sources: Sequence[Source], path: Path) -> None:
    """Write the different sequences of all sources, in their order, as a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, None] = {}
    for source in sources:
        dataset = load_table(source.file, source.data_format)
        rows = np.flatnonzero(choose_profiles(dataset, source.profiles, source.file))
        found |= dict.fromkeys(dataset.select_columns(["sequence"]).select(rows)["sequence"])
    if not found:
        raise ValueError(f"{', '.join(source.file for source in sources)}: no RNA is left to predict labels for")
    with replacing(path) as temporary:
        pq.write_table(pa.table({"sequence": list(found)}), temporary)


def _write_means(predictions: Sequence[Path], channels: Sequence[str], path: Path) -> None:
    """Write the mean of several files of predictions for the same sequences."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = pa.list_(pa.list_(pa.float32(), len(channels)))
    schema = pa.schema([pa.field("sequence", pa.string()), pa.field("labels", labels)])
    rows = zip(*(_read_rows(file, channels) for file in predictions), strict=True)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        while chunk := list(islice(rows, _ROWS)):
            means = [np.mean([values for _, values in row], axis=0) for row in chunk]
            starts = np.cumsum([0, *map(len, means)]).astype(np.int32)
            values = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(means).ravel()), len(channels))
            sequences = pa.array([row[0][0] for row in chunk])
            writer.write_table(pa.table([sequences, pa.ListArray.from_arrays(starts, values)], schema=schema))


def _read_rows(path: Path, channels: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each sequence of a file of predictions and its values, (L, channels) in float32."""
    import pyarrow.parquet as pq

    columns = [f"reactivity_{channel}" for channel in channels]
    with pq.ParquetFile(path) as file:
        missing = [column for column in columns if column not in file.schema_arrow.names]
        if missing:
            raise ValueError(f"{path} lacks {missing[0]!r}; all models must predict the channels {', '.join(channels)}")
        for batch in file.iter_batches(_ROWS, columns=["sequence", *columns]):
            sequences, *profiles = batch.columns
            for row in range(len(batch)):
                yield sequences[row].as_py(), np.stack([profile[row].values.to_numpy() for profile in profiles], axis=1)
