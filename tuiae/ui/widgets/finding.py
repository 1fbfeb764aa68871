"""What a run's curves say: the most serious of it in one sentence, all of it where it has the screen."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget

from tuiae.runs.diagnosis import Finding, Severity
from tuiae.ui.render.text import clean

SIGNS = {Severity.NOTE: "·", Severity.WARNING: "!", Severity.SERIOUS: "!!"}


class FindingLine(Widget, can_focus=True):
    """The most serious finding and the next thing to try, all of them when it is alone on the screen; not there while
    there is nothing to say."""

    BINDINGS = [Binding("enter", "screen.zoom", "All of it", show=False)]

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = "what the curves say"
        self._shown: tuple[Finding, ...] = ()

    def show(self, findings: Sequence[Finding]) -> None:
        """Say these; the same findings cost nothing."""
        found = tuple(findings)
        if found == self._shown:
            return
        self._shown = found
        if not found and self.screen.maximized is self:
            self.screen.minimize()
        self.set_class(bool(found), "-said")
        for severity in Severity:
            self.set_class(bool(found) and found[0].severity == severity, f"-{severity.name.lower()}")
        self.tooltip = "\n".join(clean(str(finding), 400) for finding in found) or None
        self.refresh(layout=True)

    def render(self) -> Content:
        said = [f"{SIGNS[finding.severity]} {clean(str(finding), 400)}" for finding in self._shown]
        if self.has_class("-maximized"):
            return Content("\n\n".join(said))
        more = f"  (+{len(said) - 1} more: {'enter' if self.has_focus else 'click or tab'})"
        return Content("".join(said[:1]) + more * (len(said) > 1))

    async def on_click(self) -> None:
        await self.run_action("screen.zoom")  # a press has given it the focus

    def on_focus(self) -> None:
        self.refresh(layout=True)  # for the words that say how to see more

    def on_blur(self) -> None:
        self.refresh(layout=True)
