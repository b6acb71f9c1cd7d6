"""Pictures of predictions. matplotlib is imported only when one is drawn."""

from .arc_diagram import plot_arc_diagrams
from .heat_map import plot_heat_map
from .localisation import plot_localisation

__all__ = ["plot_arc_diagrams", "plot_heat_map", "plot_localisation"]
