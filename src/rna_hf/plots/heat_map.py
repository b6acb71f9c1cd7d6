"""A heat map of values for each nucleotide."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .canvas import TITLE_HEIGHT, Canvas, head_of, letters_of

_COLORS = "YlOrRd"
# One line of a figure holds this many nucleotides at most; a longer RNA goes on in the next line.
_LINE_LENGTH = 100
# Of an RNA longer than this, in nucleotides, the first part is drawn.
_MAX_DRAWN = 600
# Without limits, the colour scale ends where this percentage of the drawn values lies below.
_SCALE_PERCENTILE = 95

# All sizes below in inches.
_CELL = 0.125
_STRIP_HEIGHT = 0.17
_LETTER_HEIGHT = 0.17
_TICK_HEIGHT = 0.17
_LINE_GAP = 0.10
_RNA_GAP = 0.16
_LEAST_LEFT = 0.62
_LABEL_LETTER = 0.066


def plot_heat_map(
    rows: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    path: str | Path,
    meaning: str,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw a heat map: per RNA its letters, numbered positions and one strip for each column.

    Args:
        rows: `id`, `sequence` and, for each column, a value for each nucleotide.
        labels: names of the columns, drawn from top to bottom, and what to write beside them.
        path: file to write, PNG; replaced atomically.
        meaning: what the values are, with their unit, for the colour bar.
        title: a line over the figure.
        limits: ends of the colour scale; by default 0 and the 95th percentile of the drawn values. Values outside get
            the colour of the nearer end.
    """
    from matplotlib.colors import Normalize

    drawn = [np.array([row[name][:_MAX_DRAWN] for name in labels], dtype=np.float32) for row in rows]
    norm = Normalize(*(limits or (0.0, _scale_end(drawn))))
    width = max(30, min(_LINE_LENGTH, max(len(row["sequence"]) for row in rows)))
    line_height = _TICK_HEIGHT + _LETTER_HEIGHT + len(labels) * _STRIP_HEIGHT + _LINE_GAP
    num_lines = [-(-values.shape[1] // width) for values in drawn]
    head = TITLE_HEIGHT if title else 0.0
    height = head + sum(TITLE_HEIGHT + count * line_height for count in num_lines) + _RNA_GAP * (len(rows) - 1)
    left = max(_LEAST_LEFT, 0.25 + _LABEL_LETTER * max(map(len, labels.values())))
    canvas = Canvas(width * _CELL, height, left, title)
    axes = canvas.axes

    y = head
    for row, values, count in zip(rows, drawn, num_lines):
        letters = letters_of(row)
        label = head_of(row)
        if len(letters) > _MAX_DRAWN:
            label += f" (first {_MAX_DRAWN} shown)"
        canvas.write_head(label, y)
        y += TITLE_HEIGHT
        for line in range(count):
            start = line * width
            stop = min(start + width, len(letters), _MAX_DRAWN)
            _draw_positions(canvas, start, stop, y + _TICK_HEIGHT)
            for column, letter in enumerate(letters[start:stop]):
                canvas.write_letter(letter, (column + 0.5) * _CELL, y + _TICK_HEIGHT + _LETTER_HEIGHT / 2)
            top = y + _TICK_HEIGHT + _LETTER_HEIGHT
            bottom = top + len(labels) * _STRIP_HEIGHT
            right = (stop - start) * _CELL
            axes.imshow(
                values[:, start:stop],
                extent=(0, right, bottom, top),
                cmap=_COLORS,
                norm=norm,
                aspect="auto",
                interpolation="nearest",
            )
            for index, text in enumerate(labels.values()):
                middle = top + (index + 0.5) * _STRIP_HEIGHT
                axes.text(-0.06, middle, text, fontsize=7.5, ha="right", va="center", parse_math=False)
                if index:
                    edge = top + index * _STRIP_HEIGHT
                    axes.plot([0, right], [edge, edge], color="white", linewidth=1)
            canvas.draw_outline([0, right, right, 0, 0], [top, top, bottom, bottom, top])
            y += line_height
        y += _RNA_GAP
    canvas.draw_color_bar(norm, _COLORS, meaning, extend="max")
    canvas.save(Path(path))


def _scale_end(drawn: Sequence[np.ndarray]) -> float:
    """Return the upper end of a colour scale, two digits; 1 where nearly nothing is above 0."""
    end = float(np.percentile(np.concatenate([values.ravel() for values in drawn]), _SCALE_PERCENTILE))
    return float(f"{end:.1e}") if end > 0 else 1.0


def _draw_positions(canvas: Canvas, start: int, stop: int, y: float) -> None:
    """Write 1-based positions over columns start to stop - 1: the first one and each tenth, with a tick at each."""
    for column in range(stop - start):
        position = start + column + 1
        if position % 10 == 0 or column == 0:
            x = (column + 0.5) * _CELL
            canvas.axes.text(x, y - 0.045, str(position), fontsize=6.5, color="0.25", ha="center", va="bottom")
            canvas.draw_outline([x, x], [y - 0.04, y])
