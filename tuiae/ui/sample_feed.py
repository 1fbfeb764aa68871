"""Reading stored samples of a run off the screen's thread: the latest wish wins."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from textual.message import Message

from tuiae.runs.layout import RunPaths
from tuiae.runs.reader import read_sample
from tuiae.runs.snapshot import Sample

KEPT = 16  # samples: one goes to and fro


class SampleRead(Message):
    """A sample that was asked for; None when its file is missing or torn."""

    def __init__(self, path: Path, epoch: int, sample: Sample | None) -> None:
        super().__init__()
        self.path = path
        self.epoch = epoch
        self.sample = sample

    def can_replace(self, message: Message) -> bool:
        """In a burst only the last counts."""
        return isinstance(message, SampleRead)


class SampleFeed:
    """Reads samples of one run until closed; its thread starts with the first wish."""

    def __init__(self, path: Path, post: Callable[[Message], object]) -> None:
        self.path = path
        self._post = post
        self._wanted: int | None = None
        self._closed = False
        self._change = threading.Condition()
        self._kept: OrderedDict[int, Sample] = OrderedDict()
        self._thread: threading.Thread | None = None

    def want(self, epoch: int | None) -> None:
        """Ask for the sample of an epoch; a wish that was not begun is dropped, and with None nothing is wanted."""
        with self._change:
            self._wanted = epoch
            if self._thread is None and epoch is not None:
                self._thread = threading.Thread(target=self._serve, name="samples", daemon=True)
                self._thread.start()
            self._change.notify()

    def close(self) -> None:
        """Read no more."""
        with self._change:
            self._closed = True
            self._change.notify()

    def _serve(self) -> None:
        while True:
            with self._change:
                while self._wanted is None and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                epoch, self._wanted = self._wanted, None
            if epoch is not None:
                self._post(SampleRead(self.path, epoch, self._read(epoch)))

    def _read(self, epoch: int) -> Sample | None:
        sample = self._kept.get(epoch) or read_sample(RunPaths(self.path), epoch)
        if sample is not None:
            self._kept[epoch] = sample
            self._kept.move_to_end(epoch)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return sample
