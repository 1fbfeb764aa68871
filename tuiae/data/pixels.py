"""Images as files and screens hold them; NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images in 0..1 as uint8; what lies outside is cut, what is no number is black."""
    return (np.nan_to_num(images).clip(0, 1) * 255).round().astype(np.uint8)
