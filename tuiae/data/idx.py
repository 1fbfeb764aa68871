"""Reading idx files, the form in which MNIST and its kin are passed around."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np

from tuiae.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_UBYTE, _INT = 0x08, 0x0C
_NOUNS = {(_UBYTE, 1): "labels", (_UBYTE, 3): "images", (_INT, 2): "labels"}


def read_idx(path: Path) -> np.ndarray:
    """Read one idx file, gzipped or not (its first bytes tell, not its name).

    The format is the one on http://yann.lecun.com/exdb/mnist: two zero bytes, the element type, the number of
    dimensions, each dimension as a big-endian 32-bit integer, the elements.

    Returns:
        uint8 (N,) labels or uint8 (N, H, W) images, of any H and W. QMNIST's extended labels, which are 32-bit and
        (N, 8), come back as uint8 (N,): their first column, the class.

    Raises:
        DataError: unreadable, not idx, another element type or number of dimensions, truncated, trailing bytes.
    """
    data = _read_bytes(path)
    kind, shape = _read_header(path, data)
    itemsize = 4 if kind == _INT else 1
    offset, expected = 4 + 4 * len(shape), prod(shape) * itemsize
    held = len(data) - offset
    noun = _NOUNS[kind, len(shape)]
    if held < expected:
        whole = held // (expected // shape[0])
        raise _unfit(path, f"holds {whole:,} of {shape[0]:,} {noun}: truncated")
    if held > expected:
        raise _unfit(path, f"holds {held - expected:,} bytes after its {shape[0]:,} {noun}")
    array = np.frombuffer(data, dtype=">i4" if kind == _INT else np.uint8, offset=offset).reshape(shape)
    return _first_column(path, array) if kind == _INT else array


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _unfit(path, f"is a damaged gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "check the path and its permissions") from error


def _read_header(path: Path, data: bytes) -> tuple[int, tuple[int, ...]]:
    if len(data) < 4 or data[:2] != b"\0\0":
        raise _unfit(path, f"is not an idx file (it begins with {data[:4].hex(' ') or 'nothing'})")
    kind, dimensions = data[2], data[3]
    if (kind, dimensions) not in _NOUNS:
        raise _unfit(
            path,
            f"has element type 0x{kind:02X} and {dimensions} dimensions; "
            "images are type 0x08 with 3, labels type 0x08 with 1",
        )
    if len(data) < 4 + 4 * dimensions:
        raise _unfit(path, "ends inside its header: truncated")
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    if 0 in shape:
        raise _unfit(path, f"holds no {_NOUNS[kind, dimensions]} (its header says {' x '.join(map(str, shape))})")
    return kind, shape


def _first_column(path: Path, table: np.ndarray) -> np.ndarray:
    column = table[:, 0]
    if column.min() < 0 or column.max() > 255:
        raise _unfit(path, f"has a class of {int(column.max())} in its first column")
    return column.astype(np.uint8)


def _unfit(path: Path, what: str) -> DataError:
    return DataError(f"{path} {what}", "copy the file over again")
