"""The runs of a study that are there already: which of them a config asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuiae.config import ROUNDING, RunConfig, counted, settings_of
from tuiae.data.dataset import OnProgress, silent
from tuiae.data.datasets import prepare
from tuiae.files import read_json
from tuiae.images import ImageRecord, is_own, with_absolute_path
from tuiae.preflight import current_images
from tuiae.runs.labels import tags_of
from tuiae.runs.lineage import read_edits
from tuiae.runs.paths import RunPaths, is_run, list_names
from tuiae.runs.reader import read_config, read_images, read_status
from tuiae.runs.snapshot import Status
from tuiae.source import kept, with_absolute_code, with_code


def is_same_training(first: RunConfig | None, other: RunConfig) -> bool:
    """Returns whether two configs ask for the same, but for the order in which a batch is summed (earlier versions
    computed it whole) and for a precision that the other leaves to the machine."""
    if first is None or first == other:
        return first is not None
    if other.model.is_custom:
        first = with_code(first, latent=other.model.latent)  # which a worker finds out
    asked = other.training
    same = {key: getattr(asked, key) for key in ROUNDING}
    if asked.precision == "auto":
        same["precision"] = "auto"
    training = first.training.model_copy(update=same)
    return first.model_copy(update={"training": training}) == other


def marks(config: RunConfig) -> dict[str, Any]:
    """The settings by which a run of a config is known: all but what `is_same_training` leaves open. Raises ConfigError
    where the file of a custom network is gone."""
    own, free = settings_of(kept(with_absolute_code(config))), {f"training.{key}" for key in ROUNDING}
    if config.model.is_custom:
        free.add("model.latent")
    if config.training.precision == "auto":
        free.add("training.precision")
    return {key: value for key, value in own.items() if key not in free}


def _gist(config: RunConfig) -> str:
    """What two configs share that ask for the same training."""
    return config.model_dump_json(exclude={"model": {"latent"}, "training": {*ROUNDING, "precision"}})


class Library:
    """Every run with one tag, looked for again at each question; what was read of a run once is kept."""

    def __init__(self, root: Path, tag: str, report: OnProgress = silent) -> None:
        self._root, self._tag, self._report = root, tag, report
        self._configs: dict[str, RunConfig | None] = {}
        self._alike: dict[str, list[RunPaths]] = {}
        """The runs by what `_gist` says of their configs: of 3,000 jobs each asks about 3,000 runs."""
        self._images: dict[tuple[str, int], ImageRecord | None] = {}
        self.of_other_images: set[str] = set()
        """Runs in whose place nothing was found because the images have changed since."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentence about runs of other images; empty where there are no such runs."""
        which = counted(len(self.of_other_images), "run")
        text = f"{which} of it saw other images than there are now: left alone, and trained again on these"
        return (text,) if self.of_other_images else ()

    def find(self, config: RunConfig) -> RunPaths | None:
        """The run of this very config and of these images: a finished one first, then a live one, then the one that
        came furthest."""
        config = kept(config)
        for name in [name for name in list_names(self._root) if name not in self._configs]:
            run = RunPaths(self._root / name)
            if is_run(run.root) and (known := self._config_of(run)) is not None:
                self._alike.setdefault(_gist(known), []).append(run)
        alike = sorted(self._alike.get(_gist(config), ()), key=lambda run: run.id, reverse=True)
        matches = [run for run in alike if is_same_training(self._configs[run.id], config) and is_run(run.root)]
        found = [run for run in matches if self._has_images(run, config)]
        if not found:
            self.of_other_images |= {run.id for run in matches}
        return max(found, key=lambda run: usefulness(read_status(run)), default=None)

    def _has_images(self, run: RunPaths, config: RunConfig) -> bool:
        """Returns whether a run trained on the images that there are now, and on no others, as far as that is known."""
        recorded, data = read_images(run), config.data
        if recorded is None:
            return True
        key = (data.dataset, data.image_size)
        if key not in self._images:
            self._images[key] = self._look_at(config)
        now = self._images[key]
        # A set that is gone may come back, and its runs are still good.
        return now is None or (recorded.is_same(now) and not read_json(run.images).get("earlier"))

    def _look_at(self, config: RunConfig) -> ImageRecord | None:
        """The images that there are now; own files of which only the times may have changed are prepared."""
        data, now = config.data, current_images(config)
        if now is None and is_own(data.dataset):
            return prepare(data.dataset, data.image_size, progress=self._report).record
        return now

    def _config_of(self, run: RunPaths) -> RunConfig | None:
        """The config of a run; None without the tag, after edits, or where this version cannot read it."""
        if run.id not in self._configs:
            tagged = self._tag in tags_of(run)
            config = read_config(run) if tagged and not read_edits(run) else None
            self._configs[run.id] = config and with_absolute_path(config)
        return self._configs[run.id]


def usefulness(status: Status) -> tuple[bool, bool, int]:
    """Orders the runs of one config: a finished one first, then a live one, then the one that came furthest."""
    return status.state == "finished", status.live, status.step
