"""Losses and counts for images, codes and classes; results stay on the device of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tuiae.kernels import kernels_for, library

_EPSILON = 1e-7  # the clipping of Keras' binary cross-entropy


class _MeanSquare(torch.autograd.Function):
    """The mean of (a - b) squared, with the difference kept for the gradient: PyTorch's own takes it twice."""

    @staticmethod
    def forward(ctx: Any, reconstruction: Tensor, target: Tensor, wrong: Tensor | None) -> Tensor:
        if wrong is None:
            difference = (reconstruction - target).flatten()
        else:
            difference = torch.empty(target.numel())
            _compare(reconstruction, target, wrong, difference)
        ctx.save_for_backward(difference)
        ctx.shape = reconstruction.shape
        return torch.dot(difference, difference) / difference.numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (difference,) = ctx.saved_tensors
        # In its own place; a second backward pass through the same graph would be refused by autograd.
        return difference.mul_(gradients[0] * (2 / difference.numel())).view(ctx.shape), None, None


def _compare(reconstruction: Tensor, target: Tensor, wrong: Tensor, difference: Tensor | None) -> None:
    """By the kernel: how many pixels of each grey image are wrong, and all differences."""
    images = target.shape[0]
    library().compare_images(reconstruction, target, images, target.numel() // images, wrong, difference)


def mse(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over all pixels of (N, C, H, W); a float32 scalar."""
    error: Tensor = _MeanSquare.apply(reconstruction.float(), target.float(), None)
    return error


def sse(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Squared error summed over an image's pixels, mean over images, of (N, C, H, W); a float32 scalar.

    Source: what tp5-2022 calls MSE.
    """
    return mse(reconstruction, target) * (target.numel() / len(target))


def bce(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy in nats over all pixels of (N, C, H, W) in 0..1; a float32 scalar.

    Written over logits, because `F.binary_cross_entropy` is refused under autocast and aborts on values out of range,
    NaN included: on CUDA a diverged network would take the whole context with it. Here NaN gives NaN, and what lies
    out of range is clipped.
    """
    logits = torch.logit(reconstruction.float(), eps=_EPSILON)
    return F.binary_cross_entropy_with_logits(logits, target.float())


def l1(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error over all pixels of (N, C, H, W); a float32 scalar."""
    return F.l1_loss(reconstruction.float(), target.float())


RECONSTRUCTION_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse, "sse": sse, "bce": bce, "l1": l1}
"""config.Loss -> (reconstruction, target) -> scalar."""


def negative_log_likelihood(loss: str, reconstruction: Tensor, target: Tensor) -> Tensor:
    """-log p(image | code) in nats, summed over an image's pixels, mean over images of (N, C, H, W); a float32 scalar.

    bce: Bernoulli. mse, sse: normal with variance 1, without D/2 log 2 pi. l1: Laplace with scale 1, without D log 2.
    D is the number of pixels.
    """
    scale = _NATS[loss] * (target.numel() / len(target))
    return RECONSTRUCTION_LOSSES["mse" if loss == "sse" else loss](reconstruction, target) * scale


_NATS = {"bce": 1.0, "mse": 0.5, "sse": 0.5, "l1": 1.0}


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) in nats, of each unit of each code: (N, latent) twice -> (N, latent) float32.

    Source: Kingma and Welling (2014), appendix B.
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats of logits (N, classes) against integer labels (N,); a float32 scalar.

    `smoothing` is the share of the target that is spread over all classes.
    """
    return F.cross_entropy(logits.float(), labels.long(), label_smoothing=smoothing)


def wrong_pixels(reconstruction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Values of each image that differ once both are rounded to 0 or 1, and pixels of which any channel does: (N, C, H,
    W) twice -> (N,) float32 twice, of grey images the same one.

    Source: Keras' binary accuracy, the metric of andruskiewitsch-2020, with its threshold: 0.5 itself counts as 0.
    """
    with torch.no_grad():
        if target.shape[1] == 1 and kernels_for(reconstruction, target):
            wrong = torch.empty(target.shape[0])
            _compare(reconstruction, target, wrong, None)
            return wrong, wrong
        # Comparisons that write the type they read: booleans took twice as long (0.28 against 0.13 ms for 1000 images
        # of 28x28 on two cores).
        ours, theirs = (torch.gt(image, 0.5, out=torch.empty_like(image)) for image in (reconstruction, target))
        differ = torch.ne(ours.to(theirs.dtype), theirs, out=theirs)
        values = differ.flatten(1).sum(1, dtype=torch.float32)
        if differ.shape[1] == 1:
            return values, values
        return values, differ.amax(1).flatten(1).sum(1, dtype=torch.float32)


def score_images(loss: str, reconstruction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A loss by its name, and `wrong_pixels`; in one pass where a kernel does both."""
    if loss in ("mse", "sse") and target.shape[1] == 1 and kernels_for(reconstruction, target):
        wrong = torch.empty(target.shape[0])
        error: Tensor = _MeanSquare.apply(reconstruction, target, wrong)
        return (error * (target.numel() / target.shape[0]) if loss == "sse" else error), wrong, wrong
    return RECONSTRUCTION_LOSSES[loss](reconstruction, target), *wrong_pixels(reconstruction, target)


def confusion_counts(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes) in int64 of logits (N, classes) and labels (N,): rows are true, columns predicted."""
    cells = labels.long() * classes + logits.argmax(dim=1)
    # host/device sync: bincount looks at the largest value to size its answer
    return torch.bincount(cells, minlength=classes * classes).reshape(classes, classes)
