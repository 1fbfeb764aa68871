"""Documents that hypothesis makes up: readers of a run's files take whatever JSON, TOML and npz can hold.

`tests/mutations.py` damages files that are whole; what is made here was never one, and shrinks to the smallest that
fails. TUIAE_TEST_EXAMPLES asks for more of each, as `make faults` does.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.mutations import draw_live, draw_runs
from tuiae.cli.status import status_lines, status_record
from tuiae.config import RunConfig, build_config, dump_config, parse_override, settings_of
from tuiae.config.document import fingerprint, parse_toml, read_alike
from tuiae.data.cache import FILE_NAME, read_manifest
from tuiae.errors import ConfigError, DataError, TuiaeError
from tuiae.files import read_json
from tuiae.images import ImageRecord, read_record
from tuiae.preflight import check
from tuiae.runs import control
from tuiae.runs.events import LossTrend
from tuiae.runs.labels import Label, read_label, write_label
from tuiae.runs.lineage import all_edits
from tuiae.runs.listing import RunLister, summarise
from tuiae.runs.paths import RunPaths
from tuiae.runs.query import STATES
from tuiae.runs.reader import RunReader, read_images, read_sample
from tuiae.runs.snapshot import SAMPLE_ARRAYS, Status
from tuiae.runs.writer import create_run

EXAMPLES = int(os.environ.get("TUIAE_TEST_EXAMPLES", "30"))
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # NumPy prints them over what a terminal shows
made_up = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES < 1000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NUMBERS = st.integers() | st.floats() | st.sampled_from((0, 1, -1, 2**53, 2**64, 10**400, 1e308, -1e308, 253402300800))
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=12)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def documents(**usual: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these keys: each has what it usually has, or anything."""
    return st.fixed_dictionaries({}, optional={name: values | ANYTHING for name, values in usual.items()})


STEPS, EPOCHS, TIMES = st.integers(0, 200), st.floats(0, 20), st.floats(1e9, 2e9)
VALUES = st.dictionaries(
    st.sampled_from(("loss", "kl", "accuracy", "mse")), st.floats(0, 9) | st.none() | NUMBERS, max_size=3
)
METRICS = documents(
    split=st.sampled_from(("live", "train", "train-eval", "test", "code", "speed")),
    step=STEPS,
    epoch=EPOCHS,
    time=TIMES,
    values=VALUES,
).map(lambda record: {"kind": "metric", **record})
EVENTS = METRICS | documents(
    kind=st.sampled_from(("start", "sample", "checkpoint", "command", "warning", "end")),
    step=STEPS,
    epoch=EPOCHS | st.integers(0, 9),
    time=TIMES,
    text=st.sampled_from(("paused at", "resumed at", "auto-pause, divergence: x")) | st.text(max_size=20),
    key=st.sampled_from([*control.EDITABLE]),
    old=NUMBERS,
    new=NUMBERS,
    plan=STEPS,
)


@contextmanager
def or_refused() -> Iterator[None]:
    """Inside all goes well, or an error of ours says why not, in lines that a person reads."""
    said: list[str] = []
    try:
        yield
    except TuiaeError as error:
        said = error.lines()
    assert all(len(line) < 1000 for line in said)


@pytest.fixture
def run(runs_root: Path) -> RunPaths:
    return create_run(RunConfig(name="mine"), runs_root, ["tuiae"])


def write_lines(path: Path, records: list[Any]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


@made_up
@given(st.lists(EVENTS, max_size=12))
@example([{"kind": "metric", "split": "live", "values": {"loss": None}, "time": 1e9, "epoch": 0.0, "step": 0}])
def test_any_history_is_read_and_drawn(run: RunPaths, events: list[Any]) -> None:
    write_lines(run.events, events)
    snapshot = RunReader(run.root).read_all()
    json.dumps([summarise(snapshot), status_record(snapshot)], allow_nan=False)
    all_edits(run), LossTrend(run).poll()
    draw_live(run.root, slow=False)


@made_up
@given(st.lists(METRICS, max_size=8))
def test_both_ways_to_read_a_metric_come_to_the_same(run: RunPaths, metrics: list[dict[str, Any]]) -> None:
    write_lines(run.events, metrics)
    quick = RunReader(run.root).read_all()
    write_lines(run.events, [{**metric, "nan": float("nan")} for metric in metrics])  # which msgspec does not take
    slow = RunReader(run.root).read_all()
    assert summarise(slow) == summarise(quick)
    assert slow.series.keys() == quick.series.keys()
    for one, other in ((slow.clock, quick.clock), *((slow.series[key], quick.series[key]) for key in slow.series)):
        np.testing.assert_array_equal([one.steps, one.epochs, one.values], [other.steps, other.epochs, other.values])


@made_up
@given(documents(**{**dict.fromkeys((one.name for one in fields(Status)), ANYTHING), "state": st.sampled_from(STATES)}))
def test_any_status_is_shown(run: RunPaths, record: dict[str, Any]) -> None:
    run.status.write_text(json.dumps(record))
    snapshot = RunReader(run.root).read_all()
    json.dumps(status_record(snapshot), allow_nan=False)
    assert all(len(line) <= 80 for line in status_lines(snapshot))
    draw_live(run.root, slow=False)
    draw_runs(run.root.parent)


TAGS = st.lists(st.text(max_size=5) | st.sampled_from(("a", "sweep:x")), max_size=3)
EDIT = documents(key=st.sampled_from([*control.EDITABLE]), step=STEPS, epoch=EPOCHS, old=NUMBERS, new=NUMBERS)
PARENT = documents(run=st.text(max_size=5), step=STEPS, epoch=EPOCHS, changed=st.lists(st.text(max_size=5), max_size=2))
META = documents(
    host=st.text(max_size=5),
    preset=st.text(max_size=5),
    tags=TAGS,
    parent=PARENT,
    replay=documents(run=st.text(max_size=5), edits=st.lists(EDIT, max_size=3)),
    created=TIMES,
    argv=st.lists(st.text(max_size=5), max_size=2),
)
LABEL = documents(name=st.text(max_size=90), note=st.text(max_size=20), tags=TAGS, pinned=st.booleans())
IMAGES = documents(
    dataset=st.just("digits"),
    path=st.text(max_size=5),
    classes=st.lists(st.text(max_size=3), max_size=3),
    shape=st.lists(STEPS, min_size=3, max_size=3),
    train=STEPS,
    test=STEPS,
    digest=st.just("aa"),
)


@made_up
@given(META, LABEL, IMAGES)
def test_anything_about_a_run_is_listed_and_shown(
    run: RunPaths, meta: dict[str, Any], label: dict[str, Any], images: dict[str, Any]
) -> None:
    for path, record in ((run.meta, meta), (run.label, label), (run.images, images)):
        path.write_text(json.dumps(record))
    assert isinstance(read_images(run) or read_record(images), ImageRecord | None)
    snapshot = RunReader(run.root).read_all()
    json.dumps([summarise(snapshot), status_record(snapshot)], allow_nan=False)
    (row,) = RunLister(run.root.parent).rows()
    assert len(row.name) <= 80
    all_edits(run)
    draw_live(run.root, slow=False)
    draw_runs(run.root.parent)


@made_up
@given(st.builds(Label, st.text(max_size=81), st.text(), st.none() | TAGS.map(tuple), st.booleans()))
def test_a_label_is_read_as_it_was_written_or_refused(run: RunPaths, label: Label) -> None:
    with or_refused():
        written = write_label(run, label)
        read = read_label(run)
        assert (read.note, read.tags, read.pinned) == (written.note, written.tags, written.pinned)
        assert read.name == " ".join(written.name.split())


COMMANDS = documents(
    command=st.sampled_from(control.COMMANDS),
    key=st.sampled_from([*control.EDITABLE]),
    value=NUMBERS,
    by=st.text(max_size=5),
)


@made_up
@given(st.lists(COMMANDS | ANYTHING, max_size=5), st.sampled_from([*control.EDITABLE]), ANYTHING)
def test_of_any_commands_the_known_ones_are_taken(run: RunPaths, sent: list[Any], key: str, value: Any) -> None:
    for number, record in enumerate(sent):
        (run.control / f"{number:020d}.json").write_text(json.dumps(record))
    known = [one for one in sent if isinstance(one, dict) and one.get("command") in control.COMMANDS]
    assert len(control.take(run)) == len(known)
    assert not list(run.control.iterdir())
    for config in (RunConfig(), build_config({"model": {"family": "vae"}})):
        with or_refused():
            control.propose(config, key, value, 3)


# Configs

PLAIN = settings_of(RunConfig())
TOML = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=3,
)
USUAL = st.sampled_from(
    (0, 1, 2, 8, 0.1, 0.5, "", "adam", "cosine", "vae", "conv", "classifier", "bce", "test", True, [16], ["1"])
)
CHANGES = st.dictionaries(st.sampled_from([*PLAIN]), USUAL | TOML, max_size=3)


def document_of(changes: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        (document.setdefault(section, {}) if section else document)[name] = value
    return document


@made_up
@given(CHANGES)
def test_any_config_is_checked_or_refused_in_sentences(runs_root: Path, changes: dict[str, Any]) -> None:
    text = tomli_w.dumps(document_of(changes))
    with or_refused():
        config = build_config(parse_toml(text))
        written = dump_config(config)
        assert read_alike(written) == (config, settings_of(config), fingerprint(parse_toml(written)))
        check(config, runs_root)


LINES = st.sampled_from(
    ("", "[data]", "[noise]", "[noise.x]", "[[data]]", "[data] # x", "[model.arguments]", "[training]", 'name = "a"')
)
VALUES = st.sampled_from(
    ("seed = 1", "seed = 0x1", "kind = 'mask'", "level = 1", "hidden = [", "]", "'seed' = 2", "shards = 2", "'''")
)


@made_up
@given(st.lists(LINES | VALUES, max_size=9).map("\n".join) | st.text(max_size=30))
def test_a_document_is_read_by_its_tables_as_in_one_go(text: str) -> None:
    try:
        whole = parse_toml(text)
        config = build_config(whole)
    except (tomllib.TOMLDecodeError, ConfigError) as error:
        with pytest.raises(type(error)):
            read_alike(text)
    else:
        assert read_alike(text) == (config, settings_of(config), fingerprint(whole))


@made_up
@given(st.sampled_from([*PLAIN]) | st.text(max_size=8), st.text(max_size=12) | NUMBERS.map(str))
def test_any_setting_is_taken_or_refused_in_a_sentence(key: str, value: str) -> None:
    with or_refused():
        build_config({}, dict([parse_override(f"{key}={value}")]))


# Arrays

KINDS = ("u1", "i1", "i8", "f4", "f8", "c8", "?", "U2", "S2", "M8[s]")
ARRAYS = st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 4), max_size=5), st.integers(-1, 300))


@made_up
@given(st.dictionaries(st.sampled_from([*SAMPLE_ARRAYS, "classes"]), ARRAYS, max_size=6))
def test_a_sample_of_any_arrays_is_drawn_or_none(
    run: RunPaths, described: dict[str, tuple[str, list[int], int]]
) -> None:
    arrays = {
        name: np.full(shape, value % 256 if kind == "u1" else value).astype(kind)
        for name, (kind, shape, value) in described.items()
    }
    np.savez(run.sample(3), allow_pickle=False, **arrays)
    sample = read_sample(run, 3)
    assert sample is not None
    for name, kind in SAMPLE_ARRAYS.items():
        values = getattr(sample, name)
        assert values is None or kind.holds(values)
    write_lines(run.events, [{"kind": "sample", "epoch": 3}])
    draw_live(run.root, slow=True)


@made_up
@given(
    documents(
        schema=st.just(1),
        name=st.just("x"),
        origin=st.just("folder"),
        sha256=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        shape=st.lists(STEPS, min_size=3, max_size=3),
    )
)
def test_any_manifest_of_a_prepared_set_is_read_or_called_damaged(tmp_path: Path, record: dict[str, Any]) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps(record))
    with pytest.raises(DataError) as refused:
        read_manifest(tmp_path)
    assert "\n" not in refused.value.cause


@made_up
@given(st.binary(max_size=40) | ANYTHING.map(json.dumps).map(str.encode))
def test_any_bytes_are_a_json_object_or_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert isinstance(read_json(tmp_path / "x.json"), dict)
