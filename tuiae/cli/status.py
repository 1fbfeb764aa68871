"""`tuiae status`: how a run is doing in plain words, without bars, frames or colours."""

from __future__ import annotations

import math
import time
from typing import Any

from tuiae.cli.output import Output
from tuiae.cli.runs import findings, next_command, own_words, show_curves
from tuiae.files import as_number
from tuiae.machine import Interrupt
from tuiae.render.status import failure_words, refusal_words, silence_words
from tuiae.render.text import clean, count, figure, number, rate, shorten, wrap
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import NO_CONFIG, RunReader
from tuiae.runs.snapshot import Snapshot

COLUMNS, ROWS = 80, 24
LOG_LINES = 5
POLL_SECONDS = 0.25
NOT_YET = "not known yet"
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def show_status(run: RunPaths, output: Output, *, once: bool) -> None:
    """Print how the run is doing; unless `once`, again after each of its epochs until it ends or Ctrl-C."""
    reader, interrupt = RunReader(run.root), Interrupt()
    snapshot = reader.read_all()
    if output.json:
        output.document(status_record(snapshot))
        return
    for line in status_lines(snapshot):
        output.line(line)
    if once:
        show_curves(snapshot, output)
        return
    with interrupt.listening():
        while snapshot.status.live and not interrupt.count:
            time.sleep(POLL_SECONDS)
            before, snapshot = snapshot, reader.poll()
            if _evaluations(snapshot) != _evaluations(before) or not snapshot.status.live:
                for line in ("", *status_lines(snapshot)):
                    output.line(line)


def _evaluations(snapshot: Snapshot) -> int:
    series = snapshot.series.get(("test", "loss"))
    return 0 if series is None else len(series.values)


def status_record(snapshot: Snapshot) -> dict[str, Any]:
    """The status as JSON: what `show --json` says without the history, and how the run is doing."""
    status, best = snapshot.status, snapshot.best("test", "loss")
    record = {key: value for key, value in summarise(snapshot).items() if key not in ("history", "epoch_seconds")}
    return {
        **record,
        "phase": status.phase,
        "trouble": status.trouble if status.live else "",
        "epochs_planned": status.epochs,
        "elapsed_seconds": status.elapsed,
        "seconds_left": status.eta if status.live else None,
        "best": {"test/loss": best.value, "epoch": best.epoch} if best else None,
        "live_loss": as_number(snapshot.latest("live", "loss")),
        "findings": [
            {
                "kind": found.kind,
                "sentence": found.sentence,
                "advice": found.advice,
                "remedies": [{"changes": dict(one.changes), "begin": one.begin} for one in found.remedies],
            }
            for found in findings(snapshot)
        ],
        "log": [clean(line) for line in snapshot.log[-LOG_LINES:]],
    }


def status_lines(snapshot: Snapshot) -> list[str]:
    """At most ROWS lines of at most COLUMNS cells; the log takes what the rest leaves."""
    status, best = snapshot.status, snapshot.best("test", "loss")
    facts = [
        ("run", clean(snapshot.id)),
        ("state", _state(snapshot)),
        ("trouble", clean(status.trouble) if status.live else ""),
        ("what", _what(snapshot)),
        ("progress", _progress(snapshot)),
        ("time", _time(snapshot)),
        ("losses", _train_and_test(snapshot, "loss")),
        ("best", f"test loss {number(best.value)} after epoch {best.epoch:g}" if best else ""),
        ("accuracy", _train_and_test(snapshot, "accuracy")),
        ("error", failure_words(status)),
        ("refused", refusal_words(snapshot.status)),
        ("next", next_command(snapshot)),
        *(("finding", f"{finding}") for finding in findings(snapshot)),
    ]
    lines: list[str] = []
    for name, words in facts:
        if words:
            # Not at hyphens: a command with a run's id is there to be copied.
            lines += wrap(f"{name}: {words}", COLUMNS, "  ", hyphens=False)
    logged = [f"log: {clean(line)}" for line in snapshot.log if clean(line)]
    left = min(LOG_LINES, max(ROWS - len(lines), 0))
    return [shorten(line, COLUMNS) for line in (lines + logged[max(len(logged) - left, 0) :])[:ROWS]]


def _state(snapshot: Snapshot) -> str:
    status = snapshot.status
    busy = status.live and status.phase and status.state not in ("paused", status.phase)
    phase = f", {clean(status.phase)}" if busy else ""
    device = f"on {clean(status.device)}" if status.device else ""
    return ", ".join(filter(None, (status.state + phase, silence_words(status), device)))


def _what(snapshot: Snapshot) -> str:
    config = snapshot.current_config
    if snapshot.tracked is not None:
        return f"a program of its own; {own_words(snapshot, 120)}"
    if config is None:
        return NO_CONFIG
    noise = "no noise" if config.noise.kind == "none" else f"{config.noise.kind} noise {config.noise.level:g}"
    model = config.model
    network = clean(model.words) if model.is_custom else f"{model.family}, code of {model.latent}"
    return f"{network}, on {clean(config.data.dataset)}, {noise}"


def _progress(snapshot: Snapshot) -> str:
    status = snapshot.status
    share = "" if status.share is None else f", {status.share:.0%} done"
    epochs = f"{status.epochs:,}" if status.epochs else "an unknown number"
    return f"epoch {status.epoch:,} of {epochs}, step {count(status.step)}{share}"


def _time(snapshot: Snapshot) -> str:
    status = snapshot.status
    if status.elapsed is None:
        return NOT_YET
    parts = [f"{spoken(status.elapsed)} {'so far' if status.live else 'in all'}"]
    if status.live:
        parts.append("time left " + NOT_YET if status.eta is None else f"about {spoken(status.eta)} left")
    return ", ".join(filter(None, (*parts, rate(status.images_per_second, "images a second"))))


def _train_and_test(snapshot: Snapshot, metric: str) -> str:
    """`train 0.0123, test 0.0131`; before the first evaluation the newest live point; nothing without such a metric."""
    values = [(split, snapshot.latest(split, metric)) for split in ("train", "test")]
    if known := [f"{split} {figure(metric, value)}" for split, value in values if value is not None]:
        return ", ".join(known)
    live = snapshot.series.get(("live", metric))
    if live is None or live.last is None:
        return NOT_YET if metric == "loss" else ""
    when = "now" if snapshot.status.live else "at last"
    return f"train {figure(metric, live.last)} {when}, within epoch {math.ceil(live.epochs[-1])}; test {NOT_YET}"


def spoken(seconds: float) -> str:
    """A time in words, by its two largest units: `1 hour 2 minutes`, `42 seconds`."""
    rest = max(round(seconds), 0)
    parts = []
    for name, size in UNITS:
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {name}{'s' if amount > 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"
