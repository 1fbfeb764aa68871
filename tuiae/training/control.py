"""Edits as the worker takes them: validated, recorded, put in force, and made again after a stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from tuiae.config import RunConfig
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.models.layers import Dropout
from tuiae.runs.checkpoints import newest_moment
from tuiae.runs.control import this_user
from tuiae.runs.diagnosis import AUTO_PAUSE, Finding, Severity, diagnose
from tuiae.runs.edits import EDITABLE, apply_edits, describe_edit, propose, read_plan, value_of
from tuiae.runs.lineage import read_edits
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.writer import RunWriter
from tuiae.training.report import Mailbox


@dataclass(frozen=True)
class Request:
    """A change that is asked for."""

    key: str
    value: Any
    by: str
    plan: int | None = None
    """Which edit of the replayed run it is."""
    recorded: bool = False
    """Whether the run's history has it already: it was made after the checkpoint that the run went back to."""


def requests_in(commands: Iterable[Mapping[str, Any]]) -> list[Request]:
    """The changes among commands, in their order."""
    asked = [command for command in commands if command["command"] == "set"]
    return [Request(str(one.get("key")), one.get("value"), str(one.get("by", "somebody"))) for one in asked]


class EditDesk:
    """Knows the config in force and the edits that are still to come: a replay's, and those made before a stop."""

    def __init__(self, writer: RunWriter, config: RunConfig, step: int) -> None:
        self._writer = writer
        made = read_edits(writer.run)
        done = {edit.plan for edit in made}
        planned = [edit for edit in read_plan(read_json(writer.run.meta)) if edit.plan not in done]
        # Those of this very step are made again: they came after what the checkpoint remembers.
        self.config = apply_edits(config, (edit for edit in made if edit.step < step))
        self._coming: dict[int, list[Request]] = {}
        for edit, recorded in (*((edit, True) for edit in made), *((edit, False) for edit in planned)):
            request = Request(edit.key, edit.new, edit.by or "somebody", edit.plan, recorded)
            self._coming.setdefault(edit.step, []).append(request)

    def due(self, step: int) -> list[Request]:
        """What has to be changed at this step boundary, each once."""
        return self._coming.pop(step, [])

    def decide(self, request: Request, step: int, epoch: float) -> bool:
        """Validate and record a change; whether `config` is another one now. A refused one becomes a warning.

        `epoch` counts the epochs done, the one under way as a fraction.
        """
        try:
            config = propose(self.config, request.key, request.value, done=int(epoch))
        except ConfigError as error:
            words = str(error).replace("\n", " · ")
            self._writer.event("warning", step=step, epoch=epoch, text=f"not changed: {words}")
            return False
        old, new = value_of(self.config, request.key), value_of(config, request.key)
        label = EDITABLE[request.key].label
        if request.recorded:
            self._writer.event("command", text=f"{label} {new} again from step {step} on, as before the stop")
        elif old == new and request.plan is None:
            self._writer.event("command", text=f"{label} is {new} already")
            return False
        else:
            fields = describe_edit(request.key, old, new, step, epoch, request.by)
            self._writer.event("command", **fields, **({} if request.plan is None else {"plan": request.plan}))
        self.config = config
        return True


def extend(writer: RunWriter, config: RunConfig, epochs: int) -> None:
    """Record a change of the epochs of a config in force, where its worker begins; config.toml stays as it was."""
    moment = newest_moment(writer.run)
    # Not before an edit that the worker is going to make again: the last word is this one.
    edits = ((edit.step, edit.epoch) for edit in read_edits(writer.run))
    step, epoch = max([(moment.step, moment.epoch), *edits])
    fields = describe_edit("training.epochs", config.training.epochs, epochs, step, epoch, this_user())
    writer.event("command", **fields)


def set_dropout(model: nn.Module, probability: float) -> None:
    """Let every dropout of a network drop with another probability."""
    for layer in model.modules():
        if isinstance(layer, Dropout):
            layer.set_probability(probability)


# A training that looks at its own curves and pauses before it spoils what it has learned.


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
