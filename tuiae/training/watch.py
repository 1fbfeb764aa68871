"""A training that looks at its own curves and pauses before it spoils what it has learned."""

from __future__ import annotations

from tuiae.runs.diagnosis import AUTO_PAUSE, Finding, Severity, diagnose
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.writer import RunWriter
from tuiae.training.report import Mailbox


class Watch:
    """Asks for a pause when a serious finding first appears; what this or an earlier worker was paused for is not
    paused for again."""

    def __init__(self, writer: RunWriter, mailbox: Mailbox) -> None:
        self._writer, self._mailbox = writer, mailbox
        self._reader = RunReader(writer.run.root)
        self._known = {finding.kind for finding in self._serious()}

    def look(self, epoch: int, step: int) -> None:
        """Read what was written since the last look; the event that says why comes before the pause."""
        for finding in self._serious():
            if finding.kind not in self._known:
                self._known.add(finding.kind)
                text = f"{AUTO_PAUSE}, {finding.kind}: {finding}"
                self._writer.event("warning", epoch=epoch, step=step, text=text)
                self._mailbox.ask("pause")

    def _serious(self) -> list[Finding]:
        snapshot = self._reader.read_all()
        sample = read_sample(self._reader.run, snapshot.samples[-1]) if snapshot.samples else None
        found = diagnose(snapshot, sample)
        return [finding for finding in found if finding.severity == Severity.SERIOUS]
