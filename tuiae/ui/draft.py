"""The run that the form describes, before there is one: where it came from, and whether it can run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.text import Text

from tuiae.config import (
    ENCODERS,
    FAMILIES,
    RunConfig,
    build_config,
    counted,
    load_config,
    read_document,
    settings_of,
)
from tuiae.config.presets import DEFAULT, Preset, list_presets, save_preset
from tuiae.data.registry import EMBEDDED_SETS, DatasetInfo, list_datasets
from tuiae.errors import TuiaeError
from tuiae.files import read_json, replace_json
from tuiae.images import FILE_PREFIX, FOLDER_PREFIX, counts_words, size_words
from tuiae.preflight import Checked, check
from tuiae.render.status import MOST_NAME, silence_words
from tuiae.render.text import clean, count, number, of_epochs, shorten_middle
from tuiae.runs.labels import Label, check_label, named_for
from tuiae.runs.lineage import changes, run_command
from tuiae.runs.listing import preset_of
from tuiae.runs.paths import SCHEMA, RunPaths, undated
from tuiae.runs.snapshot import Snapshot
from tuiae.source import UntrustedCodeError, of_run
from tuiae.studies.labels import suggest_name

CHANGED = " changed"
CLOSED_COLUMNS = 19
"""What the field for the preset shows at least of an entry while its list is closed."""
PRESET_COLUMNS = 32
"""From there on the list of presets says what each one teaches; the field is narrower while the list is closed."""
NUMBERS = (
    ("code", "model.latent"),
    ("resize", "data.image_size"),
    ("epochs", "training.epochs"),
    ("batch", "training.batch_size"),
    ("rate", "training.learning_rate"),
    ("seed", "training.seed"),
)
"""What the form calls its fields for numbers, and their keys."""
_FIELDS = {key: label for label, key in NUMBERS} | {
    "model.family": "model",
    "data.dataset": "dataset",
    "noise.kind": "noise",
    "noise.level": "noise",
    "training.device": "device",
}
_KEY = re.compile("|".join(map(re.escape, _FIELDS)))


def in_form_words(text: str) -> str:
    """A sentence about keys by the names of the form's fields: `code` for `model.latent`."""
    return _KEY.sub(lambda found: _FIELDS[found[0]], text)


def field_of(key: str) -> str:
    """The name of the field for a number."""
    return key.replace(".", "-")


FIELDS_OF = {
    **dict.fromkeys(("model.family", "model.encoder", "model.encoder_run", "model.freeze"), "model"),
    "data.dataset": "dataset",
    "noise.kind": "noise",
    "noise.level": "noise-level",
    "training.device": "device",
    **{key: field_of(key) for _, key in NUMBERS},
}
"""Dotted key -> the field that says it."""
OTHERS = {"name": "run-name", "tags": "run-tags"}
"""What is said of a run beside its config -> its field."""
NAME_CELLS = 21  # of the field for the name, at least
BESIDE_CHOICE = 3  # cells of a closed list beside its words
MOST_DATASET = 19  # cells of its field, whatever the screen: the end of a path, which tells most, stays
OWN_PLACES = {
    FOLDER_PREFIX: ("folder of pictures", "One sub-folder a class, such as ~/pictures."),
    FILE_PREFIX: ("file of arrays, or a CSV", "An npz, an npy or a CSV, such as ~/bloodmnist.npz."),
}
"""Of images of the user's own, by the prefix of their names: what the form calls them, and what it asks for."""
REMEMBERED = ".form.json"
"""In the runs directory: what the form said when it was left."""


class Draft:
    """A config from a preset or a run; methods take `overrides`, which the form's fields say."""

    def __init__(self, runs_root: Path) -> None:
        self._root = runs_root
        self.presets = {preset.name: preset for preset in list_presets()}
        """By name, the default one first."""
        self.base = RunConfig()
        """What the form was filled with."""
        self._source = DEFAULT
        """The preset or the config file that this came from."""
        self._written = self.base
        """What the file at the source says."""
        self.preset = ""
        """The preset that it all began with."""
        self._aside: tuple[RunConfig, str, RunConfig, str, RunConfig] | None = None
        self._kept: dict[str, Any] = {}
        """What this dashboard wrote down last."""

    @property
    def origin(self) -> str:
        """What the form was filled from, in a word or two: a preset, or a run."""
        return self._source if self._source in self.presets else f"run {undated(Path(self._source).parent.name)}"

    def options(self, changed: bool, room: int = 0) -> list[tuple[Any, str]]:
        """What the form can be filled from: words and name of each. The one that it was filled from says so where the
        form asks for something else by now, in as many cells as a closed list has `room` for."""
        origin = self.origin
        teaches = {name: preset.teaches for name, preset in self.presets.items()}
        found: list[tuple[Any, str]] = []
        for name in (origin, *teaches) if origin not in teaches else teaches:
            marked = changed and name == origin
            closed = min(max(CLOSED_COLUMNS, room), PRESET_COLUMNS)
            most = closed - len(CHANGED) * marked if name == origin else PRESET_COLUMNS
            words = Text(shorten_middle(clean(name), most))
            words.append(CHANGED * marked, "italic")
            words.pad_right(PRESET_COLUMNS - words.cell_len)
            found.append((words.append(f" {clean(teaches.get(name, 'as it was'), 200)}", "dim"), name))
        return found

    def changed(self, keys: Mapping[str, Any]) -> list[str]:
        """Which of these keys ask for something else than the form was filled with."""
        base = settings_of(self.base)
        return [key for key, value in keys.items() if base.get(key) != value]

    def put_aside(self, overrides: Mapping[str, Any]) -> bool:
        """Before the form is filled anew, keep what it asks for, for `bring_back`; returns False where that is not
        changed, or cannot be."""
        with suppress(TuiaeError):
            if self.changed(overrides):
                self._aside = self.base, self._source, self._written, self.preset, self.ask(overrides)
                return True
        return False

    @property
    def has_aside(self) -> bool:
        """Whether there is something to bring back."""
        return self._aside is not None

    def bring_back(self, overrides: Mapping[str, Any]) -> RunConfig | None:
        """What the form asked for before it was filled anew, in exchange for what it asks for now, where that can
        be; None where it never was."""
        if (aside := self._aside) is None:
            return None
        with suppress(TuiaeError):
            self._aside = self.base, self._source, self._written, self.preset, self.ask(overrides)
        self.base, self._source, self._written, self.preset, asked = aside
        return asked

    @property
    def named_after(self) -> RunConfig:
        """What a run's name tells it from: the preset that it all began with, or where that is gone what filled the
        form."""
        known = self.presets.get(self.preset)
        with suppress(TuiaeError):
            if self._source not in self.presets and known is not None:
                decided = {"training.precision": self.base.training.precision}  # which its preset may leave to the run
                return build_config(read_document(known.path), decided, source=known.name)
        return self.base

    def name_for(self, config: RunConfig) -> str:
        """The name for a run of a config, made of what differs from the preset that it all began with."""
        return suggest_name(self.named_after, config)

    def label(self, overrides: Mapping[str, Any], name: str, tags: str) -> Label:
        """What a run is to be called, and its tags: where nobody says a name, what tells it from its preset.

        Raises:
            ConfigError: a name or a tag that cannot be.
        """
        if not name.strip():
            with suppress(TuiaeError):  # of what cannot be there is no name
                config = self.ask(overrides)
                suggested = self.name_for(config)
                name = suggested if suggested != named_for(config, self.base).name else ""
        return check_label(Label(name, tags=tuple(tags.replace(",", " ").split())))

    def load_preset(self, name: str) -> RunConfig:
        """Begin anew from a preset.

        Raises:
            ConfigError: somebody broke the file.
        """
        self.base = self._written = build_config(read_document(self.presets[name].path), source=name)
        self._source, self.preset = name, self.base.name
        return self.base

    def take(self, config: RunConfig, path: Path) -> None:
        """Begin anew from the config in force of a run; its file at `path` says what it began with."""
        self.base, self._source = of_run(config, path.parent), str(path)
        try:
            self._written = load_config(path)
        except TuiaeError:
            self._written = self.base  # it was deleted meanwhile; the form still knows what it said
        self.preset = preset_of(self._written, read_json(RunPaths(path.parent).meta))

    def recall(self) -> tuple[RunConfig, Mapping[str, str]] | None:
        """The config that the form asked for when it was left, here or in another dashboard, and what its other fields
        said; the draft begins anew from what that was made from. None where the file is missing or damaged."""
        kept = read_json(self._root / REMEMBERED)
        source, base, changed = kept.get("source"), kept.get("base"), kept.get("changed")
        if not (isinstance(source, str) and isinstance(base, dict) and isinstance(changed, dict)):
            return None
        try:
            if source in self.presets:
                self.load_preset(source)
            else:
                self.take(build_config(base), Path(source))
            config = build_config(self.base.model_dump(mode="json"), changed)
        except TuiaeError:
            return None
        return config, {key: text for key in ("name", "tags") if isinstance(text := kept.get(key), str)}

    def _remember(self, config: RunConfig, others: Mapping[str, str]) -> None:
        """Keep what the form asks for, for `recall`."""
        base, changed = self.base.model_dump(mode="json"), changes(self.base, config)
        kept = {"v": SCHEMA, "source": self._source, "base": base, "changed": changed, **others}
        if kept == self._kept:
            return  # another dashboard may have written since
        self._kept, known = kept, read_json(self._root / REMEMBERED)
        if kept == known or not (known or changed or any(others.values()) or self._source != DEFAULT):
            return  # what stands there, or what a first dashboard says anyway
        with suppress(OSError):  # then the next dashboard begins with the default preset
            self._root.mkdir(parents=True, exist_ok=True)
            replace_json(self._root / REMEMBERED, kept)

    def ask(self, overrides: Mapping[str, Any]) -> RunConfig:
        """The config that overrides ask for.

        Raises:
            ConfigError: it cannot be.
        """
        return build_config(self.base.model_dump(mode="json"), dict(overrides), source="preset", asker="")

    def command(self, overrides: Mapping[str, Any]) -> str:
        """The `tuiae run` line that does the same without a screen."""
        return run_command(self._source, changes(self._written, self.ask(overrides)))

    def save(self, overrides: Mapping[str, Any], name: str) -> Preset:
        """Keep what the form asks for as a preset of the user's own, and go on from that.

        Raises:
            ConfigError: it cannot run, or the name will not do.
        """
        comment = f"Saved from the dashboard on {time.strftime('%Y-%m-%d')}, after {self.origin}."
        preset = save_preset(self.ask(overrides), name, comment)
        self.presets[preset.name] = preset
        self.load_preset(preset.name)
        return preset

    def check(
        self, overrides: Mapping[str, Any], devices: list[str] | None, others: Mapping[str, str] | None
    ) -> Checked:
        """The config that would run; raises the error of the command line where none would. What would run is
        remembered, with what the `others` of the form's fields say, unless these are None."""
        config = self.ask(overrides)
        checked = check(config, self._root, devices)
        if others is not None:
            self._remember(config, others)
        return replace(checked, config=named_for(checked.config, self.base))


def classifier(run_id: str, frozen: bool = False) -> dict[str, Any]:
    """Asks for a classifier, on the encoder of a run where there is a `run_id`."""
    return {"model.family": "classifier", "model.encoder_run": run_id, "model.freeze": frozen}


MODELS: dict[str, dict[str, Any]] = {
    **{family: {"model.family": family, "model.encoder_run": ""} for family in FAMILIES if family != "classifier"},
    **{f"classifier · {encoder}": {"model.encoder": encoder, **classifier("")} for encoder in ENCODERS},
}
"""What each model of the list asks for."""


def models_on(run_id: str) -> dict[str, dict[str, Any]]:
    """Classifiers on the encoder of a run, trained further or kept as it is; none without a run."""
    name = clean(run_id).split("-", 2)[-1]
    on_run = {f"classifier on {name}": classifier(run_id), f"classifier on {name}, frozen": classifier(run_id, True)}
    return on_run if run_id else {}


def find_model(models: Mapping[str, Mapping[str, Any]], config: RunConfig) -> str:
    """The one of some models that a config asks for."""
    model = config.model
    asked = {f"model.{key}": getattr(model, key) for key in ("family", "encoder", "encoder_run", "freeze")}
    if not model.encoder_run:
        asked["model.freeze"] = False  # of random weights only a preset can say so
    return next(name for name, wants in models.items() if wants.items() <= asked.items())


def summary(config: RunConfig) -> str:
    """What a run of a config would be, in a few words."""
    model, training = config.model, config.training
    what = f"{model.words}, on {config.data.dataset}"
    return f"{config.name}: {what}, {counted(training.epochs, 'epoch')}"


def in_short(checked: Checked) -> str:
    """`1,234 parameters · pauses itself`: what the form's frame says of what can run."""
    size = "" if checked.parameters is None else f"{count(checked.parameters)} parameters"
    pauses = "pauses itself" if checked.config.training.auto_pause else ""
    return " · ".join(filter(None, (size, pauses)))


def refusal(problem: TuiaeError | None) -> tuple[str, str, str]:
    """What the form's frame says of what cannot run, why that is, and the kind of message: `bad`, or `caution` where
    its code is to be shown first."""
    if isinstance(problem, UntrustedCodeError):
        return "asks first", in_form_words(f"r shows it, and asks: {problem.cause}".replace("\n", " · ")), "caution"
    return "cannot start", in_form_words(str(problem).replace("\n", " · ")), "bad"


def readiness(checked: Checked, key: str) -> tuple[str, str]:
    """What Start would do, with the key for it, and the kind of message that this is: `good` or `caution`."""
    info, config = checked.dataset, checked.config
    if checked.warnings:
        more = f" (+{len(checked.warnings) - 1} more: c)" if len(checked.warnings) > 1 else ""
        return f"{key} starts, but {in_form_words(checked.warnings[0])}{more}", "caution"
    if not info.ready:
        return f"{key} starts with a download: {info.name} is not on this machine yet", "caution"
    resized = config.data.image_size
    channels, height, width = info.shape or (0, 0, 0)
    size = size_words((channels, resized or height, resized or width)) if resized or height else "their own size"
    images = counts_words(info.train, info.test, info.val, config.data)
    return f"{key} starts {model_words(config)}, on {images} of {size}", "good"


def model_words(config: RunConfig) -> str:
    """`dense, code 64`, or `a classifier on dense_64-4682, frozen`."""
    model = config.model
    if not model.encoder_run:
        return clean(model.words)
    return f"a classifier on {undated(clean(Path(model.encoder_run).name))}{', frozen' if model.freeze else ''}"


def training_words(snapshot: Snapshot) -> str:
    """What a live run does, and the keys that it takes; empty for all others."""
    config, status = snapshot.current_config, snapshot.status
    if snapshot.tracked is not None and status.live:
        edit = ", e changes it" if status.settings else ""
        name = clean(snapshot.name or undated(snapshot.id), MOST_NAME)
        state = f"is paused at step {status.step:,} · p goes on" if status.state == "paused" else "trains · p pauses"
        return f"{name}, a program of its own, {state}{edit}, x asks it to stop"
    if config is None or not status.live:
        return ""
    name, images = clean(snapshot.name or undated(snapshot.id), MOST_NAME), snapshot.images
    if status.silent:
        return f"{name} gives {silence_words(status)}: it hangs, or is suspended · K kills its worker, after a question"
    if status.state == "paused":
        epoch = of_epochs(status.epoch, status.epochs)
        loss = snapshot.latest("live", snapshot.main_metric)
        step = f", step {status.step:,}{f': loss {number(loss)}' if loss is not None else ''}"
        return f"{name} is paused at epoch {epoch}{step} · p goes on, e changes it, x saves and stops"
    of = f", on {images.used(config.data).rpartition(', ')[0]}" if images is not None else ""
    return f"{name} trains {model_words(config)}{of} · p pauses, e changes it, x saves and stops"


def dataset_options(datasets: Sequence[DatasetInfo], chosen: str) -> list[tuple[Any, str]]:
    """What the form can be trained on: words and name of each dataset, of the chosen place, and of the kinds of
    places."""
    absent = {False: "  not here yet", True: ""}
    names = [(Text.assemble(info.name, (absent[info.ready], "dim")), info.name) for info in datasets]
    is_other = chosen not in {info.name for info in datasets}  # a place, or a set that is gone
    own = [(Text(shorten_middle(clean(chosen), MOST_DATASET)), chosen)] if is_other else []
    return [*names, *own, *((Text(f"{title}…"), prefix) for prefix, (title, _) in OWN_PLACES.items())]


def offered_datasets() -> list[DatasetInfo]:
    """The datasets; where the data directory cannot be read, those that need none (the check says why)."""
    try:
        return list_datasets()
    except TuiaeError:
        return list(EMBEDDED_SETS)
