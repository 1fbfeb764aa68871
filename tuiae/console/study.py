"""Many trainings under way, on a terminal: bars where they can be redrawn, appended lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from tuiae.console.output import Output
from tuiae.runs.reader import RunReader
from tuiae.runs.snapshot import Snapshot
from tuiae.studies.jobs import News
from tuiae.studies.jobs import Progress as Moment
from tuiae.ui.render.text import clean, duration, figure, number, of_epochs

Tell = Callable[[Moment], None]


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


def _tell_news(moment: Moment, output: Output) -> None:
    for news in moment.news:
        output.note(news_line(news, moment))


def news_line(news: News, moment: Moment) -> str:
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

    def __call__(self, moment: Moment) -> None:
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
