"""The works at a desk: their claims, verdicts and trainings without torch, and running one as a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.conftest import Laboratory, record_edit, wait_until
from tests.dashboard import Desk, open_desk, row_text
from tests.test_reproduce import WORK
from tuiae.config import build_config
from tuiae.errors import RunHeldError
from tuiae.files import read_json, replace_json
from tuiae.render import palette
from tuiae.render.works import done_words, draw_about, draw_claims, draw_trainings, expected_words, work_line
from tuiae.reproduce.state import (
    WorkReader,
    WorkState,
    find_process,
    last_line,
    log_path,
    start_work,
    stop_process,
)
from tuiae.reproduce.verdicts import ClaimRow, RecipeRow, Verdict, Verdicts, read_verdicts, verdict_path, write_verdicts
from tuiae.reproduce.work import find_work, make_plan, missing_sets
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import process_start
from tuiae.runs.writer import RunWriter, create_run
from tuiae.studies.jobs import Job, finished_runs
from tuiae.ui.screens.live import LiveScreen
from tuiae.ui.screens.works import WorksScreen, WorkView

# A shell lets what it starts in the background ignore interrupts, and what that starts as well.
WAITING = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); time.sleep(600)"
POLITANO = "politano-2020"


def trained(root: Path, job: Job, tag: str, epochs: int = 0, state: str = "finished") -> RunPaths:
    """A run of a work's job as its worker leaves it, without the training."""
    run = create_run(job.config, root, ["tuiae"], (tag,))
    writer, epochs = RunWriter(run), epochs or job.config.training.epochs
    writer.event("metric", split="test", step=epochs, epoch=epochs, values={"loss": 0.01})
    writer.status(epoch=epochs, step=epochs, elapsed=2.0 * epochs, test_loss=0.01)
    writer.close(state)
    return run


def claim(verdict: Verdict, name: str, words: str = "") -> ClaimRow:
    recipe = RecipeRow("as printed", "train 0.1, test 0.2", verdict is Verdict.REPRODUCED, "3 of 3 seeds")
    return ClaimRow(name, "It falls.", "0.1", (recipe,), verdict, words or verdict, "0–2", "12 s", "0.2", "a < b", "")


def judged(root: Path, quick: bool = False, runs: int = 2) -> Verdicts:
    claims = (claim(Verdict.REPRODUCED, "1"), claim(Verdict.ONLY_WITH, "2", "only with Adam"))
    verdicts = Verdicts(POLITANO, quick, time.time() - 7200, runs, claims)
    write_verdicts(root, verdicts)
    return verdicts


def state_of(root: Path) -> WorkState:
    (state,) = WorkReader(root, [find_work(POLITANO)]).states(RunLister(root).rows())
    return state


# Reading


def test_verdicts_come_back_as_written_and_full_ones_come_first(runs_root: Path) -> None:
    assert read_verdicts(runs_root, POLITANO) is None
    quick = judged(runs_root, quick=True)
    assert read_verdicts(runs_root, POLITANO) == quick
    full = judged(runs_root)
    assert read_verdicts(runs_root, POLITANO) == full
    verdict_path(runs_root, POLITANO, quick=False).write_bytes(b'{"claims": [3]}')
    assert read_verdicts(runs_root, POLITANO) == quick


def test_the_state_of_a_work_follows_from_its_runs(runs_root: Path) -> None:
    plan = make_plan(find_work(POLITANO))
    assert state_of(runs_root).full.missing == len(plan.jobs) == 12
    assert state_of(runs_root).full.seconds is None
    assert expected_words(state_of(runs_root).full) == "4:48 on two cores"
    for job in plan.jobs[:10:3]:
        trained(runs_root, job, plan.tag)
    trained(runs_root, plan.jobs[1], plan.tag, epochs=3, state="stopped")
    trained(runs_root, make_plan(find_work(POLITANO), quick=True).jobs[0], plan.tag)
    trained(runs_root, plan.jobs[2], "work:another")
    other = plan.jobs[4].config.model_copy(
        update={"noise": plan.jobs[4].config.noise.model_copy(update={"level": 0.5})}
    )
    trained(runs_root, Job("x", other), plan.tag)
    state = state_of(runs_root)
    assert (state.done, state.full.missing) == (4, 8)
    # Two seconds an epoch, fifteen epochs each.
    assert state.full.seconds == pytest.approx(8 * 30)
    # Four jobs under --quick, of two epochs each: one is done, the others are three of four sizes.
    assert (state.quick.missing, state.quick.seconds) == (3, pytest.approx(3 * 2 * 2))
    by_label = {run.label: run for run in state.runs}
    assert by_label[plan.jobs[0].label].done
    stopped = by_label[plan.jobs[1].label].row
    assert stopped is not None
    assert stopped.status.state == "stopped"
    assert by_label[plan.jobs[2].label].row is None
    assert by_label[plan.jobs[4].label].row is None


def test_a_run_of_a_version_that_rounded_otherwise_is_one_of_the_work_s(runs_root: Path) -> None:
    plan = make_plan(find_work(POLITANO))
    earlier = {"training.shards": 0, "training.transposed": "direct", "training.subnormals": "kept"}
    config = build_config(plan.jobs[0].config.model_dump(mode="json"), earlier)
    trained(runs_root, Job("x", config), plan.tag)
    assert state_of(runs_root).done == 1
    assert len(finished_runs(plan.jobs, runs_root, plan.tag)) == 1


def test_a_quick_try_is_known_as_one(runs_root: Path) -> None:
    plan = make_plan(find_work(POLITANO), quick=True)
    trained(runs_root, plan.jobs[0], plan.tag)
    state = state_of(runs_root)
    found = next(run for run in state.runs if run.row is not None)
    assert found.quick
    assert (state.done, state.tried) == (0, 1)
    assert done_words(state) == f"0 of {len(state.runs)} trainings done, 1 tried"
    assert done_words(state) in " ".join(draw_about(state, 34, 40, time.time()).plain.split())
    other = next(run for run in state.runs if run.row is None)
    for width in (60, 80, 100):
        head, line, rest = (text.plain for text in draw_trainings([found, other], width))
        assert "(quick)" in line
        assert line.index("✓") == rest.index("·") == head.index("state")
        assert line.index("2/2") + len("2/2") == head.index("epoch") + len("epoch")
        assert len(line) == len(head)


@pytest.mark.parametrize("width", [34, 50])
def test_the_last_words_of_a_quick_try_keep_its_whole_command(runs_root: Path, width: int) -> None:
    command = f"tuiae reproduce --quick --plain /home/somebody/a-long-way/to/presets/works/{POLITANO}.toml"
    state = replace(state_of(runs_root), last_words=f"stopped and saved; the same command goes on: {command}")
    drawn = draw_about(state, width, 40, time.time()).plain
    assert command.replace(" ", "") in "".join(drawn.split())


def test_a_run_that_somebody_edited_is_none_of_the_work_s(runs_root: Path) -> None:
    plan = make_plan(find_work(POLITANO))
    run = trained(runs_root, plan.jobs[0], plan.tag)
    reader = WorkReader(runs_root, [find_work(POLITANO)])

    def done() -> int:
        return reader.states(RunLister(runs_root).rows())[0].done

    assert done() == 1
    record_edit(run, "training.learning_rate", 0.001, 0.01, 3, 0.2)
    RunWriter(run).close("finished")
    assert done() == 0
    assert finished_runs(plan.jobs, runs_root, plan.tag) == {}


def test_a_work_whose_file_is_wrong_is_told_and_the_others_stand(runs_root: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("title = 3")
    states = WorkReader(runs_root, [wrong, find_work(POLITANO)]).states(())
    assert "wrong.toml" in states[0].problem
    assert "its file is wrong" in work_line(states[0], 60).plain
    assert "wrong.toml" in draw_about(states[0], 60, 20, time.time()).plain.replace("\n", "")
    assert states[1].title == "Dense autoencoder on MNIST"


# Drawing


@pytest.mark.parametrize("width", [30, 44, 76, 150])
def test_claims_say_what_was_reported_and_measured_in_words_and_signs(runs_root: Path, width: int) -> None:
    before = draw_claims(state_of(runs_root), width)
    assert "not judged yet" in before.plain or width < 40
    judged(runs_root)
    state = state_of(runs_root)
    text = draw_claims(state, width).plain
    for words in ("✓ 1", "◐ 2", "reported", "measured", "0.1"):
        assert words in text
    assert all(len(line) <= width for line in text.splitlines())
    if width > 70:
        assert "only with Adam" in text
        assert "✓ as printed: train 0.1, test 0.2 (3 of 3 seeds)" in text
    assert "✓1  ◐1  ✗0  –0" in work_line(state, 60).plain
    assert work_line(state, width).cell_len <= max(width, 25)
    assert all(line.cell_len <= max(width, 19) for line in draw_trainings(state.runs, width))
    about = draw_about(state, width, 40, time.time()).plain.replace("\n", " ")
    assert "judged 2 h ago by 2 runs" in " ".join(about.split())


def test_provisional_and_outdated_verdicts_are_called_so(runs_root: Path) -> None:
    judged(runs_root, quick=True)
    state = state_of(runs_root)
    about, line, claims = draw_about(state, 44, 40, time.time()), work_line(state, 60), draw_claims(state, 80)
    assert "Provisional" in about.plain
    assert "?  1 reproduced (quick)" in about.plain
    assert "? quick try" in line.plain
    assert "verdict   reproduced (quick)" in claims.plain
    assert "verdict   only with Adam (quick)" in claims.plain
    # Neither a sign nor a colour of a verdict that counts.
    for text in (about, line, claims):
        drawn = [text.plain[span.start : span.end] for span in text.spans if palette.GREEN in str(span.style)]
        assert "".join(drawn).strip() == ""
    assert "✓" not in about.plain + line.plain
    assert "✓ 1" not in claims.plain
    judged(runs_root, runs=0)
    plan = make_plan(find_work(POLITANO))
    trained(runs_root, plan.jobs[0], plan.tag)
    assert "r judges" in draw_about(state_of(runs_root), 44, 40, time.time()).plain


# The process


@pytest.fixture
def small_work(lab: Laboratory) -> Path:
    """A work of seconds, in a file."""
    return Path(lab.preset(WORK.replace("epochs = 40", "epochs = 4000", 1), "small-work.toml"))


@pytest.fixture
def ended_processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.wait()


def test_a_work_runs_by_itself_is_found_again_and_stops_with_its_runs_saved(
    lab: Laboratory, small_work: Path, ended_processes: list[subprocess.Popen[bytes]]
) -> None:
    process = start_work(lab.runs, small_work, quick=False)
    ended_processes.append(process)
    assert os.getsid(process.pid) == process.pid
    with pytest.raises(RunHeldError):
        start_work(lab.runs, small_work, quick=False)
    wait_until(lambda: any(row.status.step for row in RunLister(lab.runs).rows()))
    found = find_process(lab.runs, "small-work")
    assert found is not None
    assert (found.alive, found.pid, found.quick) == (True, process.pid, False)
    assert stop_process(lab.runs, "small-work")
    assert process.wait(60) == 5
    assert not stop_process(lab.runs, "small-work")
    assert {row.status.state for row in RunLister(lab.runs).rows()} == {"stopped"}  # one or two, as there are cores
    assert "the same command goes on: tuiae reproduce --plain" in last_line(lab.runs, "small-work")


def test_another_process_with_that_number_is_let_alone(runs_root: Path) -> None:
    record = runs_root / "reports" / f"{POLITANO}.process.json"
    record.parent.mkdir(parents=True)
    mine = {"pid": os.getpid(), "start": "long ago", "host": socket.gethostname(), "quick": False, "since": 1.0}
    replace_json(record, mine)
    assert not stop_process(runs_root, POLITANO)
    replace_json(record, {**mine, "start": process_start(os.getpid()), "host": "another"})
    assert not stop_process(runs_root, POLITANO)
    for content in (b"", b"[]", b'{"pid": "x"}', b'{"pid": 1e999}'):
        record.write_bytes(content)
        assert find_process(runs_root, POLITANO) is None


def test_reproduce_writes_its_verdicts_down(lab: Laboratory) -> None:
    text = (
        WORK[: WORK.index('[[run]]\nid = "twenty"')]
        + """
[[claim]]
id = "falls"
text = "The loss falls."
measure = { start = "first('two', 'train/loss')", end = "final('two', 'train/loss')" }
holds = "end < start"
"""
    )
    page = lab.root / "page.html"
    told = lab("reproduce", lab.preset(text, "tiny.toml"), "--quick", "--plain", "--report", str(page)).stdout
    for words in (told, page.read_text()):
        assert "? not reproduced (quick)" in words
        assert "✗ not reproduced" not in words
    verdicts = read_verdicts(lab.runs, "tiny")
    assert verdicts is not None
    assert (verdicts.quick, verdicts.runs, len(verdicts.claims)) == (True, 1, 1)
    assert verdicts.claims[0].text == "The loss falls."


# At the desk


def view_of(desk: Desk) -> WorkView:
    return desk.app.screen.query_one(WorkView)


async def works(desk: Desk) -> WorkView:
    await desk.press("6")
    await desk.until(lambda: isinstance(desk.app.screen, WorksScreen))
    await desk.until(lambda: len(view_of(desk).works.keys) == 5)
    return view_of(desk)


async def test_a_work_its_claims_and_its_trainings(lab: Laboratory) -> None:
    plan = make_plan(find_work(POLITANO))
    run = trained(lab.runs, plan.jobs[0], plan.tag)
    judged(lab.runs, runs=1)
    async with open_desk(size=(200, 60)) as desk:
        view = await works(desk)
        await desk.shows("andruskiewitsch-2020", "tp5-2022", "not judged yet", "on two cores")
        await desk.press("down", "down", "down")
        await desk.until(lambda: view.works.under == POLITANO)
        await desk.shows("1 of 12 trainings done", "only with Adam", "judged 2 h ago", "h64 seed=0", "✓ finished")
        await desk.press("enter", "down", "enter")
        await desk.shows("has not run yet")
        await desk.press("up", "enter")
        await desk.until(lambda: isinstance(desk.app.screen, LiveScreen) and desk.app.session.path == run.root)
        trained(lab.runs, plan.jobs[1], plan.tag)
        await desk.press("6")
        await desk.shows("2 of 12 trainings done")


async def test_down_and_enter_in_one_burst_show_the_work_that_they_lead_to(lab: Laboratory) -> None:
    async with open_desk(size=(200, 60)) as desk:
        view = await works(desk)
        assert "h64 seed=0" not in desk.screen
        view.works.action_move(3)
        view.works.action_choose()
        await desk.until(lambda: view.trainings.has_focus)
        assert view.works.under == POLITANO
        await desk.shows("h64 seed=0")


async def test_what_enter_and_v_lead_to_shows_also_where_another_panel_was_alone(lab: Laboratory) -> None:
    async with open_desk(size=(80, 24)) as desk:
        view = await works(desk)
        await desk.press("z")
        await desk.until(lambda: desk.app.screen.maximized is view.works)
        await desk.press("v")
        await desk.until(lambda: desk.app.focused is not None and desk.app.focused is not view.works)
        await desk.until(lambda: desk.app.focused.region.area)  # type: ignore[union-attr]
        await desk.pilot.resize_terminal(200, 60)
        await desk.focus("works")
        await desk.press("z")
        await desk.until(lambda: desk.app.screen.maximized is view.works)
        await desk.press("enter")
        await desk.until(lambda: view.trainings.has_focus and view.trainings.region.area)


async def test_escape_goes_back_from_the_trainings_to_the_works(lab: Laboratory) -> None:
    for size in ((120, 40), (80, 24)):
        async with open_desk(size=size) as desk:
            view = await works(desk)
            await desk.press("enter")
            await desk.until(lambda view=view: view.trainings.has_focus and view.trainings.region.area)
            await desk.press("escape")
            await desk.until(lambda view=view: view.works.has_focus and view.works.region.area)
            assert desk.app.current_mode == "works"
            await desk.press("escape")
            await desk.until(lambda desk=desk: desk.app.screen is desk.app.live)


async def test_running_asks_how_and_stopping_says_when_nothing_runs(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await works(desk)
        await desk.press("x")
        await desk.shows("is not running")
        await desk.press("r")
        await desk.shows("the whole work: 30 of 30 trainings", "1:18:00 on two cores", "its time is not known yet")
        await desk.press("escape")
        await desk.press("r", "down", "down", "enter")
        assert find_process(lab.runs, "andruskiewitsch-2020") is None


async def test_a_work_that_another_dashboard_started_is_found_and_stopped(
    lab: Laboratory, workers: list[subprocess.Popen[bytes]]
) -> None:
    """The process is a stand-in that dies of the interrupt; the real one is started above."""
    record, code = lab.runs / "reports" / f"{POLITANO}.process.json", WAITING
    record.parent.mkdir(parents=True)
    workers.append(subprocess.Popen([sys.executable, "-c", code]))
    pid = workers[0].pid
    found = {"pid": pid, "start": process_start(pid), "host": socket.gethostname(), "quick": True, "since": time.time()}
    replace_json(record, found)
    log_path(lab.runs, POLITANO).write_text("3/12  started  h64 seed=0\n")
    async with open_desk(size=(200, 60)) as desk:
        view = await works(desk)
        await desk.press("down", "down", "down")
        await desk.shows("a quick try has been running for", "3/12 started", "in the background")
        assert row_text(view.works, 3).startswith("●")
        await desk.press("r")
        await desk.shows("runs already")
        await desk.press("x")
        await desk.shows("saves and stops")
        workers[0].wait(20)
        await desk.until(lambda: not row_text(view.works, 3).startswith("●"))
    assert read_json(record)["pid"] == pid


async def test_a_small_screen_shows_one_part_at_a_time(lab: Laboratory) -> None:
    async with open_desk(size=(80, 24)) as desk:
        view = await works(desk)
        parts = {"works": "#works", "claims": "#claims", "trainings": "#trainings"}

        def shown() -> list[str]:
            return [name for name, place in parts.items() if view.query_one(place).region.area]

        await desk.until(lambda: shown() == ["works"])
        for name in ("claims", "trainings", "works"):
            await desk.press("v")
            await desk.until(lambda name=name: shown() == [name])  # type: ignore[misc]
        await desk.pilot.resize_terminal(120, 40)
        await desk.until(lambda: len(shown()) == 3)
        await desk.press("escape")
        await desk.until(lambda: isinstance(desk.app.screen, LiveScreen))


async def test_images_that_are_not_here_are_told_before_and_when_a_work_is_to_run(lab: Laboratory) -> None:
    async with open_desk(size=(200, 60)) as desk:
        view = await works(desk)
        await desk.shows("mnist is not on this machine", "tuiae data fetch mnist", "tuiae data import DIR --as mnist")
        await desk.press("r")
        await desk.shows("Download, then the whole work", "Without a network")
        await desk.press("escape")
        glyphs = next(place for place, name in enumerate(view.works.keys) if name == "tp5-2022")
        view.works.move_to(glyphs)
        await desk.shows("fashion-mnist is not on this machine")


def test_only_trainings_that_are_still_to_come_need_images(runs_root: Path) -> None:
    plan = make_plan(find_work(POLITANO))
    assert [lacking.name for lacking in state_of(runs_root).lacks] == ["mnist"]
    for job in plan.jobs:
        trained(runs_root, job, plan.tag)
    assert state_of(runs_root).lacks == ()


def test_what_is_embedded_is_never_missing_and_what_was_imported_cannot_be_fetched(data_root: Path) -> None:
    assert missing_sets(["digits", "glyphs"]) == ()
    known, strange = missing_sets(["mnist", "mine", "mnist"])
    assert known.can_be_fetched
    assert not strange.can_be_fetched
    assert "no such dataset" in strange.problem
    assert strange.commands == ("tuiae data import DIR --as mine",)


async def test_the_signs_of_the_works_are_explained_and_no_line_touches_the_scrollbar(lab: Laboratory) -> None:
    async with open_desk(size=(120, 36)) as desk:
        view = await works(desk)
        await desk.shows("✓ holds ◐ if changed ✗ fails – not run", "accuracy")
        await desk.until(lambda: view.trainings.show_vertical_scrollbar)
        width = view.trainings.scrollable_content_region.width
        shown = [view.trainings.render_line(y).text for y in range(view.trainings.scrollable_content_region.height)]
        assert all(len(line) == width and line.endswith(" ") for line in shown)
