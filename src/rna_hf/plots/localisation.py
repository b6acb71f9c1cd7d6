"""Where in the cell RNAs are found, as bars, beside the attention along each RNA."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .canvas import TITLE_HEIGHT, Canvas, head_of

_BAR_COLOR, _LARGEST_COLOR, _TRACK_COLOR, _MARK_COLOR = "#9ecae1", "#2171b5", "#6a51a3", "#e6550d"
# A track is drawn from at most this many values, each the largest of its stretch, so that no peak is lost.
_MAX_STEPS = 1500

# All sizes below in inches.
_BAR_WIDTH = 1.8
_BAR_STEP, _BAR_HEIGHT = 0.2, 0.14
_NUMBER_WIDTH = 0.4
_TRACK_LEFT = _BAR_WIDTH + _NUMBER_WIDTH + 0.75
_TRACK_WIDTH = 7.5
_LEAST_HEIGHT = 0.8
_MARK_HEIGHT = 0.16
_TICK_HEIGHT = 0.22
_RNA_GAP = 0.2
_LEAST_LEFT = 0.62
_LABEL_LETTER = 0.072


def plot_localisation(
    rows: Sequence[Mapping[str, Any]], compartments: Sequence[str], path: str | Path, title: str | None = None
) -> None:
    """Draw for each RNA a bar for each compartment and, beside them, the attention weights along the RNA.

    Args:
        rows: `id`, `sequence`, for each compartment its share (0 to 1), `attention` (P weights), `windows` ((P, 2),
            start and end of each weight's window, 0-based, the end not included) and `strongest` (indices of the
            windows to number, the strongest first). An RNA is drawn in one line, whatever its length.
        compartments: names, drawn from top to bottom.
        path: file to write, PNG; replaced atomically.
        title: a line over the figure.
    """
    panel_height = max(_LEAST_HEIGHT, len(compartments) * _BAR_STEP)
    head = TITLE_HEIGHT if title else 0.0
    height = head + len(rows) * (TITLE_HEIGHT + _MARK_HEIGHT + panel_height + _TICK_HEIGHT + _RNA_GAP)
    left = max(_LEAST_LEFT, 0.25 + _LABEL_LETTER * max(map(len, compartments)))
    canvas = Canvas(_TRACK_LEFT + _TRACK_WIDTH, height, left, title)
    y = head
    for row in rows:
        canvas.write_head(head_of(row), y)
        y += TITLE_HEIGHT + _MARK_HEIGHT
        _draw_bars(canvas, [row[name] for name in compartments], compartments, y)
        _draw_track(canvas, row, y, panel_height)
        y += panel_height + _TICK_HEIGHT + _RNA_GAP
    canvas.axes.text(0, y + 0.02, _note(rows), fontsize=8, va="top", parse_math=False)
    canvas.save(Path(path))


def _draw_bars(canvas: Canvas, shares: Sequence[float], compartments: Sequence[str], top: float) -> None:
    """Draw a bar for each share, from 0 at the left to 1, the largest one darker."""
    largest = int(np.argmax(shares))
    for index, (share, name) in enumerate(zip(shares, compartments, strict=True)):
        middle = top + (index + 0.5) * _BAR_STEP
        color = _LARGEST_COLOR if index == largest else _BAR_COLOR
        canvas.axes.barh(middle, share * _BAR_WIDTH, _BAR_HEIGHT, color=color)
        canvas.axes.text(-0.06, middle, name, fontsize=7.5, ha="right", va="center", parse_math=False)
        canvas.axes.text(share * _BAR_WIDTH + 0.05, middle, f"{share:.2f}", fontsize=7.5, ha="left", va="center")
    canvas.draw_outline([0, 0], [top, top + len(shares) * _BAR_STEP])


def _draw_track(canvas: Canvas, row: Mapping[str, Any], top: float, height: float) -> None:
    """Draw an RNA's attention weights, each at the middle of its window, on a scale from 0 to the largest."""
    weights = np.asarray(row["attention"], dtype=np.float64)
    windows = np.asarray(row["windows"], dtype=np.float64).reshape(-1, 2)
    length = len(row["sequence"])
    cell = _TRACK_WIDTH / length
    bottom = top + height
    scale = height / (weights.max() or 1.0)
    # A weight stands between the middles of the gaps to its neighbours.
    centres = windows.mean(axis=1)
    edges = np.concatenate([windows[:1, 0], (centres[1:] + centres[:-1]) / 2, windows[-1:, 1]])
    firsts = np.unique(np.linspace(0, len(weights), _MAX_STEPS + 1).astype(np.int64)[:-1])
    heights = np.maximum.reduceat(weights, firsts) * scale
    xs = _TRACK_LEFT + edges[[*firsts, -1]] * cell
    canvas.axes.stairs(bottom - heights, xs, baseline=bottom, fill=True, color=_TRACK_COLOR, alpha=0.75, linewidth=0)
    right = _TRACK_LEFT + _TRACK_WIDTH
    canvas.draw_outline([_TRACK_LEFT, _TRACK_LEFT, right], [top, bottom, bottom])
    mean = bottom - scale * weights.mean()
    canvas.axes.plot([_TRACK_LEFT, right], [mean, mean], color="0.3", linewidth=0.7, linestyle=(0, (4, 3)))
    for value, y in ((f"{weights.max():.2g}", top), ("0", bottom)):
        canvas.axes.text(_TRACK_LEFT - 0.06, y, value, fontsize=6.5, color="0.25", ha="right", va="center")
    for rank, index in enumerate(row["strongest"], start=1):
        start, end = windows[index]
        middle = _TRACK_LEFT + (start + end) / 2 * cell
        half = max((end - start) * cell, 0.03) / 2
        canvas.axes.plot([middle - half, middle + half], [top - 0.03, top - 0.03], color=_MARK_COLOR, linewidth=2)
        canvas.axes.text(middle, top - 0.06, str(rank), fontsize=6.5, color=_MARK_COLOR, ha="center", va="bottom")
    canvas.draw_positions(length, cell, bottom, _TRACK_LEFT)


def _note(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the picture shows."""
    starts, ends = np.concatenate([np.asarray(row["windows"]).reshape(-1, 2) for row in rows]).T
    return (
        "Bars: predicted share of the RNA in each compartment; they sum to 1.\n"
        f"Track: the model's attention to each window of {(ends - starts).max()} nt, at its middle (a weight for each, "
        "which sum to 1; the scale ends at the largest). Positions are 1-based.\n"
        "Dashed: the weight if all were equal. Orange: the strongest windows that do not overlap, 1 is the strongest."
    )
