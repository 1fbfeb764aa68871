"""The schema of a run's configuration."""

from __future__ import annotations

import ast
import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import PurePath
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

Family = Literal["dense", "conv", "strided-conv", "vae", "conv-vae", "classifier", "custom"]
EncoderFamily = Literal["dense", "conv", "strided-conv", "custom"]
Head = Literal["linear", "relu-dropout"]
Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh", "sigmoid", "identity"]
OutputActivation = Literal["sigmoid", "relu", "identity"]
NoiseKind = Literal["none", "salt-pepper", "gaussian", "uniform", "mask"]
Norm = Literal["none", "batch"]
Initialisation = Literal[
    "default", "xavier-uniform", "xavier-normal", "kaiming-uniform", "kaiming-normal", "orthogonal"
]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Schedule = Literal["constant", "step", "cosine"]
Loss = Literal["mse", "sse", "bce", "l1"]
Precision = Literal["float32", "bfloat16"]

FAMILIES: tuple[str, ...] = get_args(Family)
ENCODERS: tuple[str, ...] = get_args(EncoderFamily)
NOISE_KINDS: tuple[str, ...] = get_args(NoiseKind)
VARIATIONAL: dict[str, EncoderFamily] = {"vae": "dense", "conv-vae": "strided-conv"}
"""Variational family -> the encoder that it is made of."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$"
"""What runs, presets and sweeps may be called: a part of a directory's or a file's name."""
NAME_WORDS = "letters, digits, _ and -, at most 48, the first a letter or a digit"
CODE_PATTERN = r"^([^:\x00-\x1f]+:[A-Za-z_]\w*)?$"
CODE_WORDS = "FILE.py:CLASS or package.module:CLASS"
CUSTOM = "custom"
"""The family of a network that a file of the user's own makes."""
ARGUMENTS = "model.arguments"
DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:\d+)?)$"


class Section(BaseModel):
    """A frozen table of the document that refuses unknown keys and values of another kind: `true` is not 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


Scalar = bool | int | float | str
Argument = Scalar | list[Scalar]


class DataSection(Section):
    """The dataset, and which of its images are used."""

    dataset: str = "digits"
    """A name from `tuiae data list`, an imported name, folder:PATH of pictures, or file:PATH of arrays or a CSV."""
    validation: Literal["test", "val"] | Annotated[float, Field(gt=0, lt=1)] = "test"
    """What the curves call test: the set's own test split, its own validation split, or this fraction held out of
    training."""
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
    """What the input is corrupted with; none leaves it as it is."""
    level: float = Field(default=0.0, ge=0, le=10)
    """salt-pepper, mask: share of pixels hit. gaussian: standard deviation. uniform: largest delta."""
    probability: float = Field(default=1.0, ge=0, le=1)
    """uniform: the chance that a pixel moves at all (tp5-2022)."""


class ModelSection(Section):
    """The network."""

    family: Family = "dense"
    """The kind of network: an autoencoder, a variational one (vae, conv-vae), a classifier, or custom, one of your
    own."""
    code: str = Field(default="", pattern=CODE_PATTERN)
    """custom: the class of your network, as my_model.py:Net or package.module:Net."""
    arguments: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], Argument] = {}
    """custom: what the class is made with, by name."""
    code_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """custom: the digest of the file, of which the run keeps a copy; empty takes the file as it is."""
    encoder: EncoderFamily = "conv"
    """classifier: what its encoder is, when it is not taken from a run."""
    encoder_run: str = ""
    """classifier: the run whose trained encoder it starts from; empty starts from random weights."""
    freeze: bool = False
    """classifier: train the head alone."""
    head: Head = "linear"
    """classifier: Linear, or Linear-ReLU-Dropout as pacheco-2023 printed it."""
    latent: int = Field(default=64, ge=1, le=65536)
    """Width of the code. custom: the run's config says how wide your network's is."""
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(default=(), strict=False)
    """dense, vae: widths between the input and the code; the decoder mirrors them."""
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(32, 64), min_length=1, strict=False)
    """strided-conv, conv-vae: feature maps of each convolution; the decoder mirrors them."""
    kernel: int = Field(default=3, ge=1, le=31)
    """strided-conv, conv-vae: pixels a side, an odd number, with padding that keeps the size."""
    stride: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(default=(2,), min_length=1, strict=False)
    """strided-conv, conv-vae: of each convolution; one number stands for all."""
    norm: Norm = "none"
    """strided-conv, conv-vae: what follows each convolution."""
    activation: Activation = "relu"
    """What follows each hidden layer."""
    code_activation: Activation = "relu"
    """What the code goes through. That of a variational autoencoder is always linear."""
    initialisation: Initialisation = "default"
    """How the first weights are drawn. default: PyTorch's own. The others set biases to 0."""
    output: OutputActivation = "sigmoid"
    """What the last layer of a decoder goes through."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the units that are left out while training, drawn anew for each batch."""
    output_dropout: bool = False
    """Drop reconstructed pixels too while training, as pacheco-2023 does: the training loss then cannot
    fall below about dropout x the mean squared pixel."""

    @property
    def encoder_family(self) -> EncoderFamily:
        """The family of the encoder: a classifier names it, a variational family implies it."""
        if self.family == "classifier":
            return self.encoder
        return VARIATIONAL.get(self.family) or self.family  # type: ignore[return-value]

    @property
    def is_custom(self) -> bool:
        """Whether a file of the user's own makes the network, or the encoder of a classifier."""
        return self.encoder_family == CUSTOM

    @property
    def needs_whole_batches(self) -> bool:
        """Whether no batch can be cut into shards: batch norm has the statistics of a whole one, and a custom network
        may keep something of it in itself, which no two threads may do at once."""
        return self.is_custom or (self.encoder_family == "strided-conv" and self.norm == "batch")

    @property
    def words(self) -> str:
        """`dense, code 64`, or `custom, Net of my_model.py`."""
        return model_words(self.family, self.latent, self.code)

    @property
    def is_variational(self) -> bool:
        return self.family in VARIATIONAL

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each convolution."""
        return self.stride * len(self.channels) if len(self.stride) == 1 else self.stride


def model_words(family: str, latent: int, code: str) -> str:
    """A network in a few words: its code's width is told by its config, but of a custom one."""
    file, _, name = code.rpartition(":")
    return f"{family}, {name} of {PurePath(file).name}" if family == CUSTOM else f"{family}, code {latent}"


class TrainingSection(Section):
    """The optimization: loss, optimizer, schedule, length."""

    epochs: int = Field(default=10, ge=1, le=1_000_000)
    """How often the training sees all its images."""
    batch_size: int = Field(default=1000, ge=1, le=1_000_000)
    """Images a step."""
    optimizer: Optimizer = "adam"
    """What turns gradients into steps."""
    learning_rate: float = Field(default=1e-3, gt=0, le=1e6)
    """How long the steps are; the schedule and the warm-up change it over the epochs."""
    weight_decay: float = Field(default=0.0, ge=0, le=10)
    """How strongly weights are pulled towards 0."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """sgd and rmsprop: share of the last step that the next one keeps."""
    schedule: Schedule = "constant"
    """Of the learning rate, after the warm-up: step multiplies it by step_factor every step_epochs, cosine lets it
    fall to 0 at the last epoch."""
    warmup: float = Field(default=0.0, ge=0)
    """Epochs in which the learning rate rises from 0 in a straight line."""
    step_epochs: int = Field(default=10, ge=1)
    """Epochs from one step of the schedule to the next."""
    step_from: Literal["warmup", "start"] = "warmup"
    """Where step begins to count its epochs: after the warm-up, or at the first one, as earlier versions did."""
    step_factor: float = Field(default=0.1, gt=0, le=1)
    """What each step of the schedule multiplies the learning rate by."""
    clip_norm: float = Field(default=0.0, ge=0)
    """Longest gradient, as the norm over all weights; 0 does not clip."""
    patience: int = Field(default=0, ge=0)
    """Stop after so many evaluations with no lower test loss, counted once the learning rate and beta have risen; 0
    never does."""
    auto_pause: bool = False
    """Pause when its own curves or pictures show that it diverges, overfits or is dead; it goes on when told."""
    loss: Loss = "mse"
    """Of a reconstruction: mean over pixels, or for sse the squared error summed over an image's pixels (tp5-2022).
    Of a variational autoencoder, in nats an image: bce a Bernoulli likelihood, mse and sse a normal one of variance 1,
    l1 a Laplace one of scale 1, each without its constant. A classifier always trains on cross-entropy."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """classifier: share of the target that is spread over all classes while training."""
    beta: float = Field(default=1.0, ge=0, le=1e6)
    """vae, conv-vae: weight of the KL term."""
    beta_warmup: float = Field(default=0.0, ge=0)
    """Epochs in which beta rises from 0 in a straight line."""
    flip: bool = False
    """Mirror half of the training images left to right, drawn anew for each batch."""
    shift: int = Field(default=0, ge=0, le=64)
    """Move training images by up to so many pixels each way, drawn anew for each batch."""
    evaluate_every: int = Field(default=1, ge=1)
    """Epochs between evaluations; the curves have a point for each."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """What weights, order of images, dropout and noise are drawn from; the same seed draws the same."""
    device: str = Field(default="auto", pattern=DEVICE_PATTERN)
    """auto takes the GPU with the most free memory, where there is one; cuda insists on one."""
    devices: int = Field(default=1, ge=1, le=64)
    """Processes that share each batch and add up their gradients (DDP): on a card each, or on a CPU with a part of the
    shards each. The batch stays batch_size in all, and the results agree to within rounding."""
    shards: Annotated[int, Field(ge=0, le=64)] | Literal["auto"] = "auto"
    """On a CPU: parts of a batch that are computed on a core each. auto goes by the network and the batch, never by the
    machine, so that the number of cores changes no bit; 0 lets PyTorch split each operation among its threads."""
    transposed: Literal["parts", "direct"] = "parts"
    """How transposed convolutions are computed on a CPU: in parts (with few channels as a product and a sum over
    windows, the gradient of the bias by itself), up to four times as fast; or directly, as in earlier versions, which
    rounds differently."""
    subnormals: Literal["zero", "kept"] = "zero"
    """What becomes of numbers below 1e-38 where a batch is computed in shards: zero; or kept, as in earlier versions.
    Weights that decay at pixels that are never lit end there, and a processor takes up to eight times as long."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """float32 holds for convolutions on CUDA too, for which PyTorch would take TF32; bfloat16 is for matrix products
    and convolutions, and leaves weights, loss and metrics in float32. auto takes bfloat16 where the machine is quick at
    it and the network large enough; the run's config says which before its first step."""


class CheckpointSection(Section):
    """When checkpoints are written, and how many are kept."""

    every: int = Field(default=1, ge=1)
    """Epochs between checkpoints."""
    keep: int = Field(default=3, ge=1)
    """How many of the newest stay, besides the best."""


class SamplesSection(Section):
    """The samples that the panels show."""

    count: int = Field(default=8, ge=1, le=64)
    """How many images each sample shows."""
    every: int = Field(default=1, ge=1)
    """Epochs between samples."""
    histograms: bool = False
    """Keep with each sample how weights, gradients and codes are spread."""


def suggest_shards(model: ModelSection, batch_size: int) -> int:
    """Into how many shards a batch is best cut: as few images as keep a core busy for about a millisecond, and at most
    8, since Python begins them one after the other, but two as soon as two cores gain by it. A power of two, as numbers
    of cores are, so that none waits for another."""
    if model.needs_whole_batches:
        return 0
    images, second, most = (500, 300, 4) if model.encoder_family == "dense" else (64, 91, 8)
    return min(2 ** max(round(math.log2(batch_size / images)), int(batch_size >= second)), most)


class RunConfig(Section):
    """The complete config of one run: the same document repeats the run."""

    model_config = ConfigDict(strict=False)  # its sections come as tables; each is strict in itself

    name: str = Field(default="run", pattern=NAME_PATTERN)
    """A part of the run's id and directory: letters, digits, _ and -."""
    data: DataSection = DataSection()
    noise: NoiseSection = NoiseSection()
    model: ModelSection = ModelSection()
    training: TrainingSection = TrainingSection()
    checkpoint: CheckpointSection = CheckpointSection()
    samples: SamplesSection = SamplesSection()

    @property
    def is_classifier(self) -> bool:
        return self.model.family == "classifier"

    @property
    def rising_epochs(self) -> float:
        """Epochs until the learning rate, and beta where there is one, have risen to what they are set to."""
        training = self.training
        return max(training.warmup, training.beta_warmup) if self.model.is_variational else training.warmup

    @property
    def shards(self) -> int:
        """Parts of a batch that are computed on a core each; 0 where PyTorch splits each operation."""
        return 0 if self.model.needs_whole_batches else int(self.training.shards)  # a number since `_settle_shards`

    @model_validator(mode="after")
    def _settle_shards(self) -> RunConfig:
        """Put a number in place of auto."""
        if self.training.shards == "auto":
            settled = self.training.model_copy(update={"shards": suggest_shards(self.model, self.training.batch_size)})
            object.__setattr__(self, "training", settled)
        return self

    @model_validator(mode="after")
    def _check_together(self) -> RunConfig:
        """Refuse keys that are valid alone and not together; the only check across sections."""
        kind, level = self.noise.kind, self.noise.level
        if kind in ("salt-pepper", "mask", "uniform") and level > 1:
            raise ValueError(f"noise.level = {level:g}: {kind} noise takes 0 to 1")
        if self.training.loss == "bce" and self.model.output != "sigmoid" and not self.is_classifier:
            raise ValueError(f"training.loss = 'bce' needs model.output = 'sigmoid', not '{self.model.output}'")
        if self.training.loss == "bce" and self.model.output_dropout and not self.is_classifier:
            # Dropout rescales what it keeps, and a pixel above 1 has no cross-entropy.
            raise ValueError("training.loss = 'bce' does not go with model.output_dropout = true")
        if self.training.devices > self.training.batch_size:
            devices, batch = self.training.devices, self.training.batch_size
            raise ValueError(f"training.devices = {devices} and training.batch_size = {batch}: each takes an image")
        model = self.model
        if model.is_custom and not model.code and not model.encoder_run:
            raise ValueError(f"a custom network needs model.code, as {CODE_WORDS}")
        if model.encoder_family == "strided-conv":
            if len(model.strides) != len(model.channels):
                raise ValueError(
                    f"model.stride has {len(model.stride)} values and model.channels {len(model.channels)}: "
                    "give one for all, or one for each"
                )
            if model.kernel % 2 == 0:
                raise ValueError(f"model.kernel = {model.kernel}: should be odd, so that padding keeps the size")
        if model.is_variational and model.output_dropout:
            raise ValueError(f"model.output_dropout does not go with model.family = '{model.family}'")
        if self.model.encoder_run and not self.is_classifier:
            raise ValueError("model.encoder_run is for model.family = 'classifier' only")
        return self


# The settings one by one, for those who list them.


@dataclass(frozen=True)
class Setting:
    """One key of the document."""

    key: str
    """With its section before a dot; `name` has none."""
    sentence: str
    """What it does; empty where the source of the schema cannot be read."""
    default: Any
    choices: tuple[str, ...] = ()
    """The values that it can have, where these are few words."""
    kind: Any = None
    """The annotation of its field, of a list that of its items."""
    many: bool = False
    """Whether it is a list."""

    @property
    def section(self) -> str:
        return self.key.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """The key without its section."""
        return self.key.rpartition(".")[2]


@cache
def list_settings() -> tuple[Setting, ...]:
    """Every setting, in the order of the schema, with the sentence that stands below it there."""
    sentences = _read_sentences()
    found = []
    for name, field in RunConfig.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            found += [
                _setting(f"{name}.{leaf}", inner, sentences.get((section.__name__, leaf), ""))
                for leaf, inner in section.model_fields.items()
                if f"{name}.{leaf}" != ARGUMENTS  # each is a setting of its own, of which the class decides
            ]
        else:
            found.append(_setting(name, field, sentences.get((RunConfig.__name__, name), "")))
    return tuple(found)


def _setting(key: str, field: FieldInfo, sentence: str) -> Setting:
    kind, default = field.annotation, field.default
    choices = get_args(kind) if get_origin(kind) is Literal else ("true", "false") if kind is bool else ()
    many = get_origin(kind) is tuple
    return Setting(
        key, sentence, list(default) if many else default, choices, get_args(kind)[0] if many else kind, many
    )


def _read_sentences() -> dict[tuple[str, str], str]:
    """What stands below each field of the schema, by class and field."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[__name__]))
    except OSError:
        return {}  # installed without its source
    return {
        (node.name, field.target.id): " ".join(below.value.value.split())
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for field, below in pairwise(node.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


# What a schedule makes of the learning rate.


def _step(section: TrainingSection, epoch: float) -> float:
    counted = epoch - section.warmup if section.step_from == "warmup" else epoch
    return section.step_factor ** (max(counted, 0.0) // section.step_epochs)


def _cosine(section: TrainingSection, epoch: float) -> float:
    """Source: Loshchilov and Hutter, SGDR (2017), without restarts."""
    done = (epoch - section.warmup) / max(section.epochs - section.warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))


SCHEDULES: dict[str, Callable[[TrainingSection, float], float]] = {
    "constant": lambda section, epoch: 1.0,
    "step": _step,
    "cosine": _cosine,
}
"""Schedule -> (section, epochs done, the current one as a fraction) -> factor of the learning rate."""


def learning_rate(section: TrainingSection, epoch: float) -> float:
    """The learning rate of the step that begins after `epoch` epochs: a pure function, so that a resumed training needs
    nothing but its position."""
    factor = SCHEDULES[section.schedule](section, epoch)
    return section.learning_rate * factor * ramp(epoch, section.warmup)


def ramp(epoch: float, length: float) -> float:
    """0 at the first step, 1 once `length` epochs are done, a straight line between."""
    return min(1.0, epoch / length) if length else 1.0
