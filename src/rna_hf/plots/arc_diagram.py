"""Secondary structures as arcs over the sequence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..structure import parse_dotbracket
from .canvas import TITLE_HEIGHT, Canvas, head_of, letters_of

# Pairs at the lower end are the least sure ones that are predicted at all.
_COLORS = "viridis_r"
_LOWEST = 0.5
_POINTS_OF_ARC = 41

# All sizes below in inches.
_MAX_WIDTH = 12.5
_MIN_WIDTH = 3.75
_MAX_CELL = 0.125
_LEAST_CELL_WITH_LETTER = 0.075
_MAX_ARC_HEIGHT = 2.4
_MIN_ARC_HEIGHT = 0.2
_LETTER_HEIGHT = 0.17
_TICK_HEIGHT = 0.22
_RNA_GAP = 0.16
_LEFT = 0.3


def plot_arc_diagrams(rows: Sequence[Mapping[str, Any]], path: str | Path, title: str | None = None) -> None:
    """Draw for each RNA an arc for each base pair, coloured by its probability; arcs that cross are a pseudoknot.

    Args:
        rows: `id`, `sequence`, `structure` (dot-bracket), `confidence` (0 to 1) and `pair_probabilities` (0 to 1, for
            the pairs in the order of `parse_dotbracket`). An RNA is drawn in one line, whatever its length.
        path: file to write, PNG; replaced atomically.
        title: a line over the figure.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    norm = Normalize(_LOWEST, 1.0)
    longest = max(len(row["sequence"]) for row in rows)
    width = min(_MAX_WIDTH, max(_MIN_WIDTH, longest * _MAX_CELL))
    cells = [min(_MAX_CELL, width / len(row["sequence"])) for row in rows]
    all_pairs = [np.array(parse_dotbracket(row["structure"]), dtype=np.int64).reshape(-1, 2) for row in rows]
    arc_heights = [_arc_height(pairs, cell) for pairs, cell in zip(all_pairs, cells)]
    head = TITLE_HEIGHT if title else 0.0
    foot = _LETTER_HEIGHT + _TICK_HEIGHT + _RNA_GAP
    height = head + sum(TITLE_HEIGHT + arc_height + foot for arc_height in arc_heights)
    canvas = Canvas(width, height, _LEFT, title)

    y = head
    for row, pairs, cell, arc_height in zip(rows, all_pairs, cells, arc_heights):
        pairs_text = f"{len(pairs):,} pair{'' if len(pairs) == 1 else 's'}"
        canvas.write_head(f"{head_of(row)}   {pairs_text}   confidence {row['confidence']:.2f}", y)
        y += TITLE_HEIGHT + arc_height
        right = len(row["sequence"]) * cell
        canvas.draw_outline([0, right], [y, y])
        if len(pairs):
            arcs = _arcs(pairs, cell, arc_height, y)
            lines = LineCollection(list(arcs), cmap=_COLORS, norm=norm, linewidths=np.clip(cell * 12, 0.5, 1.3))
            lines.set_array(np.asarray(row["pair_probabilities"], dtype=np.float64))
            canvas.axes.add_collection(lines, autolim=False)
        ticks_y = y
        if cell >= _LEAST_CELL_WITH_LETTER:
            for column, letter in enumerate(letters_of(row)):
                canvas.write_letter(letter, (column + 0.5) * cell, y + _LETTER_HEIGHT / 2)
            ticks_y += _LETTER_HEIGHT
        canvas.draw_positions(len(row["sequence"]), cell, ticks_y)
        y += foot
    canvas.draw_color_bar(norm, _COLORS, "probability that the two nucleotides pair", extend="neither")
    canvas.save(Path(path))


def _arc_height(pairs: np.ndarray, cell: float) -> float:
    """Return the height of the widest of the arcs (pairs, 2), in inches: half of its width, or less if it is wide."""
    if not len(pairs):
        return _MIN_ARC_HEIGHT
    widest = float((pairs[:, 1] - pairs[:, 0]).max()) * cell
    return min(_MAX_ARC_HEIGHT, max(_MIN_ARC_HEIGHT, widest / 2))


def _arcs(pairs: np.ndarray, cell: float, height: float, y: float) -> np.ndarray:
    """Return half ellipses over the line at y, (pairs, points, 2), in inches; the widest has the full height."""
    angles = np.linspace(0, np.pi, _POINTS_OF_ARC)
    spans = (pairs[:, 1] - pairs[:, 0])[:, None]
    centres = (pairs.sum(axis=1)[:, None] + 1) / 2 * cell
    x = centres + spans / 2 * cell * np.cos(angles)
    return np.stack([x, y - height * spans / spans.max() * np.sin(angles)], axis=-1)
