"""From a config to the parts of a training: device, images, model, objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tuiae.config import RunConfig
from tuiae.data.batches import ImageSet
from tuiae.data.prepare import prepare
from tuiae.data.splits import select
from tuiae.errors import ConfigError
from tuiae.models.registry import Network, build_model
from tuiae.runs.checkpoints import no_checkpoint
from tuiae.runs.layout import RunPaths
from tuiae.runs.lookup import find_run
from tuiae.training.checkpoint import find_checkpoint, load_weights
from tuiae.training.device import resolve_device
from tuiae.training.precision import keep_float32, memory_format

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Parts:
    """What a training, an evaluation or an explorer works with."""

    config: RunConfig
    device: torch.device
    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    model: Network


def set_up(config: RunConfig, runs_root: Any = None, progress: Progress | None = None) -> Parts:
    """Find the device, prepare the images, build the model on the device with its seeded initial weights.

    Raises:
        DeviceError, DataError, ConfigError: each says what to do.
    """
    device = resolve_device(config.training.device)
    keep_float32(config.training.precision, device)
    dataset = prepare(config.data.dataset, config.data.image_size, progress=progress)
    splits = select(dataset, config.data, config.training.seed)
    train = ImageSet(splits.train_images, splits.train_labels, device)
    test = ImageSet(splits.test_images, splits.test_labels, device)
    torch.manual_seed(config.training.seed)
    model = build_model(config.model, train.image_shape, len(splits.classes))
    if config.model.encoder_run and runs_root is not None:
        _take_encoder(model, find_run(config.model.encoder_run, runs_root))
    model = model.to(device).to(memory_format=memory_format(config))
    return Parts(config, device, train, test, splits.classes, model)


def _take_encoder(model: nn.Module, source: RunPaths) -> None:
    from tuiae.models.classifier import Classifier

    folder = find_checkpoint(source)
    if folder is None:
        missing = no_checkpoint(source)
        raise ConfigError(f"model.encoder_run: {missing.cause}", missing.hint)
    assert isinstance(model, Classifier)
    model.load_encoder(load_weights(folder))
