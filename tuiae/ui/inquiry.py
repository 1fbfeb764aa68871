"""What the Latent screen asks the explorer, and how often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuiae.explore.answers import Opened
from tuiae.explore.client import Explorer
from tuiae.ui.plane_choice import PlaneChoice
from tuiae.ui.render.map_view import Point

SLOT = "latent:"
"""Before the slots of its questions: another screen's answers are not for this one."""
EXTRA = SLOT + "extra"
"""The slot of what stands beside the map."""
REFRESH_SECONDS = 2.0  # between looks at a training: each encodes 2,000 images beside it
REST = 8.0
"""Times as long as the last look took: a training keeps its cores, and a large network is looked at less often."""


class Inquiry:
    """One run as it is asked about: which checkpoint, which plane, and what is shown beside the map."""

    def __init__(self, explorer: Explorer, clock: Callable[[], float]) -> None:
        self._explorer = explorer
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Another run is to be asked about."""
        self.opened: Opened | None = None
        self.choice = PlaneChoice()
        self.seed = 0
        self._extra: tuple[str, dict[str, Any]] | None = None
        self._asked = float("-inf")
        self._began = self._took = 0.0

    def _ask(self, question: str, slot: str = "", **arguments: Any) -> None:
        self._explorer.ask(question, slot=SLOT + (slot or question), **arguments)

    @property
    def wait(self) -> float:
        """Seconds until the run may be looked at again; 0 when it may be now."""
        return max(self._asked + max(REFRESH_SECONDS, REST * self._took) - self._clock(), 0.0)

    def open(self, path: Path) -> None:
        """Ask for the newest checkpoint; its codes follow when it is there."""
        self._asked = self._began = self._clock()
        self._ask("open", run=str(path))

    def take(self, opened: Opened) -> None:
        """A checkpoint is open: ask for its codes."""
        if self.opened is None:  # importing torch and opening the images is not what a look takes
            self._began = self._clock()
        self.opened = opened
        self.choice = self.choice.of(opened.latent)
        self.codes()

    def codes(self) -> None:
        """Ask for the codes on the chosen plane."""
        self._ask("codes", **self.choice.question)

    def arrived(self) -> None:
        """The codes are here."""
        if self.choice.by != "tsne":  # which follows no training
            self._took = self._clock() - self._began

    def place(self, point: Point | None) -> None:
        """Ask what stands at a point."""
        if point is not None and self.opened is not None:
            self._ask("at", x=point[0], y=point[1])

    def extra(self, question: str, **arguments: Any) -> None:
        """Ask for what stands beside the map, now and of every checkpoint that follows."""
        self._extra = (question, arguments)
        self.extra_again()

    def extra_again(self) -> None:
        """Ask for it of another checkpoint."""
        if self._extra is not None and self.opened is not None:
            self._ask(self._extra[0], slot=EXTRA.removeprefix(SLOT), **self._extra[1])

    def drop_extra(self) -> None:
        """Nothing stands beside the map any more."""
        self._extra = None

    def choose(self, choice: PlaneChoice) -> bool:
        """Show another plane; whether it is another."""
        changed = choice != self.choice
        self.choice = choice
        if changed and self.opened is not None:
            self._began = self._clock()
            self.codes()
        return changed

    def try_again(self) -> None:
        """After the explorer went away: start it anew with the next question."""
        self._explorer.revive()
        self._asked = float("-inf")
