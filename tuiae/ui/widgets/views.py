"""Which panel shows where the screen is too small for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static


class ViewTab(Static):
    """One name in the bar; a click chooses it."""

    def __init__(self, view: str) -> None:
        super().__init__(view, id=f"tab-{view}", classes="tab")
        self.view = view

    def on_click(self) -> None:
        bar = self.parent
        assert isinstance(bar, ViewBar)
        bar.view = self.view


class ViewBar(Horizontal):
    """The names of the panels; the chosen one is marked."""

    view: reactive[str] = reactive("")

    def __init__(self, views: tuple[str, ...]) -> None:
        super().__init__()
        self._views = views

    class Chosen(Message):
        """Another panel is to show."""

        def __init__(self, view: str) -> None:
            super().__init__()
            self.view = view

    def compose(self) -> ComposeResult:
        for view in self._views:
            yield ViewTab(view)

    def on_mount(self) -> None:
        self.view = self._views[0]

    def watch_view(self, view: str) -> None:
        for tab in self.query(ViewTab):
            tab.set_class(tab.view == view, "-active")
            if tab.view == view:
                # A narrow screen has no room for every name.
                self.call_after_refresh(self.scroll_to_widget, tab, animate=False, force=True)
        self.post_message(self.Chosen(view))

    def offer(self, view: str, wanted: bool) -> None:
        """Show a name, or hide it; a hidden one is never chosen."""
        self.query_one(f"#tab-{view}").display = wanted
        if not wanted and self.view == view:
            self.next()

    def next(self) -> None:
        """Choose the next panel, and after the last the first."""
        offered = [tab.view for tab in self.query(ViewTab) if tab.display or tab.view == self.view]
        self.view = offered[(offered.index(self.view) + 1) % len(offered)]


class Views(Vertical):
    """Panels of which one shows at a time where the screen is small, chosen in the ViewBar that it holds."""

    MAIN_PANELS: ClassVar[Mapping[str, str]] = {}
    """Name of each view -> selector of the panel that `z` shows alone."""

    @on(ViewBar.Chosen)
    def _view_chosen(self, event: ViewBar.Chosen) -> None:
        event.stop()
        for view in self.MAIN_PANELS:
            self.set_class(view == event.view, f"-{view}")

    def reveal(self, view: str) -> None:
        """Show one of the panels, where there is no room for all."""
        self.query_one(ViewBar).view = view

    def next_view(self) -> None:
        """The next panel, where there is no room for all."""
        self.query_one(ViewBar).next()

    @property
    def main_panel(self) -> Widget:
        """What `z` shows alone when no panel has the focus."""
        return self.query_one(self.MAIN_PANELS[self.query_one(ViewBar).view])
