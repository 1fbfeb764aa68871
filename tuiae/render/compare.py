"""Several runs beside each other: which curves, tables of values, seeds and settings, and the same images of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from string import ascii_uppercase

from rich.cells import cell_len
from rich.text import Text

from tuiae.config import short_key, value_text
from tuiae.render import palette
from tuiae.render.curves import Curve
from tuiae.render.grid import LABEL_LIMIT, LEAST_ROWS, image_blocks, image_grid, least_lines
from tuiae.render.legend import highest, mid_epochs, plotted, train_series
from tuiae.render.pixels import CaptionRow, ImageRow, sample_captions
from tuiae.render.status import state_sign
from tuiae.render.table import GAP, FilledColumn, draw_table, filled
from tuiae.render.text import (
    MISSING,
    centred,
    clean,
    duration,
    figures,
    join_lines,
    lines_of,
    of_epochs,
    shorten,
    shorten_middle,
    tell_apart,
    to_ascii,
    wrap,
    wrapped,
)
from tuiae.render.ticks import Values
from tuiae.runs.snapshot import HIGHER_IS_BETTER, NOTHING, Series
from tuiae.studies.compare import (
    Comparison,
    Entry,
    RunGroup,
    Spread,
    cautions,
    choose_curves,
    group_figures,
    mean_clock,
    metric_name,
    seed_curve,
    shows_means,
    unranked,
)
from tuiae.studies.shared_images import SharedImages

LEAST_LABEL, MOST_LABEL = 16, 24
MOST_WHOLE = 48  # cells of a label for which other columns give way
_FIGURES, _ACCURACY = 40, 10  # cells of the columns that always stand beside a label, and of the next one
BEST = "◂"
"""Stands beside the best value of a column."""


# Curves


@dataclass(frozen=True)
class Overlay:
    """The curves of several runs for one metric."""

    train: tuple[Curve, ...]
    test: tuple[Curve, ...]
    train_split: str
    """`train`, or `train-eval` for what is not measured while training."""
    note: str
    """Which runs are drawn where not all are; else empty."""


def compare_curves(comparison: Comparison, metric: str, means: bool | None = None) -> Overlay:
    """Train and test curves of a metric, one of each for every run or group; `means` as `choose_curves`."""
    chosen, note = choose_curves(comparison, metric, means)
    split, looks = train_split(comparison, metric), curve_looks(chosen)
    train: list[Curve] = []
    test: list[Curve] = []
    for line in chosen:
        label, (color, sign) = f"{line.key} {line.label}", looks[line.key]
        clock = mean_clock([entry.snapshot.clock for entry in line.entries])
        for name, curves in ((split, train), ("test", test)):
            found, edges = _line_series(line, name, metric)
            band = None if edges is None else (plotted(metric, edges[0]), plotted(metric, edges[1]))
            y = plotted(metric, found.values)
            most = highest(metric)
            curves.append(Curve(label, found.epochs, y, color, sign=sign, clock=clock, band=band, most=most))
    return Overlay(tuple(train), tuple(test), split, note)


def train_split(comparison: Comparison, metric: str) -> str:
    """The split of the training curve: `train`, measured while training, or `train-eval`, after the epoch with dropout
    off, where no run has the first."""
    return "train" if any(entry.series("train", metric) for entry in comparison.entries) else "train-eval"


def curve_looks(chosen: Sequence[RunGroup]) -> dict[str, tuple[str, str]]:
    """Colour and sign of each curve, by its key; neither is there twice."""
    looks = zip(palette.SERIES, palette.MARKERS, strict=True)
    return {line.key: look for line, look in zip(chosen, looks, strict=False)}


def _line_series(line: RunGroup, split: str, metric: str) -> tuple[Series, tuple[Values, Values] | None]:
    """One run's curve, or the mean of several and the edges of their band; the means of its epochs, as the live points
    of a run hide other runs."""
    known = [series for entry in line.entries if (series := entry.series(split, metric)) is not None]
    if not known:
        alone = (len(line.entries), split) == (1, "train")
        return train_series(line.entries[0].snapshot, metric) if alone else NOTHING, None
    mean, edges = seed_curve(known)
    return mid_epochs(mean) if split == "train" else mean, edges if len(known) > 1 else None


def compare_title(comparison: Comparison, metric: str, width: int) -> Text:
    """The line above everything: how many runs and groups, by what, how many still train."""
    line = Text(" tuiae", "bold", no_wrap=True, end="").append("  ", "")
    line.append("compare", "bold not dim").append(f" › {clean(metric_name(metric), 24)}", "dim")
    runs, groups = len(comparison.entries), len(comparison.groups)
    line.append(f"  {runs} runs" + (f" in {groups} group{'s'[: groups > 1]}" if comparison.seeded else ""), "not bold")
    live = sum(entry.snapshot.status.live for entry in comparison.entries)
    if live:
        sign, color = state_sign("running")
        line.append(f"  {sign} {live} live", f"not bold {color}")
    line.truncate(width)
    return line


# Figures of each run, and of groups of runs


def values_table(
    comparison: Comparison, metric: str, width: int, ascii_signs: bool = False, means: bool | None = None
) -> Text:
    """A line a run: its curve's sign, label, state, final and best values, seconds.

    `ascii_signs` are those of plots in ASCII, whatever characters the table has otherwise.
    """
    entries, looks = comparison.entries, curve_looks(choose_curves(comparison, metric, means)[0])
    ranked, split = not unranked(comparison, metric), train_split(comparison, metric)
    names = filled("run", (Text(clean(entry.label)) for entry in entries), right=False, names=True)
    with_accuracy = metric != "accuracy" and "accuracy" in comparison.metrics
    free = width - _FIGURES
    narrow = names.width > free
    # Names are whole before the state and times show, but not before the accuracy does.
    beside = _ACCURACY if with_accuracy and free - _ACCURACY >= MOST_LABEL else 0
    least = max(LEAST_LABEL, min(MOST_LABEL, free), min(names.width, MOST_WHOLE, free - beside))
    columns = [
        filled("", (_key_cell(entry.key, looks, ascii_signs) for entry in entries), right=False),
        replace(names, least=least),
        filled("state", (_state(entry) for entry in entries), right=False, rank=2),
        filled(f"{split} {metric_name(metric)}", _figures(metric, [e.final(metric, split) for e in entries]), rank=4),
        _ranking(f"test {metric_name(metric)}", [e.final(metric) for e in entries], metric, ranked),
        _ranking("best", [e.best_value(metric) for e in entries], metric, ranked),
        filled(
            "epoch" if narrow else "at epoch",
            (Text(f"{best.epoch:,g}" if (best := e.best(metric)) else MISSING) for e in entries),
        ),
    ]
    if with_accuracy:
        shares = _figures("accuracy", [entry.final("accuracy") for entry in entries])
        columns.append(filled("accuracy", shares, rank=1))
    elapsed = (Text(duration(entry.snapshot.status.elapsed)) for entry in entries)
    return join_lines(draw_table([*columns, filled("time", elapsed, rank=3)], width))


def _key_cell(key: str, looks: dict[str, tuple[str, str]], ascii_sign: bool) -> Text:
    """`━ A`, as in the legend; of a run in a group whose mean is drawn, the group's sign."""
    color, sign = looks.get(key) or looks.get(key.rstrip("0123456789"), ("", " "))
    sign = to_ascii(sign) if ascii_sign else sign
    return Text(end="").append(sign, f"bold {color}").append(f" {key}", "bold")


def _state(entry: Entry) -> Text:
    """`✓ 25/25`: the sign of the state, and how many of its epochs the run has done."""
    status = entry.snapshot.status
    sign, color = state_sign(entry.snapshot.state)
    return Text(f"{sign} {of_epochs(status.epoch, status.epochs)}", color)


def _figures(metric: str, values: Sequence[float | None]) -> tuple[Text, ...]:
    return tuple(map(Text, figures(metric, values)))


def _ranking(name: str, values: Sequence[float | None], metric: str, ranked: bool) -> FilledColumn:
    """Numbers, the best of them marked where they can be ranked."""
    known = [value for value in values if value is not None]
    if not ranked or len(known) < 2:
        return filled(name, _figures(metric, values))
    best = (max if metric in HIGHER_IS_BETTER else min)(known)
    words = zip(figures(metric, values), values, strict=True)
    cells = (Text(f"{word} {BEST}", "bold") if value == best else Text(f"{word}  ") for word, value in words)
    return filled(f"{name}  ", cells)


def seeds_table(comparison: Comparison, metric: str, width: int) -> Text:
    """Mean and spread of each group, one figure after the other so that groups stand under each other."""
    groups = comparison.groups
    shown = [(name, [take(group) for group in groups]) for name, take in group_figures(comparison, metric)]
    rows = [(name, group, one) for name, found in shown for group, one in zip(groups, found, strict=True)]

    def cells(take: Callable[[Spread], float | None], style: str = "") -> Iterator[Text]:
        for name, found in shown:
            for word in figures(name.partition(" ")[2], [take(one) if one else None for one in found]):
                yield Text(word, style)

    columns = [
        filled("over seeds", (Text(name if g is groups[0] else "") for name, g, _ in rows), right=False),
        filled("", (Text(group.key, "bold") for _, group, _ in rows), right=False),
        filled("group", (Text(clean(g.label)) for _, g, _ in rows), right=False, rank=1, names=True),
        filled("runs", (Text(_counted(found, len(group.entries))) for _, group, found in rows)),
        filled("mean", cells(lambda found: found.mean, "bold")),
        filled("min", cells(lambda found: found.min)),
        filled("max", cells(lambda found: found.max)),
        filled("std", cells(lambda found: found.std)),
    ]
    return join_lines(draw_table(columns, width))


def _counted(found: Spread | None, members: int) -> str:
    """How many runs a mean is of; `2 of 3` when some have nothing to count."""
    measured = found.n if found else 0
    return str(members) if measured == members else f"{measured} of {members}"


def values_and_seeds(comparison: Comparison, metric: str, width: int, means: bool | None = None) -> Text:
    """Every run, what one should know of the figures, and the groups where there is a spread to show: before the runs
    where the curves are those of groups."""
    runs = [values_table(comparison, metric, width, means=means)]
    said = [line for caution in cautions(comparison, metric) for line in wrapped(caution, width, palette.CAUTION)]
    if not comparison.seeded:
        return join_lines([*runs, *said])
    seeds = [seeds_table(comparison, metric, width)]
    by_group = shows_means(comparison) if means is None else means
    return join_lines([*seeds, *said, Text(), *runs] if by_group else [*runs, *said, Text(), *seeds])


def group_key(comparison: Comparison, limit: int = 2 * MOST_LABEL) -> str:
    """`A latent=4 · B latent=16`: what the letters stand for, each name in at most so many cells."""
    labels = tell_apart([clean(group.label) for group in comparison.groups], limit)
    return " · ".join(f"{group.key} {label}" for group, label in zip(comparison.groups, labels, strict=True))


BELOW = 2
"""Lines below the panels: more would come out of their few."""


def words_below(comparison: Comparison, note: str, said: Sequence[str], width: int) -> str:
    """What the letters stand for, which curves there are, and what else is `said`, in as many words as two lines of
    so many cells have: names are cut before a sentence is left out, the last first."""
    sentences = [words for words in (note, *said) if words]
    while True:
        for limit in range(2 * MOST_LABEL, LEAST_LABEL - 1, -4):
            words = " · ".join([group_key(comparison, limit), *sentences])
            if len(wrap(words, width)) <= BELOW:
                return words
        if not sentences:
            return shorten(words, BELOW * width - MOST_LABEL)
        sentences.pop()


# Settings that differ

SETTING_FORMS = ((False, 24), (False, 16), (True, 24), (True, 16), (True, 12), (True, 8))
"""Whether keys go without their sections, and the most cells of a value; the first is the one to read best."""


def settings_table(comparison: Comparison, width: int) -> Text:
    """A line a key that differs, a column a run, or a group where runs are too many.

    Where the width lacks, values and then keys are written shorter; columns that do not fit even so go on in a block
    below, and each block says which of them it has.
    """
    if not comparison.differences:
        known = any(entry.snapshot.config or entry.snapshot.tracked is not None for entry in comparison.entries)
        return Text("the configs are the same" if known else "no config is readable", "dim", end="")
    places = {entry.key: place for place, entry in enumerate(comparison.entries)}
    members = {key: [place] for key, place in places.items()}
    table = _settings(comparison, members, *SETTING_FORMS[0])
    if comparison.seeded and _fitting(table, width) < len(table):
        members = {group.key: [places[entry.key] for entry in group.entries] for group in comparison.groups}
    for form in SETTING_FORMS:
        table = _settings(comparison, members, *form)
        if _fitting(table, width) == len(table):
            return join_lines(draw_table(table, width))
    return join_lines(_blocks(table, width))


def _settings(
    comparison: Comparison, members: Mapping[str, Sequence[int]], short: bool, limit: int
) -> list[FilledColumn]:
    """The keys, without their sections where `short`, and the values of each run or group in at most `limit` cells."""
    keys = (Text(clean(short_key(row.key) if short else row.key)) for row in comparison.differences)
    values = (filled(key, _values(comparison, places, limit)) for key, places in members.items())
    return [filled("", keys, right=False), *values]


def _values(comparison: Comparison, places: Sequence[int], limit: int) -> Iterator[Text]:
    """The values of a run, or of a group's runs: `0,1,2` where they are not the same."""
    for row in comparison.differences:
        words = dict.fromkeys(value_text(row.values[place], row.key) for place in places)
        yield Text(shorten_middle(clean(",".join(words)), limit))


def _blocks(table: Sequence[FilledColumn], width: int) -> list[Text]:
    """As many columns beside each other as fit, and below them the others."""
    keys, *columns = table
    every, first, blocks = len(columns), 0, list[Text]()
    widest = max((column.name for column in columns), key=len)
    roomy = filled(f"{widest} to {widest} of {every}", keys.cells, right=False)
    while first < every:
        last = min(first + max(_fitting([roomy, *columns[first:]], width) - 1, 1), every)
        name = f"{columns[first].name} to {columns[last - 1].name} of {every}"
        part = [filled(name, keys.cells, right=False), *columns[first:last]]
        blocks += [Text()] * bool(blocks) + draw_table(part, width)
        first = last
    return blocks


def _fitting(table: Sequence[FilledColumn], width: int) -> int:
    """How many columns from the first one on fit beside each other."""
    edges = accumulate(column.width + GAP for column in table)
    return sum(edge - GAP <= width for edge in edges)


# The same test images, one row a run

MOST_NOTE = 3  # lines


def shared_grid(shared: SharedImages, width: int, height: int, mode: str = "blocks") -> Text:
    """The inputs once, then a row a run of what its network made of them, or of what it took them for.

    Where not all fit below each other, they stand in two or three blocks with fewer pictures of each. Runs that do not
    fit even so are left out, and a line below says which.
    """
    if not shared.entries:
        return centred("no pictures yet", width, height)
    note = wrapped(shared.sentence, width, "dim", MOST_NOTE)
    rows, words, missing = _fitting_rows(shared, height - len(note))
    if missing:
        blocks = [_in_blocks(shared, width, height - len(note), mode, number) for number in range(2, MOST_BLOCKS + 1)]
        rows, words, missing = _fitting_rows(shared, height - len(note) - 1)
        fewest = min(filter(None, blocks), key=lambda found: len(found[1]), default=None)
        if fewest is not None and len(fewest[1]) < len(missing):
            return join_lines([*lines_of(fewest[0]), *note])
        note.append(_missing_words(missing, width))
    limit = max(width // 4, LABEL_LIMIT)
    names = _row_names([label for label, _ in (*rows, *words)], limit)
    rows = [(name, images) for name, (_, images) in zip(names, rows, strict=False)]
    words = [(name, captions) for name, (_, captions) in zip(names[len(rows) :], words, strict=True)]
    lines = lines_of(image_grid(rows, width, height - len(note), mode, words, limit))
    return join_lines([*lines, *[Text()] * (height - len(note) - len(lines)), *note])


MOST_BLOCKS = 3


def _in_blocks(shared: SharedImages, width: int, height: int, mode: str, blocks: int) -> tuple[Text, list[str]] | None:
    """The runs, by their keys, in so many blocks, and which do not fit even so; None where blocks have no room, or some
    runs have words for pictures."""
    for room in (height, height - 1):
        rows, words, missing = _fitting_rows(shared, room, blocks)
        if words:
            return None
        if not missing:
            break
    keys = [("in" if label == "input" else label.partition(" ")[0], images) for label, images in rows]
    if (drawn := image_blocks(keys, blocks, width, room, mode)) is None:
        return None
    return join_lines([*lines_of(drawn), *([_missing_words(missing, width)] if missing else [])]), missing


def _missing_words(missing: Sequence[str], width: int) -> Text:
    words = f"no room for {', '.join(missing)}"
    return Text(words if len(words) <= width else f"no room for {len(missing)} others", "dim", end="")


def _row_names(labels: Sequence[str], limit: int) -> list[str]:
    """The labels of rows in at most so many cells; the keys of the runs alone where no more can be told apart."""
    parts = [label.partition(" ") for label in labels]
    if all(cell_len(label) <= limit for label in labels):
        return [*labels]
    if limit < LEAST_LABEL:
        return [key for key, _, _ in parts]
    longest = max(cell_len(key) for key, _, _ in parts)
    cut = tell_apart([rest for _, _, rest in parts if rest], limit - longest - 1)
    if len(set(cut)) < len(cut):
        return [key for key, _, _ in parts]
    rests = iter(cut)
    return [f"{key} {next(rests)}" if rest else key for key, _, rest in parts]


def _fitting_rows(
    shared: SharedImages, height: int, blocks: int = 1
) -> tuple[list[ImageRow], list[CaptionRow], list[str]]:
    """Rows, captions, and the keys of the runs for which there is no room, in so many blocks beside each other: the
    first of every group has it before the second of any."""
    inputs = (("input", shared.inputs), ("noisy", shared.noisy))
    rows = [(name, images) for name, images in inputs if images is not None]
    words: list[CaptionRow] = []
    least = least_lines(shared.inputs.shape[-2]) if shared.inputs is not None else LEAST_ROWS
    room = height if blocks == 1 else blocks * (height // least) * least
    free, kept = room - least * len(rows), set()
    for entry in sorted(shared.entries, key=lambda entry: int(entry.key.lstrip(ascii_uppercase) or 0)):
        cost = 1 if entry.sample is None or entry.sample.reconstructions is None else least
        if cost <= free:
            free -= cost
            kept.add(entry.key)
    for entry in shared.entries:
        if entry.sample is None or entry.key not in kept:
            continue
        label = clean(f"{entry.key} {entry.label}")
        if entry.sample.reconstructions is not None:
            rows.append((label, entry.sample.reconstructions))
        else:
            words += [(label, captions) for _, captions in sample_captions(entry.sample)]
    return rows, words, [entry.key for entry in shared.entries if entry.key not in kept]
