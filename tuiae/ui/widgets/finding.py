"""What a run's curves say, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from tuiae.runs.diagnosis import Finding, Severity
from tuiae.ui.render.text import clean

SIGNS = {Severity.NOTE: "·", Severity.WARNING: "!", Severity.SERIOUS: "!!"}


class FindingLine(Static):
    """The most serious finding and the next thing to try; not there while there is nothing to say."""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = "what the curves say"
        self._shown: tuple[Finding, ...] = ()

    def show(self, findings: Sequence[Finding]) -> None:
        """Say the first, and how many more there are; the same findings cost nothing."""
        found = tuple(findings)
        if found == self._shown:
            return
        self._shown = found
        self.set_class(bool(found), "-said")
        if found:
            more = f"  (+{len(found) - 1} more)" if len(found) > 1 else ""
            self.set_classes(f"-said -{found[0].severity.name.lower()}")
            self.update(Content(clean(f"{SIGNS[found[0].severity]} {found[0]}{more}", 400)))
            self.tooltip = "\n".join(clean(str(finding), 400) for finding in found)
