"""One run beside the list: what was asked for, what came of it, and what people wrote about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from rich.text import Text

from tuiae.runs.listing import RunRow
from tuiae.ui.render import palette
from tuiae.ui.render.facts import Fact, draw_facts
from tuiae.ui.render.status import state_text
from tuiae.ui.render.text import MISSING, ago, clean, count, duration, figure, join_lines, number, of_epochs

LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.-=+*%#"


def draw_details(row: RunRow, width: int, height: int, now: float, ascii_only: bool = False) -> Text:
    """Facts of a run, its test loss as a line of blocks, its error and its note, for so many cells."""
    if width <= 0 or height <= 0:
        return Text(end="")
    lines = [*_head(row, width, now), Text()]
    if row.status.error and row.status.state == "failed":
        words = "; ".join(
            clean(row.status.error.get(key, "")) for key in ("cause", "hint") if row.status.error.get(key)
        )
        lines += [*(Text(line, palette.BAD) for line in wrap(words, width)[:6]), Text()]
    if row.trend:
        lines += [Text("test loss", "dim"), Text(spark(row.trend, width, ascii_only), palette.TEST), Text()]
    facts = _facts(row)
    lines += list(draw_facts(facts, width, len(facts)).split("\n"))
    if row.parent:
        lines += [Text(), Text("forked from", "dim"), *(Text(line) for line in wrap(clean(row.parent), width))]
    if row.tags:
        lines += [Text(), *(Text(line, "dim") for line in wrap(clean(" ".join(row.tags)), width)[:3])]
    if row.note:
        lines += [Text(), Text("note", "dim")]
        lines += [Text(line) for part in row.note.splitlines() for line in wrap(clean(part), width) or [""]]
    return join_lines(lines[:height])


def _head(row: RunRow, width: int, now: float) -> list[Text]:
    status = row.status
    words = state_text(status.state)
    if not status.live and status.heartbeat:
        words.append(f" · {ago(max(0.0, now - status.heartbeat))} ago", "dim")
    lines = [Text(clean(row.title, width), "bold")]
    if row.name:
        lines.append(Text(clean(row.id, width), "dim"))
    return [*lines, words]


def _facts(row: RunRow) -> list[Fact]:
    status = row.status
    left = f" · {duration(status.eta)} left" if status.live and status.eta is not None else ""
    facts = [
        ("epoch", of_epochs(status.epoch, status.epochs), ""),
        ("test loss", number(status.test_loss), ""),
        ("best", number(row.best), ""),
        ("accuracy", figure("accuracy", status.test_accuracy), ""),
        ("time", duration(status.elapsed) + left, ""),
        ("speed", f"{count(round(status.images_per_second))} images/s" if status.images_per_second else MISSING, ""),
        ("device", status.device or MISSING, ""),
        *_asked(row.settings),
    ]
    return [*facts, ("host", row.host, "")] if row.host else facts


def _asked(settings: Any) -> list[Fact]:
    """The settings that matter; none where the config cannot be read."""
    if not settings:
        return [("config", "not one of this version", palette.CAUTION)]
    get = settings.get
    noise = get("noise.kind")
    hidden = ", ".join(map(str, get("model.hidden") or ()))
    return [
        ("preset", get("name"), ""),
        ("dataset", get("data.dataset"), ""),
        ("model", f"{get('model.family')}, code {get('model.latent')}", ""),
        *([("hidden", hidden, "")] if hidden and get("model.family") in ("dense", "vae") else []),
        ("noise", noise if noise == "none" else f"{noise} {get('noise.level'):g}", ""),
        ("dropout", f"{get('model.dropout'):g}", ""),
        ("loss", "cross-entropy" if get("model.family") == "classifier" else get("training.loss"), ""),
        ("optim", f"{get('training.optimizer')}, rate {get('training.learning_rate'):g}", ""),
        ("batch", f"{count(get('training.batch_size'))}, seed {get('training.seed')}", ""),
        *([("encoder", get("model.encoder_run"), "")] if get("model.encoder_run") else []),
    ]


def spark(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """A line of blocks, one for each value or for the mean of several; logarithmic where all are above zero."""
    if not values or width <= 0:
        return ""
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for part in (values[start : start + size] for start in range(0, len(values), size))]
    scaled = [math.log(value) for value in means] if min(means) > 0 else means
    low, high = min(scaled), max(scaled)
    levels = ASCII_LEVELS if ascii_only else LEVELS
    span = (high - low) or 1.0
    return "".join(levels[round((value - low) / span * (len(levels) - 1))] for value in scaled)
