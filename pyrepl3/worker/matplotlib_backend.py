"""A matplotlib backend whose figures become display messages.

Owns the drawing of a figure as PNG, and when: at ``show()``, as a cell's value, and at the end of
a cell for those left open; each is then closed. Imported by matplotlib, never by the runtime. Must
not know messages.
"""

from io import BytesIO
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .bundles import FORMATTERS, bundle_of
from .display import DISPLAYS


class FigureManager(FigureManagerBase):
    """A manager whose ``show`` sends its figure."""

    def show(self) -> None:
        """Display the figure and close it."""
        Gcf.destroy(self)
        _publish(self.canvas.figure)

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        """``plt.show()``: display all open figures, and close them."""
        show_open_figures()


class FigureCanvas(FigureCanvasAgg):
    """Draws with Agg."""

    manager_class = FigureManager


def show_open_figures() -> None:
    """Display the figures of this backend that are open, in the order of their making."""
    for manager in Gcf.get_all_fig_managers():
        if isinstance(manager, FigureManager):
            manager.show()


def draw_png(figure: Any) -> bytes | None:
    """The figure as PNG, cropped to what is on it; None for one with nothing on it."""
    if not figure.axes and not figure.lines and not figure.texts and not figure.images:
        return None
    file = BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()


def _publish(figure: Any) -> None:
    data, metadata = bundle_of(figure)
    DISPLAYS.publish(data, metadata)


def _png_of_value(figure: Any) -> bytes | None:
    """As the value of a cell: shown once, so it is not shown again as left open."""
    image = draw_png(figure)
    manager = getattr(figure.canvas, "manager", None)
    if isinstance(manager, FigureManager):
        Gcf.destroy(manager)
    return image


FORMATTERS[Figure] = {"image/png": _png_of_value}
DISPLAYS.after_cell.append(show_open_figures)
