"""The same test images, one row a run."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import reactive

from tuiae.studies.shared_images import SharedImages
from tuiae.ui.render.compare_images import shared_grid
from tuiae.ui.terminal.mode import Pictures
from tuiae.ui.widgets.panel import PicturePanel


class SharedImagesPanel(PicturePanel):
    """The inputs once, then what each network made of them."""

    mode: reactive[Pictures] = reactive("blocks")

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__("the same test images", id=id)
        self._shared: SharedImages | None = None

    def on_mount(self) -> None:
        self.mode = self.terminal.pictures

    def toggle_ascii(self) -> None:
        """What this terminal shows best, or ASCII."""
        self.mode = self.terminal.pictures if self.mode == "ascii" else "ascii"

    def show(self, shared: SharedImages) -> None:
        """Replace the pictures."""
        self._shared = shared
        self.changed()

    def watch_mode(self) -> None:
        self.changed()

    def draw(self, width: int, height: int) -> Text:
        return Text() if self._shared is None else shared_grid(self._shared, width, height, self.mode)
