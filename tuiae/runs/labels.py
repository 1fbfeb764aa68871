"""What people call a run: a display name, a note, tags and a pin, in `label.json`, which no worker ever writes. And the
name with which a run begins."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuiae.config import CUSTOM, RunConfig
from tuiae.errors import ConfigError
from tuiae.files import read_json, replace_json
from tuiae.images import FILE_PREFIX, folder_named, place_of, short_name
from tuiae.runs.paths import SCHEMA, RunPaths, tell_lists, undated, unwritable
from tuiae.source import split_code

_TAG = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def check_tags(tags: Sequence[str]) -> list[str]:
    """Each tag, a word that runs of one study share, once; raises ConfigError for what is no tag."""
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise ConfigError(f"tag {tag!r}: allowed: letters, digits, _ . : and -, at most 64", "choose another tag")
    return list(dict.fromkeys(tags))


def read_tags(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags in a meta.json; anything else there is ignored."""
    found = meta.get("tags")
    words = found if isinstance(found, list) else []
    return tuple(word for word in words if isinstance(word, str) and _TAG.fullmatch(word))


JOB = "job"
"""The key of meta.json with the label of a run among those of its study, such as `latent=8 seed=1`."""
JOBS = "jobs"
"""The key of meta.json with how many runs the study wanted in all when the run was made."""
PRESET = "preset"
"""The key of meta.json with the preset that a run was made from, where its config has another name."""
PRUNED = "pruned"
"""The tag of a run that a search has ended early, and the word for its state."""
ENDED_AT = " ended it at epoch"
"""What the note of such a run says, behind the name of the pruner."""
MOST_NAME = 80  # characters
MOST_NOTE = 2000
_REORDERING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Label:
    """What people call a run."""

    name: str = ""
    note: str = ""
    tags: tuple[str, ...] | None = None
    """None as long as those of meta.json stand."""
    pinned: bool = False


def read_label(run: RunPaths) -> Label:
    """The label; fields that are missing, torn or of another kind are empty."""
    record = read_json(RunPaths.label.of(run))
    name, note = (found if isinstance(found := record.get(key), str) else "" for key in ("name", "note"))
    tags = read_tags(record) if isinstance(record.get("tags"), list) else None
    return Label(" ".join(name.split())[:MOST_NAME], note[:MOST_NOTE], tags, record.get("pinned") is True)


def called(run: RunPaths) -> str:
    """What people call a run: its name, else its id without date and time; the latter too where it is gone."""
    return read_label(run).name or undated(run.id)


def tags_of(run: RunPaths, meta: Mapping[str, Any] | None = None, label: Label | None = None) -> tuple[str, ...]:
    """The tags of a run: those of its label, else those that it was started with. Reads only what is not given."""
    tags = (label or read_label(run)).tags
    return read_tags(read_json(RunPaths.meta.of(run)) if meta is None else meta) if tags is None else tags


def check_label(label: Label) -> Label:
    """The label as it is written: outer blanks gone, each tag once. Raises ConfigError: too long, a control character,
    a name that means another run, or a word that is no tag."""
    name, note = label.name.strip(), label.note.replace("\r\n", "\n").strip()
    for what, text, most, allowed in (("name", name, MOST_NAME, ""), ("note", note, MOST_NOTE, "\n\t")):
        if len(text) > most:
            raise ConfigError(f"a {what} of {len(text)} characters: at most {most}", "say it in fewer words")
        if bad := next((char for char in text if char not in allowed and _is_control(char)), ""):
            raise ConfigError(f"the {what} holds the control character U+{ord(bad):04X}", "type it as plain text")
    if name == "last":
        raise ConfigError("no run can be called 'last': commands mean the newest one by it", "choose another name")
    tags = None if label.tags is None else tuple(check_tags(label.tags))
    return replace(label, name=name, note=note, tags=tags)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _REORDERING


def write_label(run: RunPaths, label: Label) -> Label:
    """Check a label and put it in place in one step; returns it as written. Raises ConfigError as `check_label`, and
    UnknownRunError where the run directory is gone or not ours to write."""
    label = check_label(label)
    record: dict[str, Any] = {"v": SCHEMA, "name": label.name, "note": label.note, "pinned": label.pinned}
    if label.tags is not None:
        record["tags"] = list(label.tags)
    try:
        replace_json(run.label, record)
        tell_lists(run)
    except OSError as error:
        raise unwritable(run, error, "label") from error
    return label


def relabel(
    run: RunPaths,
    *,
    name: str | None = None,
    note: str | None = None,
    tag: Sequence[str] = (),
    untag: Sequence[str] = (),
    pinned: bool | None = None,
) -> Label:
    """Change the given fields of a label and leave the rest; raises as `write_label`."""
    label = read_label(run)
    if tag or untag:
        check_tags((*tag, *untag))
        tags = dict.fromkeys((*tags_of(run, label=label), *tag))
        label = replace(label, tags=tuple(word for word in tags if word not in untag))
    given: dict[str, Any] = {"name": name, "note": note, "pinned": pinned}
    return write_label(run, replace(label, **{key: value for key, value in given.items() if value is not None}))


def forget_pruned(run: RunPaths) -> None:
    """Take from a run that goes on after all what the search that ended it wrote into its label; raises as
    `write_label`."""
    label = read_label(run)
    if PRUNED in tags_of(run, label=label):
        relabel(run, untag=(PRUNED,), note="" if ENDED_AT in label.note else None)


# The name in a config: the name of its preset, as long as the run trains what the preset does.

LONGEST_NAME = 48  # characters, as config/schema.py:NAME_PATTERN allows
_FROZEN = "-frozen"


def named_for(config: RunConfig, preset: RunConfig) -> RunConfig:
    """The config, under a name made of what it trains where it still has the name of its preset and trains something
    else: another model or code, another dataset, with noise or without."""
    if config.name != preset.name or _subject(config) == _subject(preset):
        return config
    return config.model_copy(update={"name": made_name(config)})


def made_name(config: RunConfig) -> str:
    """`denoising-dense_64-mnist`, `classifier-conv-mnist`, `classifier-on-dense_64-4682-frozen`."""
    model, dataset = config.model, short_name(config.data.dataset)
    prefix, place = place_of(config.data.dataset)
    if prefix == FILE_PREFIX:
        dataset = folder_named(Path(place)) or Path(place).name.partition(".")[0]
    tail = _FROZEN if config.is_classifier and model.freeze else ""
    if model.encoder_run:
        name = f"classifier-on-{undated(Path(model.encoder_run).name)}"
    elif config.is_classifier:
        name = f"classifier-{model.encoder}-{dataset}"
    else:
        denoising = "" if config.noise.kind == "none" else "denoising-"
        what = split_code(model.code)[1] if model.family == CUSTOM else f"{model.family}_{model.latent}"
        name = f"{denoising}{what}-{dataset}"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)[: LONGEST_NAME - len(tail)].rstrip("-") + tail


def keys_in_name(config: RunConfig) -> tuple[str, ...]:
    """The settings that a made name says."""
    if config.is_classifier:
        encoder = ("model.family", "model.encoder", "model.encoder_run", "model.freeze")
        return encoder if config.model.encoder_run else (*encoder, "data.dataset")
    return "model.family", "model.latent", "model.code", "data.dataset", "noise.kind"


def _subject(config: RunConfig) -> tuple[object, ...]:
    model, noisy = config.model, config.noise.kind != "none"
    what = model.code if model.family == CUSTOM else model.latent
    rest = (model.encoder, model.encoder_run, model.freeze) if config.is_classifier else (what, noisy)
    return model.family, config.data.dataset, *rest
