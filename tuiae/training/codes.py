"""How the units of a code are used, and where codes lie on a plane."""

from __future__ import annotations

import torch
from torch import Tensor

from tuiae.models.base import ModelOutput
from tuiae.models.losses import kl_divergence
from tuiae.training.plane import orient

CONSTANT = 1e-6  # of the largest code: float32 has 7 digits
COLLAPSED = 0.01  # nats; Burda, Grosse and Salakhutdinov (2016) call a unit inactive by a like threshold on its mean

WIDE = 256
"""Widest code whose whole covariance is decomposed: of 2000 codes of 64 numbers in 0.8 ms, of 256 in 13 (one core)."""


class CodeUse:
    """The range of every unit of the code over the images seen, and its mean KL where there is a posterior."""

    def __init__(self) -> None:
        self._low: Tensor | None = None
        self._high: Tensor | None = None
        self._kl: Tensor | None = None
        self._images = 0

    def add(self, output: ModelOutput) -> None:
        """Take a batch, seen with dropout off; of a variational autoencoder the means count, not what was drawn."""
        code = output.code if output.mean is None else output.mean
        # Each in a pass of its own: torch.aminmax over images took 147 us a batch of 1000 codes of 64, the two take 8.
        low, high = code.amin(0), code.amax(0)
        self._low = low if self._low is None else torch.minimum(self._low, low)
        self._high = high if self._high is None else torch.maximum(self._high, high)
        if output.mean is not None and output.log_variance is not None:
            kl = kl_divergence(output.mean, output.log_variance).sum(0)
            self._kl = kl if self._kl is None else self._kl + kl
        self._images += len(code)

    def unit_kl(self) -> Tensor | None:
        """Mean KL of each unit in nats, (latent,); None without a posterior."""
        return None if self._kl is None else self._kl / self._images

    def read(self) -> dict[str, float]:
        """dead: share of units that are constant, to within CONSTANT of the largest value of any unit. collapsed: share
        of units whose mean KL is below COLLAPSED, so that they tell the decoder nothing."""
        if self._low is None or self._high is None:
            return {}
        largest = torch.maximum(self._low.abs(), self._high.abs()).max()
        shares = [(self._high - self._low <= CONSTANT * largest).float().mean()]
        kl = self.unit_kl()
        if kl is not None:
            shares.append((kl < COLLAPSED).float().mean())
        return dict(zip(("dead", "collapsed"), torch.stack(shares).tolist(), strict=False))  # host/device sync


def place_codes(codes: Tensor, labels: Tensor) -> Tensor:
    """Codes (N, latent) as points (N, 2) float32: wider ones along their first two principal components, those of one
    number against their class. A code that is not finite has no place, and its point is NaN.

    The components of a code wider than WIDE are those of its first WIDE points.
    """
    # PyTorch's threads do it: NumPy has others, and two pools in one process wait for each other on a busy machine.
    codes, labels = codes.cpu().double(), labels.cpu()
    if codes.shape[1] == 1:
        return torch.cat([codes, labels[:, None]], dim=1).float()
    if codes.shape[1] == 2:
        return codes.float()
    known = codes.isfinite().all(dim=1)
    points = torch.full((len(codes), 2), torch.nan, dtype=torch.float64)
    if known.any():
        centred = codes[known] - codes[known].mean(dim=0)
        points[known] = centred @ _principal(centred).T
    return points.float()


def _principal(centred: Tensor) -> Tensor:
    """The first two principal components (2, latent) of centred codes (N, latent), of length 1."""
    if centred.shape[1] <= WIDE:
        found = torch.linalg.eigh(centred.T @ centred)[1][:, -2:].flip(1).T
    else:
        # The products of so many points with each other have the same components in them, and are fewer.
        some = centred[:WIDE]
        found = torch.linalg.eigh(some @ some.T)[1][:, -2:].flip(1).T @ some
        found = found / found.norm(dim=1, keepdim=True).clamp_min(1e-300)
    components = torch.zeros(2, centred.shape[1], dtype=torch.float64)
    components[: len(found)] = torch.from_numpy(orient(found.numpy()))
    return components
