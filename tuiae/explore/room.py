"""What the explorer has open, and who answers which question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tuiae.errors import ConfigError
from tuiae.explore.answers import Answer, Forgotten, Opened
from tuiae.explore.loaded import LoadedRun, load, reload
from tuiae.explore.questions import QUESTIONS
from tuiae.explore.subject import Subject, Tell
from tuiae.files import read_json
from tuiae.runs.layout import RunPaths, need_run
from tuiae.training.checkpoint import MANIFEST


class Room:
    """One checkpoint of one run at a time."""

    def __init__(self, tell: Tell) -> None:
        torch.set_num_threads(1)
        self._tell = tell
        self._subject: Subject | None = None
        self._device = ""

    def prepare(self, question: str, arguments: Mapping[str, Any]) -> Callable[[], Answer]:
        """The work of a question on what is open now, whatever is opened before it is done."""
        if question == "open":
            return partial(self.open, **arguments)
        if question == "forget":
            return self.forget
        if self._subject is None:
            return partial(_refuse, "no run is open in the explorer", "open one first")
        if question not in QUESTIONS:
            return partial(_refuse, f"the explorer knows no question '{question}'", "update both sides of tuiae")
        return partial(QUESTIONS[question], self._subject, **arguments)

    def open(self, run: str, weights: str = "last", device: str = "cpu") -> Opened:
        """Load a checkpoint, unless it is the one in memory.

        Raises:
            TuiaeError: there is no such run or checkpoint; then nothing of another run stays open.
        """
        paths, subject = RunPaths(Path(run)), self._subject
        need_run(paths)
        known = subject is not None and subject.loaded.run == paths and self._device == device
        if not known:
            self.forget()
            self._tell(f"loading {paths.id}")
            loaded = load(paths, weights, device)
        else:
            assert subject is not None
            loaded = reload(subject.loaded, weights)
        if subject is None or loaded is not subject.loaded:
            _warm_up(loaded)
            self._subject, self._device = Subject(loaded, self._tell), device
        return _describe(loaded)

    def forget(self) -> Forgotten:
        """Let the memory go."""
        self._subject = None
        return Forgotten("")


def _refuse(cause: str, hint: str) -> Answer:
    raise ConfigError(cause, hint)


def _warm_up(loaded: LoadedRun) -> None:
    """Take the first way through the network now: it plans and allocates what the next ones find ready."""
    image = loaded.images("test", 1)
    if loaded.is_autoencoder:
        loaded.decode(loaded.encode(image))
    else:
        loaded.predict(image)


def _describe(loaded: LoadedRun) -> Opened:
    manifest = read_json(loaded.run.weights / loaded.checkpoint / MANIFEST)
    config, epoch = loaded.config, manifest.get("epoch")
    return Opened(
        checkpoint=loaded.checkpoint,
        run=str(loaded.run.root),
        step=int(loaded.checkpoint.removeprefix("step-")),
        epoch=float(epoch) if isinstance(epoch, (int, float)) else None,
        family=config.model.family,
        shape=loaded.parts.train.image_shape,
        classes=loaded.classes,
        latent=config.model.latent,
        is_autoencoder=loaded.is_autoencoder,
        is_variational=loaded.is_variational,
        tests=len(loaded.parts.test),
    )
