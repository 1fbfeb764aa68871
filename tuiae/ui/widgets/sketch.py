"""Drawing for a network: an image at the resolution that it takes, and the panel to draw on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual import events
from textual.message import Message

from tuiae.data.dataset import as_bytes
from tuiae.render.explorer import draw_canvas, lay_out_canvas
from tuiae.render.pixels import resample
from tuiae.render.text import centred, in_mode
from tuiae.ui.keys import CANVAS
from tuiae.ui.widgets.panel import PointedPanel

Floats = NDArray[np.float32]
Spot = tuple[float, float]
"""(x, y) in pixels of the image; the middle of the first pixel is (0.5, 0.5)."""

BRUSHES = {"fine": (0.5, 0.03), "medium": (0.7, 0.045), "bold": (1.1, 0.075)}
"""Name -> (least radius in pixels, radius as a share of the shorter side)."""
Ink = tuple[float, ...]
"""Red, green and blue in 0..1."""
PLAIN, GRABBED = "plain", "grabbed"
INKS: dict[str, Ink] = {
    "red": (0.9, 0.15, 0.15),
    "orange": (1.0, 0.6, 0.1),
    "yellow": (1.0, 0.95, 0.2),
    "green": (0.15, 0.7, 0.25),
    "cyan": (0.2, 0.8, 0.9),
    "blue": (0.15, 0.3, 0.9),
    "purple": (0.6, 0.25, 0.8),
    "brown": (0.5, 0.3, 0.15),
}
"""Besides the plain one, which is what paper is not, and the one that was last grabbed from an image."""
MNIST_SIDE, MNIST_BOX = 28, 20
"""MNIST scaled its digits into a box of 20 x 20 in 28 x 28 pixels (LeCun et al., 1998)."""
_INK = 0.05  # what counts as drawn


@dataclass(frozen=True)
class Sketch:
    """A drawing as it stands; each change makes another `Sketch`."""

    image: Floats
    """(C, H, W) in 0..1."""
    paper: float = 0.0
    """What an empty image is made of: 0 is black, 1 white; plain ink is the other."""
    _stroke: tuple[Ink, Floats, Floats] | None = None
    """The coloured ink of the last stroke, the image below it, and how much of each pixel (H, W) it covers."""

    @classmethod
    def blank(cls, shape: tuple[int, ...], paper: float = 0.0) -> Sketch:
        """Returns an empty drawing of a shape (C, H, W)."""
        return cls(np.full(shape, paper, np.float32), paper)

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> Sketch:
        """Returns a picture (C, H, W) to draw on."""
        return cls(image.astype(np.float32) / np.float32(255))

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image (C, H, W) as a network takes it."""
        return as_bytes(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[2], self.image.shape[1]

    def stroke(self, start: Spot, end: Spot, brush: str, erase: bool = False, ink: Ink | None = None) -> Sketch:
        """Returns the drawing with a straight line of a soft brush, of a coloured `ink` or of the plain one; `erase`
        makes paper of what it covers."""
        least, share = BRUSHES[brush]
        hit = _coverage(self.size, start, end, max(least, share * min(self.size)))
        if erase:
            return Sketch(self.image + (np.float32(self.paper) - self.image) * hit, self.paper)
        # A second stroke over a soft edge must neither fade what the first has left there nor harden it.
        if ink is None:
            fresh = np.abs(np.float32(self.paper) - hit)
            return Sketch(np.minimum(self.image, fresh) if self.paper else np.maximum(self.image, fresh), self.paper)
        below = self.image
        if self._stroke is not None and self._stroke[0] == ink:
            _, below, covered = self._stroke
            hit = np.maximum(hit, covered)
        colour = np.array(ink, np.float32)[:, None, None]
        return Sketch(below + (colour - below) * hit, self.paper, (ink, below, hit))

    def colour_at(self, spot: Spot) -> Ink:
        """The colour of the pixel in which a spot lies."""
        (x, y), (width, height) = spot, self.size
        pixel = self.image[:, min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)]
        return tuple(pixel.tolist())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing on it."""
        return bool((np.abs(self.image - np.float32(self.paper)) <= _INK).all())

    def cleared(self) -> Sketch:
        """Returns the drawing without anything on it."""
        return Sketch.blank(self.image.shape, self.paper)

    def inverted(self) -> Sketch:
        """Returns the drawing dark for light, to be drawn on with the other ink."""
        return Sketch(1 - self.image, 1 - self.paper)

    def centred(self) -> Sketch:
        """The drawing as MNIST has its digits: scaled into its box, the centre of mass in the middle.

        Images of another size than MNIST's have no such margin: there the box is the image.
        """
        ink = np.abs(self.image - np.float32(self.paper))
        _, rows, columns = np.nonzero(ink > _INK)
        if not len(rows):
            return self
        cut = ink[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        box = tuple(MNIST_BOX if side == MNIST_SIDE else side for side in self.size)
        placed = _placed(_fitted(cut, box), self.size)
        return Sketch(np.abs(np.float32(self.paper) - placed), self.paper)


def _coverage(size: tuple[int, int], start: Spot, end: Spot, radius: float) -> Floats:
    """How much of each pixel (H, W) a line of this radius covers, 0 to 1; its edge is soft."""
    x, y = np.arange(size[0]) + 0.5, (np.arange(size[1]) + 0.5)[:, None]
    across, down = end[0] - start[0], end[1] - start[1]
    length = across * across + down * down
    along = ((x - start[0]) * across + (y - start[1]) * down) / length if length else np.zeros((size[1], size[0]))
    along = np.clip(along, 0, 1)
    distance = np.hypot(x - start[0] - along * across, y - start[1] - along * down)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def _fitted(ink: Floats, box: tuple[int, ...]) -> Floats:
    """(C, H, W) as large as its longer side lets it be in a box (width, height)."""
    height, width = ink.shape[1:]
    scale = min(box[0] / width, box[1] / height)
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    levels = resample(as_bytes(ink).transpose(1, 2, 0), columns, rows)
    return levels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def _placed(ink: Floats, size: tuple[int, int]) -> Floats:
    """(C, h, w) on an empty image, its centre of mass in the pixel after the middle, where MNIST has it; never over
    the edge."""
    weight = ink.sum(axis=0)
    offsets = []
    for axis, side, length in ((0, size[0], weight.shape[1]), (1, size[1], weight.shape[0])):
        profile = weight.sum(axis=axis)
        centre = float((profile * (np.arange(length) + 0.5)).sum() / profile.sum())
        offsets.append(min(max(math.floor(side / 2 + 1 - centre), 0), side - length))
    image = np.zeros((len(ink), size[1], size[0]), np.float32)
    image[:, offsets[1] : offsets[1] + ink.shape[1], offsets[0] : offsets[0] + ink.shape[2]] = ink
    return image


MOST_UNDONE = 100
CHANGES: dict[str, Callable[[Sketch], Sketch]] = {
    "clear": Sketch.cleared,
    "invert": Sketch.inverted,
    "centre": Sketch.centred,
}
"""Tool -> what it makes of the whole image."""
_GRAB_BUTTON, _ERASER_BUTTON = 2, 3


class SketchPanel(PointedPanel):
    """An image to draw on with the mouse, or with a pen that the arrows move while the panel has the focus."""

    BINDINGS = [key.binding for key in CANVAS]

    class Drawn(Message):
        """The image is another one, by hand."""

    BORDER_TITLE = "canvas"

    sketch: Sketch | None = None
    brush = "medium"
    erasing = False
    ink = PLAIN
    """The name of what the brush paints with, where images have colours."""
    _grabbed: Ink = ()
    _before: Sequence[Sketch] = ()
    _pen: Spot = (0.0, 0.0)
    _pen_down = False
    _mouse: Spot | None = None
    _shown_name = ""

    # What is on it

    def show(self, image: NDArray[np.uint8], name: str) -> None:
        """Put a picture (C, H, W) on it, with its name in the frame; undo brings back what was there."""
        if self.sketch is not None and self.sketch.image.shape == image.shape:
            self._remember()
        else:
            self._before = ()
            self._pen = (image.shape[2] // 2 + 0.5, image.shape[1] // 2 + 0.5)
        self.sketch = Sketch.of(image)
        self._pen_down = False
        self.rename(name)

    def clear(self) -> None:
        """Take the image away: those of another run have another size."""
        self.sketch, self._before, self._pen_down = None, (), False
        self.rename("")

    def rename(self, name: str) -> None:
        """Say in the frame what is on it."""
        self._shown_name = name
        self._show_again()

    def _show_again(self) -> None:
        tool = "eraser" if self.erasing else f"{self._ink_name} brush".lstrip()
        pen = " · pen down" if self._pen_down else ""
        self.set_title(self._shown_name or "canvas", f"{self.brush} {tool}{pen}")
        self.changed()

    @property
    def _ink_name(self) -> str:
        """What the brush paints with, where images have colours."""
        if self.sketch is None or not self.has_colours:
            return ""
        return self.ink if self.ink != PLAIN else "black" if self.sketch.paper else "white"

    def on_focus(self) -> None:
        self.changed()

    on_blur = on_focus

    def draw(self, width: int, height: int) -> Text:
        if self.sketch is None:
            return in_mode(centred(self._empty, width, height), self.mode)
        state = "erase" if self.erasing else "down" if self._pen_down else "up"
        pen = self._pen if self.has_focus else None
        return in_mode(draw_canvas(self.sketch.pixels, width, height, self.mode, pen, state), self.mode)

    # Changing it

    def _remember(self) -> None:
        if self.sketch is not None:
            self._before = [*self._before[1 - MOST_UNDONE :], self.sketch]

    def _become(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self.rename(f"canvas · {'empty' if sketch.is_empty else 'drawn'}")
        self.post_message(self.Drawn())

    def _line(self, start: Spot, end: Spot, erase: bool) -> None:
        if self.sketch is not None:
            known = {**INKS, GRABBED: self._grabbed} if self.has_colours else {}
            self._become(self.sketch.stroke(start, end, self.brush, erase, known.get(self.ink)))

    @property
    def has_colours(self) -> bool:
        """Whether what is on it has red, green and blue."""
        return self.sketch is not None and len(self.sketch.image) == 3

    def _grab(self, spot: Spot) -> None:
        """Paint with the colour of a pixel from now on."""
        if self.sketch is not None and self.has_colours:
            self.ink, self.erasing, self._grabbed = GRABBED, False, self.sketch.colour_at(spot)
            self._show_again()

    def action_pen(self, across: int, down: int) -> None:
        """Move the pen by pixels, or by dots that show where these are larger; it draws while it is down."""
        if self.sketch is None:
            return
        width, height = self.sketch.size
        layout = lay_out_canvas(self.sketch.size, *self.content_size)
        step = max(1, round(width / layout.columns)) if layout is not None else 1
        x, y = self._pen
        self._pen = (min(max(x + across * step, 0.5), width - 0.5), min(max(y + down * step, 0.5), height - 0.5))
        if self._pen_down and self._pen != (x, y):
            self._line((x, y), self._pen, self.erasing)
        self.changed()

    def action_dot(self) -> None:
        """Put the pen down, which makes a dot, or lift it."""
        if self.sketch is None:
            return
        self._pen_down = not self._pen_down
        if self._pen_down:
            self._remember()
            self._line(self._pen, self._pen, self.erasing)
        self._show_again()

    @property
    def can_undo(self) -> bool:
        return bool(self._before)

    @property
    def pen_down(self) -> bool:
        return self._pen_down

    def use(self, tool: str) -> None:
        """Use a tool: brush, eraser, another ink or the colour under the pen, undo, or one of CHANGES."""
        if tool == "brush":
            names = list(BRUSHES)
            self.brush = names[(names.index(self.brush) + 1) % len(names)]
        elif tool == "eraser":
            self.erasing = not self.erasing
        elif tool == "ink" and self.has_colours:
            names = [PLAIN, *INKS, *([GRABBED] if self._grabbed else [])]
            self.ink = names[(names.index(self.ink) + 1) % len(names)]
            self.erasing = False
        elif tool == "grab":
            self._grab(self._pen)
        elif tool == "undo" and self._before:
            *self._before, last = self._before
            self._pen_down = False
            self._become(last)
        elif tool in CHANGES and self.sketch is not None:
            self._remember()
            self._become(CHANGES[tool](self.sketch))
        self._show_again()

    # The mouse

    def pointed(self, event: events.MouseEvent) -> None:
        """Draw from where the mouse was last: it reports only some of the places that it passes."""
        layout = lay_out_canvas(self.sketch.size, *self.content_size) if self.sketch is not None else None
        if layout is None:
            return
        x, y = event.pointer_x - self.gutter.left, event.pointer_y - self.gutter.top
        # A terminal that reports cells means their middle.
        spot = layout.spot(*(math.floor(at) + 0.5 if at == math.floor(at) else at for at in (x, y)))
        if event.button == _GRAB_BUTTON:
            self._grab(spot)
            return
        if self._mouse is None:
            self._remember()
            self._pen_down = False
        start, self._mouse = self._mouse or spot, spot
        self._line(start, spot, self.erasing or event.button == _ERASER_BUTTON)

    def on_mouse_up(self) -> None:
        self._mouse = None
