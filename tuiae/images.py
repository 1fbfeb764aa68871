"""Which images a run trained on: the record of them in its directory, and in what others differ from it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from tuiae.config import DataSection, RunConfig, counted
from tuiae.errors import DataError, OtherImagesError
from tuiae.files import MAX_COUNT

FOLDER_PREFIX, FILE_PREFIX = "folder:", "file:"
"""How the names of datasets begin that are folders of pictures, and files of arrays."""
OPTION = "--other-images"
"""Trains on with other images on purpose."""
CHANGED = "on other images of"
"""How a run's history begins to say that it went on with others."""
MOST_CLASSES = 3  # that a sentence names

_Count = Annotated[int, Field(strict=True, ge=0, lt=MAX_COUNT)]


@dataclass(frozen=True)
class ImageRecord:
    """A set of images, by what tells it from others without looking at one."""

    dataset: str
    """The name as in a config; a folder or a file by its absolute path."""
    path: str
    """Where the pictures are, or the prepared set; empty where it comes with tuiae."""
    classes: tuple[str, ...]
    shape: tuple[_Count, _Count, _Count]
    """Channels, height, width, as they are trained on."""
    train: _Count
    test: _Count
    """Counts of images, whatever a run uses of them."""
    digest: Annotated[str, Field(min_length=1)]
    """The digest of all pixels and labels, in their order; of a downloaded or imported set before it is resized."""
    val: _Count = 0
    """Images of a validation split of its own; 0 as well where an older version left it out."""

    @property
    def words(self) -> str:
        """`40 + 8 images of 8x8, 2 classes`."""
        return self.used(DataSection())

    def used(self, data: DataSection) -> str:
        """The same of a run, which may measure others than the test images, or use a part of them:
        `36 + 4 held-out images of 8x8, …`, `20 + 8 of 40 + 8 images of 8x8, …`."""
        images = counts_words(self.train, self.test, self.val, data)
        kept = f"{len(data.classes)} of " if data.classes else ""
        return f"{images} of {size_words(self.shape)}, {kept}{counted(len(self.classes), 'class')}"

    def is_same(self, other: ImageRecord) -> bool:
        """Returns whether both are the same images under the same names of classes, wherever they are."""
        return (self.digest, self.classes) == (other.digest, other.classes)


def measured_kind(validation: str | float) -> str:
    """What the images are of which a run's figures called test tell: `test`, `val` or `held-out`."""
    return validation if isinstance(validation, str) else "held-out"


def test_words(kind: str) -> str:
    """A sentence for figures called test that are of another `measured_kind`."""
    return f"test stands for the {kind} images here: `tuiae eval --test-split` measures the test split of the set"


def counts_words(train: int, test: int, val: int, data: DataSection) -> str:
    """`800 + 200 images`, `800 + 100 val images`, `720 + 80 held-out images`, by `data.validation`: for training, and
    those that are measured; and before them how many the limits leave: `50 + 200 of 800 + 200 images`."""
    kind = measured_kind(data.validation)
    if kind == "val" and not val:  # an older version recorded none
        return f"{train:,} + val images"
    if isinstance(data.validation, str):
        there = train, val if kind == "val" else test
    else:
        held_out = held_out_of(train, data.validation)
        there = train - held_out, held_out
    limits = data.train_limit, data.test_limit
    used = tuple(min(limit or count, count) for limit, count in zip(limits, there, strict=True))
    most = "at most " if data.classes else ""  # how many a class has is not known here
    part = "{:,} + {:,} of ".format(*used) if used != there else ""
    return f"{most}{part}{there[0]:,} + {there[1]:,}{'' if kind == 'test' else f' {kind}'} images"


def held_out_of(train: int, share: float) -> int:
    """How many training images `data.validation` holds out as a fraction."""
    return max(1, round(share * train))


def size_words(shape: tuple[int, int, int]) -> str:
    """`28x28`, or `28x28 in colour`, of (C, H, W)."""
    channels, height, width = shape
    return f"{height}x{width}{' in colour' if channels == 3 else ''}"


_RECORD = TypeAdapter(ImageRecord)


def read_record(document: Mapping[str, Any]) -> ImageRecord | None:
    """The record in a JSON document; None where it holds none that is whole."""
    try:
        return _RECORD.validate_python(document)
    except ValidationError:
        return None


def differences(before: ImageRecord, now: ImageRecord) -> tuple[str, ...]:
    """In what images differ from those recorded before, in words; empty where they are the same."""
    return () if before.is_same(now) else tuple(_differences(before, now)) or ("other pixels or labels",)


def _differences(before: ImageRecord, now: ImageRecord) -> Iterator[str]:
    gone = [name for name in before.classes if name not in now.classes]
    new = [name for name in now.classes if name not in before.classes]
    if gone and new:
        yield f"{_named(new)} in place of {_named(gone)}"
    elif new:
        yield f"{_named(new)} came"
    elif gone:
        yield f"{_named(gone)} went"
    elif before.classes != now.classes:
        yield "its classes are in another order"
    for split, old, count in (("training", before.train, now.train), ("test", before.test, now.test)):
        if old != count:
            yield f"{counted(count, f'{split} image')}, not {old:,}"
    if before.shape != now.shape:
        yield f"images of {shape_words(now.shape)}, not {shape_words(before.shape)}"


def caution(before: ImageRecord | None, now: ImageRecord) -> str:
    """The sentence about images that a run did not train on; empty where it did, or may have."""
    what = "; ".join(differences(before, now)) if before is not None else ""
    return f"these are not the images that the run trained on: {what}" if what else ""


def refusal(run: str, config: RunConfig, before: ImageRecord, now: ImageRecord, command: str) -> DataError:
    """The error for a run that would go on with other images than it trained on; `command` goes on with them on
    purpose, where the network can."""
    if config.is_classifier and not config.data.classes and len(before.classes) != len(now.classes):
        return unfit(run, before, now)
    what = "; ".join(differences(before, now))
    cause = f"{run} trained on other images than {now.dataset} has now: {what}"
    hint = f"bring those back ({before.words}), or train on with these on purpose: {command} {OPTION}"
    return OtherImagesError(cause, hint)


def unfit(run: str, before: ImageRecord, now: ImageRecord) -> DataError:
    """The error for weights that take no images of this shape, or know other classes."""
    what = "; ".join(differences(before, now))
    cause = f"the weights of {run} do not fit the images that {now.dataset} has now: {what}"
    return DataError(cause, f"bring those back that it trained on ({before.words}), or start a new run")


def _named(classes: Sequence[str]) -> str:
    more = f" and {len(classes) - MOST_CLASSES} more" if len(classes) > MOST_CLASSES else ""
    listed = ", ".join(f"'{name}'" for name in classes[:MOST_CLASSES])
    return f"class{'es' if len(classes) > 1 else ''} {listed}{more}"


def shape_words(shape: tuple[int, int, int]) -> str:
    """`28x28 in grey`, of (C, H, W)."""
    channels, height, width = shape
    return f"{height}x{width} in {'grey' if channels == 1 else 'colour'}"


def place_of(dataset: str) -> tuple[str, str]:
    """The prefix and the path of a folder or a file of the user's own; both are empty of a set known by its name."""
    prefix = next((prefix for prefix in (FOLDER_PREFIX, FILE_PREFIX) if dataset.startswith(prefix)), "")
    return prefix, dataset.removeprefix(prefix) if prefix else ""


def is_own(dataset: str) -> bool:
    """Returns whether a dataset is a folder or a file of the user's own."""
    return bool(place_of(dataset)[0])


_TELLS_NOTHING = re.compile(r"(?i)(?:train(?:ing)?|test(?:ing)?|val|x|y|images?|labels|data(?:set)?|arrays?|[^a-z])*")
"""The name of a file that says what kind of thing it holds, and not of what."""


def folder_named(file: Path) -> str:
    """The name of a file's folder where that of the file tells nothing, such as `images.npy` or `x_train.npy`; else
    empty."""
    folder = os.path.dirname(os.path.abspath(os.path.expanduser(file)))
    tells = not _TELLS_NOTHING.fullmatch(file.name.partition(".")[0]) or folder == os.path.expanduser("~")
    return "" if tells else os.path.basename(folder)


def short_name(dataset: str) -> str:
    """The name for a narrow place: `folder:pics` of a folder; `blood.npz` of a file, and `faces/images.npy` of one
    whose own name tells nothing."""
    prefix, place = place_of(dataset)
    name, folder = Path(place).name, folder_named(Path(place)) if prefix == FILE_PREFIX else ""
    return f"{prefix if prefix == FOLDER_PREFIX else ''}{folder and f'{folder}/'}{name}" if name else dataset


def absolute(dataset: str) -> str:
    """The name of a dataset, of a folder or a file with its absolute path: a run may be opened from anywhere."""
    prefix, place = place_of(dataset)
    if not place:
        return dataset
    try:
        path = Path(place).expanduser()
        # Only `..` needs the file system: after a link it leads elsewhere than the words say.
        path = path.resolve() if ".." in path.parts else path.absolute()
    except (OSError, RuntimeError, ValueError):
        return dataset  # whoever opens it says what is wrong
    return f"{prefix}{path}"


def with_absolute_path(config: RunConfig) -> RunConfig:
    """The config with the `absolute` path of a folder or a file."""
    return with_dataset(config, absolute(config.data.dataset))


def with_dataset(config: RunConfig, dataset: str) -> RunConfig:
    """The config of another dataset."""
    if dataset == config.data.dataset:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"dataset": dataset})})
