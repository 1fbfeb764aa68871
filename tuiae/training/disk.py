"""What a training writes while it goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Disk:
    """Carries out writes one after the other in a thread: until a disk promises to keep a checkpoint, small networks
    could train for a tenth of an epoch (6 fsyncs took 5 to 17 ms, an epoch of dense_64 300 ms).

    What went wrong is raised by the next `wait`.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._pending: deque[Future[None]] = deque()

    def do(self, write: Callable[[], None]) -> None:
        """Write, some time after everything that was handed over before."""
        self._pending.append(self._thread.submit(write))

    def wait(self) -> None:
        """Until everything is written.

        Raises:
            OSError: the disk is full, or whatever else a write met.
        """
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """End the thread once it has written what it was given."""
        self._thread.shutdown()
