"""Runs to compare: written by the real writer, with the losses that a test wants."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, Script, script
from tuiae.studies.compare import CompareReader, Comparison


def settings(base: dict[str, Any] = AUTOENCODER, **changes: Any) -> dict[str, Any]:
    """A config with some keys set: `model__latent=3` for model.latent."""
    document = copy.deepcopy(base)
    for key, value in changes.items():
        section, _, leaf = key.rpartition("__")
        (document.setdefault(section, {}) if section else document)[leaf] = value
    return document


def begin(root: Path, number: int, document: dict[str, Any]) -> Script:
    """A live run with a name of its own that sorts by its number."""
    played = script(root, document, f"202001{number:02}-000000-{document['name']}-{number:04}")
    played.begin()
    return played


def tell(played: Script, epoch: int, loss: float) -> None:
    """One more epoch, with this loss on test images."""
    for split, value in (("train", loss / 2), ("test", loss)):
        values = {"loss": value, "accuracy": 1 - value}
        played.writer.event("metric", split=split, step=4 * epoch, epoch=epoch, values=values)
    played.sample(epoch)
    played.writer.status(now=True, state="running", epoch=epoch, elapsed=2.0 * epoch)


def end(root: Path, number: int, losses: list[float], document: dict[str, Any]) -> Script:
    """A finished run with these losses on test images."""
    played = begin(root, number, document)
    for epoch, loss in enumerate(losses, 1):
        tell(played, epoch, loss)
    played.writer.close("finished")
    return played


def read(*scripts: Script) -> Comparison:
    return CompareReader([played.run.root for played in scripts]).read_all()


def two_sizes(lab: Laboratory) -> list[Script]:
    """Two sizes of code, three seeds each, of which the second size is the better one."""
    return [
        end(lab.runs, 10 * latent + seed, [0.4, 0.8 / latent + 0.01 * seed, 0.9 / latent], document)
        for latent in (4, 8)
        for seed in (0, 1, 2)
        for document in [settings(model__latent=latent, training__seed=seed)]
    ]
