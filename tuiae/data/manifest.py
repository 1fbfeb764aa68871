"""The small file beside a prepared set that says what it is and what its arrays must hash to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tuiae.data.dataset import Shape
from tuiae.errors import DataError

Origin = Literal["embedded", "download", "imported", "folder"]

SCHEMA = 1
FILE_NAME = "manifest.json"
ARRAYS = ("train-images", "train-labels", "test-images", "test-labels")


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds, schema aside."""

    name: str
    origin: Origin
    source: str
    """Where the images came from, for people."""
    shape: Shape
    classes: tuple[str, ...]
    labelled: bool
    train: int
    test: int
    fingerprint: str
    """State of what the set was made from (a folder of pictures, the set at its own size); empty when that is fixed."""
    sha256: dict[str, str]
    """Of each array file, by its name without the ending."""

    @property
    def digest(self) -> str:
        """One hash for the content of the whole set."""
        return hashlib.sha256("".join(self.sha256[array] for array in ARRAYS).encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a prepared set, or None where there is no prepared set.

    Raises:
        DataError: there is one that cannot be read, or that a newer version wrote.
    """
    path = folder / FILE_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        schema = document["schema"]
        if schema > SCHEMA:
            raise DataError(f"{path} was written by a newer tuiae (schema {schema})", "update tuiae")
        return _parse(document)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "check its permissions, or set TUIAE_DATA_DIR") from error
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder, None, f"{FILE_NAME} is not readable") from error


def damaged(folder: Path, origin: Origin | None, what: str) -> DataError:
    """The error for a prepared set that is no longer what was written; `origin` None when even that cannot be read."""
    fetch = f"`tuiae data fetch {folder.name} --force` downloads it again"
    import_ = f"`tuiae data import DIR --as {folder.name} --force` imports it again"
    if "@" in folder.name:  # derived from another set, or from a folder of pictures
        hint = f"remove {folder}: it is prepared again on its next use"
    else:
        either = f"{import_}; only where it was a download, {fetch}"
        hint = {"download": fetch, "imported": import_}.get(origin or "", either)
    return DataError(f"{folder} is damaged: {what}", hint)


def _parse(document: dict[str, Any]) -> Manifest:
    channels, height, width = (int(number) for number in document["shape"])
    if document["origin"] not in ("download", "imported", "folder", "embedded"):
        raise ValueError(document["origin"])
    return Manifest(
        name=str(document["name"]),
        origin=document["origin"],
        source=str(document["source"]),
        shape=(channels, height, width),
        classes=tuple(str(name) for name in document["classes"]),
        labelled=bool(document["labelled"]),
        train=int(document["train"]),
        test=int(document["test"]),
        fingerprint=str(document["fingerprint"]),
        sha256={array: str(document["sha256"][array]) for array in ARRAYS},
    )
