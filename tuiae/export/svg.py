"""Figures as SVG markup for a page: text takes the page's own colour and fonts, so that light and dark both read well.

matplotlib draws them through its objects, without pyplot: nothing global is touched and no display is needed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's text colour until the markup is made
PALETTE = ("#3b7dd8", "#d9730d", "#2f9e6e", "#c0436d", "#8a63d2", "#9a8a1c", "#2aa5b8", "#b5543b", "#6b7785", "#e08fb0")
"""Ten hues of middling lightness, that stand out from white and from near black alike."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "normal",
    "axes.labelsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.parse_math": False,
}
Draw = TypeVar("Draw", bound=Callable[..., str])


def styled(draw: Draw) -> Draw:
    """Draw under this module's settings and nobody else's."""

    @wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> str:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn  # type: ignore[return-value]


def new_figure(width: float, height: float) -> Figure:
    """Sides in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def to_svg(figure: Figure, salt: str) -> str:
    """The markup alone: no XML prologue, no metadata, no link, the page's colour in place of the ink."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": f"{salt}-{id(figure)}"}):
        # Trimmed: rows of images keep their shape and leave room at some side.
        figure.savefig(buffer, format="svg", metadata=nothing, dpi=160, bbox_inches="tight", pad_inches=0.05)
    markup = buffer.getvalue()
    markup = markup[markup.index("<svg") :].replace(INK, "currentColor")
    # The page sets the width; the view box keeps the shape.
    opening, rest = markup.split(">", 1)
    opening = re.sub(r'\s(width|height)="[^"]*"', "", opening)
    return f'{opening} role="img">{re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)}'
