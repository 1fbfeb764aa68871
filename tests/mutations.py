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
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tuiae.files import read_bytes

HANG_SECONDS = float(os.environ.get("TUIAE_TEST_HANG", "2"))
MEMORY = 300 << 20
"""Bytes that reading a damaged run may take beside those that the readers need anyway."""

COUNTS = (0, 1, -1, 2**53, 2**63, 2**64, -(2**70), 10**30, 253402300800, -62135596801)
FLOATS = (1.5, 1e18, 1.8e18, 1e307, 1e308, 1.7e308, -1e308, 1e-320, float("nan"), float("inf"))
TEXTS = ("", "x", "/", "../..", "NaN", "\0", "\x1b[31m", "\u202e", "\ud800", "é" * 300, "x" * 5000)
OTHERS = (None, True, False, [], {}, [[]], [1, 2, 3], ["loss"], {"a": {}}, {"loss": "x"}, {"loss": 1e308, "kl": -1e308})
VALUES: tuple[Any, ...] = (*COUNTS, *FLOATS, *TEXTS, *OTHERS)
DEEP = ("[" * 2000 + "]" * 2000, "[" * 100_000, '{"a":' * 2000)
RAW = ("", "01", "1e999", "-1e999", "NaN", "Infinity", "9" * 4400, "\0" * 64, *DEEP)
"""Text in the place of a value: no JSON, or more of it than a parser likes."""
WORDS = ("1979-05-27T07:32:00Z", "inf", "nan", "-inf", "true")
TOML = (*RAW, *WORDS, '"""', "''", "a.b.c = 1", "[[x]]", '"\\u0000"', "0x" + "f" * 5000, "{x=" * 500)


class HangError(Exception):
    """A reader took longer than it may."""


def mutate(run: Path, number: int) -> list[str]:
    """Damage a run directory in one to three ways; returns what was done."""
    chance = random.Random(number)
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        damage = chance.choice(MUTATIONS)
        try:
            done.append(damage(run, chance))
        except BEYOND_DAMAGE:
            done.append(f"nothing left for {damage.__name__}")
    return done


BEYOND_DAMAGE = (OSError, ValueError, RecursionError, KeyError, EOFError, IndexError, zipfile.BadZipFile)
"""What is raised over a file that an earlier mutation took away or spoilt."""


def _pick(run: Path, chance: random.Random, *patterns: str) -> Path:
    return chance.choice(sorted(path for pattern in patterns for path in run.glob(pattern)))


BYTES: tuple[Callable[[bytes, int, random.Random], bytes], ...] = (
    lambda content, place, chance: b"",
    lambda content, place, chance: content[:place],
    lambda content, place, chance: content[:place] + bytes(1 << chance.randrange(13)) + content[place + 4096 :],
    lambda content, place, chance: content[:place] + chance.randbytes(1 << chance.randrange(13)) + content[place:],
    lambda content, place, chance: content[:place] + chance.randbytes(1) + content[place + 1 :],
    lambda content, place, chance: content * 2,
    lambda content, place, chance: b"\n".join(chance.sample(lines := content.split(b"\n"), len(lines))),
)
"""Emptied, cut, zeros, garbage inserted, one byte changed, twice, lines in another order."""


def damage_bytes(run: Path, chance: random.Random) -> str:
    """Change the bytes of a file."""
    path, kind = _pick(run, chance, "**/*"), chance.randrange(len(BYTES))
    content = read_bytes(path)
    path.write_bytes(BYTES[kind](content, chance.randrange(len(content) + 1), chance))
    return f"bytes {kind} of {path.relative_to(run)}"


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 4 << 30)


ENTRIES: Mapping[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a fifo": os.mkfifo,
    "a directory": lambda path: (path / "x").mkdir(parents=True),
    "a file": lambda path: path.write_text("x\n"),
    "a circle": lambda path: path.symlink_to(path.name),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "an empty device": lambda path: path.symlink_to("/dev/null"),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a directory elsewhere": lambda path: path.symlink_to("/proc/self"),
    "a sparse file": _sparse,
}


def replace_entry(run: Path, chance: random.Random) -> str:
    """Put something else in the place of a file or directory."""
    path, kind = _pick(run, chance, "**/*"), chance.choice(list(ENTRIES))
    _remove(path)
    ENTRIES[kind](path)
    return f"{kind} for {path.relative_to(run)}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield value, key
        yield from _places(item)


def _damage_value(text: str | bytes, chance: random.Random) -> str:
    """A JSON document with a hostile value, or none, in one place."""
    document = json.loads(text)
    container, key = chance.choice(list(_places(document)))
    kind = chance.randrange(4)
    if kind == 0:
        del container[key]
    else:
        container[key] = "HERE" if kind == 1 else chance.choice(VALUES)
    return json.dumps(document).replace('"HERE"', chance.choice(RAW))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogatepass")


def damage_json(run: Path, chance: random.Random) -> str:
    """Put a hostile value into a JSON file."""
    path = _pick(run, chance, "*.json", "weights/*/manifest.json", "control/*.json")
    _write(path, _damage_value(read_bytes(path), chance))
    return f"a value of {path.relative_to(run)}"


def damage_events(run: Path, chance: random.Random) -> str:
    """Put a hostile value into one line of the events, or one into each."""
    path = run / "events.jsonl"
    lines = read_bytes(path).decode(errors="replace").splitlines()
    every = chance.random() < 0.1
    for place in range(len(lines)) if every else [chance.randrange(len(lines))]:
        lines[place] = _damage_value(lines[place], chance)
    _write(path, "\n".join(lines))
    return "a value of every event" if every else "a value of an event"


def damage_toml(run: Path, chance: random.Random) -> str:
    """Put a hostile value into the config, or another line, or cut it there."""
    path = run / "config.toml"
    lines = read_bytes(path).decode(errors="replace").splitlines()
    place = chance.randrange(len(lines))
    key, value = lines[place].partition(" = ")[0], chance.choice(TOML)
    lines[place] = chance.choice((f"{key} = {value}", value, "", f"{key}x = 1"))
    _write(path, "\n".join(lines[: chance.choice((len(lines), len(lines), place + 1))]))
    return f"config: {lines[place][:40]!r}"


def damage_sample(run: Path, chance: random.Random) -> str:
    """Replace an array of a stored sample."""
    path = _pick(run, chance, "samples/*.npz")
    with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = chance.choice(sorted(arrays))
    array = arrays[name]
    arrays[name] = chance.choice(
        [array[:1], array[:0], array.T, array.astype("c16"), np.array(5), np.zeros((1,) * 5), np.array(["x" * 100] * 3)]
        + [np.full(array.shape, value) for value in (np.nan, np.inf, -(2**62), False, "", np.datetime64(0, "s"))]
    )
    np.savez(path, **arrays)
    return f"{path.name}: {name} {arrays[name].dtype}{arrays[name].shape}"


POINTERS = ("", "x" * 5000, "../..", "/", ".", "\0", "step-", "step-9999999999999999999999", "step-000024/..")


def damage_pointer(run: Path, chance: random.Random) -> str:
    """Let `last` or `best` name something else."""
    path, words = run / "weights" / chance.choice(("last", "best", "parent")), chance.choice(POINTERS)
    _remove(path)
    path.write_text(words)
    return f"{path.name} -> {words[:20]!r}"


ADDED = ("label.json", "control/1.json", "weights/step-x", "weights/step-" + "9" * 200, "samples/-1.npz", "x" * 200)


def add_entry(run: Path, chance: random.Random) -> str:
    """Add what is not expected."""
    path = run / chance.choice(ADDED)
    path.parent.mkdir(exist_ok=True)
    _write(path, json.dumps({key: chance.choice(VALUES) for key in ("command", "name", "tags", "note", "pinned")}))
    return f"new {path.name[:30]}"


FREQUENT = (damage_bytes, damage_json, damage_events)
MUTATIONS: tuple[Callable[[Path, random.Random], str], ...] = (
    *FREQUENT,
    *FREQUENT,
    replace_entry,
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
        if wrong := list(look(root, run)):  # which imports everything, too
            raise SystemExit(f"the run is not whole: {wrong}")
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, resource.RLIM_INFINITY))
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
