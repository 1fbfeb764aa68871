"""A run as one file of plain PyTorch that trains the same network: `templates/script.py.jinja` holds its text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template  # which torch brings
from torch import nn

from tuiae import __version__
from tuiae.config import RunConfig
from tuiae.data.datasets import prepare, select
from tuiae.errors import ConfigError
from tuiae.exports.formats import Export
from tuiae.files import replace_text
from tuiae.models.activations import Dropout, RectifiedDropout
from tuiae.models.geometry import fewest_in_batch
from tuiae.models.networks import Autoencoder, Classifier, Network, VariationalAutoencoder, build_model
from tuiae.preflight import known_images
from tuiae.reproduce.report import describe
from tuiae.runs.checkpoints import need_checkpoint
from tuiae.runs.lineage import no_config
from tuiae.runs.paths import RunPaths, runs_dir
from tuiae.runs.query import find_run
from tuiae.runs.reader import RunReader, read_images
from tuiae.runs.snapshot import Snapshot
from tuiae.studies.compare import edited
from tuiae.training.checkpoint import load_weights

TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
"""The sets that torchvision has as they are here; of others the pixels are written beside the script."""
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
INITIALISERS = {
    name: f"nn.init.{name.replace('-', '_')}_(layer.weight{more})"
    for name, more in (
        *((f"xavier-{how}", "") for how in ("uniform", "normal")),
        *((f"kaiming-{how}", ', nonlinearity="relu"') for how in ("uniform", "normal")),
        ("orthogonal", ""),
    )
}
LOSSES = {
    "mse": "The mean squared error of a pixel.",
    "sse": "The squared error of an image, summed over its pixels.",
    "bce": "The binary cross-entropy of a pixel in nats.",
    "l1": "The mean absolute error of a pixel.",
}
EVALUATED = 1000  # images at once


def _left_out(snapshot: Snapshot) -> list[str]:
    """Sentences about what of a run its script does not repeat."""
    words = []
    if parent := snapshot.parent:
        words.append(f"The run began with a checkpoint of {parent.run}; this file begins with new weights.")
    if changes := edited(snapshot):
        words.append(f"The run was edited while it trained ({changes}); this file trains as it began.")
    return words


def write_script(export: Export, path: Path) -> Sequence[str]:
    """Write the script and, where it needs more than torchvision has, an npz of its name beside it.

    Raises:
        ConfigError: the run's config cannot be read, or its network is in a file of the user's own. DataError: its
            images are not here. TrainingError, UnknownRunError: the encoder that it began with is gone.
    """
    snapshot = RunReader(export.run.root).read_all()
    config = snapshot.config
    if config is None:
        raise no_config(export.run)
    export.need_layers(config, "script")
    shape, classes = known_images(config, read_images(export.run))
    model = build_model(config.model, shape, len(classes))
    arrays, torchvision = data_of(config)
    if config.model.encoder_run:
        arrays |= _encoder(export.run, config)
    words = _left_out(snapshot)
    text = _template().render(
        title=f"{describe(config)}.",
        version=__version__,
        run=export.run.id,
        words=words,
        config=config,
        torchvision=torchvision,
        beside=bool(arrays),
        fewest=fewest_in_batch(config.model, shape),
        evaluated=EVALUATED,
        rising=config.rising_epochs,
        rates=config.training.schedule != "constant" or config.training.warmup,
        optimizer=OPTIMIZERS[config.training.optimizer],
        options=_options(config),
        initialiser=INITIALISERS.get(config.model.initialisation, ""),
        loss_words=LOSSES[config.training.loss],
        **_network(model),
    )
    replace_text(path, f"{text.rstrip()}\n")
    if arrays:
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
    return words


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("tuiae.exports"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("script.py.jinja")


def _options(config: RunConfig) -> str:
    training = config.training
    named = {"weight_decay": training.weight_decay}
    if training.optimizer in ("sgd", "rmsprop"):
        named["momentum"] = training.momentum
    # AdamW has a decay where none is named.
    given = {name: value for name, value in named.items() if value or training.optimizer == "adamw"}
    return "".join(f", {name}={value}" for name, value in given.items())


def _network(model: Network) -> dict[str, Any]:
    """What the template says of a network: its layers as calls."""
    assert isinstance(model, Autoencoder | Classifier)
    found = {"encoder": [*map(_call, model.encoder)], "log_variance": "", "network": "An autoencoder."}
    if isinstance(model, Classifier):
        return {**found, "second": "head", "decoder": [*map(_call, model.head)], "network": "A classifier."}
    assert isinstance(model, Autoencoder)
    found |= {"second": "decoder", "decoder": [*map(_call, model.decoder)]}
    if isinstance(model, VariationalAutoencoder):
        found |= {"log_variance": _call(model.log_variance), "network": "A variational autoencoder."}
    return found


def _call(layer: nn.Module) -> str:
    """The call that makes a layer: PyTorch's own say it themselves."""
    if isinstance(layer, RectifiedDropout):
        # One layer, so that what follows has the names that it has in the run.
        return f"nn.Sequential(nn.ReLU(), nn.Dropout({layer.p}))" if layer.p else "nn.ReLU()"
    if isinstance(layer, Dropout):
        return f"nn.Dropout({layer.p})" if layer.p else "nn.Identity()"
    return f"nn.{layer}"


def data_of(config: RunConfig) -> tuple[dict[str, Any], str]:
    """The images of a config as arrays; or none, and the class of torchvision that has them."""
    data = config.data
    if data.dataset in TORCHVISION and not (data.classes or data.image_size or data.validation != "test"):
        return {}, TORCHVISION[data.dataset]
    chosen = select(prepare(data.dataset, data.image_size), data, config.training.seed)
    splits = ("train_images", "train_labels", "test_images", "test_labels")
    return {name: np.asarray(getattr(chosen, name)) for name in splits}, ""


def _encoder(run: RunPaths, config: RunConfig) -> dict[str, Any]:
    """The tensors of the encoder that a classifier began with: a frozen one is still in its own checkpoint."""
    source = run if config.model.freeze else find_run(config.model.encoder_run, runs_dir())
    tensors = load_weights(need_checkpoint(source))
    found = {name: tensor.numpy() for name, tensor in tensors.items() if name.startswith("encoder.")}
    if not found:
        raise ConfigError(f"{source.id} holds no encoder", "export the classifier --to safetensors")
    return found
