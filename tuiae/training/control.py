"""What is asked of a training while it runs: commands at step boundaries, edits of its config, its own auto pause."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tuiae.config import RunConfig
from tuiae.errors import ConfigError
from tuiae.files import is_count
from tuiae.runs import control
from tuiae.runs.checkpoints import newest_position
from tuiae.runs.control import EDITABLE, Value, apply_edits, describe_edit, propose, value_of
from tuiae.runs.diagnosis import AUTO_PAUSE, Finding, Severity, diagnose
from tuiae.runs.lineage import coming_edits, read_edits
from tuiae.runs.paths import RunPaths, need_run
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.writer import RunWriter

MAIL_SECONDS = 0.1  # between looks at the control directory
PAUSE_SECONDS = 0.05  # between looks while paused


class Mailbox:
    """Commands and the termination signal, looked at between steps; and whether anybody can still find the run."""

    def __init__(self, run: RunPaths, terminated: Callable[[], bool]) -> None:
        self._run = run
        self._terminated = terminated
        self._next_look = 0.0
        self._kept: list[dict[str, Any]] = []

    def ask(self, command: str) -> None:
        """Leave a command of the training's own, to be taken at the next step boundary."""
        self._kept.append({"command": command})
        self._next_look = 0.0

    def take(self) -> list[dict[str, Any]]:
        """The commands that have come since the last look; raises UnknownRunError for a run that was deleted."""
        ended = [{"command": "stop"}] if self._terminated() else []
        if not ended and not self._kept and time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + MAIL_SECONDS
        need_run(self._run)
        kept, self._kept = self._kept, []
        return [*kept, *control.take(self._run), *ended]

    def take_edits(self) -> list[dict[str, Any]]:
        """The edits that have come, looked for at once; what else came waits for the next `take`."""
        commands = control.take(self._run)
        self._kept += [command for command in commands if command["command"] != "set"]
        return [command for command in commands if command["command"] == "set"]

    def wait(self, check: Callable[[], object]) -> list[dict[str, Any]]:
        """Sleep until a command comes, and return what came; raises what `check` raises meanwhile."""
        while not (commands := self.take()):
            check()
            time.sleep(PAUSE_SECONDS)
        return commands


@dataclass(frozen=True)
class EditRequest:
    """A change of the config that is asked for."""

    key: str
    value: Any
    by: str
    plan: int | None = None
    """Which edit of the replayed run it is."""
    recorded: bool = False
    """Whether the run's history has it already: it was made after the checkpoint that the run went back to."""


def edits_in(commands: Iterable[Mapping[str, Any]]) -> list[EditRequest]:
    """The edits among commands, in their order."""
    asked = [command for command in commands if command["command"] == "set"]
    return [EditRequest(str(one.get("key")), one.get("value"), str(one.get("by", "somebody"))) for one in asked]


def steps_in(commands: Iterable[Mapping[str, Any]]) -> int:
    """How many single steps are asked for in all; what is no number of them counts as one."""
    asked = [command.get("steps") for command in commands if command["command"] == "step"]
    return sum(steps if is_count(steps) and steps else 1 for steps in asked)


class EditQueue:
    """The config in force, and the edits that are still to come: a replay's, and those made before a stop."""

    def __init__(self, writer: RunWriter, config: RunConfig, step: int) -> None:
        self._writer, self._began = writer, config
        made = read_edits(writer.run)
        planned = coming_edits(writer.run, made)
        # Those of this very step are made again: they came after what the checkpoint remembers.
        self.config = apply_edits(config, (edit for edit in made if edit.step < step))
        self._coming: dict[int, list[EditRequest]] = {}
        for edit, recorded in (*((edit, True) for edit in made), *((edit, False) for edit in planned)):
            request = EditRequest(edit.key, edit.new, edit.by or "somebody", edit.plan, recorded)
            self._coming.setdefault(edit.step, []).append(request)

    @property
    def edited(self) -> dict[str, Value]:
        """What edits have changed of the config that the run began with, as it is now."""
        now = {key: value_of(self.config, key) for key in EDITABLE}
        return {key: value for key, value in now.items() if value != value_of(self._began, key)}

    def due(self, step: int) -> list[EditRequest]:
        """The edits to be made at this step boundary, each once."""
        return self._coming.pop(step, [])

    def decide(self, request: EditRequest, step: int, epoch: float) -> bool:
        """Validate and record a change; returns whether `config` changed. A refused change becomes a warning.

        `epoch` counts the epochs done, the one under way as a fraction.
        """
        try:
            config = propose(self.config, request.key, request.value, done=int(epoch))
        except ConfigError as error:
            words = str(error).replace("\n", " · ")
            self._writer.event("warning", step=step, epoch=epoch, text=f"not changed: {words}")
            return False
        old, new = value_of(self.config, request.key), value_of(config, request.key)
        label = EDITABLE[request.key]
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
    """Record another number of epochs as an edit at the step where the worker begins; config.toml stays as it was.

    `config` is the config in force.
    """
    moment = newest_position(writer.run)
    # Not before an edit that the worker is going to make again: the last word is this one.
    edits = ((edit.step, edit.epoch) for edit in read_edits(writer.run))
    step, epoch = max([(moment.step, moment.epoch), *edits])
    fields = describe_edit("training.epochs", config.training.epochs, epochs, step, epoch, control.this_user())
    writer.event("command", **fields)


class AutoPause:
    """Asks for a pause when a serious finding first appears in the run's own curves, before what was learned is spoilt.

    What this or an earlier worker was paused for is not paused for again.
    """

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
