"""`tuiae eval`: measuring a checkpoint, part by part; each part can be shown to people or put into JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
import typer

from tuiae.cli.commands import Device, Json, Plain, Plot, Run, Weights, find, new_app, parse_noise
from tuiae.cli.output import Output
from tuiae.config import NOISE_KINDS, NoiseSection
from tuiae.data.dataset import as_bytes
from tuiae.errors import ConfigError, MissingLibraryError
from tuiae.machine import lasting_imports
from tuiae.render.confusion import draw_confusion
from tuiae.render.curves import Curve, Look, draw_curves
from tuiae.render.grid import CaptionRow, ImageRow, image_grid, sample_captions
from tuiae.render.legend import plot_title, plotted
from tuiae.render.palette import TEST
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
CLASS_FIELDS = ("class", "precision", "recall", "f1", "images")
LEVELS = "0,0.1,0.2,0.3,0.4,0.5"
SHOWN = 8  # test images
CURVE_LINES = 12
PICTURE_LINES = 8
HEADS = {"wrong_pixels": "wrong pixels", "wrong_pixels_max": "most wrong", "psnr": "PSNR dB", "ssim": "SSIM"}

app = new_app()


@app.command("eval")
def evaluate(
    context: typer.Context,
    run: Run = "last",
    weights: Weights = "last",
    device: Device = "auto",
    noise: Annotated[
        str | None, typer.Option(metavar="KIND[:LEVEL]", help="Use this noise, not the run's own.")
    ] = None,
    noise_kind: Annotated[str | None, typer.Option(metavar="KIND", help="Sweep this noise, not the run's own.")] = None,
    noise_levels: Annotated[
        str | None, typer.Option(metavar="LEVELS", help="Sweep the noise on the test images, e.g. 0,0.1,0.2.")
    ] = None,
    noise_probability: Annotated[
        float | None, typer.Option(metavar="P", help="Uniform noise: the chance that a pixel moves.")
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Classify the code with a linear model.")] = False,
    baseline: Annotated[bool, typer.Option("--baseline", help="Measure PCA at the same code size.")] = False,
    json: Json = False,
    plain: Plain = False,
    plot: Plot = False,
) -> None:
    """Measure a run's weights on both splits, whole, with dropout off."""
    level = {} if noise is None else parse_noise(noise)
    options = EvalOptions(weights, device, level, noise_kind, noise_levels, noise_probability, probe, baseline)
    evaluate_run(find(run), options, Output.of(context, json, plain, plot))


@dataclass(frozen=True)
class EvalOptions:
    """The measures that the command line asks for; None where an option was not given."""

    weights: str = "last"
    device: str = "auto"
    noise: Mapping[str, Any] = field(default_factory=dict)
    """`--noise` as dotted keys: one corruption instead of the run's own."""
    noise_kind: str | None = None
    noise_levels: str | None = None
    noise_probability: float | None = None
    probe: bool = False
    baseline: bool = False

    @property
    def sweeps_noise(self) -> bool:
        return any(word is not None for word in (self.noise_kind, self.noise_levels, self.noise_probability))


@dataclass(frozen=True)
class Part:
    """One measurement."""

    record: Mapping[str, Any]
    """Its fields in the JSON document."""
    show: Callable[[Output], None]
    """Prints its lines for people."""


def evaluate_run(run: RunPaths, options: EvalOptions, output: Output) -> None:
    """Measure a checkpoint and print what came out.

    Raises:
        NoCheckpointError: no such checkpoint.
        ConfigError: the run's config is of another version, or the options do not suit the run; known before
            anything is loaded where the words alone tell.
        DeviceError, DataError: no such device, or no such images on this machine.
    """
    noise = dict(options.noise)
    resolve_config(run, noise, asker="--noise")
    levels = plan_sweep(run, options) if options.sweeps_noise else None
    if levels and noise:
        raise ConfigError("--noise sets one level and --noise-levels several", "give one of them")

    with lasting_imports():
        from tuiae.explore.checkpoint import load
    loaded = load(run, options.weights, options.device, noise)
    parts: list[Part] = []
    # What may turn out not to suit the run comes before what takes long.
    if options.baseline:
        parts.append(compare_with_pca(loaded))
    if options.probe:
        parts.append(probe_code(loaded, output))
    parts.insert(0, sweep_noise(loaded, levels, output) if levels else measure_splits(loaded, output))
    if output.json:
        document: dict[str, Any] = {"run": run.id, "weights": loaded.checkpoint}
        for part in parts:
            document |= part.record
        output.document(document)
        return
    output.line(f"{run.id}  {loaded.checkpoint}, dropout off", "bold")
    for part in parts:
        part.show(output)


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
    output.note(f"evaluating {loaded.checkpoint} on {len(parts.train):,} training and {len(parts.test):,} test images")
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
    class_rows = [] if scores is None else _class_rows(classes, scores)
    if scores is not None:
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

    return Part(record, show)


def _class_rows(classes: Sequence[str], scores: ClassScores) -> list[tuple[Any, ...]]:
    """One row a class, by CLASS_FIELDS."""
    columns = (scores.precision, scores.recall, scores.f1, scores.support)
    return list(zip(classes, *(column.tolist() for column in columns), strict=True))


def _qualities(loaded: LoadedRun, test: Evaluation) -> tuple[Metrics, ClassScores | None, tuple[str, ...]]:
    """The measures that the `studies` libraries add on the test split; without them, a note says what is left out."""
    from tuiae.training.quality import class_scores, measure_images

    try:
        if test.confusion is not None:
            return {}, class_scores(test.confusion), ()
        quality = measure_images(loaded.parts, loaded.parts.test)
    except MissingLibraryError as missing:
        return {}, None, (str(missing),)
    return quality.metrics(), None, (quality.note,) if quality.note else ()


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
    return Part({"probe": fields}, lambda output: output.line(words))


def compare_with_pca(loaded: LoadedRun) -> Part:
    """The run's error on clean test images, and that of as many principal components as its code is wide.

    Raises:
        ConfigError: a classifier.
    """
    from tuiae.training.quality import pca_error

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

    return Part({"baseline": {"mse": error, "pca_mse": pca, "components": components}}, show)


# `tuiae eval --noise-levels`: the error against the level of the noise, with the images.


def plan_sweep(run: RunPaths, options: EvalOptions) -> tuple[NoiseSection, ...]:
    """The corruptions that the options ask for; nothing is loaded.

    Raises:
        ConfigError: an unknown kind, a level that is no number or out of its range, a probability without a use.
    """
    own = resolve_config(run, {}).noise
    kind = own.kind if options.noise_kind is None else options.noise_kind
    if kind == "none":
        kinds = ", ".join(name for name in NOISE_KINDS if name != "none")
        raise ConfigError("a sweep over noise levels needs a kind of noise", f"--noise-kind with one of {kinds}")
    resolve_config(run, {"noise.kind": kind, "noise.level": 0.0}, asker="--noise-kind")
    probability = options.noise_probability
    if probability is None:
        probability = own.probability if own.kind == kind else 1.0
    elif kind != "uniform":
        raise ConfigError(f"--noise-probability is for uniform noise, not {kind}", "leave it out")
    fixed = {"noise.kind": kind, "noise.level": 0.0, "noise.probability": probability}
    resolve_config(run, fixed, asker="--noise-probability")
    levels = _numbers(LEVELS if options.noise_levels is None else options.noise_levels)
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


def sweep_noise(loaded: LoadedRun, levels: Sequence[NoiseSection], output: Output) -> Part:
    """The whole test split at each level, under the same draws, and a few of its images."""
    from tuiae.training.evaluate import evaluate as measure

    test = loaded.parts.test
    output.note(f"evaluating {loaded.checkpoint} on {len(test):,} test images at {len(levels)} levels of noise")
    metrics = [measure(loaded.parts, test, noise=section).metrics for section in levels]
    rows, captions = _watched_images(loaded, levels)
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
        curve = Curve(name, x, plotted(name, y), TEST)
        if output.shows_plots:
            wide, ascii_only = min(output.plot_width, WIDTH), output.plot_ascii
            output.draw(draw_curves([curve], wide, CURVE_LINES, title, Look("level"), ascii_only))
        if output.shows_pictures:
            _show_images(rows, captions, width, output)

    listed = [{"level": section.level, "metrics": found} for section, found in pairs]
    return Part({"noise": {"kind": kind, "probability": probability, "levels": listed}}, show)


def _show_images(rows: Sequence[ImageRow], captions: Sequence[CaptionRow], width: int, output: Output) -> None:
    mode = output.picture_mode
    if not captions:
        output.line(image_grid(rows, width, len(rows) * (PICTURE_LINES + 1) - 1, mode))
    for row, words in zip(rows, captions, strict=False):
        output.line(image_grid([row], width, PICTURE_LINES + 1, mode, [words]))


def _watched_images(loaded: LoadedRun, levels: Sequence[NoiseSection]) -> tuple[list[ImageRow], list[CaptionRow]]:
    """A few test images at each level, the same ones under the same draws.

    Of an autoencoder the inputs, then for each level the noisy images and the outputs. Of a classifier the noisy images
    of each level, and captions that say what it takes them for.
    """
    watched = loaded.watched(SHOWN)
    clean = loaded.images("test", watched)
    seed = loaded.config.training.seed
    if loaded.is_autoencoder:
        rows = [("input", as_bytes(clean))]
        for section in levels:
            noisy, made = loaded.reconstruct(clean, section, seed)
            rows += [(f"{section.level:g}", as_bytes(noisy)), ("output", as_bytes(made))]
        return rows, []
    rows, captions, labels = [], [], loaded.labels("test", watched)
    for section in levels:
        noisy = loaded.corrupt(clean, section, seed)
        rows.append((f"{section.level:g}", as_bytes(noisy)))
        predictions = loaded.predict(noisy).argmax(1)
        seen = Sample(epoch=0, classes=loaded.classes, labels=labels, predictions=predictions)
        captions += sample_captions(seen)
    return rows, captions
