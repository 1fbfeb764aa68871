"""A network of your own in fifteen lines: presets/custom.toml trains it, and docs/your_own.md says what it may have."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, image_shape, width=64, code=12):  # image_shape is given: channels, height, width
        super().__init__()
        pixels, shape = torch.Size(image_shape).numel(), nn.Unflatten(1, image_shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.GELU(), nn.Linear(width, code))
        self.decoder = nn.Sequential(nn.Linear(code, width), nn.GELU(), nn.Linear(width, pixels), nn.Sigmoid(), shape)

    def encode(self, x):
        return self.encoder(x)

    def decode(self, code):
        return self.decoder(code)

    def loss(self, x, output):  # what is minimised is the sum; each term has a curve
        return {"pixels": (output - x).square().mean(), "edges": 0.1 * (output.diff() - x.diff()).abs().mean()}
