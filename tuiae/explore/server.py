"""The explorer: `python -m tuiae.explore.server` answers questions about a run's weights on its stdin and stdout.

It is a child of the dashboard, has no port and no file of its own, and ends when its stdin closes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO

from tuiae.errors import ConfigError, TrainingError, TuiaeError
from tuiae.explore.protocol import Answer, Arrays, encode_frame, is_slow, pack, read_frame
from tuiae.machine import lasting_imports, see_only, when_parent_ends

NICE = 5
"""Behind the dashboard, as a training on the CPU is (training.setup.give_way)."""
SLOW_NICE = 15  # what nobody waits for at the screen


class AnswerWriter:
    """Writes frames to the dashboard, from two threads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def notice(self, text: str) -> None:
        """Send a notice: what the explorer is doing."""
        self._send({"notice": text})

    def answer(self, number: int, work: Callable[[], Answer]) -> None:
        """Send what `work` returns, or what it raised as cause and hint."""
        try:
            values, arrays = pack(work())
        except Exception as error:  # noqa: BLE001 whatever a question trips over is an answer, and the next is heard
            failure = explain(error)
            self._send({"id": number, "error": {"cause": failure.cause, "hint": failure.hint}})
        else:
            self._send({"id": number, "answer": values}, arrays)

    def _send(self, fields: Mapping[str, Any], arrays: Arrays | None = None) -> None:
        frame = encode_frame(fields, arrays)
        with self._lock:
            self._stream.write(frame)
            self._stream.flush()


def explain(error: Exception) -> TuiaeError:
    """The cause and the next step for an error that a question met."""
    if isinstance(error, TuiaeError):
        return error
    from tuiae.training.device import is_out_of_memory  # not above: torch is imported once that has been said

    if is_out_of_memory(error):
        return TrainingError("the explorer is out of memory", "close something, or open a smaller run")
    if isinstance(error, OSError):
        return ConfigError(f"{error.filename or 'the run directory'}: {error.strerror}", "it may have been deleted")
    return ConfigError(f"the explorer cannot answer: {type(error).__name__}: {error}", "open another checkpoint or run")


def _step_back() -> None:
    if sys.platform == "linux":  # elsewhere a priority belongs to the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), SLOW_NICE)


def serve(questions: BinaryIO, writer: AnswerWriter) -> None:
    """Answer until the questions end, the slow ones one after the other while the others go on."""
    writer.notice("opening the weights")  # most of it is the import of torch
    with lasting_imports():
        from tuiae.explore.questions import Dispatcher
    dispatcher, slow = Dispatcher(writer.notice), ThreadPoolExecutor(1, initializer=_step_back)
    while (frame := read_frame(questions)) is not None:
        question, arguments = frame.fields["question"], frame.fields["arguments"]
        work = partial(dispatcher.answer, dispatcher.opened, question, {**arguments, **frame.arrays})
        if is_slow(question, arguments):
            slow.submit(writer.answer, frame.fields["id"], work)
        else:
            writer.answer(frame.fields["id"], work)


def main() -> None:
    when_parent_ends(lambda: os._exit(0))  # nobody waits for what it is in the middle of
    # What any library prints must not get between two answers.
    writer = AnswerWriter(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    os.nice(NICE)
    see_only()  # it computes on the CPU
    with contextlib.suppress(BrokenPipeError):  # the dashboard is gone: nobody is left to tell
        serve(sys.stdin.buffer, writer)
    # At once: the slow queue may be in the middle of something that nobody waits for any more.
    os._exit(0)


if __name__ == "__main__":
    main()
