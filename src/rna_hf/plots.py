"""Figures of predictions. matplotlib is imported only when one is drawn."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_COLORS = "YlOrRd"
# One line of a figure holds this many nucleotides at most; a longer RNA goes on in the next line.
_LINE_LENGTH = 100
# Of an RNA longer than this, in nucleotides, the first part is drawn.
_MAX_DRAWN = 600

# All sizes below in inches.
_CELL = 0.125
_CHANNEL_HEIGHT = 0.17
_LETTER_HEIGHT = 0.17
_TICK_HEIGHT = 0.17
_LINE_GAP = 0.10
_TITLE_HEIGHT = 0.27
_RNA_GAP = 0.16
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.62, 0.3, 0.15, 0.75


def plot_reactivity(
    rows: Sequence[Mapping[str, Any]], channels: Sequence[str], path: str | Path, unit: str, title: str | None = None
) -> None:
    """Draw a heat map of reactivity: per RNA its letters, numbered positions and one strip for each channel.

    Args:
        rows: `id`, `sequence` and, for each channel, `reactivity_<channel>`: normalised values, one for each
            nucleotide. The colour scale runs from 0 to 1; values outside get the colour of the nearer end.
        channels: names of the channels, drawn from top to bottom.
        path: file to write, PNG; replaced atomically.
        unit: of the values, for the colour bar.
        title: a line over the figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    width = max(30, min(_LINE_LENGTH, max(len(row["sequence"]) for row in rows)))
    line_height = _TICK_HEIGHT + _LETTER_HEIGHT + len(channels) * _CHANNEL_HEIGHT + _LINE_GAP
    num_lines = [-(-min(len(row["sequence"]), _MAX_DRAWN) // width) for row in rows]
    head = _TITLE_HEIGHT if title else 0.0
    body = head + sum(_TITLE_HEIGHT + count * line_height for count in num_lines) + _RNA_GAP * (len(rows) - 1)
    figure_width = _LEFT + width * _CELL + _RIGHT
    figure_height = _TOP + body + _BOTTOM

    # One set of axes in inches, origin at the top left of the drawing area; no pyplot, so no global state.
    figure = Figure(figsize=(figure_width, figure_height), dpi=150, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-_LEFT, figure_width - _LEFT)
    axes.set_ylim(figure_height - _TOP, -_TOP)
    axes.axis("off")
    norm = Normalize(0, 1)

    y = 0.0
    if title:
        axes.text(0, y, title, fontsize=10, va="top", parse_math=False)
        y += head
    for row, count in zip(rows, num_lines):
        sequence = row["sequence"].upper().replace("T", "U")
        values = np.array([row[f"reactivity_{channel}"] for channel in channels], dtype=np.float32)
        label = f"{_shorten(row['id'])}   {len(sequence):,} nt"
        if len(sequence) > _MAX_DRAWN:
            label += f" (first {_MAX_DRAWN} shown)"
        axes.text(0, y + 0.04, label, fontsize=9, fontweight="bold", va="top", parse_math=False)
        y += _TITLE_HEIGHT
        for line in range(count):
            start = line * width
            stop = min(start + width, len(sequence), _MAX_DRAWN)
            _draw_positions(axes, start, stop, y + _TICK_HEIGHT)
            letters_y = y + _TICK_HEIGHT + _LETTER_HEIGHT / 2
            for column, letter in enumerate(sequence[start:stop]):
                axes.text(
                    (column + 0.5) * _CELL,
                    letters_y,
                    letter,
                    fontsize=7.5,
                    family="monospace",
                    ha="center",
                    va="center_baseline",
                )
            top = y + _TICK_HEIGHT + _LETTER_HEIGHT
            bottom = top + len(channels) * _CHANNEL_HEIGHT
            right = (stop - start) * _CELL
            axes.imshow(
                values[:, start:stop],
                extent=(0, right, bottom, top),
                cmap=_COLORS,
                norm=norm,
                aspect="auto",
                interpolation="nearest",
            )
            for index, channel in enumerate(channels):
                middle = top + (index + 0.5) * _CHANNEL_HEIGHT
                axes.text(-0.06, middle, channel, fontsize=7.5, ha="right", va="center", parse_math=False)
                if index:
                    edge = top + index * _CHANNEL_HEIGHT
                    axes.plot([0, right], [edge, edge], color="white", linewidth=1)
            outline = ([0, right, right, 0, 0], [top, top, bottom, bottom, top])
            axes.plot(*outline, color="0.4", linewidth=0.6)
            y += line_height
        y += _RNA_GAP
    # imshow has moved the limits to the last image.
    axes.set_xlim(-_LEFT, figure_width - _LEFT)
    axes.set_ylim(figure_height - _TOP, -_TOP)

    bar_width = min(3.2, 0.8 * width * _CELL)
    bar = figure.add_axes((_LEFT / figure_width, 0.45 / figure_height, bar_width / figure_width, 0.12 / figure_height))
    colorbar = figure.colorbar(ScalarMappable(norm, _COLORS), cax=bar, orientation="horizontal", extend="max")
    colorbar.set_label(f"reactivity ({unit})", fontsize=8)
    colorbar.ax.tick_params(labelsize=7.5)

    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        canvas.print_png(file)
    os.replace(temporary, path)


def _draw_positions(axes: Any, start: int, stop: int, y: float) -> None:
    """Write 1-based positions over columns start to stop - 1: the first one and each tenth, with a tick at each."""
    for column in range(stop - start):
        position = start + column + 1
        if position % 10 == 0 or column == 0:
            x = (column + 0.5) * _CELL
            axes.text(x, y - 0.045, str(position), fontsize=6.5, color="0.25", ha="center", va="bottom")
            axes.plot([x, x], [y - 0.04, y], color="0.4", linewidth=0.6)


def _shorten(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
