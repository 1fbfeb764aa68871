"""Variational autoencoders: a normal posterior for each image, drawn from by reparametrisation."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from tuiae.models.base import Autoencoder, ModelOutput
from tuiae.models.linear import Linear


class VariationalAutoencoder(Autoencoder):
    """An encoder to the mean and the log-variance of a normal posterior, and a decoder of codes drawn from it.

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2014): the prior is the standard normal.

    The encoder's last layer gives the mean, so that it is the encoder of a plain autoencoder with a linear code, tensor
    for tensor; a second layer on the same features gives the log-variance.

    While training, codes are drawn from torch's default generator. In eval mode the code is the mean, or drawn from
    `generator` where one is set: the bound that training minimises is about drawn codes.
    """

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, latent: int) -> None:
        super().__init__(encoder, decoder)
        head = encoder[-1]
        assert isinstance(head, nn.Linear)
        self.log_variance = Linear(head.in_features, latent)
        self.generator: Generator | None = None

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in 0..1 -> mean and log-variance, (N, latent) each."""
        features = x
        for layer in list(self.encoder)[:-1]:
            features = layer(features)
        return self.encoder[-1](features), self.log_variance(features)

    def forward(self, x: Tensor) -> ModelOutput:
        """Images (N, C, H, W) in 0..1 -> code, reconstruction, mean and log-variance."""
        mean, log_variance = self.posterior(x)
        code = mean
        if self.training or self.generator is not None:
            generator = None if self.training else self.generator
            draws = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
            code = mean + draws * torch.exp(0.5 * log_variance)
        return ModelOutput(code, self.decode(code), mean=mean, log_variance=log_variance)
