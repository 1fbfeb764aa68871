"""What the Latent and the Bench screen ask the explorer about the open run, and how often they take newer weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from textual.timer import Timer

from tuiae.config import NoiseSection
from tuiae.explore.client import Reply
from tuiae.explore.protocol import OpenedRun
from tuiae.render.code_map import Point
from tuiae.render.text import percent
from tuiae.ui.session import Session

REFRESH_SECONDS = 2.0  # at least, between two looks at a training: each encodes 2,000 images beside it
REST = 8.0
"""At least, between two looks, in times of what the last one took: a training keeps its cores, and a large network is
looked at less often."""


class Questions:
    """One screen's questions. A look at the run begins with asking for its newest checkpoint, and ends with the answers
    that show what those weights do."""

    def __init__(self, session: Session, name: str, set_timer: Callable[[float, Callable[[], None]], Timer]) -> None:
        """`name` begins the slots of the questions, so that one screen's answers are not taken for another's."""
        self._session, self._name, self._set_timer = session, name, set_timer
        self._seen: tuple[int, ...] | None = None
        """The checkpoints of the run at the last look; None before the first one since the screen shows."""
        self._asked: int | None = None
        """The epoch whose weights were asked for at that look; None for the newest."""
        self._timer: Timer | None = None
        self.forget()

    def forget(self) -> None:
        """Another run is open."""
        self.opened: OpenedRun | None = None
        """The checkpoint that answers; None while there is none."""
        self._seen = None
        self._rest_until = float("-inf")
        self._began: float | None = None
        """When the look began that is under way."""
        self.due: set[str] = set()
        """The slots to which an answer is still to come."""

    def ask(self, question: str, slot: str = "", **arguments: Any) -> None:
        """Ask the weights, once there are some; an answer still to come to the same slot is not wanted any more."""
        if self.opened is not None or question == "open":
            whole = self.slot(slot or question)
            self.due.add(whole)
            self._session.explorer.ask(question, slot=whole, **arguments)

    def slot(self, name: str) -> str:
        """The whole name of a slot, as it stands in a reply."""
        return f"{self._name}:{name}"

    def asked_for(self, reply: Reply) -> bool:
        """Returns whether a reply is to one of these questions."""
        return reply.slot.startswith(self.slot(""))

    # Looks at the run

    def follow(self, checkpoints: tuple[int, ...]) -> None:
        """Look at the run if it has other checkpoints than at the last look, or if somebody looks at another epoch."""
        if self._session.at != self._asked:
            self._rest_until = float("-inf")  # somebody waits for it
            self.refresh()
        elif self._seen is None or (checkpoints != self._seen and not self.is_settled):
            self.refresh()

    @property
    def has_looked(self) -> bool:
        """Whether somebody has looked at the run since the screen shows."""
        return self._seen is not None

    @property
    def is_settled(self) -> bool:
        """Whether the weights are those of the epoch at which somebody looks, which stay as they are."""
        return self._session.at is not None and self.answers_now and not (self.opened and self.opened.kept)

    @property
    def answers_now(self) -> bool:
        """Whether the weights are here that are wanted, or those that stand in for them."""
        return self.opened is not None and self.opened.asked == self._session.at

    def refresh(self) -> None:
        """Ask for the checkpoint of the epoch at which somebody looks, else for the newest, now or when it is time."""
        path, snapshot, now = self._session.path, self._session.snapshot, time.monotonic()
        if path is None or snapshot is None:
            return
        self._stop_timer()
        if now < self._rest_until:
            self._timer = self._set_timer(self._rest_until - now, self.refresh)
            return
        self._seen, self._asked = snapshot.checkpoints, self._session.at
        self._began, self._rest_until = now, now + REFRESH_SECONDS
        self.ask("open", run=str(path), epoch=self._asked)

    def pause(self) -> None:
        """Nobody looks at the screen: ask anew when it shows again."""
        self._seen = None
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()

    def take(self, opened: OpenedRun) -> bool:
        """Have a checkpoint answer from now on, if it is the one that is wanted now; returns whether it is."""
        if (opened.run, opened.asked) != (str(self._session.path), self._session.at):
            return False
        if self.opened is None:
            self._began = time.monotonic()  # importing torch and reading the images is not what a look takes
        self.opened = opened
        return True

    def _look_is_over(self) -> None:
        if self._began is not None:
            took = time.monotonic() - self._began
            self._rest_until, self._began = max(self._rest_until, self._began + REST * took), None

    def retry(self) -> None:
        """Start an explorer that went away, and ask for the newest checkpoint."""
        self._session.explorer.revive()
        self._rest_until = float("-inf")
        self.refresh()


# Latent: a plane of the codes, and what is shown beside it.


@dataclass(frozen=True)
class PlaneChoice:
    """One of the planes on which codes of `latent` numbers can be shown."""

    latent: int = 2
    by: str = ""
    """The plane by the explorer's name: empty (the code itself, or its principal components), `axes` or `tsne`."""
    axes: tuple[int, int] = (0, 1)

    def next_plane(self) -> PlaneChoice:
        """The next plane, and after the last the first."""
        planes = {1: ("",), 2: ("", "tsne")}.get(self.latent, ("", "axes", "tsne"))
        return replace(self, by=planes[(planes.index(self.by) + 1) % len(planes)])

    def next_number(self, axis: int) -> PlaneChoice:
        """The next number of the code across (0) or up (1); both axes never show the same one."""
        if self.latent < 3:
            return self
        own, other = self.axes[axis], self.axes[1 - axis]
        if self.by == "axes":
            own = (own + 1) % self.latent
        if own == other:
            own = (own + 1) % self.latent
        return replace(self, by="axes", axes=(other, own) if axis else (own, other))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the question `codes`."""
        return {"by": self.by, **({"axes": self.axes} if self.by == "axes" else {})}


class LatentQuestions(Questions):
    """The codes on a plane, what stands at the cursor, and one more thing: a path, samples, the decoded plane."""

    def forget(self) -> None:
        super().forget()
        self.choice = PlaneChoice()
        self.seed = 0
        self.extra: tuple[str, dict[str, Any]] | None = None
        """The question for what stands beside the map, asked again of each checkpoint."""

    @property
    def follows(self) -> bool:
        """Whether the map follows the training; t-SNE takes seconds and stays at its checkpoint."""
        return self._seen is None or self._session.at != self._asked or self.choice.by != "tsne"

    def take(self, opened: OpenedRun) -> bool:
        if not super().take(opened):
            return False
        if opened.latent != self.choice.latent:
            self.choice = PlaneChoice(opened.latent)
        if not opened.kept:  # else the codes of that epoch show that were stored
            self.ask("codes", **self.choice.arguments)
        return True

    @property
    def embeds(self) -> bool:
        """Whether a t-SNE is being computed."""
        return self.choice.by == "tsne" and self.slot("codes") in self.due

    def codes_arrived(self) -> None:
        """The codes are here."""
        if self.choice.by != "tsne":
            self._look_is_over()

    def choose(self, choice: PlaneChoice) -> bool:
        """Show another plane; returns whether it is another."""
        changed = choice != self.choice
        self.choice = choice
        if changed:
            self._began = time.monotonic()
            self.ask("codes", **choice.arguments)
        return changed

    def ask_place(self, point: Point | None) -> None:
        """Ask what stands at a point of the plane."""
        if point is not None:
            self.ask("at", x=point[0], y=point[1])

    def ask_extra(self) -> None:
        """Ask for what stands beside the map."""
        if self.extra is not None:
            self.ask(self.extra[0], slot="extra", **self.extra[1])


# Bench: one image under a noise, and what is measured on all test images.

NOISE_TEXTS = {
    "gaussian": "standard deviation {}",
    "salt-pepper": "{} black or white pixels",
    "mask": "{} black pixels",
    "uniform": "pixels move by up to {}",
}
"""Kind -> what its level means."""
KINDS = tuple(NOISE_TEXTS)
SHARES = ("salt-pepper", "mask")
"""Kinds whose level is a share of the pixels."""
TOP = 1.0  # the highest level that is offered, unless the training had a higher one
STEP = 0.05  # between levels
CURVE_POINTS = 11  # levels at which the curve is measured
QUIET_SECONDS = 1.0  # after a change by hand: no stroke waits for new weights
SLOW_SECONDS = 20.0  # between measurements over the test images of a training, which take a core for a while
CURVE_IMAGES = 1000  # test images of the curve: enough to see it, and there within seconds
STRIP_IMAGES = 48  # worst images, or those of a confusion cell


@dataclass(frozen=True)
class NoiseChoice:
    """A kind of noise and its level; level 0 is no noise, of whatever kind."""

    kind: str = "gaussian"
    level: float = 0.0
    top: float = TOP
    """The highest level that is offered."""
    seed: int = 0

    @classmethod
    def trained_with(cls, section: NoiseSection) -> NoiseChoice:
        """The noise of a run's config."""
        return cls() if section.kind == "none" else cls(section.kind, section.level, max(section.level, TOP))

    def next_kind(self) -> NoiseChoice:
        """The next kind, and after the last the first; the level stays where it is offered."""
        kind = KINDS[(KINDS.index(self.kind) + 1) % len(KINDS)]
        return replace(self, kind=kind, top=TOP, level=min(self.level, TOP))

    def at_level(self, level: float) -> NoiseChoice:
        """The step of the level that is nearest to this one."""
        return replace(self, level=min(max(round(round(level / STEP) * STEP, 10), 0.0), self.top))

    def drawn_anew(self) -> NoiseChoice:
        """The same noise from another seed."""
        return replace(self, seed=self.seed + 1)

    @property
    def text(self) -> str:
        """What the level means."""
        return NOISE_TEXTS[self.kind].format(self.figure) if self.level else "no noise"

    @property
    def figure(self) -> str:
        """The level in a few cells."""
        return percent(self.level, 0) if self.kind in SHARES else f"{self.level:.2f}"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the questions about an image."""
        return {"kind": self.kind, "level": self.level, "seed": self.seed}

    @property
    def curve_levels(self) -> tuple[float, ...]:
        """The levels at which the error is measured."""
        return tuple(round(self.top * index / (CURVE_POINTS - 1), 10) for index in range(CURVE_POINTS))


class BenchQuestions(Questions):
    """What becomes of the image on the canvas, the error against the level of a noise, and a strip of test images."""

    noise = NoiseChoice()
    cell: tuple[int, int] | None = None
    """(true, predicted) of the images in the strip; None shows the worst."""

    def forget(self) -> None:
        super().forget()
        self._measured = float("-inf")
        self._measured_checkpoint = ""
        self.pending: set[str] = set()
        """The questions about the image on the canvas that are still to be answered."""

    def ask_about(self, image: NDArray[np.uint8]) -> None:
        """Ask what becomes of an image (C, H, W) under the chosen noise, and what it is taken for."""
        opened = self.opened
        if opened is None or image.shape != opened.shape:
            return
        self._rest_until = max(self._rest_until, time.monotonic() + QUIET_SECONDS)
        for question, is_asked in (
            ("reconstruct", opened.is_autoencoder),
            ("classify", (len(opened.classes) > 1 and opened.has_code) or not opened.is_autoencoder),
        ):
            if is_asked:
                self.pending.add(question)
                self.ask(question, images=image[None], **self.noise.arguments)

    def answered(self, question: str) -> None:
        """There is a reply to a question, or an error."""
        if question in self.pending:
            self.pending.remove(question)
            if not self.pending:
                self._look_is_over()

    def measure(self) -> None:
        """Ask for the curve and the strip of this checkpoint; of the newest of a training only now and then."""
        opened, snapshot, now = self.opened, self._session.snapshot, time.monotonic()
        if opened is None or opened.checkpoint == self._measured_checkpoint:
            return
        is_newest = snapshot is not None and snapshot.status.live and opened.asked is None
        if not is_newest or now - self._measured >= SLOW_SECONDS:
            self._measured, self._measured_checkpoint = now, opened.checkpoint
            self.ask_curve()
            self.ask_strip()

    def ask_curve(self) -> None:
        """Ask for the error at each level of this kind of noise."""
        self.ask("noise_curve", kind=self.noise.kind, levels=self.noise.curve_levels, count=CURVE_IMAGES)

    def ask_strip(self) -> None:
        """Ask for the worst images, or for those of the chosen confusion cell."""
        if self.cell is None or (self.opened is not None and self.opened.is_autoencoder):
            self.ask("worst", slot="strip", count=STRIP_IMAGES)
        else:
            true, predicted = self.cell
            self.ask("confused", slot="strip", true=true, predicted=predicted, count=STRIP_IMAGES)

    def pause(self) -> None:
        super().pause()
        if self.due:
            self._measure_again()  # what comes while another screen shows is not heard

    def retry(self) -> None:
        self._measure_again()
        self.pending.clear()
        super().retry()

    def _measure_again(self) -> None:
        self._measured, self._measured_checkpoint = float("-inf"), ""
