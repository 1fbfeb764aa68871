"""What can be said about a run before it starts, without torch: the same words in the form and on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuiae.config import SET, RunConfig
from tuiae.data.dataset import check_classes
from tuiae.data.registry import DatasetInfo, check_images, describe
from tuiae.errors import ConfigError, DeviceError
from tuiae.models.geometry import check_fit, count_parameters
from tuiae.preflight_warnings import warn
from tuiae.runs.lookup import find_run
from tuiae.runs.reader import read_config

_ENCODER_KEYS = ("latent", "hidden", "channels", "kernel", "stride", "norm", "activation", "code_activation", "output")


@dataclass(frozen=True)
class Checked:
    """A config that can run, and what is worth saying about it."""

    config: RunConfig
    dataset: DatasetInfo
    parameters: int | None
    warnings: tuple[str, ...] = ()


def check(config: RunConfig, runs_root: Path, devices: list[str] | None = None) -> Checked:
    """Check a config against what is there: datasets, runs, devices (when known), and the network against the images.

    Raises:
        ConfigError, DataError, UnknownRunError, DeviceError: cause and next step.
    """
    trained = None
    if config.model.encoder_run:
        config, trained = _take_architecture(config, runs_root)
    dataset = describe(config.data.dataset)
    check_images(config.data.dataset, config.data.image_size)
    classes = _count_classes(config, dataset)
    if devices is not None:
        check_device(config.training.device, devices)
    parameters = None
    if dataset.shape is not None:
        size = config.data.image_size
        shape = (dataset.shape[0], size, size) if size else dataset.shape
        check_fit(config.model, shape, classes)
        parameters = count_parameters(config.model, shape, classes)
    return Checked(config, dataset, parameters, warn(config, dataset, trained))


def _take_architecture(config: RunConfig, runs_root: Path) -> tuple[RunConfig, RunConfig]:
    """The config on the encoder that it names, and the config that the encoder was trained by."""
    source = find_run(config.model.encoder_run, runs_root)
    trained = read_config(source)
    if trained is None:
        raise ConfigError(f"model.encoder_run: {source.id} has no config that this version knows", "choose another run")
    # The worker looks among the runs; what lies elsewhere keeps its path.
    place = source.id if source.root.parent == runs_root else str(source.root)
    return put_on_encoder(config, trained, place), trained


def check_asked(asked: Mapping[str, Any], askers: Mapping[str, str], config: RunConfig, runs_root: Path) -> None:
    """Refuse what was asked for by name and the encoder from a run would overrule; what a preset says may be.

    `asked` is by dotted key, `askers` as for `build_config`.

    Raises:
        ConfigError: an architecture that is not the encoder's. UnknownRunError: no such run.
    """
    if not config.model.encoder_run:
        return
    ready, _ = _take_architecture(config, runs_root)
    for key in asked:
        name = key.removeprefix("model.")
        if key == name or name not in ("encoder", *_ENCODER_KEYS):
            continue
        wanted, kept = getattr(config.model, name), getattr(ready.model, name)
        if wanted != kept:
            raise ConfigError(
                f"{askers.get(key, SET)}: {key} = {wanted} has no effect: the encoder of {ready.model.encoder_run} "
                f"keeps its own, {kept}",
                "leave it out, or leave out model.encoder_run to train such an encoder from scratch",
            )


def put_on_encoder(config: RunConfig, trained: RunConfig, place: str = "") -> RunConfig:
    """An encoder from a run keeps that run's architecture; dropout stays the classifier's own to choose.

    `place` is the run, empty while it is still to come.
    """
    source = trained.model
    update = {key: getattr(source, key) for key in _ENCODER_KEYS}
    if source.is_variational:
        update["code_activation"] = "identity"  # the mean, linear whatever its config says
    model = config.model.model_copy(update={**update, "encoder": source.encoder_family, "encoder_run": place})
    return config.model_copy(update={"model": model})


def _count_classes(config: RunConfig, dataset: DatasetInfo) -> int:
    check_classes(config.data.classes, dataset.name, dataset.classes)
    return (len(config.data.classes) or len(dataset.classes)) if dataset.labelled else 0


def check_device(word: str, devices: list[str], hint: str = "use --device auto, or one of these") -> None:
    """Whether a machine with such devices has the one that `training.device` means.

    Raises:
        DeviceError: it has not; `hint` is the next step.
    """
    names = [name.split()[0] for name in devices]
    wanted = "cuda:0" if word == "cuda" else word
    if word != "auto" and wanted not in names:
        raise DeviceError(f"training.device = '{word}': this machine has {', '.join(devices)}", hint)
