"""Checks of each record, its sequence and its labels, before the first step."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.checks import find_problem, is_missing
from ..losses import problem_type_of
from ..measured import IGNORED_LABEL
from ..tasks import Training
from .labels import listed, place, replaced, shown

_ROWS = 1000
_TOKEN = re.compile(r"<[a-z]+>")
_UNKNOWN_CLASS = int(IGNORED_LABEL)


@dataclass(frozen=True)
class Layout:
    """What the labels of each record have to be.

    Attributes:
        column: their name.
        labels_of: see `Training`.
        width: how many numbers a sequence or a nucleotide has; None where they are classes.
        meaning: of these numbers, such as "one for each of 2A3, DMS".
        lowest: the smallest number allowed.
        highest: the largest one.
        too_high: what to do about a larger one.
        num_classes: of classes.
        one_partner: whether a nucleotide of a pair may be in no other.
    """

    column: str
    labels_of: str
    width: int | None = None
    meaning: str = ""
    lowest: float = -np.inf
    highest: float = np.inf
    too_high: str = ""
    num_classes: int = 0
    one_partner: bool = False

    @classmethod
    def of(cls, training: Training, config: Any) -> Layout | None:
        """Return that of a task and a model; None where it is left to the collator."""
        if not training.labels_of:
            return None
        (column,) = set(training.columns) - {"sequence"}
        if training.labels_of == "pairs":
            return cls(column, "pairs", one_partner=training.one_partner)
        if training.label_names:
            names = list(getattr(config, training.label_names))
            return cls(column, training.labels_of, len(names), f"one for each of {listed(names)}", training.lowest)
        if not training.has_classes:
            from ..structure.coordinates import MAX_COORDINATE

            remedy = "what is not resolved must be NaN (Kaggle's files say -1e18)"
            return cls(column, training.labels_of, 3, "x, y and z", -MAX_COORDINATE, MAX_COORDINATE, remedy)
        kind, count = problem_type_of(config), int(config.num_labels)
        if kind == "single_label_classification":
            return cls(column, training.labels_of, num_classes=count)
        meaning = f"as num_labels is {count}, which config sets"
        if kind == "regression":
            return cls(column, training.labels_of, count, meaning)
        return cls(column, training.labels_of, count, meaning, 0.0, 1.0, "a label of several is from 0 to 1")


def check_labels(dataset: Any, file: str, layout: Layout) -> Any:
    """Return a data set all of whose labels are as they must be, with classes as whole numbers.

    Raises:
        ValueError: one is not; the first is named.
    """
    import pyarrow as pa

    table = dataset.select_columns(["sequence", layout.column]).with_format("arrow")
    needs_rewriting = layout.width is None or layout.width == 1
    for start in range(0, len(dataset), _ROWS):
        part: pa.Table = table[start : start + _ROWS]
        sequences, labels = (part[name].combine_chunks() for name in ("sequence", layout.column))
        if _fit(labels, sequences, layout):
            continue
        rows = zip(sequences.to_pylist(), labels.to_pylist(), strict=True)
        for row, (sequence, value) in enumerate(rows, start=start):
            fault = "no sequence; drop the row" if not sequence else _fault(value, sequence, layout)
            if fault:
                raise ValueError(f"{place(dataset, file, row)}: {fault}")
        needs_rewriting |= layout.labels_of == "sequence"
    if not needs_rewriting:
        return dataset
    return replaced(dataset, layout.column, [_settled(value, layout) for value in dataset[layout.column]])


def _settled(value: Any, layout: Layout) -> Any:
    """Return classes and positions as whole numbers, missing numbers as NaN, and one number a nucleotide as a row."""
    if layout.labels_of == "pairs":
        return [[int(i), int(j)] for i, j in value]
    if layout.width is not None and layout.labels_of == "sequence":
        parts = value if isinstance(value, list) else [value]
        numbers = [np.nan if part is None else float(part) for part in parts]
        return numbers if isinstance(value, list) else numbers[0]
    if layout.width == 1:
        return [part if isinstance(part, list) else [part] for part in value]
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return _whole(value)


def _whole(value: Any) -> int:
    return int(value) if value is not None and np.isfinite(value) else _UNKNOWN_CLASS


def _fit(labels: Any, sequences: Any, layout: Layout) -> bool:
    """Tell quickly whether all rows of numbers have the right shape; False where that takes a closer look."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if layout.labels_of != "nucleotides" or layout.width is None or np.isfinite(layout.highest):
        return False
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(test(labels.type) for test in lists) or not any(test(labels.type.value_type) for test in lists):
        return False
    if not pa.types.is_floating(labels.type.value_type.value_type) or np.isfinite(layout.lowest):
        return False
    inner = labels.flatten()
    if labels.null_count or inner.null_count or sequences.null_count:
        return False
    lengths = pc.equal(pc.list_value_length(labels), pc.cast(pc.utf8_length(sequences), pa.int64()))
    widths = pc.equal(pc.list_value_length(inner), layout.width)
    return bool(pc.all(lengths).as_py() and pc.all(widths).as_py())


def _fault(value: Any, sequence: str, layout: Layout) -> str | None:
    """Say what is wrong with an RNA's labels, or None."""
    column = layout.column
    if value is None:
        what = "write [] for an RNA without any" if layout.labels_of == "pairs" else "drop the row or fill it in"
        return f"no {column}; {what}"
    if layout.labels_of == "pairs":
        return _fault_of_pairs(value, len(sequence), layout.one_partner)
    check: Callable[[Any, Layout], str | None] = _fault_of_class if layout.width is None else _fault_of_numbers
    if layout.labels_of == "sequence":
        return check(value, layout)
    length = len(sequence)
    if "<" in sequence:  # tokens such as <mask>, which the tokenizer counts
        return None
    if not isinstance(value, list):
        return f"{column} are {shown(value)}: a list is needed, with an entry for each of the {length} nucleotides"
    if len(value) != length:
        is_turned = len(value) == layout.width and all(isinstance(part, list) and len(part) == length for part in value)
        hint = "; turn the table, which has a row for each channel" if is_turned else ""
        one = "entry" if layout.width is None else "row"
        rows = "rows" if layout.width is not None else "entries"
        return (
            f"{length} nucleotides but {len(value)} {rows} of {column}: one {one} for each nucleotide is needed{hint}"
        )
    for position, part in enumerate(value, start=1):
        if fault := check(part, layout):
            return f"nucleotide {position}: {fault}"
    return None


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _fault_of_numbers(value: Any, layout: Layout) -> str | None:
    width, column = layout.width, layout.column
    if layout.width == 1 and isinstance(value, int | float):
        value = [value]
    if not isinstance(value, list):
        return f"{column} are {shown(value)}: {width} numbers are needed, {layout.meaning}"
    if len(value) != width:
        return f"{len(value)} {column} where {width} are needed, {layout.meaning}; correct or drop the record"
    for number in value:
        if not _is_number(number):
            return f"{shown(number)} among {column} is no number: {width} numbers are needed, {layout.meaning}"
        if number is None or not np.isfinite(number) or number == IGNORED_LABEL:
            continue
        if number < layout.lowest and layout.lowest == 0 and not np.isfinite(layout.highest):
            return f"{column} hold a negative number ({number:g}); write 0 or more, NaN for what was not measured"
        if not layout.lowest <= number <= layout.highest:
            return f"{number:g} among {column} is out of range: {layout.too_high}"
    return None


def _fault_of_class(value: Any, layout: Layout) -> str | None:
    count = layout.num_classes
    is_part = layout.labels_of == "nucleotides"
    if isinstance(value, list):
        return (
            f"labels are {shown(value)}: one class is needed, a whole number from 0; for numbers to predict, "
            f'--config \'{{"problem_type": "regression", "num_labels": {max(len(value), 1)}}}\''
        )
    if isinstance(value, str) or not _is_number(value):
        return f"{shown(value)} is no class"
    if value is None or not np.isfinite(value):
        return None if is_part else "no class; drop the row, or write -100 for unknown"
    if value != int(value):
        return (
            f"label {value:g} is no class, which are whole numbers from 0; for numbers to predict, --config "
            '\'{"problem_type": "regression", "num_labels": 1}\''
        )
    if value == _UNKNOWN_CLASS:
        return None
    if value < 0:
        return f"class {int(value)}: classes count from 0; write -100 for unknown"
    if value >= count:
        return (
            f"class {int(value)}, but the model has {count} (num_labels), which count from 0: --config "
            f"'{{\"num_labels\": {int(value) + 1}}}' if there are more"
        )
    return None


def _is_whole(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and bool(np.isfinite(value)) and value == np.round(value)


def _fault_of_pairs(value: Any, length: int, one_partner: bool) -> str | None:
    if not isinstance(value, list):
        return f"pairs are {shown(value)}: a list of 0-based [i, j] is needed"
    for pair in value:
        is_pair = isinstance(pair, list) and len(pair) == 2
        if not is_pair or not all(map(_is_whole, pair)):
            return f"{shown(pair)} is no pair: two whole numbers [i, j] are needed, which count from 0"
        outside = [end for end in pair if not 0 <= end < length]
        if outside:
            return f"pairs position {int(outside[0])}, but has {length} nucleotides (positions count from 0)"
        if pair[0] == pair[1]:
            return f"pairs position {int(pair[0])} with itself"
    partners: dict[int, int] = {}
    for i, j in value if one_partner else ():
        for end, other in ((int(i), int(j)), (int(j), int(i))):
            if partners.setdefault(end, other) != other:
                both = " and ".join(map(str, sorted((partners[end], other))))
                return f"pairs position {end} with both {both}; keep one of them, or train for contact-prediction"
    return None


def check_ratios(dataset: Any, file: str, widths: Mapping[str, int]) -> None:
    """Refuse numbers beside the labels, such as `signal_to_noise`, that are not one or one for each channel.

    Args:
        dataset: perhaps with these columns.
        file: its name in messages.
        widths: how many channels there are, by the column's name.
    """
    for column, width in widths.items():
        if column not in dataset.column_names:
            continue
        for row, value in enumerate(dataset[column]):
            numbers = value if isinstance(value, list) else [value]
            if len(numbers) not in (1, width) or not all(map(_is_number, numbers)):
                raise ValueError(
                    f"{place(dataset, file, row)}: {column} is {shown(value)}: a number is needed, or {width}, one for "
                    "each channel"
                )


def check_sequences(dataset: Any, file: str, reads_others: bool = False) -> None:
    """Refuse what is no RNA, before a model is loaded.

    Args:
        dataset: with a column `sequence`; tokens in angle brackets, such as `<mask>`, may stand among the letters.
        file: its name in messages.
        reads_others: whether the tokenizer reads unknown letters as N.

    Raises:
        ValueError: a sequence is missing, no text, or holds letters that are none of an RNA.
    """
    for row, sequence in enumerate(dataset["sequence"]):
        if not isinstance(sequence, str):
            what = "no sequence; drop the row" if sequence is None else f"the sequence is {shown(sequence)}, no text"
            raise ValueError(f"{place(dataset, file, row)}: {what}")
        letters = _TOKEN.sub("N", sequence)
        problem = find_problem(letters)
        if problem is not None and not (reads_others and letters and not is_missing(letters)):
            raise ValueError(f"{place(dataset, file, row)}: {problem}; correct or drop the row")
