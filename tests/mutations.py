"""Damages run directories at random, and looks whether every reader bears it.

    python -m tests.mutations RUN COUNT [SEED]    # a line of JSON for each traceback, hang or waste of memory

Each mutated directory is a function of RUN and its number, so that a failure can be repeated alone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HANG_SECONDS = float(os.environ.get("TUIAE_TEST_HANG", "2"))
MEMORY = 300 << 20
"""Bytes that reading a damaged run may take beside those that the readers need anyway."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2**53,
    2**63,
    2**64,
    -(2**70),
    1e307,
    1e308,
    1.7e308,
    -1e308,
    1e-320,
    1.5,
    1e18,
    1.8e18,
    253402300800,
    -62135596801,
    10**30,
    "",
    "x",
    "NaN",
    "\x1b[31m",
    "\u202e",
    "\ud800",
    "\0",
    "../..",
    "x" * 5000,
    "é" * 300,
    "/",
    [],
    {},
    [[]],
    {"a": {}},
    [1, 2, 3],
    ["loss"],
    {"loss": "x"},
    {"loss": 1e308, "accuracy": -1e308},
    float("nan"),
    float("inf"),
)
RAW = (
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "9" * 4400,
    "[" * 2000 + "]" * 2000,
    "[" * 100_000,
    '{"a":' * 2000,
    "",
    "\0" * 64,
    "01",
)
"""Text in the place of a value: no JSON, or more of it than a parser likes."""
TOML = (
    *RAW,
    "inf",
    "nan",
    "-inf",
    "1979-05-27T07:32:00Z",
    '"""',
    "''",
    "true",
    "a.b.c = 1",
    "[[x]]",
    '"\\u0000"',
    "0x" + "f" * 5000,
    "{x=" * 500,
)


class HangError(Exception):
    """A reader took longer than it may."""


def mutate(run: Path, number: int) -> list[str]:
    """Damage a run directory in one to three ways; returns what was done."""
    chance = random.Random(number)
    return [chance.choice(MUTATIONS)(run, chance) for _ in range(chance.choice((1, 1, 1, 2, 3)))]


def _pick(run: Path, chance: random.Random, *patterns: str) -> Path:
    found = sorted(path for pattern in patterns or ("**/*",) for path in run.glob(pattern))
    return chance.choice(found) if found else run / "config.toml"


def damage_bytes(run: Path, chance: random.Random) -> str:
    """Cut a file, empty it, or put garbage into it."""
    path = _pick(run, chance)
    if not path.is_file():
        return f"left {path.name}"
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content) + 1)
    kind = chance.choice(("empty", "cut", "flip", "zeros", "garbage", "repeat", "shuffle"))
    if kind == "empty":
        content.clear()
    elif kind == "cut":
        del content[place:]
    elif kind == "flip" and content:
        for _ in range(chance.choice((1, 1, 5, 50))):
            content[chance.randrange(len(content))] = chance.randrange(256)
    elif kind == "zeros":
        content[place : place + 4096] = bytes(min(4096, len(content) - place))
    elif kind == "garbage":
        content[place:place] = chance.randbytes(chance.choice((1, 100, 5000)))
    elif kind == "repeat":
        content *= 2
    else:
        lines = bytes(content).split(b"\n")
        chance.shuffle(lines)
        content = bytearray(b"\n".join(lines))
    path.write_bytes(bytes(content))
    return f"{kind} {path.relative_to(run)} at {place}"


def replace_entry(run: Path, chance: random.Random) -> str:
    """Put something else in the place of a file or directory."""
    path = _pick(run, chance)
    kind = chance.choice(
        ("gone", "fifo", "directory", "file", "circle", "dangling", "device", "sparse", "elsewhere", "endless")
    )
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        (path / "x").mkdir(parents=True)
    elif kind == "file":
        path.write_text("x\n")
    elif kind == "circle":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(4 << 30)
    elif kind == "elsewhere":
        path.symlink_to("/proc/self")
    return f"{kind} {path.relative_to(run)}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield value, key
        yield from _places(item)


def _damage_value(document: Any, chance: random.Random) -> tuple[str, str]:
    """The document with a hostile value in one place as text, and what was done."""
    places = list(_places(document))
    if not places:
        return chance.choice(RAW), "a raw text"
    container, key = chance.choice(places)
    if chance.random() < 0.2:
        del container[key]
        return json.dumps(document), f"no {key}"
    if chance.random() < 0.25:
        container[key] = "HERE"
        raw = chance.choice(RAW)
        return json.dumps(document).replace('"HERE"', raw, 1), f"{key} = {raw[:20]}"
    container[key] = chance.choice(VALUES)
    return json.dumps(document), f"{key} = {str(container[key])[:20]!r}"


def damage_json(run: Path, chance: random.Random) -> str:
    """Put a hostile value into a JSON file."""
    path = _pick(run, chance, "*.json", "weights/*/manifest.json", "control/*.json")
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return f"left {path.name}"
    text, done = _damage_value(document, chance)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return f"{path.relative_to(run)}: {done}"


def damage_events(run: Path, chance: random.Random) -> str:
    """Put a hostile value into one line of the events, or into every one."""
    path = run / "events.jsonl"
    if not path.is_file():
        return "left the events"
    lines = path.read_text(errors="replace").split("\n")
    every = chance.random() < 0.1
    done, seed = "", chance.random()
    for place in range(len(lines)) if every else [chance.randrange(len(lines))]:
        try:
            document = json.loads(lines[place])
        except (ValueError, RecursionError):
            continue
        lines[place], done = _damage_value(document, random.Random(seed) if every else chance)
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    return f"events{' all' * every}: {done}"


def damage_toml(run: Path, chance: random.Random) -> str:
    """Put a hostile value into the config."""
    path = run / "config.toml"
    if not path.is_file():
        return "left the config"
    lines = path.read_text(errors="replace").split("\n")
    place = chance.randrange(len(lines))
    key = lines[place].partition(" = ")[0]
    value = chance.choice(TOML)
    lines[place] = chance.choice((f"{key} = {value}", value, "", f"{key}x = 1"))
    path.write_text("\n".join(lines[: chance.choice((len(lines), len(lines), place + 1))]), errors="replace")
    return f"config: {lines[place][:40]!r}"


def damage_sample(run: Path, chance: random.Random) -> str:
    """Replace an array of a stored sample."""
    import numpy as np

    path = _pick(run, chance, "samples/*.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception:  # noqa: BLE001 - damaged already
        return f"left {path.name}"
    if not arrays:
        return f"left {path.name}"
    name = chance.choice(sorted(arrays))
    array = arrays[name]
    others = [
        np.zeros(array.shape[::-1], array.dtype),
        np.zeros((0, *array.shape[1:]), array.dtype),
        array.astype("c16"),
        np.array(5),
        np.full(array.shape, np.nan),
        np.full(array.shape, np.inf),
        np.full(array.shape, -(2**62)),
        np.zeros((1,) * 5),
        array[:1],
        np.array(["x" * 100] * 3),
        array.astype("datetime64[s]") if array.dtype.kind in "iu" else array,
        np.zeros(array.shape, bool),
    ]
    arrays[name] = chance.choice(others)
    np.savez(path, **arrays)
    return f"{path.name}: {name} {arrays[name].dtype}{arrays[name].shape}"


def damage_pointer(run: Path, chance: random.Random) -> str:
    """Let `last` or `best` name something else."""
    path = run / "weights" / chance.choice(("last", "best", "parent"))
    if not path.parent.is_dir() or (path.is_dir() and not path.is_symlink()):
        return "left the pointers"
    path.unlink(missing_ok=True)
    words = chance.choice(
        (
            "",
            "x" * 5000,
            "../..",
            "/",
            "step-9999999999999999999999",
            "step-",
            "\0",
            "step-000024/..",
            ".",
            "step-000000\nstep-000024",
        )
    )
    path.write_text(words)
    return f"{path.name} -> {words[:20]!r}"


def add_entry(run: Path, chance: random.Random) -> str:
    """Add what is not expected."""
    name = chance.choice(
        (
            "label.json",
            "control/1.json",
            "weights/step-x",
            "weights/step-" + "9" * 200,
            "samples/-1.npz",
            "lock",
            "x" * 200,
        )
    )
    path = run / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists() and not path.is_symlink():
        text = json.dumps({"name": chance.choice(VALUES), "tags": chance.choice(VALUES), "note": chance.choice(VALUES)})
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return f"new {name[:30]}"


MUTATIONS: tuple[Callable[[Path, random.Random], str], ...] = (
    damage_bytes,
    damage_bytes,
    replace_entry,
    damage_json,
    damage_json,
    damage_events,
    damage_events,
    damage_toml,
    damage_sample,
    damage_pointer,
    add_entry,
)


def readers(root: Path, run: Path) -> dict[str, Callable[[], object]]:
    """Everything that reads a run directory, by a name for it."""
    from tuiae.cli.commands import app
    from tuiae.errors import TuiaeError
    from tuiae.runs.checkpoints import need_checkpoint
    from tuiae.runs.control import take
    from tuiae.runs.diagnosis import diagnose
    from tuiae.runs.listing import RunLister, summarise
    from tuiae.runs.paths import RunPaths
    from tuiae.runs.reader import RunReader, read_sample

    paths = RunPaths(run)

    def command(*arguments: str) -> Callable[[], object]:
        def carry_out() -> None:
            silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
            with silent[0], silent[1], contextlib.suppress(TuiaeError, SystemExit):
                app(list(arguments), prog_name="tuiae")

        return carry_out

    def feed() -> None:
        snapshot = RunReader(run).read_all()
        diagnose(snapshot)
        json.dumps(summarise(snapshot), allow_nan=False)
        for epoch in snapshot.samples[:5]:
            read_sample(paths, epoch)

    def checkpoints() -> None:
        for name in ("last", "best", "parent", "24"):
            with contextlib.suppress(TuiaeError):
                need_checkpoint(paths, name)

    return {
        "feed": feed,
        "checkpoints": checkpoints,
        "control": lambda: take(paths),
        "list": lambda: RunLister(root).rows(histories=True),
        "runs": command("runs"),
        "runs --json": command("runs", "--json"),
        "show": command("show", "last", "--plot"),
        "show --json": command("show", str(run), "--json"),
        "show --csv": command("show", str(run), "--csv"),
        "status": command("status", "last", "--once", "--plot"),
        "compare": command("compare", str(run), str(root / "20200101-000000-whole-0000"), "--plot"),
    }


def look(root: Path, run: Path) -> Iterator[tuple[str, str]]:
    """Each reader that fails on a run, with how."""

    def hang(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, hang)
    for name, read in readers(root, run).items():
        signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
        try:
            read()
        except BaseException as error:  # noqa: BLE001 - every kind is the finding
            signal.setitimer(signal.ITIMER_REAL, 0)
            where = traceback.extract_tb(error.__traceback__)
            ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in where if "tuiae" in frame.filename]
            yield name, f"{type(error).__name__}: {str(error)[:100]} ({', '.join(ours[-3:])})"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def main(source: Path, count: int, first: int = 0) -> int:
    """Mutate and read so many; returns how many failures were printed."""
    faulthandler.enable()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        os.environ["TUIAE_RUNS_DIR"] = str(root)
        shutil.copytree(source, root / "20200101-000000-whole-0000")
        run = root / "20200102-000000-damaged-0001"
        shutil.copytree(source, run)
        list(look(root, run))  # imports
        limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + MEMORY
        used = (
            int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            if sys.platform == "linux"
            else limit
        )
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        for number in range(first, first + count):
            _remove(run)
            shutil.copytree(source, run)
            done = mutate(run, number)
            for name, how in look(root, run):
                failures += 1
                line = json.dumps({"number": number, "reader": name, "how": how, "done": done})
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
    return failures


def _remove(run: Path) -> None:
    if run.is_symlink() or not run.is_dir():
        run.unlink(missing_ok=True)
    else:
        shutil.rmtree(run)


if __name__ == "__main__":
    sys.exit(bool(main(Path(sys.argv[1]), *map(int, sys.argv[2:]))))
