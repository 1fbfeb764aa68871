"""Panels of pictures: a grid of inputs and reconstructions, a strip to choose from, and whatever a function draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from textual import events
from textual.color import Color
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tuiae.render.grid import (
    SampleLayout,
    draw_samples,
    draw_strip,
    drawable,
    lay_out_strip,
    own_layout,
    sample_layouts,
    usual_layout,
)
from tuiae.render.pixels import CaptionRow, ImageRow, PixelImage, pixel_images, without_placeholders
from tuiae.render.text import centred, first_parts, in_mode
from tuiae.ui.keys import IMAGES, STRIP
from tuiae.ui.terminal.mode import Graphics, Pictures
from tuiae.ui.widgets.panel import PicturePanel


class PixelPanel(PicturePanel):
    """A panel with pictures in it: made of cells, or drawn by the terminal itself, through textual-image."""

    _pictures: Sequence[PixelImage] = ()
    """What its children show, where the terminal draws real pictures."""

    @property
    def best(self) -> Pictures:
        return "none" if self.terminal.graphics else self.terminal.pictures

    def drawing(self, width: int, height: int) -> Text:
        """The drawing for `width` x `height` cells, in the mode; panels override it."""
        raise NotImplementedError

    def draw(self, width: int, height: int) -> Text:
        drawing = self.drawing(width, height)
        return without_placeholders(drawing) if self.mode == "none" else drawing

    def changed(self) -> None:
        super().changed()
        self._show_pictures()

    def on_resize(self) -> None:
        self._show_pictures()

    def _show_pictures(self) -> None:
        """Put real pictures over their cells; one that looks the same is not sent again."""
        if not self.is_attached or not self.terminal.graphics:
            return
        pictures: list[PixelImage] = []
        if self.mode == "none" and self.content_size.area:
            ground = Color.parse(self.app.theme_variables["background"]).rgb
            pictures = pixel_images(self.drawing(*self.content_size), ground)
        before, self._pictures = self._pictures, pictures
        self.mount_all(picture_widget(self.terminal.graphics) for _ in pictures[len(self.children) :])
        for widget, picture, shown in zip_longest(self.children, pictures, before):
            if picture is None or not picture.same(shown):
                show_picture(widget, picture)


def picture_widget(graphics: Graphics) -> Widget:
    """An empty picture for this protocol."""
    from textual_image.widget import SixelImage, TGPImage  # an extra; it was there when the protocol was chosen

    widget: Widget = SixelImage() if graphics == "sixel" else TGPImage()
    widget.styles.position = "absolute"
    return widget


def show_picture(widget: Any, picture: PixelImage | None) -> None:
    """Put a picture where its cells are, or none."""
    widget.display = picture is not None
    if picture is None:
        return
    from PIL import Image  # only where there are real pictures, and not before the first paint

    widget.styles.offset = (picture.left, picture.top)
    widget.styles.width, widget.styles.height = picture.columns, picture.rows
    widget.image = Image.fromarray(picture.pixels)


class ImagesPanel(PixelPanel):
    """The pictures of samples, each sample whole: at their own size where there is room, as many as there is room for.

    Its height is what others leave it: `lay_out` says how many lines of those it takes.
    """

    BINDINGS = [key.binding for key in IMAGES]

    error: reactive[bool | None] = reactive(None)
    """Whether the pictures of errors show; None shows them where the others stay as large."""
    first: reactive[int] = reactive(0)
    """The first sample that shows."""
    enlarged: reactive[int] = reactive(0)
    """Steps by which the pictures are larger than at first, and fewer; below 0 they are smaller, and more."""

    _title = BORDER_TITLE = "reconstructions"
    _rows: Sequence[ImageRow] = ()
    _captions: Sequence[CaptionRow] = ()
    _note = ""
    _error: tuple[ImageRow, str] | None = None
    _most = 0
    """Lines that it could have beside other panels."""

    def show(
        self,
        rows: Sequence[ImageRow],
        captions: Sequence[CaptionRow] = (),
        note: str = "",
        error: tuple[ImageRow, str] | None = None,
    ) -> None:
        """Replace the pictures: (label, (N, C, H, W) uint8) a row; `note` goes into the lower frame.

        `error` is one more row, and the scale on which it is drawn in words.
        """
        self._rows, self._captions, self._note, self._error = drawable(rows), captions, note, error
        self._show_again()

    def rename(self, title: str) -> None:
        """Say in the frame what kind of pictures these are."""
        self._title = title
        self._retitle()

    def _show_again(self) -> None:
        self._retitle()
        self.changed()

    watch_error = watch_first = watch_enlarged = _show_again

    @property
    def title_margin(self) -> str:
        return "" if self.gutter.width else " "  # which Textual leaves out where a frame has no corners

    def _retitle(self) -> None:
        """Say in the frame which of the samples these are, and the scale of the errors while they show."""
        titles, scale = [self._title], ""
        if (layout := self._layout()) is not None:
            start, number = self._first(layout), self._number
            if layout.shown < number:
                last = start + layout.shown
                which = f"{start + 1}" if layout.shown == 1 else f"{start + 1} to {last}"
                titles += [f"{which} of {number}", "[ ] others"]
            scale = self._error[1] if self._error is not None and self._shows_error(self._room) else ""
        room = self.outer_size.width - 4
        self.set_title(first_parts(titles, room), first_parts([scale, self._note], room))

    on_resize = _retitle

    # How large, and which

    @property
    def _number(self) -> int:
        return min((len(images) for _, images in self._rows), default=0)

    @property
    def _room(self) -> tuple[int, int]:
        width, height = self.content_size
        return width, height if self.has_class("-maximized") else max(height, self._most)

    def lay_out(self, width: int, most: int) -> int:
        """Take note that there may be so many lines, and return how many of them the pictures take in a width; 0
        without any."""
        self._most = max(most, 0)
        self._retitle()
        layout = self._layout((width, self._most))
        return layout.height if layout is not None else 0

    @property
    def own_lines(self) -> int:
        """The lines of one sample with pictures of their own size; 0 without any."""
        return own_layout(self._rows, len(self._captions)).height if self._rows else 0

    def _layouts(self, error: bool, room: tuple[int, int]) -> tuple[list[SampleLayout], int]:
        """The layouts that fit, and the place of the usual one."""
        rows = self._shown_rows(error)
        layouts = sample_layouts(rows, *room, len(self._captions)) if rows else []
        return layouts, usual_layout(layouts, rows) if layouts else 0

    def _layout(self, room: tuple[int, int] | None = None) -> SampleLayout | None:
        """The layout in an area, else in the room that there is."""
        room = room or self._room
        layouts, usual = self._layouts(self._shows_error(room), room)
        return layouts[min(max(usual - self.enlarged, 0), len(layouts) - 1)] if layouts else None

    def _first(self, layout: SampleLayout) -> int:
        return max(min(self.first, self._number - layout.shown), 0)

    def _resized(self, steps: int) -> int | None:
        """By how many steps the pictures would be larger than at first; None where there is no such size."""
        layouts, usual = self._layouts(self._shows_error(self._room), self._room)
        place = min(max(usual - self.enlarged, 0), len(layouts) - 1) - steps
        return usual - place if 0 <= place < len(layouts) else None

    def can_resize(self, steps: int) -> bool:
        """Returns whether there are larger pictures than these, or smaller ones."""
        return self._resized(steps) is not None

    def resize_pictures(self, steps: int) -> bool:
        """Fewer and larger pictures, or more and smaller; returns whether there was another size."""
        if (enlarged := self._resized(steps)) is None:
            return False
        self.enlarged = enlarged
        return True

    def _walked(self, steps: int) -> tuple[int, int]:
        """The first sample that shows, and the one that would after so many steps."""
        if (layout := self._layout()) is None:
            return 0, 0
        before = self._first(layout)
        return before, max(min(before + steps, self._number - layout.shown), 0)

    def can_walk(self, steps: int) -> bool:
        """Returns whether there are samples before these, or after."""
        before, after = self._walked(steps)
        return before != after

    def walk(self, steps: int) -> str:
        """Show the samples before these, or after; returns why not where there are none."""
        before, self.first = self._walked(steps)
        if self.first != before:
            return ""
        end = "the first" if steps < 0 else "the last"
        return f"these are {end if self.can_walk(-steps) else 'all there are'}"

    def toggle_error(self) -> bool:
        """Show or hide the pictures of errors, whatever room there is, all about as large as before; returns whether
        there are any."""
        before = self._layout()
        self.error = not self._shows_error(self._room)
        layouts, usual = self._layouts(self._shows_error(self._room), self._room)
        if layouts and before is not None and self.enlarged:
            nearest = min(range(len(layouts)), key=lambda place: abs(layouts[place].columns - before.columns))
            self.enlarged = usual - nearest
        return self._error is not None

    def _shows_error(self, room: tuple[int, int]) -> bool:
        """Returns whether the errors are wanted, and there is room for them."""
        if self.error is not None or self._error is None or not self._rows:
            return bool(self.error) and self._error is not None
        (without, place), (layouts, other) = self._layouts(False, room), self._layouts(True, room)
        return bool(layouts) and layouts[other].columns >= without[place].columns

    def _shown_rows(self, error: bool) -> list[ImageRow]:
        return [*self._rows, *([self._error[0]] if error and self._error is not None else [])] if self._rows else []

    @property
    def rows(self) -> list[ImageRow]:
        """The rows that show, with all of their pictures."""
        return self._shown_rows(self._shows_error(self._room))

    def drawing(self, width: int, height: int) -> Text:
        if not self._rows:
            return in_mode(centred(self._empty or "no images yet", width, height), self.mode)
        layout = self._layout()
        if layout is None:
            return in_mode(centred("too small for images", width, height), self.mode)
        words = [names for _, names in self._captions]
        return draw_samples(self.rows, layout, self._first(layout), width, height, self.mode, words)


Drawing = Callable[[int, int, str], Text]
"""(width, height, mode) -> at most that many cells; mode is what pictures are made of."""


class DrawingPanel(PixelPanel):
    """A panel that draws what a function makes."""

    _resting = ""
    _drawing: Drawing | None = None

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self._default = title

    def show(self, drawing: Drawing, note: str = "", title: str = "") -> None:
        """Replace the drawing; `note` goes into the lower frame, `title` above this one drawing."""
        self._drawing = drawing
        self.set_title(title or self._default, note)
        self.changed()

    def clear(self, message: str = "") -> None:
        """Forget the drawing, and say why there is none."""
        self._drawing = None
        self.set_title(self._default)
        self.explain(message)

    def rest(self, message: str) -> None:
        """Show a sentence in place of the drawing for now; an empty one shows the drawing again."""
        if message != self._resting:
            self._resting = message
            self.changed()

    def drawing(self, width: int, height: int) -> Text:
        if self._drawing is None or self._resting:
            return in_mode(centred(self._resting or self._empty, width, height), self.mode)
        return in_mode(self._drawing(width, height, self.mode), self.mode)


class StripPanel(PixelPanel):
    """Pictures and two words for each; arrows, Enter or a click take one."""

    BINDINGS = [key.binding for key in STRIP]

    cursor: reactive[int] = reactive(0)

    @dataclass
    class Taken(Message):
        """A picture was chosen."""

        place: int

    title = BORDER_TITLE = "worst test images"
    images: NDArray[np.uint8] = np.zeros((0, 1, 1, 1), np.uint8)
    _captions: Sequence[tuple[str, str]] = ()
    _note = ""
    _of = 0
    answered = False
    """Whether it shows what was asked for, which may be no picture at all."""

    def show(
        self, images: NDArray[np.uint8], captions: Sequence[tuple[str, str]], title: str, note: str = "", of: int = 0
    ) -> None:
        """Replace the pictures (N, C, H, W), the first of so many; `note` goes into the lower frame."""
        self.images, self._captions, self.answered = images, captions, True
        self._note, self._of = note, of
        self.cursor = min(self.cursor, max(len(images) - 1, 0)) if title == self.title else 0
        self.title = title
        self._show_again()

    def clear(self, message: str) -> None:
        """Forget the pictures, and say why there are none."""
        self.images, self._captions, self.answered = self.images[:0], (), False
        self._note = ""
        self.title = self.BORDER_TITLE
        self.set_title(self.title)
        self.explain(message)

    def _show_again(self) -> None:
        """Say in the frame which picture this is, and what shows another one."""
        parts, number = [self._note], len(self.images)
        if number:
            place = f"{self.cursor + 1} of {'the first ' * (self._of > number)}{number}"
            parts = [place, "arrows or a click show one" if self.has_focus else "a click shows one", *parts]
        self.set_title(self.title, " · ".join(filter(None, parts)))
        self.changed()

    watch_cursor = _show_again

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self._show_again()

    def drawing(self, width: int, height: int) -> Text:
        if not len(self.images):
            return in_mode(centred(self._empty, width, height), self.mode)
        text = draw_strip(self.images, self._captions, width, height, self.mode, self.cursor, self.has_focus)
        return in_mode(text, self.mode)

    def action_walk(self, steps: int) -> None:
        """Move the cursor by pictures, and take the one where it stops."""
        before, last = self.cursor, max(len(self.images) - 1, 0)
        self.cursor = min(max(self.cursor + steps, 0), last)
        if self.cursor != before:
            self.action_take()

    def action_take(self) -> None:
        """Choose the picture at the cursor."""
        if len(self.images):
            self.post_message(self.Taken(self.cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or not len(self.images):
            return
        layout = lay_out_strip(self.images.shape[-2:], len(self.images), *self.content_size, self.cursor)
        place = layout.index_at(*offset) if layout is not None else None
        if place is not None:
            self.cursor = place
            self.action_take()
