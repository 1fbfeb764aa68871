"""Questions to a trained network whose answer is one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuiae.config import NoiseSection, RunConfig
from tuiae.errors import TuiaeError
from tuiae.explore.checkpoint import LoadedRun, load
from tuiae.reproduce.claims import ClaimError, Value
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.snapshot import Best, Sample, Series, Snapshot
from tuiae.training.quality import pca_error

DRAWS = 20  # corruptions of each image: a set of 15 characters is too few for one to say much
MANY = 1000  # images from which one draw each is enough
NEIGHBOURS = 5000  # training images among which the nearest is looked for
SAMPLES = 500
Reals = NDArray[Any]


def noise_error(loaded: LoadedRun, noise: NoiseSection, quality: str) -> float:
    """mse (mean over pixels), accuracy, exact (share of images with no wrong pixel), wrong_pixels (mean of an image) or
    wrong_pixels_max (the worst image) on the test images.
    """
    noisy, wanted = _noisy(loaded, noise)
    made = loaded.reconstruct(noisy)[1]
    return _QUALITIES[quality](made.reshape(len(made), -1), wanted.reshape(len(wanted), -1))


def _noisy(loaded: LoadedRun, noise: NoiseSection) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Test images with noise on them and the clean ones: one draw an image, or DRAWS where there are few images."""
    clean = loaded.images("test")
    draws = 1 if noise.kind == "none" or len(clean) >= MANY else DRAWS
    return (
        np.concatenate([loaded.corrupt(clean, noise, seed) for seed in range(draws)]),
        np.tile(clean, (draws, 1, 1, 1)),
    )


def _wrong(made: Reals, wanted: Reals) -> NDArray[np.int64]:
    return ((made > 0.5) != (wanted > 0.5)).sum(1)


_QUALITIES: dict[str, Callable[[Reals, Reals], float]] = {
    "mse": lambda made, wanted: float(np.mean(np.square(made - wanted), dtype=np.float64)),
    "accuracy": lambda made, wanted: float(1 - _wrong(made, wanted).mean() / wanted.shape[1]),
    "exact": lambda made, wanted: float((_wrong(made, wanted) == 0).mean()),
    "wrong_pixels": lambda made, wanted: float(_wrong(made, wanted).mean()),
    "wrong_pixels_max": lambda made, wanted: float(_wrong(made, wanted).max()),
}


def pca_error_of(loaded: LoadedRun) -> float:
    """Test error (mean over pixels) of as many principal components as the code is wide; of noisy input, where a run
    has noise, against the clean images."""
    noisy, wanted = _noisy(loaded, loaded.config.noise)
    return pca_error(loaded.images("train"), noisy, loaded.config.model.latent, wanted)


def recalls(confusion: NDArray[np.int64]) -> Reals:
    """Of each class, (classes,), from counts whose rows are the true class."""
    return np.diag(confusion) / np.maximum(confusion.sum(1), 1)


def subspace_angle(loaded: LoadedRun) -> float:
    """Largest principal angle in degrees between what a linear decoder spans and the first principal components.

    0 when they are the same subspace (Baldi and Hornik 1989: the optimum of a linear autoencoder).
    """
    images = loaded.images("train").reshape(len(loaded.images("train")), -1).astype(np.float64)
    width = loaded.config.model.latent
    units = np.vstack([np.zeros(width), np.eye(width)])
    decoded = _linear_decode(loaded, units)
    span = np.linalg.qr((decoded[1:] - decoded[0]).T)[0]
    components = np.linalg.svd(images - images.mean(0), full_matrices=False)[2][:width]
    cosines = np.linalg.svd(components @ span, compute_uv=False)
    return float(np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))))


def _linear_decode(loaded: LoadedRun, codes: Reals) -> Reals:
    """As `LoadedRun.decode`, without cutting what lies outside 0..1: a cut is not linear."""
    import torch

    decoder = loaded.parts.model
    with torch.inference_mode():
        given = torch.as_tensor(codes, dtype=torch.float32).to(loaded.parts.device)
        made: NDArray[np.float32] = decoder.decode(given).float().cpu().numpy()  # type: ignore[operator]
    return made.reshape(len(codes), -1).astype(np.float64)


def mean_square(loaded: LoadedRun) -> float:
    """Mean squared pixel of the training images: what dropping an output pixel costs."""
    return float(np.mean(np.square(loaded.images("train")), dtype=np.float64))


def _distances(points: Reals) -> Reals:
    """Euclidean, (N, N)."""
    squares = np.square(points).sum(1)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))


def _code_and_pixel_distances(loaded: LoadedRun) -> tuple[Reals, Reals]:
    images = loaded.images("test", MANY)
    codes, _ = loaded.codes("test", MANY)
    # Of binary pixels the squared distance is the number that differ.
    return _distances(codes.astype(np.float64)), _distances(images.reshape(len(images), -1).astype(np.float64)) ** 2


def neighbour_ratio(loaded: LoadedRun) -> float:
    """Pixels by which an image differs from its neighbour in code, against the mean over all pairs: 1 is chance."""
    codes, pixels = _code_and_pixel_distances(loaded)
    count = len(codes)
    np.fill_diagonal(codes, np.inf)
    nearest = pixels[np.arange(count), codes.argmin(1)].mean()
    return float(nearest / (pixels.sum() / (count * (count - 1))))


def distance_correlation(loaded: LoadedRun) -> float:
    """Spearman's rank correlation of code distance and pixel distance over all pairs."""
    codes, pixels = _code_and_pixel_distances(loaded)
    upper = np.triu_indices(len(codes), 1)
    return float(np.corrcoef(_ranks(codes[upper]), _ranks(pixels[upper]))[0, 1])


def _ranks(values: Reals) -> Reals:
    """Ranks with ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def prior_ratio(loaded: LoadedRun) -> float:
    """Median distance from images decoded of the prior to the nearest training image, over that of reconstructions of
    test images: about 1 when what has no input behind it is as near to real images as what has."""
    reals = loaded.images("train", NEIGHBOURS).reshape(-1, int(np.prod(loaded.parts.train.image_shape)))
    drawn = loaded.prior_samples(SAMPLES)
    made = loaded.reconstruct(loaded.images("test", SAMPLES))[1]
    far, near = (float(np.median(_nearest(images.reshape(len(images), -1), reals))) for images in (drawn, made))
    return far / near


def _nearest(images: NDArray[np.float32], reals: NDArray[np.float32]) -> Reals:
    squares = np.square(images).sum(1)[:, None] + np.square(reals).sum(1) - 2 * images @ reals.T
    return np.sqrt(np.maximum(squares.min(1), 0)).astype(np.float64)


QUESTIONS: dict[str, Callable[[LoadedRun], float]] = {
    "subspace_angle": subspace_angle,
    "mean_square": mean_square,
    "neighbour_ratio": neighbour_ratio,
    "distance_correlation": distance_correlation,
    "prior_ratio": prior_ratio,
}
"""Functions of claims that ask a network and nothing else."""


# What the functions of a claim find out about finished runs: their curves, and what their networks answer.

LOADED = 4  # networks with their images that are kept in memory; figures and claims ask one run several times


class RunFacts:
    """One finished run."""

    def __init__(self, run: RunPaths, load_run: Callable[[RunPaths], LoadedRun]) -> None:
        self.run = run
        self._load = load_run

    @cached_property
    def snapshot(self) -> Snapshot:
        return RunReader(self.run.root).read_all()

    @property
    def config(self) -> RunConfig:
        config = self.snapshot.config
        if config is None:
            raise ClaimError(f"{self.run.id} has no config that this version knows")
        return config

    @property
    def loaded(self) -> LoadedRun:
        """The newest weights in memory.

        Raises:
            ClaimError: they cannot be opened.
        """
        try:
            return self._load(self.run)
        except TuiaeError as error:
            raise ClaimError(f"{self.run.id}: {error.cause}") from error

    def sample(self, epoch: int) -> Sample | None:
        """What the run recorded of its watched images; epoch -1 is the last."""
        epochs = self.snapshot.samples
        return read_sample(self.run, epochs[epoch] if epoch < 0 else epoch) if epochs else None

    def series(self, metric: str) -> Series:
        """A curve by its `split/name`.

        Raises:
            ClaimError: the run recorded none.
        """
        split, _, name = metric.partition("/")
        series = self.snapshot.series.get((split, name))
        if series is None or not len(series.values):
            raise ClaimError(f"{self.run.id} recorded no {metric}")
        return series


class Facts:
    """The functions of claims, over the finished runs of a work: (run id, seed) -> run."""

    def __init__(self, runs: Mapping[tuple[str, int], RunPaths]) -> None:
        load_run = lru_cache(maxsize=LOADED)(load)
        self._runs = {key: RunFacts(run, load_run) for key, run in runs.items()}
        self._baselines: dict[Any, float] = {}

    def find(self, run: str, seed: int) -> RunFacts:
        """One run's facts.

        Raises:
            ClaimError: it has not finished.
        """
        if (run, seed) not in self._runs:
            raise ClaimError(f"'{run}' with seed {seed} has no finished run")
        return self._runs[run, seed]

    def functions(self, seed: int) -> dict[str, Callable[..., Value]]:
        """Every function that an expression may call, for the runs of one seed."""
        of_runs = {name: partial(self._ask, question, seed) for name, question in _QUESTIONS.items()}
        of_many = {
            name: partial(self._ask_all, _QUESTIONS[question], seed) for name, question in _ABOUT_SEVERAL.items()
        }
        baseline = {"pca_error": lambda run: self.baseline(run, seed)}
        return {**of_runs, **of_many, **baseline, **_OF_VALUES}

    def baseline(self, run: str, seed: int) -> float:
        """Test error of as many principal components as the code is wide, in the unit of the run's own error."""
        facts = self.find(run, seed)
        config = facts.config
        key = config.data.model_dump_json(), config.noise.model_dump_json(), config.model.latent
        if key not in self._baselines:
            self._baselines[key] = pca_error_of(facts.loaded)
        return self._baselines[key] * _per_image(facts)

    def _ask(self, question: Callable[..., Value], seed: int, run: str, *arguments: Any) -> Value:
        return question(self.find(run, seed), *arguments)

    def _ask_all(self, question: Callable[..., Value], seed: int, runs: Any, *arguments: Any) -> list[Value]:
        named = [runs] if isinstance(runs, str) else list(runs)
        return [question(self.find(run, seed), *arguments) for run in named]


def _per_image(facts: RunFacts) -> int:
    """Pixels of an image where the work sums its error over them, 1 where it takes the mean."""
    return math.prod(facts.loaded.parts.train.image_shape) if facts.config.training.loss == "sse" else 1


def _final(facts: RunFacts, metric: str) -> float:
    return float(facts.series(metric).values[-1])


def _first(facts: RunFacts, metric: str) -> float:
    return float(facts.series(metric).values[0])


def _at(facts: RunFacts, metric: str, epoch: float) -> float:
    series = facts.series(metric)
    if series.epochs[-1] < epoch:
        raise ClaimError(f"epoch {epoch:g} was not reached: the run has {series.epochs[-1]:g} epochs")
    place = int(np.searchsorted(series.epochs, epoch, side="right")) - 1
    return float(series.values[max(place, 0)])


def _best_point(facts: RunFacts, metric: str) -> Best:
    best = facts.series(metric).best(metric.rpartition("/")[2])
    if best is None:
        raise ClaimError(f"{facts.run.id} recorded no finite {metric}")
    return best


def _best(facts: RunFacts, metric: str) -> float:
    return _best_point(facts, metric).value


def _best_epoch(facts: RunFacts, metric: str) -> float:
    return _best_point(facts, metric).epoch


def _curve(facts: RunFacts, metric: str) -> list[float]:
    return [float(value) for value in facts.series(metric).values]


def _epochs(facts: RunFacts) -> int:
    return facts.snapshot.status.epoch


def _late_change(facts: RunFacts, metric: str, share: float) -> float:
    values = facts.series(metric).values
    count = max(1, round(share * len(values)))
    if len(values) < 2 * count:
        raise ClaimError(f"{len(values)} epochs are too few to compare their last {share:.0%} with what came before")
    before = float(values[-2 * count : -count].mean())
    return (float(values[-count:].mean()) - before) / before


def _settled(facts: RunFacts, metric: str, tolerance: float) -> float:
    series = facts.series(metric)
    away = np.flatnonzero(~(np.abs(series.values - series.values[-1]) <= tolerance * abs(series.values[-1])))
    return float(series.epochs[away[-1] + 1 if len(away) else 0])


def _reached(facts: RunFacts, metric: str, value: float) -> float:
    series = facts.series(metric)
    past = series.values >= value if metric.endswith("accuracy") else series.values <= value
    return float(series.epochs[int(np.argmax(past))]) if past.any() else math.inf


def _seconds(facts: RunFacts) -> float:
    return float(facts.snapshot.status.elapsed or 0.0)


def _noise_error(facts: RunFacts, kind: Any, level: float, quality: str) -> float:
    noise = NoiseSection(kind=kind, level=level)
    return noise_error(facts.loaded, noise, quality) * _unit(facts, quality)


def _noise_errors(facts: RunFacts, kind: Any, levels: Sequence[float], quality: str) -> list[float]:
    return [_noise_error(facts, kind, level, quality) for level in levels]


def _uniform_error(facts: RunFacts, level: float, probability: float, quality: str) -> float:
    noise = NoiseSection(kind="uniform", level=level, probability=probability)
    return noise_error(facts.loaded, noise, quality) * _unit(facts, quality)


def _unit(facts: RunFacts, quality: str) -> int:
    return _per_image(facts) if quality == "mse" else 1


def _class_recall(facts: RunFacts, name: str) -> float:
    confusion, classes = _confusion(facts)
    return float(recalls(confusion)[_index(classes, name)])


def _hardest_class(facts: RunFacts) -> str:
    confusion, classes = _confusion(facts)
    return classes[int(np.argmin(recalls(confusion)))]


def _confused_with(facts: RunFacts, name: str, count: float) -> list[str]:
    confusion, classes = _confusion(facts)
    place = _index(classes, name)
    row = np.array(confusion[place])
    row[place] = -1
    return [classes[index] for index in np.argsort(-row, kind="stable")[: int(count)]]


def _index(classes: tuple[str, ...], name: str) -> int:
    if name not in classes:
        raise ClaimError(f"no class '{name}': {', '.join(classes)}")
    return classes.index(name)


def _confusion(facts: RunFacts) -> tuple[np.ndarray, tuple[str, ...]]:
    sample = facts.sample(-1)
    if sample is None or sample.confusion is None:
        raise ClaimError(f"{facts.run.id} recorded no confusion matrix")
    return sample.confusion, sample.classes


def _of_loaded(question: Callable[[LoadedRun], float]) -> Callable[[RunFacts], float]:
    return lambda facts: question(facts.loaded)


_QUESTIONS: dict[str, Callable[..., Value]] = {
    "final": _final,
    "first": _first,
    "at": _at,
    "best": _best,
    "best_epoch": _best_epoch,
    "curve": _curve,
    "epochs": _epochs,
    "late_change": _late_change,
    "settled": _settled,
    "reached": _reached,
    "seconds": _seconds,
    "noise_error": _noise_error,
    "noise_errors": _noise_errors,
    "uniform_error": _uniform_error,
    "class_recall": _class_recall,
    "hardest_class": _hardest_class,
    "confused_with": _confused_with,
    **{name: _of_loaded(question) for name, question in QUESTIONS.items()},
}
_ABOUT_SEVERAL = {"finals": "final", "bests": "best", "all_reached": "reached"}
_OF_VALUES: dict[str, Callable[..., Value]] = {
    "falling": lambda values: bool(np.all(np.diff(values) < 0)),
    "rising": lambda values: bool(np.all(np.diff(values) > 0)),
    "spread": lambda values: (max(values) - min(values)) / min(values),
    "mean": lambda values: float(np.mean(values)),
    "lowest": lambda values: min(values),
    "highest": lambda values: max(values),
    "abs": abs,
    "log10": math.log10,
}
