"""Callbacks in the real trainers, where these are installed: `make extras` installs them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Laboratory, wait_until
from tuiae.integrations.names import split_and_metric
from tuiae.runs.control import send
from tuiae.runs.paths import list_runs
from tuiae.runs.reader import RunReader, read_sample, read_status
from tuiae.tracking.run import RANKS


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("loss", ("train", "loss")),
        ("train_loss_step", ("train", "loss")),
        ("val/acc", ("val", "accuracy")),
        ("epoch_loss", ("train", "loss")),
        ("Loss/validation", ("val", "loss")),
        ("val_sparse_categorical_accuracy", ("val", "accuracy")),
        ("test", ("train", "test")),
    ],
)
def test_names_of_others_become_splits_and_metrics(name: str, found: tuple[str, str]) -> None:
    assert split_and_metric(name) == found


def lightning_fit(folder: Path, epochs: int, fail: bool = False) -> Any:
    """A fit of 8 batches an epoch and a validation, ready to begin, with its callback."""
    lightning = pytest.importorskip("lightning.pytorch")
    from tuiae.integrations.lightning import TuiaeCallback

    class Line(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if fail and self.current_epoch:
                raise ValueError("no such layer")
            loss = self.layer(batch[0]).pow(2).mean()
            self.log("train_acc", 0.5, on_epoch=True, on_step=False)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.layer(batch[0]).pow(2).mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(16, 1)), batch_size=2)
    callback = TuiaeCallback("line")
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[callback], default_root_dir=folder, **quiet
    )
    return lambda: trainer.fit(Line(), loader, loader), callback


def test_a_fit_of_lightning_is_a_run(lab: Laboratory, tmp_path: Path) -> None:
    fit, _ = lightning_fit(tmp_path, 3)
    fit()
    (run,) = list_runs(lab.runs)
    snapshot = RunReader(run.root).read_all()
    assert (snapshot.status.state, snapshot.status.epoch, snapshot.status.step) == ("finished", 3, 24)
    assert snapshot.tracked == {"width": 3}
    for key in (("train", "loss"), ("test", "loss"), ("train", "accuracy")):
        assert snapshot.series[key].epochs.tolist() == [1, 2, 3], key


def test_a_fit_of_lightning_that_fails_says_why(lab: Laboratory, tmp_path: Path) -> None:
    fit, _ = lightning_fit(tmp_path, 3, fail=True)
    with pytest.raises(ValueError, match="no such layer"):
        fit()
    (run,) = list_runs(lab.runs)
    status = read_status(run)
    assert status.state == "failed"
    assert "no such layer" in str((status.error or {})["cause"])


def test_a_fit_of_lightning_hears_edits_and_stops(lab: Laboratory, tmp_path: Path) -> None:
    fit, callback = lightning_fit(tmp_path, 100_000)

    def ask() -> None:
        (run,) = wait_until(lambda: list_runs(lab.runs))
        wait_until(lambda: read_status(run).settings)
        send(run, "set", key="learning_rate", value=0.01)
        wait_until(lambda: RunReader(run.root).read_all().edits)
        send(run, "stop")

    asking = threading.Thread(target=ask)
    asking.start()
    fit()
    asking.join()
    (run,) = list_runs(lab.runs)
    assert read_status(run).state == "stopped"
    assert callback.run.id == run.id
    assert read_status(run).settings == {"learning_rate": 0.01}


TOGETHER = """
import torch, lightning.pytorch as lightning
from tuiae.integrations.lightning import TuiaeCallback

class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).pow(2).mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(200, 1)), batch_size=2)
callback = TuiaeCallback("together")
none = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
trainer = lightning.Trainer(
    max_epochs=100_000, accelerator="cpu", devices=2, strategy="ddp", callbacks=[callback], **none
)
trainer.fit(Line(), loader)
open(f"rank-{trainer.global_rank}", "w").write(f"{trainer.optimizers[0].param_groups[0]['lr']} {callback.run.id}")
"""


@pytest.mark.thorough
def test_a_fit_of_lightning_in_two_processes_is_one_run_that_both_hear(lab: Laboratory, tmp_path: Path) -> None:
    pytest.importorskip("lightning.pytorch")
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    fit = subprocess.Popen([sys.executable, str(script)], env=lab.environment, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        (run,) = wait_until(lambda: list_runs(lab.runs), 120)
        wait_until(lambda: read_status(run).settings)
        send(run, "set", key="learning_rate", value=0.01)
        wait_until(lambda: RunReader(run.root).read_all().edits)
        epoch = read_status(run).epoch
        wait_until(lambda: read_status(run).epoch > epoch + 1)
        send(run, "stop")
        assert fit.wait(60) == 0
    finally:
        fit.kill()
    assert read_status(run).state == "stopped"
    assert (tmp_path / "rank-0").read_text() == f"0.01 {run.id}"
    assert (tmp_path / "rank-1").read_text() == "0.01 "


KERAS = """
import threading, time, numpy as np, keras
from tuiae.integrations.keras import TuiaeCallback
from tuiae.runs.control import send
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import read_status

def fit(epochs, ask=False):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")], name="line")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.random.rand(32, 4).astype("float32"), np.arange(32) % 3
    callback = TuiaeCallback("line")
    if ask:
        def stop():
            while not callback.run.id or not read_status(RunPaths(callback.run.path)).settings: time.sleep(0.01)
            send(RunPaths(callback.run.path), "set", key="learning_rate", value=0.5)
            while read_status(RunPaths(callback.run.path)).settings["learning_rate"] != 0.5: time.sleep(0.01)
            epoch = read_status(RunPaths(callback.run.path)).epoch
            while read_status(RunPaths(callback.run.path)).epoch < epoch + 3: time.sleep(0.01)
            send(RunPaths(callback.run.path), "stop")
        threading.Thread(target=stop).start()
    model.fit(x, y, batch_size=8, epochs=epochs, validation_data=(x, y), verbose=0, callbacks=[callback])
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))

fit(3)
print(fit(100000, ask=True))
"""


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_fits_of_keras_are_runs_that_hear_edits_and_stop(lab: Laboratory, backend: str) -> None:
    if not all(map(find_spec, ("keras", backend))):  # to import keras here would be to choose a backend
        pytest.skip(f"needs keras and {backend}")
    environment = {**lab.environment, "KERAS_BACKEND": backend, "KERAS_HOME": str(lab.root)}
    lab.root.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", KERAS], env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    ended = {read_status(run).state: RunReader(run.root).read_all() for run in list_runs(lab.runs)}
    assert ended.keys() == {"finished", "stopped"}
    first = ended["finished"]
    assert (first.status.epoch, first.status.step) == (3, 12)
    for key in (("train", "loss"), ("test", "loss"), ("train", "accuracy"), ("test", "accuracy")):
        assert first.series[key].epochs.tolist() == [1, 2, 3], key
    assert float(done.stdout.split()[-1]) == 0.5


@pytest.mark.parametrize("name", ["lightning", "keras"])
def test_without_the_package_one_sentence_says_what_to_install(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; import tuiae.integrations.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ})
    assert done.stderr.splitlines()[-1] == f"ImportError: this needs {name.title()}: pip install 'tuiae[{name}]'"


# Old runs of other trackers


def test_event_files_of_tensorboard_become_runs_beside_others(lab: Laboratory, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path / "logs" / "first") as writer:
        for step in range(30):
            writer.add_scalar("Loss/train", step, step)
            writer.add_scalar("epoch", step // 10, step)
            if step % 10 == 9:
                writer.add_scalar("Loss/val", 2 * step, step)
                writer.add_scalar("val_acc", step / 30, step)
                writer.add_image("in/inputs", np.full((1, 8, 8), 0.5), step)
                writer.add_image("out/reconstructions", np.full((1, 8, 8), step / 58), step)
        writer.add_hparams({"lr": 0.1, "width": 3, "optimizer": "adam"}, {"hparam/accuracy": 1.0})
    (made,) = lab("import", str(tmp_path), "--json").document
    snapshot = RunReader(lab.run(made["run"]).root).read_all()
    assert snapshot.series["test", "loss"].epochs.tolist() == [1, 2, 3]
    assert snapshot.series["test", "loss"].values.tolist() == [18, 38, 58]
    assert snapshot.series["test", "accuracy"].values.tolist() == pytest.approx([0.3, 19 / 30, 29 / 30, 1])
    assert snapshot.series["train", "loss"].values.tolist() == [4.5, 14.5, 24.5]
    assert (snapshot.status.state, snapshot.status.epoch, snapshot.status.epochs) == ("finished", 3, 3)
    assert snapshot.tracked == {"lr": 0.1, "width": 3, "optimizer": "adam"}
    assert snapshot.latest("test", "accuracy") == 1
    assert snapshot.samples == (1, 2, 3)
    sample = read_sample(lab.run(made["run"]), 3)
    assert sample is not None
    assert sample.reconstructions is not None
    assert sample.inputs is not None
    assert (sample.inputs.max(), sample.reconstructions.max()) == (127, 127)
    assert lab("import", str(tmp_path), "--json").document == []
    assert len(list_runs(lab.runs)) == 1


WANDB = """
import wandb
run = wandb.init(project="p", name="old run", config={"lr": 0.1, "model": {"width": 3}})
for epoch in range(3):
    for batch in range(500): run.log({"train/loss": epoch, "epoch": epoch})
    run.log({"val/loss": 2 * epoch, "epoch": epoch})
run.finish()
"""


def test_offline_files_of_wandb_become_runs_also_when_they_are_torn(lab: Laboratory, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": str(tmp_path)}
    home = {"HOME": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path), "WANDB_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", WANDB], env={**environment, **home}, check=True, timeout=200, cwd=tmp_path)
    (made,) = lab("import", str(tmp_path / "wandb"), "--json").document
    snapshot = RunReader(lab.run(made["run"]).root).read_all()
    assert snapshot.title == "old run"
    assert snapshot.tracked is not None
    assert (snapshot.tracked["lr"], snapshot.tracked["model.width"]) == (0.1, 3)
    assert snapshot.series["test", "loss"].epochs.tolist() == [1, 2, 3]
    assert snapshot.series["train", "loss"].values.tolist() == [0, 1, 2]
    assert snapshot.status.state == "finished"
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert file.stat().st_size > 1 << 15  # its records lie in several blocks
    torn = tmp_path / "run-torn.wandb"
    torn.write_bytes(file.read_bytes()[:40_000])
    (made,) = lab("import", str(torn), "--json").document
    half = RunReader(lab.run(made["run"]).root).read_all()
    assert half.status.state == "stopped"
    assert 0 < half.status.step < 1500


def test_what_no_tracker_wrote_is_refused_in_a_sentence(lab: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "run-1.wandb").write_bytes(b"garbage" * 100)
    assert lab("import", str(tmp_path / "none"), check=2).stdout == ""
    assert lab("import", str(tmp_path / "run-1.wandb"), check=2).stdout == ""
    (tmp_path / "empty").mkdir()
    assert "no run of TensorBoard or W&B" in lab("import", str(tmp_path / "empty"), check=2).stderr
