"""What every network gives back, and the autoencoder that each family fills in."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class ModelOutput(NamedTuple):
    """One type for all families; what a family does not have is None."""

    code: Tensor
    """(N, latent)."""
    reconstruction: Tensor | None = None
    """(N, C, H, W), of autoencoders."""
    logits: Tensor | None = None
    """(N, classes), of classifiers."""
    mean: Tensor | None = None
    """(N, latent), of variational autoencoders: of the posterior."""
    log_variance: Tensor | None = None
    """(N, latent), of variational autoencoders: of the posterior."""


class Autoencoder(nn.Module):
    """An encoder (N, C, H, W) -> (N, latent) and a decoder back."""

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in 0..1 -> codes (N, latent)."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Codes (N, latent) -> images (N, C, H, W)."""
        reconstruction: Tensor = self.decoder(code)
        return reconstruction

    def forward(self, x: Tensor) -> ModelOutput:
        """Images (N, C, H, W) in 0..1 -> code and reconstruction."""
        code = self.encode(x)
        return ModelOutput(code, self.decode(code))
