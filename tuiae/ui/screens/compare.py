"""Several runs beside each other, live or finished."""

from __future__ import annotations

from pathlib import Path

from textual import getters, on
from textual.app import ComposeResult

from tuiae.render.compare import compare_title, group_key
from tuiae.studies.compare import MEANS, CompareReader, Comparison, cautions
from tuiae.ui.feeds import CompareChanged, Feed, follow_comparison
from tuiae.ui.keys import COMPARE
from tuiae.ui.screens.base import ONE_AT_A_TIME, BaseScreen
from tuiae.ui.session import Session
from tuiae.ui.widgets.compare_view import CompareView


class CompareScreen(BaseScreen):
    """Curves, values, settings and pictures of the runs that were selected."""

    MODE = "compare"
    HOME = "runs"
    BINDINGS = [key.binding for key in COMPARE]
    AUTO_FOCUS = "#values"

    view = getters.query_one(CompareView)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._paths: tuple[Path, ...] = ()
        self._metric = "loss"
        self.comparison: Comparison | None = None

    def on_mount(self) -> None:
        self.message.long = True  # it names the groups of runs that letters stand for

    def compose_body(self) -> ComposeResult:
        yield CompareView(id="body")

    def on_screen_resume(self) -> None:
        if self.session.compared != self._paths:
            if self.feed is not None:
                self.feed.close()
            self._paths, self.comparison, self._metric = self.session.compared, None, "loss"
            self.view.means = None
            self.message.hint(f"reading {len(self._paths)} runs…")
            looks = follow_comparison(self._paths, CompareReader(self._paths))
            self.feed = Feed(looks, self.post_message, "compare")
        if self.feed is None:
            words = "nothing to compare yet: 1 lists the runs, space selects some, c compares them"
            self.message.hint(words, "caution")
        self._show()

    @on(CompareChanged)
    def _changed(self, event: CompareChanged) -> None:
        if event.paths != self._paths:
            return  # of a comparison that is no longer shown
        self.comparison = event.comparison
        self._show()

    def _show(self) -> None:
        comparison = self.comparison
        if comparison is None:
            return
        note = self.view.show(comparison, self._metric)
        self.set_title(lambda width: compare_title(comparison, self._metric, width))
        # Beside the figures the panel of values says what one should know of them.
        beside = any(map(self.has_class, ONE_AT_A_TIME))
        said = [group_key(comparison), note, *(cautions(comparison, self._metric) if beside else ())]
        self.message.hint(" · ".join(words for words in said if words))

    def is_enabled(self, action: str) -> bool:
        if action == "spread":
            return self.comparison is not None and self.comparison.seeded
        if action in ("next_metric", "next_setting") or action.startswith("look("):
            return self.comparison is not None
        return super().is_enabled(action)

    def on_resize(self) -> None:
        self._show()

    def action_next_metric(self) -> None:
        """The next of what was measured on test images."""
        if self.comparison is not None and self.comparison.metrics:
            names = self.comparison.metrics
            place = names.index(self._metric) if self._metric in names else -1
            self._metric = names[(place + 1) % len(names)]
            self.message.release()
            self._show()

    def action_next_setting(self) -> None:
        """The next of what differs, against the figures."""
        if self.comparison is None:
            return
        if self.view.next_setting():
            self.message.remark(f"summary: {self.query_one('#sweep').border_title}")
        else:
            self.message.remark("the runs do not differ in a second setting")

    def action_spread(self) -> None:
        """Groups of seeds as means with a band, or each run by itself."""
        if self.comparison is None or not self.comparison.seeded:
            self.message.remark("no two of these runs differ in nothing but their seeds")
        else:
            means = self.view.toggle_means(self.comparison)
            self._show()
            self.message.remark(MEANS if means else "each run by itself")

    def action_look(self, name: str) -> None:
        """Another smoothing or axis on all curves."""
        self.message.remark(self.view.cycle_look(name))
