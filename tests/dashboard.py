"""The dashboard at a desk: keys, mouse, what the screen says, and runs for it to show."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from tuiae.config import RunConfig, build_config
from tuiae.explore.client import Explorer
from tuiae.files import read_json, replace_json
from tuiae.runs.lineage import need_config
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import RunWriter, create_run
from tuiae.ui.app import TuiaeApp
from tuiae.ui.session import ExplorerTold
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.widgets.chrome import KeyLine
from tuiae.ui.widgets.fields import Choice
from tuiae.ui.widgets.tables import LineTable, RunTable

PATIENCE = 60.0  # seconds until a condition counts as never met; the machine may be busy
SIZES = [(80, 24), (120, 40), (200, 60)]
NOON = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))  # local time, as the log shows it

# What a file, a log or a label can hold: markup, escapes that clear the screen or set the title, controls.
HOSTILE = "[/x] [bold]a[/] [@click=app.quit]b \x1b[2J\x1b[31m\x1b]0;owned\x07 \x00\x08\x9b5A \u202efdp"


class SharedExplorer(Explorer):
    """One process that answers the dashboards of many tests, one after the other: importing torch takes seconds."""

    def __init__(self) -> None:
        super().__init__(lambda told: None)

    def answer(self, app: TuiaeApp) -> None:
        """Answer this dashboard from now on."""
        self._tell = lambda told: app.post_message(ExplorerTold(told))
        app.session.explorer = self

    @contextmanager
    def held(self) -> Iterator[None]:
        """Tell nothing meanwhile, and all of it then."""
        heard: list[Any] = []
        tell, self._tell = self._tell, heard.append
        yield
        self._tell = tell
        for told in heard:
            tell(told)

    def close(self) -> None:
        """Let no answer to one dashboard reach the next; the process goes on."""
        with self._changed:
            self._waiting.clear()
        end = time.monotonic() + PATIENCE
        while self.busy and time.monotonic() < end:
            time.sleep(0.01)
        self._tell = lambda told: None

    def end(self) -> None:
        """End the process."""
        super().close()


class Desk:
    """A running dashboard and the hands of who sits in front of it."""

    def __init__(self, app: TuiaeApp, pilot: Pilot[Any]) -> None:
        self.app, self.pilot = app, pilot

    async def until(self, condition: Callable[[], Any], deadline: float = PATIENCE) -> Any:
        """Wait until `condition` gives something true, and return that; the screen goes on meanwhile."""
        end = time.monotonic() + deadline
        while not (found := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"not within {deadline:.0f} s; the screen shows\n{self.screen}")
            await self.pilot.pause(0.02)
        return found

    async def shows(self, *words: str) -> str:
        """Wait until all of these words are on the screen at once; returns the screen."""
        await self.until(lambda: all(word in self.screen for word in words))
        return self.screen

    async def each_size(self) -> AsyncIterator[tuple[int, int]]:
        """The terminal at each of SIZES in turn. To open a dashboard three times takes longer."""
        for size in SIZES:
            await self.pilot.resize_terminal(*size)
            await self.pilot.pause()
            yield size

    async def dialog_shows(self, *words: str) -> None:
        """Wait, at each of SIZES, until the dialog that is open is whole and has these words."""
        (dialog,) = self.app.screen.query(".dialog").results()
        async for _ in self.each_size():
            await self.until(lambda: self.app.screen.region.contains_region(dialog.region))
            await self.until(lambda: all(word in self.words(dialog) for word in words))

    @property
    def screen(self) -> str:
        """What is painted, without colours."""
        return screen_text(self.app)

    def painted(self, widget: Widget) -> str:
        """What is painted where a widget stands, without its frame and without colours."""
        place = widget.content_region
        strips = self.app.screen._compositor.render_strips()[place.y : place.bottom]
        return "\n".join(strip.crop(place.x, place.right).text.rstrip() for strip in strips)

    def words(self, widget: Widget) -> str:
        """The same on one line, with one blank between words."""
        return " ".join(self.painted(widget).split())

    @property
    def keys(self) -> str:
        """The line of keys of the screen."""
        return str(self.app.screen_stack[0].query_one(KeyLine).render())

    @property
    def message(self) -> str:
        """The line above the keys."""
        return str(self.app.live.query_one("#message", Static).content)

    @property
    def title(self) -> str:
        return str(self.app.live.query_one("#title", Static).content)

    @property
    def state(self) -> str:
        """The state of the open run."""
        return self.app.session.snapshot.status.state if self.app.session.snapshot else ""

    def panel(self, name: str) -> str:
        """What one panel shows, hidden or not."""
        return str(self.app.live.query_one(f"#{name}").render())

    def field(self, name: str) -> str:
        """What a field of the form says."""
        widget = self.app.live.query_one(f"#{name}")
        return str(widget.value) if isinstance(widget, (Choice, Input)) else ""

    def button(self, name: str) -> Button:
        return self.app.live.query_one(f"#{name}", Button)

    @property
    def offered(self) -> list[str]:
        """The buttons of the open run that show."""
        return [str(button.id) for button in self.app.live.left.buttons.query(Button) if button.region.area]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def click(self, selector: str, **where: Any) -> None:
        await self.pilot.pause()  # buttons beside it may have come or gone
        reached = await self.pilot.click(selector, **where) or await self.pilot.click(selector, **where)
        assert reached, f"{selector} is not where a mouse could reach it"
        await self.pilot.pause()

    async def focus(self, name: str) -> None:
        self.app.screen.query_one(f"#{name}").focus()
        await self.pilot.pause()

    async def type(self, name: str, text: str) -> None:
        """Empty a number field and type."""
        await self.focus(name)
        await self.press("end", "ctrl+u", *({"-": "minus", ".": "full_stop"}.get(key, key) for key in text))

    async def choose(self, name: str, words: str) -> None:
        """Open a list, type the beginning of an entry, take it."""
        await self.focus(name)
        await self.press("enter")
        await self.press(*("space" if key == " " else key for key in words), "enter")

    async def kill_explorer(self) -> None:
        """End the explorer, and the one that takes its place: a third is not started."""
        explorer = self.app.session.explorer
        first = explorer.pid
        os.kill(first, signal.SIGKILL)
        await self.until(lambda: explorer.pid not in (0, first) and not explorer.busy)
        os.kill(explorer.pid, signal.SIGKILL)
        await self.until(lambda: not explorer.pid)

    async def ready(self) -> None:
        """Wait until the form was checked and may start."""
        await self.until(lambda: not self.button("start").disabled and self.app.live.form.checked is not None)

    async def running(self) -> RunPaths:
        """Wait until the open run trains; returns it."""
        await self.until(lambda: self.state == "running")
        assert self.app.session.snapshot is not None
        return RunPaths(self.app.session.snapshot.path)

    @property
    def table(self) -> RunTable:
        """The list of runs."""
        return self.app.screen.query_one(RunTable)

    def lines(self) -> list[str]:
        """The runs of the list as they show, from the first to the last."""
        return [row_text(self.table, row) for row in range(len(self.table.keys))]


def row_text(table: LineTable, row: int) -> str:
    """A row of a table as it shows, without colours; -1 for its header."""
    width = table.scrollable_content_region.width
    return (table._header(width) if row < 0 else table._line(row, width)).plain.rstrip()


def screen_text(app: App[Any]) -> str:
    """What is painted, line by line, without colours."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


@asynccontextmanager
async def open_desk(
    run: RunPaths | None = None,
    size: tuple[int, int] = (120, 40),
    warm: bool = False,
    root: Path | None = None,
    mode: TerminalMode | None = None,
    explorer: SharedExplorer | None = None,
) -> AsyncIterator[Desk]:
    """The whole app, as `tuiae` or `tuiae attach RUN` opens it; a worker is only kept warm where the test trains."""
    app = TuiaeApp(run.root if run else None, root=root, mode=mode)
    if explorer is not None:
        explorer.answer(app)
    if not warm:
        keep_cold(app)
    try:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            yield Desk(app, pilot)
    finally:
        app.session.close()


def keep_cold(app: TuiaeApp) -> None:
    """No standby worker, which imports torch on the cores that the tests share."""
    app.session.launcher._keep_warm = lambda: None  # type: ignore[method-assign]


# Runs that a writer in this process writes; to a reader they are live while this process is.

AUTOENCODER = {
    "name": "denoise",
    "data": {"dataset": "glyphs"},
    "noise": {"kind": "gaussian", "level": 0.3},
    "model": {"family": "dense", "hidden": [32], "latent": 8},
    "training": {"epochs": 6, "batch_size": 8, "device": "cpu"},
}
CLASSIFIER = {**AUTOENCODER, "name": "letters", "model": {"family": "classifier", "encoder": "dense", "latent": 8}}


def new_run(root: Path, document: dict[str, Any] | None = None, name: str = "") -> RunPaths:
    """An empty run in state `starting`; `name` instead of an id with the time in it."""
    run = create_run(build_config(document or AUTOENCODER), root, ["tuiae"])
    return RunPaths(run.root.rename(root / name)) if name else run


class Script:
    """Writes a run epoch by epoch, with numbers that are the same every time."""

    def __init__(self, run: RunPaths, config: RunConfig) -> None:
        self.run, self.config = run, config
        self.writer = RunWriter(run)
        self.epochs = config.training.epochs

    def begin(self) -> None:
        self.writer.event("start", step=0, epoch=0, text="training from the first step")
        self._status(0)
        self.sample(0)

    def epoch(self, epoch: int) -> None:
        loss = 0.2 / epoch
        for split, factor in (("train", 1.0), ("test", 1.2)):
            values = {"loss": loss * factor, "accuracy": 1 - loss * factor}
            self.writer.event("metric", split=split, step=4 * epoch, epoch=epoch, values=values)
        self.writer.status(test_loss=loss * 1.2, test_accuracy=1 - loss * 1.2)
        with open(self.run.log, "a", encoding="utf-8") as log:
            log.write(f"epoch {epoch}/{self.epochs} · train {loss:.5g}\n")
        self.sample(epoch)
        self._status(epoch)

    def _status(self, epoch: int) -> None:
        known = {"images_per_second": 12345.0, "eta": 3.0 * (self.epochs - epoch), "memory": 321.0}
        place = {"epoch": epoch, "epochs": self.epochs, "step": 4 * epoch, "steps_per_epoch": 4}
        self.writer.status(
            now=True, state="running", phase="training", device="cpu", elapsed=2.0 * epoch, **place, **known
        )

    def sample(self, epoch: int) -> None:
        """Bars that move with the epoch; as a classifier, counts that gather on the diagonal."""
        labels = np.arange(8) % 4
        clean = np.zeros((8, 1, 7, 5), np.uint8)
        for index in range(8):
            clean[index, 0, :, index % 5] = 255
            clean[index, 0, index % 7, :] = 255
        arrays = {"inputs": clean, "labels": labels, "classes": np.array(list("abcd"))}
        if self.config.is_classifier:
            off = 10 - min(epoch, 6)
            arrays["confusion"] = np.full((4, 4), off, np.int64) + np.diag([100 - off, 90, 80, 70])
            arrays["predictions"] = np.where(np.arange(8) == 3, 0, labels)
        else:
            arrays["noisy"] = np.clip(clean.astype(int) + 40 * (np.indices(clean.shape).sum(0) % 3), 0, 255).astype(
                np.uint8
            )
            arrays["reconstructions"] = (clean * min(1.0, epoch / 6)).astype(np.uint8)
        self.writer.sample(epoch, **arrays)

    def play(self, epochs: int) -> None:
        """From the start to the end of so many epochs."""
        self.begin()
        for epoch in range(1, epochs + 1):
            self.epoch(epoch)


def script(root: Path, document: dict[str, Any] | None = None, name: str = "") -> Script:
    document = document or AUTOENCODER
    return Script(new_run(root, document, name), build_config(document))


@contextmanager
def saving_again(root: Path, source: RunPaths) -> Iterator[tuple[RunPaths, Callable[[int], Path]]]:
    """A run that trains and saves the checkpoints of a trained one: the first at once, others by their place there.
    They come within an epoch, as on request."""
    played, folders = script(root, need_config(source).model_dump(mode="json")), sorted(source.weights.glob("step-*"))

    def save(index: int) -> Path:
        saved = Path(shutil.copytree(folders[index], played.run.weights / folders[index].name))
        played.writer.event("checkpoint", step=int(saved.name.removeprefix("step-")), epoch=0)
        return saved

    played.writer.event("start", step=0, epoch=0, text="training from the first step")
    played.writer.status(now=True, state="running", epochs=played.epochs)
    save(0)
    yield played.run, save
    played.writer.close("stopped")


def fixed(run: RunPaths) -> RunPaths:
    """Take from a run that was written just now what would be different tomorrow or elsewhere."""
    records = [json.loads(line) for line in run.events.read_text().splitlines()]
    stamped = [{**record, "time": NOON + record["seq"]} for record in records]
    run.events.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in stamped))
    replace_json(run.meta, {**read_json(run.meta), "host": "gpu-7"})
    return run
