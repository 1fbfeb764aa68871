"""The same test images, one row a run."""

from __future__ import annotations

from rich.text import Text

from tuiae.studies.shared_images import SharedImages
from tuiae.ui.render.compare_images import shared_grid
from tuiae.ui.widgets.sheet import SheetPanel


class SharedImagesPanel(SheetPanel):
    """The inputs once, then what each network made of them."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__("the same test images", id=id)
        self._shared: SharedImages | None = None

    def toggle_ascii(self) -> None:
        """What this terminal shows best, or ASCII."""
        self.mode = self.best if self.mode == "ascii" else "ascii"

    def show(self, shared: SharedImages) -> None:
        """Replace the pictures."""
        self._shared = shared
        self.changed()

    def drawing(self, width: int, height: int) -> Text:
        return Text() if self._shared is None else shared_grid(self._shared, width, height, self.mode)
