"""Losses and counts for images, codes and classes; results stay on the device of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_EPSILON = 1e-7  # the clipping of Keras' binary cross-entropy


class _MeanSquare(torch.autograd.Function):
    """The mean of (a - b) squared, with the difference kept for the gradient: PyTorch's own takes it twice."""

    @staticmethod
    def forward(ctx: Any, reconstruction: Tensor, target: Tensor) -> Tensor:
        difference = (reconstruction - target).flatten()
        ctx.save_for_backward(difference)
        ctx.shape = reconstruction.shape
        return torch.dot(difference, difference) / difference.numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        # In its own place; a second backward pass through the same graph would be refused by autograd.
        return difference.mul_(gradients[0] * (2 / difference.numel())).view(ctx.shape), None


def mse(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over all pixels of (N, C, H, W); a float32 scalar."""
    error: Tensor = _MeanSquare.apply(reconstruction.float(), target.float())
    return error


ACTIVATED = ("identity", "relu", "sigmoid")
"""The activations that `activated_mse` takes, by their names in config.OutputActivation."""
_TILE = 1 << 16
"""Values of the images that are computed at once: 0.25 MB, of which a core's cache holds four."""


def activated_mse(before: Tensor, target: Tensor, activation: str, share: float = 1.0) -> tuple[Tensor, Tensor]:
    """`mse` and `wrong_pixels` of what an activation makes of `before` (N, C, H, W) in float32: a scalar and (N,).

    The loss is part of another, weighed with `share`, which is known beforehand: so the gradient is computed at once,
    and written over `before`. Its bits are those of the functions one after the other.
    """
    error, wrong = _ActivatedMeanSquare.apply(before, target, activation, share)
    return error, wrong


class _ActivatedMeanSquare(torch.autograd.Function):
    """All passes over memory follow each other on a few images at a time, which stay in a core's cache: a step of
    dense_64 takes four fifths of the time."""

    @staticmethod
    def forward(ctx: Any, before: Tensor, target: Tensor, activation: str, share: float) -> tuple[Tensor, Tensor]:
        ctx.share = torch.tensor(share)
        scale = ctx.share * (2 / before.numel())
        images = max(1, _TILE // before[0].numel())
        images -= images % 32 if images > 32 else 0  # or a part would end in values that PyTorch computes one by one
        output, rounded = (torch.empty_like(before[:images]) for _ in range(2))
        squares, wrong = [], torch.empty(len(before))
        for part, clean, count in zip(before.split(images), target.split(images), wrong.split(images), strict=True):
            made, theirs = output[: len(part)], rounded[: len(part)]
            if activation == "relu":
                torch.clamp_min(part, 0, out=made)
            elif activation == "sigmoid":
                torch.sigmoid(part, out=made)
            else:
                made.copy_(part)
            error = torch.sub(made, clean, out=part).flatten()
            squares.append(torch.dot(error, error))
            part.mul_(scale)
            if activation == "relu":
                torch.ops.aten.threshold_backward(part, made, 0, grad_input=part)
            elif activation == "sigmoid":
                torch.ops.aten.sigmoid_backward(part, made, grad_input=part)
            torch.sum(_differ(made, clean, made, theirs).flatten(1), 1, out=count)
        ctx.gradient = before
        ctx.mark_non_differentiable(wrong)
        return torch.stack(squares).sum() / before.numel(), wrong

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient: Tensor = ctx.gradient
        if gradients[0] != ctx.share:
            gradient = gradient * (gradients[0] / ctx.share)
        return gradient, None, None, None


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


def wrong_pixels(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Pixels of each image that differ once both are rounded to 0 or 1: (N, C, H, W) twice -> (N,) float32.

    Source: Keras' binary accuracy, the metric of andruskiewitsch-2020, with its threshold: 0.5 itself counts as 0.
    """
    with torch.no_grad():
        differ = _differ(reconstruction, target, torch.empty_like(reconstruction), torch.empty_like(target))
        return differ.flatten(1).sum(1, dtype=torch.float32)


def _differ(made: Tensor, target: Tensor, ours: Tensor, theirs: Tensor) -> Tensor:
    """1 where images of the same shape differ once rounded, else 0, in `theirs`; `ours` and `theirs` are overwritten.

    Comparisons write the type that they read: into booleans they took twice as long (0.28 against 0.13 ms for 1000
    images of 28x28 on two cores).
    """
    torch.gt(made, 0.5, out=ours)
    torch.gt(target, 0.5, out=theirs)
    return torch.ne(ours.to(theirs.dtype), theirs, out=theirs)


def confusion_counts(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes) in int64 of logits (N, classes) and labels (N,): rows are true, columns predicted."""
    cells = labels.long() * classes + logits.argmax(dim=1)
    # host/device sync: bincount looks at the largest value to size its answer
    return torch.bincount(cells, minlength=classes * classes).reshape(classes, classes)
