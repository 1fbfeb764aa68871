"""`tuiae eval`: a checkpoint measured, part by part; each part can be shown to people or put into JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tuiae.console.output import Output
from tuiae.errors import ConfigError
from tuiae.imports import lasting_imports
from tuiae.runs.layout import RunPaths
from tuiae.ui.render.text import count, figure, number, percent

if TYPE_CHECKING:
    from tuiae.explore.loaded import LoadedRun
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
    from tuiae.console.evaluation_noise import plan_sweep, sweep_noise
    from tuiae.explore.resolve import resolve_config

    noise = dict(request.noise or {})
    resolve_config(run, noise, asker="--noise")
    levels = plan_sweep(run, request) if request.sweeps_noise else None
    if levels and noise:
        raise ConfigError("--noise sets one level and --noise-levels several", "give one of them")

    with lasting_imports():
        from tuiae.explore.loaded import load
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
        from tuiae.ui.render.confusion import draw_confusion

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
    from tuiae.training.quality import MissingLibraryError, class_scores, measure_images

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
