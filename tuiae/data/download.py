"""Downloads, by torchvision's own downloader and against its checksums."""

from __future__ import annotations

import http.client
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

from tuiae.data.dataset import DOWNLOADING, DatasetContent, OnProgress
from tuiae.data.importing import read_directory
from tuiae.data.registry import missing_advice
from tuiae.errors import DataError

_TIMEOUT_SECONDS = 20
"""The limit of each connection; torchvision sets none, and a firewall that drops packets would hold the user
for ever."""

_CLASSES = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "qmnist": "QMNIST",
    "emnist-letters": "EMNIST",
    "cifar10": "CIFAR10",
    "svhn": "SVHN",
    "usps": "USPS",
}
_EMNIST_MEMBER = "emnist-letters-"


def download(name: str, work: Path, progress: OnProgress) -> DatasetContent:
    """Download a set into a folder below `work` and read it; raises DataError, whose hint says what to do."""
    try:
        import torchvision.datasets as sets
        from torchvision.datasets import utils
    except ImportError as error:
        raise _unavailable(name, f"torchvision cannot be imported ({error})") from error
    folder = work / "download"
    for addresses, md5 in _resources(getattr(sets, _CLASSES[name])):
        _download_file(utils, name, addresses, md5, folder, progress)
    try:
        _unpack(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unavailable(name, str(error)) from error
    return read_directory(folder, name)


def _resources(dataset: Any) -> list[tuple[list[str], str]]:
    """What a class of torchvision downloads: of each file the addresses, to be tried in turn, and its md5."""
    if hasattr(dataset, "url"):  # EMNIST and CIFAR-10: one archive of all their splits
        return [([dataset.url], getattr(dataset, "tgz_md5", None) or dataset.md5)]
    if hasattr(dataset, "split_list"):  # SVHN and USPS: address, file and md5 of a split
        return [([url], md5) for url, _, md5 in (dataset.split_list[split] for split in ("train", "test"))]
    if isinstance(dataset.resources, dict):  # QMNIST: full addresses by split
        return [([url], md5) for split in ("train", "test") for url, md5 in dataset.resources[split]]
    return [([mirror + file for mirror in dataset.mirrors], md5) for file, md5 in dataset.resources]


def _download_file(utils: Any, name: str, addresses: list[str], md5: str, folder: Path, progress: OnProgress) -> None:
    reasons = []
    for address in addresses:
        file = address.rpartition("/")[2]
        try:
            with _reported(utils, f"{DOWNLOADING} {file}", progress):
                utils.download_url(address, str(folder), file, md5)
            return
        except (RuntimeError, OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{urlsplit(address).netloc}: {_reason(error)}")
    raise _unavailable(name, f"{file}: {'; '.join(reasons)}")


def _reason(error: Exception) -> str:
    if isinstance(error, RuntimeError) and "corrupted" in str(error):
        return "what came does not match the published checksum"
    reason = error.reason if isinstance(error, URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(error).__name__


def _unavailable(name: str, reason: str) -> DataError:
    return DataError(f"{name} is not on this machine and could not be downloaded ({reason})", missing_advice(name))


def _unpack(folder: Path) -> None:
    """Take the split that is wanted out of an archive; the others would fill gigabytes."""
    for archive in folder.glob("*.zip"):
        with zipfile.ZipFile(archive) as members:
            for member in members.namelist():
                file = member.rpartition("/")[2]
                if file.startswith(_EMNIST_MEMBER):
                    (folder / file).write_bytes(members.read(member))
        archive.unlink()


@contextmanager
def _reported(utils: Any, phase: str, progress: OnProgress) -> Iterator[None]:
    """Put `progress` where torchvision would draw its own bar, and a limit on the waiting, for one file."""

    class Meter(nullcontext[Any]):
        """What torchvision asks of a tqdm."""

        def __init__(self, total: int | None = None, **_: object) -> None:
            super().__init__(self)
            self.done, self.total = 0, total or 0
            self.update(0)

        def update(self, count: int) -> None:
            self.done += count
            progress(phase, self.done, self.total)

    timeout, bar = socket.getdefaulttimeout(), utils.tqdm
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)
    utils.tqdm = Meter
    try:
        yield
    finally:
        utils.tqdm = bar
        socket.setdefaulttimeout(timeout)
