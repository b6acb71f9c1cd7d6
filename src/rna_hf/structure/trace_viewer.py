"""A web page that shows predicted C1' traces in 3D: one file, without network or library."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..atomic_files import replace_text
from .coordinates import check_trace
from .dotbracket import normalise_pairs

TEMPLATE = Path(__file__).parent / "templates" / "trace_viewer.html"


def write_viewer(
    path: str | Path,
    samples: ArrayLike,
    sequence: str,
    title: str,
    pairs: Iterable[tuple[int, int]] | None = None,
) -> None:
    """Write an HTML page with a viewer of the traces.

    Args:
        path: the file; replaced atomically.
        samples: (S, L, 3) or (L, 3), angstrom, written with two decimals; NaN where missing. The page shows one sample
            at a time, turned as the coordinates are: superpose the samples first if they should be compared.
        sequence: L letters.
        title: heading of the page, plain text.
        pairs: base pairs as 0-based positions, drawn as thin lines.

    Raises:
        ValueError: shapes do not fit, or a pair lies outside the sequence.
    """
    length = len(sequence)
    values = np.asarray(samples, dtype=np.float64)
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[1:] != (length, 3) or 0 in values.shape:
        raise ValueError(
            f"samples have shape {np.shape(samples)}; ({length}, 3) or (samples, {length}, 3) is needed for a "
            f"sequence of {length} nucleotides"
        )
    data = {
        "sequence": sequence,
        "samples": [_round_rows(check_trace(trace, f"sample {index}")) for index, trace in enumerate(values)],
        "pairs": normalise_pairs(pairs or (), length),
    }
    # "<" could end the script element early; as an escape it means the same in JSON.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    # One pass over the template, so that a title that looks like a placeholder stays a title.
    parts = {"title": html.escape(title), "data": text}
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], TEMPLATE.read_text(encoding="utf-8"))
    replace_text(Path(path), page)


def _round_rows(trace: np.ndarray) -> list[list[float] | None]:
    """Turn a trace into JSON values with two decimals, null where missing."""
    return [None if np.isnan(row[0]) else row for row in (trace.round(2) + 0.0).tolist()]  # + 0.0 turns -0.0 into 0.0
