"""The run configuration: the schema, TOML in and out, overrides, and messages a person can act on."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tuiae.errors import ConfigError

Family = Literal["dense", "conv", "classifier"]
EncoderFamily = Literal["dense", "conv"]
Head = Literal["linear", "relu-dropout"]
Activation = Literal["relu", "leaky-relu", "gelu", "tanh", "sigmoid", "identity"]
OutputActivation = Literal["sigmoid", "relu", "identity"]
NoiseKind = Literal["none", "salt-pepper", "gaussian", "uniform", "mask"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Loss = Literal["mse", "bce", "l1"]
Precision = Literal["float32", "bfloat16"]

FAMILIES: tuple[str, ...] = get_args(Family)
ENCODERS: tuple[str, ...] = get_args(EncoderFamily)
NOISE_KINDS: tuple[str, ...] = get_args(NoiseKind)
DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:\d+)?)$"


class Section(BaseModel):
    """A frozen table of the document that refuses keys it does not know and values of another kind: `true` is no 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class DataSection(Section):
    """Which images, and which of them."""

    dataset: str = "digits"
    """A name from `tuiae data list`, an imported name, or folder:PATH."""
    validation: Literal["test"] | Annotated[float, Field(gt=0, lt=1)] = "test"
    """What the curves call test: the set's own test split, or this fraction held out of training."""
    train_limit: int = Field(default=0, ge=0)
    """Use only the first so many training images; 0 uses all."""
    test_limit: int = Field(default=0, ge=0)
    """Use only the first so many test images; 0 uses all."""
    image_size: int = Field(default=0, ge=0, le=1024)
    """Resize every image to a square of so many pixels; 0 keeps the set's own size."""
    classes: tuple[str, ...] = Field(default=(), strict=False)
    """Keep only these classes, by name; empty keeps all."""


class NoiseSection(Section):
    """Corruption of the input; the target of a reconstruction stays clean."""

    kind: NoiseKind = "none"
    level: float = Field(default=0.0, ge=0, le=10)
    """salt-pepper, mask: share of pixels hit. gaussian: standard deviation. uniform: largest delta."""
    probability: float = Field(default=1.0, ge=0, le=1)
    """uniform: the chance that a pixel moves at all (tp5-2022)."""


class ModelSection(Section):
    """The network."""

    family: Family = "dense"
    encoder: EncoderFamily = "conv"
    """classifier: what its encoder is, when it is not taken from a run."""
    encoder_run: str = ""
    """classifier: the run whose trained encoder it starts from; empty starts from random weights."""
    freeze: bool = False
    """classifier: train the head alone."""
    head: Head = "linear"
    """classifier: Linear, or Linear-ReLU-Dropout as pacheco-2023 printed it."""
    latent: int = Field(default=64, ge=1, le=65536)
    """Width of the code."""
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(default=(), strict=False)
    """dense: widths between the input and the code; the decoder mirrors them."""
    activation: Activation = "relu"
    code_activation: Activation = "relu"
    output: OutputActivation = "sigmoid"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    output_dropout: bool = False
    """Drop reconstructed pixels too while training, as pacheco-2023 does: the training loss then cannot
    fall below about dropout x the mean squared pixel."""


class TrainingSection(Section):
    """How the weights are found."""

    epochs: int = Field(default=10, ge=1, le=1_000_000)
    batch_size: int = Field(default=1000, ge=1, le=1_000_000)
    optimizer: Optimizer = "adam"
    learning_rate: float = Field(default=1e-3, gt=0, le=1e6)
    weight_decay: float = Field(default=0.0, ge=0, le=10)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """sgd and rmsprop only."""
    loss: Loss = "mse"
    """Of a reconstruction, mean over pixels; a classifier always trains on cross-entropy."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = Field(default="auto", pattern=DEVICE_PATTERN)
    precision: Precision = "float32"


class CheckpointSection(Section):
    """Which moments can be gone back to."""

    every: int = Field(default=1, ge=1)
    """Epochs between checkpoints."""
    keep: int = Field(default=3, ge=1)
    """How many of the newest stay, besides the best."""


class SamplesSection(Section):
    """What the panels show."""

    count: int = Field(default=8, ge=1, le=64)
    every: int = Field(default=1, ge=1)
    """Epochs between samples."""


class RunConfig(Section):
    """One run, complete: the same document repeats it."""

    model_config = ConfigDict(strict=False)  # its sections come as tables; each is strict in itself

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")
    data: DataSection = DataSection()
    noise: NoiseSection = NoiseSection()
    model: ModelSection = ModelSection()
    training: TrainingSection = TrainingSection()
    checkpoint: CheckpointSection = CheckpointSection()
    samples: SamplesSection = SamplesSection()

    @property
    def is_classifier(self) -> bool:
        return self.model.family == "classifier"

    @model_validator(mode="after")
    def _check_together(self) -> RunConfig:
        """Keys that are each right and wrong together; the only place where sections meet."""
        kind, level = self.noise.kind, self.noise.level
        if kind in ("salt-pepper", "mask", "uniform") and level > 1:
            raise ValueError(f"noise.level = {level:g}: {kind} noise takes 0 to 1")
        if self.training.loss == "bce" and self.model.output != "sigmoid" and not self.is_classifier:
            raise ValueError(f"training.loss = 'bce' needs model.output = 'sigmoid', not '{self.model.output}'")
        if self.training.loss == "bce" and self.model.output_dropout and not self.is_classifier:
            # Dropout rescales what it keeps, and a pixel above 1 has no cross-entropy.
            raise ValueError("training.loss = 'bce' does not go with model.output_dropout = true")
        if self.model.encoder_run and not self.is_classifier:
            raise ValueError("model.encoder_run is for model.family = 'classifier' only")
        return self


def load_config(path: Path, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Read a preset, put the overrides (dotted key -> value) on top, and validate.

    Raises:
        ConfigError: unreadable file, malformed TOML, unknown key or value out of range; says which.
    """
    return build_config(read_document(path), overrides, source=str(path))


def read_document(path: Path) -> dict[str, Any]:
    """Parse a TOML file without validating it.

    Raises:
        ConfigError: with file and line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", "mend that line") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a UTF-8 text file", "give a preset in TOML") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "`tuiae presets` lists the presets") from error


def build_config(
    document: dict[str, Any], overrides: dict[str, Any] | None = None, source: str = "config", asker: str = "--set"
) -> RunConfig:
    """Validate a parsed document with overrides on top.

    Messages about the document begin with `source`, those about an override with `asker`.

    Raises:
        ConfigError: naming source, key, value and what is allowed.
    """
    merged: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for key, value in (overrides or {}).items():
        _put(merged, key, value)
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, source, dict.fromkeys(overrides or {}, asker)), "") from error


def parse_override(text: str) -> tuple[str, Any]:
    """Split `training.epochs=5` into a dotted key and a TOML value; a bare word is a string.

    Raises:
        ConfigError: no equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: not KEY=VALUE", "write e.g. --set training.epochs=5")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def dump_config(config: RunConfig) -> str:
    """The complete TOML document of a config; `build_config` of it gives the same config back."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json"))


def _put(document: dict[str, Any], dotted: str, value: Any) -> None:
    section, dot, key = dotted.partition(".")
    if not dot:
        document[section] = value
        return
    table = document.setdefault(section, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{dotted}: '{section}' is not a table", "see docs/architecture.md for the keys")
    table[key] = value


def _explain(error: ValidationError, source: str, askers: dict[str, str]) -> str:
    """One line a mistake: where, key, value, what is allowed."""
    lines: list[str] = []
    for item in error.errors(include_url=False):
        parts = [str(part) for part in item["loc"]]
        # Unions add the name of each member to the location; the key ends before it.
        key = ".".join(parts[: 2 if parts and parts[0] in RunConfig.model_fields else 1])
        # A mistake between keys has no key of its own: with overrides in play the file may be innocent.
        asked = [asker for name, asker in askers.items() if name == key or name.startswith(f"{key}.")]
        prefix = asked[0] if asked else source if key or not askers else ""
        line = f"{prefix}: {_reason(key, item)}" if prefix else _reason(key, item)
        if not any(line.partition(" = ")[0] == seen.partition(" = ")[0] for seen in lines):
            lines.append(line)
    return "\n".join(lines)


def _reason(key: str, item: Any) -> str:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key '{key}'{_meant_key(key)}"
    if kind == "model_type":
        return f"{key} = {value!r}: should be a table of keys"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error" and key != "data.validation":
        allowed = re.findall(r"'([^']+)'", context["expected"])
        return f"{key} = {value!r}: allowed: {', '.join(allowed)}{did_you_mean(str(value), allowed)}"
    if kind == "string_pattern_mismatch":
        return f"{key} = {value!r}: allowed: {_PATTERN_WORDS.get(key, context['pattern'])}"
    return f"{key} = {value!r}: {_ALLOWED.get(key, item['msg'].lower().replace('input ', ''))}"


_PATTERN_WORDS = {
    "training.device": "auto, cpu, cuda, cuda:N, mps",
    "name": "letters, digits, _ and -, at most 48",
}
_ALLOWED = {"data.validation": 'should be "test" or a fraction between 0 and 1'}


def _meant_key(key: str) -> str:
    """A key of the same section before one of another; a section is never what a key was meant to be."""
    section, dot, leaf = key.partition(".")
    keys = known_keys()
    if not dot:
        return did_you_mean(key, keys)
    dotted = [name for name in keys if "." in name]
    for group in ([name for name in dotted if name.startswith(f"{section}.")], dotted):
        leaves = {name.rpartition(".")[2]: name for name in reversed(group)}
        near = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.6)
        if near:
            return f" (did you mean '{leaves[near[0]]}'?)"
    return ""


def known_keys() -> list[str]:
    """Every dotted key of the document."""
    keys = ["name"]
    for section, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys += [section, *(f"{section}.{key}" for key in field.annotation.model_fields)]
    return keys


def did_you_mean(word: str, allowed: list[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no allowed word is near."""
    tails = {name.rpartition(".")[2]: name for name in reversed(allowed)}
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    if not near:
        near = [tails[tail] for tail in difflib.get_close_matches(word.rpartition(".")[2], tails, n=1, cutoff=0.6)]
    return f" (did you mean '{near[0]}'?)" if near else ""
