"""The open run on images that the user draws or chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from textual import getters, on
from textual.app import ComposeResult
from textual.timer import Timer

from tuiae.errors import DataError
from tuiae.explore.client import Reply
from tuiae.explore.protocol import (
    Answer,
    Classification,
    Confused,
    NoiseCurve,
    OpenedRun,
    Picture,
    Reconstruction,
    Worst,
)
from tuiae.render.explorer import class_name, weights_note
from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.keys import APP, BENCH
from tuiae.ui.questions import STEP, BenchQuestions, NoiseChoice
from tuiae.ui.screens.base import ExplorerScreen
from tuiae.ui.screens.dialogs import LineDialog
from tuiae.ui.session import Session
from tuiae.ui.widgets.bench_view import MEASURING, BenchView, Slider
from tuiae.ui.widgets.images import StripPanel
from tuiae.ui.widgets.sketch import SketchPanel

ASKING_SECONDS = 0.1  # until the panel says that an answer takes its time
STRIP_HINT = "left and right put these images on the canvas  ·  c clears it, to draw  ·  ? all keys"
HINT = "draw with the mouse, or with arrows and space  ·  t a test image  ·  ? all keys"
WITHOUT_RUN = (*(key.action for key in APP), "back", "zoom", "next_view")
"""Actions that need no network."""


class BenchScreen(ExplorerScreen):
    """Images through the network."""

    MODE = "bench"
    BINDINGS = [key.binding for key in BENCH]
    AUTO_FOCUS = "#canvas"
    AGAIN_KEY = "ctrl+r"

    view = getters.query_one(BenchView)
    main_panel = getters.query_one(SketchPanel)
    questions: BenchQuestions

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.questions = BenchQuestions(session, self.MODE, self.set_timer)
        self._random = np.random.default_rng()
        self._index, self._dataset = 0, ""
        """The test image that was last put on the canvas, and of which dataset."""
        self._drawn = False
        """Whether somebody has drawn on it since."""
        self._strip: Worst | Confused | None = None
        self._cell_run: Path | None = None
        """The run whose confusion cell was chosen."""
        self._show_first = False
        """Whether the first image of the cell goes onto the canvas once it is here."""
        self._asking: Timer | None = None
        self._troubled = False

    def compose_body(self) -> ComposeResult:
        yield BenchView(id="body")

    def is_enabled(self, action: str) -> bool:
        noise = self.questions.noise
        idle = {
            "tool('undo')": not self.view.canvas.can_undo,
            "noise('less')": noise.level <= 0,
            "noise('more')": noise.level >= noise.top,
            "noise('anew')": noise.level <= 0,
            "worst": self.questions.cell is None,
            **dict.fromkeys(("tool('ink')", "tool('grab')"), not self.view.canvas.has_colours),
        }
        if idle.get(action):
            return False
        return super().is_enabled(action) and (action in WITHOUT_RUN or self.session.path is not None)

    def name_of(self, action: str) -> str:
        canvas = self.view.canvas
        if action == "dot" and canvas.pen_down:
            return "Lift"
        if action == "tool('eraser')" and canvas.erasing:
            return "Pen"
        return super().name_of(action)

    # The open run

    def run_opened(self) -> None:
        if self._cell_run != self.session.path:
            self.questions.cell, self._show_first = None, False
        self._strip = None
        super().run_opened()

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        self.follow(snapshot)

    @property
    def _trained(self) -> NoiseChoice | None:
        """The noise of the run's training."""
        return NoiseChoice.trained_with(self.config.noise) if self.config is not None else None

    @property
    def _run_dataset(self) -> str:
        return self.config.data.dataset if self.config is not None else ""

    def show_confused(self, true: int, predicted: int) -> None:
        """Show the test images of one class that the open run's classifier takes for another, the first of them on the
        canvas; the arrows go from one to the next."""
        self.questions.cell, self._cell_run = (true, predicted), self.session.path
        self._show_first = True
        classes = self.session.sample.classes if self.session.sample is not None else ()
        cell = f"{class_name(true, classes) or true} taken for {class_name(predicted, classes) or predicted}"
        waits = f"opening the weights to show the images of {cell}…"
        self.view.strip.clear(waits if self.questions.opened is None else MEASURING)
        if self.questions.opened is None:
            self.message.hint(waits)
        self.view.side.reveal("images")
        self.call_after_refresh(self.view.strip.focus)
        self.questions.ask_strip()

    # The explorer

    def replied(self, reply: Reply) -> None:
        self.questions.answered(reply.question)
        if not self.questions.pending and self._asking is not None:
            self._asking.stop()
            self._asking = None
            self.view.show_asking(False)
        if reply.error is not None:
            self._troubled = True
            self.complain(str(reply.error))
            self.view.explain(reply.error.cause)
            if reply.slot == self.questions.slot("strip"):
                self._show_first = False
                self.view.strip.clear(reply.error.cause)
            return
        if self._troubled:
            self._troubled = False
            self._hint()
        if isinstance(reply.answer, OpenedRun):
            self._opened(reply.answer)
        elif self.questions.opened is not None and reply.answer is not None:  # else of the run that was open before
            self._show(reply.answer, reply)

    def _hint(self) -> None:
        self.message.release()
        opened = self.questions.opened
        if words := weights_note(opened) if opened is not None else "":
            self.message.hint(words, "caution")
        else:
            self.hint_of_run(STRIP_HINT if self.view.strip.has_focus else HINT)

    def on_descendant_focus(self) -> None:
        if self.questions.opened is not None and not self._troubled:
            self._hint()  # which keys draw, and which go through the pictures

    def _opened(self, opened: OpenedRun) -> None:
        """Ask a checkpoint what was asked of the one before."""
        before = self.questions.opened
        if not self.questions.take(opened):
            return
        self.view.show_opened(opened)
        if before is None or before.asked != opened.asked:
            self._hint()
        if before is None:
            self._begin(opened)
        elif self.view.canvas.sketch is None and not self._show_first:
            self._ask_image(self._index)  # it came while another screen showed
        self._ask_about_canvas()
        self.questions.measure()

    def _begin(self, opened: OpenedRun) -> None:
        """Take the noise of the training, and an image: what is on the canvas, if it is one of this network's."""
        self.questions.noise = self._trained or NoiseChoice()
        self.view.show_noise(self.questions.noise, self._trained)
        sketch = self.view.canvas.sketch
        fits = sketch is not None and sketch.image.shape == opened.shape
        if not fits or (not self._drawn and self._dataset != self._run_dataset):
            self.view.canvas.clear()
            if not self._show_first:
                self._ask_image(0)

    def _show(self, answer: Answer, reply: Reply) -> None:
        view = self.view
        if isinstance(answer, Picture):
            self._put(answer.index, answer.label, answer.image)
        elif isinstance(answer, Reconstruction):
            view.show_reconstruction(answer, reply.arguments["images"][0])
        elif isinstance(answer, Classification):
            view.show_classes(answer)
        elif isinstance(answer, NoiseCurve):
            view.show_curve(answer)
        elif isinstance(answer, (Worst, Confused)):
            self._strip = answer
            view.show_strip(answer)
            if isinstance(answer, Confused) and self._show_first:
                self._show_first = False
                if len(answer.images):
                    view.strip.action_take()
                elif view.canvas.sketch is None:
                    self._ask_image(0)

    # Image and noise

    def _ask_image(self, index: int) -> None:
        self._index, self._dataset = index, self._run_dataset
        self.questions.ask("image", index=index)

    def _put(self, index: int, label: int, image: np.ndarray) -> None:
        """A test image (C, H, W) onto the canvas."""
        opened = self.questions.opened
        name = class_name(label, opened.classes) if opened is not None else ""
        self._index, self._dataset, self._drawn = index, self._run_dataset, False
        self.view.label = label
        self.view.canvas.show(image, f"test image {index:,}{' · class ' if name else ''}{name}")
        self._ask_about_canvas()

    def _ask_about_canvas(self) -> None:
        sketch = self.view.canvas.sketch
        if sketch is not None:
            self.questions.ask_about(sketch.pixels)
            if self.questions.pending and self._asking is None:
                self._asking = self.set_timer(ASKING_SECONDS, lambda: self.view.show_asking(True))

    def _take_noise(self, noise: NoiseChoice) -> None:
        is_other_kind = noise.kind != self.questions.noise.kind
        self.questions.noise = noise
        self.view.show_noise(noise, self._trained)
        self._ask_about_canvas()
        if is_other_kind:
            self.questions.ask_curve()

    @on(SketchPanel.Drawn)
    def _image_drawn(self) -> None:
        self._drawn = True
        self.view.label = -1
        self._ask_about_canvas()

    @on(Slider.Moved)
    def _noise_moved(self, event: Slider.Moved) -> None:
        self._take_noise(self.questions.noise.at_level(event.level))

    @on(StripPanel.Taken)
    def _picture_taken(self, event: StripPanel.Taken) -> None:
        if self._strip is None or event.place >= len(self._strip.images):
            return  # others have taken the place of the pictures that it was chosen from
        label = self._strip.true if isinstance(self._strip, Confused) else int(self._strip.labels[event.place])
        self._put(int(self._strip.indices[event.place]), label, self._strip.images[event.place])

    # Keys

    def action_test(self, step: int | str) -> None:
        """Another test image: so far after the one that was shown last, or `any`."""
        if self.can_ask() and self.questions.opened is not None:
            number = self.questions.opened.tests
            # Any other one: the same again looks as if nothing had happened.
            apart = int(self._random.integers(1, max(2, number))) if step == "any" else int(step)
            self._ask_image((self._index + apart) % number)

    def action_jump(self) -> None:
        opened = self.questions.opened
        if not self.can_ask() or opened is None:
            return
        last = opened.tests - 1

        def check(text: str) -> None:
            if not text.strip().isdecimal() or int(text) > last:
                raise DataError(f"there is no image {text.strip() or 'without a number'}: 0 to {last:,}")

        dialog = LineDialog("test image", f"Its number, 0 to {last:,}.", "", check)
        self.show_dialog(dialog, lambda text: self.action_test(int(text) - self._index))

    def action_noise(self, change: str) -> None:
        """Another `kind` of noise, `more` of it, `less`, or the same drawn `anew`."""
        noise = self.questions.noise
        if not self.can_ask():
            return
        if change in ("more", "less"):
            self._take_noise(noise.at_level(noise.level + (STEP if change == "more" else -STEP)))
        else:
            self._take_noise(noise.next_kind() if change == "kind" else noise.drawn_anew())

    def action_tool(self, name: str) -> None:
        """Use one of the tools on the canvas."""
        canvas = self.view.canvas
        if canvas.sketch is None and not self.can_ask():
            return
        if name == "undo" and not canvas.can_undo:
            self.message.remark("nothing to undo")
        elif name in ("ink", "grab") and not canvas.has_colours:
            self.message.remark("these images are grey: there is no other ink")
        canvas.use(name)
        canvas.focus()

    def action_worst(self) -> None:
        """The worst images again, after those of a confusion cell."""
        if self.can_ask():
            self.questions.cell = None
            self.questions.ask_strip()
