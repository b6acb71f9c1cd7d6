"""Tables and lists in memory of whatever Python has, as a notebook may hand them to a prediction."""

from __future__ import annotations

import datetime
import decimal
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .mutations import IUPAC, ODD_FIELDS


def odd_value(rng: random.Random) -> Any:
    """Return something that is mostly no sequence."""
    kind = rng.randrange(16)
    if kind < 5:
        return "".join(rng.choices(IUPAC[:4], k=rng.randint(1, 30)))
    if kind == 5:
        return rng.choice(ODD_FIELDS)
    if kind == 6:
        return [odd_value(rng) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {rng.choice(("sequence", "id", "x", 3, None)): odd_value(rng) for _ in range(rng.randrange(3))}
    if kind == 8:
        return tuple(odd_value(rng) for _ in range(rng.randrange(4)))
    return rng.choice(
        (
            *(
                None,
                0,
                -1,
                10**400,
                1.5,
                float("nan"),
                float("inf"),
                True,
                1j,
                b"ACGU",
                bytearray(b"ACGU"),
                ...,
                object,
            ),
            *(
                np.str_("ACGU"),
                np.bytes_(b"ACGU"),
                np.int64(3),
                np.float32("nan"),
                np.datetime64("NaT"),
                np.array("GA"),
            ),
            *(
                np.array(["GA", "CU"]),
                np.zeros((2, 2)),
                np.array([]),
                datetime.date(2024, 1, 1),
                decimal.Decimal("NaN"),
            ),
            *(range(3), {"ACGU"}, memoryview(b"ACGU"), Path("ACGU"), ValueError("x"), "\ud800", "A\0C", int, len),
        )
    )


def odd_input(rng: random.Random) -> Any:
    """Return a list, an iterator, a mapping or a table with odd values in it."""
    values = [odd_value(rng) for _ in range(rng.randrange(6))]
    names = rng.sample(("sequence", "Sequence", "id", "x", 3, None, "sequence "), rng.randint(1, 3))
    columns = {name: [odd_value(rng) for _ in range(rng.choice((3, 3, 3, 2, 0)))] for name in names}
    return rng.choice(_KINDS)(values, columns, rng)


def _frame(values: list, columns: dict, rng: random.Random) -> Any:
    import pandas as pd

    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in columns.items()})


def _arrow(values: list, columns: dict, rng: random.Random) -> Any:
    import pyarrow as pa

    kind = rng.choice((pa.string(), pa.large_string(), pa.binary(), pa.int64(), pa.null(), pa.float32()))
    samples = {pa.string(): ["GA", None], pa.large_string(): ["GA", ""], pa.binary(): [b"GA", b"\xff"]}
    column = pa.array(samples.get(kind, [None, None]), type=kind)
    return pa.table([column] * len(columns), names=[str(name) for name in columns])


_KINDS: tuple[Callable[[list, dict, random.Random], Any], ...] = (
    lambda values, columns, rng: values,
    lambda values, columns, rng: values,
    lambda values, columns, rng: iter(values),
    lambda values, columns, rng: tuple(values),
    lambda values, columns, rng: [columns],
    lambda values, columns, rng: columns,
    lambda values, columns, rng: [("a", value) for value in values],
    lambda values, columns, rng: odd_value(rng),
    lambda values, columns, rng: np.array([ascii(value) for value in values], dtype=rng.choice((object, "U5", "S5"))),
    lambda values, columns, rng: {"sequence": odd_value(rng), "id": odd_value(rng)},
    lambda values, columns, rng: [{"sequence": value, "id": odd_value(rng)} for value in values],
    _frame,
    _arrow,
)
