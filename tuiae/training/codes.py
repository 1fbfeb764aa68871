"""How the units of a code are used."""

from __future__ import annotations

import torch
from torch import Tensor

from tuiae.models.base import ModelOutput
from tuiae.models.losses import kl_divergence

CONSTANT = 1e-6  # of the largest code: float32 has 7 digits
COLLAPSED = 0.01  # nats; Burda, Grosse and Salakhutdinov (2016) call a unit inactive by a like threshold on its mean


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
        low, high = torch.aminmax(code, dim=0)
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
