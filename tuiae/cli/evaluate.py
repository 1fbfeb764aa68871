"""`tuiae eval`: measuring a checkpoint, part by part; each part can be shown to people or put into JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tuiae.cli.output import Output, Part, images_part, show_parts
from tuiae.cli.train import parse_noise
from tuiae.config import NOISE_KINDS, NoiseSection
from tuiae.data.dataset import as_bytes
from tuiae.errors import ConfigError, MissingLibraryError
from tuiae.images import measured_kind
from tuiae.machine import lasting_imports
from tuiae.render.confusion import draw_confusion
from tuiae.render.curves import Curve, Look, draw_curves
from tuiae.render.grid import image_grid
from tuiae.render.legend import highest, plot_title, plotted
from tuiae.render.palette import TEST
from tuiae.render.pixels import CaptionRow, ImageRow, sample_captions
from tuiae.render.text import count, figure, number, percent
from tuiae.runs.lineage import resolve_config
from tuiae.runs.paths import RunPaths
from tuiae.runs.snapshot import Sample

if TYPE_CHECKING:
    from tuiae.explore.checkpoint import LoadedRun
    from tuiae.training.evaluate import Evaluation
    from tuiae.training.quality import ClassScores

Metrics: TypeAlias = Mapping[str, float | None]

WIDTH = 100  # columns at most for what is drawn
DRAWN = "the code of each image is drawn, as in the curves of the run; its mean gives a lower error"
TESTED = "PSNR and SSIM are measured on test images alone"
CLASS_FIELDS = ("class", "precision", "recall", "f1", "images")
ASKERS = {
    "noise.kind": "--noise-kind",
    "noise.level": "--noise-levels",
    "noise.probability": "--noise-probability",
}
LEVELS = "0,0.1,0.2,0.3,0.4,0.5"
SHOWN = 8  # test images
CURVE_LINES = 12
PICTURE_LINES = 8
HEADS = {"wrong_pixels": "wrong pixels", "wrong_pixels_max": "most wrong", "psnr": "PSNR dB", "ssim": "SSIM"}


def evaluate_run(
    run: RunPaths,
    weights: str,
    device: str,
    noise: str | None,
    levels: NoiseRange,
    output: Output,
    *,
    probe: bool = False,
    baseline: bool = False,
    test_split: bool = False,
) -> None:
    """Measure a checkpoint and print what came out, under `noise` (KIND[:LEVEL]) or the run's own; with `test_split` on
    the set's own test split, whatever the run measured.

    Raises:
        NoCheckpointError: no such checkpoint.
        ConfigError: the run's config is of another version, or the options do not suit the run; known before
            anything is loaded where the words alone tell.
        DeviceError, DataError: no such device, or no such images on this machine.
    """
    changes = {} if noise is None else parse_noise(noise)
    resolve_config(run, changes, asker="--noise")
    sections = None if levels == NoiseRange() else levels.sections(run)
    if sections and changes:
        raise ConfigError("--noise sets one level and --noise-levels several", "give one of them")

    with lasting_imports():
        from tuiae.explore.checkpoint import load
    loaded = load(run, weights, device, {**changes, **({"data.validation": "test"} if test_split else {})})
    output.warn(filter(None, [*loaded.parts.cautions, loaded.caution]))
    parts: list[Part] = []
    # What may turn out not to suit the run comes before what takes long.
    if baseline:
        parts.append(compare_with_pca(loaded))
    if probe:
        parts.append(probe_code(loaded, output))
    parts.insert(0, sweep_noise(loaded, sections, output) if sections else measure_splits(loaded, output))
    parts.insert(0, images_part(loaded.parts.images, loaded.trained_on, loaded.config.data))
    show_parts({"run": run.id, "weights": loaded.checkpoint}, parts, output)


def _metric_table(first: str, rows: Sequence[tuple[str, Metrics]], output: Output) -> None:
    """One row a split or a level, one column for every metric that any of them has."""
    names = list(dict.fromkeys(name for _, metrics in rows for name in metrics))
    heads = [HEADS.get(name, name) for name in names]
    cells = ((label, *(figure(name, metrics.get(name)) for name in names)) for label, metrics in rows)
    output.table((first, *heads), cells, right=heads)


# Both splits, whole, under one corruption.


def measure_splits(loaded: LoadedRun, output: Output) -> Part:
    """Loss and what goes with it on both splits; on the test split PSNR and SSIM, or the figures of each class."""
    from tuiae.training.evaluate import evaluate as measure

    parts, classes = loaded.parts, loaded.classes
    kind = measured_kind(loaded.config.data.validation)
    counts = f"{len(parts.train):,} training and {len(parts.test):,} {kind} images"
    output.note(f"evaluating {loaded.checkpoint} on {counts}")
    results = {split: measure(parts, images) for split, images in (("train", parts.train), ("test", parts.test))}
    metrics: dict[str, dict[str, float | None]] = {split: dict(result.metrics) for split, result in results.items()}
    more, scores, notes = _qualities(loaded, results["test"])
    metrics["test"] |= more
    notes = (DRAWN, *notes) if loaded.is_variational else notes
    noise, confusion = loaded.config.noise, results["test"].confusion
    record: dict[str, Any] = {
        "noise": noise.model_dump(),
        "metrics": {f"{split}/{name}": value for split, own in metrics.items() for name, value in own.items()},
        "notes": list(notes),
    }
    if confusion is not None:
        record |= {"classes": list(classes), "confusion": confusion.tolist()}
    class_rows: list[tuple[Any, ...]] = []
    if scores is not None:
        columns = (scores.precision, scores.recall, scores.f1, scores.support)
        class_rows = list(zip(classes, *(column.tolist() for column in columns), strict=True))
        record["per_class"] = [dict(zip(CLASS_FIELDS, row, strict=True)) for row in class_rows]

    def show(output: Output) -> None:
        output.line("no noise" if noise.kind == "none" else f"noise {noise.kind} {noise.level:g}")
        _metric_table("split", list(metrics.items()), output)
        for note in notes:
            output.line(note, "dim")
        if confusion is not None:
            width, height = min(output.people.width, WIDTH), len(classes) + 4
            output.line(draw_confusion(confusion, classes, width, height))
        if class_rows:
            rows = ((name, *map(percent, shares), count(images)) for name, *shares, images in class_rows)
            output.table(CLASS_FIELDS, rows, right=CLASS_FIELDS[1:])

    return Part(lambda: record, show)


def _qualities(loaded: LoadedRun, test: Evaluation) -> tuple[Metrics, ClassScores | None, tuple[str, ...]]:
    """The measures that the `studies` libraries add on the test split; without them, a note says what is left out."""
    from tuiae.training.quality import class_scores, measure_images

    try:
        if test.confusion is not None:
            return {}, class_scores(test.confusion), ()
        quality = measure_images(loaded.parts, loaded.parts.test)
    except MissingLibraryError as missing:
        return {}, None, (str(missing),)
    return quality.metrics(), None, (*filter(None, [quality.note]), TESTED)


# The code: how much of the classes a linear classifier reads out of it, and what principal components would do.


def probe_code(loaded: LoadedRun, output: Output) -> Part:
    """Fit a linear classifier to the codes of clean training images, and ask it about those of the test images.

    Raises:
        ConfigError: a set without labels.
    """
    from tuiae.data.batches import epoch_order
    from tuiae.training.quality import PROBE_IMAGES, linear_probe

    # Drawn, not the first ones: a set may be sorted by class.
    order = epoch_order(len(loaded.parts.train), loaded.config.training.seed, 0)[:PROBE_IMAGES]
    output.note(f"probing the code on {len(order):,} training images")
    probe = linear_probe(*loaded.codes("train", order.numpy()), *loaded.codes("test"))
    latent = loaded.config.model.latent
    trust = "" if probe.converged else " (the fit did not converge: a lower bound)"
    words = (
        f"linear probe of the code ({latent}): test accuracy {figure('accuracy', probe.accuracy)}, "
        f"fitted to {probe.images:,} training images{trust}"
    )
    fields = {"accuracy": probe.accuracy, "images": probe.images, "converged": probe.converged, "latent": latent}
    return Part(lambda: {"probe": fields}, lambda output: output.line(words))


def compare_with_pca(loaded: LoadedRun) -> Part:
    """The run's error on clean test images, and that of as many principal components as its code is wide.

    Raises:
        ConfigError: a classifier, or a custom network without a code.
    """
    from tuiae.training.quality import pca_error

    if not loaded.has_code:
        cause = f"--baseline: {loaded.run.id} has no code, and so no number of components to compare with"
        raise ConfigError(cause, "leave it out, or give the network encode(x)")
    test = loaded.images("test")
    _, made = loaded.reconstruct(test)
    train = loaded.images("train")
    latent = loaded.config.model.latent
    components = min(latent, len(train), train[0].size)
    error, pca = float(np.mean(np.square(made - test), dtype=np.float64)), pca_error(train, test, components)

    def show(output: Output) -> None:
        code = "mean code" if loaded.is_variational else "code"
        rows = ((f"this run, {code} of {latent}", number(error)), (f"PCA, {components} components", number(pca)))
        output.table(("rebuilt from clean test images", "mse"), rows, right=("mse",))

    record = {"baseline": {"mse": error, "pca_mse": pca, "components": components}}
    return Part(lambda: record, show)


# `tuiae eval --noise-levels`: the error against the level of the noise, with the images.


@dataclass(frozen=True)
class NoiseRange:
    """What `--noise-kind`, `--noise-levels` and `--noise-probability` say; None where one was not given."""

    kind: str | None = None
    levels: str | None = None
    probability: float | None = None

    def sections(self, run: RunPaths) -> tuple[NoiseSection, ...]:
        """The corruptions that are asked for, one a level; nothing is loaded.

        Raises:
            ConfigError: an unknown kind, a level that is no number or out of its range, a probability without a use.
        """
        own = resolve_config(run, {}).noise
        kind = own.kind if self.kind is None else self.kind
        if kind == "none":
            kinds = ", ".join(name for name in NOISE_KINDS if name != "none")
            raise ConfigError("a sweep over noise levels needs a kind of noise", f"--noise-kind with one of {kinds}")
        probability = own.probability if own.kind == kind else 1.0
        if self.probability is not None:
            if kind != "uniform":
                raise ConfigError(f"--noise-probability is for uniform noise, not {kind}", "leave it out")
            probability = self.probability
        text = LEVELS if self.levels is None else self.levels
        try:
            levels = [float(word) for word in text.split(",")]
        except ValueError as error:
            hint = "write numbers with commas between them, such as 0,0.1,0.2"
            raise ConfigError(f"--noise-levels {text}: not all of these are numbers", hint) from error
        fixed = {"noise.kind": kind, "noise.probability": probability}
        return tuple(resolve_config(run, {**fixed, "noise.level": level}, ASKERS).noise for level in levels)


def sweep_noise(loaded: LoadedRun, levels: Sequence[NoiseSection], output: Output) -> Part:
    """The whole test split at each level, under the same draws, and a few of its images."""
    from tuiae.training.evaluate import evaluate as measure

    test = loaded.parts.test
    counts = f"{len(test):,} {measured_kind(loaded.config.data.validation)} images at {len(levels)} levels of noise"
    output.note(f"evaluating {loaded.checkpoint} on {counts}")
    metrics = [measure(loaded.parts, test, noise=section).metrics for section in levels]
    pictures = _watched_images(loaded, levels)
    kind, probability = levels[0].kind, levels[0].probability
    pairs = list(zip(levels, metrics, strict=True))

    def show(output: Output) -> None:
        chance = f", pixels hit with probability {probability:g}" if kind == "uniform" else ""
        output.line(f"test images under {kind} noise{chance}")
        if loaded.is_variational:
            output.line(DRAWN, "dim")
        _metric_table("level", [(f"{section.level:g}", found) for section, found in pairs], output)
        width = min(output.people.width, WIDTH)
        name = "mse" if loaded.is_autoencoder else "accuracy"
        x, y = np.array([section.level for section in levels]), np.array([found[name] for found in metrics])
        title = f"test {plot_title(name)} against noise level"
        curve = Curve(name, x, plotted(name, y), TEST, most=highest(name))
        if output.shows_plots:
            wide, ascii_only = min(output.plot_width, WIDTH), output.plot_ascii
            output.draw(draw_curves([curve], wide, CURVE_LINES, title, Look("level"), ascii_only))
        if output.shows_pictures:
            for rows, captions in pictures:
                height = len(rows) * (PICTURE_LINES + 1) - (not captions)
                output.line(image_grid(rows, width, height, output.picture_mode, captions))

    listed = [{"level": section.level, "metrics": found} for section, found in pairs]
    record = {"noise": {"kind": kind, "probability": probability, "levels": listed}}
    return Part(lambda: record, show)


def _watched_images(loaded: LoadedRun, levels: Sequence[NoiseSection]) -> list[tuple[list[ImageRow], list[CaptionRow]]]:
    """A few test images at each level, the same ones under the same draws, as grids: rows, and captions below them.

    Of an autoencoder one grid: the inputs, then for each level the noisy images and the outputs. Of a classifier one a
    level: the noisy images, and captions that say what it takes them for.
    """
    watched = loaded.watched(SHOWN)
    clean = loaded.images("test", watched)
    seed = loaded.config.training.seed
    if loaded.is_autoencoder:
        rows = [("input", as_bytes(clean))]
        for section in levels:
            noisy, made = loaded.reconstruct(clean, section, seed)
            rows += [(f"{section.level:g}", as_bytes(noisy)), ("output", as_bytes(made))]
        return [(rows, [])]
    grids, labels = [], loaded.labels("test", watched)
    for section in levels:
        noisy = loaded.corrupt(clean, section, seed)
        predictions = loaded.predict(noisy).argmax(1)
        seen = Sample(epoch=0, classes=loaded.classes, labels=labels, predictions=predictions)
        grids.append(([(f"{section.level:g}", as_bytes(noisy))], sample_captions(seen)))
    return grids
