"""What bfloat16 costs in loss and accuracy: each preset trained to its end in both precisions, over three seeds.

It takes hours on a small machine, most of all on one that emulates bfloat16; `--preset` takes one alone. Convolutions
train on a fifth of the images.
"""

from __future__ import annotations

from statistics import mean

from tests.benchmarks.bench import Bench, await_end, new_run, read_events, read_rows, renew_table
from tuiae.config import RunConfig, load_config
from tuiae.config.presets import find_preset
from tuiae.runs.process import start_worker

NEEDS_DATA = True
PRESETS = (
    "quickstart",
    "digits_vae",
    "digits_classifier",
    "linear_pca",
    "glyphs_2d",
    "dense_64",
    "denoising_64",
    "conv_64",
    "conv_256",
    "conv_vae_2d",
    "classifier",
)
SEEDS = (0, 1, 2)
PRECISIONS = ("float32", "bfloat16")
FIFTH = {"data.train_limit": 12_000, "data.test_limit": 2_000}
LOSS, ACCURACY = 1.0, 0.3
"""Per cent of the loss and points of the accuracy that the means over the seeds may lie apart."""


def measure(bench: Bench) -> None:
    rows = read_rows("precision")
    for preset in bench.presets or PRESETS[: 1 if bench.quick else None]:
        ends = {precision: [train(settings(preset, precision, seed)) for seed in SEEDS] for precision in PRECISIONS}
        (loss, accuracy), (other_loss, other_accuracy) = (
            [mean(values) for values in zip(*ends[precision], strict=True)] for precision in PRECISIONS
        )
        apart, points = 100 * (other_loss / loss - 1), 100 * (other_accuracy - accuracy)
        bench.figure(f"{preset}, test loss in bfloat16 beside float32", abs(apart), "%", at_most=LOSS)
        bench.figure(f"{preset}, accuracy in bfloat16 beside float32", abs(points), "points", at_most=ACCURACY)
        low, high = (end(value for value, _ in ends["float32"]) for end in (min, max))
        rows[preset] = (
            f"| {preset} | {loss:.4g} ({low:.4g} to {high:.4g}) | {other_loss:.4g} | {apart:+.2f} % "
            f"| {accuracy:.2%} | {other_accuracy:.2%} | {points:+.2f} |"
        )
        if not bench.quick:
            renew_table("precision", "\n".join([*HEADS, *sorted(rows.values(), key=place)]) + "\n")


HEADS = ("| preset | test loss | in bfloat16 | | accuracy | in bfloat16 | |", "|---" * 7 + "|")


def place(row: str) -> int:
    """Where a row of the table belongs."""
    name = row.split("|")[1].strip()
    return PRESETS.index(name) if name in PRESETS else len(PRESETS)


def settings(preset: str, precision: str, seed: int) -> RunConfig:
    own = {"training.precision": precision, "training.seed": seed, "training.device": "cpu"}
    config = load_config(find_preset(preset), own)
    return config if config.model.encoder_family == "dense" else load_config(find_preset(preset), own | FIFTH)


def train(config: RunConfig) -> tuple[float, float]:
    """Loss and accuracy on the test split after the last epoch."""
    run = new_run(config)
    await_end(run, start_worker(run))
    *_, last = (event["values"] for event in read_events(run) if event["kind"] == "metric" and event["split"] == "test")
    return last["loss"], last["accuracy"]
