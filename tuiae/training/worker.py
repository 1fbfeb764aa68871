"""The worker process: `python -m tuiae.training.worker RUN_DIR`, or `--standby` to be given one later.

It holds the run's lock, writes the run directory, and returns the exit code that a user's command passes on. Torch is
imported after the lock is taken and the status says so, so that nobody waits in front of an empty screen.
"""

from __future__ import annotations

import argparse
import faulthandler
import fcntl
import glob
import importlib
import io
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import termios
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuiae import __version__
from tuiae.config import RunConfig, build_config
from tuiae.errors import CodeError, CodeFailedError, ExitCode, TrainingError, TuiaeError
from tuiae.files import open_append, read_json, replace_json
from tuiae.images import CHANGED, OPTION, ImageRecord, differences, refusal, unfit
from tuiae.machine import (
    CARD,
    LEAVING,
    STOPPING,
    Gpu,
    Interrupt,
    freest_together,
    lasting_imports,
    see_only,
    users_environment,
    when_parent_ends,
)
from tuiae.preflight import check_cards, check_shared
from tuiae.runs import control
from tuiae.runs.checkpoints import find_checkpoint
from tuiae.runs.lineage import need_config
from tuiae.runs.paths import SCHEMA, RunPaths, changed_since
from tuiae.runs.process import (
    WITH_PARENT,
    RankProcesses,
    RunLock,
    become_worker,
    worker_words,
)
from tuiae.runs.reader import is_written_elsewhere, read_config, read_images, read_status
from tuiae.runs.removal import discard_untrained
from tuiae.runs.writer import RunWriter, settle_config, write_images
from tuiae.source import of_run, with_code
from tuiae.training.failure import explain, requeue_advice

if TYPE_CHECKING:
    from tuiae.training.loop import Trainer
    from tuiae.training.setup import Parts


TURN = 50e-6
"""Seconds after which a thread may ask another for Python's lock: threads that compute shards want it all the time, for
moments. With Python's own 5 ms a step of dense_64 takes 4 % longer."""


def main(argv: list[str] | None = None) -> int:
    """Train the run named on the command line, or the one that the parent sends to a standby."""
    asked = _parse(argv)
    sys.setswitchinterval(TURN)
    if asked.rank:
        _import_torch()
        from tuiae.training.ranks import follow

        return follow(asked.join, asked.rank, asked.devices)
    if asked.standby:
        asked.run, asked.other_images = _wait_for_run()
        _begin_anew_for_another_card(RunPaths(asked.run), asked.other_images)
    run = RunPaths(asked.run)
    wanted = Wanted(asked.epochs, asked.device, asked.devices, asked.other_images, asked.join)
    _keep_log_writable()
    try:
        lock = RunLock(run)
        if not lock.acquire() or is_written_elsewhere(run):
            print(f"{run.id} is held by another process", file=sys.stderr)
            return ExitCode.HELD
        with (interrupt := Interrupt()).listening(*LEAVING):
            if asked.with_parent:
                when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
            code = work(run, interrupt, wanted)
            # Now, and not when Python has taken torch down: the run may be resumed at once.
            lock.close()
    except OSError as error:
        print(f"{run.root}: {error.strerror}", file=sys.stderr)
        return ExitCode.TRAINING
    # torchrun takes any other code for a failure, and would begin again what was stopped.
    return ExitCode.OK if asked.join and code == ExitCode.STOPPED else code


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--standby", action="store_true")
    parser.add_argument("--epochs", type=int, help="up to so many, other than the run's")
    parser.add_argument("--device", help="other than the run's")
    parser.add_argument("--devices", type=int, help="so many, other than the run's")
    parser.add_argument("--join", default="", help="where those meet who share its batches: env:// of torchrun")
    parser.add_argument("--rank", type=int, default=0, help="which of them this one is; all but 0 are told which run")
    parser.add_argument(OPTION, action="store_true", help="go on even where the images are others")
    parser.add_argument(WITH_PARENT, action="store_true", help="save and stop when the other end of stdin is gone")
    return parser.parse_args(argv)


@dataclass(frozen=True)
class Wanted:
    """What a worker is asked for otherwise than its run's config says."""

    epochs: int | None = None
    """Up to which one it trains."""
    device: str | None = None
    devices: int | None = None
    other_images: bool = False
    """Whether it goes on with images that are not those of the run."""
    join: str = ""
    """Where processes join it that share its batches; else it starts them itself."""

    @property
    def place(self) -> dict[str, Any]:
        """The device and how many, by dotted key, as far as they are asked for."""
        places = {"training.device": self.device, "training.devices": self.devices}
        return {key: value for key, value in places.items() if value is not None}


def work(run: RunPaths, interrupt: Interrupt, wanted: Wanted = Wanted()) -> int:
    """Train a run whose lock this process holds, as is `wanted`, and record how it ended; returns the exit code.

    After a signal the loop saves and stops at the next step boundary: a handler could interrupt a save. A run that was
    at rest and cannot be gone on with stays as it was. Raises OSError where the run cannot be written.
    """
    before, trainer = read_json(run.status), None
    begun = before.get("state") not in (None, "starting")
    if begun:
        control.take(run)  # what was sent to an earlier worker too late for it
    writer = RunWriter(run)
    try:
        writer.status(now=True, state="starting", phase="importing torch", card="")
        with ExitStack() as others:
            trainer = _set_up(run, writer, interrupt, wanted, others)
            state, failure = "stopped" if trainer is None else trainer.run(), None
    except Exception as error:  # noqa: BLE001 - recorded below: whatever ended the run is what its reader must see
        state, failure = "failed", explain(error, run, trainer)
        if isinstance(error, (CodeError, CodeFailedError)) and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        elif not isinstance(error, (TuiaeError, OSError)):
            traceback.print_exc()
        print(f"error: {failure}", file=sys.stderr)
    if failure is not None and trainer is None and begun:
        writer.withdraw(before, failure.record())
    else:
        writer.close(state, failure.record() if failure else None)
    if failure is not None:
        if wanted.join and not begun:
            discard_untrained(run)  # as `tuiae run` does, which has become this worker under torchrun
        return failure.exit_code
    if state == "stopped" and interrupt.count and (advice := requeue_advice(run)):
        print(advice, file=sys.stderr)
    return ExitCode.STOPPED if state == "stopped" else ExitCode.OK


def _set_up(
    run: RunPaths, writer: RunWriter, interrupt: Interrupt, wanted: Wanted, others: ExitStack
) -> Trainer | None:
    """Everything before the first step; where this raises nothing has been trained. None where a signal came
    meanwhile. The processes that share the batches end with `others`."""
    # Longer than other functions: the order decides what a run keeps that is refused on the way.
    begun, current = need_config(run, step=-1), need_config(run)
    config = build_config(begun.model_dump(mode="json"), wanted.place)
    check_shared(config, config.training.device)
    if interrupt.count:
        return None
    processes = None
    if config.training.devices > 1 and not wanted.join:
        processes = RankProcesses(config.training.devices)
        others.callback(processes.close)
    if config.training.device == "cpu":
        see_only()  # else PyTorch's Adam asks CUDA whether it captures a graph, which begins the first card
    _import_torch()
    from tuiae.training.control import Mailbox, extend
    from tuiae.training.loop import Trainer
    from tuiae.training.ranks import meet, on_own_card
    from tuiae.training.setup import give_way

    writer.status(now=True, phase="preparing", epochs=wanted.epochs or current.training.epochs)
    config = on_own_card(config) if wanted.join else config
    parts = _prepare(run, config, writer, interrupt, processes)
    if parts is None:
        return None
    recorded = _check_images(run, parts, wanted)
    for text in parts.cautions:
        writer.event("warning", text=text)
    give_way(parts.device)
    if config.training.devices > 1:
        parts = meet(run, parts, processes, lambda: interrupt.count > 0)
        if parts is None:
            return None
        ranks = parts.ranks
        others.push(lambda kind, *_: ranks.close(orderly=kind is None))
    writer.status(device=parts.place)
    if wanted.place:
        own = begun.training
        words = own.device if own.devices == 1 else f"{own.device}, {own.devices} devices"
        writer.event("command", text=f"on {parts.place} from here on; its config says {words}")
    _settle(run, writer, parts)
    if wanted.epochs is not None:
        extend(writer, current, wanted.epochs)
    try:
        trainer = Trainer(parts, writer, Mailbox(run, lambda: interrupt.count > 0))
    except TrainingError as error:
        if recorded is None or recorded.is_same(parts.images):
            raise
        raise unfit(run.id, recorded, parts.images) from error
    # Only now, when its checkpoint has been found to be of use.
    _record_images(run, writer, parts, recorded, begins=not trainer.state.step)
    return trainer


def _check_images(run: RunPaths, parts: Parts, wanted: Wanted) -> ImageRecord | None:
    """The record of the images that the run trained on; raises OtherImagesError where these are others, and no others
    are wanted."""
    recorded = read_images(run)
    if recorded is not None and not recorded.is_same(parts.images) and not wanted.other_images:
        again = f"tuiae resume {run.id}" + ("" if wanted.epochs is None else f" --epochs {wanted.epochs}")
        raise refusal(run.id, parts.config, recorded, parts.images, again)
    return recorded


def _settle(run: RunPaths, writer: RunWriter, parts: Parts) -> None:
    """Write into the config which precision its `auto` stands for, and how wide the code of a custom network is: the
    run keeps both wherever it goes on."""
    from tuiae.training.setup import in_precision

    begun = need_config(run, step=-1)
    settled = in_precision(begun, parts.config.training.precision) if parts.reason else begun
    settled = with_code(settled, latent=parts.config.model.latent)
    if settled != begun:
        settle_config(run, settled)
    _record_layers(run, parts)
    if parts.reason and parts.config.training.precision != "float32":
        writer.event("command", text=f"trains in bfloat16: {parts.reason}")


def _record_layers(run: RunPaths, parts: Parts) -> None:
    """Write down the layers of a custom network, for those who look at it without running it."""
    from tuiae.models.custom import CustomNetwork

    network: Any = getattr(parts.model, "encoder", parts.model)  # of a classifier
    if isinstance(network, CustomNetwork) and not run.layers.exists():
        with suppress(OSError):  # a training is worth more than its picture
            replace_json(run.layers, {"v": SCHEMA, "layers": [asdict(layer) for layer in network.layers]})


class _NothingTrainedError(Exception):
    """A signal came while the training was set up: there is nothing to save."""


def _prepare(
    run: RunPaths, config: RunConfig, writer: RunWriter, interrupt: Interrupt, processes: RankProcesses | None
) -> Parts | None:
    """Images and network of a config; None where a signal came meanwhile."""
    from tuiae.training.setup import set_up

    def progress(phase: str, done: int, total: int) -> None:
        if interrupt.count:
            raise _NothingTrainedError  # images can take longer than a scheduler waits
        writer.status(phase=f"{phase} {done * 100 // total}%" if total else phase)

    # A checkpoint holds the encoder too: the run that it was taken from may be gone by now.
    source = None if find_checkpoint(run) else run.root.parent
    try:
        progress("preparing", 0, 0)
        return set_up(of_run(config, run.root), source, progress, partial(_claim_cards, run, writer, processes))
    except _NothingTrainedError:
        return None


CLAIMED_SECONDS = 3600.0  # since a worker has last signed, by the clock of the disk; it is to sign each second


def _claim_cards(run: RunPaths, writer: RunWriter, processes: RankProcesses | None, cards: Sequence[Gpu]) -> Gpu | None:
    """The card with the most memory for this run, beside the others of its folder; the `processes` that share its
    batches get the next ones. The status says so at once: workers that begin together hold no memory yet."""
    size = 1 if processes is None else processes.size
    with _alone_in(run.root.parent):
        others = (
            map(read_status, changed_since(run.root.parent, time.time() - CLAIMED_SECONDS)) if len(cards) > 1 else ()
        )
        counts = Counter(card for one in others if one.live and one.pid != os.getpid() for card in one.card.split())
        chosen = freest_together(cards, size, counts)
        writer.status(now=True, card=" ".join(gpu.uuid for gpu in chosen))
    if not chosen:
        return None
    check_cards(size, len(chosen))
    if processes is not None:
        processes.cards = [gpu.cuda for gpu in chosen]
    return chosen[0]


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No two workers of a folder of runs are inside at a time."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a network's file system may not lock folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _record_images(
    run: RunPaths, writer: RunWriter, parts: Parts, recorded: ImageRecord | None, *, begins: bool
) -> None:
    """Write down which images a training goes on with, and how they differ from those `recorded` before."""
    changed = recorded is not None and not recorded.is_same(parts.images)
    if recorded is None and run.images.exists():
        writer.event("warning", text=f"{run.images.name} is damaged: whether these are the images of before is unknown")
    if recorded is None or changed:
        write_images(run, parts.images, recorded)
    if changed or begins:
        for text in parts.notes:
            writer.event("warning", text=text)
    if recorded is not None and changed:
        what = "; ".join(differences(recorded, parts.images))
        fields = {"before": asdict(recorded), "now": asdict(parts.images)}
        writer.event("command", text=f"{CHANGED} {parts.images.dataset} from here on: {what}", images=fields)


def _wait_for_run() -> tuple[Path, bool]:
    """Warm up, report what is there, and answer dry runs until a line brings a run directory, and whether its images
    may be others; ends the process, without taking torch down first, when stdin ends before that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # As an exception, so that a dry run takes its directory along; `main` sets a handler of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    warm, given = threading.Event(), threading.Event()
    when_parent_ends(lambda: _end_with_parent(warm, given))
    try:
        _import_torch()
        warm.set()
        run = _serve(given)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    if run is None:
        os._exit(ExitCode.OK)
    return run


def _serve(given: threading.Event) -> tuple[Path, bool] | None:
    """The run that comes on stdin, after answers to what came before it; None when stdin ends."""
    import torch

    from tuiae.training.device import list_devices

    # What a custom network prints, or a program that it starts, must not get between two answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(fields: dict[str, Any]) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    answer({"devices": list_devices(), "torch": torch.__version__, "pid": os.getpid(), "tuiae": __version__})
    # Without Python's buffers, which would hide from `select` what they hold.
    stdin = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - for as long as the process lasts
    while (line := stdin.readline()).endswith(b"\n"):
        request = json.loads(line)
        if "run" in request:
            given.set()
            path = Path(request["run"])
            answers.close()
            _redirect_output(RunPaths(path).log)
            return path, bool(request.get("other_images"))
        # More to read is the next request, or the end: either interrupts a dry run.
        answer(_answer(request, lambda: bool(select.select([0], [], [], 0)[0])))
    return None


def _begin_anew_for_another_card(run: RunPaths, other_images: bool) -> None:
    """Where a dry run has begun a card that this run does not ask for, make this process a worker that has begun none:
    CUDA lets go of a card with its process alone."""
    import torch

    config = read_config(run)
    if config is None or not torch.cuda.is_initialized():
        return
    if config.training.device in ("auto", "cuda", os.environ.get(CARD)):
        return
    become_worker(worker_words(run, other_images=other_images), users_environment())


GRACE_SECONDS = 0.5  # for a standby to take what it was given last, and to leave a dry run by itself


def _end_with_parent(warm: threading.Event, given: threading.Event) -> None:
    """End a standby whose parent went and left it nothing to do, even while it imports torch or is in a long batch."""
    while _unread():
        # Perhaps a run, that was given before the parent went.
        if given.wait(0.1):
            return
    if warm.is_set() and given.wait(GRACE_SECONDS):
        return
    for folder in glob.glob(os.path.join(tempfile.gettempdir(), f"tuiae-dry-run-{os.getpid()}-*")):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(ExitCode.OK)


def _unread() -> bool:
    """Whether something waits on stdin; not where that has become something else."""
    try:
        return any(fcntl.ioctl(0, termios.FIONREAD, bytes(4)))
    except OSError:
        return False


def _answer(request: dict[str, Any], interrupted: Callable[[], bool]) -> dict[str, Any]:
    """The dry run of the request's config as a JSON object: `dry_run`, `error`, or neither when the next request came
    before it was done."""
    from tuiae.training.rehearsal import Abandoned, dry_run

    try:
        config = build_config(request["dry_run"])
        return {"dry_run": asdict(dry_run(config, Path(request["root"]), interrupted, bool(request.get("profiled"))))}
    except Abandoned:
        return {}
    except TuiaeError as error:
        return {"error": error.record()}


def _import_torch() -> None:
    """Import what a training needs."""
    with lasting_imports():
        importlib.import_module("tuiae.training.loop")


class _Log(io.FileIO):
    """The worker's stdout or stderr; what a full disk does not take of it is left out: no training ends for its log."""

    def write(self, text: Any, /) -> int:
        try:
            return super().write(text) or 0
        except OSError:
            return len(text)


def _keep_log_writable() -> None:
    """Let no print of this process fail, and say of a fatal signal, such as SIGBUS, where it struck."""
    faulthandler.enable(2)
    for name, number in (("stdout", 1), ("stderr", 2)):
        log = io.BufferedWriter(_Log(number, "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(log, "utf-8", "backslashreplace", line_buffering=True))


def _redirect_output(log: Path) -> None:
    """Send everything printed from now on, by C libraries too, to the run's log."""
    with open_append(log) as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


if __name__ == "__main__":
    code = main()
    for number in (*STOPPING, *LEAVING):
        signal.signal(number, signal.SIG_IGN)  # how it ended is told by the code, while torch is taken down
    sys.exit(code)
