"""How good images, classes and codes are, by the measures of torchmetrics and scikit-learn (the `studies` extra).

Where one of these is not installed, the functions that need it raise MissingLibraryError.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuiae.config import NoiseSection
from tuiae.data.batches import ImageSet
from tuiae.errors import ConfigError, MissingLibraryError
from tuiae.models.networks import ModelOutput
from tuiae.training.device import first_line
from tuiae.training.evaluate import evaluate
from tuiae.training.setup import Parts

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels; Wang et al. 2004, "Image quality assessment"
SSIM_BATCH = 100  # images; 1000 took twice as long on a CPU
SSIM_SMALLEST = 3  # pixels; a window of one compares no structure
PROBE_IMAGES = 10_000
PROBE_STEPS = 1000

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class ImageQuality:
    """Of each reconstructed image, (N,), against its clean one."""

    psnr: Reals
    """Peak signal-to-noise ratio in dB, the peak being 1; infinite where the reconstruction is exact."""
    ssim: Reals | None
    """Structural similarity; None for images too small for any window."""
    note: str = ""
    """What has to be known about `ssim`."""

    def metrics(self) -> dict[str, float | None]:
        """Means over the images of what `evaluate` does not tell; exact images count in no mean of decibels."""
        decibels = self.psnr[np.isfinite(self.psnr)]
        return {
            "psnr": float(decibels.mean()) if len(decibels) else None,
            "ssim": None if self.ssim is None else float(self.ssim.mean()),
        }


def compare_images(reconstructions: Tensor | NDArray[Any], clean: Tensor | NDArray[Any]) -> ImageQuality:
    """Each of (N, C, H, W) in 0..1 against its clean image."""
    with _needing("PSNR and SSIM need torchmetrics"):
        from torchmetrics.functional.image import structural_similarity_index_measure as similarity
    made, wanted = torch.as_tensor(reconstructions).float(), torch.as_tensor(clean).float()
    # Torchmetrics multiplies the sides of the images on the device, for which a GPU has to compile a kernel first.
    decibels = -10 * (made - wanted).square().mean((1, 2, 3)).log10()
    window = ssim_window(*wanted.shape[2:])
    ssim = None
    if window:
        # Torchmetrics sizes the window by sigma, and keeps five filtered copies of what it is given.
        sigma = SSIM_SIGMA * window / SSIM_WINDOW
        pairs = zip(made.split(SSIM_BATCH), wanted.split(SSIM_BATCH), strict=True)
        values = [torch.as_tensor(similarity(*pair, sigma=sigma, data_range=1.0, reduction="none")) for pair in pairs]
        ssim = _reals(torch.cat([value.reshape(-1) for value in values]))
    return ImageQuality(
        _reals(decibels),
        ssim,
        ssim_note(*wanted.shape[2:]),
    )


def ssim_window(height: int, width: int) -> int:
    """Side in pixels of the largest odd window up to 11 that fits; 0 when none does."""
    side = min(SSIM_WINDOW, height, width)
    side -= 1 - side % 2
    return side if side >= SSIM_SMALLEST else 0


def ssim_note(height: int, width: int) -> str:
    """What sets this SSIM apart from the usual one; empty for images that take the usual window."""
    window = ssim_window(height, width)
    if window == SSIM_WINDOW:
        return ""
    images = f"images of {height}x{width} pixels"
    if not window:
        return f"no SSIM: {images} are too small for a window of {SSIM_SMALLEST}"
    return f"SSIM with a window of {window} pixels, not {SSIM_WINDOW}: {images}"


def measure_images(parts: Parts, split: ImageSet, noise: NoiseSection | None = None) -> ImageQuality:
    """Quality of the reconstructions of a whole split, under the corruption and with the codes of `evaluate`; raises
    ConfigError for a classifier."""
    if parts.config.is_classifier:
        raise ConfigError("a classifier reconstructs no images", "take a run of an autoencoder")
    batches: list[ImageQuality] = []

    def compare(start: int, clean: Tensor, shown: Tensor, output: ModelOutput) -> None:
        assert output.reconstruction is not None
        batches.append(compare_images(output.reconstruction, clean))

    evaluate(parts, split, noise=noise, on_batch=compare)
    ssim = [batch.ssim for batch in batches if batch.ssim is not None]
    return ImageQuality(
        np.concatenate([batch.psnr for batch in batches]),
        np.concatenate(ssim) if ssim else None,
        batches[0].note,
    )


@dataclass(frozen=True)
class ClassScores:
    """Of each class, (classes,): shares in 0..1, and how many images it has. Never predicted gives precision 0; without
    images there are no recall and no F1, which are NaN."""

    precision: Reals
    recall: Reals
    f1: Reals
    support: NDArray[np.int64]


def class_scores(confusion: NDArray[np.int64]) -> ClassScores:
    """Precision, recall and F1 of each class from counts (classes, classes), rows the true class."""
    with _needing("precision and recall need scikit-learn"):
        from sklearn.metrics import precision_recall_fscore_support
    true, predicted = np.indices(confusion.shape).reshape(2, -1)
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=np.arange(len(confusion)), sample_weight=confusion.ravel(), zero_division=0.0
    )
    recall, f1 = (np.where(support > 0, values, np.nan) for values in (recall, f1))
    return ClassScores(precision, recall, f1, support.astype(np.int64))


@dataclass(frozen=True)
class Probe:
    """What a linear classifier reads out of a code."""

    accuracy: float
    """On the test codes, 0..1."""
    images: int
    """Training codes it was fitted to."""
    converged: bool


def linear_probe(
    train_codes: NDArray[Any], train_labels: NDArray[Any], test_codes: NDArray[Any], test_labels: NDArray[Any]
) -> Probe:
    """Accuracy of logistic regression on standardised codes (N, latent), fitted to the training ones; raises
    ConfigError for fewer than two classes."""
    if len(np.unique(train_labels)) < 2:
        hint = "take a run on a labelled set, or name more data.classes"
        raise ConfigError("a linear probe tells classes apart, and these images have no labels or one class only", hint)
    with _needing("a linear probe needs scikit-learn"):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=PROBE_STEPS))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train_codes, train_labels)
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in seen)
    return Probe(float(model.score(test_codes, test_labels)), len(train_codes), converged)


def pca_error(train: NDArray[Any], test: NDArray[Any], components: int, wanted: NDArray[Any] | None = None) -> float:
    """Mean squared error over the pixels of test images (N, ...) rebuilt from so many principal components of the
    training images, against those images or the `wanted` ones: what a linear code of that width reaches. Pixels or
    training images that are fewer set the limit."""
    with _needing("the PCA baseline needs scikit-learn"):
        from sklearn.decomposition import PCA
    fitted, asked = (images.reshape(len(images), -1) for images in (train, test))
    against = asked if wanted is None else wanted.reshape(len(wanted), -1)
    pca = PCA(n_components=min(components, *fitted.shape), random_state=0).fit(fitted)
    return float(np.mean(np.square(pca.inverse_transform(pca.transform(asked)) - against), dtype=np.float64))


@contextmanager
def _needing(what: str) -> Iterator[None]:
    """Around the import of an optional library: without it, `what` becomes the error."""
    try:
        yield
    except ImportError as error:
        raise MissingLibraryError(what, "pip install 'tuiae[studies]'") from error
    except RuntimeError as error:  # as torchvision raises beside a PyTorch of another release
        hint = "install torch and torchvision of one release"
        raise MissingLibraryError(f"{what}, which does not work here: {first_line(error)}", hint) from error


def _reals(values: Tensor) -> Reals:
    return values.cpu().double().numpy()  # in this order: MPS has no float64
