"""`tuiae eval --noise-levels`: the error against the level of the noise, with the images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuiae.config import NOISE_KINDS, NoiseSection
from tuiae.console.evaluation import DRAWN, WIDTH, Request, metric_table
from tuiae.console.output import Output, is_terminal
from tuiae.data.pixels import as_bytes
from tuiae.errors import ConfigError
from tuiae.explore.resolve import resolve_config
from tuiae.runs.layout import RunPaths
from tuiae.runs.snapshot import Sample
from tuiae.ui.render.curve_lines import Curve
from tuiae.ui.render.curves import draw_curves
from tuiae.ui.render.grid import ImageRow, image_grid
from tuiae.ui.render.palette import TEST
from tuiae.ui.render.run_curves import plot_title, plotted
from tuiae.ui.render.sample import sample_captions

if TYPE_CHECKING:
    from tuiae.explore.loaded import LoadedRun

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
