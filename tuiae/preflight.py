"""Checks and warnings before a run starts, without torch; the form and the command line print the same sentences."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from tuiae.config import SET, ModelSection, RunConfig, counted, learning_rate, suggest_shards
from tuiae.data.dataset import Shape, check_classes, check_validation, notes_for
from tuiae.data.registry import DatasetInfo, describe, identify, inspect
from tuiae.errors import ConfigError, DataError, DeviceError
from tuiae.files import read_json
from tuiae.images import ImageRecord, differences, held_out_of, is_own, place_of, refusal, with_absolute_path
from tuiae.machine import VISIBLE, users_environment
from tuiae.models.geometry import ImageShape, LayerInfo, check_batch, count_parameters, head_layers, network_layers
from tuiae.runs.evidence import slow_rate
from tuiae.runs.paths import RunPaths
from tuiae.runs.query import find_run
from tuiae.runs.reader import read_config, read_images
from tuiae.source import check_source, of_run, with_absolute_code

_ENCODER_KEYS = ("latent", "hidden", "channels", "kernel", "stride", "norm", "activation", "code_activation", "output")
_CODE_KEYS = ("code", "arguments", "code_sha256")


@dataclass(frozen=True)
class Checked:
    """A config that can run, and the warnings about it."""

    config: RunConfig
    dataset: DatasetInfo
    parameters: int | None
    warnings: tuple[str, ...] = ()


def check(config: RunConfig, runs_root: Path, devices: list[str] | None = None) -> Checked:
    """Check a config against what is there: datasets, runs, devices (when known), and the network against the images.

    Warns about a config that can run but is unusual. Raises ConfigError, DataError, UnknownRunError or DeviceError for
    one that cannot.
    """
    trained, encoder_images = None, None
    config = with_absolute_path(config)
    if config.model.encoder_run:
        config, trained, encoder_images = _take_architecture(config, runs_root)
    config = with_absolute_code(config)
    said = check_source(config) if config.model.is_custom else ()
    dataset = inspect(config.data.dataset, config.data.image_size)
    check_classes(config.data.classes, dataset.name, dataset.classes)
    check_validation(config.data.validation, dataset.name, dataset.val)
    classes = (len(config.data.classes) or len(dataset.classes)) if dataset.labelled else 0
    if devices is not None:
        check_device(config.training.device, devices)
    _check_devices(config, devices)
    shape = image_shape(config, dataset)
    custom = config.model.is_custom
    parameters = None if shape is None or custom else count_parameters(config.model, shape, classes)
    images = _train_images(config, dataset)
    if images is not None and images < 1:
        raise ConfigError(f"data.validation = {config.data.validation} leaves no image to train on", "hold out fewer")
    if shape is not None:
        check_batch(config.model, shape, config.training.batch_size, images)
    # Of an import they were told when it was made.
    notes = notes_for(dataset.notes, config.data.validation) if is_own(dataset.name) else ()
    warnings = (*notes, *said, *warn(config, dataset, trained), *_other_than_encoder(config, trained, encoder_images))
    return Checked(config, dataset, parameters, warnings)


def current_images(config: RunConfig) -> ImageRecord | None:
    """The record of the images that a run of this config would train on; None where only preparing them would tell.
    Raises as `registry.identify`."""
    return identify(config.data.dataset, config.data.image_size)


def need_images(run: RunPaths) -> None:
    """Raises DataError where the images of a run are no longer where its record says."""
    recorded = read_images(run)
    if recorded is not None and is_own(recorded.dataset) and not Path(recorded.path).exists():
        kind = place_of(recorded.dataset)[0].removesuffix(":")
        cause = f"{recorded.dataset} is gone: {run.id} trained on its {recorded.words}"
        raise DataError(
            cause, f"bring the {kind} back; where it was moved, ln -s NEW_PLACE {shlex.quote(recorded.path)}"
        )


def check_same_images(run: RunPaths, command: str) -> None:
    """Raises OtherImagesError where a run trained on other images than there are now, as far as that is known without
    preparing them; `command` is what would go on with these. DataError where it cannot, and as `current_images`."""
    recorded, config = read_images(run), read_config(run)
    if recorded is None or config is None:
        return
    need_images(run)
    now = current_images(config)
    if now is not None and not recorded.is_same(now):
        raise refusal(run.id, config, recorded, now, command)


def image_shape(config: RunConfig, dataset: DatasetInfo) -> Shape | None:
    """(C, H, W) of the images as they are trained on; None where only opening the set would tell."""
    size = config.data.image_size
    return (dataset.shape[0], size, size) if dataset.shape and size else dataset.shape


def known_images(config: RunConfig, recorded: ImageRecord | None) -> tuple[ImageShape, tuple[str, ...]]:
    """The shape and the classes of the images that a config trains on: of those recorded by its run or, without a
    record, of those that are here. Raises DataError where only preparing them would tell their size, and as
    `registry.describe`."""
    known = recorded.classes if recorded is not None else ()
    shape = recorded.shape if recorded is not None else None
    if recorded is None:
        dataset = describe(config.data.dataset)
        shape, known = image_shape(config, dataset), dataset.classes if dataset.labelled else ()
    if shape is None:
        cause = f"the images of {config.data.dataset} have not been prepared: how large they are is not known yet"
        raise DataError(cause, "set data.image_size, or start a run first")
    return shape, config.data.classes or known


def layers_on(
    config: RunConfig, recorded: ImageRecord | None, run: RunPaths | None = None
) -> tuple[ImageShape, tuple[LayerInfo, ...]]:
    """The shape of the images and the layers of the network that a config trains on them; those of a custom network as
    its `run` has recorded them. Raises ConfigError where the network does not fit them, and as `known_images`."""
    shape, classes = known_images(config, recorded)
    if config.model.is_custom and run is not None and (known := recorded_layers(run)):
        head = head_layers(config.model, len(classes)) if config.is_classifier else []
        unused = [layer for layer in known if layer.part == "other"]
        return shape, (*(layer for layer in known if layer.part != "other"), *head, *unused)
    return shape, network_layers(config.model, shape, len(classes))


def recorded_layers(run: RunPaths) -> list[LayerInfo]:
    """The layers of a run's custom network, as its worker saw them; none where there is no such record."""
    records = read_json(run.layers).get("layers")
    found = []
    for record in records if isinstance(records, list) else ():
        try:
            layer = LayerInfo(**{**record, "shape": tuple(map(int, record["shape"]))})
            found.append(replace(layer, index=int(layer.index), parameters=int(layer.parameters)))
        except (TypeError, ValueError, KeyError):
            return []
    return found


def _train_images(config: RunConfig, dataset: DatasetInfo) -> int | None:
    """The number of training images, or with `data.classes` the most that there can be; None where only opening the
    set would tell."""
    images, data = dataset.train, config.data
    if not images:
        return None
    if not isinstance(data.validation, str):
        images -= held_out_of(images, data.validation)
    return min(data.train_limit or images, images)


def _take_architecture(config: RunConfig, runs_root: Path) -> tuple[RunConfig, RunConfig, ImageRecord | None]:
    """The config with the architecture of the encoder that it names; the config and the images of the encoder's run."""
    source = find_run(config.model.encoder_run, runs_root)
    trained = read_config(source)
    if trained is None:
        raise ConfigError(f"model.encoder_run: {source.id} has no config that this version knows", "choose another run")
    # The worker looks among the runs; what lies elsewhere keeps its path.
    place = source.id if source.root.parent == runs_root else str(source.root)
    return put_on_encoder(config, of_run(trained, source.root), place), trained, read_images(source)


def check_asked(asked: Mapping[str, Any], askers: Mapping[str, str], config: RunConfig, runs_root: Path) -> None:
    """Refuse settings that a user asked for and that the encoder from a run would overrule; those of a preset may be.

    `asked` is by dotted key, `askers` as for `build_config`. Raises ConfigError for an architecture that is not the
    encoder's, and UnknownRunError.
    """
    if not config.model.encoder_run:
        return
    ready, _, _ = _take_architecture(config, runs_root)
    for name in ("encoder", *_ENCODER_KEYS):
        key, wanted, kept = f"model.{name}", getattr(config.model, name), getattr(ready.model, name)
        if key in asked and wanted != kept:
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
    update = {key: getattr(source, key) for key in (*_ENCODER_KEYS, *(_CODE_KEYS if source.is_custom else ()))}
    if source.is_variational:
        update["code_activation"] = "identity"  # the mean, linear whatever its config says
    model = config.model.model_copy(update={**update, "encoder": source.encoder_family, "encoder_run": place})
    training, batch = config.training, config.training.batch_size
    if training.shards == suggest_shards(config.model, batch):  # as is best for the encoder that it would have had
        training = training.model_copy(update={"shards": suggest_shards(model, batch)})
    return config.model_copy(update={"model": model, "training": training})


ELSEWHERE = "use --device auto, or one of these"


def check_device(word: str, devices: list[str], hint: str = ELSEWHERE) -> None:
    """Raises DeviceError, with `hint`, where a machine lacks the one that `training.device` means."""
    names = [name.split()[0] for name in devices]
    if word != "auto" and word not in (*names, *(name.partition(":")[0] for name in names)):
        visible = users_environment().get(VISIBLE)
        seen = f" where CUDA_VISIBLE_DEVICES is '{visible}'" if visible and word.startswith("cuda") else ""
        raise DeviceError(f"training.device = '{word}': this machine has {', '.join(devices)}{seen}", hint)


def check_shared(config: RunConfig, kind: str) -> None:
    """Raises ConfigError where the batches of a config cannot be shared by its devices on a `kind` of them."""
    size = config.training.devices
    words, alone = f"training.devices = {size}", "train with training.devices = 1"
    if size == 1 or kind.startswith("cuda:"):
        if size > 1:
            raise ConfigError(f"{words}: {kind} is one card", "training.device = 'cuda' takes as many as are asked for")
        return
    if kind == "mps":
        raise ConfigError(f"{words}: this machine has one mps device", alone)
    if kind == "cpu" and not config.shards:
        whole = _needs_whole_batches(config.model) or "training.shards = 0"
        raise ConfigError(f"{words}: {whole} needs whole batches on a CPU", alone)
    if kind == "cpu" and config.shards < size:
        cause = f"{words}: on a CPU a batch is cut into training.shards = {config.shards}"
        raise ConfigError(cause, f"set training.shards = {size}, with which it draws other noise, or fewer devices")


def _needs_whole_batches(model: ModelSection) -> str:
    """What of a network does, in words; empty where its batches can be cut."""
    return "" if not model.needs_whole_batches else "a custom network" if model.is_custom else "batch norm"


def _check_devices(config: RunConfig, devices: list[str] | None) -> None:
    """Refuse a config whose devices cannot share its batches, as far as it is known what there is."""
    kind, cards = config.training.device, sum(name.startswith("cuda") for name in devices or ())
    if kind == "auto" and devices is not None:
        kind = "cuda" if cards else devices[-1]
    check_shared(config, kind)
    if kind == "cuda" and devices is not None:
        check_cards(config.training.devices, cards)


def check_cards(size: int, cards: int) -> None:
    """Raises DeviceError where a run asks for more cards than there are."""
    if cards < size:
        cause = f"training.devices = {size}: this machine has {counted(cards, 'GPU')} for this run"
        raise DeviceError(cause, f"take {counted(cards, 'device')}, or train on the CPU: --device cpu")


# Warnings: each of these was seen to waste a training.

WILD_ADAM = 2e-2
"""Learning rate above which Adam's steps, which have its length, throw small networks about: at 0.01 tp5-2022 still
learned its characters, at 0.1 with none of five seeds."""
LEAST_RISE = 1.05
"""Rise of the learning rate that is worth a word, as a factor."""
FEW_PIXELS = 256
"""Values of an image up to which a squared error is soon smaller in nats than what a code costs. With mse at beta 1 no
unit kept 0.01 nats on `digits` (64; code of 2 or 12, with a warm-up and without), nor on MNIST of 8x8 and 14x14; at
28x28 both did, and on `digits` both with bce or l1, and with mse at beta 0.5 (0.4 nats), 0.3 (1.3) and 0.1 (3.0)."""


def warn(config: RunConfig, dataset: DatasetInfo, trained: RunConfig | None = None) -> tuple[str, ...]:
    """The warnings about a config that can run; `trained` is the config of the run that its encoder comes from."""
    return (*_images(config, dataset), *_settings(config), *_sources(config, trained))


def warn_of_change(before: RunConfig, after: RunConfig, epoch: float) -> tuple[str, ...]:
    """The warnings about the config that is in force after `epoch` epochs of a run, without those about the config
    before: of edits, of more epochs on resuming, of a fork."""
    said = {*_settings(before)}
    return (*warn_of_rise(before, after, epoch), *(words for words in _settings(after) if words not in said))


def warn_of_rise(before: RunConfig, after: RunConfig, epoch: float) -> Iterator[str]:
    """The warning that more epochs lift the learning rate of a cosine, which is drawn anew."""
    old, new = (learning_rate(config.training, epoch) for config in (before, after))
    planned, epochs = before.training.epochs, after.training.epochs
    if before.training.schedule == after.training.schedule == "cosine" and epochs > planned and new > LEAST_RISE * old:
        yield (
            f"the learning rate goes up from {old:.2g} to {new:.2g}: "
            f"a cosine falls to 0 at the last epoch, {epochs} and no longer {planned}"
        )


def _settings(config: RunConfig) -> Iterator[str]:
    yield from _rates(config)
    yield from _noise_and_dropout(config)
    yield from _schedule(config)


def _images(config: RunConfig, dataset: DatasetInfo) -> Iterator[str]:
    model, training, shape = config.model, config.training, image_shape(config, dataset)
    images = _train_images(config, dataset)
    if images is not None and images < training.batch_size:
        yield f"a batch of {training.batch_size} takes all {images} training images: one step an epoch"
    if shape is None or config.is_classifier or model.is_custom:
        return
    values, (_, height, width) = prod(shape), shape
    # A denoising code may well be wider than the image: copying does not help it.
    if not model.is_variational and model.latent >= values and config.noise.kind == "none":
        wide = "as wide as" if model.latent == values else "wider than"
        yield f"a code of {model.latent} is {wide} the image ({values:,} values): nothing needs to be learned"
    collapses = training.loss in ("mse", "sse") and training.beta >= 1 and values <= FEW_PIXELS
    if model.is_variational and collapses:
        # The way out first: the form has one line for all of it.
        bernoulli = "or training.loss = 'bce', " if model.output == "sigmoid" else ""
        yield (
            f"a vae of {height}x{width} images collapses with {training.loss}: take preset digits_vae, "
            f"{bernoulli}or training.beta = 0.1"
        )


def _rates(config: RunConfig) -> Iterator[str]:
    training = config.training
    if training.optimizer == "sgd":
        if training.learning_rate < (slow := slow_rate(config)):
            yield (
                f"sgd at {training.learning_rate:g} hardly moves a loss that is a mean over pixels: "
                f"raise training.learning_rate to {slow:g} or more, or take adam"
            )
    elif training.learning_rate > WILD_ADAM:
        yield f"{training.optimizer} at {training.learning_rate:g} rarely learns anything: 0.001 is usual"
    if training.momentum and training.optimizer in ("adam", "adamw"):
        yield f"training.momentum = {training.momentum:g} has no effect: {training.optimizer} takes none"
    if training.shards and (whole := _needs_whole_batches(config.model)):
        yield f"training.shards = {training.shards} has no effect: {whole} needs whole batches"


def _noise_and_dropout(config: RunConfig) -> Iterator[str]:
    model, kind, level, probability = config.model, config.noise.kind, config.noise.level, config.noise.probability
    if kind == "none" and level:
        yield f"noise.level = {level:g} has no effect while noise.kind is 'none'"
    elif kind != "none" and not level:
        yield f"{kind} noise of level 0 changes nothing: give noise.level"
    elif kind == "uniform" and not probability:
        yield "uniform noise with noise.probability = 0 changes nothing"
    if model.code and not model.is_custom:
        yield f"model.code = '{model.code}' has no effect: model.family is '{model.family}'"
    if model.output_dropout and model.dropout and not config.is_classifier:
        yield f"dropout on the output: the training loss cannot fall below {model.dropout:g} x the mean squared pixel"
    if config.is_classifier and model.head == "relu-dropout":
        yield "a relu-dropout head may never predict some classes: a logit below 0 gets no gradient ('linear' does)"


def _schedule(config: RunConfig) -> Iterator[str]:
    training = config.training
    epochs = training.epochs
    if epochs > 1 and training.evaluate_every > epochs / 2:
        yield f"an evaluation every {training.evaluate_every} of {epochs} epochs: the test curve has one point or two"
    rising = occasions(math.ceil(config.rising_epochs), training.evaluate_every) - 1 if config.rising_epochs else 0
    looks = max(0, occasions(epochs, training.evaluate_every) - rising)
    if training.patience and training.patience >= looks:
        risen = " once what warms up has risen" if rising else ""
        yield (
            f"training.patience = {training.patience} never stops anything: {epochs} epochs have "
            f"{counted(looks, 'evaluation')}{risen}"
        )
    if training.warmup >= epochs:
        yield f"the learning rate warms up for {training.warmup:g} epochs: {epochs} end before it is reached"
    if config.model.is_variational and training.beta_warmup >= epochs:
        yield f"beta rises for {training.beta_warmup:g} epochs: {epochs} end before it is reached"
    begun = training.warmup if training.step_from == "warmup" else 0
    if training.schedule == "step" and begun < epochs <= begun + training.step_epochs:
        after = f", after {begun:g} of warm-up" if begun else ""
        yield f"the learning rate steps every {training.step_epochs} epochs{after}: in {epochs} it never does"


def occasions(epochs: int, every: int) -> int:
    """How often something is due that happens once in `every` epochs, and after the last one."""
    return -(-epochs // every)


def _sources(config: RunConfig, trained: RunConfig | None) -> Iterator[str]:
    if config.training.patience and config.data.validation == "test":
        yield (
            "early stopping looks at the test images, so their loss flatters the run: "
            "data.validation = 0.1 holds images out of training instead"
        )
    if not config.is_classifier:
        return
    if config.model.freeze and not config.model.encoder_run:
        yield "model.freeze without model.encoder_run trains a head on an encoder of random weights"
    if trained is not None and trained.data.dataset != config.data.dataset:
        frozen = "frozen " if config.model.freeze else ""
        yield f"the {frozen}encoder was trained on {trained.data.dataset}, and this is {config.data.dataset}"


def _other_than_encoder(config: RunConfig, trained: RunConfig | None, before: ImageRecord | None) -> Iterator[str]:
    """A warning where an encoder sees other images of the dataset than it was trained on; of another dataset `warn`
    tells."""
    if trained is None or before is None or trained.data.dataset != config.data.dataset:
        return
    now = current_images(config)
    if now is not None and (words := differences(before, now)):
        yield f"the encoder was trained on other images than {now.dataset} has now: {'; '.join(words)}"
