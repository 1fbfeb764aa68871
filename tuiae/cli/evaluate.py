"""`tuiae eval`: a checkpoint measured, part by part; each part can be shown to people or put into JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tuiae.cli.output import Output, is_terminal
from tuiae.config import NOISE_KINDS, NoiseSection
from tuiae.data.dataset import as_bytes
from tuiae.errors import ConfigError, MissingLibraryError
from tuiae.machine import lasting_imports
from tuiae.render.curves import Curve
from tuiae.render.grid import ImageRow, image_grid, sample_captions
from tuiae.render.legend import plot_title, plotted
from tuiae.render.palette import TEST
from tuiae.render.plot import draw_curves
from tuiae.render.text import count, figure, number, percent
from tuiae.runs.lineage import resolve_config
from tuiae.runs.paths import RunPaths
from tuiae.runs.snapshot import Sample

if TYPE_CHECKING:
    from tuiae.explore.checkpoint import LoadedRun
    from tuiae.training.evaluate import Evaluation
    from tuiae.training.quality import ClassScores, Probe


WIDTH = 100  # columns at most for what is drawn
DRAWN = "the code of each image is drawn, as in the curves of the run; its mean gives a lower error"
HEADS = {"wrong_pixels": "wrong pixels", "wrong_pixels_max": "most wrong", "psnr": "PSNR dB", "ssim": "SSIM"}


@dataclass(frozen=True)
class Request:
    """What a user asked to have measured; None was not given."""

    weights: str = "last"
    device: str = "auto"
    noise: Mapping[str, Any] | None = None
    """`--noise` as dotted keys: one corruption instead of the run's own."""
    noise_kind: str | None = None
    noise_levels: str | None = None
    noise_probability: float | None = None
    probe: bool = False
    baseline: bool = False

    @property
    def sweeps_noise(self) -> bool:
        return any(word is not None for word in (self.noise_kind, self.noise_levels, self.noise_probability))


class Part(Protocol):
    """One thing measured."""

    def record(self) -> dict[str, Any]:
        """Its fields of the JSON document."""

    def show(self, output: Output) -> None:
        """Its lines for people."""


def evaluate_run(run: RunPaths, request: Request, output: Output) -> None:
    """Measure a checkpoint and tell.

    Raises:
        TrainingError: no such checkpoint.
        ConfigError: the run's config is of another version, or the request does not suit the run; known before
            anything is loaded where the words alone tell.
        DeviceError, DataError: no such device, or no such images on this machine.
    """
    from tuiae.runs.lineage import resolve_config

    noise = dict(request.noise or {})
    resolve_config(run, noise, asker="--noise")
    levels = plan_sweep(run, request) if request.sweeps_noise else None
    if levels and noise:
        raise ConfigError("--noise sets one level and --noise-levels several", "give one of them")

    with lasting_imports():
        from tuiae.explore.checkpoint import load
    loaded = load(run, request.weights, request.device, noise)
    parts: list[Part] = []
    # What may turn out not to suit the run comes before what takes long.
    if request.baseline:
        parts.append(compare_with_pca(loaded))
    if request.probe:
        parts.append(probe_code(loaded, output))
    parts.insert(0, sweep_noise(loaded, levels, output) if levels else measure_splits(loaded, output))
    if output.json:
        document: dict[str, Any] = {"run": run.id, "weights": loaded.checkpoint}
        for part in parts:
            document |= part.record()
        output.document(document)
        return
    output.line(f"{run.id}  {loaded.checkpoint}, dropout off", "bold")
    for part in parts:
        part.show(output)


def metric_table(first: str, rows: Sequence[tuple[str, Mapping[str, float | None]]], output: Output) -> None:
    """One row a split or a level, one column for every metric that any of them has."""
    names = list(dict.fromkeys(name for _, metrics in rows for name in metrics))
    heads = [HEADS.get(name, name) for name in names]
    cells = ((label, *(figure(name, metrics.get(name)) for name in names)) for label, metrics in rows)
    output.table((first, *heads), cells, right=heads)


@dataclass(frozen=True)
class Splits:
    """Both splits, whole, under one corruption."""

    noise: dict[str, Any]
    metrics: dict[str, dict[str, float | None]]
    """By split."""
    classes: tuple[str, ...]
    confusion: np.ndarray | None
    scores: ClassScores | None
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        metrics = {f"{split}/{name}": value for split, own in self.metrics.items() for name, value in own.items()}
        document: dict[str, Any] = {"noise": self.noise, "metrics": metrics, "notes": list(self.notes)}
        if self.confusion is not None:
            document |= {"classes": list(self.classes), "confusion": self.confusion.tolist()}
        if self.scores is not None:
            document["per_class"] = [dict(zip(_CLASS_FIELDS, row, strict=True)) for row in self._class_rows()]
        return document

    def show(self, output: Output) -> None:
        kind, level = self.noise["kind"], self.noise["level"]
        output.line("no noise" if kind == "none" else f"noise {kind} {level:g}")
        metric_table("split", list(self.metrics.items()), output)
        for note in self.notes:
            output.line(note, "dim")
        if self.confusion is None:
            return
        from tuiae.render.confusion import draw_confusion

        output.line(
            draw_confusion(self.confusion, self.classes, min(output.people.width, WIDTH), len(self.classes) + 4)
        )
        if self.scores is not None:
            rows = ((name, *map(percent, shares), count(images)) for name, *shares, images in self._class_rows())
            output.table(_CLASS_FIELDS, rows, right=_CLASS_FIELDS[1:])

    def _class_rows(self) -> list[tuple[Any, ...]]:
        assert self.scores is not None
        columns = (self.scores.precision, self.scores.recall, self.scores.f1, self.scores.support)
        return list(zip(self.classes, *(column.tolist() for column in columns), strict=True))


_CLASS_FIELDS = ("class", "precision", "recall", "f1", "images")


def measure_splits(loaded: LoadedRun, output: Output) -> Splits:
    """Loss and what goes with it on both splits; on the test split PSNR and SSIM, or the figures of each class."""
    from tuiae.training.evaluate import evaluate

    parts = loaded.parts
    output.note(f"evaluating {loaded.checkpoint} on {len(parts.train):,} training and {len(parts.test):,} test images")
    results = {split: evaluate(parts, images) for split, images in (("train", parts.train), ("test", parts.test))}
    metrics: dict[str, dict[str, float | None]] = {split: dict(result.metrics) for split, result in results.items()}
    more, scores, notes = _qualities(loaded, results["test"])
    metrics["test"] |= more
    noise = loaded.config.noise.model_dump()
    notes = (DRAWN, *notes) if loaded.is_variational else notes
    return Splits(noise, metrics, loaded.classes, results["test"].confusion, scores, notes)


def _qualities(
    loaded: LoadedRun, test: Evaluation
) -> tuple[dict[str, float | None], ClassScores | None, tuple[str, ...]]:
    """What the `studies` libraries add to the test split; without them a note says what is left out."""
    from tuiae.training.quality import class_scores, measure_images

    try:
        if test.confusion is not None:
            return {}, class_scores(test.confusion), ()
        quality = measure_images(loaded.parts, loaded.parts.test)
    except MissingLibraryError as missing:
        return {}, None, (str(missing),)
    return quality.metrics(), None, (quality.note,) if quality.note else ()


@dataclass(frozen=True)
class ProbeResult:
    """How much of the classes a linear classifier reads out of the code."""

    probe: Probe
    latent: int

    def record(self) -> dict[str, Any]:
        fields = {"accuracy": self.probe.accuracy, "images": self.probe.images, "converged": self.probe.converged}
        return {"probe": {**fields, "latent": self.latent}}

    def show(self, output: Output) -> None:
        trust = "" if self.probe.converged else " (the fit did not converge: a lower bound)"
        output.line(
            f"linear probe of the code ({self.latent}): test accuracy {figure('accuracy', self.probe.accuracy)}, "
            f"fitted to {self.probe.images:,} training images{trust}"
        )


def probe_code(loaded: LoadedRun, output: Output) -> ProbeResult:
    """Fit a linear classifier to the codes of clean training images, and ask it about those of the test images.

    Raises:
        ConfigError: a set without labels.
    """
    from tuiae.data.batches import epoch_order
    from tuiae.training.quality import PROBE_IMAGES, linear_probe

    # Drawn, not the first ones: a set may be sorted by class.
    order = epoch_order(len(loaded.parts.train), loaded.config.training.seed, 0)[:PROBE_IMAGES]
    output.note(f"probing the code on {len(order):,} training images")
    return ProbeResult(
        linear_probe(*loaded.codes("train", order.numpy()), *loaded.codes("test")), loaded.config.model.latent
    )


@dataclass(frozen=True)
class Baseline:
    """Principal components beside the run, both on clean test images."""

    mse: float
    pca: float
    components: int
    latent: int
    variational: bool
    """Whether the run's code is the mean of a posterior."""

    def record(self) -> dict[str, Any]:
        return {"baseline": {"mse": self.mse, "pca_mse": self.pca, "components": self.components}}

    def show(self, output: Output) -> None:
        code = "mean code" if self.variational else "code"
        rows = ((f"this run, {code} of {self.latent}", self.mse), (f"PCA, {self.components} components", self.pca))
        output.table(
            ("rebuilt from clean test images", "mse"), ((name, number(value)) for name, value in rows), right=("mse",)
        )


def compare_with_pca(loaded: LoadedRun) -> Baseline:
    """The run's error and that of as many principal components as its code is wide.

    Raises:
        ConfigError: a classifier.
    """
    from tuiae.training.quality import pca_error

    test = loaded.images("test")
    _, made = loaded.reconstruct(test)
    train = loaded.images("train")
    latent = loaded.config.model.latent
    components = min(latent, len(train), train[0].size)
    error = float(np.mean(np.square(made - test), dtype=np.float64))
    return Baseline(error, pca_error(train, test, components), components, latent, loaded.is_variational)


# `tuiae eval --noise-levels`: the error against the level of the noise, with the images.

LEVELS = "0,0.1,0.2,0.3,0.4,0.5"
SHOWN = 8  # test images
CURVE_LINES = 12
PICTURE_LINES = 8


def plan_sweep(run: RunPaths, request: Request) -> tuple[NoiseSection, ...]:
    """The corruptions that the words ask for; nothing is loaded.

    Raises:
        ConfigError: an unknown kind, a level that is no number or out of its range, a probability without a use.
    """
    own = resolve_config(run, {}).noise
    kind = own.kind if request.noise_kind is None else request.noise_kind
    if kind == "none":
        kinds = ", ".join(name for name in NOISE_KINDS if name != "none")
        raise ConfigError("a sweep over noise levels needs a kind of noise", f"--noise-kind with one of {kinds}")
    resolve_config(run, {"noise.kind": kind, "noise.level": 0.0}, asker="--noise-kind")
    probability = request.noise_probability
    if probability is None:
        probability = own.probability if own.kind == kind else 1.0
    elif kind != "uniform":
        raise ConfigError(f"--noise-probability is for uniform noise, not {kind}", "leave it out")
    fixed = {"noise.kind": kind, "noise.level": 0.0, "noise.probability": probability}
    resolve_config(run, fixed, asker="--noise-probability")
    levels = _numbers(LEVELS if request.noise_levels is None else request.noise_levels)
    return tuple(resolve_config(run, {**fixed, "noise.level": level}, asker="--noise-levels").noise for level in levels)


def _numbers(text: str) -> list[float]:
    numbers = []
    for word in text.split(","):
        try:
            numbers.append(float(word))
        except ValueError as error:
            cause = f"--noise-levels {text}: '{word.strip()}' is not a number"
            raise ConfigError(cause, "write numbers with commas between them, such as 0,0.1,0.2") from error
    return numbers


@dataclass(frozen=True)
class NoiseSweep:
    """The test split at each level, and a few of its images: the same ones under the same draws."""

    levels: tuple[NoiseSection, ...]
    metrics: tuple[dict[str, float], ...]
    rows: tuple[ImageRow, ...]
    """Of an autoencoder: inputs, then for each level the noisy images and what became of them."""
    captions: tuple[list[str], ...]
    """Of a classifier: what it takes the images for, at each level."""
    drawn: bool = False
    """Whether the codes behind the metrics were drawn, as those of a variational autoencoder are."""

    def record(self) -> dict[str, Any]:
        kind, probability = self.levels[0].kind, self.levels[0].probability
        levels = [
            {"level": section.level, "metrics": metrics}
            for section, metrics in zip(self.levels, self.metrics, strict=True)
        ]
        return {"noise": {"kind": kind, "probability": probability, "levels": levels}}

    def show(self, output: Output) -> None:
        kind = self.levels[0].kind
        chance = f", pixels hit with probability {self.levels[0].probability:g}" if kind == "uniform" else ""
        output.line(f"test images under {kind} noise{chance}")
        if self.drawn:
            output.line(DRAWN, "dim")
        metric_table(
            "level", [(f"{s.level:g}", dict(m)) for s, m in zip(self.levels, self.metrics, strict=True)], output
        )
        width = min(output.people.width, WIDTH)
        output.line(self._curve(width))
        # Pictures are for eyes, and need colours.
        if not output.plain and is_terminal(sys.stdout):
            self._show_images(width, output)

    def _curve(self, width: int) -> Any:
        name = "accuracy" if self.captions else "mse"
        x = np.array([section.level for section in self.levels])
        y = plotted(name, np.array([metrics[name] for metrics in self.metrics]))
        curve = Curve(name, x, y, TEST)
        return draw_curves(
            [curve], width, CURVE_LINES, title=f"test {plot_title(name)} against noise level", x_label="level"
        )

    def _show_images(self, width: int, output: Output) -> None:
        mode = output.picture_mode
        if not self.captions:
            output.line(image_grid(self.rows, width, len(self.rows) * (PICTURE_LINES + 1) - 1, mode))
            return
        for row, captions in zip(self.rows, self.captions, strict=True):
            output.line(image_grid([row], width, PICTURE_LINES + 1, mode, captions))


def sweep_noise(loaded: LoadedRun, levels: Sequence[NoiseSection], output: Output) -> NoiseSweep:
    """Evaluate the whole test split at each level, under the same draws."""
    from tuiae.training.evaluate import evaluate

    test = loaded.parts.test
    output.note(f"evaluating {loaded.checkpoint} on {len(test):,} test images at {len(levels)} levels of noise")
    metrics = tuple(evaluate(loaded.parts, test, noise=section).metrics for section in levels)
    rows, captions = _watch(loaded, levels)
    return NoiseSweep(tuple(levels), metrics, tuple(rows), tuple(captions), loaded.is_variational)


def _watch(loaded: LoadedRun, levels: Sequence[NoiseSection]) -> tuple[list[ImageRow], list[list[str]]]:
    """A few test images at each level, in rows; of a classifier, what it takes them for."""
    watched = loaded.watched(SHOWN)
    clean = loaded.images("test", watched)
    seed = loaded.config.training.seed
    if loaded.is_autoencoder:
        rows = [("input", as_bytes(clean))]
        for section in levels:
            noisy, made = loaded.reconstruct(clean, section, seed)
            rows += [(f"{section.level:g}", as_bytes(noisy)), ("output", as_bytes(made))]
        return rows, []
    rows, captions = [], []
    for section in levels:
        noisy = loaded.corrupt(clean, section, seed)
        rows.append((f"{section.level:g}", as_bytes(noisy)))
        seen = Sample(
            epoch=0,
            classes=loaded.classes,
            labels=loaded.labels("test", watched),
            predictions=loaded.predict(noisy).argmax(1),
        )
        captions.append(sample_captions(seen) or [])
    return rows, captions
