"""A run's weights in memory, and what can be asked of them; NumPy in and out, so that no caller needs torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tuiae.config import NoiseSection, RunConfig
from tuiae.data.batches import ImageSet, seeded
from tuiae.data.noise import corrupt
from tuiae.errors import ConfigError, TrainingError
from tuiae.explore.resolve import resolve_config
from tuiae.models.base import ModelOutput
from tuiae.runs.layout import RunPaths
from tuiae.training.checkpoint import find_checkpoint, load_weights
from tuiae.training.evaluate import BATCH, sample_index
from tuiae.training.precision import autocast
from tuiae.training.setup import Parts, set_up

Split = Literal["train", "test"]
Which = int | Sequence[int] | NDArray[np.int64] | None
"""The first so many images of a split, those at these positions, or None for all."""
Floats = NDArray[np.float32]

QUESTION = 0xA5C  # keeps the corruption of questions apart from that of training and evaluation


def load(
    run: RunPaths, weights: str = "last", device: str = "auto", overrides: dict[str, Any] | None = None
) -> LoadedRun:
    """Build a run's network, put the weights of a checkpoint into it, and open its images.

    Args:
        run: whose.
        weights: `last`, `best`, or a step that was kept.
        device: as `training.device`; the run's own device may be another machine's.
        overrides: dotted keys of the config to change, such as `noise.kind`.

    Raises:
        TrainingError: no such checkpoint.
        ConfigError: the run's config is of another version, an override is wrong, or the weights do not fit it.
        DeviceError, DataError: no such device, or no such images on this machine.
    """
    config = resolve_config(run, {"training.device": device, **(overrides or {})})
    folder = find_checkpoint(run, weights)
    if folder is None:
        raise TrainingError(f"{run.id} has no checkpoint yet", "let it train for an epoch first")
    parts = set_up(config)
    try:
        parts.model.load_state_dict(load_weights(folder))
    except RuntimeError as error:
        # With the config that wrote it a checkpoint fits: an override or other images changed a shape.
        raise ConfigError(
            f"the weights of {run.id} do not fit the network of this config", "leave its model and its images as it has"
        ) from error
    parts.model.eval()
    return LoadedRun(run, folder.name, parts)


@dataclass(frozen=True)
class LoadedRun:
    """One checkpoint of one run, dropout off. Images are float32 (N, C, H, W) in 0..1, codes float32 (N, latent)."""

    run: RunPaths
    checkpoint: str
    """Name of the checkpoint's directory, `step-000720`."""
    parts: Parts

    @property
    def config(self) -> RunConfig:
        return self.parts.config

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that labels index; one that stands for all images of a set without labels."""
        return self.parts.classes

    @property
    def is_autoencoder(self) -> bool:
        """Whether it reconstructs and decodes."""
        return not self.config.is_classifier

    @property
    def is_variational(self) -> bool:
        """Whether a code is drawn from a posterior, and the prior can be decoded."""
        return self.config.model.is_variational

    def images(self, split: Split = "test", which: Which = None) -> Floats:
        """Clean images of a split."""
        return self._take(split, which)[0].cpu().numpy()

    def labels(self, split: Split = "test", which: Which = None) -> NDArray[np.int64]:
        """Labels (N,) of a split, that index `classes`."""
        return self._set(split).labels[self._index(split, which).numpy()]

    def watched(self, count: int, split: Split = "test") -> NDArray[np.int64]:
        """Positions of `count` images to show: the first of every class, then the second, as in the run's samples."""
        return sample_index(self._set(split).labels, count).numpy()

    def reconstruct(
        self, images: NDArray[Any], noise: NoiseSection | None = None, seed: int = 0
    ) -> tuple[Floats, Floats]:
        """What the network is shown and what it makes of it: (N, C, H, W) twice; without `noise` the first is `images`.

        The same seed gives the same draws at every level of a kind. A reconstruction is what the loss sees: one with
        an identity or relu output may leave 0..1.

        Raises:
            ConfigError: a classifier, or images of another shape.
        """
        self._need_autoencoder("reconstruct")
        noisy = self.corrupt(images, noise or NoiseSection(), seed)
        return noisy, self._forward(noisy, lambda output: output.reconstruction)

    def corrupt(self, images: NDArray[Any], noise: NoiseSection, seed: int = 0) -> Floats:
        """Images with noise on them, drawn on the CPU: every device sees the same.

        Raises:
            ConfigError: images of another shape.
        """
        clean = self._checked(images)
        return corrupt(clean, noise, seeded(clean.device, seed, QUESTION)).numpy()

    def encode(self, images: NDArray[Any]) -> Floats:
        """Codes (N, latent) of images; of a variational autoencoder the means.

        Raises:
            ConfigError: images of another shape.
        """
        return self._forward(images, lambda output: output.code)

    def codes(self, split: Split = "test", which: Which = None) -> tuple[Floats, NDArray[np.int64]]:
        """Codes (N, latent) of a split's clean images, and their labels (N,)."""
        index = self._index(split, which)
        batches = (self._run(self._take(split, part.numpy())[0]).code for part in index.split(BATCH))
        return _gather(batches), self._set(split).labels[index.numpy()]

    @torch.inference_mode()
    def decode(self, codes: NDArray[Any]) -> Floats:
        """Images in 0..1 from codes (N, latent); what an identity or relu output puts outside is cut.

        Raises:
            ConfigError: a classifier, or codes of another width.
        """
        self._need_autoencoder("decode")
        given = torch.as_tensor(np.asarray(codes, dtype=np.float32))
        latent = self.config.model.latent
        if given.ndim != 2 or given.shape[1] != latent:
            raise ConfigError(f"codes of shape {tuple(given.shape)}: {self.run.id} takes (N, {latent})", "give that")
        decoder: Any = self.parts.model
        with self._arithmetic():
            images = [decoder.decode(part.to(self.parts.device)) for part in given.split(BATCH)]
        return _gather(images).clip(0, 1)

    def predict(self, images: NDArray[Any]) -> Floats:
        """Logits (N, classes).

        Raises:
            ConfigError: no classifier, or images of another shape.
        """
        if not self.config.is_classifier:
            raise ConfigError(
                f"{self.run.id} is an autoencoder and knows no classes",
                f"train a classifier on it: --set model.family=classifier --set model.encoder_run={self.run.id}",
            )
        return self._forward(images, lambda output: output.logits)

    def posterior(self, images: NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and log variance of the code's normal distribution, (N, latent) each.

        Raises:
            ConfigError: no variational autoencoder, or images of another shape.
        """
        self._need_variational("has no posterior")
        pair = self._forward(images, _posterior)
        return pair[:, 0], pair[:, 1]

    def prior_samples(self, count: int, seed: int = 0) -> Floats:
        """Images decoded from `count` codes drawn from the standard normal prior.

        Raises:
            ConfigError: no variational autoencoder.
        """
        self._need_variational("has no prior to draw from")
        generator = seeded(torch.device("cpu"), seed, QUESTION, 1)
        return self.decode(torch.randn(count, self.config.model.latent, generator=generator).numpy())

    def _need_autoencoder(self, verb: str) -> None:
        if not self.is_autoencoder:
            raise ConfigError(f"{self.run.id} is a classifier and does not {verb}", "take a run of an autoencoder")

    def _need_variational(self, lack: str) -> None:
        if not self.is_variational:
            family = self.config.model.family
            raise ConfigError(f"{self.run.id} ({family}) {lack}", "take a run of a variational autoencoder")

    def _set(self, split: Split) -> ImageSet:
        return self.parts.train if split == "train" else self.parts.test

    def _index(self, split: Split, which: Which) -> torch.Tensor:
        count = len(self._set(split))
        if which is None or isinstance(which, int):
            return torch.arange(count if which is None else min(which, count))
        index = torch.as_tensor(np.asarray(which, dtype=np.int64))
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < count:
            raise ConfigError(f"the {split} split has images 0 to {count - 1}", "ask for one of these")
        return index

    def _take(self, split: Split, which: Which) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = self._set(split)
        return chosen.take(chosen.place(self._index(split, which)))

    def _checked(self, images: NDArray[Any]) -> torch.Tensor:
        given = torch.as_tensor(np.asarray(images, dtype=np.float32))
        shape = self.parts.train.image_shape
        if given.ndim != 4 or tuple(given.shape[1:]) != shape:
            wanted = ", ".join(map(str, shape))
            raise ConfigError(f"images of shape {tuple(given.shape)}: {self.run.id} takes (N, {wanted})", "give these")
        return given

    def _forward(self, images: NDArray[Any], part: Callable[[ModelOutput], Any]) -> Floats:
        batches = self._checked(images).split(BATCH)
        return _gather(part(self._run(batch)) for batch in batches)

    @torch.inference_mode()
    def _run(self, images: torch.Tensor) -> ModelOutput:
        with self._arithmetic():
            output: ModelOutput = self.parts.model(images.to(self.parts.device))
        return output

    def _arithmetic(self) -> Any:
        return autocast(self.config.training.precision, self.parts.device)


def _posterior(output: ModelOutput) -> torch.Tensor:
    """(N, 2, latent): mean and log variance."""
    assert output.mean is not None
    assert output.log_variance is not None
    return torch.stack((output.mean, output.log_variance), dim=1)


def _gather(batches: Iterator[torch.Tensor] | Sequence[torch.Tensor]) -> Floats:
    return torch.cat([batch.float().cpu() for batch in batches]).numpy()
