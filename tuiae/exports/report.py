"""Runs as one HTML page: curves, pictures, confusion, codes, config, versions, edits; runs stand beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context

from tuiae import __version__
from tuiae.config import dump_config, value_text
from tuiae.render.pixels import sample_rows
from tuiae.render.text import MISSING, clean, count, duration, figure, harmless, of_epochs
from tuiae.reproduce import figures
from tuiae.reproduce.report import ReportFigure, describe, render
from tuiae.runs.diagnosis import diagnose
from tuiae.runs.paths import RunPaths, undated
from tuiae.runs.reader import NO_CONFIG, RunReader, read_sample
from tuiae.runs.snapshot import Sample, Series, Snapshot
from tuiae.studies.compare import compare, deviations, measure_of, own_noise
from tuiae.studies.labels import differences

METRICS = ("loss", "reconstruction", "kl", "accuracy", "mse", "wrong_pixels")
"""The metrics that come first, as far as runs have them."""
MOST_METRICS = 8
APART = ("live", "speed", "code")
"""Splits that are no measure of the images."""
MOST_CODES = 2000


@dataclass(frozen=True)
class RunSection:
    """One run, in the words of the page."""

    id: str
    label: str
    what: str
    row: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    edits: tuple[str, ...]
    config: str
    """The TOML document; empty where it cannot be read."""
    pictures: tuple[ReportFigure, ...]


@dataclass(frozen=True)
class RunReport:
    """The runs of one page."""

    title: str
    heads: tuple[str, ...]
    runs: tuple[RunSection, ...]
    differences: tuple[tuple[str, tuple[str, ...]], ...]
    pictures: tuple[ReportFigure, ...]
    cautions: tuple[str, ...] = ()
    """Why the runs cannot be ranked by their figures, where that is so."""
    version: str = __version__


def report_runs(runs: Sequence[RunPaths]) -> str:
    """The page. Of a damaged run it shows what can be read of it."""
    snapshots = [RunReader(run.root).read_all() for run in runs]
    labels = _labels(snapshots)
    metrics = _metrics(snapshots)
    configs = [snapshot.current_config for snapshot in snapshots]
    unlike = differences(configs) if len(runs) > 1 else ()
    with rc_context(figures.STYLE):
        sections = tuple(_section(snapshot, label, metrics) for snapshot, label in zip(snapshots, labels, strict=True))
        pictures = _curves(snapshots, labels, metrics)
    report = RunReport(
        title=labels[0] if len(runs) == 1 else f"{len(runs)} runs, side by side",
        heads=("state", "epochs", *(f"test {figures.word(name)}" for name in metrics[:4]), "time"),
        runs=sections,
        differences=tuple(
            (row.key, tuple(MISSING if value is None else _value_words(row.key, value) for value in row.values))
            for row in unlike
        ),
        pictures=pictures,
        cautions=_cautions(snapshots),
    )
    return render("runs.html.jinja", report)


def _value_words(key: str, value: Any) -> str:
    words = clean(value_text(value, key))
    return words[:12] if key == "model.code_sha256" else words


def _cautions(snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    """What has to be known before the figures of runs are laid beside each other."""
    comparison = compare([(snapshot, None) for snapshot in snapshots])
    images, losses = comparison.datasets, list(dict.fromkeys(_measure(one, "loss") for one in snapshots))
    said = []
    if len(images) > 1:
        which = ", ".join(dict.fromkeys(clean(name.partition(" (")[0]) for name in images))
        said.append(f"These runs were measured on different images ({which}): no figure of theirs ranks them.")
    if len(losses) > 1:
        said.append(f"Their losses are different measures ({' / '.join(map(clean, losses))}), each with its own axes.")
    if noise := clean(own_noise(comparison.configs)).replace("`", ""):
        said.append(f"{noise[:1].upper()}{noise[1:]}.")
    return tuple(said)


def _measure(snapshot: Snapshot, metric: str) -> str:
    """The measure that a metric stands for in a run; empty where its name says it."""
    if metric not in ("loss", "reconstruction", "accuracy"):
        return ""
    config = snapshot.current_config
    return "as its program logged it" if config is None else measure_of(config, metric)


def _labels(snapshots: Sequence[Snapshot]) -> list[str]:
    """What each run is called: its name or, without one or where several share it, its id."""
    names = [clean(snapshot.name) or undated(snapshot.id) for snapshot in snapshots]
    shared = Counter(names)
    return [name if shared[name] == 1 else clean(one.id) for name, one in zip(names, snapshots, strict=True)]


def _metrics(snapshots: Sequence[Snapshot]) -> list[str]:
    """The metrics of the page, the known ones first."""
    found = dict.fromkeys(
        metric
        for snapshot in snapshots
        for split, metric in sorted(snapshot.series)
        if split not in APART or split == "live"
    )
    known = [metric for metric in METRICS if metric in found]
    return [*known, *(metric for metric in found if metric not in METRICS)][:MOST_METRICS]


def _section(snapshot: Snapshot, label: str, metrics: Sequence[str]) -> RunSection:
    status, meta, config, images = snapshot.status, snapshot.meta, snapshot.config, snapshot.images
    sample = read_sample(RunPaths(snapshot.path), snapshot.samples[-1]) if snapshot.samples else None
    epochs, time = of_epochs(status.epoch, status.epochs), duration(status.elapsed)
    values = (figure(name, snapshot.latest("test", name)) for name in metrics[:4])
    versions = ("tuiae", "torch", "python", "platform")
    facts = [
        ("images", f"{clean(images.dataset)}, {snapshot.image_words}, digest {images.digest[:12]}" if images else ""),
        ("steps", count(status.step)),
        ("device", clean(status.device)),
        *((name, clean(meta.get(name) or "")) for name in versions),
        ("commit", clean(meta.get("git_commit") or "")[:12]),
    ]
    remarks = [f"This run {words}." for words in deviations(snapshot, {}) if not words.startswith("was edited")]
    remarks += [str(finding) for finding in diagnose(snapshot, sample)]
    what = NO_CONFIG if config is None else describe(config)
    if snapshot.tracked is not None:
        own = ", ".join(f"{key} {value_text(value)}" for key, value in snapshot.tracked.items())
        what = f"tracked: {own or 'it named no settings'}"
    return RunSection(
        id=clean(snapshot.id),
        label=label,
        what=clean(what),
        row=(status.state, epochs, *values, time),
        facts=tuple((name, value) for name, value in facts if value),
        remarks=tuple(map(clean, remarks)),
        edits=tuple(clean(edit.words) for edit in snapshot.edits),
        config="" if config is None else harmless(dump_config(config)),
        pictures=() if sample is None else _pictures(sample),
    )


def _curves(snapshots: Sequence[Snapshot], labels: Sequence[str], metrics: Sequence[str]) -> tuple[ReportFigure, ...]:
    """A figure for each metric, and for each measure that it stands for: what shares an axis can be compared."""
    drawn = []
    every = [*enumerate(zip(labels, snapshots, strict=True))]
    for metric in metrics:
        has = [one for one in every if any(name == metric for _, name in one[1][1].series)]
        measures = dict.fromkeys(_measure(snapshot, metric) for _, (_, snapshot) in has)
        for measure in measures:
            known = [
                (label, place, curves_of(snapshot, metric))
                for place, (label, snapshot) in has
                if _measure(snapshot, metric) == measure
            ]
            title = clean(figures.word(metric))
            title = title[:1].upper() + title[1:] + (f" ({clean(measure)})" if len(measures) > 1 else "")
            if panels := _panels(known, alone=len(snapshots) == 1):
                unit = "step" if all(_by_steps(one) for _, _, found in known for one in found.values()) else "epoch"
                svg = figures.curves(panels, columns=min(2, len(panels)), unit=unit)
                drawn.append(ReportFigure(title, svg, f"Over {unit}s."))
    return tuple(drawn)


def _by_steps(series: Series) -> bool:
    """Whether a curve of a loop without epochs has its steps in their place."""
    return np.array_equal(series.steps, series.epochs)


def curves_of(snapshot: Snapshot, metric: str) -> dict[str, Series]:
    """The curves of a metric by split, as pages show them; of a loop without epochs, the means of its batches."""
    found = {split: series for (split, name), series in snapshot.series.items() if name == metric}
    if "train" not in found and "live" in found:
        found["train"] = found["live"]
    order = [*figures.SPLITS, *sorted(found)]
    return {split: found[split] for split in sorted(found, key=order.index) if split not in APART}


def _panels(known: Sequence[tuple[str, int, Mapping[str, Series]]], *, alone: bool) -> list[figures.Panel]:
    """One run has its splits in a panel; several runs have a panel for each split."""
    words = {split: figures.SPLITS.get(split, clean(split)) for _, _, found in known for split in found}
    if alone:
        ((_, _, found),) = known
        lines = [(words[split], place, series) for place, (split, series) in enumerate(found.items())]
        return [("", lines)] if lines else []
    shown = [split for split in sorted(words, key=[*figures.SPLITS, *words].index) if split != "train-eval"]
    panels: list[figures.Panel] = []
    for split in shown:
        lines = [(label, place, found[split]) for label, place, found in known if split in found]
        # No legend names a curve that is alone.
        panels.append((f"{words[split]}, {lines[0][0]}" if len(lines) == 1 else words[split], lines))
    return panels


def _pictures(sample: Sample) -> tuple[ReportFigure, ...]:
    """What a sample holds: images, the confusion matrix, the codes."""
    when = f"After epoch {sample.epoch}."
    found = []
    if rows := sample_rows(sample):
        found.append(ReportFigure("Test images", figures.image_rows(rows), when))
    if (counts := sample.confusion) is not None:
        names = _names(sample, len(counts))
        share = np.trace(counts) / max(counts.sum(), 1)
        words = f"Percent of each true class; accuracy {figure('accuracy', float(share))}. {when}"
        found.append(ReportFigure("Confusion matrix", figures.matrices([("", counts)], names), words))
    if sample.codes is not None and sample.code_labels is not None and len(sample.codes):
        labels = sample.code_labels[:MOST_CODES].clip(0)
        names = _names(sample, int(labels.max()) + 1)
        plane = figures.planes([("", sample.codes[:MOST_CODES], labels, names)])
        found.append(ReportFigure("Codes of test images", plane, f"On their plane. {when}"))
    return tuple(found)


def _names(sample: Sample, number: int) -> list[str]:
    """The names of so many classes; numbers where the sample does not tell."""
    known = [*map(clean, sample.classes)]
    return known if len(known) >= number else [str(place) for place in range(number)]
