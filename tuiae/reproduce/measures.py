"""The functions of claims: their arguments, the runs that they apply to, and how they are computed.

`FUNCTIONS`, at the end, is the one table of them. A function of a `run` is computed from a finished run: from the
curves that it recorded, or by asking its network. The dashboard checks claims with this table and has no torch, so
that networks and their libraries are imported when the first one is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuiae.config import NoiseSection, RunConfig
from tuiae.errors import TuiaeError
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.snapshot import Best, Sample, Series, Snapshot

if TYPE_CHECKING:
    from tuiae.explore.checkpoint import LoadedRun

LOADED = 4  # networks with their images that are kept in memory; figures and claims ask one run several times
DRAWS = 20  # corruptions of each image: a set of 15 characters is too few for one to say much
MANY = 1000  # images from which one draw each is enough
NEIGHBOURS = 5000  # training images among which the nearest is looked for
SAMPLES = 500

Value = Any
"""A number, a truth, a word, or a list of these."""
Reals = NDArray[Any]


class ClaimError(ValueError):
    """An expression that cannot be evaluated; the caller adds the file and the claim."""


@dataclass(eq=False)
class FinishedRun:
    """One finished run; everything is read at its first use."""

    run: RunPaths
    _load: Callable[[RunPaths], LoadedRun]
    """Opens its newest weights."""
    _pca_errors: dict[Any, float]
    """The errors known so far, by images, noise and code size; shared by the runs of a work."""

    @cached_property
    def snapshot(self) -> Snapshot:
        return RunReader(self.run.root).read_all()

    @property
    def seconds(self) -> float:
        """Wall time of its training."""
        return float(self.snapshot.status.elapsed or 0.0)

    @property
    def config(self) -> RunConfig:
        config = self.snapshot.config
        if config is None:
            raise ClaimError(f"{self.run.id} has no config that this version knows")
        return config

    @property
    def loaded(self) -> LoadedRun:
        """The newest weights in memory; raises ClaimError where they cannot be opened."""
        try:
            return self._load(self.run)
        except TuiaeError as error:
            raise ClaimError(f"{self.run.id}: {error.cause}") from error

    def sample(self, epoch: int) -> Sample | None:
        """The sample that the run recorded after an epoch; -1 is the last one."""
        epochs = self.snapshot.samples
        return read_sample(self.run, epochs[epoch] if epoch < 0 else epoch) if epochs else None

    def series(self, metric: str) -> Series:
        """A curve by its `split/name`; raises ClaimError where the run recorded none."""
        split, _, name = metric.partition("/")
        series = self.snapshot.series.get((split, name))
        if series is None or not len(series.values):
            raise ClaimError(f"{self.run.id} recorded no {metric}")
        return series

    def pca_error(self) -> float:
        """Test error of as many principal components as the code is wide, in the unit of the run's own error; of noisy
        input, where a run has noise, against the clean images."""
        from tuiae.training.quality import pca_error

        config = self.config
        key = config.data.model_dump_json(), config.noise.model_dump_json(), config.model.latent
        if key not in self._pca_errors:
            loaded = self.loaded
            noisy, wanted = _noisy(loaded, loaded.config.noise)
            self._pca_errors[key] = pca_error(loaded.images("train"), noisy, config.model.latent, wanted)
        return self._pca_errors[key] * self.pixels_summed

    @property
    def pixels_summed(self) -> int:
        """Pixels of an image where the work sums its error over them, 1 where it takes the mean."""
        return math.prod(self.loaded.parts.train.image_shape) if self.config.training.loss == "sse" else 1


Runs = Mapping[tuple[str, int], FinishedRun]
"""The finished runs of a work, by the run's id in the work's file and its seed."""


def open_runs(paths: Mapping[tuple[str, int], RunPaths]) -> dict[tuple[str, int], FinishedRun]:
    """The finished runs behind these directories; nothing is read yet."""

    @lru_cache(maxsize=LOADED)
    def load(run: RunPaths) -> LoadedRun:
        from tuiae.explore.checkpoint import load

        return load(run)

    pca_errors: dict[Any, float] = {}
    return {key: FinishedRun(run, load, pca_errors) for key, run in paths.items()}


def functions_of(runs: Runs, seed: int) -> dict[str, Callable[..., Value]]:
    """Every function that an expression may call, for the runs of one seed."""

    def find(name: str) -> FinishedRun:
        if (name, seed) not in runs:
            raise ClaimError(f"'{name}' with seed {seed} has no finished run")
        return runs[name, seed]

    def call(function: ClaimFunction, first: Any, *others: Any) -> Value:
        if function.kinds[0] == "run":
            return function.compute(find(first), *others)
        if function.kinds[0] == "runs":
            named = [first] if isinstance(first, str) else first
            return [function.compute(find(name), *others) for name in named]
        return function.compute(first, *others)

    return {name: partial(call, function) for name, function in FUNCTIONS.items()}


# What a run recorded: its curves and its last confusion matrix.


def _final(run: FinishedRun, metric: str) -> float:
    """The value of the last epoch."""
    return float(run.series(metric).values[-1])


def _at(run: FinishedRun, metric: str, epoch: float) -> float:
    """The value after an epoch, or the newest before it."""
    series = run.series(metric)
    if series.epochs[-1] < epoch:
        raise ClaimError(f"epoch {epoch:g} was not reached: the run has {series.epochs[-1]:g} epochs")
    place = int(np.searchsorted(series.epochs, epoch, side="right")) - 1
    return float(series.values[max(place, 0)])


def _best(run: FinishedRun, metric: str) -> Best:
    """The highest accuracy, or the lowest value of anything else, and its epoch."""
    best = run.series(metric).best(metric.rpartition("/")[2])
    if best is None:
        raise ClaimError(f"{run.run.id} recorded no finite {metric}")
    return best


def _late_change(run: FinishedRun, metric: str, share: float) -> float:
    """Relative change: mean over this last share of the epochs against the share before."""
    values = run.series(metric).values
    count = max(1, round(share * len(values)))
    if len(values) < 2 * count:
        raise ClaimError(f"{len(values)} epochs are too few to compare their last {share:.0%} with what came before")
    before = float(values[-2 * count : -count].mean())
    return (float(values[-count:].mean()) - before) / before


def _settled(run: FinishedRun, metric: str, tolerance: float) -> float:
    """First epoch from which the curve stays this near its end."""
    series = run.series(metric)
    away = np.flatnonzero(~(np.abs(series.values - series.values[-1]) <= tolerance * abs(series.values[-1])))
    return float(series.epochs[away[-1] + 1 if len(away) else 0])


def _reached(run: FinishedRun, metric: str, value: float) -> float:
    """First epoch at or past a value; infinite when never."""
    series = run.series(metric)
    past = series.values >= value if metric.endswith("accuracy") else series.values <= value
    return float(series.epochs[int(np.argmax(past))]) if past.any() else math.inf


def _confusion(run: FinishedRun) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Counts (classes, classes), rows the true class, and the names of the classes."""
    sample = run.sample(-1)
    if sample is None or sample.confusion is None:
        raise ClaimError(f"{run.run.id} recorded no confusion matrix")
    return sample.confusion, sample.classes


def _recalls(run: FinishedRun) -> dict[str, float]:
    """Class -> share of its test images that are recognised, of the classes that have some."""
    confusion, classes = _confusion(run)
    counts = zip(classes, np.diag(confusion).tolist(), confusion.sum(1).tolist(), strict=False)
    return {name: right / images for name, right, images in counts if images}


def _recall(run: FinishedRun, name: str) -> float:
    return _recalls(run).get(name, math.nan)


def _hardest_class(run: FinishedRun) -> str:
    """The class of the lowest recall."""
    recalls = _recalls(run)
    return min(recalls, key=recalls.__getitem__)


def _confused_with(run: FinishedRun, name: str, count: float) -> list[str]:
    """The classes it is taken for most often."""
    confusion, classes = _confusion(run)
    taken = dict(zip(classes, dict(zip(classes, confusion, strict=False))[name].tolist(), strict=False))
    del taken[name]
    return sorted(taken, key=lambda other: -taken[other])[: int(count)]


# What a network answers.


def _noisy(loaded: LoadedRun, noise: NoiseSection) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Test images with noise on them and the clean ones: one draw an image, or DRAWS where there are few images."""
    clean = loaded.images("test")
    draws = 1 if noise.kind == "none" or len(clean) >= MANY else DRAWS
    return (
        np.concatenate([loaded.corrupt(clean, noise, seed) for seed in range(draws)]),
        np.tile(clean, (draws, 1, 1, 1)),
    )


def _wrong(made: Reals, wanted: Reals) -> NDArray[np.int64]:
    """(N,): pixels of each image that differ once both are rounded to 0 or 1."""
    return ((made > 0.5) != (wanted > 0.5)).sum(1)


QUALITIES: dict[str, Callable[[Reals, Reals], float]] = {
    "mse": lambda made, wanted: float(np.mean(np.square(made - wanted), dtype=np.float64)),
    "accuracy": lambda made, wanted: float(1 - _wrong(made, wanted).mean() / wanted.shape[1]),
    "exact": lambda made, wanted: float((_wrong(made, wanted) == 0).mean()),
    "wrong_pixels": lambda made, wanted: float(_wrong(made, wanted).mean()),
    "wrong_pixels_max": lambda made, wanted: float(_wrong(made, wanted).max()),
}
"""Measures of reconstructions (N, pixels) against clean images; `exact` is the share without a wrong pixel."""


def _noise_error(run: FinishedRun, kind: Any, level: float, quality: str, probability: float = 1.0) -> float:
    """The error on test images with that noise."""
    loaded = run.loaded
    noisy, wanted = _noisy(loaded, NoiseSection(kind=kind, level=level, probability=probability))
    made = loaded.reconstruct(noisy)[1]
    found = QUALITIES[quality](made.reshape(len(made), -1), wanted.reshape(len(wanted), -1))
    return found * run.pixels_summed if quality == "mse" else found


def _subspace_angle(run: FinishedRun) -> float:
    """Largest angle in degrees between the decoder's span and the principal components' (Baldi and Hornik 1989)."""
    from scipy.linalg import subspace_angles

    loaded = run.loaded
    images = loaded.images("train").reshape(len(loaded.images("train")), -1).astype(np.float64)
    width = loaded.config.model.latent
    units = np.vstack([np.zeros(width), np.eye(width)])
    decoded = loaded.decode(units, cut=False).reshape(len(units), -1).astype(np.float64)
    components = np.linalg.svd(images - images.mean(0), full_matrices=False)[2][:width]
    return float(np.degrees(subspace_angles((decoded[1:] - decoded[0]).T, components.T).max()))


def _pair_distances(run: FinishedRun) -> tuple[Reals, Reals]:
    """Distances in code and squared distances in pixels over all pairs of test images, in the order of `pdist`. The
    second of binary images is the number of pixels that differ."""
    from scipy.spatial.distance import pdist

    images, (codes, _) = run.loaded.images("test", MANY), run.loaded.codes("test", MANY)
    return pdist(codes), pdist(images.reshape(len(images), -1), "sqeuclidean")


def _neighbour_ratio(run: FinishedRun) -> float:
    """Pixel distance to the neighbour nearest in code, against the mean over all pairs: 1 is chance."""
    from scipy.spatial.distance import squareform

    codes, pixels = _pair_distances(run)
    square = squareform(codes)
    np.fill_diagonal(square, np.inf)
    nearest = squareform(pixels)[np.arange(len(square)), square.argmin(1)]
    return float(nearest.mean() / pixels.mean())


def _distance_correlation(run: FinishedRun) -> float:
    """Rank correlation of pixel distance and code distance over all pairs."""
    from scipy.stats import spearmanr

    return float(spearmanr(*_pair_distances(run)).statistic)


def _prior_ratio(run: FinishedRun) -> float:
    """Distance from decoded prior samples to the nearest real image, against that of reconstructions."""
    from sklearn.metrics import pairwise_distances_argmin_min

    loaded = run.loaded
    drawn = loaded.prior_samples(SAMPLES)
    made = loaded.reconstruct(loaded.images("test", SAMPLES))[1]
    real, drawn, made = (i.reshape(len(i), -1) for i in (loaded.images("train", NEIGHBOURS), drawn, made))
    far, near = (np.median(pairwise_distances_argmin_min(images, real)[1]) for images in (drawn, made))
    return float(far / near)


@dataclass(frozen=True)
class ClaimFunction:
    """A function of claims."""

    takes: str
    """Kinds of its arguments, with commas between them; a first one that is `run` or `runs` is named by run ids."""
    compute: Callable[..., Value]
    """Takes a `FinishedRun` in place of a run's id; of `runs`, each of them in turn."""
    needs: str = "any"
    """Kind of network: any, autoencoder, linear, variational or classifier."""
    words: str = ""
    """What it gives, where the docstring of `compute` does not say."""

    @property
    def kinds(self) -> list[str]:
        return self.takes.split(", ")

    @property
    def gives(self) -> str:
        return self.words or str(self.compute.__doc__)


FUNCTIONS: dict[str, ClaimFunction] = {
    "final": ClaimFunction("run, metric", _final),
    "first": ClaimFunction(
        "run, metric",
        lambda run, metric: float(run.series(metric).values[0]),
        words="The first measured value.",
    ),
    "at": ClaimFunction("run, metric, epoch", _at),
    "best": ClaimFunction(
        "run, metric",
        lambda run, metric: _best(run, metric).value,
        words="The highest accuracy, or the lowest value of anything else.",
    ),
    "best_epoch": ClaimFunction(
        "run, metric", lambda run, metric: _best(run, metric).epoch, words="The epoch of `best`."
    ),
    "finals": ClaimFunction("runs, metric", _final, words="The last value of each run."),
    "bests": ClaimFunction("runs, metric", lambda run, metric: _best(run, metric).value, words="`best` of each run."),
    "curve": ClaimFunction("run, metric", lambda run, metric: run.series(metric).values.tolist(), words="Every value."),
    "epochs": ClaimFunction("run", lambda run: run.snapshot.status.epoch, words="How many epochs were trained."),
    "late_change": ClaimFunction("run, metric, number", _late_change),
    "settled": ClaimFunction("run, metric, number", _settled),
    "reached": ClaimFunction("run, metric, number", _reached),
    "all_reached": ClaimFunction("runs, metric, number", _reached, words="`reached` of each run."),
    "seconds": ClaimFunction("run", lambda run: run.seconds, words="Wall time of the training."),
    "pca_error": ClaimFunction(
        "run",
        FinishedRun.pca_error,
        "autoencoder",
        "Test error of as many principal components as the code is wide.",
    ),
    "mean_square": ClaimFunction(
        "run",
        lambda run: float(np.mean(np.square(run.loaded.images("train")), dtype=np.float64)),
        words="Mean squared pixel of the training images.",
    ),
    "noise_error": ClaimFunction("run, noise, number, quality", _noise_error, "autoencoder"),
    "noise_errors": ClaimFunction(
        "run, noise, values, quality",
        lambda run, kind, levels, quality: [_noise_error(run, kind, level, quality) for level in levels],
        "autoencoder",
        "`noise_error` at each level.",
    ),
    "uniform_error": ClaimFunction(
        "run, number, number, quality",
        lambda run, level, chance, quality: _noise_error(run, "uniform", level, quality, chance),
        "autoencoder",
        "The error with uniform deltas: largest delta, chance that a pixel moves.",
    ),
    "subspace_angle": ClaimFunction("run", _subspace_angle, "linear"),
    "neighbour_ratio": ClaimFunction("run", _neighbour_ratio, "autoencoder"),
    "distance_correlation": ClaimFunction("run", _distance_correlation, "autoencoder"),
    "prior_ratio": ClaimFunction("run", _prior_ratio, "variational"),
    "class_recall": ClaimFunction(
        "run, class",
        _recall,
        "classifier",
        "Share of a class's test images that are recognised.",
    ),
    "hardest_class": ClaimFunction("run", _hardest_class, "classifier"),
    "confused_with": ClaimFunction("run, class, number", _confused_with, "classifier"),
    "falling": ClaimFunction(
        "values", lambda values: bool(np.all(np.diff(values) < 0)), words="Whether each is lower than the one before."
    ),
    "rising": ClaimFunction(
        "values", lambda values: bool(np.all(np.diff(values) > 0)), words="Whether each is higher than the one before."
    ),
    "spread": ClaimFunction(
        "values", lambda values: (max(values) - min(values)) / min(values), words="(highest - lowest) / lowest."
    ),
    "mean": ClaimFunction("values", lambda values: float(np.mean(values)), words="Their mean."),
    "lowest": ClaimFunction("values", min, words="The lowest."),
    "highest": ClaimFunction("values", max, words="The highest."),
    "abs": ClaimFunction("value", abs, words="The value without its sign."),
    "log10": ClaimFunction("value", math.log10, words="Its logarithm."),
}
