"""How the dashboard and the explorer talk: frames of a JSON object and the raw bytes of arrays."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct(">I")
_MOST_HEADER = 1 << 24  # bytes; a length beyond is no frame of ours
_ARRAYS = "arrays"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Frame:
    """One message: what JSON can say, and arrays by name."""

    fields: Mapping[str, Any]
    arrays: Arrays


def encode_frame(fields: Mapping[str, Any], arrays: Arrays | None = None) -> bytes:
    """One frame: the length of the header in 4 bytes, the header, the arrays one after the other.

    Raises:
        TypeError: something that JSON cannot say.
    """
    blocks = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    shapes = [[name, array.dtype.str, array.shape] for name, array in blocks.items()]
    header = json.dumps({**fields, _ARRAYS: shapes}, default=_plain).encode()
    return b"".join([_LENGTH.pack(len(header)), header, *(array.tobytes() for array in blocks.values())])


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"not for JSON: {value!r}")


def read_frame(stream: IO[bytes]) -> Frame | None:
    """The next frame; None where the stream ends, or goes on with something else."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _MOST_HEADER:
        return None
    try:
        fields = json.loads(stream.read(length))
        shapes = fields.pop(_ARRAYS)
        return Frame(fields, {name: _read_array(stream, np.dtype(kind), tuple(shape)) for name, kind, shape in shapes})
    except (ValueError, TypeError, KeyError, AttributeError, EOFError):
        return None


def _read_array(stream: IO[bytes], kind: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    data = stream.read(size)
    if kind.hasobject or len(data) < size:
        raise EOFError
    return np.frombuffer(data, kind).reshape(shape)
