"""A screen that is made of the runs there are."""

from __future__ import annotations

from tuiae.ui.list_feed import ListFeed
from tuiae.ui.screens.base import BaseScreen


class ListingScreen(BaseScreen):
    """Follows the runs while it is shown; nobody looks at a covered screen."""

    _feed: ListFeed

    def on_screen_resume(self) -> None:
        self._feed.resume()

    def on_screen_suspend(self) -> None:
        self._feed.pause()

    def on_unmount(self) -> None:
        self._feed.close()
