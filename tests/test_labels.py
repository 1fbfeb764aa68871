"""What people call runs: `label.json`, `tuiae label`, `tuiae delete`, and finding runs by what one types."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, HOSTILE, new_run, script
from tests.terminal import Terminal
from tuiae.config import build_config
from tuiae.errors import ConfigError, RunHeldError, TuiaeError, UnknownRunError
from tuiae.files import read_json, replace_json
from tuiae.render.status import title_line
from tuiae.runs.labels import Label, forget_pruned, named_for, read_label, relabel, tags_of, write_label
from tuiae.runs.listing import RunLister, RunRow, summarise
from tuiae.runs.paths import CHANGED, RunPaths, list_runs
from tuiae.runs.process import RunLock
from tuiae.runs.query import find_tagged, parse_query
from tuiae.runs.reader import RunReader
from tuiae.runs.removal import delete_run, dependents, discard_untrained, size_of


def ended(root: Path, name: str = "", document: dict[str, object] | None = None, epochs: int = 2) -> RunPaths:
    """A run that is over."""
    played = script(root, document or AUTOENCODER, name)
    played.play(epochs)
    played.writer.close("finished")
    return played.run


def tag_at_start(run: RunPaths, *tags: str) -> None:
    replace_json(run.meta, {**read_json(run.meta), "tags": list(tags)})


def test_a_label_comes_back_as_it_was_written(runs_root: Path) -> None:
    run = new_run(runs_root)
    written = write_label(run, Label("  the wide one ", "first line\nsecond: é ★\n", ("a", "b", "a"), pinned=True))
    assert written == read_label(run) == Label("the wide one", "first line\nsecond: é ★", ("a", "b"), pinned=True)
    assert read_json(run.label)["v"] == 1
    assert relabel(run, note="").note == ""
    assert read_label(run).name == "the wide one"


def test_who_watches_a_run_sees_the_name_it_is_given(runs_root: Path) -> None:
    reader = RunReader(new_run(runs_root).root)
    first = reader.poll()
    assert reader.poll() is first
    write_label(reader.run, Label("the wide one"))
    assert " the wide one " in title_line(reader.poll(), 120).plain


@pytest.mark.parametrize("label", [Label(name="x" * 81), Label(note="a\u202eb"), Label(tags=("no blanks",))])
def test_what_is_no_label_is_refused_and_nothing_is_written(runs_root: Path, label: Label) -> None:
    run = new_run(runs_root)
    with pytest.raises(ConfigError):
        write_label(run, label)
    assert not run.label.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 99, b"[]", b'{"name": 3, "note": ["x"], "tags": "x", "pinned": 1}', b'{"tags": [1, "two words"]}'],
)
def test_a_label_that_is_none_is_as_if_there_were_none(runs_root: Path, content: bytes) -> None:
    run = new_run(runs_root)
    run.label.write_bytes(content)
    label = read_label(run)
    assert (label.name, label.note, label.pinned) == ("", "", False)
    assert tags_of(run) == ()
    assert RunLister(runs_root).rows()[0].title == run.id


@pytest.mark.parametrize(("note", "left"), [("asha ended it at epoch 4, with a loss", ""), ("mine", "mine")])
def test_what_goes_on_after_all_is_not_pruned_any_more(runs_root: Path, note: str, left: str) -> None:
    run = ended(runs_root)
    relabel(run, tag=("pruned", "wide"), note=note)
    forget_pruned(run)
    assert (tags_of(run), read_label(run).note) == (("wide",), left)


def test_tags_of_a_label_replace_those_of_the_start_everywhere(lab: Laboratory) -> None:
    run = ended(lab.runs)
    tag_at_start(run, "old", "both")
    assert tags_of(run) == ("old", "both")
    relabel(run, name="mine", tag=["new"], untag=["old", "never"])
    assert tags_of(run) == ("both", "new")
    assert RunLister(lab.runs).rows()[0].tags == ("both", "new")
    assert summarise(RunReader(run.root).read_all())["tags"] == ["both", "new"]
    assert [found.id for found in find_tagged("new", lab.runs)] == [run.id]
    with pytest.raises(UnknownRunError):
        find_tagged("old", lab.runs)
    assert [found["run"] for found in lab("runs", "--tag", "new", "--json").document] == [run.id]
    relabel(run, untag=["both", "new"])
    assert tags_of(run) == ()


def test_a_label_that_cannot_be_written_says_so(runs_root: Path) -> None:
    with pytest.raises(UnknownRunError):
        write_label(RunPaths(runs_root / "gone"), Label("x"))


def test_label_on_the_command_line(lab: Laboratory) -> None:
    run = ended(lab.runs)
    lab("label", "last", "--name", "[b]wide[/b]", "--note", "two\nlines", "--tag", "a", "--tag", "b", "--untag", "b")
    told = lab("label", run.id).stdout
    assert told.splitlines() == [run.id, "name  [b]wide[/b]", "tags  a", "note  two", "      lines"]
    document = lab("label", run.id, "--name", "", "--json").document
    assert document == {"run": run.id, "name": None, "note": "two\nlines", "tags": ["a"], "pinned": False}
    shown = lab("show", run.id, "--json").document
    assert (shown["name"], shown["note"], shown["tags"]) == (None, "two\nlines", ["a"])
    assert "80" in lab("label", run.id, "--name", "x" * 81, check=2).stderr
    lab("label", "nobody", "--name", "x", check=2)


# Listing


def test_what_did_not_change_is_the_same_object_and_what_did_is_read(runs_root: Path) -> None:
    first, second = (ended(runs_root, f"2020010{day}-000000-run-0000") for day in (1, 2))
    lister = RunLister(runs_root)
    before = lister.rows(histories=True)
    assert [row.id for row in before] == [second.id, first.id]
    assert all(old is new for old, new in zip(before, lister.rows(histories=True), strict=True))
    relabel(first, name="renamed")
    after = lister.rows(histories=True)
    assert after[0] is before[0]
    assert (after[1].title, after[1].best, after[1].trend) == ("renamed", before[1].best, before[1].trend)
    replace_json(second.status, {**read_json(second.status), "state": "stopped"})
    assert lister.rows()[0].status.state == "stopped"


def test_a_look_asks_the_disk_once_for_a_run_at_most_and_opens_nothing_of_those_at_rest(
    runs_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        ended(runs_root, f"20200101-0000{number:02}-run-0000")
    for run in list_runs(runs_root):
        os.utime(run.root, (0, 0))  # else they may change again within what the clock of a disk tells apart
    lister, asked, opened = RunLister(runs_root), list[str](), list[str]()
    before = lister.rows(histories=True)

    def count(name: str, calls: list[str]) -> None:
        call = getattr(os, name)

        def counted(path: Any, *rest: Any, **named: Any) -> Any:
            calls.append(str(path))
            return call(path, *rest, **named)

        monkeypatch.setattr(os, name, counted)

    for name, calls in (("stat", asked), ("lstat", asked), ("open", opened), ("scandir", opened)):
        count(name, calls)
    assert all(old is new for old, new in zip(before, lister.rows(histories=True), strict=True))
    once = Counter(str(row.path) for row in before)
    told = str(runs_root / CHANGED)
    assert (Counter(asked), opened) == (once | {told: 1}, [])
    monkeypatch.setattr("tuiae.runs.listing.AT_REST", 10)
    relabel(RunPaths(before[7].path), name="renamed")
    assert lister.rows(whole=False)[7].name == "renamed"
    relabel(RunPaths(before[9].path), name="by somebody who may not say so")
    (runs_root / CHANGED).unlink()
    asked.clear()
    looks = [lister.rows(whole=False) for _ in range(4)]
    assert Counter(asked) == once | {told: 4}
    assert looks[-1][9].name.startswith("by somebody")


def test_the_best_loss_follows_the_history(lab: Laboratory) -> None:
    live = script(lab.runs)
    lister = RunLister(lab.runs)
    assert lister.rows(histories=True)[0].best is None
    live.begin()
    for epoch in (1, 2, 3):
        live.epoch(epoch)
        row = lister.rows(histories=True)[0]
        assert row.best == pytest.approx(0.24 / epoch)
        assert len(row.trend) == epoch
    live.writer.event("start", step=4, epoch=1, text="again from a checkpoint")
    assert lister.rows(histories=True)[0].best == pytest.approx(0.24)
    live.writer.close("finished")


def test_foreign_and_unreadable_directories_stop_no_list(runs_root: Path) -> None:
    run = ended(runs_root)
    (runs_root / "reports").mkdir()
    (runs_root / "notes.txt").write_text("x")
    (runs_root / "dangling").symlink_to(runs_root / "nowhere")
    (runs_root / "circle").symlink_to(runs_root / "circle")
    bad = new_run(runs_root, name="20200101-000000-bad-0000")
    for path in (bad.config, bad.status, bad.meta, bad.events):
        path.write_bytes(bytes(range(256)))
    lister = RunLister(runs_root)
    rows = lister.rows(histories=True)
    assert [row.id for row in rows] == [run.id, bad.id]
    assert lister.passed_over == ("dangling",)
    assert (rows[1].dataset, rows[1].settings, rows[1].status.state) == ("", {}, "unknown")
    assert RunLister(runs_root / "nowhere").rows() == ()
    assert len(RunLister(runs_root).rows(most=1)) == 1


# Finding


@pytest.fixture
def rows(runs_root: Path) -> tuple[RunRow, ...]:
    """A named autoencoder and a tagged classifier."""
    auto = ended(runs_root, "20200101-000000-denoise-0001", epochs=2)
    letters = ended(runs_root, "20200102-000000-letters-0002", CLASSIFIER, epochs=6)
    relabel(auto, name="The Wide One", note="look again")
    tag_at_start(letters, "sweep:codes")
    return RunLister(runs_root).rows(histories=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "letters denoise"),
        ("wide", "denoise"),
        ("GLYPHS denoise", "denoise"),
        ("again", "denoise"),
        ('"wide one"', "denoise"),
        ("-wide", "letters"),
        ("state:finished", "letters denoise"),
        ("state:running", ""),
        ("model:dense", "denoise"),
        ("-model:dense", "letters"),
        ("tag:codes", "letters"),
        ("sweep:codes", "letters"),
        ("epoch:>2", "letters"),
        ("epochs:6 epoch:<=2", "denoise"),
        ("loss:<0.05", "letters"),
        ("loss:0.12", "denoise"),
        ("best:>=0.12", "denoise"),
        ("accuracy:>90%", "letters"),
        ("accuracy:>90", "letters"),
        ("accuracy:>0.9", "letters"),
        ("accuracy:88", "denoise"),
        ("state:finished latent:8 OR tag:codes", "letters denoise"),
        ("epoch:>=3 OR loss:0.12", "letters denoise"),
        ("(epoch:>=3 OR tag:codes) model:dense", ""),
        ("NOT tag:codes", "denoise"),
        ("NOT (model:dense OR tag:codes)", ""),
        ("-(model:dense tag:codes)", "letters denoise"),
        ("latent>=16 OR epochs < 7 AND wide", "denoise"),
        ("latent:!=8", ""),
        ("model!=dense", "letters"),
        ('"OR"', ""),
        ('dense "or"', ""),
        ("letters or wide", "letters denoise"),
        ("not tag:codes", "denoise"),
        ("lr:<1 rate:0.001 batch:8", "letters denoise"),
        ("age:<1d time:<1h speed:>1", "letters denoise"),
        ("age:>2min", ""),
        ("training.batch_size:8", "letters denoise"),
        ("noise.level:0.3", "letters denoise"),
        ("noise.level:0.2", ""),
        ("latent:8", "letters denoise"),
        ("freeze:", "letters denoise"),
        ("loss:<", "letters denoise"),
        ("device:cpu", "letters denoise"),
        ("pinned:true", ""),
    ],
)
def test_typed_words_find_runs(rows: tuple[RunRow, ...], text: str, found: str) -> None:
    assert " ".join(row.preset for row in parse_query(text, rows).find(rows)) == found


def test_a_whole_value_is_meant_where_some_run_has_it(lab: Laboratory, rows: tuple[RunRow, ...]) -> None:
    row = rows[0]
    named = [replace(row, dataset=name, preset=name) for name in ("mnist", "fashion-mnist", "kmnist")]

    def found(text: str) -> list[str]:
        return [one.dataset for one in parse_query(text, named).find(named)]

    assert found("dataset:mnist") == ["mnist"]
    assert found("-dataset:MNIST") == ["fashion-mnist", "kmnist"]
    assert found("dataset:mnis") == ["mnist", "fashion-mnist", "kmnist"]
    assert found("name:mnist") == ["mnist", "fashion-mnist", "kmnist"]
    assert found("mnist") == ["mnist", "fashion-mnist", "kmnist"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dataste:mnist", "(did you mean 'dataset'?)"),
        ("training.leaning_rate:1", "learning_rate"),
        ("state:finishd", "no run is ever 'finishd' (did you mean 'finished'?): it is starting, running, paused, "),
        ("state:=done", "no run is ever 'done'"),
        ("loss:<abc", "loss:<abc: 'abc' is no number"),
        ("-epochs:many", "epochs:many: 'many' is no number"),
        ("batch_size:>=x", "'x' is no number"),
        ("latent:>=", "latent:>= needs a value"),
        ("latent:abc", "latent:abc: 'abc' is no number"),
        ("latent:9..64", "write latent:>=9 latent:<=64"),
        ("time:>2weeks", "'2weeks' is no number"),
        ("OR", "OR needs a term on both sides"),
        ("NOT", "NOT needs a term behind it"),
        ("(latent:8", "never closed"),
        ("latent:8)", "never opened"),
    ],
)
def test_a_key_or_a_value_that_nothing_has_is_told_and_leaves_the_rest_in_force(
    rows: tuple[RunRow, ...], text: str, says: str
) -> None:
    query = parse_query(f"wide {text}", rows)
    assert says in query.problem
    assert [row.preset for row in query.find(rows)] == ["denoise"]


def test_runs_are_filtered_on_the_command_line(lab: Laboratory, rows: tuple[RunRow, ...]) -> None:
    assert [row["run"] for row in lab("runs", "--filter", "best:<0.05", "--json").document] == [rows[0].id]
    table = lab("runs", "--filter", "wide").stdout.splitlines()
    assert len(table) == 2
    assert "The Wide One" in table[1]
    for wrong in ("dataste:x", "state:done"):
        lab("runs", "--filter", wrong, check=2)


# The name with which a run begins

PRESET = {"name": "denoising_64", "data": {"dataset": "mnist"}, "noise": {"kind": "salt-pepper", "level": 0.3}}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"training.epochs": 3, "model.hidden": [64], "noise.level": 0.1}, "denoising_64"),
        ({"model.latent": 8}, "denoising-dense_8-mnist"),
        ({"data.dataset": "folder:/home/ana/my pets"}, "denoising-dense_64-folder-my-pets"),
        ({"noise.kind": "none"}, "dense_64-mnist"),
        ({"model.family": "classifier", "model.encoder": "dense"}, "classifier-dense-mnist"),
        (
            {"model.family": "classifier", "model.encoder_run": "20261120-115900-denoising_64-4682"},
            "classifier-on-denoising_64-4682",
        ),
        (
            {"model.family": "classifier", "model.encoder_run": "/else/where/" + "x" * 60, "model.freeze": True},
            f"classifier-on-{'x' * 27}-frozen",
        ),
        ({"data.dataset": "file:/here/bloodmnist_224.npz", "model.latent": 8}, "denoising-dense_8-bloodmnist_224"),
        ({"data.dataset": "file:/here/faces/train_images.npy"}, "denoising-dense_64-faces"),
        ({"name": "mine", "model.latent": 8}, "mine"),
    ],
)
def test_a_run_that_is_not_what_its_preset_says_has_a_name_of_its_own(changed: dict[str, object], name: str) -> None:
    named = named_for(build_config(PRESET, changed), build_config(PRESET))
    assert named.name == name
    assert build_config(PRESET, {**changed, "name": name}) == named


# Deleting


def test_a_deleted_run_is_gone_and_nothing_half_deleted_is_listed(runs_root: Path) -> None:
    kept, run, long = ended(runs_root), ended(runs_root), RunPaths(runs_root / ("ü" * 127))
    ended(runs_root).root.rename(long.root)  # a name that leaves no room for another word
    assert size_of(run) > 1000
    delete_run(run, runs_root)
    delete_run(long, runs_root)
    assert [found.id for found in list_runs(runs_root)] == [kept.id]
    assert os.listdir(runs_root) == [kept.id]


def test_only_a_real_run_of_this_directory_can_be_deleted(runs_root: Path, tmp_path: Path) -> None:
    elsewhere = ended(tmp_path / "elsewhere")
    runs_root.mkdir(parents=True)
    link = RunPaths(runs_root / "link")
    link.root.symlink_to(elsewhere.root)
    foreign = RunPaths(runs_root / "reports")
    foreign.root.mkdir()
    for run in (link, elsewhere, foreign):
        with pytest.raises(TuiaeError):
            delete_run(run, runs_root)
    run = ended(runs_root)
    (run.samples / "away").symlink_to(elsewhere.root)
    delete_run(run, runs_root)
    assert elsewhere.config.is_file()
    assert foreign.root.is_dir()


def test_a_live_or_held_run_is_refused(runs_root: Path) -> None:
    live = script(runs_root)
    live.begin()
    with pytest.raises(RunHeldError):
        delete_run(live.run, runs_root)
    live.writer.close("finished")
    lock = RunLock(live.run)
    assert lock.acquire()
    with pytest.raises(RunHeldError):
        delete_run(live.run, runs_root)
    assert live.run.config.is_file()
    lock.close()
    delete_run(live.run, runs_root)


def test_only_a_run_that_holds_nothing_is_discarded_when_it_fails(runs_root: Path) -> None:
    moved = {"cause": "no such images", "exit_code": 3}
    for what in ("history", "pictures", "label", "nothing"):
        played = script(runs_root)
        if what == "history":
            played.begin()
        elif what == "pictures":
            (played.run.samples / "000000.npz").write_bytes(b"")
        elif what == "label":
            relabel(played.run, note="the one to keep")
        else:
            played.writer.event("warning", text="cuda:1 is left out")
        played.writer.close("failed", moved)
        assert discard_untrained(played.run) == (what == "nothing")
        assert played.run.root.is_dir() == (what != "nothing")


def test_delete_on_the_command_line(lab: Laboratory) -> None:
    runs = [ended(lab.runs, f"2020010{day}-000000-run{day}-0000") for day in (1, 2, 3)]
    live = script(lab.runs, name="20200104-000000-live-0000")
    live.begin()
    assert "--yes" in lab("delete", "run1", check=2).stderr
    lab("delete", "run1", "nobody", "--yes", check=2)
    lab("delete", "run1", "live", "--yes", check=6)
    assert len(list_runs(lab.runs)) == 4
    document = lab("delete", "run1", "run2", "run1", "--yes", "--json").document
    assert [one["run"] for one in document] == [runs[0].id, runs[1].id]
    assert all(one["bytes"] > 0 for one in document)
    lab("delete", "--tag", "none", "--yes", check=2)
    lab("delete", "--yes", check=2)
    relabel(runs[2], tag=["old"])
    relabel(live.run, tag=["old"])
    assert live.run.id in lab("delete", "--tag", "old", "--yes", check=6).stderr
    live.writer.close("finished")
    assert [run.id for run in list_runs(lab.runs)] == [live.run.id, runs[2].id]
    assert len(lab("delete", "--tag", "old", "--yes", "--json").document) == 2
    assert not list_runs(lab.runs)


def test_what_was_made_from_a_run_that_goes_is_named(lab: Laboratory, classified: RunPaths) -> None:
    rows = RunLister(classified.root.parent).rows()
    encoder = next(row.settings["model.encoder_run"] for row in rows if row.id == classified.id)
    (words,) = (words for words in dependents({encoder}, rows) if classified.id in words)
    assert words == f"{classified.id} was built on it, and cannot be repeated without it"
    (words,) = (words for words in dependents({encoder, "other"}, rows) if classified.id in words)
    assert f"was built on {encoder}" in words
    assert not any(classified.id in words for words in dependents({encoder, classified.id}, rows))


def test_on_a_terminal_deleting_asks_first(lab: Laboratory) -> None:
    run = ended(lab.runs)
    fork = ended(lab.runs, "20200101-000000-child-0000")
    replace_json(fork.meta, {**read_json(fork.meta), "parent": {"run": run.id, "step": 8, "epoch": 2}})
    command = [sys.executable, "-m", "tuiae", "delete", run.id]
    for answer, left in (("n", 2), ("y", 1)):
        with Terminal(command, 100, 24, lab.environment) as terminal:
            terminal.wait_for("Delete this run for good?")
            assert run.id in terminal.text()
            assert f"{fork.id} was forked from it" in terminal.text()
            terminal.send(f"{answer}\r")
            assert terminal.exit_code() == 0
        assert len(list_runs(lab.runs)) == left


def test_hostile_labels_do_no_harm_to_a_terminal(lab: Laboratory) -> None:
    run = ended(lab.runs)
    replace_json(run.label, {"name": HOSTILE, "note": HOSTILE * 9, "tags": ["x"]})
    for command in (("runs",), ("label", run.id), ("show", run.id)):
        out = lab(*command).stdout
        assert not {char for char in out if char != "\n" and not char.isprintable()}
