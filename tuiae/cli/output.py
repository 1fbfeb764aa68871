"""Output: results on stdout, progress on stderr, JSON alone on stdout; the progress and the end of trainings."""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import IO, Any, TextIO, cast

from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from tuiae.cli.main import is_terminal
from tuiae.config import DataSection
from tuiae.data.dataset import DOWNLOADING, OnProgress
from tuiae.files import jsonable
from tuiae.images import ImageRecord, caution, differences, measured_kind, test_words
from tuiae.render.curves import Curve, Look, prepare, tellable
from tuiae.render.legend import log_note
from tuiae.render.pixels import Sheet
from tuiae.render.status import silence_words
from tuiae.render.table import GAP
from tuiae.render.text import clean, duration, figure, fitted, harmless, in_mode, number, of_epochs, rate, to_ascii
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Snapshot
from tuiae.studies.jobs import News, StudyProgress

PLAIN_WIDTH = 500  # columns: a line for a pipe is never wrapped
CATCH_UP = 20  # epochs at most that are listed of a run that is followed from its middle


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
    look: Look = field(default_factory=Look)
    """The axes of curves over a training."""

    @cached_property
    def _told(self) -> set[str]:
        """The warnings that were printed."""
        return set()

    @cached_property
    def people(self) -> Console:
        """The stream for results for people: stdout, or stderr when stdout belongs to JSON."""
        return self._console(sys.stderr if self.json else sys.stdout)

    @cached_property
    def progress(self) -> Console:
        """The stream for progress: stderr. What is printed there stands above the bars that are shown."""
        return self._console(sys.stderr)

    @property
    def redraws(self) -> bool:
        """Whether progress may redraw itself."""
        return not self.plain and is_terminal(sys.stderr)

    @property
    def shows_pictures(self) -> bool:
        """Whether pictures and plots are printed: on a terminal, not into a pipe or a file."""
        return not (self.plain or self.json) and is_terminal(sys.stdout)

    @property
    def shows_plots(self) -> bool:
        """Whether results end in plots: on a terminal, elsewhere on request, and never beside JSON."""
        return self.shows_pictures or (self.plot and not self.json)

    @property
    def plot_ascii(self) -> bool:
        """Whether plots are drawn in ASCII, as they are wherever they may go into a file or a mail."""
        return self.ascii or not self.shows_pictures

    @property
    def colourless(self) -> bool:
        return self.people.no_color or self.people.color_system is None

    @property
    def plot_width(self) -> int:
        """Columns for a plot: those of the terminal, 80 where there is none."""
        return min(self.people.width, shutil.get_terminal_size((80, 24)).columns)

    def draw(self, plot: Text) -> None:
        """Print a plot, in the characters that this output may have."""
        self.line(in_mode(plot, "ascii" if self.plot_ascii else ""))

    def look_at(self, curves: Sequence[Curve]) -> Look:
        """How to plot curves of trainings: as was asked; or over epochs, with a note, where no run tells more."""
        look = tellable(curves, self.look)
        if look != self.look:
            self.warn([f"{self.look.unit}s are not in the history: the x axis counts epochs"])
        return look

    def note_logarithms(self, curves: Sequence[Curve], look: Look) -> None:
        """Print below a plot which of its axes are logarithmic, and what they leave out."""
        if note := log_note([prepare(curve, look) for curve in curves], look):
            self.line(note, "dim")

    @property
    def picture_mode(self) -> str:
        """How pictures are drawn: half blocks are two colours, and without colours all would look the same."""
        few = self.colourless or self.people.color_system == "standard"
        return "ascii" if self.ascii or few else "blocks"

    def document(self, value: Any) -> None:
        """Print the one JSON document of the command; what is not finite is null."""
        sys.stdout.write(escape_controls(json.dumps(jsonable(value), indent=1, ensure_ascii=self.ascii)) + "\n")
        sys.stdout.flush()

    def line(self, text: str | Text = "", style: str = "") -> None:
        """Print one result; what the text holds is never read as markup, nor by the terminal."""
        self.people.print(Text(harmless(text), style) if isinstance(text, str) else text, soft_wrap=True)

    def note(self, text: str, style: str = "") -> None:
        """Print one line of progress."""
        self.progress.print(Text(harmless(text), style), soft_wrap=True)

    def warn(self, warnings: Iterable[str]) -> None:
        """Print each warning among the progress, and none twice: a run's record repeats what was said of its images."""
        for warning in warnings:
            if (words := clean(warning)) not in self._told:
                self._told.add(words)
                self.note(f"note: {warning}", "yellow")

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[str]], right: Container[str] = ()) -> None:
        """Print aligned columns without a frame, for `grep` and `awk` too; those of `right` hold numbers."""
        heads, cells = list(columns), [[harmless(cell) for cell in row] for row in rows]
        numbers = [head in right for head in heads]
        widths = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
        if sum(widths) + GAP * (len(widths) - 1) <= self.people.width and not any(
            "\n" in cell for row in cells for cell in row
        ):
            # Rich's table would take longer than all the rest of `tuiae runs`.
            head, *lines = ((" " * GAP).join(map(fitted, row, widths, numbers)) for row in (heads, *cells))
            self.people.print(Text.assemble((head, "bold"), *(f"\n{line}" for line in lines)), soft_wrap=True)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for head, is_number in zip(heads, numbers, strict=True):
            table.add_column(head, justify="right" if is_number else "left")
        for row in cells:
            table.add_row(*map(Text, row))
        self.people.print(table)

    def _console(self, stream: TextIO) -> Console:
        file = cast("IO[str]", AsciiStream(stream)) if self.ascii else stream
        if self.plain or not is_terminal(stream):
            return Console(file=file, width=PLAIN_WIDTH, color_system=None, highlight=False, force_terminal=False)
        if self.colors == "none":
            return Console(file=file, highlight=False, no_color=True)
        system: Any = "standard" if self.colors == "16" else self.colors
        # NO_COLOR counts where nothing was asked for.
        no_color = None if self.colors == "auto" else False
        return Console(file=file, highlight=False, color_system=system, no_color=no_color)


_BEYOND_ASCII = re.compile("[^\x00-\x7e]")


def escape_controls(document: str) -> str:
    """A JSON document in which what a terminal would obey, or reorder a line by, is escaped as JSON has it."""

    def escape(found: re.Match[str]) -> str:
        char = found[0]
        return json.dumps(char)[1:-1] if unicodedata.category(char)[0] == "C" else char

    return _BEYOND_ASCII.sub(escape, document)


class AsciiStream:
    """A stream to which nothing above 127 is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(to_ascii(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True)
class Part:
    """One part of what a command finds out about a checkpoint."""

    record: Callable[[], Mapping[str, Any]]
    """Returns its fields of the JSON document."""
    show: Callable[[Output], None]
    """Prints it for people."""
    sheet: Sheet | None = None
    """Its pictures, to be saved as one."""


def images_part(now: ImageRecord, trained_on: ImageRecord | None, data: DataSection) -> Part:
    """Which images a checkpoint is shown with, what is called test of them, and in what they differ from those that its
    run trained on."""
    words, kind = caution(trained_on, now), measured_kind(data.validation)
    record = {
        **asdict(now),
        "measured": kind,
        "same": None if trained_on is None else not words,
        "differences": list(differences(trained_on, now)) if trained_on is not None else [],
    }

    def show(output: Output) -> None:
        output.line(f"images: {now.dataset}, {now.used(data)}", "dim")
        if kind != "test":
            output.line(test_words(kind), "dim")
        if words:
            output.line(words, "yellow")

    return Part(lambda: {"images": record}, show)


def show_parts(about: Mapping[str, Any], parts: Sequence[Part], output: Output) -> None:
    """Show the parts below the `run` and the `weights` that they are about, or print all as one document."""
    if output.json:
        document = dict(about)
        for part in parts:
            document |= part.record()
        output.document(document)
        return
    output.line(f"{about['run']}  {about['weights']}, dropout off", "bold")
    for place, part in enumerate(parts):
        if place:
            output.line()
        part.show(output)


# Progress: bars on a terminal, where they can be redrawn; elsewhere lines, appended as something happens.


@contextmanager
def dataset_progress(output: Output) -> Iterator[OnProgress]:
    """Show downloads and decoding; elsewhere than on a terminal, a line for each phase."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[amount]}"))
    with Progress(*columns, console=output.progress, transient=True, disable=not output.redraws) as bars:
        tasks: dict[str, TaskID] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, amount="")
                if bars.disable:
                    output.note(phase)
            bars.update(tasks[phase], completed=done, total=total or None, amount=amount(phase, done, total))

        yield show


def amount(phase: str, done: int, total: int) -> str:
    """`3.1 MB of 9.9 MB` in a download, `10,000 of 70,000 images` in a preparation; empty without a known end."""
    if not total:
        return ""
    return f"{decimal(done)} of {decimal(total)}" if phase.startswith(DOWNLOADING) else f"{done:,} of {total:,} images"


# One training


@contextmanager
def run_progress(output: Output) -> Iterator[Callable[[Snapshot], None]]:
    """Show one training, for as long as the block lasts: a bar over the whole run with the last epoch's figures;
    elsewhere than on a terminal, lines."""
    lines, columns = RunLines(), (BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.fields[figures]}"))
    description = TextColumn("{task.description}", style="bold")
    with Progress(SpinnerColumn(), description, *columns, console=output.progress, disable=not output.redraws) as bar:
        task = bar.add_task("starting", total=None, figures="")
        places: set[str] = set()

        def show(snapshot: Snapshot) -> None:
            status = snapshot.status
            begun = status.live and status.phase == TRAINING
            if begun and not bar.disable and status.device not in {"", *places}:
                places.add(status.device)
                output.note(f"{TRAINING} on {status.device}")
            if bar.disable:
                for line in lines.new(snapshot):
                    output.note(line)
            elif status.share is None:
                bar.update(task, description=status.phase or status.state, total=None, figures="")
            else:
                epoch = min(status.epoch + 1, status.epochs) if status.live else status.epoch
                trouble = status.trouble if status.live else ""
                place = f"{status.state}  epoch {epoch}/{status.epochs}"
                words = "  ".join(filter(None, (place, silence_words(status), trouble)))
                bar.update(task, description=words, total=1.0, completed=status.share, figures=_figures(snapshot))

        yield show


def _figures(snapshot: Snapshot) -> str:
    status = snapshot.status
    train, test = snapshot.latest("live" if status.live else "train", "loss"), snapshot.latest("test", "loss")
    time = f"ETA {duration(status.eta)}" if status.live else duration(status.elapsed)
    return f"train {number(train)}  test {number(test)}  {rate(status.images_per_second)}  {time}"


TRAINING = "training"  # the last phase, from which on the device is known, and the precision where that is not float32


class RunLines:
    """A line for each phase, each pause and each epoch of one training."""

    def __init__(self) -> None:
        self._shown: int | None = None
        self._phase = self._trouble = ""
        self._state = ""
        self._silent = 0

    def new(self, snapshot: Snapshot) -> Iterator[str]:
        """The lines about what has happened since the last snapshot."""
        status, losses = snapshot.status, snapshot.series.get(("test", "loss"))
        phase = status.phase.rstrip("0123456789% ")
        if phase and phase != self._phase and status.live:
            self._phase = phase
            yield f"{phase} on {status.device}" if phase == TRAINING and status.device else phase
        trouble, self._trouble = self._trouble, status.trouble if status.live else ""
        if self._trouble and self._trouble != trouble:
            yield self._trouble
        silent, self._silent = self._silent, status.silent
        if self._silent and not silent:
            yield f"{silence_words(status)}; `tuiae stop --kill {snapshot.id}` ends its worker"
        before, self._state = self._state, status.state
        changed = status.live and status.state != before
        if changed and before == "paused":
            yield "running again"
        epochs = losses.epochs.astype(int).tolist() if losses else []
        if self._shown is None:
            self._shown = max(0, len(epochs) - CATCH_UP)
            if epochs:
                first, last = epochs[self._shown], epochs[-1]
                yield f"so far: epoch {first}" if first == last else f"so far: epochs {first} to {last}"
        for index in range(self._shown, len(epochs)):
            yield _epoch_line(snapshot, epochs[index], index)
        self._shown = len(epochs)
        if changed and status.state == "paused":
            yield f"paused at step {status.step}; `tuiae resume {snapshot.id}` continues it"


def _epoch_line(snapshot: Snapshot, epoch: int, index: int) -> str:
    """One evaluation in one line: `epoch 3/10  train loss 0.0312 acc 94.10%  test loss ...  12,345 images/s  1.20s`."""

    def value(split: str, metric: str) -> float | None:
        series = snapshot.series.get((split, metric))
        return float(series.values[index]) if series is not None and index < len(series.values) else None

    parts = [f"epoch {of_epochs(epoch, snapshot.status.epochs)}"]
    for split in ("train", "test"):
        parts.append(f"{split} loss {number(value(split, 'loss'))} acc {figure('accuracy', value(split, 'accuracy'))}")
    images, seconds = rate(value("speed", "images_per_second")), value("speed", "epoch_seconds")
    parts += [images] if images else []
    parts += [] if seconds is None else [f"{seconds:.2f}s"]
    return "  ".join(parts)


# Many trainings


@contextmanager
def study_progress(output: Output) -> Iterator[Callable[[StudyProgress], None]]:
    """Show many trainings: what `run_jobs` calls with each StudyProgress, for as long as the block lasts.

    A bar for the study and one for each run under way; news scroll by above them, and stand alone without a terminal.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[figures]}"))
    with Progress(*columns, console=output.progress, transient=True, disable=not output.redraws) as bars:
        whole = bars.add_task("runs", total=None, figures="")
        tasks: dict[str, TaskID] = {}

        def show(study: StudyProgress) -> None:
            for news in study.news:
                output.note(news_line(news, study))
            running = dict(study.running)
            for label in tasks.keys() - running.keys():
                bars.remove_task(tasks.pop(label))
            for label, snapshot in running.items():
                if label not in tasks:
                    tasks[label] = bars.add_task(Text(clean(label)).markup, total=1.0, figures="")
                status = snapshot.status
                figures = clean(status.phase or status.state)
                if status.share is not None:
                    loss = number(snapshot.latest("live", "loss"))
                    place = f"epoch {of_epochs(status.epoch, status.epochs)}"
                    figures = "  ".join(filter(None, (place, f"loss {loss}", silence_words(status))))
                bars.update(tasks[label], completed=status.share or 0.0, figures=figures)
            done = study.done + study.failed
            shares = sum(snapshot.status.share or 0.0 for snapshot in running.values())
            failed = f", {study.failed} failed" if study.failed else ""
            bars.update(whole, total=study.total, completed=done + shares, figures=f"{done}/{study.total}{failed}")

        yield show


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
