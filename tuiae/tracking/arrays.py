"""What a training loop hands over, whatever made it: numbers, pictures, codes. No framework is imported.

In the loop a value is only held: what may change later is copied, on its device, and nothing waits for a device. The
recorder's thread makes numbers and NumPy arrays of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.data.dataset import as_bytes

MOST_IMAGES = 64
"""Images of a sample, as many as `samples.count` of a config allows."""
MOST_CODES = 2000
MOST_PIXELS = 256  # a side: of larger images every second, third, … pixel is kept


def hold_number(value: Any) -> Any:
    """A number, or what the thread makes one of: a tensor on a device is not waited for.

    Raises TypeError and ValueError for what is no number.
    """
    if type(value) in (float, int):
        return value
    if hasattr(value, "detach"):  # of PyTorch: with its graph it would keep the memory of a whole step
        tensor = value.detach()
        return float(tensor) if tensor.device.type == "cpu" else tensor.clone()
    if hasattr(value, "devices") or hasattr(value, "device"):  # of JAX, and others that do not change
        return value
    return float(value)


def hold(values: Any, most: int | None = None) -> Any:
    """At most so many rows of an array or a tensor, as they are now."""
    part = values if most is None else values[:most]
    if hasattr(part, "detach"):
        return part.detach().clone()
    return np.array(part) if isinstance(part, (np.ndarray, list, tuple)) else part


def as_array(values: Any) -> NDArray[Any]:
    """NumPy's array of what was held; of types that NumPy does not have, such as bfloat16, float32."""
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        return np.asarray(tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy())
    found = np.asarray(values)
    return found if found.dtype.kind in "biufSU" else found.astype(np.float32)


def as_pictures(values: Any) -> NDArray[np.uint8]:
    """Images as (N, C, H, W) uint8, C 1 or 3. Taken are (N, H, W), channels first or last, and flat squares (N, H·W);
    floats are 0 to 1, whole numbers 0 to 255.

    Raises ValueError for any other shape.
    """
    images = as_array(values)
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    if side and side * side == images.shape[1]:
        images = images.reshape(-1, side, side)
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise ValueError(f"images of shape {images.shape}: give (N, H, W), (N, C, H, W) or (N, H, W, C), C 1 or 3")
    step = -(-max(images.shape[2:]) // MOST_PIXELS)
    images = images[:MOST_IMAGES, :, ::step, ::step]
    if images.dtype.kind in "iu":
        return images.clip(0, 255).astype(np.uint8)
    return as_bytes(images.astype(np.float32))


def as_points(codes: Any, labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Codes (N, latent) as points (N, 2): wider ones along their first two principal components, those of one number
    against their class. A code that is not finite has no place, and its point is NaN.

    Raises ValueError for codes that are no table.
    """
    table = as_array(codes).astype(np.float64)
    table = table.reshape(len(table), -1)
    if not table.size:
        raise ValueError("no codes")
    if table.shape[1] == 1:
        return np.column_stack((table, labels)).astype(np.float32)
    if table.shape[1] == 2:
        return table.astype(np.float32)
    known = np.isfinite(table).all(axis=1)
    points = np.full((len(table), 2), np.nan, np.float32)
    if known.any():
        centred = table[known] - table[known].mean(axis=0)
        components = np.linalg.svd(centred, full_matrices=False)[2][:2]
        # Turned so that the largest number of each is positive: the same codes give the same picture.
        largest = np.take_along_axis(components, abs(components).argmax(axis=1)[:, None], 1)
        placed = centred @ (components * np.where(largest < 0, -1, 1)).T
        points[known, : placed.shape[1]] = placed
        points[known, placed.shape[1] :] = 0
    return points


def as_classes(labels: Any, names: Sequence[str] = ()) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Labels as whole numbers (N,), and the names of the classes; labels may be those names."""
    found = as_array(labels).ravel()
    if found.dtype.kind in "SU":
        words = [str(word) for word in found]
        names = tuple(names) or tuple(sorted(set(words)))
        place = {name: number for number, name in enumerate(names)}
        return np.array([place.get(word, -1) for word in words], np.int32), tuple(names)
    return found.astype(np.int64).clip(-1, 2**13).astype(np.int32), tuple(map(str, names))


def as_counts(matrix: Any) -> NDArray[np.int64]:
    """A confusion matrix (classes, classes), rows the true class. Raises ValueError for anything else."""
    counts = as_array(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size or not np.isfinite(counts).all():
        raise ValueError(f"a confusion matrix of shape {counts.shape}: give (classes, classes), rows the true class")
    return counts.astype(np.int64).clip(0, 10**9)
