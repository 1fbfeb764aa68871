"""The dashboard's end of the explorer: a process that is asked without waiting, and answers by callback."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from tuiae.errors import TuiaeError
from tuiae.explore.protocol import Answer, Frame, encode_frame, is_slow, read_frame, unpack
from tuiae.runs.process import worker_environment

COMMAND = [sys.executable, "-m", "tuiae.explore.server"]
RESTARTS = 1
AGAIN = "try again, or look at another run"


class ExplorerError(TuiaeError):
    """The explorer could not answer, or is gone."""


@dataclass(frozen=True)
class Reply:
    """The reply to one question: either `answer` or `error` is set."""

    question: str
    slot: str
    arguments: Mapping[str, Any]
    answer: Answer | None = None
    error: ExplorerError | None = None


@dataclass(frozen=True)
class Notice:
    """The explorer's current work, in words."""

    text: str


@dataclass(frozen=True)
class Restarted(Notice):
    """The process died and is started once more."""


@dataclass(frozen=True)
class Ended(Notice):
    """The process died again and is not started any more."""


@dataclass(frozen=True)
class _Question:
    number: int
    name: str
    slot: str
    arguments: Mapping[str, Any]
    frame: bytes

    @property
    def slow(self) -> bool:
        return is_slow(self.name, self.arguments)

    def reply(self, answer: Answer | None = None, error: ExplorerError | None = None) -> Reply:
        return Reply(self.name, self.slot, self.arguments, answer, error)


class Explorer:
    """Starts the process with the first question and again, once, when it dies; it is asked without waiting.

    One quick and one slow question are on their way at a time. The others wait here, where the newest of a slot takes
    the place of the one before: whoever drags a cursor is answered for where it is, and not for where it has been.

    `tell` is called from threads, with a `Reply` for every question that was not replaced and a `Notice` now and then.
    """

    def __init__(self, tell: Callable[[Reply | Notice], object]) -> None:
        self._tell = tell
        self._changed = threading.Condition()
        self._waiting: dict[str, _Question] = {}
        self._sent: dict[int, _Question] = {}
        self._answered: dict[str, int] = {}
        self._to_restore: dict[str, _Question] = {}  # what a new process has to be told before anything else
        self._run: Any = None
        """The run that was last to be opened; another one is a reason to start anew."""
        self._number = self._deaths = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._sender: threading.Thread | None = None
        self._closed = False

    def ask(self, question: str, slot: str = "", **arguments: Any) -> None:
        """Ask; arrays among the arguments travel as they are. A slot that is empty is the question's own."""
        arrays = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in arguments.items() if name not in arrays}
        with self._changed:
            if self._closed:
                return
            self._number += 1
            frame = encode_frame({"id": self._number, "question": question, "arguments": plain}, arrays)
            asked = _Question(self._number, question, slot or question, arguments, frame)
            if question == "open" and arguments.get("run") != self._run:
                self._run, self._deaths = arguments.get("run"), 0
            self._waiting[asked.slot] = asked
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_all, name="explorer-questions", daemon=True)
                self._sender.start()
            self._changed.notify_all()

    @property
    def busy(self) -> bool:
        """Whether some question is not answered yet."""
        with self._changed:
            return bool(self._waiting or self._sent)

    @property
    def pid(self) -> int:
        """Process id; 0 without a process."""
        process = self._process
        return process.pid if process is not None else 0

    def revive(self) -> None:
        """Let the next question start the process again after it died too often."""
        with self._changed:
            self._deaths = 0

    def close(self) -> None:
        """End the process; `tell` is not called any more."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            process, self._process = self._process, None
            self._changed.notify_all()
        if process is not None:
            process.kill()  # it has nothing to save
            process.wait()

    def _next(self) -> _Question | None:
        """The question that can go out now; one that opens a checkpoint goes before those about it."""
        taken = {question.slow for question in self._sent.values()}
        opening = [question for question in self._waiting.values() if question.name == "open"]
        return next((one for one in opening or self._waiting.values() if one.slow not in taken), None)

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next() is not None)
                question = self._next()
                if self._closed or question is None:
                    return
                del self._waiting[question.slot]
                trouble = None
                try:
                    stream = self._ready().stdin
                    self._sent[question.number] = question
                except ExplorerError as error:
                    trouble = error
            if trouble is not None:
                self._tell(question.reply(error=trouble))
            elif stream is not None:
                # When it has died, its reader hears of that and puts the question back.
                with contextlib.suppress(OSError, ValueError):
                    stream.write(question.frame)
                    stream.flush()

    def _ready(self) -> subprocess.Popen[bytes]:
        """The process, started where there is none; raises ExplorerError where it cannot be, or died too often."""
        if self._deaths > RESTARTS:
            raise ExplorerError("the explorer has ended twice and stays away", AGAIN)
        if self._process is not None:
            return self._process
        stderr = tempfile.TemporaryFile()  # noqa: SIM115 it lives as long as the process
        try:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is for the dashboard
                env={**worker_environment(), "OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise ExplorerError(f"the explorer cannot be started: {error.strerror}", AGAIN) from error
        reader = (self._process, stderr)
        threading.Thread(target=self._read_answers, args=reader, name="explorer-answers", daemon=True).start()
        return self._process

    def _read_answers(self, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
        assert process.stdout is not None
        while (frame := read_frame(process.stdout)) is not None:
            self._handle(frame)
        process.kill()  # it may have written what is no frame, and then it is of no use
        with contextlib.suppress(OSError), process:  # closes its pipes and waits; what was not written stays so
            pass
        self._process_ended(process, stderr)
        stderr.close()

    def _handle(self, frame: Frame) -> None:
        if "notice" in frame.fields:
            if not self._closed:
                self._tell(Notice(str(frame.fields["notice"])))
            return
        with self._changed:
            question = self._sent.pop(int(frame.fields["id"]), None)
            self._changed.notify_all()
            if question is None or self._closed:
                return
            # A slow one may come after a newer one of its slot.
            stale = question.number < self._answered.get(question.slot, 0)
            self._answered[question.slot] = max(question.number, self._answered.get(question.slot, 0))
            failure = frame.fields.get("error")
            if failure is None and question.name in ("open", "codes") and not stale:
                self._to_restore = {} if question.name == "open" else self._to_restore
                self._to_restore[question.name] = question
        if stale:
            return
        if failure is not None:
            self._tell(question.reply(error=ExplorerError(failure["cause"], failure["hint"])))
            return
        try:
            answer = unpack(frame.fields["answer"], frame.arrays)
        except (KeyError, TypeError):
            # An update on the disk, and this dashboard is from before.
            self._tell(question.reply(error=ExplorerError("the explorer is of another version", "leave and come back")))
        else:
            self._tell(question.reply(answer))

    def _process_ended(self, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
        """Ask a new process what the old one was asked when it ended, or report that it is gone."""
        with self._changed:
            if self._closed or self._process is not process:
                return
            self._process = None
            self._deaths += 1
            lost = list(self._sent.values())
            self._sent.clear()
            again = self._deaths <= RESTARTS
            if again:
                # In this order, and each only where nothing newer of its slot waits.
                before = {question.slot: question for question in (*self._to_restore.values(), *lost)}
                self._waiting = {**before, **self._waiting}
            else:
                lost += self._waiting.values()
                self._waiting.clear()
            self._changed.notify_all()
        how = _how_it_ended(process.returncode, stderr)
        if again:
            self._tell(Restarted(f"the explorer ended ({how}) and is started again"))
            return
        error = ExplorerError(f"the explorer ended again: {how}", AGAIN)
        self._tell(Ended(error.cause))
        for question in lost:
            self._tell(question.reply(error=error))


def _how_it_ended(code: int, stderr: IO[bytes]) -> str:
    """How a process ended, by its exit code and the last line of its stderr."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    stderr.seek(0)
    lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"
