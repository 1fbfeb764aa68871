"""`tuiae doctor`: what of this machine, this terminal and this account stands in the way of trainings, and what mends
it."""

from __future__ import annotations

import fcntl
import getpass
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import psutil
from rich.text import Text

from tuiae import __version__
from tuiae.cli.output import Output
from tuiae.config import counted, load_config
from tuiae.config.presets import find_preset
from tuiae.data.cache import open_cached
from tuiae.data.dataset import named
from tuiae.data.registry import DOWNLOADS, commands_for, data_dir, list_datasets
from tuiae.errors import DataError, TuiaeError
from tuiae.machine import VISIBLE, count_cores, open_nvml, processor, read_gpus, users_environment
from tuiae.render.palette import GREEN, ORANGE, VERMILLION
from tuiae.render.text import harmless
from tuiae.runs.checkpoints import all_checkpoints, verify
from tuiae.runs.lineage import no_config
from tuiae.runs.listing import RunLister, RunRow
from tuiae.runs.paths import RunPaths, runs_dir
from tuiae.runs.process import StandbyWorker
from tuiae.runs.reader import is_original

Verdict = Literal["good", "note", "bad"]
MARKS: Mapping[Verdict, tuple[str, str, str]] = {
    "good": ("✓", "ok", GREEN),
    "note": ("!", "note", ORANGE),
    "bad": ("✗", "bad", VERMILLION),
}
"""The sign of a verdict, the word for it in ASCII, and its colour."""


@dataclass(frozen=True)
class Finding:
    """One line of the answer."""

    topic: str
    verdict: Verdict
    text: str
    remedy: str = ""
    """The command that mends it, or what to do in words."""


def examine(terminal: Mapping[str, Any], output: Output) -> None:
    """Look at everything and say it; `terminal` is what the caller found out about the terminal, see
    `ScreenOptions.abilities`."""
    found: list[Finding] = []
    looks = (
        look_at_versions(),
        look_at_training(),
        look_at_terminal(terminal),
        look_at_session(os.environ),
        look_at_places(),
        look_at_datasets(),
        look_at_runs(),
    )
    for finding in chain.from_iterable(looks):
        if not output.json:
            _show(finding, first=not found or found[-1].topic != finding.topic, output=output)
        found.append(finding)
    if output.json:
        output.document([asdict(finding) for finding in found])
        return
    bad, notes = (sum(one.verdict == verdict for one in found) for verdict in ("bad", "note"))
    output.line()
    output.line(f"{counted(bad, 'line')} to mend, {counted(notes, 'note')}" if bad or notes else "all is well", "bold")


def _show(finding: Finding, first: bool, output: Output) -> None:
    """Print a finding, the `first` of its topic with that before it."""
    sign, word, colour = MARKS[finding.verdict]
    mark = word if output.ascii or output.plain else sign
    wide = max(len(word) for _, word, _ in MARKS.values()) if mark == word else 1
    topic = finding.topic if first else ""
    output.line(Text.assemble(f"{topic:<10}", (f"{mark:<{wide}} ", colour), harmless(finding.text)))
    if finding.remedy:
        output.line(" " * (11 + wide) + finding.remedy, "bold")


# Python and its packages.

OPTIONAL = ("studies", "graphics", "export", "import", "search", "ray", "slurm")
"""The extras that parts of the program need; the others are for developers, or for programs of one's own."""


def look_at_versions() -> Iterator[Finding]:
    """Python, the packages that do the work, and the extras that are not there."""
    main = ", ".join(f"{name} {_version_of(name) or 'missing'}" for name in ("torch", "torchvision", "textual"))
    yield Finding("versions", "good", f"tuiae {__version__}, Python {platform.python_version()}, {main}")
    lacking = {extra: [name for name in packages_of(extra) if not _version_of(name)] for extra in OPTIONAL}
    if wanted := [extra for extra, missing in lacking.items() if missing]:
        words = "; ".join(f"{extra} ({', '.join(lacking[extra])})" for extra in wanted)
        remedy = f"{shlex.quote(sys.executable)} -m pip install 'tuiae[{','.join(wanted)}]'"
        yield Finding("versions", "note", f"parts whose packages are not installed: {words}", remedy)


def _version_of(package: str) -> str:
    with suppress(PackageNotFoundError):
        return version(package)
    return ""


def packages_of(extra: str) -> list[str]:
    """The packages that an extra brings."""
    found = (re.match(r"([\w.-]+).*; extra == ['\"](\w+)['\"]", line) for line in requires("tuiae") or ())
    return [one[1] for one in found if one and one[2] == extra]


# What trains.


def look_at_training() -> Iterator[Finding]:
    """The processor, and whether a few steps of a small network can be trained: on a card where there is one."""
    memory = psutil.virtual_memory()
    size = f"{memory.available / 1e9:.0f} of {memory.total / 1e9:.0f} GB of memory free"
    yield Finding("training", "good", f"{processor()}, {counted(count_cores(), 'core')}, {size}")
    compiler, slower = os.environ.get("CC", "cc"), "trainings on the processor take up to twice as long"
    if os.environ.get("TUIAE_KERNELS") == "off":
        yield Finding("training", "note", f"TUIAE_KERNELS=off: {slower}", "unset TUIAE_KERNELS")
    elif shutil.which(compiler):
        yield Finding("training", "good", f"a C compiler ({compiler}), for the kernels of trainings on the processor")
    else:
        yield Finding("training", "note", f"no C compiler ({compiler}): {slower}", "install gcc or clang")
    nvml = open_nvml()
    cards = [] if nvml is None else read_gpus(nvml, users_environment(), lambda pid: ("", ""))
    for gpu in cards:
        text = f"{gpu.label} {gpu.name}: {gpu.free / 1e3:.0f} of {gpu.total / 1e3:.0f} GB free"
        if not gpu.cuda:
            words = users_environment().get(VISIBLE)
            yield Finding("training", "note", f"{text}, not shown to CUDA", f"unset {VISIBLE} (it is '{words}')")
        elif gpu.taken:
            yield Finding("training", "note", f"{text}, kept by another process for itself", "nvidia-smi -c 0 as root")
        else:
            yield Finding("training", "good", text)
    yield from _train_a_little("auto" if any(gpu.cuda for gpu in cards) else "cpu")
    if not cards and not Path("/proc/driver/nvidia/version").exists():
        yield Finding("training", "note", "no NVIDIA card and driver: trainings use the processor")
    elif not cards:
        yield Finding("training", "bad", "there is NVIDIA's driver, and it shows no card", "nvidia-smi says why")


def _train_a_little(device: str) -> Iterator[Finding]:
    try:
        quickstart = find_preset("quickstart")
        with StandbyWorker() as worker:
            tried = worker.dry_run(load_config(quickstart, {"training.device": device}), runs_dir())
            text = f"trains on {tried['device']}: {tried['step_seconds'] * 1e3:.1f} ms a step of quickstart"
            yield Finding("training", "good", text)
            if device == "auto" and not tried["device"].startswith("cuda"):
                worker.dry_run(load_config(quickstart, {"training.device": "cuda"}), runs_dir())
    except TuiaeError as error:
        yield Finding("training", "bad", error.cause, error.hint)


# The terminal, and how this session hangs together.

SMALLEST = (60, 20)


def look_at_terminal(found: Mapping[str, Any]) -> Iterator[Finding]:
    """Its size, colours, characters and pictures."""
    if not found["is_terminal"]:
        text = "this is no terminal: commands print plain lines, the dashboard needs one"
        if os.environ.get("TERM") in ("dumb", "unknown"):
            text, remedy = (
                "TERM=dumb: commands print plain lines, and there is no dashboard",
                "export TERM=xterm-256color",
            )
            yield Finding("terminal", "note", text, remedy)
        else:
            yield Finding("terminal", "note", text)
        return
    columns, lines = shutil.get_terminal_size()
    roomy = columns >= SMALLEST[0] and lines >= SMALLEST[1]
    text = f"{os.environ.get('TERM')}, {columns}x{lines}, {COLOURS[found['colors']]}"
    if roomy:
        yield Finding("terminal", "good", text)
    else:
        yield Finding("terminal", "note", f"{text}: the dashboard has no room", "make it 60x20 or larger")
    if found["colors"] == "256":
        remedy = "export COLORTERM=truecolor, where the terminal draws all colours"
        if "TMUX" in os.environ:
            remedy = f"tmux set -as terminal-features ',*:RGB'; then {remedy}"
        yield Finding("terminal", "note", "pictures in 256 colours", remedy)
    if not found["unicode"]:
        yield Finding("terminal", "note", "pictures and plots are ASCII alone", "export LC_ALL=C.UTF-8")
    if found["graphics"]:
        yield Finding("terminal", "good", f"draws real pictures ({found['graphics']}): tuiae --graphics")


COLOURS = {"truecolor": "all colours", "256": "256 colours", "16": "16 colours", "none": "no colours (NO_COLOR)"}


SYSTEMD, LINGERING = Path("/run/systemd/system"), Path("/var/lib/systemd/linger")


def look_at_session(environ: Mapping[str, str]) -> Iterator[Finding]:
    """SSH, tmux, and whether the system ends a user's processes at logout."""
    far, kept = "SSH_CONNECTION" in environ, any(name in environ for name in ("TMUX", "STY", "ZELLIJ"))
    if far and not kept:
        text = "over SSH without tmux: a lost line closes the dashboard; trainings go on"
        yield Finding("session", "note", text, "tmux new -s lab tuiae")
    else:
        yield Finding("session", "good", ("over SSH, " if far else "") + ("in a multiplexer" if kept else "local"))
    if "SLURM_JOB_ID" in environ:
        yield Finding("session", "good", f"in SLURM's job {environ['SLURM_JOB_ID']}: it ends what runs in it with it")
    user = getpass.getuser()
    lingers = (LINGERING / user).exists()
    if not SYSTEMD.is_dir():
        yield Finding("session", "good", "no systemd, which could end your trainings at logout")
    elif lingers or not ends_processes():
        yield Finding("session", "good", "trainings outlive a logout" + (" (lingering is on)" if lingers else ""))
    else:
        text = "systemd ends your processes at logout, trainings too (KillUserProcesses=yes)"
        remedy = "loginctl enable-linger; then systemd-run --user --scope tmux new -s lab tuiae"
        yield Finding("session", "bad", text, remedy)


def ends_processes() -> bool:
    """Whether systemd ends what a user who logs out has started; False where it does not say."""
    place = "org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager KillUserProcesses"
    command = ["busctl", "get-property", *place.split()]
    with suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
        return asked.stdout.split() == ["b", "true"]
    return False


# Where runs and data lie.

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "lustre", "beegfs", "gpfs", "ceph", "glusterfs", "fuse.sshfs", "9p")
LITTLE = 2e9  # bytes: a large run with its checkpoints


def look_at_places() -> Iterator[Finding]:
    """The file systems of runs and prepared datasets: kind, room, rights and locks."""
    for what, path, variable in (("runs", runs_dir(), "TUIAE_RUNS_DIR"), ("data", data_dir(), "TUIAE_DATA_DIR")):
        there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
        elsewhere = f"export {variable}={_place_with_room(what)}"
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            yield Finding("files", "bad", f"{what} in {path}: nothing can be written there", elsewhere)
            continue
        free, kind = shutil.disk_usage(there).free, file_system(there)
        text = f"{what} in {path}: {free / 1e9:,.1f} GB free, {kind or 'an unknown file system'}"
        if free < LITTLE:
            yield Finding("files", "bad", text, f"make room, or {elsewhere}")
        elif not has_locks(there):
            text += ", without locks: two workers could train one run"
            yield Finding("files", "bad", text, elsewhere)
        elif kind in NETWORK:
            text += ": other machines see a run's state up to half a minute late"
            yield Finding("files", "good", text)
        else:
            yield Finding("files", "good", text)


def _place_with_room(what: str) -> str:
    """A folder that could be made in the user's home or among temporary files, where there is room for runs."""
    for place in (Path.home(), Path("/var/tmp")):
        with suppress(OSError):
            if os.access(place, os.W_OK | os.X_OK) and shutil.disk_usage(place).free > LITTLE:
                return shlex.quote(str(place / f"tuiae-{what}"))
    return "/a/path/with/room"


def file_system(path: Path) -> str:
    """The kind of the file system that a path lies on; empty where the system does not tell."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next((mounts[place] for place in (path, *path.parents) if place in mounts), "")


def has_locks(folder: Path) -> bool:
    """Returns whether files there can be locked, as the file of a run is."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# What is there already.


def look_at_datasets() -> Iterator[Finding]:
    """Every prepared set against its checksums."""
    try:
        sets = list_datasets()
    except DataError as error:
        yield Finding("datasets", "bad", error.cause, error.hint)
        return
    whole = [info.name for info in sets if info.origin == "embedded"]
    for info in sets:
        if info.origin == "embedded":
            continue
        try:
            if open_cached(data_dir(), info.name) is not None:
                whole.append(info.name)
        except DataError as error:
            yield Finding("datasets", "bad", error.cause, error.hint)
    yield Finding("datasets", "good", f"whole, by their checksums: {', '.join(whole)}")
    if absent := [name for name in DOWNLOADS if not any(info.name == name and info.ready for info in sets)]:
        remedy = ", or ".join(commands_for(absent[0]))
        yield Finding("datasets", "note", f"not here: {', '.join(absent)}", remedy)


MOST = 5  # lost runs that are named


def look_at_runs() -> Iterator[Finding]:
    """How many runs there are, those whose worker has gone, and those that are damaged."""
    lister = RunLister(runs_dir())
    rows = lister.rows()
    live = sum(row.status.live for row in rows)
    yield Finding("runs", "good", f"{counted(len(rows), 'run')}, {live} of them training")
    lost = [row for row in rows if row.status.state in ("lost", "unknown") and not _lacks_config(row)]
    for row in lost[:MOST]:
        yield _look_at_lost(row)
    if len(lost) > MOST:
        yield Finding("runs", "bad", f"{len(lost) - MOST} more are lost", "tuiae runs state:lost")
    torn = [row for row in rows if _lacks_config(row)]
    for row in torn[:MOST]:
        run = RunPaths(row.path)
        text = f"{row.id}: {no_config(run).cause.removeprefix(f'{run.root}/')}"
        again = f"nothing goes on with it; its curves are there until tuiae delete {row.id}"
        if is_original(run, run.config_copy):
            again = shlex.join(["cp", str(run.config_copy), str(run.config)])
        yield Finding("runs", "bad", text, again)
    if len(torn) > MOST:
        yield Finding(
            "runs", "bad", f"{len(torn) - MOST} more have a damaged config", "tuiae resume RUN says of each why"
        )
    if lister.passed_over:
        yield Finding("runs", "note", f"{named(lister.passed_over)} in {runs_dir()}: no runs")


def _lacks_config(row: RunRow) -> bool:
    return not (row.settings or row.status.tracked)


def _look_at_lost(row: RunRow) -> Finding:
    """A run whose worker has gone, or whose status nobody can read; and what goes on with it."""
    run, status = RunPaths(row.path), row.status
    done = (
        f"{status.epochs_done:,.1f} of {counted(status.epochs, 'epoch')}" if status.epochs else f"step {status.step:,}"
    )
    text = f"{row.id} is lost after {done}" if status.state == "lost" else f"{row.id}: its status.json is damaged"
    if status.tracked:
        return Finding("runs", "bad", text, f"start its program again with tuiae.track(resume='{row.id}')")
    known = all_checkpoints(run)
    if known and not any(map(verify, known)):
        text += ", and none of its checkpoints is whole"
        return Finding("runs", "bad", text, f"tuiae run {shlex.quote(str(run.config))}")
    return Finding("runs", "bad", text, f"tuiae resume {row.id}")
