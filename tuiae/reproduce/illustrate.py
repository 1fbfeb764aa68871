"""The figures that a work shows, drawn from its finished runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tuiae.config import NoiseSection
from tuiae.errors import TuiaeError
from tuiae.explore.checkpoint import LoadedRun
from tuiae.reproduce import figures
from tuiae.reproduce.claims import ClaimError
from tuiae.reproduce.figures import Line, Panel, Plane, Row
from tuiae.reproduce.measures import RunFacts
from tuiae.reproduce.report import Picture
from tuiae.reproduce.reproduce import WorkResult
from tuiae.reproduce.work import FigureSpec

CODES = 5000  # points of a plane
PLANE = 2.5  # standard deviations of the prior each way


def illustrate(result: WorkResult, tell: Callable[[str], None] = lambda text: None) -> tuple[Picture, ...]:
    """Every figure of a work whose runs have finished; what cannot be drawn is told."""
    pictures = []
    for spec in result.plan.work.figure:
        found = _Shown(result, spec)
        if not found.runs:
            tell(f"{result.plan.name}: no figure '{spec.title}': none of its runs has finished")
            continue
        try:
            svg, more = _KINDS[spec.kind](found)
        except (ClaimError, TuiaeError) as error:
            tell(f"{result.plan.name}: no figure '{spec.title}': {error}")
            continue
        words = [spec.caption, more, found.caption()]
        pictures.append(Picture(spec.title, svg, " ".join(word for word in words if word)))
    return tuple(pictures)


class _Shown:
    """A figure's runs that have finished, each with the first of its seeds."""

    def __init__(self, result: WorkResult, spec: FigureSpec) -> None:
        self.spec = spec
        self._result = result
        self._work = result.plan.work
        self.runs = [run for run in spec.runs if self.seeds(run)]

    def seeds(self, run: str) -> list[int]:
        return [seed for seed in self._work.spec(run).seeds if (run, seed) in self._result.runs]

    def facts(self, run: str, seed: int | None = None) -> RunFacts:
        """Of the first seed that has finished, or of the one that is asked for."""
        return self._result.facts.find(run, self.seeds(run)[0] if seed is None else seed)

    def label(self, run: str) -> str:
        return self._work.spec(run).label or run

    def loaded(self) -> list[tuple[str, LoadedRun]]:
        return [(self.label(run), self.facts(run).loaded) for run in self.runs]

    def caption(self) -> str:
        """Which runs, seeds and epochs are seen."""
        parts: dict[tuple[str, int], list[str]] = {}
        for run in self.runs:
            seeds = self.seeds(run) if self.spec.kind == "seeds" else self.seeds(run)[:1]
            words = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
            parts.setdefault((words, self.facts(run).snapshot.status.epoch), []).append(run)
        told = [f"{', '.join(runs)} ({seeds}, {epochs:,} epochs)" for (seeds, epochs), runs in parts.items()]
        return f"Runs: {'; '.join(told)}."


Drawn = tuple[str, str]
"""The markup, and what else the caption says."""

_SPLITS = {"train": "training", "train-eval": "training images after the epoch", "test": "test"}
_WORDS = {"mse": "mean squared error", "kl": "KL term", "wrong_pixels_max": "wrong pixels in the worst image"}


def _curves(shown: _Shown) -> Drawn:
    alone = len(shown.runs) == 1
    panels = []
    for metric in shown.spec.metric:
        if alone:
            panels.append(_splits_of(shown, shown.runs[0], metric))
            continue
        for split in _pair(shown, metric):
            lines = tuple(
                Line(shown.label(run), series.epochs, series.values, place)
                for place, run in enumerate(shown.runs)
                if (series := shown.facts(run).snapshot.series.get((split, metric))) is not None
            )
            panels.append(Panel(f"{_word(metric)}, {_SPLITS[split]}", lines))
    columns = min(3, len(panels)) if alone else 2
    return figures.curves(panels, shown.spec.log, columns, share=not alone), ""


def _word(metric: str) -> str:
    return _WORDS.get(metric, metric.replace("_", " "))


def _pair(shown: _Shown, metric: str) -> tuple[str, str]:
    """Training at the left and test at the right; what is measured with dropout off only stands for training."""
    recorded = shown.facts(shown.runs[0]).snapshot.series
    return ("train" if ("train", metric) in recorded else "train-eval"), "test"


def _splits_of(shown: _Shown, run: str, metric: str) -> Panel:
    series = shown.facts(run).snapshot.series
    lines = tuple(
        Line(words, found.epochs, found.values, place)
        for place, (split, words) in enumerate(_SPLITS.items())
        if (found := series.get((split, metric))) is not None
    )
    return Panel(f"{_word(metric)}, {shown.label(run)}", lines)


def _images(shown: _Shown) -> Drawn:
    (_, first), *_ = loaded = shown.loaded()
    rows = []
    for place, (label, run) in enumerate(loaded):
        images = run.images("test", run.watched(shown.spec.count))
        # The inputs once, where every run was asked the same ones.
        if place == 0 or run.classes != first.classes:
            rows.append(Row("input", images))
        rows.append(Row(label, run.reconstruct(images)[1]))
    return figures.image_rows(rows), ""


def _untrained(shown: _Shown) -> Drawn:
    rows, facts = [], shown.facts(shown.runs[0])
    for epoch, label in ((0, "untrained"), (-1, "trained")):
        sample = facts.sample(epoch)
        if sample is None or sample.inputs is None or sample.reconstructions is None:
            raise ClaimError(f"{facts.run.id} kept no sample of epoch {epoch}")
        rows += [Row("input", sample.inputs), Row(label, sample.reconstructions)]
    return figures.image_rows([rows[0], rows[1], rows[3]]), ""


def _noise(shown: _Shown) -> Drawn:
    (_, run), *_ = shown.loaded()
    images = run.images("test", run.watched(shown.spec.count))
    own = shown.spec.noise == "own"
    rows = [Row("clean", images)]
    for level in [run.config.noise.level] if own else shown.spec.levels:
        noise = run.config.noise if own else NoiseSection.model_validate({"kind": shown.spec.noise, "level": level})
        noisy, made = run.reconstruct(images, noise)
        rows += [Row("noisy" if own else f"noise {level:g}", noisy), Row("denoised", made)]
    return figures.image_rows(rows), ""


def _codes(shown: _Shown) -> Drawn:
    found = [Plane(label, *run.codes("test", CODES), run.classes) for label, run in shown.loaded()]
    return figures.planes(found), ""


def _between(shown: _Shown) -> Drawn:
    rows, heads = [], shown.spec.ends
    for label, run in shown.loaded():
        codes, labels = run.codes("test")
        ends = [codes[labels == run.classes.index(name)][0] for name in heads]
        shares = np.linspace(0, 1, shown.spec.count)[:, None]
        rows.append(Row(label, run.decode((1 - shares) * ends[0] + shares * ends[1])))
    marks = [heads[0], *(f"{share:.0%}" for share in np.linspace(0, 1, shown.spec.count)[1:-1]), heads[1]]
    return figures.image_rows(rows, marks), f"Codes on the line from {heads[0]} to {heads[1]}, decoded."


def _code_grid(shown: _Shown) -> Drawn:
    (_, run), *_ = shown.loaded()
    side = shown.spec.count
    steps = np.linspace(-PLANE, PLANE, side)
    # The first row of an image is its top, where the second value is largest.
    codes = np.array([(x, y) for y in steps[::-1] for x in steps])
    half = (steps[1] - steps[0]) / 2
    words = f"{side} × {side} codes from {-PLANE:g} to {PLANE:g} standard deviations of the prior."
    return figures.tiles(run.decode(codes), side, (-PLANE - half, PLANE + half)), words


def _prior(shown: _Shown) -> Drawn:
    (_, run), *_ = shown.loaded()
    return figures.image_rows(
        [Row("", run.prior_samples(shown.spec.count))], columns=10
    ), "None has an input behind it."


def _confusion(shown: _Shown) -> Drawn:
    found, classes = [], tuple[str, ...]()
    for run in shown.runs:
        sample = shown.facts(run).sample(-1)
        if sample is not None and sample.confusion is not None:
            accuracy = np.trace(sample.confusion) / sample.confusion.sum()
            found.append((f"{shown.label(run)}: {accuracy:.4f}", sample.confusion))
            classes = sample.classes
    if not found:
        raise ClaimError("none of its runs recorded a confusion matrix")
    return figures.matrices(found, classes), "Percent of each true class, and the accuracy on the test images above."


def _seeds(shown: _Shown) -> Drawn:
    metric = shown.spec.metric[0]
    groups: list[tuple[str, Sequence[float]]] = []
    for run in shown.runs:
        facts = [shown.facts(run, seed) for seed in shown.seeds(run)]
        groups.append((shown.label(run), [value.series(f"test/{metric}").values[-1] for value in facts]))
    limit = 1.0 if metric == "wrong_pixels_max" else None
    words = "One point a seed" + ("; the line is one wrong pixel." if limit else ".")
    return figures.dots(groups, _word(metric), limit), words


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
