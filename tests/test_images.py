"""The images that a run trained on: what is recorded of them, and what is said and refused where others are there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Laboratory, begin_with
from tests.dashboard import open_desk
from tuiae.config import DataSection, build_config, load_config
from tuiae.data.datasets import prepare
from tuiae.data.importing import import_directory
from tuiae.data.registry import identify
from tuiae.errors import OtherImagesError
from tuiae.files import read_json, replace_json
from tuiae.images import ImageRecord, absolute, differences, read_record, refusal, short_name
from tuiae.machine import Interrupt
from tuiae.preflight import check, check_same_images
from tuiae.reproduce.reproduce import prepare_sets
from tuiae.reproduce.work import find_work, make_plan
from tuiae.runs.checkpoints import need_checkpoint
from tuiae.runs.labels import relabel
from tuiae.runs.lineage import fork_config, fork_run, need_config
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import RunReader, read_config, read_images, read_status
from tuiae.runs.writer import create_run
from tuiae.studies.compare import CompareReader, cautions, unranked
from tuiae.studies.jobs import Job, known_runs, prepare_jobs
from tuiae.studies.library import Library
from tuiae.ui.screens.changes import ForkDialog
from tuiae.ui.screens.dialogs import ChoiceDialog

OTHERS = "these are not the images that the run trained on"
RECORD = ImageRecord("folder:/pics", "/pics", ("cats", "dogs"), (1, 8, 8), 40, 8, "aa")


def paint(folder: Path, shade: int, count: int = 4) -> None:
    """Pictures of 4x4, each of another grey."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(np.full((4, 4), shade + number, dtype=np.uint8)).save(folder / f"{number}.bmp")


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "pics"
    paint(folder / "cats", 10)
    paint(folder / "dogs", 200)
    return folder


@pytest.fixture
def mine(lab: Laboratory, finished: RunPaths) -> RunPaths:
    """A copy of the finished run."""
    return lab.copy(finished)


def with_other_images(run: RunPaths) -> RunPaths:
    """Let the record be of images that are not there any more."""
    replace_json(run.images, {**read_json(run.images), "digest": "00", "train": 1400})
    return run


# The record of a set


def test_what_is_the_same_and_in_what_sets_differ() -> None:
    assert differences(RECORD, replace(RECORD, dataset="folder:/moved", path="/moved")) == ()
    assert differences(RECORD, replace(RECORD, digest="bb")) == ("other pixels or labels",)
    others = replace(RECORD, classes=("birds", "cats"), train=41, shape=(3, 9, 8), digest="bb")
    told = differences(RECORD, others)
    assert told[0] == "class 'birds' in place of class 'dogs'"
    assert told[1:] == ("41 training images, not 40", "images of 9x8 in colour, not 8x8 in grey")
    assert differences(RECORD, replace(RECORD, classes=("a", "cats", "dogs"), digest="b"))[0] == "class 'a' came"
    assert differences(RECORD, replace(RECORD, classes=("dogs", "cats"))) == ("its classes are in another order",)


@pytest.mark.parametrize(
    "damage",
    [{"digest": ""}, {"digest": 3}, {"classes": "cats"}, {"classes": [1]}, {"shape": [1, 8]}, {"train": 1e400}],
)
def test_a_damaged_record_is_none(damage: dict[str, Any]) -> None:
    whole = {"dataset": "mnist", "path": "", "classes": ["a"], "shape": [1, 8, 8], "train": 1, "test": 1, "digest": "a"}
    assert read_record(whole) is not None
    assert read_record(whole | damage) is None
    assert read_record({}) is None


def test_embedded_sets_are_known_without_a_cache() -> None:
    for name in ("digits", "glyphs"):
        assert identify(name) == prepare(name).record
        assert identify(name, 6) == prepare(name, 6).record
        assert prepare(name, 6).record.is_same(prepare(name).record)


def test_a_folder_is_known_once_it_is_prepared_as_it_is_now(pics: Path) -> None:
    name = f"folder:{pics}"
    assert identify(name) is None
    before = prepare(name).record
    assert (before.path, before.classes, before.train, before.test) == (str(pics), ("cats", "dogs"), 6, 2)
    assert identify(name) == before
    assert identify(name, 6) is None

    os.utime(pics / "cats" / "0.bmp")
    assert identify(name) is None  # only looking at its pictures tells
    assert prepare(name).record == before

    moved = pics.with_name("moved")
    pics.rename(moved)
    assert differences(before, prepare(f"folder:{moved}").record) == ()


def rename_class(pics: Path) -> None:
    (pics / "dogs").rename(pics / "birds")


def add_class(pics: Path) -> None:
    paint(pics / "birds", 100)


def add_picture(pics: Path) -> None:
    Image.fromarray(np.full((4, 4), 99, dtype=np.uint8)).save(pics / "cats" / "9.bmp")


def swap_pictures(pics: Path) -> None:
    """Other content of the same size, and with the time of the old."""
    first, second = pics / "cats" / "0.bmp", pics / "dogs" / "0.bmp"
    content, status = second.read_bytes(), first.stat()
    assert len(content) == status.st_size
    first.write_bytes(content)
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (rename_class, "class 'birds' in place of class 'dogs'"),
        (add_class, "class 'birds' came; 9 training images, not 6; 3 test images, not 2"),
        (add_picture, "7 training images, not 6"),
        (swap_pictures, "other pixels or labels"),
    ],
)
def test_a_folder_that_changed_is_other_images(pics: Path, change: Callable[[Path], None], told: str) -> None:
    before = prepare(f"folder:{pics}").record
    change(pics)
    assert identify(f"folder:{pics}") is None
    now = prepare(f"folder:{pics}").record
    assert now == identify(f"folder:{pics}")
    assert "; ".join(differences(before, now)) == told


def idx_set(folder: Path, shade: int) -> Path:
    folder.mkdir()
    for split, count in (("train", 4), ("t10k", 2)):
        images = np.full((count, 4, 4), shade, dtype=np.uint8)
        header = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in images.shape)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = bytes([0, 0, 8, 1]) + count.to_bytes(4, "big") + bytes(number % 2 for number in range(count))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    return folder


def test_an_import_that_was_replaced_is_other_images(tmp_path: Path) -> None:
    import_directory(idx_set(tmp_path / "one", 10), "own")
    before, small = prepare("own").record, prepare("own", 3).record
    assert identify("own") == before
    assert identify("own", 3) == small  # known by the set that it is made from
    assert small.digest == before.digest
    import_directory(idx_set(tmp_path / "two", 20), "own", force=True)
    assert differences(before, prepare("own").record) == ("other pixels or labels",)
    assert differences(small, prepare("own", 3).record) == ("other pixels or labels",)


# The path of a folder


def test_a_folder_gets_its_whole_path(pics: Path, lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pics.parent)
    whole = f"folder:{pics}"
    assert [absolute(name) for name in ("folder:pics", "folder:../here/pics", whole)] == [whole] * 3
    assert [absolute(name) for name in ("mnist", "folder:")] == ["mnist", "folder:"]
    assert [short_name(name) for name in ("mnist", whole)] == ["mnist", "folder:pics"]
    file = f"file:{pics.parent / 'blood.npz'}"
    assert [absolute(name) for name in ("file:blood.npz", file)] == [file] * 2
    assert short_name(file) == "blood.npz"
    assert short_name("file:/here/faces/x_train.npy") == "faces/x_train.npy"
    config = build_config({"data": {"dataset": "folder:pics"}, "model": {"hidden": [8], "latent": 2}})
    assert check(config, lab.runs).config.data.dataset == whole
    run = create_run(config, lab.runs, ["tuiae"])
    assert load_config(run.config).data.dataset == whole


def test_a_relative_folder_of_an_older_version_is_where_it_was_recorded(lab: Laboratory) -> None:
    run = create_run(build_config({}), lab.runs, ["tuiae"])
    begin_with(run, '[data]\ndataset = "folder:pics"\n')
    assert need_config(run).data.dataset == "folder:pics"
    replace_json(run.images, {**json.loads(json.dumps(vars(RECORD)))})
    assert need_config(run).data.dataset == RECORD.dataset


# What a run records, and who compares


def test_a_run_says_which_images_it_trained_on(lab: Laboratory, finished: RunPaths, shared_lab: Laboratory) -> None:
    assert read_images(finished) == identify("digits")
    shown = shared_lab("show", finished.id, "--json").document["images"]
    assert (shown["dataset"], shown["train"], shown["test"], shown["shape"]) == ("digits", 1500, 297, [1, 8, 8])
    measured = shared_lab("eval", finished.id, "--json").document["images"]
    assert (measured["same"], measured["differences"]) == (True, [])


def test_what_is_measured_in_place_of_the_test_images_is_said() -> None:
    def words(record: ImageRecord, validation: str | float) -> str:
        return record.used(DataSection(validation=validation))

    mine = replace(RECORD, val=6)
    assert words(mine, "test") == mine.words == "40 + 8 images of 8x8, 2 classes"
    assert words(mine, "val") == "40 + 6 val images of 8x8, 2 classes"
    assert words(mine, 0.1) == "36 + 4 held-out images of 8x8, 2 classes"
    part = mine.used(DataSection(train_limit=20, test_limit=100, classes=("b",)))
    assert part == "at most 20 + 8 of 40 + 8 images of 8x8, 1 of 2 classes"
    assert mine.used(DataSection(validation=0.1, test_limit=3)) == "36 + 3 of 36 + 4 held-out images of 8x8, 2 classes"
    of_older_version = replace(RECORD, shape=(3, 8, 8))
    assert words(of_older_version, "val") == "40 + val images of 8x8 in colour, 2 classes"


def test_eval_and_explore_go_on_and_say_that_the_images_are_others(lab: Laboratory, mine: RunPaths) -> None:
    with_other_images(mine)
    measured = lab("eval", mine.id, "--json").document
    assert measured["images"]["same"] is False
    (difference,) = measured["images"]["differences"]
    assert measured["metrics"]["test/loss"] > 0
    assert difference in lab("explore", mine.id, "--codes").stdout


@pytest.mark.parametrize("command", ["resume", "fork"])
def test_training_on_with_other_images_is_refused(lab: Laboratory, mine: RunPaths, command: str) -> None:
    with_other_images(mine)
    before = mine.status.read_bytes()
    refused = lab(command, mine.id, "--epochs", "6", "--json", check=3).document
    assert f"tuiae {command} {mine.id} --epochs 6 --json --other-images" in refused["hint"]
    assert mine.status.read_bytes() == before
    assert list_runs(lab.runs) == [mine]


def test_a_replay_with_other_images_is_refused(lab: Laboratory, mine: RunPaths) -> None:
    with_other_images(mine)
    command = ["run", str(mine.config), "--replay", mine.id]
    assert f"tuiae {' '.join(command)} --other-images" in lab(*command, check=3).stderr
    assert list_runs(lab.runs) == [mine]


def test_it_is_done_on_purpose_and_recorded(lab: Laboratory, mine: RunPaths) -> None:
    with_other_images(mine)
    lab("resume", mine.id, "--epochs", "5", "--other-images")
    assert read_status(mine).epoch == 5
    assert read_images(mine) == identify("digits")
    assert [earlier["digest"] for earlier in read_json(mine.images)["earlier"]] == ["00"]
    checkpoint = need_checkpoint(mine, "last")
    forked = fork_run(mine, checkpoint, fork_config(mine, checkpoint, {"training.epochs": 6}), lab.runs, ["tuiae"])
    assert read_images(forked) == identify("digits")


def test_a_worker_that_cannot_go_on_leaves_the_run_as_it_was(mine: RunPaths) -> None:
    from tuiae.training.worker import Wanted, work

    with_other_images(mine)
    assert work(mine, Interrupt(), Wanted(epochs=6)) == 3
    status = read_status(mine)
    assert (status.state, status.epoch) == ("finished", 4)
    assert status.refusal is not None
    assert (status.refusal["exit_code"], status.refusal["pid"]) == (3, os.getpid())
    assert RunReader(mine.root).read_all().notes[-1].text.startswith("finished as before, it could not go on: ")
    assert read_json(mine.images)["digest"] == "00"


def test_a_resume_without_its_images_leaves_the_run_as_it_was(lab: Laboratory, mine: RunPaths, pics: Path) -> None:
    begin_with(mine, mine.config.read_text().replace('dataset = "digits"', f'dataset = "folder:{pics}"'))
    mine.images.unlink()  # as of an older version: only its worker finds out
    replace_json(mine.status, {**read_json(mine.status), "state": "stopped"})
    shutil.rmtree(pics)
    refused = lab("resume", mine.id, "--epochs", "6", check=3).stderr
    assert f"folder:{pics}: no such folder" in refused
    status = read_status(mine)
    assert (status.state, status.epoch) == ("stopped", 4)
    shown = lab("show", mine.id).stdout
    assert f"it could not go on: folder:{pics}: no such folder" in shown


def test_a_run_of_an_older_version_gets_its_record(mine: RunPaths) -> None:
    from tuiae.training.worker import Wanted, work

    mine.images.unlink()
    check_same_images(mine, "tuiae resume")
    assert work(mine, Interrupt(), Wanted(epochs=5)) == 0
    assert read_images(mine) == identify("digits")
    assert read_status(mine).refusal is None
    mine.images.write_text("{")
    assert work(mine, Interrupt(), Wanted(epochs=6)) == 0
    assert "data.json is damaged" in " ".join(note.text for note in RunReader(mine.root).read_all().notes)
    assert read_images(mine) == identify("digits")


def test_a_folder_that_is_gone_is_said_to_be(lab: Laboratory, mine: RunPaths, tmp_path: Path) -> None:
    begin_with(mine, mine.config.read_text().replace('dataset = "digits"', f'dataset = "folder:{tmp_path}/gone"'))
    record = replace(RECORD, dataset=f"folder:{tmp_path}/gone", path=f"{tmp_path}/gone")
    replace_json(mine.images, vars(record))
    for command in (("resume", mine.id, "--epochs", "5"), ("eval", mine.id)):
        told = lab(*command, check=3).stderr
        assert f"{tmp_path}/gone is gone: {mine.id} trained on its 40 + 8 images of 8x8, 2 classes" in told
        assert f"ln -s NEW_PLACE {tmp_path}/gone" in told


def test_weights_that_do_not_fit_are_not_offered() -> None:
    classifier = build_config({"model": {"family": "classifier", "encoder": "dense"}})
    more = replace(RECORD, classes=("a", "cats", "dogs"), digest="bb")
    error = refusal("x", classifier, RECORD, more, "tuiae resume x")
    assert not isinstance(error, OtherImagesError)
    assert isinstance(refusal("x", build_config({}), RECORD, more, "tuiae resume x"), OtherImagesError)


def test_a_study_does_not_take_a_run_of_other_images(lab: Laboratory, mine: RunPaths) -> None:
    relabel(mine, tag=["sweep:x"])
    config = read_config(mine)
    assert config is not None
    jobs = [Job("one", config)]
    assert known_runs(jobs, lab.runs, "sweep:x") == {"one": mine}
    assert prepare_jobs(jobs, lab.runs, "sweep:x") == ()
    with_other_images(mine)
    library = Library(lab.runs, "sweep:x")
    assert library.find(config) is None
    assert library.of_other_images == {mine.id}
    (warning,) = prepare_jobs(jobs, lab.runs, "sweep:x")
    assert "1 run of it saw other images" in warning
    mine.images.unlink()
    assert known_runs(jobs, lab.runs, "sweep:x") == {"one": mine}


def test_a_work_that_trains_runs_again_says_why(lab: Laboratory, mine: RunPaths) -> None:
    config = read_config(mine)
    assert config is not None
    plan = replace(make_plan(find_work("tp5-2022")), jobs=(Job("one", config),))
    relabel(mine, tag=[plan.tag])
    assert prepare_sets(plan, lab.runs) == ({}, ())
    with_other_images(mine)
    _, (warning,) = prepare_sets(plan, lab.runs)
    assert warning.startswith("1 run of it saw other images")


def test_a_folder_that_was_only_touched_is_known_by_its_pixels(lab: Laboratory, pics: Path) -> None:
    config = build_config({"data": {"dataset": f"folder:{pics}"}, "model": {"hidden": [8], "latent": 2}})
    run = create_run(config, lab.runs, ["tuiae"], tags=["sweep:x"], images=prepare(f"folder:{pics}").record)
    os.utime(pics / "cats" / "0.bmp")
    assert Library(lab.runs, "sweep:x").find(config) == run
    swap_pictures(pics)
    library = Library(lab.runs, "sweep:x")
    assert library.find(config) is None
    assert library.of_other_images == {run.id}


def test_a_comparison_says_that_runs_saw_different_images(lab: Laboratory, mine: RunPaths) -> None:
    other = RunPaths(Path(shutil.copytree(mine.root, lab.runs / "other")))
    same = CompareReader([mine.root, other.root]).read_all()
    assert not unranked(same, "loss")
    with_other_images(other)
    different = CompareReader([mine.root, other.root]).read_all()
    assert unranked(different, "loss")
    keys = [entry.key for entry in different.entries]
    assert f"figures are of different images: digits ({keys[0]}), digits ({keys[1]})" in cautions(different, "loss")
    other.images.unlink()  # unknown is no complaint
    assert not unranked(CompareReader([mine.root, other.root]).read_all(), "loss")


def test_a_classifier_on_an_encoder_of_other_images_is_warned_of(lab: Laboratory, mine: RunPaths) -> None:
    document = {"data": {"dataset": "digits"}, "model": {"family": "classifier", "encoder_run": mine.id}}
    assert check(build_config(document), lab.runs).warnings == ()
    with_other_images(mine)
    (warning,) = check(build_config(document), lab.runs).warnings
    assert warning.startswith("the encoder was trained on other images than digits has now: ")


@pytest.mark.usefixtures("no_worker_left")
async def test_the_dashboard_asks_before_it_trains_on_with_other_images(lab: Laboratory, mine: RunPaths) -> None:
    replace_json(mine.status, {**read_json(mine.status), "state": "stopped"})
    with_other_images(mine)
    begin_with(mine, mine.config.read_text().replace("epochs = 4", "epochs = 5", 1))
    async with open_desk(mine) as desk:
        await desk.shows("■ stopped", "images", "1,400 + 297")
        await desk.press("R")
        await desk.until(lambda: isinstance(desk.app.screen, ChoiceDialog))
        await desk.shows("trained on other images than digits has now")
        await desk.press("enter")
        await desk.until(lambda: "--other-images" in desk.message)
        assert read_status(mine).state == "stopped"
        await desk.press("f")
        await desk.until(lambda: isinstance(desk.app.screen, ForkDialog))
        await desk.press("tab", "enter")
        await desk.until(lambda: isinstance(desk.app.screen, ChoiceDialog))
        await desk.press("escape")
        await desk.until(lambda: "tuiae fork" in desk.message)
        assert list_runs(lab.runs) == [mine]
        await desk.press("R")
        await desk.until(lambda: isinstance(desk.app.screen, ChoiceDialog))
        await desk.press("down", "enter")
        await desk.until(lambda: desk.state == "finished")
    assert read_images(mine) == identify("digits")


@pytest.mark.thorough
async def test_the_screens_of_the_code_say_that_the_images_are_others(mine: RunPaths) -> None:
    with_other_images(mine)
    async with open_desk(mine) as desk:
        await desk.shows("✓ finished")
        for key, mode in (("3", "latent"), ("4", "bench")):
            await desk.press(key)
            await desk.until(lambda mode=mode: desk.app.current_mode == mode and OTHERS in desk.screen)
