"""Damages run directories at random, and looks whether every reader bears it.

    python -m tests.mutations COUNT [FIRST [N]]    # a line of JSON for each traceback, hang or waste of memory

Each mutated directory is a function of its number, so that a failure can be repeated alone: of a small one of the first
version where that is even, else of a fork with edits, labels and samples of all kinds. One of N is evaluated as well.
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
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tuiae.files import read_bytes

CPU_SECONDS, WAIT_SECONDS = 2.0, 60.0
"""That a reader may compute, and wait, say for a pipe, on a machine that may be busy."""
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


def extreme_events(run: Path, chance: random.Random) -> str:
    """Give the measured values, epochs or times of the events extreme numbers: all one, or each another."""
    path, what = run / "events.jsonl", chance.choice(("values", "values", "epoch", "time", "step"))
    one, numbers = chance.choice((*COUNTS, *FLOATS)), (*COUNTS, *FLOATS)
    lines = []
    for line in read_bytes(path).splitlines():
        record = json.loads(line)
        if what == "values" and isinstance(record.get("values"), dict):
            alike = chance.random() < 0.5
            record["values"] = {name: one if alike else chance.choice(numbers) for name in record["values"]}
        elif what in record:
            record[what] = one if chance.random() < 0.5 else chance.choice(numbers)
        lines.append(json.dumps(record))
    _write(path, "\n".join(lines) + "\n")
    return f"extreme {what}"


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
    extreme_events,
    damage_toml,
    damage_sample,
    damage_pointer,
    add_entry,
)


# Readers


SLOW = 4
"""One of so many runs is read by all: plots alone take as long as all the rest."""


def draw_live(run: Path, slow: bool) -> None:
    """What the Live screen shows of a run."""
    from tuiae.render.code_map import draw_code_map, labelled_points
    from tuiae.render.confusion import draw_confusion
    from tuiae.render.curves import Look, draw_curves
    from tuiae.render.grid import sample_grid
    from tuiae.render.legend import legend, run_curves, run_marks, second_metrics
    from tuiae.render.log import log_line, log_lines
    from tuiae.render.pixels import error_row
    from tuiae.render.status import draw_facts, status_facts, title_line
    from tuiae.runs.diagnosis import diagnose
    from tuiae.runs.paths import RunPaths
    from tuiae.runs.reader import RunReader, read_sample

    snapshot = RunReader(run).read_all()
    title_line(snapshot, 80)
    draw_facts(status_facts(snapshot), 34, 12)
    run_marks(snapshot)
    for line in log_lines(snapshot.notes, snapshot.log):
        log_line(line)
    look = Look(("epoch", "step", "time")[len(snapshot.log) % 3], log_y=len(snapshot.notes) % 2 == 1, smoothing="light")
    for metric in ("loss", second_metrics(snapshot)[0]):
        curves = run_curves(snapshot, metric)
        legend(curves, 60)
        if slow:
            draw_curves(curves, 60, 12, look=look if metric == "loss" else Look())
    sample = read_sample(RunPaths(run), snapshot.samples[-1]) if snapshot.samples else None
    diagnose(snapshot, sample)
    if sample is not None:
        sample_grid(sample, 60, 20)
        error_row(sample)
        if sample.confusion is not None:
            draw_confusion(sample.confusion, sample.classes, 60, 14)
        if sample.codes is not None and sample.code_labels is not None:
            draw_code_map(labelled_points(sample.codes, sample.code_labels, sample.classes), 40, 14)


def draw_runs(root: Path) -> None:
    """What the Runs screen shows."""
    from tuiae.render.runs import COLUMNS, Sort, arrange, header_line, place_columns, run_line
    from tuiae.render.status import draw_details
    from tuiae.runs.listing import RunLister

    rows = RunLister(root).rows(histories=True)
    for name in COLUMNS:
        arrange(rows, Sort(name), COLUMNS.values())
    placed = place_columns(rows, 160, [*COLUMNS.values()])
    header_line(placed, Sort())
    for row in rows:
        run_line(row, placed, 0.0, selected=True)
        draw_details(row, 40, 40, 0.0)


def draw_comparison(runs: Sequence[Path], slow: bool) -> None:
    """What the Compare screen shows."""
    from tuiae.render.compare import compare_curves, compare_title, settings_table, shared_grid, values_and_seeds
    from tuiae.render.curves import draw_curves
    from tuiae.render.sweeps import draw_summary, summary_notes
    from tuiae.studies.compare import CompareReader
    from tuiae.studies.shared_images import shared_images
    from tuiae.studies.sweep_summary import sweep_summaries

    comparison = CompareReader(runs).read_all()
    compare_title(comparison, "loss", 80)
    overlay = compare_curves(comparison, "loss")
    if slow:
        draw_curves(overlay.test, 60, 12)
    values_and_seeds(comparison, "loss", 100)
    settings_table(comparison, 60)
    for summary in sweep_summaries(comparison, "loss")[:1]:
        summary_notes(summary)
        if slow:
            draw_summary(summary, 60, 14)
    shared_grid(shared_images(comparison), 60, 20)


def ask_lineage(run: Path) -> None:
    """What commands ask before they train, delete or label."""
    from tuiae.errors import TuiaeError
    from tuiae.runs.checkpoints import need_checkpoint, newest_position
    from tuiae.runs.labels import read_label
    from tuiae.runs.lineage import all_edits, need_config, repeat_line
    from tuiae.runs.paths import RunPaths
    from tuiae.runs.process import is_held
    from tuiae.runs.query import find_run
    from tuiae.runs.removal import check_removable, size_of

    paths = RunPaths(run)
    questions: list[Callable[[], object]] = [
        *(partial(need_checkpoint, paths, name) for name in ("last", "best", "parent", "24")),
        partial(need_config, paths),
        partial(repeat_line, paths),
        partial(find_run, "small", run.parent),
        partial(check_removable, paths, run.parent),
        partial(is_held, paths),
    ]
    for ask in questions:
        with contextlib.suppress(TuiaeError, OSError):
            ask()
    newest_position(paths), all_edits(paths), read_label(paths), size_of(paths)


@cache
def _commands() -> Any:
    """The command line; making it takes as long as most commands."""
    from typer.main import get_command

    from tuiae.cli.supplies import app

    return get_command(app)


def _carry_out(*arguments: str) -> None:
    from tuiae.errors import TuiaeError

    silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with silent[0], silent[1], contextlib.suppress(TuiaeError, SystemExit):
        _commands().main(list(arguments), prog_name="tuiae")


def readers(run: Path, beside: Path, slow: bool, evaluated: bool) -> dict[str, Callable[[], object]]:
    """Everything that reads a run directory, by a name for it."""
    from tuiae.runs.control import take
    from tuiae.runs.paths import RunPaths

    name, other = str(run), str(beside)
    commands = [
        ["runs", "--json"],
        ["show", "last"],
        ["show", name, "--json"],
        ["status", "last", "--once"],
        *((["runs"], ["show", name, "--csv"], ["compare", name, other, "--json"]) if slow else ()),
        *((["status", name, "--json"], ["fork", name, "--set", "training.epochs=0"]) if slow else ()),
        *([["eval", name, "--json", "--device", "cpu"]] if evaluated else []),
    ]
    return {
        "live": partial(draw_live, run, slow),
        "list": partial(draw_runs, run.parent),
        "comparison": partial(draw_comparison, (run, beside), slow),
        "lineage": partial(ask_lineage, run),
        "control": partial(take, RunPaths(run)),
        **{" ".join(words): partial(_carry_out, *words) for words in commands},
    }


def look(
    run: Path, beside: Path, slow: bool, evaluated: bool, computing: float = CPU_SECONDS
) -> Iterator[tuple[str, str]]:
    """Each reader that fails on a run, with how."""

    def hang(*_: object) -> None:
        raise HangError

    for alarm in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(alarm, hang)
    for name, read in readers(run, beside, slow, evaluated).items():
        _allow(computing, WAIT_SECONDS)
        try:
            read()
        except BaseException as error:  # noqa: BLE001 - every kind is the finding
            _allow(0, 0)
            where = traceback.extract_tb(error.__traceback__)
            ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in where if "tuiae" in frame.filename]
            yield name, f"{type(error).__name__}: {str(error)[:100]} ({', '.join(ours[-3:])})"
        finally:
            _allow(0, 0)


def _allow(computing: float, waiting: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, computing)
    signal.setitimer(signal.ITIMER_REAL, waiting)


def rich_run(root: Path) -> Path:
    """A classifier's run with everything that a run can have."""
    from tests.dashboard import CLASSIFIER, Script, new_run
    from tuiae.config import build_config
    from tuiae.files import replace_json
    from tuiae.images import ImageRecord
    from tuiae.runs.control import describe_edit
    from tuiae.runs.writer import write_images

    document = {**CLASSIFIER, "training": {**CLASSIFIER["training"], "epochs": 3}}
    run = new_run(root, document, "20200103-000000-rich-0002")
    played = Script(run, build_config(document))
    played.play(3)
    writer, chance = played.writer, np.random.default_rng(0)
    writer.event("command", time=1.5, **describe_edit("training.learning_rate", 0.001, 0.002, 4, 1.0, "me"))
    for step in range(20):
        writer.event("metric", split="live", step=step, epoch=step / 4, values={"loss": 0.1, "kl": 2.0})
    for name, value in (("speed", {"epoch_seconds": 2.0, "images_per_second": 100.0}), ("code", {"dead": 0.1})):
        writer.event("metric", split=name, step=12, epoch=3, values=value)
    writer.event("checkpoint", step=12, epoch=3)
    writer.event("warning", text="auto-pause, divergence: it diverges", epoch=3, step=12)
    with np.load(run.sample(3)) as file:
        codes = {"codes": chance.random((8, 2), np.float32), "code_labels": np.arange(8, dtype=np.int32) % 4}
        writer.sample(4, **file, **codes, unit_kl=np.ones(8, np.float32))
    writer.close("stopped")
    plan = {"run": "x", "edits": [{"time": 1.0, "step": 2, "epoch": 1.0, "key": "noise.level", "old": 0.1, "new": 0.2}]}
    parent = {"run": "20200101-000000-whole-0000", "step": 24, "epoch": 2.0, "changed": ["noise.level"]}
    replace_json(run.meta, {**json.loads(run.meta.read_bytes()), "replay": plan, "parent": parent})
    write_images(run, ImageRecord("glyphs", "", ("a", "b", "c", "d"), (1, 7, 5), 40, 8, "0" * 64))
    replace_json(run.label, {"v": 1, "name": "mine", "note": "a note\nof two lines", "pinned": True, "tags": ["a"]})
    shutil.rmtree(run.weights)
    shutil.copytree(OLD / "weights", run.weights)
    (run.weights / "parent").write_text("step-000024\n")
    return run.root


OLD = Path(__file__).parent / "fixtures" / "run_v1"
RUN, BESIDE = "20200102-000000-small-0001", "20200101-000000-whole-0000"


def main(count: int, first: int = 0, evaluated: int = 0) -> int:
    """Mutate and read so many; returns how many failures were printed."""
    faulthandler.enable()
    warnings.simplefilter("error", RuntimeWarning)  # NumPy prints them over what a terminal shows
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        os.environ["TUIAE_RUNS_DIR"] = str(root)
        sources, run, beside = (OLD, rich_run(Path(folder))), root / RUN, root / BESIDE
        shutil.copytree(OLD, beside)
        for source in sources:
            shutil.copytree(source, run)
            if wrong := list(look(run, beside, True, evaluated > 0, WAIT_SECONDS)):  # which imports everything
                raise SystemExit(f"the run is not whole: {wrong}")
            shutil.rmtree(run)
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, resource.RLIM_INFINITY))
        for number in range(first, first + count):
            shutil.copytree(sources[number % 2], run)
            done = mutate(run, number)
            for name, how in look(run, beside, number % SLOW == 0, evaluated > 0 and number % evaluated == 0):
                failures += 1
                line = json.dumps({"number": number, "reader": name, "how": how, "done": done})
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
            _remove(run)
    return failures


def _remove(run: Path) -> None:
    if run.is_symlink() or not run.is_dir():
        run.unlink(missing_ok=True)
    else:
        shutil.rmtree(run)


if __name__ == "__main__":
    sys.exit(bool(main(*map(int, sys.argv[1:]))))
