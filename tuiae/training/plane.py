"""How a picture of codes is turned; NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def orient(components: Floats) -> Floats:
    """Directions (K, latent) turned so that the largest number of each is positive: the same codes give the same
    picture."""
    return components * np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])[:, None]
