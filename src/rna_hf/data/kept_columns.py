"""Columns of an input that are written beside the predictions: their names, and a type that fits all their values."""

import json
import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from .records import SequenceRecord

if TYPE_CHECKING:
    import pyarrow as pa

_INTEGERS = range(-(2**63), 2**63)


class KeptColumns:
    """The other columns of an input's records, in the order in which they are met.

    A column of whole numbers, numbers or truth values keeps that type; any other, also a mixed one, becomes text, lists
    as JSON. Text files hold text alone.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = {}

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return list(self._kinds)

    def note(self, record: SequenceRecord) -> None:
        """Take notice of a record's columns and of their types."""
        for name, value in record.others.items():
            kinds = self._kinds.setdefault(name, set())
            if value is not None:
                kinds.add(_kind(value))

    def check(self, source: str, taken: Collection[str]) -> None:
        """Make sure that there are columns, and that none has a name that is needed.

        Args:
            source: the input's name in messages.
            taken: names of the columns of the predictions.

        Raises:
            ValueError: there are none, or one has to be renamed.
        """
        if not self._kinds:
            raise ValueError(
                f"{source} has no columns beside 'id' and 'sequence' that could be kept; leave out keep_columns"
            )
        if both := [name for name in self._kinds if name in taken]:
            raise ValueError(
                f"{source}: the column {both[0]!r} is called as one of the predictions is; rename it, or leave out "
                "keep_columns"
            )

    def fields(self) -> list["pa.Field"]:
        """Return the columns and their types."""
        import pyarrow as pa

        types = {"integer": pa.int64(), "real": pa.float64(), "truth": pa.bool_(), "text": pa.string()}
        return [pa.field(name, types[self._type(name)]) for name in self._kinds]

    def values(self, record: SequenceRecord) -> dict[str, Any]:
        """Return a record's values in the types of `fields`."""
        return {
            name: _as_text(record.others.get(name)) if self._type(name) == "text" else record.others.get(name)
            for name in self._kinds
        }

    def _type(self, name: str) -> str:
        kinds = self._kinds[name]
        if len(kinds) == 1:
            return next(iter(kinds))
        return "real" if kinds == {"integer", "real"} else "text"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int) and value in _INTEGERS:
        return "integer"
    if isinstance(value, float) and math.isfinite(value):
        return "real"
    return "text"


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=str) if isinstance(value, (list, dict)) else str(value)
