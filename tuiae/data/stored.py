"""One array in a file of NumPy's format, by itself or in an archive: read in pieces, and never unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tuiae.data.dataset import AGAIN, check_room
from tuiae.errors import DataError
from tuiae.files import open_regular

LABELS_OF_NAMES = "np.unique(names, return_inverse=True)[1]"
"""What makes numbers of labels that are words, for hints."""
_PIECE = 1 << 23  # bytes

Pieces = Iterator[NDArray[Any]]


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, known by its header."""

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Callable[[], Pieces]
    """Reads it, some rows at a time."""

    def read(self) -> NDArray[Any]:
        """All of it."""
        check_room(Path(self.where), math.prod(self.shape) * self.dtype.itemsize)
        return np.concatenate(list(self.pieces()))


@contextmanager
def open_member(path: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    with open_regular(path) as file, zipfile.ZipFile(file) as archive, archive.open(name) as member:
        yield member, archive.getinfo(name).file_size


@contextmanager
def open_file(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    with open_regular(path) as file:
        yield file, path.stat().st_size


def read_header(where: str, opened: Callable[[], Any]) -> StoredArray:
    """What the header of an array says; raises DataError for objects, which only unpickling would give, and for
    fewer bytes than it promises."""
    with opened() as (file, size):
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = readers.get(version, readers[2, 0])(file)  # 3.0 has other letters in names alone
        begin = file.tell()
    if dtype.names is not None:
        raise DataError(f"{where} holds records with names", "save images and labels as plain arrays")
    if dtype.hasobject:
        cause = f"{where} holds Python objects, which are not read: unpickling them could run any code"
        hint = f"save numbers: images.astype('uint8'), and for labels {LABELS_OF_NAMES}"
        raise DataError(cause, hint)
    promised = math.prod(shape) * dtype.itemsize
    if size - begin < promised:
        raise DataError(f"{where} ends early: {size - begin:,} of {promised:,} bytes", AGAIN)
    return StoredArray(where, shape, dtype, partial(_pieces, where, opened, begin, shape, fortran, dtype))


def _pieces(
    where: str, opened: Callable[[], Any], begin: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
) -> Pieces:
    row = math.prod(shape[1:]) * dtype.itemsize
    rows = max(1, _PIECE // max(row, 1))
    check_room(Path(where), math.prod(shape) * dtype.itemsize if fortran else row * min(rows, shape[0]))
    with opened() as (file, _):
        file.read(begin)
        if fortran and len(shape) > 1:  # its images do not lie one after the other
            whole = np.frombuffer(_exactly(file, row * shape[0], where), dtype).reshape(shape, order="F")
            yield from (whole[start : start + rows] for start in range(0, shape[0], rows))
            return
        for start in range(0, shape[0], rows):
            count = min(rows, shape[0] - start)
            yield np.frombuffer(_exactly(file, row * count, where), dtype).reshape(count, *shape[1:])
        file.read(1)  # at its end the archive compares checksums


def _exactly(file: IO[bytes], count: int, where: str) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise DataError(f"{where} ends early", AGAIN)
    return data
