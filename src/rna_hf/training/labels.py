"""The labels of a table's RNAs: read as they are written in it, numbered where they are classes, and checked.

All of it happens before the first step. A complaint names the file, the row (from 1, without the header), the id if
there is one, and what to do; it shows the beginning of a value, never a whole cell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..losses import problem_type_of
from ..measured import IGNORED_LABEL
from ..structure.dotbracket import parse_dotbracket
from ..tasks import Prediction, Training

# Other names that a column of labels goes by: taken, and only spoken of.
_SAME_NAME = ("label",)
_OTHER_NAMES = ("y", "target", "targets", "class", "classes", "category", "value")

_MAX_SHOWN = 40
_MAX_NAMES = 12
_ROWS = 1000
# A column of text in which each of so many RNAs has another class is no column of classes.
_MAX_UNIQUE = 20
_DOT_BRACKETS = frozenset(".()[]{}<>")
_UNKNOWN_CLASS = int(IGNORED_LABEL)
_CLASSES_STATED = frozenset({"num_labels", "id2label", "label2id"})


def shown(value: Any) -> str:
    """Return the beginning of a value, for a message."""
    text = repr(value[:_MAX_SHOWN] if isinstance(value, str | list | tuple) else value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def listed(names: Sequence[Any]) -> str:
    """Return names with commas between them, the first few of many."""
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(str(name)[:_MAX_SHOWN] for name in names[:_MAX_NAMES]) + more


def place(dataset: Any, file: str, row: int) -> str:
    """Return what to call a record in messages: the file, the row from 1, and the id if there is that column."""
    name = f" (id {str(dataset[row]['id'])[:60]!r})" if "id" in dataset.column_names else ""
    return f"{file}, row {row + 1}{name}"


def find_labels(dataset: Any, file: str, training: Training, prediction: Prediction | None, config: Any) -> Any:
    """Return a data set whose labels have the name and the type that a task asks for.

    Where they are missing, they are taken from a column `label`, from the columns that `rna-hf predict` writes for the
    task, or, if they are pairs, from a column `structure`. Text, as a CSV holds it, becomes numbers and lists.

    Raises:
        ValueError: a cell can't be read.
    """
    has = dataset.column_names
    column = next((name for name in training.columns if name != "sequence"), "")
    if not column or "sequence" not in has:
        return dataset
    if column not in has:
        names = [name for name in has if name.lower() == column or (column == "labels" and name.lower() in _SAME_NAME)]
        kinds = prediction.columns(config) if prediction else {}
        parts = [name for name, kind in kinds.items() if kind in ("numbers", "number")]
        if names:
            dataset = dataset.rename_column(names[0], column)
        elif column == "pairs" and "structure" in has:
            dataset = _replaced(dataset, column, list(_pairs_of_structures(dataset, file)))
        elif column != "pairs" and parts and set(parts) <= set(has):
            for part in parts:
                dataset = _with_values(dataset, part, file)
            dataset = _replaced(dataset, column, list(_stacked(dataset, parts, training, file)))
    for name in {column, "signal_to_noise", "reads"} & set(dataset.column_names):
        dataset = _with_values(dataset, name, file)
    return dataset


def explain_missing(dataset: Any, column: str) -> str:
    """Say which columns there are in place of a missing one."""
    has = dataset.column_names
    others = [name for name in has if name.lower() in _OTHER_NAMES]
    remedy = f"; rename {others[0][:_MAX_SHOWN]!r} to {column!r}" if others and column == "labels" else ""
    return f"lacks the column {column!r}; it has {listed(has)}{remedy}"


def _replaced(dataset: Any, column: str, values: list[Any]) -> Any:
    if column in dataset.column_names:
        dataset = dataset.remove_columns([column])
    return dataset.add_column(column, values)


def _pairs_of_structures(dataset: Any, file: str) -> Iterator[list[list[int]]]:
    for row, (structure, sequence) in enumerate(zip(dataset["structure"], dataset["sequence"])):
        where = place(dataset, file, row)
        if not isinstance(structure, str) or len(structure) != len(sequence or ""):
            raise ValueError(
                f"{where}: the structure is {shown(structure)}; a dot-bracket as long as the sequence "
                f"({len(sequence or '')}) is needed"
            )
        try:
            pairs = parse_dotbracket(structure)
        except ValueError as error:
            raise ValueError(f"{where}: {str(error)[:200]}") from error
        yield [list(map(int, pair)) for pair in pairs]


def _stacked(dataset: Any, parts: Sequence[str], training: Training, file: str) -> Iterator[list[Any]]:
    for row, values in enumerate(zip(*(dataset[part] for part in parts))):
        if training.labels_of == "sequence":
            yield list(values)
            continue
        lengths = {len(part) if isinstance(part, list) else 0 for part in values}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(
                f"{place(dataset, file, row)}: {listed(parts)} must be lists of numbers, one for each nucleotide"
            )
        yield [list(numbers) for numbers in zip(*values, strict=True)]


# ----- text into values


def _with_values(dataset: Any, column: str, file: str) -> Any:
    """Return a data set whose column holds numbers, lists and names of classes in place of text for all of these."""
    if not _holds_text(dataset.features[column]):
        return dataset
    values = []
    for row, cell in enumerate(dataset[column]):
        try:
            values.append(_read(cell))
        except ValueError as error:
            raise ValueError(f"{place(dataset, file, row)}: {column} {error}") from error
    kinds = [_kind(value) for value in values]
    found = {kind for kind in kinds if kind}
    if len(found) > 1:
        usual = max(sorted(found), key=kinds.count)
        row = next(row for row, kind in enumerate(kinds) if kind and kind != usual)
        raise ValueError(
            f"{place(dataset, file, row)}: {column} are {shown(values[row])}, where most are {usual}; write all alike"
        )
    return _replaced(dataset, column, values)


def _holds_text(feature: Any) -> bool:
    if isinstance(feature, list):
        feature = feature[0]
    if type(feature).__name__ == "Json":  # what `datasets` makes of rows that are not alike
        return True
    inner = getattr(feature, "feature", None)
    return _holds_text(inner) if inner is not None else getattr(feature, "dtype", "") in ("string", "large_string")


def _read(cell: Any) -> Any:
    """Return what a cell's text stands for: a number, a list, None, or the text itself, the name of a class."""
    if isinstance(cell, list):
        return [_read(part) for part in cell]
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if not text or text.lower() in ("null", "none"):
        return None
    if text in ("[]", "()") or (text[0] in "[(" and not set(text) <= _DOT_BRACKETS):
        # As Python writes lists: nan, None and tuples.
        plain = re.sub(r"\b(?:np\.)?nan\b", "NaN", text.replace("(", "[").replace(")", "]"), flags=re.IGNORECASE)
        plain = re.sub(r"\binf\b", "Infinity", plain.replace("None", "null"), flags=re.IGNORECASE)
        plain = re.sub(r",\s*\]", "]", plain)
        try:
            return _read(json.loads(plain.replace("'", '"')))
        except json.JSONDecodeError as error:
            raise ValueError(f"are {shown(text)}, which is no list: write JSON, such as [0.1, NaN]") from error
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


def _kind(value: Any) -> str:
    """Say what a value is, all of a list being alike; nothing of what is missing or empty."""
    if isinstance(value, list):
        kinds = {_kind(part) for part in value} - {""}
        return f"lists of {' and '.join(sorted(kinds))}" if kinds else ""
    if value is None:
        return ""
    return "text" if isinstance(value, str) else "numbers"


# ----- classes


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
    """

    column: str
    labels_of: str
    width: int | None = None
    meaning: str = ""
    lowest: float = -np.inf
    highest: float = np.inf
    too_high: str = ""
    num_classes: int = 0

    @classmethod
    def of(cls, training: Training, config: Any) -> Layout | None:
        """Return that of a task and a model; None where it is left to the collator."""
        if not training.labels_of:
            return None
        (column,) = set(training.columns) - {"sequence"}
        if training.labels_of == "pairs":
            return cls(column, "pairs")
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


def settle_classes(dataset: Any, file: str, training: Training, config: Any, stated: Collection[str]) -> None:
    """Let a model have the classes of its training data, unless somebody has said how many there are.

    Classes with names are collected, in alphabetical order, into the configuration's `id2label`; those that are whole
    numbers must then be all of 0, 1, ... up to the largest.

    Args:
        dataset: the training data, see `find_labels`.
        file: its name in messages.
        training: the task's.
        config: of the model; changed.
        stated: the fields of the configuration that somebody has set.

    Raises:
        ValueError: the classes don't count from 0, are not as many as was said, or are none.
    """
    if not training.has_classes:
        return
    are_classes = problem_type_of(config) == "single_label_classification"
    if not are_classes and {"problem_type", "num_labels"} & set(stated):
        return
    values = [value for _, _, value in _leaves(dataset["labels"], training)]
    names = sorted({value for value in values if isinstance(value, str)})
    is_stated = bool(_CLASSES_STATED & set(stated))
    if names:
        known = [config.id2label[index] for index in sorted(config.id2label)]
        if set(names) <= set(known):
            return
        if {"id2label", "label2id"} & set(stated):
            return  # the one that is unknown is named with its row
        if len(names) == 1:
            raise ValueError(f"{file}: all labels are {shown(names[0])}; two classes at least are needed")
        if training.labels_of == "sequence" and len(names) == len(values) > _MAX_UNIQUE:
            raise ValueError(f"{file}: labels are text, another one for each RNA ({listed(names)}): no classes")
        if is_stated and len(names) != config.num_labels:
            raise ValueError(
                f"{file} has {len(names)} classes ({listed(names)}), but num_labels is {config.num_labels}: leave it "
                "out of config"
            )
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in enumerate(names)}
        return
    if is_stated or not are_classes:
        return
    numbers = np.array([value for value in values if isinstance(value, int | float)], dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers) or (numbers != np.round(numbers)).any():
        return
    classes = np.unique(numbers[numbers >= 0]).astype(int)
    if not len(classes) or classes[-1] < config.num_labels:
        return
    if classes[0] > 0:
        lowest, highest = int(classes[0]), int(classes[-1])
        row = next(row for row, _, value in _leaves(dataset["labels"], training) if value == highest)
        raise ValueError(
            f"{place(dataset, file, row)}: class {highest}, where the smallest is {lowest}: classes count from 0; "
            f"subtract {lowest}, or set how many there are: --config '{{\"num_labels\": {highest + 1}}}'"
        )
    missing = sorted(set(range(min(int(classes[-1]), len(classes)))) - set(classes.tolist()))
    if missing:
        row = next(row for row, _, value in _leaves(dataset["labels"], training) if value == classes[-1])
        raise ValueError(
            f"{place(dataset, file, row)}: class {classes[-1]}, but no RNA has class {missing[0]}: number the classes "
            f"without gaps, or set how many there are: --config '{{\"num_labels\": {classes[-1] + 1}}}'"
        )
    config.num_labels = len(classes)


def number_classes(dataset: Any, file: str, training: Training, config: Any) -> Any:
    """Return a data set whose named classes are numbers, by the configuration's `id2label`.

    Raises:
        ValueError: a class is none of these.
    """
    if not training.has_classes or not _holds_text(dataset.features["labels"]):
        return dataset
    # The table of names wins: a configuration may have been given one without the other.
    numbers = {str(name): int(index) for index, name in config.id2label.items()}
    for row, _, value in _leaves(dataset["labels"], training):
        if isinstance(value, str) and value not in numbers:
            raise ValueError(
                f"{place(dataset, file, row)}: {shown(value)} is no class of the training data or the model, which are "
                f"{listed(list(numbers))}"
            )

    def number(value: Any) -> Any:
        return [number(part) for part in value] if isinstance(value, list) else numbers.get(value, value)

    return _replaced(dataset, "labels", [number(value) for value in dataset["labels"]])


def _leaves(column: Any, training: Training) -> Iterator[tuple[int, int, Any]]:
    """Yield row, position and value of labels that stand for a class; none of those that are lists of numbers."""
    for row, value in enumerate(column):
        parts = value if training.labels_of == "nucleotides" else [value]
        for position, part in enumerate(parts if isinstance(parts, list) else ()):
            if not isinstance(part, list):
                yield row, position, part


# ----- checks


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
    return _replaced(dataset, layout.column, [_settled(value, layout) for value in dataset[layout.column]])


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
        return _fault_of_pairs(value, len(sequence))
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
    if isinstance(value, str):
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


def _fault_of_pairs(value: Any, length: int) -> str | None:
    if not isinstance(value, list):
        return f"pairs are {shown(value)}: a list of 0-based [i, j] is needed"
    for pair in value:
        is_pair = isinstance(pair, list) and len(pair) == 2
        if not is_pair or not all(isinstance(end, int | float) and end == np.round(end) for end in pair):
            return f"{shown(pair)} is no pair: two whole numbers [i, j] are needed, which count from 0"
        outside = [end for end in pair if not 0 <= end < length]
        if outside:
            return f"pairs position {int(outside[0])}, but has {length} nucleotides (positions count from 0)"
        if pair[0] == pair[1]:
            return f"pairs position {int(pair[0])} with itself"
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
