"""`tuiae eval`."""

from __future__ import annotations

from typing import Any

from tuiae.config import build_config
from tuiae.console.output import Output
from tuiae.errors import ConfigError, TrainingError
from tuiae.runs.layout import RunPaths
from tuiae.runs.reader import read_config
from tuiae.ui.render.text import number


def evaluate_run(run: RunPaths, weights: str, overrides: dict[str, Any], output: Output) -> None:
    """Loss and accuracy of a checkpoint on both splits, and the confusion matrix of a classifier.

    Raises:
        TrainingError: no such checkpoint. ConfigError: the run's config is of another version.
    """
    from tuiae.training.checkpoint import find_checkpoint, load_weights
    from tuiae.training.evaluate import evaluate
    from tuiae.training.setup import set_up

    config = read_config(run)
    if config is None:
        raise ConfigError(f"{run.config}: not a config of this version", "evaluate it with the version that wrote it")
    config = build_config(config.model_dump(mode="json"), overrides, source=str(run.config))
    folder = find_checkpoint(run, weights)
    if folder is None:
        raise TrainingError(f"{run.id} has no checkpoint yet", "let it train for an epoch first")
    parts = set_up(config)
    parts.model.load_state_dict(load_weights(folder))
    output.note(f"evaluating {folder.name} on {len(parts.train):,} training and {len(parts.test):,} test images")
    results = {split: evaluate(parts, images) for split, images in (("train", parts.train), ("test", parts.test))}
    if output.json:
        document: dict[str, Any] = {"run": run.id, "weights": folder.name, "noise": config.noise.model_dump()}
        document["metrics"] = {
            f"{split}/{key}": value for split, r in results.items() for key, value in r.metrics.items()
        }
        confusion = results["test"].confusion
        if confusion is not None:
            document |= {"classes": list(parts.classes), "confusion": confusion.tolist()}
        output.document(document)
        return
    output.line(f"{run.id}  {folder.name}, dropout off, noise {config.noise.kind} {config.noise.level:g}", "bold")
    rows = [(split, *(number(r.metrics[key]) for key in ("loss", "accuracy"))) for split, r in results.items()]
    output.table(("split", "loss", "accuracy"), rows, right=("loss", "accuracy"))
    confusion = results["test"].confusion
    if confusion is not None:
        from tuiae.ui.render.confusion import draw_confusion

        output.line(draw_confusion(confusion, parts.classes, min(output.people.width, 100), len(parts.classes) + 4))
