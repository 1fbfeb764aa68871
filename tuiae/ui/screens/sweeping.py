"""A sweep from the dashboard: which settings and values, what it costs, and starting it as a process of its own."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.suggester import SuggestFromList
from textual.widgets import Input, Label

from tuiae.config import (
    SEED,
    RunConfig,
    Setting,
    counted,
    did_you_mean,
    dotted_keys,
    find_settings,
    keys_named,
    list_settings,
    settings_of,
    short_keys,
    value_text,
)
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.machine import AUTO, read_jobs, suggest_workers
from tuiae.preflight import warn_of_change
from tuiae.render.machine import seconds
from tuiae.render.text import clean, duration
from tuiae.reproduce.state import StudyProcess, find_process, start_process, study_of
from tuiae.runs.listing import StudyRow
from tuiae.runs.paths import RunPaths, undated
from tuiae.runs.snapshot import Snapshot, Status
from tuiae.source import argument_settings
from tuiae.studies.library import marks
from tuiae.studies.sweep import (
    SWEEP,
    Sweep,
    find_sweep,
    is_another,
    load_sweep,
    plan_sweep,
    read_seeds,
    read_values,
    sweep_path,
    write_sweep,
)
from tuiae.ui.draft import NUMBERS
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.changes import ChangeDialog
from tuiae.ui.screens.dialogs import in_front
from tuiae.ui.session import NothingToDoError, PreflightDone, Session

ROWS = 3  # settings that a sweep of the dialog may vary; a file takes any number
MOST_RUNS = 500
STOPPED_SECONDS = 0.3  # between looks whether a sweep has stopped that is to go on
RESUMING = "resume"  # the group of what waits for that
MOST_OFFERED = 4  # names of settings that begin with what was typed
LATENT = "model.latent"
MOST_WARNED = 50  # of them are looked at for warnings with every key that is pressed
MOST_NAME = 42  # characters of a run's name with which its sweep's begins: a name takes 48


@dataclass(frozen=True)
class Pace:
    """How long an epoch takes, and how that is known."""

    epoch: float
    """Seconds."""
    known_by: str


def pace_of(status: Status, name: str) -> Pace | None:
    """The pace of a run that has trained for an epoch or more."""
    return Pace(status.elapsed / status.epoch, f"as {name} took") if status.elapsed and status.epoch else None


def pace_beside(snapshot: Snapshot | None, config: RunConfig) -> Pace | None:
    """The pace of a run whose epochs are the same work as those of a config: the same network, images and batches."""

    def work(of: RunConfig) -> tuple[object, ...]:
        return of.model, of.data, of.training.batch_size, of.training.device

    if snapshot is None or snapshot.config is None or work(snapshot.config) != work(config):
        return None
    return pace_of(snapshot.status, clean(snapshot.name or undated(snapshot.id), 40))


@dataclass(frozen=True)
class SweepOrder:
    """What the dialog asks for."""

    sweep: Sweep
    grid: Mapping[str, list[Any]]
    seeds: list[int]
    jobs: int
    """How many runs at once, or AUTO."""


_FORM_WORDS = {**dict(NUMBERS), "model": "model.family"}
"""What the form calls settings -> their keys; `code` before words is that of a custom network all the same."""


def key_meant(word: str, values: Sequence[Any], arguments: Sequence[Setting]) -> str:
    """The key of the setting that somebody means: by its name, the word that the form has for it, that of one of the
    `arguments` of a custom network, or words that stand in what is said of one setting alone.

    Raises:
        ConfigError: there is none. NothingToDoError: so begin the names of some.
    """
    own = [one.key for one in arguments if word in (one.leaf, one.key.partition(".")[2])]
    named = keys_named(word) or own
    if word in _FORM_WORDS and not (named and any(isinstance(value, str) for value in values)):
        named = [_FORM_WORDS[word]]
    begun = [name for name in setting_words(arguments) if name.startswith(word)]
    if not named and not begun:
        named = [one.key for one in find_settings([*list_settings(), *arguments], word)]
    if len(named) == 1:
        return named[0]
    if found := begun or named:
        end = " · tab completes" if begun else ""
        raise NothingToDoError(f"which setting? {', '.join(found[:MOST_OFFERED])}{end}")
    raise ConfigError(f"there is no setting '{word}'{did_you_mean(word, dotted_keys())}")


def setting_words(arguments: Sequence[Setting]) -> list[str]:
    """What settings can be called, the shortest words first."""
    keys = [*dotted_keys(), *(setting.key for setting in arguments)]
    return list(dict.fromkeys((*_FORM_WORDS, *short_keys(keys).values(), *keys)))


class KeyInput(Input):
    """A field for the name of a setting; Tab takes the end that is suggested, and else goes on."""

    BINDINGS = [Binding("tab", "complete", show=False)]

    def __init__(self, value: str, words: Sequence[str], placeholder: str, id: str) -> None:  # noqa: A002
        suggester = SuggestFromList(words, case_sensitive=False)
        super().__init__(value, placeholder=placeholder, id=id, compact=True, suggester=suggester)
        self._words = words

    def action_complete(self) -> None:
        """Take what is suggested, and go on to the next field."""
        if self.value not in self._words and self.cursor_position == len(self.value):
            self.action_cursor_right()
        self.screen.focus_next()


class SweepDialog(ChangeDialog[SweepOrder]):
    """Up to three settings with their values, the seeds, and below them what that costs or why it cannot be."""

    KIND, TITLE, HINT = "changes sweep", "a sweep", "enter starts it · tab completes, goes on · escape cancels"

    def __init__(self, config: RunConfig, taken_from: str, pace: Pace | None, session: Session) -> None:
        super().__init__(f"Around {clean(taken_from, 50)}: every combination of these values, with every seed.", {})
        self._session, self._root, self._config, self._pace = session, session.root, config, pace
        self._arguments = argument_settings(config)
        self._suggested = self._name_for(())

    def compose_fields(self) -> ComposeResult:
        words = setting_words(self._arguments)
        yield Label("setting, as code or rate")
        yield Label("values, as 4 8 16 or adam, sgd")
        for row in range(ROWS):
            yield KeyInput("" if row else LATENT, words, "another setting" if row else "", f"key-{row}")
            yield Input(id=f"values-{row}", compact=True)
        yield Label("seeds, as 0 1 2 or 0-4")
        yield Input(str(self._config.training.seed), id="seeds", compact=True)
        yield Label("runs at once")
        yield Input("auto", id="jobs", compact=True)
        yield Label("name")
        yield Input(self._suggested, id="sweep-name", compact=True)

    def on_mount(self) -> None:
        config, left = self._session.left_sweep
        if config == self._config:
            with self.prevent(Input.Changed):
                for field, text in left.items():
                    self._text(field).value = text
        self._text("values-0").focus()
        self.check()

    def dismiss(self, result: SweepOrder | None = None) -> AwaitComplete:
        """As any dialog; what somebody escapes from is there again when the same is asked for."""
        if in_front(self):
            fields = {field.id: field.value for field in self.query(Input) if field.id}
            self._session.left_sweep = (self._config, fields) if result is None else (None, {})
        return super().dismiss(result)

    def _text(self, field: str) -> Input:
        return self.query_one(f"#{field}", Input)

    def read(self) -> tuple[SweepOrder, str, str]:
        if not (grid := self._seeds_alone() or self._grid()):
            raise NothingToDoError("give a setting some values, or several seeds: each combination of them is a run")
        self._call(grid)
        order = self._order(grid)
        configs = (job.config for job in order.sweep.jobs[:MOST_WARNED])
        doubts = [words for config in configs for words in warn_of_change(self._config, config, 0)]
        if is_another(self._root, self._config, order.sweep.name, order.grid, order.seeds):
            doubts.insert(0, f"there is another sweep {order.sweep.name}, whose runs would be counted with these")
        return order, " · ".join((*doubts[:1], self._cost(order))), "-doubtful" if doubts else "-fine"

    def _seeds_alone(self) -> dict[str, list[Any]]:
        """The seeds as what varies, where there are several and no setting has values."""
        seeds = read_seeds(self._text("seeds").value)
        alone = len(seeds) > 1 and not any(self._text(f"values-{row}").value.strip() for row in range(ROWS))
        return {SEED: seeds} if alone else {}

    def _grid(self) -> dict[str, list[Any]]:
        """The values by dotted key.

        Raises:
            ConfigError: no such setting, or the same twice. NothingToDoError: one has no values yet.
        """
        grid: dict[str, list[Any]] = {}
        for row in range(ROWS):
            word, text = self._text(f"key-{row}").value.strip(), self._text(f"values-{row}").value.strip()
            if not word and not text:
                continue
            if not word:
                raise ConfigError(f"which setting is to be {text}?")
            key = key_meant(word, read_values(text), self._arguments)
            if key in grid:
                raise ConfigError(f"{key} stands there twice")
            if not text:
                now = value_text(settings_of(self._config).get(key))
                raise NothingToDoError(f"{key} is {now} now: give the values to try")
            grid[key] = read_values(text)
        return grid

    def _name_for(self, keys: Collection[str]) -> str:
        """A name for a new sweep over these keys: that of the config, without the width of the code where that varies,
        and numbered where there is one."""
        name, latent = self._config.name, self._config.model.latent
        named = re.sub(rf"_{latent}(?=-|$)", "", name) if LATENT in keys else name
        name = f"{named[: MOST_NAME - 3]}-sweep"
        numbered = (name, *(f"{name}-{number}" for number in range(2, 100)))
        return next((one for one in numbered if not sweep_path(self._root, one).exists()), name)

    def _call(self, grid: Mapping[str, object]) -> None:
        """Keep the name that is suggested in its field, as long as nobody wrote another."""
        field, before = self._text("sweep-name"), self._suggested
        self._suggested = self._name_for(grid)
        if field.value == before:
            with self.prevent(Input.Changed):
                field.value = self._suggested

    def _order(self, grid: dict[str, list[Any]]) -> SweepOrder:
        """Raises ConfigError: what is wrong with the fields."""
        seeds = [] if SEED in grid else read_seeds(self._text("seeds").value)
        number = math.prod(map(len, grid.values())) * max(len(seeds), 1)
        if number > MOST_RUNS:
            raise ConfigError(f"{number:,} runs: at most {MOST_RUNS} from here, `tuiae sweep FILE` takes more")
        jobs = read_jobs(self._text("jobs").value.strip(), "runs at once:")
        sweep = plan_sweep(self._config, self._text("sweep-name").value.strip(), grid, seeds)
        return SweepOrder(sweep, grid, seeds, jobs)

    def _cost(self, order: SweepOrder) -> str:
        """`12 runs: latent=4 seed=0 to latent=16 seed=2 · about 34 s each as dense_64 took, 6:48 in all`."""
        jobs = order.sweep.jobs
        runs = counted(len(jobs), "run")
        between = jobs[0].label if len(jobs) == 1 else f"{jobs[0].label} to {jobs[-1].label}"
        if self._pace is None:
            return f"{runs}: {between} · how long one takes is not known yet"
        times = [self._pace.epoch * job.config.training.epochs for job in jobs]
        each = f"about {seconds(sum(times) / len(times))} each, {self._pace.known_by}"
        side = (
            ""
            if (order.jobs or suggest_workers()) == 1
            else ", less where the machine has room for more than one at a time"
        )
        return f"{runs}: {between} · {each} · {duration(sum(times))} one after the other{side}"

    def take_cost(self, event: PreflightDone) -> bool:
        """Take what a dry run of the config found."""
        if event.config != self._config:
            return False
        if isinstance(event.outcome, Mapping) and (epoch := event.outcome.get("epoch_seconds")):
            self._pace = Pace(float(epoch), "by a few steps of it")
        self.check()
        return True


def ask_sweep(
    screen: BaseScreen, config: RunConfig, taken_from: str, pace: Pace | None, tags: Sequence[str] = ()
) -> None:
    """Ask for a sweep around a config, and start it, its runs with these `tags`; where nobody knows how long a run
    takes, a few steps say it."""

    def start(order: SweepOrder) -> None:
        path = write_sweep(screen.session.root, config, order.sweep.name, order.grid, order.seeds, tags)
        start_sweep(screen, path, order.sweep.name, order.jobs)
        screen.app.switch_mode("runs")
        told = f"{order.sweep.name} starts: {counted(len(order.sweep.jobs), 'run')}, which go on when you leave"
        shown = screen.app.screen_stack[0]
        if isinstance(shown, BaseScreen):  # which may have to be made first
            shown.call_later(lambda: shown.show_started(order.sweep.tag, f"{told} · x on its line stops it"))

    if pace is None:
        screen.session.launcher.preflight(config)
    screen.show_dialog(SweepDialog(config, taken_from, pace, screen.session), start)


def start_sweep(screen: BaseScreen, path: Path, name: str, jobs: int) -> None:
    """Train what is missing of a sweep in a process of its own.

    Raises:
        RunHeldError: it is on its way. UnknownRunError: the runs directory cannot be written.
    """
    words = ["sweep", "--plain", "--jobs", str(jobs or "auto"), str(path)]
    study = f"{SWEEP}{name}"
    screen.session.studies[study] = start_process(screen.session.root, study, words)


def resume_sweep(screen: BaseScreen, study: StudyRow) -> None:
    """Train what a sweep lacks; where it is still stopping, as soon as it has stopped.

    Raises:
        NothingToDoError: it is no sweep, it has all its runs, or its file is gone. ConfigError: what is wrong there.
        RunHeldError, UnknownRunError: as `start_sweep`.
    """
    name = study.name
    if not study.is_sweep:
        raise NothingToDoError(f"{name} is no sweep: 6 lists the works, and r there goes on with one")
    process = find_process(screen.session.root, study_of(study.tag))
    if process is not None and process.alive and process.stopping:
        screen.message.tell(f"{name} is still stopping · it goes on as soon as it has stopped", "caution")
        screen.run_worker(_resume_after(screen, study, process), group=RESUMING, exclusive=True)
        return
    sweep = find_sweep_of(screen.session.root, study)
    finished = [run.settings.items() for run in study.runs if run.status.state == "finished"]
    lacks = sum(not any(marks(job.config).items() <= settings for settings in finished) for job in sweep.jobs)
    if not lacks:
        raise NothingToDoError(f"{name} is complete: all of its {counted(len(sweep.jobs), 'run')} have finished")
    start_sweep(screen, sweep.path, name, _jobs_before(process))
    told = f"{name} goes on: {lacks:,} of {counted(len(sweep.jobs), 'run')} to finish, also when you leave"
    screen.message.tell(f"{told} · x saves and stops it", "good")


def _jobs_before(process: StudyProcess | None) -> int:
    """How many runs at once the process of a sweep was asked for; AUTO where none is known."""
    words = process.words if process is not None else ()
    with suppress(ConfigError, IndexError, ValueError):
        return read_jobs(words[words.index("--jobs") + 1], "runs at once:")
    return AUTO


async def _resume_after(screen: BaseScreen, study: StudyRow, process: StudyProcess) -> None:
    while process.alive:
        await asyncio.sleep(STOPPED_SECONDS)
    screen.attempt(resume_sweep, screen, study)


def find_sweep_of(root: Path, study: StudyRow) -> Sweep:
    """The sweep whose runs these are, from the file that the dashboard wrote, or the one that its newest run was
    started with.

    Raises:
        NothingToDoError: neither is there. ConfigError: what is wrong with it.
    """
    path = sweep_path(root, study.name)
    if path.is_file():
        return load_sweep(path)
    argv = read_json(RunPaths(study.newest.path).meta).get("argv")
    words = [word for word in argv if isinstance(word, str)] if isinstance(argv, list) else []
    for word in words[words.index("sweep") + 1 :] if "sweep" in words else ():
        with suppress(ConfigError):
            if not word.startswith("-") and (sweep := load_sweep(find_sweep(word).absolute())).name == study.name:
                return sweep
    raise NothingToDoError(f"the file of {study.name} is not here: `tuiae sweep FILE` goes on with it")
