"""The data of a training run: files into data sets, and what is held out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from ..data.checks import explain_caution, explain_unknown, unknown_share
from ..data.collators import DataCollatorForReactivity
from ..data.long_tables import group_nucleotides, is_long
from ..data.splits import MAX_K
from ..data.text_files import csv_options
from ..measured import is_measured
from ..tasks import Task
from ..tokenization import KEPT_ENDS
from .arguments import DataArguments
from .classes import number_classes, settle_classes
from .examples import columns_of_nucleotides, truncated
from .label_checks import Layout, check_labels, check_ratios, check_sequences
from .labels import explain_missing, find_labels

# Which RNAs are taken by the signal-to-noise ratios of their profiles; the loss counts a profile by the same limit.
PROFILES = ("all", "good", "dirty", "low_quality")

SPLITS = ("similarity", "random")

# RNAs that a warning names; the others are counted.
_MAX_NAMED = 3


def check_data_arguments(arguments: DataArguments) -> None:
    """Refuse wrong options, and those that contradict each other."""
    check_profiles(arguments.profiles)
    if not arguments.train_file:
        raise ValueError("train_file is missing: name the training data")
    for name, choices in (("split", SPLITS), ("keep", KEPT_ENDS)):
        if getattr(arguments, name) not in choices:
            raise ValueError(f"{name} is {getattr(arguments, name)!r}: choose one of {', '.join(choices)}")
    for name in ("truncate", "crop", "max_length", "pad_to_multiple_of"):
        if getattr(arguments, name) < 0:
            raise ValueError(f"{name} is {getattr(arguments, name)}: it must be a number of nucleotides, or 0 for none")
    if arguments.min_length < 0:
        raise ValueError(f"min_length is {arguments.min_length}: it must be a number of nucleotides")
    if not 0 <= arguments.reverse_probability <= 1:
        raise ValueError(f"reverse_probability is {arguments.reverse_probability}: it must be from 0 to 1")
    if not 0 < arguments.validation_fraction < 1:
        raise ValueError(f"validation_fraction is {arguments.validation_fraction}: it must be more than 0 and below 1")
    if not 1 <= arguments.similarity_k <= MAX_K:
        raise ValueError(f"similarity_k is {arguments.similarity_k}: choose a number of nucleotides from 1 to {MAX_K}")
    if arguments.similarity_min_shared < 1:
        raise ValueError(f"similarity_min_shared is {arguments.similarity_min_shared}: it must be at least 1")
    if arguments.folds < 0 or arguments.folds == 1:
        raise ValueError(f"folds is {arguments.folds}: a cross-validation has 2 at least; 0 is for none")
    if not 0 <= arguments.fold <= arguments.folds:
        raise ValueError(f"fold is {arguments.fold}: choose one from 1 to folds ({arguments.folds}), or 0 for all")
    if arguments.folds and arguments.validation_file:
        raise ValueError(
            "folds and validation_file are both set: folds are parts of train_file, so leave one of them out"
        )


def load_splits(
    arguments: DataArguments,
    task: Task,
    config: Any,
    seed: int,
    stated: Collection[str] = (),
    reads_others: bool = False,
) -> dict[str, Any]:
    """Read the data sets: `train`, `validation` and, if named, `test`.

    The validation set is drawn before the choice of lengths and profiles, so runs on the same file with the same seed
    and fraction hold out the same RNAs, whatever they choose.

    Args:
        arguments: what to read.
        task: what for.
        config: of the model, which may name the labels and say what it is able to read; where labels are classes and
            `stated` does not say how many, it gets those of the training data.
        seed: of what is set aside.
        stated: the fields of the configuration that somebody has set.
        reads_others: whether the tokenizer reads unknown letters as N.

    Raises:
        ValueError: a file can't be used, or holds an RNA that is too short for the model.
    """
    shortest = shortest_readable(arguments, config)

    def load(file: str, is_train: bool = False) -> Any:
        dataset = load_labelled(file, arguments, task, config, stated if is_train else None, reads_others)
        check_lengths(dataset, shortest, arguments.min_length, file)
        warn_about_unknown(dataset, arguments, config, file)
        return dataset

    train = load(arguments.train_file, is_train=True)
    lengths = np.array([len(sequence) for sequence in train["sequence"]])
    fits = (lengths >= arguments.min_length) & ((lengths <= arguments.max_length) | (arguments.max_length == 0))
    fits &= choose_profiles(train, arguments.profiles, arguments.train_file)
    splits = {}
    if arguments.validation_file:
        splits["validation"] = load(arguments.validation_file)
    else:
        rows = rows_to_hold_out(train, arguments, seed)
        splits["validation"] = train.select(rows)
        fits[rows] = False
    if not fits.any():
        longest = f"to {arguments.max_length} nt" if arguments.max_length else "nt or more"
        raise ValueError(
            f"{arguments.train_file} holds no RNA of {arguments.min_length} {longest} to train on "
            f"(profiles: {arguments.profiles})"
        )
    splits["train"] = train.select(np.flatnonzero(fits))
    if arguments.test_file:
        splits["test"] = load(arguments.test_file)
    if shortest > 1:
        splits = {name: readable(split, shortest, name) for name, split in splits.items()}
    if arguments.truncate:
        assert task.training is not None
        columns = columns_of_nucleotides(task.training)
        ends = {"length": arguments.truncate, "keep": arguments.keep, "columns": columns}
        splits = {name: split.map(truncated, fn_kwargs=ends, desc="truncate") for name, split in splits.items()}
    return splits


def shortest_readable(arguments: DataArguments, config: Any) -> int:
    """Return the length of the shortest RNA that a model is able to read, nucleotides.

    Raises:
        ValueError: an option cuts RNAs to less than that.
    """
    shortest = config.min_sequence_length
    if not config.masks_padding and arguments.pad_to_multiple_of >= shortest:
        return 1  # such a model reads padding, with which each RNA is long enough
    for name in ("truncate", "crop"):
        if 0 < getattr(arguments, name) < shortest:
            raise ValueError(f"{name} is {getattr(arguments, name)}: the model reads no less than {shortest} nt")
    return shortest


def check_lengths(dataset: Any, shortest: int, min_length: int, file: str) -> None:
    """Refuse RNAs that are too short for the model, unless `min_length` leaves them out.

    Args:
        dataset: with a column `sequence`.
        shortest: nucleotides of the shortest RNA that the model is able to read.
        min_length: see `DataArguments`.
        file: the data set's name in the message.
    """
    if min_length >= shortest:
        return
    lengths = [len(sequence) for sequence in dataset["sequence"]]
    short = [row for row, length in enumerate(lengths) if length < shortest]
    if short:
        raise ValueError(
            f"{file}: {len(short):,} of {len(lengths):,} RNAs are shorter than the {shortest} nt that the model needs, "
            f"the first is {name_of(dataset, short[0])} with {lengths[short[0]]} nt; min_length {shortest} leaves such "
            "RNAs out"
        )


def readable(dataset: Any, shortest: int, name: str) -> Any:
    """Return the RNAs of a data set that are long enough for the model.

    Args:
        dataset: with a column `sequence`.
        shortest: nucleotides of the shortest RNA that the model is able to read.
        name: of the data set in the message.

    Raises:
        ValueError: there are none.
    """
    rows = [row for row, sequence in enumerate(dataset["sequence"]) if len(sequence) >= shortest]
    if not rows:
        raise ValueError(f"the {name} data hold no RNA of {shortest} nt or more, which the model needs")
    return dataset if len(rows) == len(dataset) else dataset.select(rows)


def warn_about_unknown(dataset: Any, arguments: DataArguments, config: Any, file: str) -> None:
    """Warn of RNAs with many unknown nucleotides (N), where a model's configuration sets a limit.

    Args:
        dataset: with a column `sequence`.
        arguments: `truncate` and `keep`.
        config: of the model.
        file: the data set's name in the message.
    """
    limit = config.max_unknown_share

    def share(sequence: str) -> float:
        if not arguments.truncate:
            return unknown_share(sequence)
        return unknown_share(truncated({"sequence": sequence}, arguments.truncate, arguments.keep)["sequence"])

    rows = [row for row, sequence in enumerate(dataset["sequence"]) if share(sequence) > limit]
    if rows:
        names = [name_of(dataset, row) for row in rows[:_MAX_NAMED]]
        warnings.warn(f"{file}: {explain_caution(names, len(rows), explain_unknown(limit))}", stacklevel=2)


def name_of(dataset: Any, row: int) -> str:
    """Return what to call an RNA in messages: its `id` if there is that column, else its row, from 1."""
    return repr(str(dataset[row]["id"])[:60]) if "id" in dataset.column_names else f"row {row + 1}"


def rows_to_hold_out(dataset: Any, arguments: DataArguments, seed: int) -> np.ndarray:
    """Draw the validation set, or the fold that is one.

    Args:
        dataset: with a column `sequence`.
        arguments: `split` with its options, and `folds` and `fold` or `validation_fraction`.
        seed: which of the many such draws; the folds of one seed share no RNA and are all RNAs together.

    Returns:
        Sorted row numbers.
    """
    from ..data.cluster_split import split_by_similarity

    if arguments.folds:
        fractions = {str(fold): 1 / arguments.folds for fold in range(1, arguments.folds + 1)}
        wanted = str(arguments.fold)
    else:
        fractions = {"train": 1 - arguments.validation_fraction, "validation": arguments.validation_fraction}
        wanted = "validation"
    if arguments.split == "similarity":
        similarity = {"k": arguments.similarity_k, "min_shared": arguments.similarity_min_shared}
        return split_by_similarity(dataset, fractions, seed, **similarity)[wanted]
    ends = np.round(np.cumsum(list(fractions.values())) * len(dataset)).astype(int)
    parts = np.split(np.random.default_rng(seed).permutation(len(dataset)), ends[:-1])
    rows = np.sort(parts[list(fractions).index(wanted)])
    if not len(rows):
        raise ValueError(f"{arguments.train_file} holds {len(dataset)} RNAs, too few to set some of them aside")
    return rows


def find_files(file: str) -> list[Path]:
    """Return the paths that an option names: one, or several with commas between them.

    Raises:
        FileNotFoundError: one of them does not exist.
    """
    paths = [Path(part) for part in file.split(",")]
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
    return paths


def load_labelled(
    file: str,
    arguments: DataArguments,
    task: Task,
    config: Any,
    stated: Collection[str] | None = None,
    reads_others: bool = False,
) -> Any:
    """Read one file into a `datasets.Dataset` with the task's columns, all labels checked.

    Args:
        file: as `DataArguments.train_file`.
        arguments: how to read it.
        task: says which columns there must be.
        config: of the model.
        stated: for training data, from which the configuration may learn how many classes there are: the fields of the
            configuration that somebody has set.
        reads_others: whether the tokenizer reads unknown letters as N.
    """
    training = task.training
    assert training is not None
    names = list(getattr(config, training.label_names)) if training.label_names else []
    options = {"compartments": names, "round_labels": arguments.round_labels} if names else {}
    dataset = load_table(file, arguments.data_format, **options)
    if is_long(dataset.column_names):
        values = task.prediction.columns(config) if task.prediction else ()
        dataset = group_nucleotides(dataset, {"labels", "label", *values}, file)
    dataset = find_labels(dataset, file, training, task.prediction, config)
    check_ratios(dataset, file, dict.fromkeys(("signal_to_noise", "reads"), len(names)) if names else {})
    dataset = _changed(training.prepare, dataset, file)
    missing = [column for column in training.columns if column not in dataset.column_names]
    if missing:
        raise ValueError(f"{file} {explain_missing(dataset, missing[0])}")
    if stated is not None:
        settle_classes(dataset, file, training, config, stated)
    dataset = number_classes(dataset, file, training, config)
    if layout := Layout.of(training, config):
        dataset = check_labels(dataset, file, layout)
    dataset = _changed(training.finish, dataset, file)
    check_sequences(dataset, file, reads_others)
    for column in {"labels", "coordinates"} & set(training.columns):
        # It stops at the first, mostly.
        if not any(is_measured(np.asarray(values, dtype=float)).any() for values in dataset[column]):
            raise ValueError(f"{file}: no entry of {column} was measured, all are NaN or -100: nothing to learn from")
    return dataset


def _changed(change: Callable[[Any], Any], dataset: Any, file: str) -> Any:
    """Return what a task makes of a data set; its complaints get the file's name."""
    try:
        return change(dataset)
    except ValueError as error:
        raise ValueError(f"{file}, {error}") from error


def load_table(file: str, data_format: str, **options: Any) -> Any:
    """Read one file into a `datasets.Dataset` with the columns that it has.

    Args:
        file: as `DataArguments.train_file`.
        data_format: as `DataArguments.data_format`.
        **options: of readers, such as `compartments`; one that the format's reader does not have is left out.
    """
    from datasets import load_dataset

    from ..data.readers import READERS

    paths = find_files(file)
    if data_format == "table":
        suffix = Path(file).suffix.lower().lstrip(".")
        kinds = {"parquet": "parquet", "json": "json", "jsonl": "json", "csv": "csv"}
        if suffix not in kinds:
            raise ValueError(f"{file}: a table is .parquet, .json, .jsonl or .csv; else name its data_format")
        dialect = csv_options(paths[0]) if suffix == "csv" else {}
        return load_dataset(kinds[suffix], data_files=file, split="train", **dialect)
    if data_format not in READERS:
        raise ValueError(f"data_format is {data_format!r}: choose table or one of {', '.join(READERS)}")
    reader = READERS[data_format]
    known = signature(reader).parameters
    return reader(*paths, **{name: value for name, value in options.items() if name in known})


def check_profiles(profiles: str) -> None:
    """Refuse what is none of `PROFILES`."""
    if profiles not in PROFILES:
        raise ValueError(f"profiles is {profiles!r}: choose one of {', '.join(PROFILES)}")


def choose_profiles(dataset: Any, profiles: str, file: str) -> np.ndarray:
    """Tell which RNAs to take by the quality of their profiles.

    Args:
        dataset: with a column `signal_to_noise`, one number or one for each channel, unless `profiles` is "all".
        profiles: one of `PROFILES`; "good": every profile is; "dirty": one at least is; "low_quality": none is.
        file: the data set's name in messages.

    Returns:
        (N,) booleans.
    """
    if profiles == "all":
        return np.ones(len(dataset), dtype=bool)
    if "signal_to_noise" not in dataset.column_names:
        raise ValueError(f"{file} lacks the column 'signal_to_noise', by which profiles {profiles!r} are chosen")
    ratios = np.array(dataset["signal_to_noise"][:], dtype=float).reshape(len(dataset), -1)
    is_good = ratios >= DataCollatorForReactivity.min_signal_to_noise  # NaN, for a profile that is missing, is not
    number = is_good.sum(1)
    return {"good": number == ratios.shape[1], "dirty": number > 0, "low_quality": number == 0}[profiles]
