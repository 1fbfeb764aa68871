"""How far a run's history says that it is: the status file is written once a second, and an epoch may take less."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tuiae.runs.snapshot import Resume, Status


@dataclass
class Progress:
    """What the events tell of where a run stands, and of the workers that went on with it."""

    step: int = 0
    epoch: int = 0
    """Epochs that are over."""
    epochs_done: float | None = None
    """The one under way as a fraction of them."""
    resumes: tuple[Resume, ...] = ()
    _first: int | None = None

    def start(self, step: int, epoch: float) -> None:
        """A worker began, `epoch` epochs and `step` steps after the run's first; what was beyond is repeated."""
        self.step, self.epoch, self.epochs_done = step, int(epoch), epoch
        if self._first is None:
            self._first = step
        elif step > self._first:
            self.resumes = (*(resume for resume in self.resumes if resume.step < step), Resume(step, epoch))

    def reach(self, step: int, epoch: float, whole: bool) -> None:
        """A value was measured there; `whole` says that it was when the epoch was over.

        A live point at a whole number is the last of its epoch, which is still to be evaluated.
        """
        self.step = max(self.step, step)
        self.epoch = max(self.epoch, int(epoch) if whole else math.ceil(epoch) - 1)
        self.epochs_done = max(self.epochs_done or 0.0, epoch)

    def on(self, status: Status) -> Status:
        """The status with the newer of both."""
        done = max((known for known in (status.epochs_done, self.epochs_done) if known is not None), default=None)
        step, epoch = max(status.step, self.step), max(status.epoch, self.epoch)
        return replace(status, step=step, epoch=epoch, epochs_done=done)
