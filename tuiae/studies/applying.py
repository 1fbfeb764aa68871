"""Which settings count in which runs: the others stand in every config, with their defaults, and change nothing."""

from __future__ import annotations

from collections.abc import Callable

from tuiae.config import RunConfig


def applies(key: str, config: RunConfig) -> bool:
    """Whether a dotted key has any effect in a run of this config."""
    return key not in WHERE or WHERE[key](config)


def _classifier(config: RunConfig) -> bool:
    return config.is_classifier


def _decodes(config: RunConfig) -> bool:
    return not config.is_classifier


def _variational(config: RunConfig) -> bool:
    return config.model.is_variational


def _strided(config: RunConfig) -> bool:
    return config.model.encoder_family == "strided-conv"


def _noisy(config: RunConfig) -> bool:
    return config.noise.kind != "none"


WHERE: dict[str, Callable[[RunConfig], bool]] = {
    "noise.level": _noisy,
    "noise.probability": lambda config: config.noise.kind == "uniform",
    **dict.fromkeys(("model.encoder", "model.encoder_run", "model.freeze", "model.head"), _classifier),
    "model.hidden": lambda config: config.model.encoder_family == "dense",
    **dict.fromkeys(("model.channels", "model.kernel", "model.stride", "model.norm"), _strided),
    **dict.fromkeys(("model.output", "model.output_dropout", "training.loss"), _decodes),
    "training.label_smoothing": _classifier,
    **dict.fromkeys(("training.beta", "training.beta_warmup"), _variational),
    "training.momentum": lambda config: config.training.optimizer in ("sgd", "rmsprop"),
    **dict.fromkeys(
        ("training.step_epochs", "training.step_factor"), lambda config: config.training.schedule == "step"
    ),
}
