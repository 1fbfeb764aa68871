"""What frames the panels: the line of keys, the timeline of samples, and sliders."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.table import fitting
from tuiae.render.text import shorten


@dataclass(frozen=True)
class ShownKey:
    """A key as a line of them has it."""

    key: str
    """Textual's name of the key: `question_mark`."""
    face: str
    """What a line of keys calls it: `?`."""
    does: str
    enabled: bool = True
    """Whether pressing it has an effect now."""
    rank: int = 0
    """The lowest ranks stay longest where the width lacks."""

    @property
    def parts(self) -> tuple[str, str]:
        """The key, and what it does, with the cells around them."""
        return f" {self.face} ", f"{self.does} "

    @property
    def width(self) -> int:
        return sum(map(cell_len, self.parts))


def fit_keys(keys: Sequence[ShownKey], width: int) -> tuple[ShownKey, ...]:
    """The keys that fit into `width` cells, whole and in their order, the lowest ranks first."""
    # No key stays where it does not fit, not even one of rank 0.
    places = fitting([key.width for key in keys], [key.rank + 1 for key in keys], width)
    return tuple(keys[place] for place in places)


BACK, ON = "◀", "▶"
LIVE = "live"
_LEAST_BAR = 8  # cells


@dataclass(frozen=True)
class Timeline:
    """All samples of a run as one line, `◀ epoch 12 of 40 ▶  ├──●────┤ live`, and where its parts are, in cells."""

    text: Text
    on: int
    """The cell of ▶; ◀ is in cell 0."""
    bar: tuple[int, int]
    """The first cell of the bar's inside, and how many there are."""

    def touch(self, column: int, epochs: Sequence[int]) -> int | str | None:
        """Returns what a click at a column asks for: BACK, ON, LIVE, an epoch, or None."""
        first, cells = self.bar
        if cells and first <= column < first + cells:
            return nearest(epochs, epochs[0] + (column - first) / max(cells - 1, 1) * (epochs[-1] - epochs[0]))
        if cells and column >= first + cells:
            return LIVE
        return BACK if column <= 1 else ON if abs(column - self.on) <= 1 else None


def draw_timeline(
    epochs: Sequence[int], at: int | None, width: int, live: bool = True, drawn: int | None = None
) -> Timeline:
    """The samples of `epochs`, in order and at least one; `at` is the one that shows, None whichever is the newest.

    `live` says whether more may come: the right end is then called so, and `newest` of a run that is over. `drawn` is
    the one that stands for the newest until that is drawn.
    """
    newest = epochs[-1]
    shown = at if at is not None else newest if drawn is None else drawn
    text = Text(no_wrap=True, end="")
    text.append(BACK, _arrow(at is None or at > epochs[0]))
    text.append(" epoch ", "dim").append(f"{shown:,}".rjust(len(f"{newest:,}")), "bold")
    text.append(f" of {newest:,} ", "dim")
    on = text.cell_len
    text.append(ON, _arrow(at is not None))
    end = f" {LIVE if live else 'newest'}"
    cells = width - text.cell_len - 4 - len(end)
    if cells < _LEAST_BAR:
        text.truncate(width)
        return Timeline(text, on, (0, 0))
    reach = newest - epochs[0]
    share = 1.0 if at is None or not reach else (at - epochs[0]) / reach
    looks = (palette.SKY, palette.CAUTION) if at is not None else ("dim", palette.SKY)
    text.append("  ").append_text(_track(round(share * (cells - 1)), cells, ("├", "─", "●", "─", "┤"), *looks))
    text.append(end, "bold" if at is None else "dim")
    return Timeline(text, on, (on + 4, cells))


def _track(place: int, cells: int, signs: Sequence[str], before: str, knob: str) -> Text:
    """`├━━●──┤`: a knob on a line, its ends beside it; colours of the line before it and of the knob."""
    start, done, sign, rest, end = signs
    text = Text(end="").append(start, "dim").append(done * place, before).append(sign, f"bold {knob}")
    return text.append(rest * (cells - 1 - place) + end, "dim")


def place_note(epoch: int, newest: int | None = None, live: bool = False) -> str:
    """Returns what a frame says of the sample inside it: `epoch 12 · live is at 40`.

    `newest` is given while another one shows, and `live` says whether more may come.
    """
    where = f"epoch {epoch:,}" if epoch else "untrained"
    return where if newest is None else f"{where} · {'live is at' if live else 'newest is'} {newest:,}"


def missing_note(epoch: int) -> str:
    """Returns why a sample cannot be shown."""
    return f"the sample of epoch {epoch:,} is missing or torn; > goes back to the newest"


def no_codes_note(epoch: int) -> str:
    """Returns why an epoch has no map."""
    return f"the sample of epoch {epoch:,} holds no codes: older versions did not store them; > goes back to the newest"


def nearest(epochs: Sequence[int], wanted: float) -> int:
    """The sample that is nearest to an epoch."""
    return min(epochs, key=lambda epoch: abs(epoch - wanted))


def neighbour(epochs: Sequence[int], at: int | None, steps: int) -> int | None:
    """The sample that is so far on, or back; None is the newest, which goes on by itself."""
    index = len(epochs) - 1 if at is None else bisect_left(epochs, at)
    index = max(index + steps, 0)
    return epochs[index] if index < len(epochs) - 1 else None


def _arrow(there: bool) -> str:
    return f"bold {palette.SKY}" if there else "dim"


LEAST = 8
"""Cells of a line that shows anything."""
GAP = 2
_SIGNS = (("├", "━", "●", "─", "┤"), ("|", "=", "O", "-", "|"))


def track(width: int, words: str) -> int:
    """Cells of the line, its ends included; 0 where only the words have room."""
    cells = width - cell_len(words) - GAP
    return cells if cells >= LEAST else 0


def draw_slider(share: float, width: int, words: str, ascii_only: bool = False) -> Text:
    """A value between its ends and in words, `├━━━━●─────┤  30% of the pixels`, the knob at a share of the way."""
    if width <= 0:
        return Text()
    line = Text(end="", no_wrap=True)
    cells = track(width, words)
    if cells:
        inside = cells - 2
        line.append_text(_track(round(share * (inside - 1)), inside, _SIGNS[ascii_only], palette.SKY, palette.SKY))
        line.append(" " * GAP)
    return line.append(shorten(words, width - line.cell_len), "bold")


def share_at(column: int, width: int, words: str) -> float | None:
    """The share of the way that a column of the drawing stands for; None beside the line."""
    cells = track(width, words)
    if not cells or column >= cells + GAP:
        return None
    return min(max((column - 1) / (cells - 3), 0.0), 1.0)
