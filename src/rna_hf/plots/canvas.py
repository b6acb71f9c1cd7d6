"""What every picture has: a page measured in inches, a line over each RNA, a colour bar, and a PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..atomic_files import replacing

# All sizes in inches.
TITLE_HEIGHT = 0.27
RIGHT, TOP, BOTTOM = 0.3, 0.15, 0.75
_LEAST_TICK_GAP = 0.4


class Canvas:
    """A page with one set of axes in inches, origin at the top left of the drawing area; no pyplot, no global state.

    Args:
        width: of the drawing area.
        height: of the drawing area; below it is room for a colour bar or a note.
        left: margin at the left of the drawing area.
        title: a line over everything, in the drawing area.
    """

    def __init__(self, width: float, height: float, left: float, title: str | None):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width = width
        self._left = left
        self._size = (left + width + RIGHT, TOP + height + BOTTOM)
        self.figure = Figure(figsize=self._size, dpi=150, facecolor="white")
        self._canvas = FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.axis("off")
        self.keep_limits()
        if title:
            self.axes.text(0, 0, title, fontsize=10, va="top", parse_math=False)

    def keep_limits(self) -> None:
        """Set the limits, which some ways of drawing move."""
        self.axes.set_xlim(-self._left, self._size[0] - self._left)
        self.axes.set_ylim(self._size[1] - TOP, -TOP)

    def write_head(self, text: str, y: float) -> None:
        """Write the line over an RNA, which takes `TITLE_HEIGHT`."""
        self.axes.text(0, y + 0.04, text, fontsize=9, fontweight="bold", va="top", parse_math=False)

    def write_letter(self, letter: str, x: float, y: float) -> None:
        """Write a nucleotide's letter around a point."""
        self.axes.text(x, y, letter, fontsize=7.5, family="monospace", ha="center", va="center_baseline")

    def draw_outline(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Draw a thin grey line."""
        self.axes.plot(xs, ys, color="0.4", linewidth=0.6)

    def draw_positions(self, length: int, cell: float, y: float, left: float = 0.0) -> None:
        """Write 1-based positions below a line at y: the first one and round ones, as close as there is room.

        Args:
            length: of the RNA, nucleotides.
            cell: width of a nucleotide.
            y: where the ticks begin.
            left: where the first nucleotide begins.
        """
        steps = (factor * 10**exponent for exponent in range(1, 12) for factor in (1, 2, 5))
        step = next(step for step in steps if step * cell >= _LEAST_TICK_GAP)
        for position in (1, *range(step, length + 1, step)):
            x = left + (position - 0.5) * cell
            self.draw_outline([x, x], [y, y + 0.04])
            self.axes.text(x, y + 0.05, str(position), fontsize=6.5, color="0.25", ha="center", va="top")

    def draw_color_bar(self, norm: Any, colors: str, label: str, extend: str) -> None:
        """Draw a colour bar below everything.

        Args:
            norm: matplotlib's, from values to colours.
            colors: name of a colour map.
            label: what the colours mean.
            extend: at which ends values lie beyond the bar, as in matplotlib.
        """
        from matplotlib.cm import ScalarMappable

        width, height = self._size
        bar_width = min(3.2, 0.8 * self.width)
        bar = self.figure.add_axes((self._left / width, 0.45 / height, bar_width / width, 0.12 / height))
        colorbar = self.figure.colorbar(ScalarMappable(norm, colors), cax=bar, orientation="horizontal", extend=extend)
        colorbar.set_label(label, fontsize=8)
        colorbar.ax.tick_params(labelsize=7.5)

    def save(self, path: Path) -> None:
        """Write the PNG, which is replaced atomically."""
        self.keep_limits()
        with replacing(path) as temporary, open(temporary, "wb") as file:
            self._canvas.print_png(file)


def head_of(row: Any) -> str:
    """Return an RNA's id, shortened if it is long, and its length."""
    identifier, length = row["id"], 80
    if len(identifier) > length:
        identifier = identifier[: length - 1] + "…"
    return f"{identifier}   {len(row['sequence']):,} nt"


def letters_of(row: Any) -> str:
    """Return an RNA's sequence as it is drawn: upper case, U for T."""
    return row["sequence"].upper().replace("T", "U")
