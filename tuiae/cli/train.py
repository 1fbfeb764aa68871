"""Commands that train: `tuiae run`, `fork` and `resume`."""

from __future__ import annotations

import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from tuiae.cli.follow import LEAVE_SECONDS, check_refusal, follow, follow_to_end, held_by_another, wait_until
from tuiae.cli.output import Output, dataset_progress
from tuiae.cli.torchrun import Torchrun, join_torchrun
from tuiae.config import RunConfig, build_config, parse_override, parse_value, read_document
from tuiae.config.presets import find_preset
from tuiae.data.dataset import notes_for
from tuiae.data.datasets import prepare
from tuiae.errors import ConfigError, ExitCode, RunHeldError, TrainingError
from tuiae.files import read_json
from tuiae.machine import Interrupt
from tuiae.preflight import (
    check,
    check_asked,
    check_device,
    check_same_images,
    current_images,
    warn_of_change,
    warn_of_rise,
)
from tuiae.render.machine import cost_facts
from tuiae.runs.checkpoints import need_checkpoint, newest_position, read_position
from tuiae.runs.control import send
from tuiae.runs.labels import check_tags, forget_pruned, named_for, read_tags
from tuiae.runs.lineage import changes, check_code, fork_config, need_config, plan_replay, replay_run
from tuiae.runs.paths import RunPaths, is_run, is_tracked, list_runs, runs_dir, unwritable
from tuiae.runs.process import StandbyWorker, is_held, start_worker
from tuiae.runs.query import find_run
from tuiae.runs.reader import RunReader, is_original, read_config, read_status
from tuiae.runs.writer import create_run, removed_unless_started
from tuiae.source import UntrustedCodeError, check_trust, kept, of_run, trust, with_absolute_code, with_code
from tuiae.studies.jobs import is_busy
from tuiae.studies.labels import make_fork
from tuiae.studies.library import usefulness
from tuiae.training.failure import resume_elsewhere

WAKE_SECONDS = 5.0  # for a paused worker to go on
EVERYWHERE = ("auto", "cpu")  # values of training.device that every machine has


# What was asked for.


@dataclass(frozen=True)
class StartOptions:
    """How a training is to be started, beside its config."""

    detach: bool = False
    """Whether to return at once, instead of following it to its end."""
    other_images: bool = False
    """Whether to go on with images that have changed since."""
    trusted: bool = False
    """Whether the code of a custom network may run that this user has not started."""


@dataclass(frozen=True)
class Overrides:
    """Values in place of a config's own."""

    values: dict[str, Any]
    """Dotted key -> value."""
    askers: dict[str, str]
    """The flag that set each key, where it was not `--set`; a message about its value begins with the flag."""


def overrides_of(flags: Mapping[str, Any], noise: str | None = None, settings: Sequence[str] = ()) -> Overrides:
    """The flags that were given, by the key that they are named for, then `--noise`; `--set` has the last word.

    Raises:
        ConfigError: a setting that is not KEY=VALUE, or a level of noise without a kind.
    """
    values = {key: value for key, value in flags.items() if value is not None}
    askers = {key: f"--{key.rpartition('.')[2]}" for key in values}
    if noise is not None:
        values |= parse_noise(noise)
        askers |= dict.fromkeys(("noise.kind", "noise.level"), "--noise")
    given = dict(map(parse_override, settings))
    return Overrides(values | given, {key: asker for key, asker in askers.items() if key not in given})


def parse_noise(text: str) -> dict[str, Any]:
    """`--noise KIND[:LEVEL]` by dotted keys; raises ConfigError for a level without a kind."""
    kind, _, level = text.partition(":")
    if kind.replace(".", "", 1).isdecimal():
        such = "salt-pepper" if float(kind) <= 1 else "gaussian"  # the one takes shares alone
        raise ConfigError(f"--noise {text}: a level needs a kind", f"KIND:LEVEL, such as {such}:{kind}")
    return {"noise.kind": kind, **({"noise.level": parse_value(level)} if level else {})}


# Starting. What can fail for the user fails before a run exists.


def run_preset(
    preset: str,
    overrides: Overrides,
    options: StartOptions,
    output: Output,
    tags: Sequence[str] = (),
    replayed: RunPaths | None = None,
    *,
    dry: bool = False,
    go_on: bool = False,
) -> ExitCode:
    """Train a preset: check it, prepare its images, start a worker and follow it; if `dry`, only show the costs.

    With `replayed` the run gets the edits that were made to that run. With `go_on` the same command continues the run
    that it began before.

    Raises:
        OtherImagesError: the images of `replayed`, or of the run to go on with, are others now, and no others allowed.
        TuiaeError: what is wrong with preset, overrides, tags or images; no run was made.
    """
    torchrun, root = None if dry else join_torchrun(), runs_dir()
    check_tags(tags)
    if go_on and replayed is not None:
        raise ConfigError("--continue and --replay do not go together", "`tuiae resume RUN` goes on with a replay")
    config, meta = _choose_config(find_preset(preset), overrides, options, output, torchrun)
    if dry:
        _show_cost(config, root, output)
        return ExitCode.OK
    if replayed is not None:
        return _replay(replayed, config, tags, options, output)
    begun = torchrun.find_begun(root) if torchrun else None
    begun = begun or (find_begun(config, tags, root) if go_on else None)
    if torchrun is not None:
        begun = begun or create_run(config, root, sys.argv, tags, meta={**meta, "torchrun": torchrun.name})
        other = config.training.devices != need_config(begun).training.devices
        asked = {"training.devices": config.training.devices} if other else {}
        torchrun.train(begun, asked, options.other_images, output)
    if begun is not None:
        return _go_on(begun, options, output)
    return _set_off(lambda: create_run(config, root, sys.argv, tags, meta=meta), options, output)


def _choose_config(
    path: Path, overrides: Overrides, options: StartOptions, output: Output, torchrun: Torchrun | None
) -> tuple[RunConfig, dict[str, Any]]:
    """The config of a preset with what was asked for, as it can run, its images prepared; and what the run is to
    remember of the preset. Raises as `run_preset`."""
    document, root = read_document(path), runs_dir()
    config = build_config(document, overrides.values, source=str(path), asker=overrides.askers)
    if is_run(path.parent) and not is_original(RunPaths(path.parent), path):
        output.warn([f"{path} is not what {path.parent.name} began with: this is another training"])
    check_asked(overrides.values, overrides.askers, config, root)
    if config.model.encoder_run:
        allow_code(find_run(config.model.encoder_run, root), trusted=options.trusted)
    _allow(lambda: check_trust(with_absolute_code(config), _again()), trusted=options.trusted)
    config = torchrun.fit(config) if torchrun else config
    config = make_ready(config, root, output, alone=torchrun is None)
    if "name" not in overrides.values:
        with suppress(ConfigError):  # of a preset that cannot run as it stands
            config = named_for(config, build_config(document, source=str(path)))
    return config, {"preset": str(document.get("name") or config.name)}


def _replay(
    source: RunPaths, config: RunConfig, tags: Sequence[str], options: StartOptions, output: Output
) -> ExitCode:
    """Train a config with the edits that were made to another run; raises as `run_preset`."""
    replay = plan_replay(source, config)
    if not options.other_images and config.data.dataset == need_config(source).data.dataset:
        check_same_images(source, _again())
    output.warn(replay.warnings)
    return _set_off(partial(replay_run, replay, config, runs_dir(), sys.argv, tags), options, output)


def start_fork(source: RunPaths, start: str, overrides: Overrides, options: StartOptions, output: Output) -> ExitCode:
    """Continue from a checkpoint of a run with other settings, as a run of its own.

    Raises:
        ConfigError: an override is wrong, or a fork cannot change it. NoCheckpointError: no such checkpoint.
        OtherImagesError: the images are others now, and no others allowed.
    """
    if Torchrun.read(os.environ) is not None:
        raise ConfigError("torchrun starts `tuiae run` and `tuiae resume`", "fork without it: --set training.devices=N")
    checkpoint, root = need_checkpoint(source, start), runs_dir()
    allow_code(source, trusted=options.trusted)
    config = fork_config(source, checkpoint, overrides.values, overrides.askers)
    # The checkpoint holds the encoder: the run that it was taken from may be gone.
    make_ready(with_code(of_run(config, source.root), encoder_run=""), root, output)
    if not options.other_images:
        check_same_images(source, _again())
    moment = read_position(checkpoint)
    output.warn(warn_of_rise(need_config(source, moment.step), config, moment.epoch))
    return _set_off(partial(make_fork, source, checkpoint, config, root, sys.argv), options, output)


def allow_code(run: RunPaths, *, trusted: bool) -> None:
    """Let the code of a run's custom network run if it is `trusted`. Raises ConfigError, which says what would run, for
    code that this user has not started."""
    _allow(partial(check_code, run, _again()), trusted=trusted)


def _allow(look: Callable[[], None], *, trusted: bool) -> None:
    try:
        look()
    except UntrustedCodeError as error:
        if not trusted:
            raise
        trust(error.source)


def _again() -> str:
    """The command line that was given."""
    return shlex.join(["tuiae", *sys.argv[1:]])


def make_ready(config: RunConfig, root: Path, output: Output, alone: bool = True) -> RunConfig:
    """Check a config and prepare its images; returns the config as it can run. Where this machine is not `alone`, each
    process looks for its own device."""
    word = config.training.device
    known = word == "cpu" or (word == "auto" and config.training.devices == 1) or not alone
    devices = None if known else _list_devices(word)
    checked = check(config, root, devices)
    output.warn(checked.warnings)
    with dataset_progress(output) as report:
        dataset = prepare(checked.config.data.dataset, checked.config.data.image_size, progress=report)
    output.warn(notes_for(dataset.notes, checked.config.data.validation))
    return checked.config


def _list_devices(asked: str) -> list[str]:
    """The devices of this machine. Imports torch: for an accelerator that was asked for by name."""
    from tuiae.training.device import list_devices

    return list_devices(asked)


def _set_off(make: Callable[[], RunPaths], options: StartOptions, output: Output) -> ExitCode:
    # A signal from here on is for the run.
    with (interrupt := Interrupt()).listening():
        run = make()
        with removed_unless_started(run):
            process = start_worker(run, other_images=options.other_images)
        if not options.detach:
            output.note(f"run {run.id}")
        return follow_to_end(run, output, process, interrupt, detach=options.detach, fresh=True)


def _show_cost(config: RunConfig, root: Path, output: Output) -> None:
    """Try a few steps in a worker's environment, and show what they cost; makes no run.

    Raises:
        TuiaeError: what the run would fail with.
    """
    # A process like the run's own: its threads and its allocator are set where it starts, and a batch that takes all
    # memory takes it and not this one.
    with StandbyWorker() as worker:
        cost = worker.dry_run(config, root)
    if output.json:
        output.document({"name": config.name, "dataset": config.data.dataset, **cost})
        return
    output.line(f"{config.name} on {config.data.dataset}: a dry run, nothing is kept", "bold")
    images = current_images(config)
    of_images = [("images", images.used(config.data), "")] if images is not None else []
    for label, value, style in (*of_images, *cost_facts(cost)):
        output.line(Text(f"{label:<12}", "dim").append(value, style))


# Continuing.


def resume_run(run: RunPaths, overrides: Overrides, options: StartOptions, output: Output) -> ExitCode:
    """Continue from the newest checkpoint, and follow the run to its end. The worker of a paused run continues it; a
    tracked one, whose program tells by itself how it ends, is let go on and left.

    `overrides` may hold training.epochs, which stays, and training.device and training.devices, for this worker alone.

    Raises:
        OtherImagesError: the images are others now, and no others allowed.
        RunHeldError: it is still running. ConfigError: it is already finished. UnknownRunError: not ours to write.
        DeviceError: this machine has no such device. TrainingError: no worker can be started.
    """
    allow_code(run, trusted=options.trusted)
    torchrun = join_torchrun()
    if torchrun is not None:
        size = {"training.devices": torchrun.size}
        asked = _check_again(run, Overrides(overrides.values | size, overrides.askers), output, options.other_images)
        torchrun.train(run, asked, options.other_images, output)
    if read_status(run).state == "paused":
        _end_pause(run, overrides.values)
        if is_tracked(run) and not options.detach:
            state = read_status(run).state
            if output.json:
                output.document({"run": run.id, "state": state})
            output.line(f"{run.id}: {'asked to go on' if state == 'paused' else state}")
            return ExitCode.OK
        return follow_to_end(run, output, detach=options.detach)
    with (interrupt := Interrupt()).listening():
        try:
            asked = _check_again(run, overrides, output, options.other_images)
            # The worker records the changes, and not before it can train: of a refused run they would be untrue.
            process = start_worker(run, asked=asked, other_images=options.other_images)
        except OSError as error:
            raise unwritable(run, error, "resume") from error
        # Until then the status is an earlier worker's.
        wait_until(lambda: process.poll() is not None or read_status(run).pid == process.pid, math.inf)
        _check_begun(run, process)
        forget_pruned(run)
        return follow_to_end(run, output, process, interrupt, detach=options.detach)


def find_begun(config: RunConfig, tags: Sequence[str], root: Path) -> RunPaths | None:
    """The run that a command with this config and these tags began, forks and replays left out: a finished one first,
    then a live one, then the one that came furthest."""
    found, config = [], kept(config)
    for run in list_runs(root):
        meta = read_json(run.meta)
        if not {"parent", "replay"} & {*meta} and {*tags} <= {*read_tags(meta)} and _asks_for(config, read_config(run)):
            found.append(run)
    return max(found, key=lambda run: usefulness(read_status(run)), default=None)


def _asks_for(asked: RunConfig, written: RunConfig | None) -> bool:
    """Returns whether a run with this config is what is asked for, on however many devices and rounded as an earlier
    version did: a worker writes down which precision `auto` was, and how wide the code of a custom network is."""
    if written is None:
        return False
    if asked.model.is_custom:
        asked = with_code(asked, latent=written.model.latent)
    same = {key: getattr(asked.training, key) for key in ("devices", "transposed", "subnormals")}
    if asked.training.precision == "auto":
        same["precision"] = "auto"
    return written.model_copy(update={"training": written.training.model_copy(update=same)}) == asked


def _go_on(run: RunPaths, options: StartOptions, output: Output) -> ExitCode:
    """Continue a run; one that another process trains is waited for, and a finished one shown."""
    with (interrupt := Interrupt()).listening():
        while is_busy(run) and not options.detach and read_status(run).state != "finished":
            output.note(f"{run.id} is held by another process: waiting for its end")
            if follow(run, output, None, interrupt)[1]:
                return ExitCode.HELD
            wait_until(lambda: bool(interrupt.count) or not is_busy(run), LEAVE_SECONDS)
    if read_status(run).state == "finished" or is_busy(run):
        return follow_to_end(run, output, detach=options.detach)
    return resume_run(run, Overrides({}, {}), options, output)


def _end_pause(run: RunPaths, overrides: Mapping[str, Any]) -> None:
    """Let a paused run go on, as the dashboard does, and give its worker a moment to hear of it.

    Raises:
        RunHeldError: other epochs are asked for, which is an edit, or another device. ConfigError: of a tracked run.
        UnknownRunError: not ours to write.
    """
    if overrides and is_tracked(run):
        hint = f"`tuiae resume {run.id}` alone lets it go on"
        raise ConfigError(f"{run.id} was tracked: its settings are its own program's", hint)
    epochs = overrides.get("training.epochs")
    for key in ("device", "devices"):
        if (word := overrides.get(f"training.{key}")) is not None:
            change = f"`tuiae stop {run.id}`, then `tuiae resume {run.id} --{key} {word}`"
            raise RunHeldError(f"{run.id} is paused, and its worker keeps its {key}", change)
    if epochs is not None:
        change = f"`tuiae edit {run.id} training.epochs={epochs}`, then `tuiae resume {run.id}`"
        raise RunHeldError(f"{run.id} is paused, and its worker keeps its number of epochs", change)
    send(run, "resume")
    wait_until(lambda: read_status(run).state != "paused", WAKE_SECONDS)


def _check_again(run: RunPaths, overrides: Overrides, output: Output, other_images: bool) -> dict[str, Any]:
    """What a worker is to do otherwise than the config of a run that is to be continued; raises as `resume_run`."""
    # A worker that has written its last status needs a moment to leave.
    wait_until(lambda: not is_held(run) or read_status(run).live, LEAVE_SECONDS)
    if is_held(run):
        raise RunHeldError(f"{run.id} is still running", f"watch it with `tuiae attach {run.id}`, or stop it first")
    config = wanted = need_config(run)
    if overrides.values:
        wanted = build_config(config.model_dump(mode="json"), overrides.values, asker=overrides.askers)
    status = read_status(run)
    # The status may be ahead: the last save failed, or its worker was killed during it.
    done = status.epoch if status.state == "finished" else int(newest_position(run).epoch)
    if done >= wanted.training.epochs:
        raise _nothing_left(run.id, done, config.training.epochs, wanted.training.epochs)
    device = wanted.training.device
    if device not in EVERYWHERE:
        asked = "training.device" in overrides.values
        check_device(device, _list_devices(device), *(() if asked else (resume_elsewhere(run),)))
    if not other_images:
        check_same_images(run, _again())
    output.warn(warn_of_change(config, wanted, done))
    return changes(config, wanted)


def _nothing_left(run_id: str, done: int, planned: int, wanted: int) -> ConfigError:
    if done < planned:
        hint = f"`tuiae resume {run_id}` continues to epoch {planned}; --epochs names the last epoch, not how many more"
        return ConfigError(f"{run_id} has done {done} epochs already: nothing is left up to epoch {wanted}", hint)
    hint = f"ask for more, counted from the first: tuiae resume {run_id} --epochs {2 * done}"
    return ConfigError(f"{run_id} has done its {done} epochs", hint)


def _check_begun(run: RunPaths, process: subprocess.Popen[bytes]) -> None:
    """Raise TuiaeError where our worker ended before it wrote a status: what the status says is older."""
    code, status = process.poll(), read_status(run)
    if code is None or status.pid == process.pid:
        return
    check_refusal(status, process)
    if code == ExitCode.HELD:
        raise held_by_another(run)
    last = RunReader(run.root).read_all().log[-1:]
    raise TrainingError(": ".join((f"the worker of {run.id} could not begin", *last)), f"see {run.log}")
