"""The figures that a work shows, drawn from its finished runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context

from tuiae.config import NoiseSection
from tuiae.errors import TuiaeError
from tuiae.explore.checkpoint import LoadedRun
from tuiae.explore.plane import PlaneGrid, between
from tuiae.reproduce import figures
from tuiae.reproduce.measures import ClaimError, FinishedRun
from tuiae.reproduce.report import ReportFigure
from tuiae.reproduce.reproduce import WorkResult
from tuiae.reproduce.work import FigureSpec
from tuiae.runs.snapshot import Series

CODES = 5000  # points of a plane
PLANE = 2.5  # standard deviations of the prior each way


def illustrate(result: WorkResult, tell: Callable[[str], None] = lambda text: None) -> tuple[ReportFigure, ...]:
    """Every figure of a work whose runs have finished; `tell` gets a sentence for each that cannot be drawn."""
    pictures = []
    for spec in result.plan.work.figure:
        shown = _Shown(spec, [_ShownRun(run, result) for run in spec.runs if result.of(run)])
        if not shown.runs:
            tell(f"{result.plan.name}: no figure '{spec.title}': none of its runs has finished")
            continue
        try:
            with rc_context(figures.STYLE):
                svg, more = _KINDS[spec.kind](shown)
        except (ClaimError, TuiaeError) as error:
            tell(f"{result.plan.name}: no figure '{spec.title}': {error}")
            continue
        words = [spec.caption, more, shown.caption()]
        pictures.append(ReportFigure(spec.title, svg, " ".join(word for word in words if word)))
    return tuple(pictures)


class _ShownRun:
    """A run of the work's file with its finished seeds; where one seed is enough, the first of them is shown."""

    def __init__(self, run: str, result: WorkResult) -> None:
        spec = result.plan.work.spec(run)
        self.id, self.label = run, spec.label or run
        self.finished = result.of(run)
        self.seeds = [seed for seed in spec.seeds if (run, seed) in result.runs]

    @property
    def first(self) -> FinishedRun:
        return self.finished[0]

    @property
    def loaded(self) -> LoadedRun:
        return self.first.loaded


@dataclass(frozen=True)
class _Shown:
    """A figure and its runs that have finished."""

    spec: FigureSpec
    runs: list[_ShownRun]

    def caption(self) -> str:
        """The runs, seeds and epochs in the figure, in words."""
        parts: dict[tuple[str, int], list[str]] = {}
        for run in self.runs:
            seeds = run.seeds if self.spec.kind == "seeds" else run.seeds[:1]
            words = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
            parts.setdefault((words, run.first.snapshot.status.epoch), []).append(run.id)
        listed = [f"{', '.join(runs)} ({seeds}, {epochs:,} epochs)" for (seeds, epochs), runs in parts.items()]
        return f"Runs: {'; '.join(listed)}."


Drawn = tuple[str, str]
"""The markup, and what else the caption says."""


def _curves(shown: _Shown) -> Drawn:
    """One run has all its splits in a panel; several runs have a panel for training and one for test."""
    spec, runs = shown.spec, shown.runs
    alone = len(runs) == 1
    panels: list[figures.Panel] = []
    for metric in spec.metric:
        if alone:
            of_splits = [(words, runs[0], split) for split, words in figures.SPLITS.items()]
            panels.append((f"{figures.word(metric)}, {runs[0].label}", _lines(of_splits, metric)))
            continue
        # What is measured with dropout off only stands for training where nothing else does.
        for split in ("train" if ("train", metric) in runs[0].first.snapshot.series else "train-eval", "test"):
            of_runs = [(run.label, run, split) for run in runs]
            panels.append((f"{figures.word(metric)}, {figures.SPLITS[split]}", _lines(of_runs, metric)))
    return figures.curves(panels, spec.log, min(3, len(panels)) if alone else 2, share=not alone), ""


def _lines(parts: Sequence[tuple[str, _ShownRun, str]], metric: str) -> list[tuple[str, int, Series]]:
    """The curves of a metric that were recorded, from labels, runs and splits."""
    return [
        (label, place, series)
        for place, (label, run, split) in enumerate(parts)
        if (series := run.first.snapshot.series.get((split, metric))) is not None
    ]


def _images(shown: _Shown) -> Drawn:
    rows: list[figures.Strip] = []
    first = shown.runs[0].loaded
    for run in shown.runs:
        loaded = run.loaded
        images = loaded.images("test", loaded.watched(shown.spec.count))
        # The inputs once, where every run was asked the same ones.
        if not rows or loaded.classes != first.classes:
            rows.append(("input", images))
        rows.append((run.label, loaded.reconstruct(images)[1]))
    return figures.image_rows(rows), ""


def _untrained(shown: _Shown) -> Drawn:
    run = shown.runs[0].first
    rows: list[figures.Strip] = []
    for epoch, label in ((0, "untrained"), (-1, "trained")):
        sample = run.sample(epoch)
        if sample is None or sample.inputs is None or sample.reconstructions is None:
            raise ClaimError(f"{run.run.id} kept no sample of epoch {epoch}")
        if not rows:
            rows.append(("input", sample.inputs))
        rows.append((label, sample.reconstructions))
    return figures.image_rows(rows), ""


def _noise(shown: _Shown) -> Drawn:
    run, spec = shown.runs[0].loaded, shown.spec
    images = run.images("test", run.watched(spec.count))
    own = spec.noise == "own"
    rows = [("clean", images)]
    for level in [run.config.noise.level] if own else spec.levels:
        noise = run.config.noise if own else NoiseSection.model_validate({"kind": spec.noise, "level": level})
        noisy, made = run.reconstruct(images, noise)
        rows += [("noisy" if own else f"noise {level:g}", noisy), ("denoised", made)]
    return figures.image_rows(rows), ""


def _codes(shown: _Shown) -> Drawn:
    planes = [(run.label, *run.loaded.codes("test", CODES), run.loaded.classes) for run in shown.runs]
    return figures.planes(planes), ""


def _between(shown: _Shown) -> Drawn:
    rows, (start, end), count = [], shown.spec.ends, shown.spec.count
    for run in shown.runs:
        codes, labels = run.loaded.codes("test")
        first, last = (codes[labels == run.loaded.classes.index(name)][0] for name in (start, end))
        rows.append((run.label, run.loaded.decode(between(first, last, count))))
    heads = [start, *(f"{share:.0%}" for share in np.linspace(0, 1, count)[1:-1]), end]
    return figures.image_rows(rows, heads), f"Codes on the line from {start} to {end}, decoded."


def _code_grid(shown: _Shown) -> Drawn:
    side = shown.spec.count
    steps = np.linspace(-PLANE, PLANE, side)
    images = shown.runs[0].loaded.decode(PlaneGrid(steps, steps[::-1]).codes)
    half = (steps[1] - steps[0]) / 2
    words = f"{side} × {side} codes from {-PLANE:g} to {PLANE:g} standard deviations of the prior."
    return figures.tiles(images, side, (-PLANE - half, PLANE + half)), words


def _prior(shown: _Shown) -> Drawn:
    images = shown.runs[0].loaded.prior_samples(shown.spec.count)
    return figures.image_rows([("", images)], columns=10), "None has an input behind it."


def _confusion(shown: _Shown) -> Drawn:
    found, classes = [], tuple[str, ...]()
    for run in shown.runs:
        sample = run.first.sample(-1)
        if sample is not None and sample.confusion is not None:
            accuracy = np.trace(sample.confusion) / sample.confusion.sum()
            found.append((f"{run.label}: {accuracy:.4f}", sample.confusion))
            classes = sample.classes
    if not found:
        raise ClaimError("none of its runs recorded a confusion matrix")
    return figures.matrices(found, classes), "Percent of each true class, and the accuracy on the test images above."


def _seeds(shown: _Shown) -> Drawn:
    metric = shown.spec.metric[0]
    groups = [(run.label, [one.series(f"test/{metric}").values[-1] for one in run.finished]) for run in shown.runs]
    limit = 1.0 if metric == "wrong_pixels_max" else None
    words = "One point a seed" + ("; the line is one wrong pixel." if limit else ".")
    return figures.dots(groups, figures.word(metric), limit), words


_KINDS: dict[str, Callable[[_Shown], Drawn]] = {
    "curves": _curves,
    "images": _images,
    "untrained": _untrained,
    "noise": _noise,
    "codes": _codes,
    "between": _between,
    "code-grid": _code_grid,
    "prior": _prior,
    "confusion": _confusion,
    "seeds": _seeds,
}
