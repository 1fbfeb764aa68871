"""Lightning's Trainer, watched and steered by tuiae: `Trainer(callbacks=[TuiaeCallback("my-run")])`.

p pauses it between two batches, x stops it, and its learning rate can be edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

try:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import Callback
except ImportError as missing:
    raise ImportError("this needs Lightning: pip install 'tuiae[lightning]'") from missing

from tuiae.integrations.names import as_metrics
from tuiae.tracking.run import TrackedRun, track

ASK_BATCHES = 20  # between questions to the first of several processes, for which all of them wait
RATE = "learning_rate"


class TuiaeCallback(Callback):
    """Records batches, epochs and validations of a fit, each `fit` as a run of its own."""

    def __init__(self, name: str = "lightning", config: Any = None, **options: Any) -> None:
        """`config` is added to the module's hyperparameters; `options` are those of `tuiae.track`."""
        self._name, self._config, self._options = name, config, options
        self.run = TrackedRun(None, None)
        """The run that is recorded; of other processes than the first one that does nothing."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        known = {**pl_module.hparams, **(self._config if isinstance(self._config, Mapping) else {})}
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else 0
        options = {"epochs": epochs, "rank": trainer.global_rank, **self._options}
        self.run = track(self._name, known, **options)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Put an edited learning rate into the optimizers; of several processes the first one tells the others."""
        alone = trainer.world_size == 1
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        if (alone or batch_idx % ASK_BATCHES == 0) and groups and isinstance(rate := groups[0]["lr"], float):
            edited = self.run.setting(RATE, rate)
            edited = edited if alone else trainer.strategy.broadcast(edited)
            for group in groups if edited != rate else ():
                group["lr"] = edited

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        self.run.log(step=trainer.global_step, epoch=_epochs(trainer, batch_idx + 1), split="train", loss=loss)
        self._ask(trainer, batch_idx)

    def _ask(self, trainer: Trainer, batch_idx: int) -> None:
        """Wait while the run is paused, and stop all processes where the first one is asked to."""
        alone = trainer.world_size == 1
        if alone or batch_idx % ASK_BATCHES == ASK_BATCHES - 1:
            stop = self.run.should_stop()
            if stop if alone else trainer.strategy.reduce_boolean_decision(stop, all=False):
                trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = as_metrics(trainer.callback_metrics, "train")
        values.pop("loss", None)  # every batch has told its own
        if values:
            self.run.log(step=trainer.global_step, epoch=trainer.current_epoch + 1.0, split="train", **values)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        values = as_metrics(trainer.callback_metrics, "val")
        if values:
            done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
            self.run.log(step=trainer.global_step, epoch=_epochs(trainer, done), split="val", **values)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.run.finish(exception)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self.run.finish()


def _epochs(trainer: Trainer, batches: int) -> float:
    """Epochs done after so many batches of the one under way."""
    whole = trainer.num_training_batches
    share = min(batches / whole, 1.0) if isinstance(whole, int) and whole else 0.0
    return trainer.current_epoch + share
