"""Evaluation: dropout off, the same images and the same corruption every time; and what a sample of a run holds."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tuiae.config import CUSTOM, NoiseSection, RunConfig
from tuiae.data.batches import ImageSet, corrupt, seed_of, seeded
from tuiae.data.dataset import as_bytes
from tuiae.models.activations import drawing_from
from tuiae.models.custom import CustomNetwork
from tuiae.models.losses import confusion_counts, kl_divergence
from tuiae.models.networks import ModelOutput, VariationalAutoencoder
from tuiae.runs.snapshot import CODE_VALUES, GRADIENTS, WEIGHTS
from tuiae.training.device import give_back_memory, is_out_of_memory
from tuiae.training.objective import QUALITY, Objective, Score, Totals, with_quality
from tuiae.training.setup import Parts, autocast

EVALUATION = 0xE7A1  # keeps evaluation's corruption apart from every training step's
CODES = 2  # the drawn codes of evaluation, apart from its corruption
PLANE_POINTS = 2000  # codes of the test split that a sample keeps
BATCH = 1000
CONV_BATCH = 250
"""Of a convolutional network on a CPU, where nothing is drawn, which goes by batches: more of it stays in a core's
cache, and an evaluation of conv_64 takes 8 % less than with a thousand."""
LARGE = 32 * 32 * BATCH
"""Values of the images of a batch from which it has fewer: at 224x224 a step of 16 images took 0.5 GB and a thousand of
an evaluation 6.9 (conv on CUDA)."""
CONSTANT = 1e-6  # of the largest code: float32 has 7 digits
BINS = 32  # of a histogram
FAR = 4.0  # standard deviations: of a normal distribution one value in 16,000 lies farther
COLLAPSED = 0.01  # nats; Burda, Grosse and Salakhutdinov (2016) call a unit inactive by a like threshold on its mean

WIDE = 256
"""Widest code whose whole covariance is decomposed: of 2000 codes of 64 numbers in 0.8 ms, of 256 in 13 (one core)."""

OnBatch = Callable[[int, torch.Tensor, torch.Tensor, ModelOutput], object]
"""(position of the first image, clean, corrupted, output) of a batch that was evaluated."""


@dataclass(frozen=True)
class Evaluation:
    """Means over a split, and for classes the counts, (classes, classes), rows the true class."""

    metrics: dict[str, float]
    confusion: np.ndarray | None = None


class Batch(NamedTuple):
    """A batch that was evaluated."""

    start: int
    """The place of its first image in the split."""
    clean: Tensor
    labels: Tensor
    shown: Tensor
    """The clean images corrupted."""
    output: ModelOutput


def evaluation_batch(parts: Parts, drawn: bool = True) -> int:
    """Images that are evaluated at once: 1000, or as many larger ones as take no more memory, but at least as many as a
    training step takes with its gradients. The machine has no say in it where something is `drawn`, which goes by
    batches."""
    if parts.device.type == "cpu" and not drawn and parts.config.model.encoder_family not in ("dense", CUSTOM):
        return CONV_BATCH
    fitting = max(LARGE // math.prod(parts.train.image_shape), parts.config.training.batch_size)
    return max(1, min(BATCH, fitting))


class Draws:
    """What an evaluation under a noise draws from, if it draws: the same every time, and of a run that is computed in
    shards by the batch's place."""

    def __init__(self, config: RunConfig, noise: NoiseSection, device: torch.device, *place: int) -> None:
        seed = config.training.seed
        self.noise = None if noise.kind == "none" else seeded(device, seed, EVALUATION, *place)
        self.codes = seeded(device, seed, EVALUATION, CODES, *place) if config.model.is_variational else None


@torch.inference_mode()
def evaluate(
    parts: Parts, split: ImageSet, limit: int = 0, noise: NoiseSection | None = None, on_batch: OnBatch | None = None
) -> Evaluation:
    """Loss, accuracy and the quality of reconstructions over a split, or over its first `limit` images.

    `noise` stands in for the config's own; `on_batch` is given every batch. A variational autoencoder's codes are
    drawn, the same ones every time.
    """
    config, device = parts.config, parts.device
    objective = Objective(config, parts.model)
    sums = _Sums(parts, objective)
    count = min(limit or len(split), len(split))
    noise = noise or config.noise
    sequence, program = Draws(config, noise, device), parts.program
    size = evaluation_batch(parts, drawn=noise.kind != "none" or config.model.is_variational)
    spans = [(start, min(start + size, count)) for start in range(0, count, size)]

    @torch.inference_mode()
    def compute(start: int, stop: int) -> tuple[Batch, Score]:
        clean, labels = split.span(start, stop)
        draws = Draws(config, noise, device, start) if parts.sharded else sequence
        shown = corrupt(clean, noise, draws.noise)
        if program is not None and program.takes(stop - start):
            output, score = program.measure(clean, shown)
            return Batch(start, clean, labels, shown, output), score
        with autocast(config.training.precision, device), drawing_from(draws.codes):
            output = parts.model(shown)
        return Batch(start, clean, labels, shown, output), objective(output, clean, labels)

    with evaluating(parts):
        for first in range(0, len(spans), parts.cores.count):  # or the outputs of a whole split would be held
            at_once = spans[first : first + parts.cores.count]
            for batch, score in chain.from_iterable(parts.cores.map(partial(_in_parts, device, compute), at_once)):
                if on_batch is not None:
                    on_batch(batch.start, batch.clean, batch.shown, batch.output)
                sums.add(batch, score)
    return sums.read()


class _Sums:
    """What an evaluation adds up over its batches."""

    def __init__(self, parts: Parts, objective: Objective) -> None:
        self._loss, self._classes = parts.config.training.loss, len(parts.classes)
        classifies, shape = parts.config.is_classifier, (self._classes, self._classes)
        # A custom loss may have an mse of its own, which is the one that counts.
        self._totals = Totals(parts.device, objective.names if classifies else (*QUALITY, *objective.names))
        self._confusion = torch.zeros(shape, dtype=torch.int64, device=parts.device) if classifies else None
        self._worst: Tensor | None = None

    def add(self, batch: Batch, score: Score) -> None:
        if (wrong := score.wrong) is not None:
            score = with_quality(score, batch.output, batch.clean, self._loss)
            self._worst = wrong.max() if self._worst is None else torch.maximum(self._worst, wrong.max())
        self._totals.add(score.weighted(batch.clean.shape[0]))
        if self._confusion is not None and batch.output.logits is not None:
            self._confusion += confusion_counts(batch.output.logits, batch.labels, self._classes)

    def read(self) -> Evaluation:
        metrics = dict(sorted(self._totals.read().items(), key=lambda item: item[0] in QUALITY))
        if self._worst is not None:
            metrics["wrong_pixels_max"] = self._worst.item()
        return Evaluation(metrics, None if self._confusion is None else self._confusion.cpu().numpy())


def _in_parts(
    device: torch.device, compute: Callable[[int, int], tuple[Batch, Score]], span: tuple[int, int]
) -> list[tuple[Batch, Score]]:
    """What `compute` makes of the images of a span, at once or, where a GPU has no room for that, in parts."""
    start, stop = span
    try:
        return [compute(start, stop)]
    except Exception as error:
        if device.type == "cpu" or stop - start < 2 or not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what there is no room for
    give_back_memory(device)
    middle = (start + stop) // 2
    return [part for half in ((start, middle), (middle, stop)) for part in _in_parts(device, compute, half)]


@contextmanager
def evaluating(parts: Parts) -> Iterator[None]:
    """Dropout off inside; a variational autoencoder takes the mean of its codes, unless they are drawn on purpose. What
    a custom network draws is the same every time."""
    model, config = parts.model, parts.config
    was_training = model.training
    training = [layer for layer in parts.layers if layer.training]
    if config.model.is_custom:
        model.eval()  # which it may have changed
        torch.manual_seed(seed_of(config.training.seed, EVALUATION, CODES))  # each step of a training has a seed again
    for layer in training:
        vars(layer)["training"] = False  # as `eval` does in five times as long
    try:
        yield
    finally:
        if config.model.is_custom:
            model.train(was_training)
        for layer in training:
            vars(layer)["training"] = True


class CodeUse:
    """The range of every unit of the code over the images seen, and its mean KL where there is a posterior."""

    def __init__(self) -> None:
        self._low: Tensor | None = None
        self._high: Tensor | None = None
        self._kl: Tensor | None = None
        self._images = 0

    def add(self, output: ModelOutput) -> None:
        """Take a batch, seen with dropout off; of a variational autoencoder the means count, not what was drawn. A
        custom network may give no code."""
        code = output.code if output.mean is None else output.mean
        if code is None:
            return
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
        kl = self.unit_kl()
        known = [self._low, self._high, *([] if kl is None else [kl])]
        low, high, *means = torch.stack(known).tolist()  # host/device sync
        constant = CONSTANT * max(map(abs, low + high))
        dead = sum(top - bottom <= constant for bottom, top in zip(low, high, strict=True))
        shares = {"dead": dead / len(low)}
        for each in means:
            shares["collapsed"] = sum(mean < COLLAPSED for mean in each) / len(each)
        return shares


@torch.inference_mode()
def sample(
    parts: Parts, index: torch.Tensor, codes: bool = True, seen: Sequence[ModelOutput] = ()
) -> dict[str, np.ndarray]:
    """What the panels show of the test images at `index`: arrays by name, for `RunWriter.sample`. With `codes`, those
    of many more images too, which an evaluation may have `seen`, one batch after the other."""
    config, model = parts.config, parts.model
    clean, labels = parts.test.take(parts.test.place(index))
    noisy = corrupt(clean, config.noise, seeded(parts.device, config.training.seed, EVALUATION, 1))
    with evaluating(parts), autocast(config.training.precision, parts.device):
        output = model(noisy)
    arrays = {"inputs": tensor_as_bytes(clean), "labels": labels.cpu().numpy(), "classes": np.array(parts.classes)}
    if config.noise.kind != "none":
        arrays["noisy"] = tensor_as_bytes(noisy)
    if output.reconstruction is not None:
        arrays["reconstructions"] = tensor_as_bytes(output.reconstruction)
    if output.logits is not None:
        arrays["predictions"] = output.logits.argmax(1).cpu().numpy()
    return arrays | sample_codes(parts, seen) if codes else arrays


@torch.inference_mode()
def sample_codes(parts: Parts, seen: Sequence[ModelOutput] = ()) -> dict[str, np.ndarray]:
    """Of the first test images, uncorrupted: `codes` (M, 2) on a plane, `code_labels` (M,), and of a variational
    autoencoder `unit_kl` (latent,)."""
    count = min(PLANE_POINTS, len(parts.test))
    if isinstance(parts.model, CustomNetwork) and not parts.model.encodes:
        return histograms(parts.model) if parts.config.samples.histograms else {}
    outputs = seen or [*_encode(parts, count)]
    codes = torch.cat([_code(output).float() for output in outputs])[:count]
    labels = parts.test.labels[:count]
    points = place_codes(codes, torch.from_numpy(labels))
    arrays = {"codes": points.numpy(), "code_labels": labels.astype(np.int32)}
    if parts.config.samples.histograms:
        arrays |= histograms(parts.model, codes)
    if parts.config.model.is_variational:
        variances = torch.cat([output.log_variance for output in outputs if output.log_variance is not None])[:count]
        arrays["unit_kl"] = kl_divergence(codes, variances).mean(0).cpu().numpy()
    return arrays


def _encode(parts: Parts, count: int) -> Iterator[ModelOutput]:
    """The codes of the first test images, without noise."""
    model, size = parts.model, evaluation_batch(parts)
    with evaluating(parts), autocast(parts.config.training.precision, parts.device):
        for start in range(0, count, size):
            clean, _ = parts.test.span(start, min(start + size, count))
            if isinstance(model, VariationalAutoencoder):
                mean, log_variance = model.posterior(clean)
                yield ModelOutput(mean, mean=mean, log_variance=log_variance)
            else:
                yield ModelOutput(model.encode(clean))


def _code(output: ModelOutput) -> Tensor:
    """Of a variational autoencoder the mean, not what was drawn."""
    code = output.code if output.mean is None else output.mean
    assert code is not None
    return code


def histograms(model: nn.Module, codes: Tensor | None = None) -> dict[str, np.ndarray]:
    """How the weights of each layer, what is left of their gradients from the last step, and codes are spread: arrays
    by name, for `snapshot.read_histograms`. Biases and norms, of few values each, are left out."""
    tensors: dict[str, Tensor] = {}
    for name, weights in model.named_parameters():
        if weights.ndim > 1:
            layer = name.removesuffix(".weight")
            tensors[f"{WEIGHTS} {layer}"] = weights.detach()
            if weights.grad is not None:
                tensors[f"{GRADIENTS} {layer}"] = weights.grad
    if codes is not None:
        tensors[CODE_VALUES] = codes
    counted = [count_values(values) for values in tensors.values()]
    return {
        "histogram_names": np.array([*tensors]),
        "histogram_ranges": np.array([ends for ends, _ in counted]),
        "histogram_counts": np.stack([counts for _, counts in counted]),
    }


def count_values(values: Tensor) -> tuple[tuple[float, float], np.ndarray]:
    """The ends of BINS bins and how many of the values lie in each, (BINS,) int64. Values farther from the mean than
    FAR standard deviations are counted in the outermost bins: one of them alone would press the others into a few."""
    known = values.float().flatten().cpu()
    known = known[known.isfinite()]
    if not len(known):
        return (0.0, 1.0), np.zeros(BINS, np.int64)
    lowest, highest = (end.item() for end in known.aminmax())
    mean, deviation = known.mean().item(), known.std(correction=0).item()
    low, high = max(lowest, mean - FAR * deviation), min(highest, mean + FAR * deviation)
    if not low < high:
        low, high = lowest - 0.5, lowest + 0.5
    bins = ((known - low) * (BINS / (high - low))).long().clamp_(0, BINS - 1)
    return (low, high), torch.bincount(bins, minlength=BINS).numpy()


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
    # Turned so that the largest number of each is positive: the same codes give the same picture.
    components[: len(found)] = found * found.gather(1, found.abs().argmax(dim=1, keepdim=True)).sign()
    return components


def tensor_as_bytes(images: torch.Tensor) -> np.ndarray:
    """Float images in 0..1 as uint8; NaN becomes black."""
    return as_bytes(images.float().cpu().numpy())


def sample_index(labels: np.ndarray, count: int) -> torch.Tensor:
    """Positions (count,) of images to watch: the first of every class, then the second, so that each class shows."""
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    order = np.lexsort((labels, rank))
    return torch.from_numpy(order[:count].copy())
