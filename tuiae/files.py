"""Files that are never seen half-written: replace by temp + fsync + rename, append whole lines."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import msgspec

from tuiae.errors import ConfigError


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file through `write` and put it in place in one step, durable before it is visible.

    Raises OSError on a full disk or where it may not write; nothing is left behind and the old file stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(2)}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = str(path)  # nobody has heard of the other
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """`replace_file` for a text."""
    replace_file(path, lambda file: file.write(text.encode()))


def replace_json(path: Path, value: Any) -> None:
    """`replace_file` for a JSON document."""
    replace_text(path, json.dumps(jsonable(value), indent=1) + "\n")


def save_new(path: Path, content: bytes) -> Path:
    """Write a file under a name or, where there is a file of that name, with a number behind it: `a.png`, `a-2.png`;
    returns its path. Raises ConfigError where it cannot be written, and leaves nothing behind."""
    names = chain([path], (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2)))
    try:
        file = next(opened for name in names if (opened := _created(name)) is not None)
        with file:
            try:
                file.write(content)
            except OSError:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", "go to another folder") from error
    return Path(file.name)


def _created(path: Path) -> BinaryIO | None:
    """A new file to write into; None where there is something of that name."""
    try:
        return open(path, "xb", buffering=0)
    except FileExistsError:
        return None


def overwrite_json(path: Path, value: Any) -> None:
    """Write a JSON document over the file that is there, where a full disk has no space for a second one beside it. Who
    reads it at that very moment may find it torn.

    Raises OSError, and leaves the file as it was, where the document needs more space than the file has.
    """
    content = json.dumps(jsonable(value)).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        known = os.fstat(descriptor)
        if len(content) > known.st_blocks * 512:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.pwrite(descriptor, content.ljust(known.st_size), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def jsonable(value: Any) -> Any:
    """The value for JSON: numbers that are not finite become null, because NaN is not JSON and stops strict parsers."""
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


LARGEST_TEXT = 16 << 20
"""Bytes of the largest JSON or TOML file that is read; ours have a thousandth of that."""
_PIECE = 1 << 16  # bytes read at once


def open_regular(path: Path | str) -> BufferedReader:
    """Open a regular file for reading: a pipe may never give anything, and a device never end.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    return open(_descriptor_of(path), "rb")


def _descriptor_of(path: Path | str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def open_append(path: Path) -> BinaryIO:
    """Open a regular file for appending, or make it; raises OSError as `open_regular`."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return open(descriptor, "ab")


def read_bytes(path: Path | str) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it cannot be read, is no regular file, or has more bytes than LARGEST_TEXT.
    """
    # Without a file object, whose buffers take five times as long: a list of 10,000 runs reads 30,000 files.
    pieces, size, descriptor = [], 0, _descriptor_of(path)
    try:
        while size <= LARGEST_TEXT and (piece := os.read(descriptor, _PIECE)):
            pieces.append(piece)
            size += len(piece)
    finally:
        os.close(descriptor)
    if size > LARGEST_TEXT:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return b"".join(pieces)


def read_json(path: Path | str) -> dict[str, Any]:
    """A JSON object, or an empty one when the file is missing, torn or not an object."""
    try:
        value = parse_json(read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def parse_json(content: bytes) -> Any:
    """The value of a JSON document; raises ValueError or RecursionError for what is none."""
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return json.loads(content)  # which takes NaN, and half of a surrogate pair


def make_directory(path: Path) -> None:
    """Make a directory and those above it, where they are not there yet; raises OSError, which names what is wrong."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The numbers of the errors that more space on a disk, or a larger quota, would end."""


def writable_advice(error: OSError, variable: str) -> str:
    """What to do where nothing can be written to a directory that a variable of the environment chooses."""
    elsewhere = f"point {variable} at a directory that you may write"
    return f"free some space, or {elsewhere}" if error.errno in FULL else elsewhere


def make_way(path: Path, is_right: Callable[[Path], bool] = os.path.isfile) -> None:
    """Move aside what stands in the place of a file of ours, or of a directory with `os.path.isdir`, and is something
    else: it may be somebody's, and nothing could be written there."""
    if os.path.lexists(path) and not is_right(path):
        os.rename(path, path.with_name(f"{path.name}.aside-{secrets.token_hex(2)}"))


def fsync_directory(path: Path) -> None:
    """Make a rename inside `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


YOUNG_SECONDS = 60.0  # of a folder that its maker may not have locked yet


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder of this process among the system's temporary ones, locked while it lasts; what killed processes have
    left of the same prefix goes."""
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):  # in use, somebody else's, or gone by now
            if time.time() - left.stat().st_mtime > YOUNG_SECONDS:
                with _locked(left):
                    shutil.rmtree(left, ignore_errors=True)
    prefix += f"{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder, _locked(Path(folder)):
        yield Path(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises OSError where another process has the lock, and for what is no folder."""
    # Among the temporary files of all users a pipe of such a name would be waited at, and a link followed.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


_COMPACT = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class LineFile:
    """An append-only file of JSON objects; each line is a single write(), as long as the disk takes it.

    What a full disk does not take waits in memory, and a line that was cut in two is finished later.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._descriptor).st_size
        # A writer that was killed may have left half a line; the next record must not be glued to it.
        torn = bool(size) and os.pread(self._descriptor, 1, size - 1) != b"\n"
        self._waiting = bytearray(b"\n" if torn else b"")

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; raises OSError where it has to wait, and is not lost."""
        try:
            text = _COMPACT.encode(record)
        except ValueError:  # some number is not finite
            text = _COMPACT.encode(jsonable(record))
        self._waiting += f"{text}\n".encode()
        self.flush()

    def flush(self) -> None:
        """Write what waits; raises OSError where the disk still does not take it."""
        while self._waiting:
            del self._waiting[: os.write(self._descriptor, self._waiting)]

    def sync(self) -> None:
        """Make what was written durable."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


# Values from files that anybody may have damaged: what is not of the kind it should be is no value.

MAX_COUNT = 2**53  # steps and epochs stay exact in the float64 tables of a series
MAX_EPOCH = 1e9  # a thousand times what a config may ask for
MAX_TIME = 250e9  # seconds: beyond the year 9892, near which calendars end


def as_number(value: Any, most: float | None = None) -> float | None:
    """A finite number, with `most` one from 0 to `most`; else None, as for a JSON integer too large for a float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and (most is None or 0 <= number <= most) else None


def is_count(value: Any) -> TypeGuard[int]:
    """Returns whether a value is a whole number, not below 0, that a float64 holds exactly."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
