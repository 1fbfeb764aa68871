"""How the dashboard and the explorer talk: what each question answers, and the frames that carry it.

Pictures are uint8 (N, C, H, W), classes are positions in `OpenedRun.classes`.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Answer:
    """The base of all answers: each names the checkpoint that it is of."""

    checkpoint: str
    """`step-000720`; empty when nothing is loaded."""


@dataclass(frozen=True)
class OpenedRun(Answer):
    """The answer to `open`: the checkpoint that is in memory now."""

    run: str
    """Path of the run directory."""
    step: int
    epoch: float | None
    family: str
    shape: tuple[int, int, int]
    """Channels, height and width of an image."""
    classes: tuple[str, ...]
    latent: int
    is_autoencoder: bool
    is_variational: bool
    tests: int
    """Images of the test split."""
    caution: str = ""
    """What is to be said of the weights, and of images that are not those that the run trained on."""
    asked: int | None = None
    """The epoch whose weights were asked for; None for the newest."""
    has_code: bool = True
    """Whether images have codes: a custom network may only reconstruct."""
    kept: tuple[float, ...] = ()
    """The epochs of all weights that are kept, where those of the epoch are not, and the newest take their place."""


@dataclass(frozen=True)
class Codes(Answer):
    """The answer to `codes`: test images on a plane. Later questions about a place mean this plane."""

    kind: str
    """How the points came from the codes: `code`, `class`, `dims`, `principal`, `tsne`."""
    axes: tuple[str, str]
    points: Floats
    """(N, 2); NaN where a code is not finite."""
    labels: Ints
    indices: Ints
    """(N,): positions in the test split."""


@dataclass(frozen=True)
class Place(Answer):
    """The answer to `at`: one place of the plane shown."""

    x: float
    y: float
    image: Bytes | None
    """(C, H, W) decoded there; None of a classifier."""
    source: str
    """How the code of this place was found, in words."""
    shares: Floats
    """(classes,): the probabilities that a classifier gives this code; none of an autoencoder."""
    indices: Ints
    """(k,): the nearest test images on the plane, nearest first."""
    labels: Ints
    images: Bytes
    distances: Floats


@dataclass(frozen=True)
class Between(Answer):
    """The answer to `between`: images decoded at equal distances on the line between two codes, both included."""

    images: Bytes
    codes: NDArray[np.float64]
    """(N, latent)."""

    @property
    def distance(self) -> float:
        """The distance between the two codes."""
        return float(np.linalg.norm(self.codes[-1] - self.codes[0]))


@dataclass(frozen=True)
class Samples(Answer):
    """The answer to `prior`: images decoded from codes drawn from the standard normal prior."""

    images: Bytes
    seed: int


@dataclass(frozen=True)
class Plane(Answer):
    """The answer to `plane`: images decoded on a grid over the plane shown, the highest y in the first row."""

    images: Bytes
    """(rows, columns, C, H, W)."""
    x: Floats
    y: Floats
    origin: str
    """Where the values of the grid come from: `prior` or `range`."""


@dataclass(frozen=True)
class Picture(Answer):
    """The answer to `image`: one test image."""

    index: int
    label: int
    image: Bytes
    """(C, H, W)."""


@dataclass(frozen=True)
class Reconstruction(Answer):
    """The answer to `reconstruct`: the network's input and its reconstruction."""

    noisy: Bytes
    reconstructions: Bytes
    mse: Floats
    """(N,): of each reconstruction against the image that was given."""


@dataclass(frozen=True)
class Classification(Answer):
    """The answer to `classify`: a share for each class."""

    noisy: Bytes
    """The network's input, noise included."""
    shares: Floats
    """(N, classes), rows sum to 1."""
    by: str
    """`classifier`: its probabilities. `neighbours`: shares of the labels among the nearest codes of test images."""
    neighbours: int
    """How many neighbours voted; 0 of a classifier."""


@dataclass(frozen=True)
class NoiseCurve(Answer):
    """The answer to `noise_curve`: the error of test images at each level of a noise, under the same draws."""

    kind: str
    levels: tuple[float, ...]
    metric: str
    """`mse` of reconstructions; `error`, the share that is wrong, of a classifier."""
    errors: tuple[float, ...]
    images: int


@dataclass(frozen=True)
class Worst(Answer):
    """The answer to `worst`: the test images with the largest error under the run's own noise, largest first."""

    indices: Ints
    labels: Ints
    errors: Floats
    """(N,): mean squared error; of a classifier the probability of the wrong class that it chose."""
    images: Bytes
    noisy: Bytes
    reconstructions: Bytes | None
    """None of a classifier."""
    predicted: Ints | None
    """None of an autoencoder."""


@dataclass(frozen=True)
class Confused(Answer):
    """The answer to `confused`: test images of one class that a classifier takes for another, the surest first."""

    true: int
    predicted: int
    total: int
    indices: Ints
    images: Bytes
    shares: Floats
    """(N,): probability of the predicted class."""


SLOW = ("noise_curve", "worst", "confused")
"""Questions that take seconds; they are answered on a thread of their own, so that the others do not wait."""


def is_slow(question: str, arguments: Mapping[str, Any]) -> bool:
    """Returns whether a question may take seconds."""
    return question in SLOW or (question == "codes" and arguments.get("by") == "tsne")


def pack(answer: Answer) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """An answer as fields for JSON, the name of its class among them, and arrays."""
    values = {field.name: getattr(answer, field.name) for field in fields(answer)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in values.items() if name not in arrays}
    return {"class": type(answer).__name__, **plain}, arrays


def unpack(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Answer:
    """The answer that was packed, without fields that only another version knows; raises KeyError or TypeError where
    that left out what this one needs."""
    kind = {kind.__name__: kind for kind in Answer.__subclasses__()}[str(values["class"])]
    known = {field.name for field in fields(kind)}
    frozen = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    make: Callable[..., Answer] = kind
    return make(**{name: value for name, value in (*frozen.items(), *arrays.items()) if name in known})


# Frames: a JSON object and arrays, as NumPy stores several arrays (`.npz`). A pickle among them is refused.

_LENGTH = struct.Struct(">I")
_LONGEST = 1 << 30  # bytes; a length beyond is no frame of ours
_FIELDS = "fields"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Frame:
    """One message: what JSON can say, and arrays by name."""

    fields: Mapping[str, Any]
    arrays: Arrays


def encode_frame(fields: Mapping[str, Any], arrays: Arrays | None = None) -> bytes:
    """One frame: its length in 4 bytes, then the arrays, of which the first holds the fields as JSON."""
    buffer = io.BytesIO()
    told = np.frombuffer(json.dumps(fields, default=np.generic.item).encode(), np.uint8)
    stored: dict[str, Any] = {_FIELDS: told, **(arrays or {})}
    np.savez(buffer, **stored)
    return _LENGTH.pack(buffer.tell()) + buffer.getvalue()


def read_frame(stream: IO[bytes]) -> Frame | None:
    """The next frame; None where the stream ends, or goes on with something else."""
    head = stream.read(_LENGTH.size)
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
    if not 0 < length <= _LONGEST:
        return None
    try:
        with np.load(io.BytesIO(stream.read(length))) as stored:
            arrays = dict(stored)
        return Frame(json.loads(arrays.pop(_FIELDS).tobytes()), arrays)
    except (ValueError, KeyError, OSError, EOFError, BadZipFile, AttributeError):
        return None
