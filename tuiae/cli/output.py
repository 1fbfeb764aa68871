"""Output: results on stdout, progress on stderr, JSON alone on stdout; the progress and the end of trainings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Literal, TextIO, cast

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from tuiae.cli.main import is_terminal
from tuiae.data.dataset import DOWNLOADING, OnProgress
from tuiae.errors import ExitCode, RunHeldError, TrainingError, UnknownRunError, from_record
from tuiae.files import jsonable
from tuiae.render.text import clean, count, duration, figure, harmless, in_mode, number, of_epochs, to_ascii
from tuiae.runs.paths import RunPaths, is_gone
from tuiae.runs.process import Interrupt, stop_worker
from tuiae.runs.reader import RunReader
from tuiae.runs.removal import discard_untrained
from tuiae.runs.snapshot import Snapshot, Status
from tuiae.studies.jobs import News, StudyProgress

POLL_SECONDS = 0.1
LEAVE_SECONDS = 5.0  # for the last threads of a worker that has ended
PLAIN_WIDTH = 500  # columns: a line for a pipe is never wrapped
COLOR_SYSTEMS: Mapping[str, Literal["auto", "truecolor", "256", "standard"]] = {
    "auto": "auto",
    "truecolor": "truecolor",
    "256": "256",
    "16": "standard",
}


@dataclass(frozen=True)
class Output:
    """The output of one command: its streams and its style."""

    json: bool = False
    plain: bool = False
    ascii: bool = False
    """Whether nothing above 127 is printed."""
    colors: str = "auto"
    """auto, truecolor, 256, 16 or none."""
    plot: bool = False
    """Whether plots are wanted where there is no terminal, or beside `plain`."""

    @classmethod
    def of(cls, context: typer.Context, json: bool = False, plain: bool = False, plot: bool = False) -> Output:
        """The output of a command, by its own options and by those before it."""
        return cls(json, plain, context.obj.ascii, context.obj.colors, plot)

    @property
    def people(self) -> Console:
        """The stream for results for people: stdout, or stderr when stdout belongs to JSON."""
        return self._console(sys.stderr if self.json else sys.stdout)

    @property
    def progress(self) -> Console:
        """The stream for progress: stderr."""
        return self._console(sys.stderr)

    @property
    def redraws(self) -> bool:
        """Returns whether progress may redraw itself."""
        return not self.plain and is_terminal(sys.stderr)

    @property
    def shows_pictures(self) -> bool:
        """Returns whether pictures and plots are printed: on a terminal, not into a pipe or a file."""
        return not (self.plain or self.json) and is_terminal(sys.stdout)

    @property
    def shows_plots(self) -> bool:
        """Returns whether results end in plots: on a terminal, elsewhere on request, and never beside JSON."""
        return self.shows_pictures or (self.plot and not self.json)

    @property
    def plot_ascii(self) -> bool:
        """Returns whether plots are drawn in ASCII, as they are wherever they may go into a file or a mail."""
        return self.ascii or not self.shows_pictures

    @property
    def colourless(self) -> bool:
        people = self.people
        return people.no_color or people.color_system is None

    @property
    def plot_width(self) -> int:
        """Columns for a plot: those of the terminal, 80 where there is none."""
        return min(self.people.width, shutil.get_terminal_size((80, 24)).columns)

    def draw(self, plot: Text) -> None:
        """Print a plot, in the characters that this output may have."""
        self.line(in_mode(plot, "ascii" if self.plot_ascii else ""))

    @property
    def picture_mode(self) -> str:
        """How pictures are drawn: half blocks are two colours, and without colours all would look the same."""
        people = self.people
        return "ascii" if self.ascii or people.no_color or people.color_system in (None, "standard") else "blocks"

    def document(self, value: Any) -> None:
        """Print the one JSON document of the command; what is not finite is null."""
        sys.stdout.write(json.dumps(jsonable(value), indent=1, ensure_ascii=self.ascii) + "\n")
        sys.stdout.flush()

    def line(self, text: str | Text = "", style: str = "") -> None:
        """Print one result; what the text holds is never read as markup, nor by the terminal."""
        self.people.print(Text(harmless(text), style) if isinstance(text, str) else text, soft_wrap=True)

    def note(self, text: str, style: str = "") -> None:
        """Print one line of progress."""
        self.progress.print(Text(harmless(text), style), soft_wrap=True)

    def warn(self, warnings: Iterable[str]) -> None:
        """Print each warning among the progress."""
        for warning in warnings:
            self.note(f"note: {warning}", "yellow")

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[str]], right: Iterable[str] = ()) -> None:
        """Print aligned columns without a frame, for `grep` and `awk` too; those of `right` hold numbers."""
        numbers = set(right)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, justify="right" if column in numbers else "left")
        for row in rows:
            table.add_row(*(Text(harmless(cell)) for cell in row))
        self.people.print(table)

    def _console(self, stream: TextIO) -> Console:
        file = cast("IO[str]", AsciiStream(stream)) if self.ascii else stream
        if self.plain or not is_terminal(stream):
            return Console(file=file, width=PLAIN_WIDTH, color_system=None, highlight=False, force_terminal=False)
        if self.colors == "none":
            return Console(file=file, highlight=False, no_color=True)
        # NO_COLOR counts where nothing was asked for.
        no_color = None if self.colors == "auto" else False
        return Console(file=file, highlight=False, color_system=COLOR_SYSTEMS[self.colors], no_color=no_color)


class AsciiStream:
    """A stream to which nothing above 127 is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(to_ascii(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


# Progress: bars on a terminal, where they can be redrawn; elsewhere lines, appended as something happens.


@contextmanager
def dataset_progress(output: Output) -> Iterator[OnProgress]:
    """Show downloads and decoding; elsewhere than on a terminal, a line for each phase."""
    if not output.redraws:
        told: set[str] = set()

        def tell(phase: str, done: int, total: int) -> None:
            if phase not in told:
                told.add(phase)
                output.note(phase)

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), AmountColumn())
    with Progress(*columns, console=output.progress, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase)
            bars.update(tasks[phase], completed=done, total=total or None)

        yield show


class AmountColumn(ProgressColumn):
    """`3.1/9.9 MB` of a download, `10,000/70,000 images` of a set being prepared; empty where the end is not known."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = DownloadColumn()

    def render(self, task: Task) -> Text:
        if task.description.startswith(DOWNLOADING):
            return self._bytes.render(task)
        if task.total is None:
            return Text()
        return Text(f"{task.completed:,.0f}/{task.total:,.0f} images", "progress.download")


# One training, followed until it ends.


def follow(run: RunPaths, output: Output, process: subprocess.Popen[bytes] | None = None) -> tuple[Snapshot, bool]:
    """Show a run until it ends; returns its last snapshot, and whether it was left running.

    With its own `process` an interrupt stops the run (and a second one leaves it to finish its save); otherwise it only
    ends the following.
    """
    reader, interrupt = RunReader(run.root), Interrupt()
    asked = False
    with interrupt.listening(), run_progress(output) as display:
        while True:
            # The process is looked at first: what it wrote before it ended is then in the snapshot.
            ended = process is not None and process.poll() is not None
            snapshot = reader.poll()
            display.show(snapshot)
            if not snapshot.status.live or ended:
                snapshot = reader.read_all()
                display.show(snapshot)
                return snapshot, False
            if interrupt.count and (process is None or interrupt.count > 1):
                return snapshot, True
            if interrupt.count and process is not None and not asked:
                asked = True
                stop_worker(run, process)
                display.say("stopping: saving at the next step (Ctrl-C again not to wait for it)")
            time.sleep(POLL_SECONDS)


@contextmanager
def run_progress(output: Output) -> Iterator[RunBar | RunLines]:
    """Show one training, for as long as the block lasts."""
    if not output.redraws:
        yield RunLines(output)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        console=output.progress,
    ) as bar:
        yield RunBar(bar)


class RunBar:
    """One redrawn line with a bar over the whole run, and the last epoch's figures."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None, figures="")

    def show(self, snapshot: Snapshot) -> None:
        status = snapshot.status
        if status.share is None:
            self._progress.update(self._task, description=status.phase or status.state, total=None, figures="")
            return
        epoch = min(status.epoch + 1, status.epochs) if status.live else status.epoch
        self._progress.update(
            self._task,
            description=f"{status.state}  epoch {epoch}/{status.epochs}",
            total=1.0,
            completed=status.share,
            figures=_figures(snapshot),
        )

    def say(self, text: str) -> None:
        # Through the bar's own console, which keeps the redrawn line below it.
        self._progress.console.print(Text(text, "yellow"))


def _figures(snapshot: Snapshot) -> str:
    status = snapshot.status
    train, test = snapshot.latest("live" if status.live else "train", "loss"), snapshot.latest("test", "loss")
    rate = f"{count(round(status.images_per_second))} images/s" if status.images_per_second else ""
    time = f"ETA {duration(status.eta)}" if status.live else duration(status.elapsed)
    return f"train {number(train)}  test {number(test)}  {rate}  {time}"


class RunLines:
    """A line for each phase, each pause and each epoch."""

    CATCH_UP = 20  # epochs at most that are told of a run that is followed from its middle

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: int | None = None
        self._phase = ""
        self._state = ""

    def show(self, snapshot: Snapshot) -> None:
        phase = snapshot.status.phase.rstrip("0123456789% ")
        if phase and phase != self._phase and snapshot.status.live:
            self._phase = phase
            self._output.note(phase)
        change, self._state = pause_line(snapshot.id, self._state, snapshot.status), snapshot.status.state
        paused = self._state == "paused"
        if change and not paused:
            self._output.note(change)
        series = snapshot.series.get(("test", "loss"))
        done = len(series.values) if series else 0
        for index in range(self._first(snapshot, done) if self._told is None else self._told, done):
            self._output.note(epoch_line(snapshot, index))
        self._told = done
        if change and paused:  # after the epochs before the pause
            self._output.note(change)

    def _first(self, snapshot: Snapshot, done: int) -> int:
        """The first evaluation to tell of a run that has `done` of them behind it; says so, as they are not new."""
        start = max(0, done - self.CATCH_UP)
        if done:
            first, last = (_epoch(snapshot, index) for index in (start, done - 1))
            self._output.note(f"so far: epoch {first}" if first == last else f"so far: epochs {first} to {last}")
        return start

    def say(self, text: str) -> None:
        self._output.note(text)


def pause_line(run_id: str, before: str, status: Status) -> str:
    """The line where a pause begins or ends, given the state `before`; else nothing."""
    if status.state == before or not status.live:
        return ""
    if status.state == "paused":
        return f"paused at step {status.step}; `tuiae resume {run_id}` continues it"
    return "running again" if before == "paused" else ""


def epoch_line(snapshot: Snapshot, index: int) -> str:
    """One epoch in one line: `epoch 3/10  train loss 0.0312 acc 94.10%  test loss ...  12,345 images/s  1.20s`."""
    parts = [f"epoch {of_epochs(_epoch(snapshot, index), snapshot.status.epochs)}"]
    for split in ("train", "test"):
        loss, accuracy = (_at(snapshot, split, name, index) for name in ("loss", "accuracy"))
        parts.append(f"{split} loss {number(loss)} acc {figure('accuracy', accuracy)}")
    rate, seconds = (_at(snapshot, "speed", name, index) for name in ("images_per_second", "epoch_seconds"))
    parts.append("" if rate is None else f"{count(round(rate))} images/s")
    parts.append("" if seconds is None else f"{seconds:.2f}s")
    return "  ".join(part for part in parts if part)


def _epoch(snapshot: Snapshot, index: int) -> int:
    """The epoch of the evaluation at `index`: not every epoch is evaluated."""
    series = snapshot.series.get(("test", "loss"))
    return int(series.epochs[index]) if series is not None and index < len(series.epochs) else index + 1


def _at(snapshot: Snapshot, split: str, name: str, index: int) -> float | None:
    series = snapshot.series.get((split, name))
    return float(series.values[index]) if series is not None and index < len(series.values) else None


def check_ending(
    run: RunPaths, snapshot: Snapshot, process: subprocess.Popen[bytes] | None = None, *, fresh: bool = False
) -> None:
    """Raise TuiaeError for a run that did not end with a checkpoint saved."""
    state = snapshot.status.state
    if is_gone(run):
        raise TrainingError(f"{run.id} is gone: its directory was deleted or moved", "`tuiae run` starts another one")
    if state == "failed":
        if fresh:
            discard_untrained(run)
        raise from_record(snapshot.status.error or {}, hint=f"see {run.log}")
    if state == "unknown" and process is None:
        hint = f"see {run.status}; `tuiae resume {run.id}` continues from its newest checkpoint"
        raise UnknownRunError(f"the status of {run.id} cannot be read", hint)
    if state not in ("finished", "stopped"):
        code = None if process is None else _exit_code(process)
        if code == ExitCode.HELD:
            raise held_by_another(run)
        how = f"the worker died (signal {-code})" if code is not None and code < 0 else "the worker died"
        raise TrainingError(f"{run.id}: {how}", f"see {run.log}, and continue with `tuiae resume {run.id}`")


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a worker whose run has ended; None where its last threads do not leave."""
    try:
        return process.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def held_by_another(run: RunPaths) -> RunHeldError:
    """The error for a run that another process writes."""
    return RunHeldError(f"{run.id} is held by another process", f"`tuiae attach {run.id}` watches it")


# Many trainings.


@contextmanager
def study_progress(output: Output) -> Iterator[Callable[[StudyProgress], None]]:
    """Show many trainings: what `run_jobs` calls with each StudyProgress, for as long as the block lasts."""
    if not output.redraws:

        def tell(study: StudyProgress) -> None:
            for news in study.news:
                output.note(news_line(news, study))

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[figures]}"))
    with Progress(*columns, console=output.progress, transient=True) as bars:
        yield StudyBars(bars).show


def news_line(news: News, study: StudyProgress) -> str:
    """`3/9  finished  latent=16 seed=0  test loss 0.0123  accuracy 94.1%  0:12  20261120-…`."""
    words = [f"{news.settled}/{study.total}", news.what, clean(news.label)]
    if news.what == "finished" and news.run is not None:
        snapshot = RunReader(news.run.root).read_all()
        loss, accuracy = (snapshot.latest("test", metric) for metric in ("loss", "accuracy"))
        words += [f"test loss {number(loss)}", f"accuracy {figure('accuracy', accuracy)}"]
        words.append(duration(snapshot.status.elapsed))
    words += [news.run.id] if news.run is not None else []
    words += [clean(news.text)] if news.text else []
    return "  ".join(words)


class StudyBars:
    """A bar for the study and one for each run under way; news scroll by above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = progress.add_task("runs", total=None, figures="")
        self._tasks: dict[str, TaskID] = {}

    def show(self, study: StudyProgress) -> None:
        for news in study.news:
            self._progress.console.print(Text(news_line(news, study)), soft_wrap=True)
        running = dict(study.running)
        for label in [label for label in self._tasks if label not in running]:
            self._progress.remove_task(self._tasks.pop(label))
        for label, snapshot in running.items():
            self._show_run(label, snapshot)
        done = study.done + study.failed
        shares = sum(snapshot.status.share or 0.0 for snapshot in running.values())
        failed = f", {study.failed} failed" if study.failed else ""
        figures = f"{done}/{study.total}{failed}"
        self._progress.update(self._total, total=study.total, completed=done + shares, figures=figures)

    def _show_run(self, label: str, snapshot: Snapshot) -> None:
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(Text(clean(label)).markup, total=1.0, figures="")
        status = snapshot.status
        figures = clean(status.phase or status.state)
        if status.share is not None:
            loss = snapshot.latest("live", "loss")
            figures = f"epoch {of_epochs(status.epoch, status.epochs)}  loss {number(loss)}"
        self._progress.update(self._tasks[label], completed=status.share or 0.0, figures=figures)
