"""The line above a plot: what its curves are, and what they say where the cursor stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuiae.config import short_key
from tuiae.render import palette
from tuiae.render.curves import (
    Curve,
    Line,
    Look,
    Mark,
    bucket,
    epoch_at,
    place_text,
    places,
    prepare,
    train_and_test,
)
from tuiae.render.plot import ASCII_STROKES, Plot
from tuiae.render.text import ACCURACY, MISSING, clean, number, tell_apart
from tuiae.render.ticks import HUGE, Limits
from tuiae.render.view import index_at
from tuiae.runs.paths import undated
from tuiae.runs.snapshot import NOTHING, Series, Snapshot

if TYPE_CHECKING:
    from tuiae.studies.seeds import SeedBand

SIGNS = {"solid": "━", "dashed": "╍"}
"""What stands for the strokes of lines in a legend; where there is ASCII alone, ASCII_STROKES."""
LABEL = 36  # cells
BRIEF_LABELS = (24, 16)  # where the width lacks
MEAN_OF = "mean of "  # goes where only the signs of seeds stand


def legend(curves: Sequence[Curve], width: int | None = None, ascii: bool = False) -> Text:  # noqa: A002
    """`━ train 0.01230   ╍ test 0.01310`: each curve's sign, name and last finite value."""
    return line_legend([prepare(curve) for curve in curves], width, ascii)


def line_legend(lines: Sequence[Line], width: int | None = None, ascii_only: bool = False) -> Text:
    """The legend of prepared lines, faint ones last.

    Where the width lacks, names are cut and at last keep their first word, then what faint curves say goes, then the
    values of curves that bear signs, then the names of curves whose strokes tell them apart, and then an ellipsis ends
    the line.
    """
    lines = _faint_last(lines)
    words, first = _names(lines)
    briefly = [_names(lines, limit)[0] for limit in BRIEF_LABELS]
    last = [float(line.values[-1]) if len(line.values) else None for line in lines]
    latest = [line.curve.latest for line in lines]
    values = [number(end if said is None else said) for said, end in zip(latest, last, strict=True)]
    signed = (3, 1) if any(line.curve.sign for line in lines) else ()
    forms = [_entries(lines, names, values, 3, "", ascii_only) for names in (words, *briefly, first)]
    forms.append(_entries(lines, first, values, 2, "", ascii_only))
    own = [line for line in lines if not line.curve.faint]
    if len(own) < len(lines):
        short = _entries(own, first[: len(own)], values[: len(own)], 2, "", ascii_only)
        behind = _entries(lines[len(own) :], [""] * len(lines), None, 2, "  ", ascii_only)
        group = clean(lines[-1].curve.group.removeprefix(MEAN_OF), LABEL)
        tight = _entries(own, first[: len(own)], values[: len(own)], 1, "", ascii_only)
        forms += [short.copy().append_text(behind), tight.append_text(behind)]
        forms += [short.copy().append(f"  {group}", "dim"), short]
    forms += [_entries(lines, first, None, gap, "", ascii_only) for gap in signed]
    if not signed:
        forms.append(_entries(own, [""] * len(own), values[: len(own)], 2, "", ascii_only))
    return _fitting(forms, width)


def readout(
    lines: Sequence[Line],
    place: float,
    width: int,
    unit: str = "epoch",
    marks: Sequence[Mark] = (),
    ascii_only: bool = False,
) -> Text:
    """`epoch 12 step 720  ━ train 0.01230  ╍ test 0.01310 @10  e learning rate 0.001 → 0.0005`.

    A value is the one that was measured there, or with its own place behind an @ the last before it; behind a ~ is
    what smoothing makes of it. Where the width lacks, the smoothed ones go first, then lines without a value there,
    then steps, then words, then names, then the faint lines, which come last, then what marks say at length, and then
    the values: the marks stand nowhere else.
    """
    forms = _readouts(_faint_last(lines), place, unit, ascii_only)
    if not marks:
        return _fitting(forms, width)
    bare = Text(end="", no_wrap=True).append(place_text(place, unit), "bold")
    briefly = [form.copy() for form in (*forms, bare)]
    for form in forms:
        _add_marks(form, [(mark.sign, mark.text) for mark in marks])
    for form in briefly:
        _add_marks(form, [(mark.sign, mark.short or mark.text) for mark in marks])
    return _fitting([*forms, *briefly], width)


def _readouts(lines: Sequence[Line], place: float, unit: str, ascii_only: bool) -> list[Text]:
    """A readout without marks, each shorter than the one before."""
    said = [(line, *_value_at(line, place, unit)) for line in lines]
    short = place_text(place, unit)
    where = f"{unit} {short}"
    full = where + _also_there(lines, place, unit)
    forms = []

    def add(head: str, among: Sequence[tuple[Line, str, str]], naming: str, smooth: bool = False) -> None:
        shown = [line for line, _, _ in among]
        words, first = _names(shown)
        names = {"words": words, "first": first, "": [""] * len(shown)}[naming]
        values = [exact + mean * smooth for _, exact, mean in among]
        entries = _entries(shown, names, values, 2, "  ", ascii_only)
        forms.append(Text(end="", no_wrap=True).append(head, "bold").append_text(entries))

    add(full, said, "words", smooth=True)
    add(full, said, "words")
    known = [one for one in said if one[1] != MISSING] or said
    for head, naming in ((full, "words"), (where, "first"), (short, "first"), (short, "")):
        add(head, known, naming)
    if own := [one for one in known if not one[0].curve.faint]:
        add(short, own, "first")
        add(short, own, "")
    return forms


def _add_marks(form: Text, marks: Sequence[tuple[str, str]]) -> None:
    """What happened there; the sign of several of a kind stands once."""
    last = ""
    for sign, words in marks:
        form.append(", " if sign == last else "  ")
        if sign != last:
            form.append(sign, f"bold {palette.CAUTION}").append(" ")
        form.append(clean(words))
        last = sign


def _faint_last(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.curve.faint)


def _names(lines: Sequence[Line], limit: int = LABEL) -> tuple[list[str], list[str]]:
    """Every name in at most `limit` cells, and its first word; none of a line behind one of that name and stroke."""
    own = {(line.curve.label, line.curve.stroke) for line in lines if not line.curve.faint}
    same = [line.curve.faint and (line.curve.label, line.curve.stroke) in own for line in lines]
    parts = [("" if known else clean(line.curve.label)).partition(" ") for line, known in zip(lines, same, strict=True)]
    rests = tell_apart([rest for _, _, rest in parts], limit)
    words = [f"{first}{space}{rest}" for (first, space, _), rest in zip(parts, rests, strict=True)]
    return words, [first for first, _, _ in parts]


def _value_at(line: Line, place: float, unit: str) -> tuple[str, str]:
    """What a line says at a place, as measured, and ` ~0.0123` as smoothed where it is."""
    index = index_at(line, place)
    if index is None:
        return MISSING, ""
    own = float(line.x[index])
    exact = number(float(line.values[index])) + (f" @{place_text(own, unit)}" if own != place else "")
    return exact, "" if line.raw is None else f" ~{number(float(line.y[index]))}"


def _also_there(lines: Sequence[Line], place: float, unit: str) -> str:
    """The step of an epoch, or the epoch of a step or of a time, where every run with a point there says the same."""
    said = set()
    for curve in (line.curve for line in lines if place in line.x and not line.curve.faint):
        if unit == "epoch":
            step = float(places(curve.clock, "step", np.array(place)))
            said.add(f" step {step:,.0f}" if np.isfinite(step) else "")
        elif curve.clock is not None:
            said.add(f" epoch {place_text(epoch_at(curve.clock, unit, place))}")
    return said.pop() if len(said) == 1 else ""


def _fitting(forms: Sequence[Text], width: int | None) -> Text:
    """The first that fits; else the last, cut."""
    text = next((form for form in forms if width is None or form.cell_len <= width), forms[-1])
    if width is not None:
        text.truncate(width, overflow="ellipsis")
    return text


def _entries(
    lines: Sequence[Line], names: Sequence[str], values: Sequence[str] | None, gap: int, lead: str, ascii_only: bool
) -> Text:
    text, known = Text(lead, no_wrap=True, end="", overflow="ellipsis"), ASCII_STROKES if ascii_only else SIGNS
    head = ""
    for index, (line, name) in enumerate(zip(lines, names, strict=False)):
        curve, faint = line.curve, "dim" if line.curve.faint else ""
        same = bool(curve.group) and curve.group == head
        group = clean(curve.group if values else curve.group.removeprefix(MEAN_OF), LABEL)
        text.append(" " * (gap if not same else 1 if values else 0) if index else "")
        text.append("" if same or not group else f"{group} ", faint)
        head = curve.group
        text.append(curve.sign or known[curve.stroke], f"{faint or 'bold'} {curve.color}")
        text.append(f"{' ' if gap > 1 and name else ''}{name}", faint)
        if values:
            text.append(" ").append(values[index], faint or "bold")
    return text


# Which of a run's series make its curves.

SECOND = ("kl", "reconstruction", ACCURACY, "mse", "wrong_pixels", "wrong_pixels_max")
"""What can stand beside the loss, the first that a run has by default."""
TITLES = {
    ACCURACY: "accuracy, %",
    "kl": "KL term, nats",
    "reconstruction": "reconstruction term, nats",
    "wrong_pixels": "wrong pixels an image",
    "wrong_pixels_max": "wrong pixels, worst image",
}
MOST = 1024  # points of a line: twice what the widest terminal tells apart
LEAST_LIVE = 4  # live points an epoch: each is a mean over the batches before it and stands at their end


def second_metrics(snapshot: Snapshot) -> tuple[str, ...]:
    """The metrics of a run that can stand beside its loss, terms of a loss of its own first; accuracy while there is
    none yet."""
    found = tuple(name for name in SECOND if ("test", name) in snapshot.series and not snapshot.repeats_loss(name))
    if snapshot.tracked is not None:  # whose metrics are its own
        every = dict.fromkeys(
            (*found, *(name for split, name in snapshot.series if split in ("test", "train", "live")))
        )
        found = tuple(name for name in every if name != snapshot.main_metric)
        return found or (ACCURACY,)
    return (*own_terms(snapshot), *found) or (ACCURACY,)


def only_metric(snapshot: Snapshot) -> str:
    """What a run measures that has no other metric than the one beside its loss."""
    (name,) = second_metrics(snapshot)
    if not any((split, name) in snapshot.series for split in ("test", "train", "live")):
        return f"this run measures its {snapshot.main_metric} alone"
    return f"this run measures its {snapshot.main_metric} and its {plot_title(name).partition(',')[0]}, and no more"


def own_terms(snapshot: Snapshot) -> tuple[str, ...]:
    """The terms of the loss of a custom network."""
    return tuple(name for split, name in snapshot.series if split == "test" and name not in ("loss", *SECOND))


def run_curves(snapshot: Snapshot, metric: str) -> tuple[Curve, Curve]:
    """Train and test of one metric."""
    train, test = train_series(snapshot, metric), snapshot.series.get(("test", metric), NOTHING)
    values = plotted(metric, train.values), plotted(metric, test.values)
    both = train_and_test((train.epochs, test.epochs), values, snapshot.clock)
    trained, tested = (replace(curve, most=highest(metric)) for curve in both)
    live, means = (snapshot.series.get((split, metric), NOTHING) for split in ("live", "train"))
    done = len(means.epochs) and (not len(live.epochs) or means.epochs[-1] >= live.epochs[-1])
    if done and np.isfinite(means.values[-1]):
        trained = replace(trained, latest=float(plotted(metric, means.values[-1:])[0]))
    return trained, tested


def train_series(snapshot: Snapshot, metric: str) -> Series:
    """What was measured while training: its live points, averaged where there are too many of them.

    Where epochs are too short for live points to tell more, it is their means. The two never share a line: the first
    mean beside the live points after it looks like a fall that there was not.
    """
    live, train = (snapshot.series.get((split, metric), NOTHING) for split in ("live", "train"))
    if len(train.values) > MOST or len(live.values) < LEAST_LIVE * len(train.values):
        return mid_epochs(train)
    return averaged(live)


def mid_epochs(train: Series) -> Series:
    """Means over epochs, each in the middle of the epoch that it is the mean of."""
    return Series(train.steps, train.epochs - 0.5, train.values)


def averaged(series: Series, most: int = MOST) -> Series:
    """Means of neighbours, each in their middle, so that at most `most` remain; gaps count for nothing.

    They are counted from the first point on, so that what is drawn of the past stays while points are added.
    """
    size = bucket(len(series.values), most)
    if size == 1:
        return series
    first = np.arange(0, len(series.values), size)
    known = np.isfinite(series.values)
    counts = np.add.reduceat(known, first, dtype=np.int64)
    sums = np.add.reduceat(np.where(known, series.values, 0.0), first)
    values = np.divide(sums, counts, out=np.full(len(first), np.nan), where=counts > 0)
    epochs = np.add.reduceat(series.epochs, first) / np.diff(first, append=len(known))
    return Series(series.steps[first], epochs, values)


def plotted(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values as a plot has them: an accuracy in per cent, as everywhere."""
    return 100 * np.clip(values, -HUGE, HUGE) if metric == ACCURACY else values


def highest(metric: str) -> float:
    """The highest value that a metric can have, as a plot has it."""
    return 100.0 if metric == ACCURACY else math.inf


def plot_title(metric: str) -> str:
    """What stands above a plot of a metric, with its unit where it has one."""
    return TITLES.get(metric, metric)


def parent_curves(parent: Snapshot, metric: str) -> tuple[Curve, ...]:
    """The curves of a fork's parent, to lie behind its own."""
    found = [curve for curve in run_curves(parent, metric) if len(curve.x)]
    return tuple(replace(curve, group="parent", color=palette.GREY, faint=True) for curve in found)


def seed_curves(band: SeedBand, metric: str, own: Sequence[Curve]) -> tuple[Curve, ...]:
    """The means of a run's other seeds in their bands, to lie behind its own curves, as far as these go."""
    reached = max((curve.x[-1] for curve in own if len(curve.x)), default=0)
    found = []
    for curve in own:
        mean, edges = band.curves.get((curve.split, metric), (NOTHING, (NOTHING.values, NOTHING.values)))
        mean = mid_epochs(mean) if curve.split == "train" else mean
        y, low, high = (plotted(metric, values)[mean.epochs <= reached] for values in (mean.values, *edges))
        if not len(y):
            continue
        group = f"{MEAN_OF}{band.runs} seeds" if band.runs > 1 else "1 seed"
        behind = replace(curve, group=group, x=mean.epochs[: len(y)], y=y, clock=band.clock)
        found.append(replace(behind, latest=None, faint=True, band=(low, high)))
    return tuple(found)


def _name(key: str) -> str:
    return short_key(key).replace("_", " ")


def run_marks(snapshot: Snapshot, at: int | None = None) -> tuple[Mark, ...]:
    """What happened to a run on its way, and the epoch `at` whose pictures show."""
    marks = [
        Mark(edit.epoch, "e", f"{_name(edit.key)} {edit.old} → {edit.new}", f"{_name(edit.key).split()[-1]} {edit.new}")
        for edit in snapshot.edits
    ]
    if snapshot.parent is not None:
        marks.append(Mark(snapshot.parent.epoch, "F", f"forked from {undated(snapshot.parent.run)}"))
    marks += [Mark(resume.epoch, "R", f"resumed at step {resume.step:,}") for resume in snapshot.resumes]
    return (*marks, *(() if at is None else (Mark(at, "▼", "these pictures"),)))


def in_sight(
    marks: Sequence[Mark], limits: Limits, clock: Series | None = None, unit: str = "epoch"
) -> tuple[Mark, ...]:
    """Marks where they are seen once everything is shown: one beyond the points stands at the end and says where from.

    Where epochs are short, nothing is plotted of the first half of the first one.
    """
    low, high = limits
    placed = []
    for mark in marks:
        x = float(places(clock, unit, np.array(mark.x)))
        words = mark.text if low <= x <= high else f"{mark.text} at epoch {place_text(mark.x)}"
        placed.append(replace(mark, x=min(max(x, low), high), text=words))
    return tuple(placed)


def marks_near(plot: Plot, marks: Sequence[Mark], place: float) -> list[Mark]:
    """The marks that stand in the column of a place."""
    return [mark for mark in marks if plot.frame.column(mark.x) == plot.frame.column(place)]


def log_note(lines: Sequence[Line], look: Look) -> str:
    """`log x, log y, 3 not above 0 left out`: which axes are logarithmic, and what they cannot show; empty for none."""
    if not (look.log_x or look.log_y):
        return ""
    axes = "log x, log y" if look.log_x and look.log_y else "log x" if look.log_x else "log"
    left_out = sum(line.left_out for line in lines)
    return axes + (f", {left_out:,} not above 0 left out" if left_out else "")
