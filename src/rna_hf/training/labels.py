"""The labels of a table's RNAs, read as they are written in it: `classes` numbers them, `label_checks` checks them.

All of it happens before the first step. A complaint names the file, the row (from 1, without the header), the id if
there is one, and what to do; it shows the beginning of a value, never a whole cell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..structure.dotbracket import parse_dotbracket
from ..tasks import Prediction, Training

# Other names that a column of labels goes by: taken, and only spoken of.
_SAME_NAME = ("label",)
_OTHER_NAMES = ("y", "target", "targets", "class", "classes", "category", "value")

_MAX_SHOWN = 40
_MAX_NAMES = 12
_DOT_BRACKETS = frozenset(".()[]{}<>")


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
        if len(names) > 1:
            raise ValueError(f"{file} has the columns {listed(names)}: which of them holds the labels? Keep one")
        if names:
            dataset = dataset.rename_column(names[0], column)
        elif column == "pairs" and "structure" in has:
            dataset = replaced(dataset, column, list(_pairs_of_structures(dataset, file)))
        elif column != "pairs" and parts and set(parts) <= set(has):
            for part in parts:
                dataset = _with_values(dataset, part, file)
            dataset = replaced(dataset, column, list(_stacked(dataset, parts, training, file)))
    elif others := [name for name in has if name in _SAME_NAME and column == "labels"]:
        raise ValueError(f"{file} has the columns {column} and {others[0]}: which of them holds the labels? Keep one")
    for name in {column, "signal_to_noise", "reads"} & set(dataset.column_names):
        dataset = _with_values(dataset, name, file)
    return dataset


def explain_missing(dataset: Any, column: str) -> str:
    """Say which columns there are in place of a missing one."""
    has = dataset.column_names
    others = [name for name in has if name.lower() in _OTHER_NAMES]
    remedy = f"; rename {others[0][:_MAX_SHOWN]!r} to {column!r}" if others and column == "labels" else ""
    return f"lacks the column {column!r}; it has {listed(has)}{remedy}"


def replaced(dataset: Any, column: str, values: list[Any]) -> Any:
    """Return a data set with a column of these values, in place of one of that name."""
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
    if not holds_text(dataset.features[column]):
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
    return replaced(dataset, column, values)


def holds_text(feature: Any) -> bool:
    """Tell whether a column of `datasets` holds text, or lists of it."""
    if isinstance(feature, list):
        feature = feature[0]
    if type(feature).__name__ == "Json":  # what `datasets` makes of rows that are not alike
        return True
    inner = getattr(feature, "feature", None)
    return holds_text(inner) if inner is not None else getattr(feature, "dtype", "") in ("string", "large_string")


def _read(cell: Any) -> Any:
    """Return what a cell's text stands for: a number, a list, None, or the text itself, the name of a class."""
    if isinstance(cell, bool):
        return int(cell)
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
