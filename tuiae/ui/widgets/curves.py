"""Loss and accuracy over time."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import reactive

from tuiae.ui.render.curves import EMPTY, Curve, draw_curves, legend
from tuiae.ui.render.text import join_lines
from tuiae.ui.widgets.panel import Panel


class CurvesPanel(Panel):
    """A legend with the latest values, and the plot below it."""

    log_scale: reactive[bool] = reactive(False)
    """Logarithmic y axis."""

    def __init__(self, title: str = "loss", *, x_label: str = "epoch", id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._title = title
        self._x_label = x_label
        self._curves: tuple[Curve, ...] = ()
        self._empty = EMPTY

    def show(self, curves: tuple[Curve, ...], title: str | None = None) -> None:
        """Replace the curves, and the title when there is a new one."""
        self._curves = curves
        self._title = self._title if title is None else title
        self._retitle()
        self.changed()

    def set_empty(self, message: str) -> None:
        """What to say while there is no point."""
        self._empty = message
        self.changed()

    def watch_log_scale(self) -> None:
        self._retitle()
        self.changed()

    def _retitle(self) -> None:
        self.set_title(self._title, "log" if self.log_scale else "")

    def draw(self, width: int, height: int) -> Text:
        if not any(len(curve.y) for curve in self._curves) or height < 3:
            return draw_curves(self._curves, width, height, log=self.log_scale, empty=self._empty)
        ascii_only = self.terminal.ascii
        head = legend(self._curves, width, ascii_only)
        plot = draw_curves(self._curves, width, height - 1, x_label=self._x_label, log=self.log_scale, ascii=ascii_only)
        return join_lines([head, plot])
