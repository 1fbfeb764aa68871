"""A checkpoint in memory: its network and the images of its run; NumPy in and out, so that no caller needs torch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tuiae.config import NoiseSection, RunConfig
from tuiae.data.batches import ImageSet, corrupt, seeded
from tuiae.errors import ConfigError, TrainingError
from tuiae.images import ImageRecord, unfit
from tuiae.models.custom import CustomNetwork
from tuiae.preflight import need_images
from tuiae.runs.checkpoints import all_checkpoints, need_checkpoint, read_position, verify
from tuiae.runs.lineage import resolve_config
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import read_images
from tuiae.source import of_run
from tuiae.training.checkpoint import load_weights, misfit, spoilt
from tuiae.training.evaluate import evaluation_batch, sample_index
from tuiae.training.setup import Parts, autocast, set_up

Split = Literal["train", "test"]
Which = int | Sequence[int] | NDArray[np.int64] | None
"""A number of images from the first of a split on, those at these positions, or None for all."""
Float32s = NDArray[np.float32]

QUESTION = 0xA5C  # keeps the corruption of questions apart from that of training and evaluation


def load(
    run: RunPaths, weights: str = "last", device: str = "auto", overrides: dict[str, Any] | None = None
) -> LoadedRun:
    """Build a run's network, put the weights of a checkpoint into it, and open its images.

    `weights` is `last`, `best`, or a step that was kept; `device` is as `training.device`, since the run's own may be
    another machine's; `overrides` are dotted keys of the config to change, such as `noise.kind`.

    Raises:
        TrainingError: no such checkpoint, or none that can be read.
        ConfigError: the run's config is of another version, an override is wrong, or the weights do not fit it.
        DeviceError, DataError: no such device, or no such images on this machine.
    """
    changes = {"training.device": device, **(overrides or {})}
    need_images(run)
    parts = set_up(of_run(resolve_config(run, changes), run.root))
    # After the images, which take their time: a worker may meanwhile have put a newer one in its place.
    return _filled(run, weights, parts, changes)


def reload(loaded: LoadedRun, weights: str = "last") -> LoadedRun:
    """Load another checkpoint of the same run, with the edits made since; raises what `load` raises.

    Returns `loaded` itself where neither the checkpoint nor the noise has changed.
    """
    config = resolve_config(loaded.run, dict(loaded.overrides))
    if need_checkpoint(loaded.run, weights).name == loaded.checkpoint and config.noise == loaded.config.noise:
        return loaded
    parts = replace(loaded.parts, config=config, model=copy.deepcopy(loaded.parts.model))
    return _filled(loaded.run, weights, parts, loaded.overrides)


def _filled(run: RunPaths, weights: str, parts: Parts, overrides: Mapping[str, Any]) -> LoadedRun:
    (folder, tensors, caution), trained_on = _read(run, weights), read_images(run)
    if cause := misfit(parts.model, tensors):
        # With the config that wrote it a checkpoint fits: an override or other images changed a shape.
        if trained_on is not None and not trained_on.is_same(parts.images):
            raise unfit(run.id, trained_on, parts.images)
        raise ConfigError(
            f"the weights of {run.id} do not fit the network of this config: {cause}",
            "give the config the model and the images of its run",
        )
    parts.model.load_state_dict(tensors)
    parts.model.eval()
    words = spoilt(tensors)
    if words:
        caution = "; ".join(filter(None, (caution, f"{folder.name}: {words}")))
    return LoadedRun(run, folder.name, parts, overrides, caution, not words, trained_on)


def _read(run: RunPaths, weights: str) -> tuple[Path, dict[str, torch.Tensor], str]:
    """The checkpoint of a name, its tensors, and what has to be said of it: for `last`, that a newer one cannot be
    read. Raises TrainingError as `need_checkpoint` and as `load_weights`."""
    folder = need_checkpoint(run, weights)
    try:
        return folder, load_weights(folder), ""
    except FileNotFoundError:
        # A worker that keeps few has deleted it since, but never before a newer one is whole.
        folder = need_checkpoint(run, weights)
        return folder, load_weights(folder), ""
    except TrainingError as error:
        step = read_position(folder).step
        for older in all_checkpoints(run) if weights == "last" else ():
            if read_position(older).step < step and verify(older):
                with suppress(TrainingError):
                    return older, load_weights(older), f"{error.cause}; {older.name} stands in for it"
        raise


@dataclass(frozen=True)
class LoadedRun:
    """One checkpoint of one run, dropout off. Images are float32 (N, C, H, W) in 0..1, codes float32 (N, latent).

    A method raises ConfigError where the network is of another family, or what it is given has another shape.
    """

    run: RunPaths
    checkpoint: str
    """Name of the checkpoint's directory, `step-000720`."""
    parts: Parts
    overrides: Mapping[str, Any]
    """Dotted keys of the config that are others here than in the run, the device among them."""
    caution: str = ""
    """What is to be said of these weights before anything that comes of them."""
    is_finite: bool = True
    trained_on: ImageRecord | None = None
    """The images of the run, as its directory records them; None where it does not."""

    @property
    def config(self) -> RunConfig:
        return self.parts.config

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that labels index; one that stands for all images of a set without labels."""
        return self.parts.classes

    @property
    def is_autoencoder(self) -> bool:
        """Whether the network reconstructs images and decodes codes."""
        return not self.config.is_classifier

    @property
    def has_code(self) -> bool:
        """Whether images have codes; a custom network may only reconstruct."""
        return not isinstance(model := self.parts.model, CustomNetwork) or model.encodes

    @property
    def decodes(self) -> bool:
        """Whether codes can be decoded."""
        return self.is_autoencoder and self.has_code and getattr(self.parts.model, "decodes", True)

    @property
    def is_variational(self) -> bool:
        """Whether a code is drawn from a posterior, and codes drawn from the prior can be decoded."""
        return self.config.model.is_variational

    def images(self, split: Split = "test", which: Which = None) -> Float32s:
        """Clean images of a split."""
        return self._take(split, which)[0].cpu().numpy()

    def labels(self, split: Split = "test", which: Which = None) -> NDArray[np.int64]:
        """Labels (N,) of a split, that index `classes`."""
        return self._set(split).labels[self._index(split, which).numpy()]

    def watched(self, count: int) -> NDArray[np.int64]:
        """Positions of `count` test images to show: the first of every class, then the second, as in the samples."""
        return sample_index(self.parts.test.labels, count).numpy()

    def corrupt(self, images: NDArray[Any], noise: NoiseSection, seed: int = 0) -> Float32s:
        """Images with noise on them, drawn on the CPU: every device sees the same."""
        clean = self._checked(images)
        return corrupt(clean, noise, seeded(clean.device, seed, QUESTION)).numpy()

    def reconstruct(
        self, images: NDArray[Any], noise: NoiseSection | None = None, seed: int = 0
    ) -> tuple[Float32s, Float32s]:
        """The network's input and its reconstruction, (N, C, H, W) each; without `noise` the input is `images`.

        The same seed gives the same draws at every level of a kind. A reconstruction is what the loss sees: one with
        an identity or relu output may leave 0..1.
        """
        self._need_autoencoder("reconstruct")
        noisy = self.corrupt(images, noise or NoiseSection(), seed)
        return noisy, self._forward(noisy, lambda batch: self.parts.model(batch).reconstruction)

    def encode(self, images: NDArray[Any]) -> Float32s:
        """Codes (N, latent) of images; of a variational autoencoder the means."""
        return self._forward(images, self.parts.model.encode)

    def codes(self, split: Split = "test", which: Which = None) -> tuple[Float32s, NDArray[np.int64]]:
        """Codes (N, latent) of a split's clean images, and their labels (N,)."""
        return self.encode(self.images(split, which)), self.labels(split, which)

    def decode(self, codes: NDArray[Any], cut: bool = True) -> Float32s:
        """Images from codes (N, latent); what an identity or relu output puts outside 0..1 is cut, if `cut`."""
        self._need_autoencoder("decode")
        decoder: Any = self.parts.model
        images = self._from_codes(codes, decoder.decode)
        return images.clip(0, 1) if cut else images

    def predict(self, images: NDArray[Any]) -> Float32s:
        """Logits (N, classes)."""
        self._need_classifier()
        return self._forward(images, lambda batch: self.parts.model(batch).logits)

    def predict_codes(self, codes: NDArray[Any]) -> Float32s:
        """Logits (N, classes) of codes (N, latent)."""
        self._need_classifier()
        classifier: Any = self.parts.model
        return self._from_codes(codes, classifier.head)

    def prior_samples(self, count: int, seed: int = 0) -> Float32s:
        """Images decoded from `count` codes drawn from the standard normal prior."""
        if not self.is_variational:
            cause = f"{self.run.id} ({self.config.model.family}) has no prior to draw from"
            raise ConfigError(cause, "take a run of a variational autoencoder")
        generator = seeded(torch.device("cpu"), seed, QUESTION, 1)
        return self.decode(torch.randn(count, self.config.model.latent, generator=generator).numpy())

    def _set(self, split: Split) -> ImageSet:
        return self.parts.train if split == "train" else self.parts.test

    def _index(self, split: Split, which: Which) -> torch.Tensor:
        count = len(self._set(split))
        if which is None or isinstance(which, int):
            return torch.arange(count if which is None else min(which, count))
        index = torch.as_tensor(np.array(which, dtype=np.int64))
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

    def _need_autoencoder(self, verb: str) -> None:
        if not self.is_autoencoder:
            raise ConfigError(f"{self.run.id} is a classifier and does not {verb}", "take a run of an autoencoder")

    def _need_classifier(self) -> None:
        if self.is_autoencoder:
            raise ConfigError(
                f"{self.run.id} is an autoencoder and knows no classes",
                f"train a classifier on it: --set model.family=classifier --set model.encoder_run={self.run.id}",
            )

    @torch.inference_mode()
    def _from_codes(self, codes: NDArray[Any], network: Callable[[torch.Tensor], torch.Tensor]) -> Float32s:
        given = torch.as_tensor(np.asarray(codes, dtype=np.float32))
        latent = self.config.model.latent
        if given.ndim != 2 or given.shape[1] != latent:
            raise ConfigError(f"codes of shape {tuple(given.shape)}: {self.run.id} takes (N, {latent})", "give that")
        with autocast(self.config.training.precision, self.parts.device):
            return _gather([network(part.to(self.parts.device)) for part in given.split(evaluation_batch(self.parts))])

    @torch.inference_mode()
    def _forward(self, images: NDArray[Any], network: Callable[[torch.Tensor], torch.Tensor]) -> Float32s:
        batches = self._checked(images).split(evaluation_batch(self.parts))
        with autocast(self.config.training.precision, self.parts.device):
            return _gather(network(batch.to(self.parts.device)) for batch in batches)


def _gather(batches: Iterable[torch.Tensor]) -> Float32s:
    return torch.cat([batch.float().cpu() for batch in batches]).numpy()
