"""Following a growing file that another process, perhaps on another machine, writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHUNK = 1 << 20  # bytes a poll reads at most: lines take several times their size while they are taken apart


class Tail:
    """New complete lines since the last poll.

    The file is reopened each time, because an open handle on NFS can lag for half a minute. A torn last line waits
    for its end; a file that shrank or was replaced is read again from the start, and `restarted` says so. `moved`
    says whether the poll read anything, which can be the middle of a line; `behind`, whether there is more to read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarted = False
        self.moved = False
        self.behind = False
        self._offset = 0
        self._identity: tuple[int, int] | None = None
        self._rest = b""

    def poll(self) -> list[bytes]:
        self.restarted = self.moved = self.behind = False
        try:
            with open(self.path, "rb") as file:
                self._notice_replacement(file.fileno())
                file.seek(self._offset)
                data = file.read(CHUNK)
        except OSError:
            return []
        self._offset += len(data)
        self.moved = bool(data) or self.restarted
        self.behind = len(data) == CHUNK
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def _notice_replacement(self, descriptor: int) -> None:
        import os

        stat = os.fstat(descriptor)
        identity = (stat.st_dev, stat.st_ino)
        if stat.st_size < self._offset or (self._identity is not None and identity != self._identity):
            self._offset, self._rest, self.restarted = 0, b"", True
        self._identity = identity


def parse_event(line: bytes) -> dict[str, Any] | None:
    """A record with a kind, or None for garbage, NUL blocks and anything else that is no JSON object."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("kind"), str) else None
