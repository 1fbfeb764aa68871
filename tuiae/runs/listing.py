"""Lists of runs: one row each, read again only when it can have changed."""

from __future__ import annotations

import errno
import math
import os
import stat
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import repeat
from operator import itemgetter, methodcaller, ne
from pathlib import Path
from typing import Any

from tuiae.config import NAME, QUIET, SEED, VARIATIONAL, RunConfig, counted, short_keys, value_text
from tuiae.files import read_json
from tuiae.runs.control import EDITABLE
from tuiae.runs.events import LossTrend
from tuiae.runs.labels import JOB, JOBS, PRESET, PRUNED, read_label, tags_of
from tuiae.runs.paths import CHANGED, LIVE_STATES, REPORTS, RunPaths, is_run, list_names
from tuiae.runs.reader import read_settings, read_status, read_tracked
from tuiae.runs.snapshot import Snapshot, Status, read_parent

SWEEPS = "sweep:"
STUDIES = (SWEEPS, "work:")
"""What the tags of studies begin with, by which their runs are known."""
MOST_JOBS = 100_000  # runs of a study; what says more says nothing
MOST_VARYING = 4  # settings up to which a run of a study is named after them; beyond, its name says more
DATASET, MODEL = ("data.dataset", "dataset", "data"), ("model.family", "model", "architecture")
"""The settings that say what a run trains, and on what; a tracked run may have them under several names."""
PRECISION = "training.precision"
SPLITS = ("train/", "train-eval/", "test/")


@dataclass(frozen=True)
class RunRow:
    """One line of a list; empty words where the config cannot be read."""

    path: Path
    status: Status
    dataset: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    preset: str = ""
    name: str = ""
    """The display name, empty where nobody gave one."""
    note: str = ""
    pinned: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Every dotted key of the config, as the run began; of a tracked run those that its program named, whatever they
    are."""
    host: str = ""
    parent: str = ""
    """The run that it was forked from, and where."""
    best: float | None = None
    """Lowest test loss; None while the history was not read."""
    trend: tuple[float, ...] = ()
    """Test losses from the first to the last, thinned."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last figures on test images; none while the history was not read."""
    varies: str = ""
    """What is its own among the runs of its study: `latent=16 seed=1`."""
    job: str = ""
    """What the study that made it called it: `latent=16 seed=1`; empty where that is not known."""
    wanted: int = 0
    """How many runs its study wanted in all when it was made; 0 where that is not known."""

    @cached_property
    def study(self) -> str:
        """The tag of the study that it belongs to; empty for a run of its own."""
        return next((tag for tag in self.tags if tag.startswith(STUDIES)), "")

    @cached_property
    def id(self) -> str:
        return self.path.name

    @cached_property
    def settings_now(self) -> Mapping[str, Any]:
        """The settings as edits have left them."""
        edited = self.status.edited or {}
        return {**self.settings, **{key: edited[key] for key in EDITABLE if key in edited and key in self.settings}}

    @property
    def title(self) -> str:
        """The name to show: the display name, else the id."""
        return self.name or self.id

    @property
    def made_from(self) -> str:
        """Its preset; empty for a run of a study that says nothing of one, which is called as the study is."""
        return "" if self.preset == self.study.partition(":")[2] else self.preset


def value_order(row: RunRow) -> tuple[tuple[float, str], ...]:
    """The key by which runs of a study are in the order of what varies there, numbers by their value, the seed last."""
    values = (word.rpartition("=")[2] for word in row.varies.split(" "))
    return tuple((_as_number(value), value) for value in values)


def to_compare(rows: Iterable[RunRow]) -> list[RunRow]:
    """Runs that are to be compared, those of one study in the order of what varies there, others in that of time."""
    rows = sorted(rows, key=lambda row: row.id)
    return sorted(rows, key=value_order) if rows[0].study and len({row.study for row in rows}) == 1 else rows


STOPPING = "saves and stops"
"""What is said of the process of a study that was asked to stop and has not ended yet."""


@dataclass(frozen=True)
class StudyRow:
    """The runs of a study as one line, above theirs where it is `opened`."""

    tag: str
    runs: tuple[RunRow, ...] = field(repr=False)
    """The runs that were found, in order."""
    every: tuple[RunRow, ...] = field(repr=False)
    """All its runs."""
    opened: bool = False
    trains: bool = False
    """Whether the process lives that goes from run to run."""
    said: str = ""
    """The last words of that process."""

    @property
    def key(self) -> str:
        """A name that no run has."""
        return f"/{self.tag}"

    @property
    def name(self) -> str:
        return self.tag.partition(":")[2] or self.tag

    @property
    def is_sweep(self) -> bool:
        return self.tag.startswith(SWEEPS)

    @property
    def stops(self) -> bool:
        """Whether that process lives, and was asked to stop."""
        return self.trains and self.said == STOPPING

    @property
    def number(self) -> str:
        """`15 runs`; `3 of 15 runs` where a filter shows fewer, or there are not all yet."""
        there, every = len(self.runs), len(self.every)
        total = every if there < every else every + self.missing
        return counted(total, "run") if there == total else f"{there:,} of {counted(total, 'run')}"

    @cached_property
    def missing(self) -> int:
        """How many runs there are to be beside those that there are, as the newest of these knows."""
        return max(max(self.every, key=lambda row: row.id).wanted - len(self.every), 0)

    @cached_property
    def unfinished(self) -> int:
        """How many of its runs have not finished."""
        return sum(row.status.state not in ("finished", PRUNED) for row in self.every)

    @cached_property
    def states(self) -> Mapping[str, int]:
        """How many runs are in each state, live ones first."""
        found = Counter(row.status.state for row in self.runs)
        order = (*LIVE_STATES, "finished")
        return {state: found[state] for state in (*order, *sorted(found.keys() - set(order))) if state in found}

    @property
    def newest(self) -> RunRow:
        """A live run, else the one that was trained last."""
        return max(self.runs, key=lambda row: (row.status.live, row.status.heartbeat))

    @cached_property
    def is_one_measure(self) -> bool:
        """Whether the losses of its runs are to be compared."""
        return len({_measure(row) for row in self.runs if row.settings}) == 1

    def varied(self, most: int) -> Mapping[str, str]:
        """The values of each setting that varies, by its short name, at most `most` of them."""
        known = [row.settings for row in self.runs if row.settings]
        words = {}
        for key, short in short_keys(_unlike(known)).items():
            texts = dict.fromkeys(value_text(settings.get(key)) for settings in reversed(known))
            found = sorted(texts, key=_as_number)
            words[short] = ", ".join(found[:most]) + (f" … {len(found)} values" if len(found) > most else "")
        return words

    def best_run(self) -> RunRow | None:
        """The run with the lowest loss, or of classifiers the one with the highest accuracy, where that can be said."""
        if all(row.model == "classifier" for row in self.runs):
            known = [(-row.status.test_accuracy, row) for row in self.runs if row.status.test_accuracy is not None]
        else:
            known = [(row.best, row) for row in self.runs if row.best is not None and self.is_one_measure]
        return min(known, key=itemgetter(0))[1] if known else None


def _as_number(text: str) -> float:
    """The key by which texts are sorted: numbers by value, words behind them in their order."""
    try:
        return float(text)
    except ValueError:
        return math.inf


Line = RunRow | StudyRow


def _measure(row: RunRow) -> tuple[Any, ...]:
    """What the loss of a run measures, and on which images."""
    settings = row.settings_now
    if row.status.tracked:
        return "its own", row.dataset
    family, data = settings["model.family"], settings["data.dataset"]
    if family == "classifier":
        return "cross-entropy", data
    return settings["training.loss"], data, settings["training.beta"] if family in VARIATIONAL else None


def fold(
    rows: Sequence[RunRow],
    every: Iterable[RunRow],
    opened: Collection[str],
    running: Mapping[str, str] = {},
    by_value: bool = False,
) -> tuple[Line, ...]:
    """Runs in order, those of a study behind the line of that study, which stands where its first run would; they show
    where it is `opened`. A study of one run is that run unless more are to come, or its process is `running`, and a run
    that is pinned stands by itself. `by_value`: those of a study in the order of what varies there."""
    total, found = dict[str, list[RunRow]](), dict[str, list[RunRow]]()
    for among, known in ((every, total), (rows, found)):
        for row in among:
            known.setdefault(row.study, []).append(row)
    lines, seen = list[Line](), set[str]()
    for row in rows:
        is_alone = len(total[row.study]) < 2 and row.wanted < 2 and row.study not in running
        if not row.study or is_alone or row.pinned:
            lines.append(row)
        elif row.study not in seen:
            seen.add(row.study)
            runs, is_open = found[row.study], row.study in opened
            runs = sorted(runs, key=value_order) if by_value else runs
            process = row.study in running, running.get(row.study, "")
            lines.append(StudyRow(row.study, tuple(runs), tuple(total[row.study]), is_open, *process))
            lines += [run for run in runs if is_open and not run.pinned]
    return tuple(lines)


def key_of(line: Line) -> str:
    """The key of a line, which no other line has."""
    return line.key if isinstance(line, StudyRow) else line.id


def ids_inside(lines: Iterable[Line]) -> frozenset[str]:
    """The runs that stand behind the lines of their studies."""
    studies = (line for line in lines if isinstance(line, StudyRow))
    return frozenset(run.id for study in studies for run in study.runs if not run.pinned)


AT_REST = 1000  # runs that no worker trains of which one look that is not `whole` asks the disk, about
SETTLED = 2 * 10**9  # nanoseconds; a disk may not tell two changes apart that are less than this from each other
UNSETTLED = -1


@dataclass
class _Known:
    """What was read of a name in the runs directory, and the time of its last change by then."""

    changed: int | None = UNSETTLED
    row: RunRow | None = None
    """None for what is no run."""
    live: bool = False
    trend: LossTrend | None = None
    read: int | None = None
    """What `changed` was when the events were read: a worker that writes any writes its status as well."""


class RunLister:
    """Lists the runs again and again. Of each run it looks at the time of its directory, in which every writer replaces
    files by others, and reads only what changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, _Known] = {}
        self._studies: dict[str, tuple[tuple[str, int], ...]] = {}
        """The runs of each study, and the settings by which they were told apart."""
        self._looks = 0
        self._told = UNSETTLED
        """The time at which somebody has said last that a run at rest changed."""
        self._moved = False
        self.behind = False
        """Whether the last look left histories for the next one."""
        self.passed_over: tuple[str, ...] = ()
        """Names of directories beside the runs that are no runs, as they were at the last look."""

    def rows(
        self, *, histories: bool = False, most: int | None = None, whole: bool = True, within: float = math.inf
    ) -> tuple[RunRow, ...]:
        """Every run, or so `most`, newest first. An unchanged run is the same object as in the last answer.

        `histories`: read the events too, for `best` and `trend`, `within` so many seconds; the first time this is what
        takes long. Not `whole`: where thousands of runs are at rest, look at another part of them each time.
        """
        names, deadline, rows, others = list_names(self._root), time.monotonic() + within, list[RunRow](), list[str]()
        turns = 1 if self._was_told() or whole else len(names) // AT_REST + 1
        self._looks, self.behind = self._looks + 1, False
        for place, name in enumerate(names):
            known = self._known.get(name)
            if known is None or known.live or (place + self._looks) % turns == 0:
                known = self._look(name, known or _Known())
            if known.row is None:
                others += [name] if known.changed is not None and name != REPORTS else []
                continue
            if histories and (known.live or known.read != known.changed):
                self._read_history(known, known.row, known.live or time.monotonic() < deadline)
            rows.append(known.row)
            if len(rows) == most:
                return tuple(rows)
        self.passed_over = tuple(others)
        if len(self._known) > len(names):
            self._known, self._moved = {name: self._known[name] for name in names}, True
        if not self._moved:
            return tuple(rows)
        self._tell_apart(rows)
        self._moved = False
        return tuple(self._known[row.id].row or row for row in rows)

    def _was_told(self) -> bool:
        """Returns whether somebody has changed a run since the last look, by whatever machine."""
        try:
            told = os.stat(f"{self._root}/{CHANGED}").st_mtime_ns
        except OSError:
            return False
        before, self._told = self._told, UNSETTLED if time.time_ns() - told < SETTLED else told
        return before != told

    def _tell_apart(self, rows: Sequence[RunRow]) -> None:
        """Say of each run of a study what varies; again only where the study has other runs."""
        studies: dict[str, list[RunRow]] = {}
        for row in rows:
            if row.study:
                studies.setdefault(row.study, []).append(row)
            elif row.varies:
                self._known[row.id].row = replace(row, varies="")
        for study, runs in studies.items():
            told = tuple((row.id, id(row.settings)) for row in runs)
            if self._studies.get(study) != told:
                self._studies[study] = told
                for row, words in zip(runs, _own_words(study, runs), strict=True):
                    if words != row.varies:
                        self._known[row.id].row = replace(row, varies=words)

    def _look(self, name: str, known: _Known) -> _Known:
        changed = _changed(f"{self._root}/{name}")
        if changed != known.changed or known.live:
            row = None if changed is None else _read(RunPaths(self._root / name), known.row)
            if row != known.row:
                known.row, self._moved = row, True
                known.live = row is not None and row.status.live
            # What changed a moment ago may change again before the clock of the disk has moved on.
            is_young = changed is not None and time.time_ns() - changed < SETTLED
            known.changed = UNSETTLED if is_young else changed
        self._known[name] = known
        return known

    def _read_history(self, known: _Known, row: RunRow, now: bool) -> None:
        if not now:
            self.behind = True
            return
        known.read, trend = known.changed, known.trend or LossTrend(RunPaths(row.path))
        best, losses = trend.poll()
        if (best, losses, trend.metrics) != (row.best, row.trend, row.metrics):
            known.row = replace(row, best=best, trend=losses, metrics=trend.metrics)
        # Of thousands of runs at rest, what is to be shown is all that need be kept.
        known.trend = trend if known.live else None


def _changed(path: str) -> int | None:
    """The time of the last change in a directory, in nanoseconds; None of a file, or a link that leads in a circle, and
    0 of what leads nowhere."""
    try:
        found = os.stat(path)
    except OSError as error:
        return None if error.errno == errno.ELOOP else 0
    return None if stat.S_ISREG(found.st_mode) else found.st_mtime_ns


def _read(run: RunPaths, row: RunRow | None) -> RunRow | None:
    """A row from the files, None for what is no run. A config that was read before is kept: it only changes while a
    worker is started."""
    status, label = read_status(run), read_label(run)
    is_known = row is not None and bool(row.settings) and row.status.epochs == status.epochs
    is_known &= row is None or row.status.state != "starting"  # its worker may have settled a setting since
    meta = None if is_known else read_json(RunPaths.meta.of(run))
    tags = tags_of(run, meta, label)
    if status.state == "stopped" and PRUNED in tags:
        status = replace(status, state=PRUNED)
    said: dict[str, Any] = {"status": status, "tags": tags}
    said |= {"name": label.name, "note": label.note, "pinned": label.pinned}
    edited = status.settings or {}  # of a tracked run, as they are now
    if row is not None and meta is None:
        now = {**row.settings, **edited}
        best = _lower(row.best, status.test_loss)
        return replace(row, **said, best=best, settings=row.settings if now == row.settings else now)
    meta = meta or {}
    found, host, parent = read_settings(run, meta), meta.get("host"), read_parent(meta)
    config, settings = found or (None, {**(read_tracked(run) or {}), **edited})
    if (status.state == "unknown" or not settings) and not is_run(run.root):
        return None
    return RunRow(
        run.root,
        dataset=named_in(settings, *DATASET),
        model=named_in(settings, *MODEL),
        preset=preset_of(config, meta) if config else "",
        settings=settings,
        parent=f"{parent.run} at epoch {parent.epoch:g}" if parent else "",
        job=job if isinstance(job := meta.get(JOB), str) else "",
        wanted=jobs if isinstance(jobs := meta.get(JOBS), int) and 0 < jobs <= MOST_JOBS else 0,
        host=host if isinstance(host, str) else "",
        best=_lower(row.best, status.test_loss) if row else None,
        trend=row.trend if row else (),
        metrics=row.metrics if row else {},
        **said,
    )


def _lower(best: float | None, newest: float | None) -> float | None:
    """The best loss of a history that was read, or the newest one, which may have come since."""
    return best if best is None or newest is None else min(best, newest)


def named_in(settings: Mapping[str, Any], *keys: str) -> str:
    """The first of these settings that is a word; empty where none is."""
    return next((found for key in keys if isinstance(found := settings.get(key), str)), "")


def _unlike(known: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which runs differ, without their names and what changes no result."""
    first = known[0] if known else {}
    every = dict.fromkeys(key for settings in known for key in settings)  # an argument may be given in some alone
    told = [key for key in every if key != NAME and not key.startswith(QUIET)]
    if len({str(settings.get(PRECISION)) for settings in known} - {"auto"}) < 2:
        told = [key for key in told if key != PRECISION]  # that of a run which has not begun is settled when it does
    return [key for key in told if any(map(ne, map(methodcaller("get", key), known), repeat(first.get(key))))]


def varying(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """For the settings of each run of a study, in what they differ from the others, the seed last; their names where
    that is too much. Empty for a run whose config cannot be read."""
    known = [settings for settings in runs if settings]
    told = sorted(_unlike(known), key=SEED.__eq__)
    if len(told) > MOST_VARYING and len({str(settings.get(NAME)) for settings in known}) > 1:
        told = [NAME, *(key for key in told if key == SEED)]
    short = short_keys(told)
    words = ([f"{short[key]}={value_text(settings.get(key))}" for key in told if settings] for settings in runs)
    return [" ".join(each).removeprefix(f"{NAME}=") for each in words]


def _own_words(study: str, runs: Sequence[RunRow]) -> list[str]:
    """What each run of a study is called there: while a sweep grows, as that calls it."""
    jobs = [row.job for row in runs]
    grows = study.startswith(SWEEPS) and len(runs) < max(row.wanted for row in runs)
    is_told = all(0 < job.count("=") <= MOST_VARYING for job in jobs) and len({*jobs}) == len(jobs)
    return jobs if grows and is_told else varying([row.settings for row in runs])


def preset_of(config: RunConfig, meta: Mapping[str, Any]) -> str:
    """The preset a run was made from: the name in its config, unless the run was started under another name."""
    preset = meta.get(PRESET)
    return preset if isinstance(preset, str) and preset else config.name


def summarise(snapshot: Snapshot) -> dict[str, Any]:
    """A run as one JSON object, which `--json` prints.

    `metrics` holds the values of the last epoch and `history` one list a metric, both keyed `split/metric`: `train` is
    measured while training, dropout and all; `train-eval` and `test` with dropout off. JSON has no NaN: it is null.
    """
    known = {f"{split}/{name}": _plain(values.values) for (split, name), values in snapshot.series.items()}
    series = {key: values for key, values in known.items() if key.startswith(SPLITS)}
    status, run = snapshot.status, RunPaths(snapshot.path)
    label = read_label(run)
    return {
        "run": snapshot.id,
        "dir": str(snapshot.path),
        "name": label.name or None,
        "note": label.note or None,
        "tags": list(tags_of(run, snapshot.meta, label)),
        "state": snapshot.state,
        "silent_minutes": status.silent,
        "device": status.device,
        "epochs": status.epoch,
        "steps": status.step,
        "metrics": {key: values[-1] for key, values in series.items() if values},
        "history": series,
        "epoch_seconds": known.get("speed/epoch_seconds", []),
        "images_per_second": known.get("speed/images_per_second", []),
        "parent": asdict(snapshot.parent) if snapshot.parent else None,
        "edits": [asdict(edit) for edit in snapshot.edits],
        "error": dict(status.error) if status.error else None,
        "refusal": dict(status.refusal) if status.refusal else None,
        "images": asdict(snapshot.images) if snapshot.images else None,
    }


def _plain(values: Any) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
