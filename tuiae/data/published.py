"""Telling whether images are those that their makers published under a name."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from tuiae.data.dataset import Content, Shape
from tuiae.data.registry import DatasetInfo
from tuiae.errors import DataError

MD5 = {
    "mnist": {
        "train-images": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels": "a25bea736e30d166cdddb491f175f624",
        "test-images": "2646ac647ad5339dbf082846283269ea",
        "test-labels": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels": "9018921c3c673c538a1fc5bad174d6f9",
        "test-images": "8181f5470baa50b63fa0f6fddb340f0a",
        "test-labels": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
"""Of the unpacked idx files; their gzipped forms differ from copy to copy."""


def check_published(content: Content, known: DatasetInfo) -> None:
    """Refuse content that is another set than the one of that name.

    Counts, size and classes are compared, and the files' md5 where it is known of this set or of another one.

    Raises:
        DataError: in what it differs.
    """
    labels = [np.asarray(part.labels) for part in (content.train, content.test)]
    here = (len(labels[0]), len(labels[1]), content.shape, len(np.unique(np.concatenate(labels))))
    there = (known.train, known.test, known.shape, len(known.classes))
    if here != there:
        raise _foreign(known.name, f"these are {_words(*here)}, and {known.name} has {_words(*there)}")
    sums = _sums(content)
    owner = next((name for name, published in MD5.items() if published == sums), "")
    if owner not in ("", known.name):
        raise _foreign(known.name, f"these are the images of {owner}", owner)
    wrong = [array for array, published in MD5.get(known.name, {}).items() if sums[array] != published]
    if wrong:
        raise _foreign(known.name, f"its {' and '.join(wrong)} are not the published ones")


def _words(train: int, test: int, shape: Shape | None, classes: int) -> str:
    size = "x".join(str(side) for side in shape[1:]) if shape else "any size"
    return f"{train:,} and {test:,} images of {size} in {classes} classes"


def _sums(content: Content) -> dict[str, str]:
    """The md5 of the idx files that hold the same, by array."""
    sums = {}
    for split, part in (("train", content.train), ("test", content.test)):
        images = np.concatenate([np.asarray(chunk) for chunk in part.images])[:, 0]
        sums[f"{split}-images"] = _md5(images)
        sums[f"{split}-labels"] = _md5(part.labels.astype(np.uint8))
    return sums


def _md5(array: np.ndarray) -> str:
    digest = hashlib.md5(bytes((0, 0, 8, array.ndim)), usedforsecurity=False)
    digest.update(struct.pack(f">{array.ndim}I", *array.shape))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _foreign(name: str, why: str, owner: str = "another-name") -> DataError:
    return DataError(f"this is not {name}: {why}", f"import it as what it is, with --as {owner}")
