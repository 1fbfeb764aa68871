"""The prepared cache: four .npy files and a manifest in a folder, there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from pydantic import TypeAdapter

from tuiae.data.dataset import Dataset, DatasetContent, OnProgress, Shape, SplitContent, silent
from tuiae.errors import DataError
from tuiae.files import fsync_directory, make_directory, replace_file, replace_json, writable_advice

Origin = Literal["embedded", "download", "imported", "folder", "file"]

SCHEMA = 1
FILE_NAME = "manifest.json"
ARRAYS = ("train-images", "train-labels", "test-images", "test-labels")


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` beside a prepared set holds: what the set is, and what its arrays must hash to."""

    name: str
    origin: Origin
    source: str
    """Where the images came from, for people."""
    shape: Shape
    classes: tuple[str, ...]
    labelled: bool
    train: int
    """Images, `val` among them."""
    test: int
    fingerprint: str
    """State of what the set was made from (a folder of pictures, the set at its own size); empty when that is fixed."""
    sha256: dict[str, str]
    """Of each array file, by its name without the ending."""
    notes: tuple[str, ...] = ()
    """Sentences about what was made of the files: what was left out, which split is which, how pixels were scaled."""
    val: int = 0
    """How many of the training images, the last ones, are the set's own validation split."""

    @property
    def digest(self) -> str:
        """One hash for the content of the whole set."""
        return hashlib.sha256("".join(self.sha256[array] for array in ARRAYS).encode()).hexdigest()


_MANIFEST = TypeAdapter(Manifest)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a prepared set, or None where there is no prepared set; raises DataError for one that cannot be
    read, or that a newer version wrote."""
    path = folder / FILE_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        schema = document["schema"]
        if schema > SCHEMA:
            raise DataError(f"{path} was written by a newer tuiae (schema {schema})", "update tuiae")
        manifest = _MANIFEST.validate_python(document)
        if not manifest.sha256.keys() >= set(ARRAYS):
            raise ValueError("an array has no checksum")
        return manifest
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "check its permissions, or set TUIAE_DATA_DIR") from error
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder, None, f"{FILE_NAME} is not readable") from error


def removed(folder: Path) -> DataError:
    """The error for a prepared set that went while somebody opened it."""
    return DataError(f"{folder} was removed while it was being opened", "start again")


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


def open_cached(root: Path, key: str, fingerprint: str = "") -> Dataset | None:
    """Open a prepared set memory-mapped, every array file checked against its sha256.

    None where nothing is prepared, or it was made from another state (`fingerprint`). Raises DataError for a file that
    is missing, altered, or not readable.
    """
    folder = root / key
    manifest = read_manifest(folder)
    if manifest is None or manifest.fingerprint != fingerprint:
        return None
    arrays = {array.replace("-", "_"): _open_array(folder, array, manifest) for array in ARRAYS}
    for split, images in (("train", manifest.train), ("test", manifest.test)):
        pictures, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        fit = (pictures.dtype, pictures.shape) == (np.uint8, (images, *manifest.shape))
        if not fit or (labels.dtype, labels.shape) != (np.int64, (images,)):
            raise damaged(folder, manifest.origin, f"the {split} images are not as its manifest says")
        if images and not 0 <= labels.min() <= labels.max() < len(manifest.classes):
            raise damaged(folder, manifest.origin, f"a {split} image has a label without a class")
    return Dataset(
        manifest.name,
        manifest.classes,
        **arrays,
        labelled=manifest.labelled,
        notes=manifest.notes,
        digest=manifest.digest,
        path=str(folder.absolute()),
        val=manifest.val,
    )


def open_or_build(
    root: Path,
    key: str,
    build: Callable[[Path], DatasetContent],
    origin: Origin,
    source: str,
    *,
    fingerprint: str = "",
    name: str = "",
    force: bool = False,
    progress: OnProgress = silent,
) -> Dataset:
    """Open `<root>/<key>`, or build it first; of two processes at once one builds and the other waits for it.

    `build` makes the content, given a temporary folder inside the root to work in. Raises DataError for a damaged
    cache, a root that is not writable, a full disk, and as `build` does.
    """
    if not force and (found := open_cached(root, key, fingerprint)) is not None:
        return found
    with writing(root, key, progress) as work:
        found = None if force else open_cached(root, key, fingerprint)
        if found is None:
            store(work, build(work), origin, source, name or key, fingerprint, progress)
            put_in_place(work, root / key)
    found = found or open_cached(root, key, fingerprint)
    if found is None:
        raise removed(root / key)
    return found


@contextmanager
def writing(root: Path, key: str, progress: OnProgress) -> Iterator[Path]:
    """Hold the right to write `<root>/<key>`, with a temporary folder beside it that is gone afterwards."""
    try:
        make_directory(root)
        with _locked(root / f".{key}.lock", progress) as alone:
            if (root / key).exists() and not (root / key / FILE_NAME).exists():
                # It may be the user's own files: never replace it.
                hint = "move it elsewhere, or set TUIAE_DATA_DIR to another folder"
                raise DataError(f"{root / key} is there and is not a prepared set", hint)
            if alone:
                # Whoever writes holds the lock, so these belong to processes that died.
                for leftover in root.glob(f".{key}.tmp-*"):
                    shutil.rmtree(leftover, ignore_errors=True)
            # Not tempfile.mkdtemp: its 0700 would shut other users out of a shared root.
            work = root / f".{key}.tmp-{uuid.uuid4().hex}"
            work.mkdir()
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        cause = f"cannot write to {root}: {error.strerror or error}"
        raise DataError(cause, writable_advice(error, "TUIAE_DATA_DIR")) from error


def store(
    work: Path, content: DatasetContent, origin: Origin, source: str, name: str, fingerprint: str, progress: OnProgress
) -> Manifest:
    """Write the four arrays and the manifest into `work`, on the disk when this returns."""
    train, test = len(content.train.labels), len(content.test.labels)
    brightest: list[int] = []
    for split, part, done in (("train", content.train, 0), ("test", content.test, train)):
        write = partial(_write_images, part, content.shape, done, train + test, progress, brightest)
        replace_file(work / f"{split}-images.npy", write)
        replace_file(work / f"{split}-labels.npy", partial(np.save, arr=part.labels.astype(np.int64)))
    manifest = Manifest(
        name=name,
        origin=origin,
        source=source,
        shape=content.shape,
        classes=content.classes,
        labelled=content.labelled,
        train=train,
        test=test,
        fingerprint=fingerprint,
        sha256={array: _sha256(work / f"{array}.npy") for array in ARRAYS},
        notes=(*content.notes, *_warn_of_darkness(max(brightest), content)),
        val=content.val,
    )
    replace_json(work / FILE_NAME, {"schema": SCHEMA, **asdict(manifest)})
    return manifest


def put_in_place(work: Path, target: Path) -> None:
    """Rename a stored set to its name; whoever has the old one open keeps reading the old one."""
    for entry in work.iterdir():
        if entry.name != FILE_NAME and entry.name.removesuffix(".npy") not in ARRAYS:
            shutil.rmtree(entry)
    fsync_directory(work)
    old = work.with_name(f"{work.name}.old")
    if target.exists():
        target.rename(old)
    work.rename(target)
    fsync_directory(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _write_images(
    part: SplitContent, shape: Shape, done: int, total: int, progress: OnProgress, brightest: list[int], file: BinaryIO
) -> None:
    # Written, not memory-mapped: on a full disk a write fails with an error, a mapped page kills the process.
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(part.labels), *shape)}
    np.lib.format.write_array_header_1_0(file, header)
    for chunk in part.images:
        file.write(np.ascontiguousarray(chunk, dtype=np.uint8).data)
        brightest.append(int(chunk.max(initial=0)))
        done += len(chunk)
        progress("preparing", done, total)


_DARK = 64
"""A level of 255. A set without a brighter pixel has its values in the lower bits, as masks have."""


def _warn_of_darkness(brightest: int, content: DatasetContent) -> tuple[str, ...]:
    begin = "no pixel is brighter than"
    said = any(note.startswith(begin) for note in content.notes)  # of the set that this one is a copy of
    return () if said or brightest >= _DARK else (f"{begin} {brightest} of 255: these images are nearly black",)


def _open_array(folder: Path, array: str, manifest: Manifest) -> np.ndarray:
    path = folder / f"{array}.npy"
    try:
        if _sha256(path) != manifest.sha256[array]:
            raise damaged(folder, manifest.origin, f"{path.name} does not match its checksum")
        # Copy-on-write rather than read-only: torch.from_numpy warns about arrays that cannot be written to.
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError as error:
        raise damaged(folder, manifest.origin, f"{path.name} is missing") from error
    except (ValueError, EOFError) as error:
        raise damaged(folder, manifest.origin, f"{path.name} is no array of numbers") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", "check the disk and the permissions") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path, progress: OnProgress) -> Iterator[bool]:
    """Hold the lock file; yields False on a file system without locks, where the rename alone keeps a set whole."""
    from filelock import FileLock, Timeout  # not above: the lists that the dashboard reads need no locks

    path.touch()  # what forbids to write here is an error, a want of locks is none
    lock = FileLock(path, fallback_to_soft=False)  # a soft lock would outlive a process that is killed
    with suppress(OSError):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress("waiting for another process", 0, 0)
            lock.acquire()
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            path.unlink(missing_ok=True)  # while it is still held: whoever waits for it notices, and locks a new one
            lock.release()
