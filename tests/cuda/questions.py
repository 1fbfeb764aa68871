"""What is asked of a process on cards that only count; each function runs in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from tests.test_explorer import listening
from tests.training import train
from tuiae.cli.main import enter
from tuiae.config import build_config
from tuiae.data import batches
from tuiae.data.batches import epoch_order
from tuiae.errors import TuiaeError
from tuiae.files import read_json
from tuiae.machine import Interrupt
from tuiae.runs import control
from tuiae.runs.checkpoints import all_checkpoints
from tuiae.runs.paths import RunPaths, list_runs, runs_dir
from tuiae.runs.process import StandbyWorker
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training import control as control_of_training
from tuiae.training import worker
from tuiae.training.control import Mailbox
from tuiae.training.device import describe_device, list_devices, resolve_device
from tuiae.training.evaluate import evaluate
from tuiae.training.loop import Trainer
from tuiae.training.rehearsal import dry_run
from tuiae.training.setup import set_up
from tuiae.training.step import TrainingStep

BASE = {
    "data.dataset": "digits",
    "training.epochs": 2,
    "training.device": "cuda:0",
    "training.batch_size": 250,
    "training.precision": "float32",
}


def counted(act: Callable[[], object]) -> list[str]:
    """What the cards were asked for meanwhile."""
    library = ctypes.CDLL(None)
    library.counting_call.restype = ctypes.c_char_p
    library.counting_record(1)
    try:
        act()
    finally:
        library.counting_record(0)
    return [library.counting_call(index).decode() for index in range(library.counting_count())]


def contexts() -> list[int]:
    """The cards on which this process has a context."""
    return [card for card in range(16) if ctypes.CDLL(None).counting_context(card)]


def trainer(settings: dict[str, Any]) -> Trainer:
    config = build_config({}, {**BASE, **settings})
    run = create_run(config, runs_dir(), [])
    return Trainer(set_up(config), RunWriter(run), Mailbox(run, lambda: False))


def count_steps(settings: dict[str, Any]) -> dict[str, Any]:
    """What the second step asks of a card, which is taken kernel by kernel, and what the fifth does, a replayed one."""
    made = trainer({"data.train_limit": 1500, **settings})
    order = made.parts.train.place(epoch_order(len(made.parts.train), 0, 0))
    made.parts.model.train()
    steps = [counted(lambda: made.step(order)) for _ in range(5)]
    return {"eager": steps[1], "replayed": steps[4], "captured": made.training_step.captured is not None}


def choose(word: str) -> dict[str, Any]:
    """The device that a word means, with all that is said on the way, or the error."""
    told: list[str] = []
    found: dict[str, Any]
    try:
        device = resolve_device(word, told.append)
    except TuiaeError as error:
        found = {"error": type(error).__name__, "code": error.exit_code, "words": str(error)}
    else:
        found = {"device": str(device), "name": describe_device(device)}
    return {**found, "told": told, "contexts": contexts(), "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}


def choose_all(words: list[str]) -> list[dict[str, Any]]:
    """The devices of several words, one after the other."""
    return [choose(word) for word in words]


def look_and_choose(words: list[str]) -> list[dict[str, Any]]:
    """The same in a process in which CUDA has counted its cards before."""
    assert torch.cuda.is_available()
    return choose_all(words)


def names() -> list[str]:
    return list_devices()


def rehearse(*devices: str) -> list[int]:
    """The cards that dry runs begin, one after the other."""
    for device in devices:
        dry_run(build_config({}, {**BASE, "training.device": device}), runs_dir())
    return contexts()


def try_out(settings: dict[str, Any]) -> float:
    """The MB that a dry run says an evaluation takes."""
    return dry_run(build_config({}, {**BASE, **settings}), runs_dir()).evaluation_mb


def begun(settings: dict[str, Any]) -> list[int]:
    """The cards that a training of these settings begins."""
    trainer(settings)
    return contexts()


def work(settings: dict[str, Any], document: dict[str, Any] | None = None) -> dict[str, Any]:
    """A run trained by a worker's own code: its exit code, its status, and the cards that it has begun."""
    run = create_run(build_config(document or {}, {**BASE, **settings}), runs_dir(), [])
    return resume(run.id)


def resume(name: str, epochs: int | None = None, device: str | None = None) -> dict[str, Any]:
    """A run trained as far as it goes, and how many of its steps were replayed."""
    run, codes = RunPaths(runs_dir() / name), []
    wanted = worker.Wanted(epochs=epochs, device=device)
    replays = counted(lambda: codes.append(worker.work(run, Interrupt(), wanted))).count("REPLAY")
    return {
        "run": run.id,
        "code": codes[0],
        "status": read_json(run.status),
        "contexts": contexts(),
        "saved": [folder.name for folder in all_checkpoints(run)],
        "replays": replays,
        "warnings": texts(run, "warning"),
    }


def command(*words: str) -> dict[str, Any]:
    """A command as in a shell."""
    sys.argv = ["tuiae", *words]
    shown = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    code: object = 0
    with contextlib.redirect_stdout(shown["stdout"]), contextlib.redirect_stderr(shown["stderr"]):
        try:
            enter()
        except SystemExit as end:
            code = end.code
    return {
        "code": int(str(code or 0)),
        "contexts": contexts(),
        **{name: text.getvalue() for name, text in shown.items()},
    }


def evaluated(settings: dict[str, Any], steps: bool = True) -> dict[str, Any]:
    """How many images each batch of an evaluation had, and how much memory a step before it, unless it is left out, and
    the evaluation took, in MB."""
    made = trainer(settings)
    sizes: list[int] = []
    order = made.parts.train.place(epoch_order(len(made.parts.train), 0, 0))
    if steps:
        made.step(order)
    step = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    evaluate(made.parts, made.parts.test, on_batch=lambda start, clean, shown, output: sizes.append(len(clean)))
    return {"sizes": sizes, "step": step / 1e6, "evaluation": torch.cuda.max_memory_allocated() / 1e6}


def precisions(settings: dict[str, Any]) -> list[str]:
    """In what convolutions and products of float32 are computed beside a run."""
    trainer(settings)
    return [torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision]


def paused() -> dict[str, Any]:
    """What a run records that pauses after its fourth step and is stopped, and whether it has the graph of its step
    before and while it waits."""
    made = trainer({})
    run, take, wait = made.writer.run, made.step, made.mailbox.wait
    graphs: list[bool] = []

    def step(order: torch.Tensor) -> None:
        take(order)
        if made.state.step == 4:
            graphs.append(made.training_step.captured is not None)
            control.send(run, "pause")

    def stop(check: Callable[[], object]) -> list[dict[str, Any]]:
        graphs.append(made.training_step.captured is not None)
        control.send(run, "stop")
        return wait(check)

    control_of_training.MAIL_SECONDS = 0.0  # at every step, not every tenth of a second
    made.step = step  # type: ignore[method-assign]
    made.mailbox.wait = stop  # type: ignore[method-assign]
    assert made.run() == "stopped"
    made.writer.close("stopped")
    return {"graphs": graphs, "told": texts(run, "command")}


def streamed() -> dict[str, Any]:
    """How the steps of a run are taken whose images are not on the card, and what it says of that."""
    batches.RESIDENT_SHARE = 0.0
    run = create_run(build_config({}, BASE), runs_dir(), [])
    replayed = "REPLAY" in counted(lambda: train(run))
    return {"replayed": replayed, "told": texts(run, "start")}


def texts(run: RunPaths, kind: str) -> list[str]:
    """What a run's history says in events of a kind."""
    events = map(json.loads, run.events.read_text().splitlines())
    return [event["text"] for event in events if event["kind"] == kind]


def stand_by(settings: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """A standby that tries a config, and is then handed a run of another one."""
    standby = StandbyWorker()
    devices = standby.hello()["devices"]
    cost = standby.dry_run(build_config({}, {**BASE, **settings}), runs_dir())
    run = create_run(build_config({}, {**BASE, **then}), runs_dir(), [])
    process = standby.give(run)
    code, status = process.wait(), read_json(run.status)
    return {"devices": devices, "cost": cost, "code": code, "status": status, "pid": process.pid}


def explored(name: str) -> int:
    """How many codes of a run the dashboard's explorer places, which is a process of its own."""
    with listening() as explorer:
        explorer.ask("open", run=str(runs_dir() / name))
        return len(explorer.ask("codes", count=50).points)


def sweep(path: str, jobs: int) -> dict[str, Any]:
    """A sweep that is interrupted once each of its workers trains: the cards that they had, and how they ended."""
    process = subprocess.Popen([sys.executable, "-m", "tuiae", "sweep", path, "--jobs", str(jobs)])

    def running() -> list[dict[str, Any]]:
        statuses = [read_json(run.status) for run in list_runs(runs_dir())]
        return [status for status in statuses if status.get("state") == "running"]

    while process.poll() is None and len(running()) < jobs:
        time.sleep(0.1)
    cards = [status["card"] for status in running()]
    process.send_signal(signal.SIGINT)
    code = process.wait()
    return {"code": code, "cards": cards, "statuses": [read_json(run.status) for run in list_runs(runs_dir())]}


def recordings(
    settings: dict[str, Any], edits: list[tuple[int, str, Any]], stop: int | None = None, breaks: bool = False
) -> dict[str, Any]:
    """By which recording of its body each step of a run was taken, the first is 1, and 0 says kernel by kernel, with
    `edits` that are asked for at a step; and what its history warns of. After `stop` steps another trainer goes on. A
    body that `breaks` waits for the card, which no graph can."""
    run = create_run(build_config({}, {**BASE, **settings}), runs_dir(), [])
    steps: list[int] = []
    seen: list[object] = []
    take, body = Trainer.step, TrainingStep._body

    def step(made: Trainer, order: torch.Tensor) -> None:
        replayed = "REPLAY" in counted(lambda: take(made, order))
        captured = made.training_step.captured
        if replayed and captured not in seen:
            seen.append(captured)
        steps.append(seen.index(captured) + 1 if replayed else 0)

    def wait(made: TrainingStep, batch: torch.Tensor) -> None:
        body(made, batch)
        torch.cuda.synchronize()

    Trainer.step = step  # type: ignore[method-assign]
    if breaks:
        TrainingStep._body = wait  # type: ignore[method-assign]
    train(run, {at: [(key, value)] for at, key, value in edits}, stop)
    if stop is not None:
        train(run)
    return {"steps": steps, "warnings": texts(run, "warning")}
