"""Keras' `fit`, watched and steered by tuiae, on any of its backends: `model.fit(..., callbacks=[TuiaeCallback()])`.

p pauses it between two batches, x stops it, and its learning rate can be edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

try:
    import keras
except ImportError as missing:
    raise ImportError("this needs Keras: pip install 'tuiae[keras]'") from missing

from tuiae.integrations.names import as_metrics
from tuiae.tracking.run import TrackedRun, track

RATE = "learning_rate"


class TuiaeCallback(keras.callbacks.Callback):
    """Records batches, epochs and validations of a fit, each `fit` as a run of its own."""

    def __init__(self, name: str = "keras", config: Any = None, **options: Any) -> None:
        """`config` is added to what the optimizer says; `options` are those of `tuiae.track`."""
        super().__init__()
        self._name, self._config, self._options = name, config, options
        self.run = TrackedRun(None, None)
        """The run that is recorded."""
        self._epoch = self._step = 0
        self._rate: float | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        known = {"optimizer": type(optimizer).__name__.lower(), RATE: self._read_rate(), "model": self.model.name}
        known |= self._config if isinstance(self._config, Mapping) else {}
        epochs, steps = self.params.get("epochs") or 0, self.params.get("steps") or 0
        self._step = 0
        self.run = track(self._name, known, **{"epochs": epochs, "steps_per_epoch": steps, **self._options})

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._rate = epoch, self._read_rate()
        self._edit()

    def _read_rate(self) -> float | None:
        """The learning rate, also where a schedule makes it; None where the optimizer has none."""
        rate = getattr(self.model.optimizer, RATE, None)
        return None if rate is None else float(keras.ops.convert_to_numpy(rate))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if keras.backend.backend() != "jax":  # which takes what an optimizer says once an epoch
            self._edit()

    def _edit(self) -> None:
        """Put an edited learning rate into the optimizer; one with a schedule keeps that."""
        if self._rate is None:
            return
        edited = self.run.setting(RATE, self._rate)
        if edited != self._rate:
            try:
                self.model.optimizer.learning_rate = edited
            except TypeError:
                return
            self._rate = edited

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._step += 1
        # What Keras tells of a batch is the mean since its epoch began: the epoch's own comes at its end.
        values = {metric: value for metric, value in as_metrics(logs or {}, "train").items() if metric != "size"}
        self.run.log(step=self._step, epoch=self._epoch, split="live", **values)
        if self.run.should_stop():
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        done = epoch + 1.0
        self.run.log(step=self._step, epoch=done, split="train", **as_metrics(logs or {}, "train"))
        if values := as_metrics(logs or {}, "val"):
            self.run.log(step=self._step, epoch=done, split="val", **values)

    def on_train_end(self, logs: Any = None) -> None:
        self.run.finish()
