"""What an explorer would answer, in numbers that are the same on every machine, put on its screens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuiae.explore import protocol
from tuiae.ui.questions import NoiseChoice
from tuiae.ui.widgets.bench_view import BenchView
from tuiae.ui.widgets.latent_view import LatentView

STEP = "step-000120"
NAMES = ("ankle boot", "bag", "coat")


def opened(latent: int) -> protocol.OpenedRun:
    return protocol.OpenedRun(STEP, "", 120, 4.0, "vae", (1, 8, 8), NAMES, latent, True, True, 90)


def shades(count: int) -> NDArray[np.uint8]:
    """Pictures of 8x8 pixels, each a little further on than the one before; uint8 (count, 1, 8, 8)."""
    shade = (np.indices((8, 8)).sum(0) * 18).astype(np.uint8)
    return np.stack([np.roll(shade, 2 * place, axis=1)[None] for place in range(count)])


def show_codes(view: LatentView) -> None:
    """A map, what stands at its cursor, and a way between two marks."""
    turn = np.arange(90) * 2.4
    points = (
        np.column_stack([np.cos(turn), np.sin(turn)]) * np.sqrt(np.arange(90))[:, None] + np.arange(90)[:, None] % 3
    ).round(6)  # a sine may end in other bits elsewhere
    labels, indices = np.arange(90) % 3, np.arange(5)
    view.show_codes(protocol.Codes(STEP, "code", ("code 0", "code 1"), points, labels, np.arange(90)), opened(2))
    images = shades(5)
    distances = np.linspace(0.1, 0.5, 5, dtype=np.float32)
    found = (indices, labels[:5], images, distances)
    view.show_place(protocol.Place(STEP, 0.5, -0.25, images[0], "the code itself", np.zeros(0), *found))
    view.show_more(protocol.Between(STEP, images, np.array([[0.0], [2.5]])))


def show_bench(view: BenchView) -> None:
    """A test image under noise, what came back, its neighbours, the curve and the worst images."""
    images, noise = shades(12), NoiseChoice("gaussian", 0.3)
    noisy = np.clip(images.astype(int) + 50 * (np.indices(images.shape).sum(0) % 3 - 1), 0, 255).astype(np.uint8)
    view.show_opened(opened(8))
    view.show_noise(noise, NoiseChoice("gaussian", 0.15))
    view.label = 0
    view.canvas.show(images[0], "test image 7 · ankle boot")
    view.show_reconstruction(
        protocol.Reconstruction(STEP, noisy[:1], (images[:1] * 0.8).astype(np.uint8), np.array([0.0123])), images[0]
    )
    view.show_classes(protocol.Classification(STEP, noisy[:1], np.array([[0.7, 0.2, 0.1]]), "neighbours", 10))
    levels = tuple(round(0.1 * place, 1) for place in range(11))
    view.show_curve(
        protocol.NoiseCurve(STEP, "gaussian", levels, "mse", tuple(0.01 + 0.05 * level**2 for level in levels), 1000)
    )
    errors = np.linspace(0.09, 0.04, 12)
    view.show_strip(protocol.Worst(STEP, np.arange(12), np.arange(12) % 3, errors, images, noisy, images, None))
