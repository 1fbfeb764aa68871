"""Where words go: people's to a terminal or to plain lines, JSON to stdout alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Literal, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from tuiae.files import jsonable
from tuiae.render.text import clean, duration, figure, harmless, number, of_epochs, to_ascii
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Snapshot
from tuiae.studies.jobs import News, StudyProgress

PLAIN_WIDTH = 500  # columns: a line for a pipe is never wrapped
COLOR_SYSTEMS: dict[str, Literal["auto", "truecolor", "256", "standard"]] = {
    "auto": "auto",
    "truecolor": "truecolor",
    "256": "256",
    "16": "standard",
}


@dataclass(frozen=True)
class Output:
    """How this command speaks."""

    json: bool = False
    plain: bool = False
    ascii: bool = False
    """Whether nothing above 127 is printed."""
    colors: str = "auto"
    """auto, truecolor, 256, 16 or none."""

    @property
    def people(self) -> Console:
        """Where results for people go: stdout, or stderr when stdout belongs to JSON."""
        return self._console(sys.stderr if self.json else sys.stdout)

    @property
    def progress(self) -> Console:
        """Where progress goes: stderr."""
        return self._console(sys.stderr)

    @property
    def lively(self) -> bool:
        """Whether progress may redraw itself."""
        return not self.plain and is_terminal(sys.stderr)

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
        """One line for people; what the text holds is never read as markup, nor by the terminal."""
        self.people.print(Text(harmless(text), style) if isinstance(text, str) else text, soft_wrap=True)

    def note(self, text: str, style: str = "") -> None:
        """One line about what goes on."""
        self.progress.print(Text(harmless(text), style), soft_wrap=True)

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[str]], right: Iterable[str] = ()) -> None:
        """Aligned columns without a frame, that `grep` and `awk` can read as well."""
        numbers = set(right)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, justify="right" if column in numbers else "left")
        for row in rows:
            table.add_row(*(Text(harmless(cell)) for cell in row))
        self.people.print(table)

    def _console(self, stream: TextIO) -> Console:
        lively = not self.plain and is_terminal(stream)
        file = cast("IO[str]", AsciiStream(stream)) if self.ascii else stream
        if not lively:
            return Console(file=file, width=PLAIN_WIDTH, color_system=None, highlight=False, force_terminal=False)
        if self.colors == "none":
            return Console(file=file, highlight=False, no_color=True)
        # NO_COLOR counts where nothing was asked for.
        heeded = None if self.colors == "auto" else False
        return Console(file=file, highlight=False, color_system=COLOR_SYSTEMS[self.colors], no_color=heeded)


class AsciiStream:
    """A stream that is written to without any character above 127."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(to_ascii(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def is_terminal(stream: TextIO) -> bool:
    """Whether escape codes may be sent there."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


# Many trainings under way, on a terminal: bars where they can be redrawn, appended lines elsewhere.

Tell = Callable[[StudyProgress], None]


@contextmanager
def watching(output: Output) -> Iterator[Tell]:
    """What `run_jobs` tells its moments to, for as long as the block lasts."""
    if not output.lively:
        yield lambda moment: _tell_news(moment, output)
        return
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[figures]}"),
        console=output.progress,
        transient=True,
    )
    with bars:
        yield Bars(bars)


def _tell_news(moment: StudyProgress, output: Output) -> None:
    for news in moment.news:
        output.note(news_line(news, moment))


def news_line(news: News, moment: StudyProgress) -> str:
    """`3/9  finished  latent=16 seed=0  test loss 0.0123  accuracy 94.1%  0:12  20261120-…`."""
    words = [f"{news.settled}/{moment.total}", news.what, clean(news.label)]
    if news.what == "finished" and news.run is not None:
        words.append(_result(RunReader(news.run.root).read_all()))
    words += [news.run.id] if news.run is not None else []
    words += [clean(news.text)] if news.text else []
    return "  ".join(words)


def _result(snapshot: Snapshot) -> str:
    loss, accuracy = (snapshot.latest("test", metric) for metric in ("loss", "accuracy"))
    return f"test loss {number(loss)}  accuracy {figure('accuracy', accuracy)}  {duration(snapshot.status.elapsed)}"


class Bars:
    """A bar for the study and one for each run under way; news scroll by above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = progress.add_task("runs", total=None, figures="")
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, moment: StudyProgress) -> None:
        for news in moment.news:
            self._progress.console.print(Text(news_line(news, moment)), soft_wrap=True)
        running = dict(moment.running)
        for label in [label for label in self._tasks if label not in running]:
            self._progress.remove_task(self._tasks.pop(label))
        shares = 0.0
        for label, snapshot in running.items():
            shares += self._show(label, snapshot)
        done = moment.done + moment.failed
        failed = f", {moment.failed} failed" if moment.failed else ""
        figures = f"{done}/{moment.total}{failed}"
        self._progress.update(self._total, total=moment.total, completed=done + shares, figures=figures)

    def _show(self, label: str, snapshot: Snapshot) -> float:
        """One run's bar; returns the share of it that is done."""
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(Text(clean(label)).markup, total=1.0, figures="")
        status = snapshot.status
        share = status.share
        loss = snapshot.latest("live", "loss")
        figures = (
            status.phase or status.state
            if share is None
            else f"epoch {of_epochs(status.epoch, status.epochs)}  loss {number(loss)}"
        )
        self._progress.update(self._tasks[label], completed=share or 0.0, figures=clean(figures))
        return share or 0.0
