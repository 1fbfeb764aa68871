"""How a run stands, in words: one screenful for a phone or a screen reader, without bars, frames or colours."""

from __future__ import annotations

import math
import textwrap
import time
from typing import Any

from tuiae.cli.output import Output
from tuiae.render.text import clean, count, figure, number, shorten
from tuiae.runs.diagnosis import Finding, diagnose
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import Interrupt
from tuiae.runs.reader import NO_CONFIG, RunReader, read_sample
from tuiae.runs.snapshot import Snapshot

COLUMNS, ROWS = 80, 24
LOG_LINES = 5
POLL_SECONDS = 0.25
NOT_YET = "not known yet"
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def show_status(run: RunPaths, output: Output, *, once: bool) -> None:
    """Print how the run stands; unless `once`, again after each of its epochs until it ends or one interrupts."""
    reader, interrupt = RunReader(run.root), Interrupt()
    snapshot = reader.read_all()
    if output.json:
        output.document(status_record(snapshot))
        return
    tell(snapshot, output)
    with interrupt.listening():
        while snapshot.status.live and not once and not interrupt.count:
            time.sleep(POLL_SECONDS)
            before, snapshot = snapshot, reader.poll()
            if _epochs_done(snapshot) != _epochs_done(before) or not snapshot.status.live:
                output.line()
                tell(snapshot, output)


def tell(snapshot: Snapshot, output: Output) -> None:
    """One screenful."""
    for line in status_lines(snapshot):
        output.line(line)


def status_record(snapshot: Snapshot) -> dict[str, Any]:
    """The same as one JSON object: what `show --json` says, without the history, and where the run stands."""
    status = snapshot.status
    record = {key: value for key, value in summarise(snapshot).items() if key not in ("history", "epoch_seconds")}
    return {
        **record,
        "phase": status.phase,
        "epochs_planned": status.epochs,
        "elapsed_seconds": status.elapsed,
        "seconds_left": status.eta if status.live else None,
        "best": _best_record(snapshot),
        "live_loss": snapshot.latest("live", "loss"),
        "findings": [
            {"kind": found.kind, "sentence": found.sentence, "advice": found.advice} for found in findings(snapshot)
        ],
        "log": [clean(line) for line in snapshot.log[-LOG_LINES:]],
    }


def status_lines(snapshot: Snapshot, width: int = COLUMNS, height: int = ROWS) -> list[str]:
    """At most `height` lines of at most `width` cells; the log takes what the rest leaves."""
    facts = [
        ("run", clean(snapshot.id)),
        ("state", _state(snapshot)),
        ("what", _what(snapshot)),
        ("progress", _progress(snapshot)),
        ("time", _time(snapshot)),
        ("losses", _pair(snapshot, "loss")),
        ("best", _best(snapshot)),
        ("accuracy", _pair(snapshot, "accuracy")),
        ("error", _error(snapshot)),
        ("next", way_on(snapshot)),
        *(("finding", f"{finding}") for finding in findings(snapshot)),
    ]
    lines = [line for name, words in facts if words for line in _wrapped(name, words, width)]
    logged = [f"log: {shorten(clean(line), width - 5)}" for line in snapshot.log if clean(line)]
    room = min(LOG_LINES, max(height - len(lines), 0))
    return (lines + logged[len(logged) - min(room, len(logged)) :])[:height]


def findings(snapshot: Snapshot) -> tuple[Finding, ...]:
    """What is to be said of the run, its newest pictures included."""
    newest = read_sample(RunPaths(snapshot.path), snapshot.samples[-1]) if snapshot.samples else None
    return diagnose(snapshot, newest)


def way_on(snapshot: Snapshot) -> str:
    """The command that goes on with a run that stands still."""
    command = f"`tuiae resume {clean(snapshot.id)}`"
    ways = {
        "lost": f"its worker is gone; {command} goes on from its newest checkpoint",
        "stopped": f"{command} goes on with it",
        "paused": f"{command} lets it go on",
    }
    return ways.get(snapshot.status.state, "")


def _wrapped(name: str, words: str, width: int) -> list[str]:
    # Not at hyphens: a command with a run's id is there to be copied.
    lines = textwrap.wrap(f"{name}: {words}", width, subsequent_indent="  ", break_on_hyphens=False)
    return [shorten(line, width) for line in lines]


def _state(snapshot: Snapshot) -> str:
    status = snapshot.status
    busy = status.live and status.phase and status.state not in ("paused", status.phase)
    phase = f", {clean(status.phase)}" if busy else ""
    return f"{status.state}{phase}{f', on {clean(status.device)}' if status.device else ''}"


def _what(snapshot: Snapshot) -> str:
    config = snapshot.current_config
    if config is None:
        return NO_CONFIG
    noise = "no noise" if config.noise.kind == "none" else f"{config.noise.kind} noise {config.noise.level:g}"
    return f"{config.model.family}, code of {config.model.latent}, on {clean(config.data.dataset)}, {noise}"


def _progress(snapshot: Snapshot) -> str:
    status = snapshot.status
    share = "" if status.share is None else f", {status.share:.0%} done"
    epochs = f"{status.epochs:,}" if status.epochs else "an unknown number"
    return f"epoch {status.epoch:,} of {epochs}, step {count(status.step)}{share}"


def _time(snapshot: Snapshot) -> str:
    status = snapshot.status
    if status.elapsed is None:
        return NOT_YET
    parts = [f"{spoken(status.elapsed)} so far" if status.live else f"{spoken(status.elapsed)} in all"]
    if status.live:
        parts.append(NOT_YET + " how long it takes" if status.eta is None else f"about {spoken(status.eta)} left")
    if status.images_per_second:
        parts.append(f"{count(round(status.images_per_second))} images a second")
    return ", ".join(parts)


def _pair(snapshot: Snapshot, metric: str) -> str:
    """`train 0.0123, test 0.0131`, before the first evaluation what it last saw; nothing of a metric it has not."""
    values = [(split, snapshot.latest(split, metric)) for split in ("train", "test")]
    known = [f"{split} {figure(metric, value)}" for split, value in values if value is not None]
    return ", ".join(known) or _within_epoch(snapshot, metric) or (NOT_YET if metric == "loss" else "")


def _within_epoch(snapshot: Snapshot, metric: str) -> str:
    """The newest live point and the epoch that it is of; empty without one."""
    live = snapshot.series.get(("live", metric))
    if live is None or live.last is None:
        return ""
    when = "now" if snapshot.status.live else "at last"
    return f"train {figure(metric, live.last)} {when}, within epoch {math.ceil(live.epochs[-1])}; test {NOT_YET}"


def _best_record(snapshot: Snapshot) -> dict[str, float] | None:
    best = snapshot.best("test", "loss")
    return {"test/loss": best.value, "epoch": best.epoch} if best else None


def _best(snapshot: Snapshot) -> str:
    best = snapshot.best("test", "loss")
    return f"test loss {number(best.value)} after epoch {best.epoch:g}" if best else ""


def _error(snapshot: Snapshot) -> str:
    error = snapshot.status.error
    if error is None:
        return ""
    return "; ".join(clean(error.get(key, "")) for key in ("cause", "hint") if error.get(key))


def _epochs_done(snapshot: Snapshot) -> int:
    series = snapshot.series.get(("test", "loss"))
    return 0 if series is None else len(series.values)


def spoken(seconds: float) -> str:
    """A time in words, by its two largest units: `1 hour 2 minutes`, `42 seconds`."""
    rest = max(round(seconds), 0)
    parts = []
    for name, size in _UNITS:
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {name}{'s' if amount > 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"
