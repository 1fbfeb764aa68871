"""The networks of the benchmark as people write them today: `python -m tests.benchmarks.peers PEER WORK ROOT ...`.

Each peer is written as its own documentation has it, trains in a process of its own, evaluates on the test split after
every epoch, and prints the seconds of each epoch and the last test loss as JSON. Packages: the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 1000
PEERS = ("DataLoader loop", "Lightning", "Keras on JAX", "Keras on torch")
FLOOR = "matrix products alone"


class Watch:
    """The seconds between the ends of epochs."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = time.perf_counter()

    def epoch_ended(self) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


# PyTorch's networks, for the loop and for Lightning.


def torch_network(work: str) -> tuple[Any, Callable[[Any, Any], Any]]:
    """A network and its loss: (network, (images) -> loss)."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class VariationalAutoencoder(nn.Module):
        """tp5-2022's, convolutional."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                *(nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Flatten())
            )
            self.mean, self.log_variance = nn.Linear(3136, 2), nn.Linear(3136, 2)
            self.decoder = nn.Sequential(
                *(nn.Linear(2, 3136), nn.ReLU(), nn.Unflatten(1, (64, 7, 7))),
                *(
                    nn.ConvTranspose2d(64, 32, 3, 2, 1, 1),
                    nn.ReLU(),
                    nn.ConvTranspose2d(32, 1, 3, 2, 1, 1),
                    nn.Sigmoid(),
                ),
            )

        def forward(self, x: Any) -> tuple[Any, Any, Any]:
            hidden = self.encoder(x)
            mean, log_variance = self.mean(hidden), self.log_variance(hidden)
            code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            return self.decoder(code), mean, log_variance

    def bound(model: Any, x: Any) -> Any:
        output, mean, log_variance = model(x)
        reconstruction = F.binary_cross_entropy(output, x, reduction="sum")
        return (reconstruction - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())) / len(x)

    def squared(model: Any, x: Any) -> Any:
        return F.mse_loss(model(x), x)

    def dense(units: int) -> nn.Module:
        encoder = (nn.Flatten(), nn.Linear(784, units), nn.ReLU(), nn.Dropout(0.1))
        return nn.Sequential(*encoder, nn.Linear(units, 784), nn.ReLU(), nn.Unflatten(1, (1, 28, 28)))

    def conv() -> nn.Module:
        encoder = (
            *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Dropout(0.2), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Dropout(0.2), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Dropout(0.2)),
        )
        decoder = (
            *(nn.Linear(256, 800), nn.ReLU(), nn.Dropout(0.2), nn.Unflatten(1, (32, 5, 5))),
            *(nn.ConvTranspose2d(32, 16, 5, 2), nn.ReLU(), nn.Dropout(0.2)),
            *(nn.ConvTranspose2d(16, 1, 4, 2), nn.Sigmoid(), nn.Dropout(0.2)),
        )
        return nn.Sequential(*encoder, *decoder)

    if work == "conv VAE":
        return VariationalAutoencoder(), bound
    return (conv() if work == "conv 256" else dense(int(work.split()[1]))), squared


def loaders(root: Path, dataset: str, limits: tuple[int, int]) -> list[Any]:
    """The training and the test split, as torchvision and a DataLoader give them."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets
    from torchvision.transforms import ToTensor

    kind = datasets.MNIST if dataset == "mnist" else datasets.FashionMNIST
    found = []
    for train, limit in zip((True, False), limits, strict=True):
        images: Any = kind(root, train=train, download=False, transform=ToTensor())
        found.append(DataLoader(Subset(images, range(limit)), batch_size=BATCH, shuffle=train))
    return found


def dataloader_loop(work: str, root: Path, dataset: str, limits: tuple[int, int], epochs: int) -> tuple[Watch, float]:
    """The loop of PyTorch's tutorials."""
    import torch

    train, test = loaders(root, dataset, limits)
    model, criterion = torch_network(work)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    watch, total = Watch(), 0.0
    for _ in range(epochs):
        model.train()
        running = 0.0
        for inputs, _labels in train:
            optimizer.zero_grad()
            loss = criterion(model, inputs)
            loss.backward()
            optimizer.step()
            running += loss.item()
        model.eval()
        total = 0.0
        with torch.no_grad():
            for inputs, _labels in test:
                total += criterion(model, inputs).item() * len(inputs)
        watch.epoch_ended()
    return watch, total / limits[1]


def lightning(work: str, root: Path, dataset: str, limits: tuple[int, int], epochs: int) -> tuple[Watch, float]:
    """A LightningModule and its Trainer."""
    import logging
    import warnings

    import lightning as L
    import torch

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model, criterion = torch_network(work)
    watch = Watch()

    class Autoencoder(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, index: int) -> Any:
            loss = criterion(self.model, batch[0])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", criterion(self.model, batch[0]), prog_bar=True)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

        def on_train_epoch_end(self) -> None:
            watch.epoch_ended()

    train, test = loaders(root, dataset, limits)
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=epochs, default_root_dir=root, enable_checkpointing=False, **options)
    trainer.fit(Autoencoder(), train, test)
    return watch, float(trainer.callback_metrics["val_loss"])


def keras_on(backend: str) -> Callable[..., tuple[Watch, float]]:
    """keras.Sequential, or a model with a sampling layer, and `fit`."""

    def train(work: str, root: Path, dataset: str, limits: tuple[int, int], epochs: int) -> tuple[Watch, float]:
        os.environ["KERAS_BACKEND"] = backend
        import keras
        from keras import layers, ops

        with np.load(root / f"{dataset}.npz") as arrays:  # as keras.datasets gives them
            x_train, x_test = (
                arrays[name][:limit].astype("float32")[..., None] / 255
                for name, limit in zip(("x_train", "x_test"), limits, strict=True)
            )

        class Sampling(layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.seed_generator = keras.random.SeedGenerator(0)

            def call(self, inputs: Any) -> Any:
                mean, log_variance = inputs
                kl = -0.5 * ops.sum(1 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=1)
                self.add_loss(ops.mean(kl))
                noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
                return mean + ops.exp(0.5 * log_variance) * noise

        def reconstruction(target: Any, output: Any) -> Any:
            return ops.mean(ops.sum(keras.losses.binary_crossentropy(target, output), axis=(1, 2)))

        dropout = 0.2
        if work == "conv VAE":
            inputs = keras.Input((28, 28, 1))
            x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(inputs)
            x = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(x)
            x = layers.Flatten()(x)
            code = Sampling()([layers.Dense(2)(x), layers.Dense(2)(x)])
            x = layers.Reshape((7, 7, 64))(layers.Dense(3136, activation="relu")(code))
            x = layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu")(x)
            model = keras.Model(
                inputs, layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid")(x)
            )
        elif work == "conv 256":
            model = keras.Sequential(
                [
                    keras.Input((28, 28, 1)),
                    *(layers.Conv2D(16, 3, activation="relu"), layers.Dropout(dropout), layers.MaxPooling2D()),
                    *(layers.Conv2D(32, 3, activation="relu"), layers.Dropout(dropout), layers.MaxPooling2D()),
                    *(layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dropout(dropout)),
                    *(layers.Dense(800, activation="relu"), layers.Dropout(dropout), layers.Reshape((5, 5, 32))),
                    *(layers.Conv2DTranspose(16, 5, strides=2, activation="relu"), layers.Dropout(dropout)),
                    *(layers.Conv2DTranspose(1, 4, strides=2, activation="sigmoid"), layers.Dropout(dropout)),
                ]
            )
        else:
            units = int(work.split()[1])
            encoder = [layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dropout(0.1)]
            decoder = [layers.Dense(784, activation="relu"), layers.Reshape((28, 28, 1))]
            model = keras.Sequential([keras.Input((28, 28, 1)), *encoder, *decoder])
        watch = Watch()
        model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=reconstruction if work == "conv VAE" else "mse")
        told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: watch.epoch_ended())
        data = {"batch_size": BATCH, "shuffle": True, "validation_data": (x_test, x_test), "verbose": 0}
        history = model.fit(x_train, x_train, epochs=epochs, callbacks=[told], **data)
        return watch, float(history.history["val_loss"][-1])

    return train


def matrix_products(work: str, root: Path, dataset: str, limits: tuple[int, int], epochs: int) -> tuple[Watch, float]:
    """The products of a dense network in float32 and nothing else: what no framework can go below."""
    import torch

    units, watch = int(work.split()[1]), Watch()
    images, code = torch.rand(BATCH, 784), torch.rand(BATCH, units)
    encoder, decoder = torch.rand(784, units), torch.rand(units, 784)
    for _ in range(epochs):
        for _ in range(limits[0] // BATCH):
            torch.mm(images, encoder), torch.mm(code, decoder)  # forward
            torch.mm(images, decoder.t()), torch.mm(code.t(), images), torch.mm(images.t(), code)  # backward
        for _ in range(limits[1] // BATCH):
            torch.mm(images, encoder), torch.mm(code, decoder)
        watch.epoch_ended()
    return watch, 0.0


WAYS: dict[str, Callable[..., tuple[Watch, float]]] = dict(
    zip(
        (*PEERS, FLOOR),
        (dataloader_loop, lightning, keras_on("jax"), keras_on("torch"), matrix_products),
        strict=True,
    )
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=WAYS)
    parser.add_argument("work")
    parser.add_argument("root", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("train", type=int)
    parser.add_argument("test", type=int)
    parser.add_argument("epochs", type=int)
    asked = parser.parse_args()
    watch, loss = WAYS[asked.peer](asked.work, asked.root, asked.dataset, (asked.train, asked.test), asked.epochs)
    print(json.dumps({"seconds": watch.seconds, "loss": loss}))


if __name__ == "__main__":
    main()
