"""Studies in the list of runs: what varies, folded and unfolded; columns; starting a sweep; killing a worker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len
from textual.widgets import Input, Static

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, Desk, new_run, open_desk, row_text, script
from tests.golden import Golden, titled
from tuiae.config import RunConfig, build_config
from tuiae.errors import ConfigError, RunHeldError
from tuiae.files import read_json, replace_json
from tuiae.render.runs import Sort, arrange, find_columns, header_line, place_columns, run_line, terminal_table
from tuiae.render.status import draw_details, failure_words
from tuiae.reproduce.state import StudyProcess, find_process
from tuiae.runs import control
from tuiae.runs.labels import relabel
from tuiae.runs.listing import Line, RunLister, StudyRow, fold, ids_inside, varying
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import kill_worker, process_start
from tuiae.runs.reader import read_status
from tuiae.runs.writer import settle_config
from tuiae.studies.sweep import is_another, load_sweep, plan_sweep, read_seeds, read_values, sweep_path, write_sweep
from tuiae.ui.screens.live import LiveScreen
from tuiae.ui.screens.runs import RunsScreen
from tuiae.ui.screens.sweeping import SweepDialog, key_meant
from tuiae.ui.session import NothingToDoError
from tuiae.ui.widgets.tables import RunDetails

pytestmark = pytest.mark.usefixtures("no_worker_left")
NOW = 1_800_000_000.0
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def with_code(latent: int) -> dict[str, Any]:
    """A document of the sweep."""
    return {**AUTOENCODER, "name": "codes", "model": {**AUTOENCODER["model"], "latent": latent}}  # type: ignore[dict-item]


def played(lab: Laboratory, name: str, document: dict[str, Any], epochs: int, tag: str = "") -> RunPaths:
    """A finished run that was last heard of two hours before NOW."""
    run = script(lab.runs, document, name)
    run.play(epochs)
    run.writer.close("finished")
    relabel(run.run, tag=[tag] if tag else [])
    replace_json(run.run.status, {**read_json(run.run.status), "heartbeat": NOW - 7200})
    return run.run


@pytest.fixture
def sweep(lab: Laboratory) -> list[RunPaths]:
    """Three runs of a sweep, the widest code the newest and the best, between two of their own."""
    played(lab, "20260101-000000-letters-0001", CLASSIFIER, 2)
    runs = [
        played(lab, f"20260102-00000{place}-codes-000{place}", with_code(latent), 2 + place, "sweep:codes")
        for place, latent in enumerate((4, 8, 16))
    ]
    played(lab, "20260103-000000-denoise-0003", AUTOENCODER, 3)
    return runs


async def listed(desk: Desk, count: int = 5) -> None:
    await desk.press("1")
    await desk.until(lambda: isinstance(desk.app.screen, RunsScreen) and len(desk.table.rows) == count)
    await desk.until(lambda: all(row.best is not None for row in desk.table.rows))


def titles(desk: Desk) -> list[str]:
    return [line[3:].split("  ✓")[0].rstrip() for line in desk.lines()]


# What varies


def test_what_varies_is_told_of_each_run_the_seed_last() -> None:
    settings = [
        {"name": "x", "training.seed": seed, "model.latent": latent, "samples.count": seed}
        for latent in (4, 8)
        for seed in (0, 1)
    ]
    assert varying(settings) == ["latent=4 seed=0", "latent=4 seed=1", "latent=8 seed=0", "latent=8 seed=1"]
    assert varying([*settings[:2], {}]) == ["seed=0", "seed=1", ""]
    assert varying(settings[:1]) == [""]
    begun = [{"name": "x", "training.precision": precision} for precision in ("auto", "float32", "bfloat16")]
    assert varying(begun[:2]) == ["", ""]  # a run that has not begun yet differs in nothing by that
    assert varying(begun[1:]) == ["precision=float32", "precision=bfloat16"]
    many = [
        {"name": f"n{place}", **{f"model.k{key}": place for key in range(5)}, "training.seed": 3 + place}
        for place in (0, 1)
    ]
    assert varying(many) == ["n0 seed=3", "n1 seed=4"]


def test_a_run_that_leaves_its_study_is_called_by_its_id_again(lab: Laboratory, sweep: list[RunPaths]) -> None:
    lister = RunLister(lab.runs)
    before = {row.id: row.varies for row in lister.rows()}
    assert [before[run.id] for run in sweep] == ["latent=4", "latent=8", "latent=16"]
    relabel(sweep[0], untag=["sweep:codes"])
    after = {row.id: row.varies for row in lister.rows()}
    assert [after[run.id] for run in sweep] == ["", "latent=8", "latent=16"]


def test_runs_of_a_sweep_keep_their_names_while_others_come(lab: Laboratory) -> None:
    lister, names = RunLister(lab.runs), ["latent=4 seed=0", "latent=4 seed=1", "latent=8 seed=0"]
    for place, name in enumerate(names):
        run = played(lab, f"20260102-00000{place}-codes-000{place}", with_code(int(name[7])), 1, "sweep:codes")
        replace_json(run.meta, {**read_json(run.meta), "job": name, "jobs": 4})
        assert [row.varies for row in lister.rows()] == names[place::-1]


def test_the_list(lab: Laboratory, sweep: list[RunPaths], golden: Golden) -> None:
    relabel(sweep[1], pinned=True)
    rows = RunLister(lab.runs).rows(histories=True)
    parts = []
    for width in (77, 117, 197):
        for opened in ({"sweep:codes"}, set[str]()):
            lines = fold(arrange(rows, Sort()), rows, opened)
            placed = place_columns(fold(rows, rows, {"sweep:codes"}), width)
            drawn = [run_line(line, placed, NOW, False, ids_inside(lines)).plain for line in lines]
            parts.append(titled(f"{width} cells", header_line(placed, Sort()).plain, *drawn))
    columns = find_columns(["latent", "noise.level", "accuracy", "loss"], rows)
    assert columns == find_columns(["latent", "level", "accuracy", "loss"], rows)  # as it was called once
    for width in (77, 117, 197):
        placed = place_columns(lines, width, columns)
        chosen = [run_line(line, placed, NOW, False, ids_inside(lines)).plain for line in lines]
        parts.append(titled(f"columns that somebody chose, {width} cells", header_line(placed, Sort()).plain, *chosen))
    (study,) = (line for line in lines if isinstance(line, StudyRow))
    for width in (42, 77, 117, 197):
        parts.append(titled(f"a study, {width} cells", draw_details(study, width, 12, NOW).plain))
    golden.check("run-list", *parts)


def test_runs_on_the_command_line(lab: Laboratory, sweep: list[RunPaths]) -> None:
    lines = lab("runs", "--tag", "sweep:codes").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["varies", "latent=16", "latent=8", "latent=4"]
    table = lab("runs", "--columns", "latent, accuracy,training.seed").stdout.splitlines()
    assert table[0].split() == ["run", "varies", "state", "latent", "accuracy", "seed"]
    first = lab("runs", "--columns", "latent,loss", "--json").document[1]
    assert (first["varies"], first["settings"]) == ("latent=16", {"model.latent": 16})
    assert "did you mean 'latent'" in lab("runs", "--columns", "latnt", check=2).stderr
    assert lab("runs", "--columns", "name,latent").stdout.splitlines()[0].split() == [
        "run",
        "varies",
        "state",
        "latent",
    ]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_on_a_terminal_each_run_is_a_line_with_what_finds_it(
    lab: Laboratory, sweep: list[RunPaths], width: int
) -> None:
    relabel(sweep[0], name="denoise with a name of many words that is long", tag=["one", "two"])
    rows = RunLister(lab.runs).rows(histories=True)
    head, *lines = (line.plain for line in terminal_table(rows, NOW, width))
    assert [line.split()[0] for line in lines] == [row.id[16:] for row in rows]
    assert all(cell_len(line) <= width for line in (head, *lines))
    assert {"run", "state"} <= set(head.split())
    wanted = terminal_table(rows, NOW, width, find_columns(["latent"], rows))
    assert "latent" in wanted[0].plain


def test_what_a_worker_settles_while_it_starts_is_read_again(lab: Laboratory) -> None:
    run, lister = new_run(lab.runs), RunLister(lab.runs)
    assert [row.settings["training.precision"] for row in lister.rows()] == ["auto"]
    training = {"epochs": 6, "batch_size": 8, "device": "cpu", "precision": "float32"}
    settle_config(run, build_config({**AUTOENCODER, "training": training}))
    assert [row.settings["training.precision"] for row in lister.rows()] == ["float32"]


def test_a_sweep_that_has_only_begun_has_its_line(lab: Laboratory, sweep: list[RunPaths]) -> None:
    for run in sweep[1:]:
        relabel(run, untag=["sweep:codes"])
    rows = RunLister(lab.runs).rows()
    assert not any(isinstance(line, StudyRow) for line in fold(rows, rows, ()))
    (study,) = studies(fold(rows, rows, (), {"sweep:codes": "preparing"}))
    assert (study.number, study.trains, study.said) == ("1 run", True, "preparing")


def test_a_long_name_has_the_cells_that_are_free(lab: Laboratory, sweep: list[RunPaths]) -> None:
    name = "conv_256 train_limit=3000 epochs=12 patches=12 batch_size=100"
    relabel(sweep[0], name=name, tag=["a", "b"])
    rows = RunLister(lab.runs).rows(histories=True)
    drawn = [run_line(row, place_columns(rows, 197), NOW, False).plain for row in rows]
    assert any(name in line for line in drawn)
    narrow = draw_details(next(row for row in rows if row.name), 76, 8, NOW).plain
    words = [line[:30].split() for line in narrow.splitlines()]
    assert [word for line in words for word in line][:5] == name.split()


def test_details_name_the_preset_only_where_there_is_one(lab: Laboratory, sweep: list[RunPaths]) -> None:
    replace_json(sweep[0].meta, {**read_json(sweep[0].meta), "preset": "quickstart"})
    rows = {row.id: draw_details(row, 117, 16, NOW).plain for row in RunLister(lab.runs).rows(histories=True)}
    assert "preset" not in rows[sweep[1].id]
    assert "quickstart" in rows[sweep[0].id]


def studies(lines: Sequence[Line]) -> list[StudyRow]:
    return [line for line in lines if isinstance(line, StudyRow)]


def wants(runs: Sequence[RunPaths], jobs: int) -> None:
    """Let runs be those of a study that wants so many in all."""
    for run in runs:
        replace_json(run.meta, {**read_json(run.meta), "jobs": jobs})


def test_a_sweep_that_was_stopped_says_what_it_lacks(lab: Laboratory, sweep: list[RunPaths]) -> None:
    wants(sweep, 6)
    replace_json(sweep[0].status, {**read_json(sweep[0].status), "state": "stopped"})
    rows = RunLister(lab.runs).rows()
    (study,) = studies(fold(rows, rows, ()))
    assert study.number == "3 of 6 runs"
    assert "3 not started, 1 not finished · R goes on" in draw_details(study, 117, 12, NOW).plain
    found = [row for row in rows if row.id == sweep[1].id]
    assert studies(fold(found, rows, ()))[0].number == "1 of 3 runs"  # of those that there are, the filter's
    (alone,) = studies(fold(rows[3:], rows[3:], ()))  # of which one has begun
    assert alone.number == "1 of 6 runs"


@pytest.mark.parametrize(
    ("jobs", "state", "offered"), [(3, "finished", False), (4, "finished", True), (3, "lost", True)]
)
async def test_resume_is_offered_where_a_sweep_lacks_something(
    sweep: list[RunPaths], jobs: int, state: str, offered: bool
) -> None:
    wants(sweep, jobs)
    replace_json(sweep[0].status, {**read_json(sweep[0].status), "state": state})
    async with open_desk(size=(80, 24)) as desk:
        await listed(desk)
        await desk.press("down")
        screen = await desk.shows("⏎ Unfold", "q Quit")
        assert ("R Resume" in screen) is offered
        assert ("R goes on with it" in screen) is offered


def test_the_words_of_its_process_are_those_for_people(lab: Laboratory, sweep: list[RunPaths]) -> None:
    rows = RunLister(lab.runs).rows()
    said = {
        "0/6  started  latent=4 seed=1  20261130-192909-sw-f09a": "started latent=4 seed=1",
        "2/6  finished  latent=4  test loss 0.1  0:12  20261130-192909-sw-f09a": "finished latent=4 test loss 0.1 0:12",
        "downloading mnist": "downloading mnist",
    }
    for words, shown in said.items():
        (study,) = studies(fold(rows, rows, (), {"sweep:codes": words}))
        assert shown in draw_details(study, 60, 20, NOW).plain.splitlines()


# Folding


async def test_the_runs_of_a_study_fold_into_one_line(sweep: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("down")
        details = desk.app.screen.query_one(RunDetails)
        async for _ in desk.each_size():
            assert [title for title in titles(desk) if "codes" in title] == ["▸ codes · 3 runs"]
            assert "✓3" in desk.lines()[1]
            assert "0.06000" in desk.lines()[1]  # the best of them
            await desk.shows("enter unfolds codes", "⏎ Unfold")
            assert all(words in desk.painted(details) for words in ("3 runs, tag sweep:codes", "4, 8, 16", "latent=16"))
        await desk.press("enter")
        async for width, _ in desk.each_size():
            await desk.shows("⏎ Fold")
            assert titles(desk)[1:5] == ["▾ codes · 3 runs", "  latent=4", "  latent=8", "  latent=16"]  # by value
            assert ("model" in desk.table.columns) == (width > 80)
        await desk.press("down", "left")
        assert titles(desk)[1] == "▸ codes · 3 runs"
        assert desk.table.study_under is not None
        await desk.press("right")
        assert len(desk.lines()) == 6
        await desk.press("down", "enter")
        await desk.until(lambda: isinstance(desk.app.screen, LiveScreen) and desk.app.session.path == sweep[0].root)


async def test_the_runs_of_a_study_are_compared_in_the_order_of_what_varies_with_those_that_come(
    lab: Laboratory, sweep: list[RunPaths], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuiae.ui.feeds.STUDY_SECONDS", 0.0)
    first = played(lab, "20260104-000000-codes-0009", with_code(2), 2, "sweep:codes")
    compared = lab("compare", "--tag", "sweep:codes", "--json").document["runs"]
    assert [run["run"] for run in compared] == [run.id for run in (first, *sweep)]
    async with open_desk() as desk:
        await listed(desk, 6)
        await desk.press("c")
        await desk.until(lambda: len(desk.app.session.compared) == 4)
        assert desk.app.session.compared == (first.root, *(run.root for run in sweep))
        await desk.shows("4 runs", "D latent=16")
        played(lab, "20260105-000000-codes-0010", with_code(6), 2, "sweep:codes")
        played(lab, "20260106-000000-codes-0011", with_code(7), 2, "sweep:others")
        await desk.shows("5 runs", "C latent=6", "E latent=16")


async def test_dialogs_call_a_run_as_the_list_does(sweep: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("N")
        await desk.shows("What to call denoise-0003?")
        await desk.press("escape", "down", "enter", "down", "N")
        await desk.shows("What to call latent=4 (codes-0000)?")


async def test_details_and_list_tell_the_same_age(sweep: list[RunPaths], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [NOW]
    monkeypatch.setattr("tuiae.ui.widgets.tables.time", SimpleNamespace(time=lambda: now[0]))
    monkeypatch.setattr("tuiae.ui.screens.runs.AGE_SECONDS", 0.05)
    async with open_desk() as desk:
        await listed(desk)
        await desk.shows("✓ finished · 2 h ago")
        now[0] += 7200
        await desk.shows("✓ finished · 4 h ago")
        assert "2 h" not in desk.screen


async def test_a_study_is_selected_whole_and_the_cursor_stays(sweep: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("space")
        await desk.shows("1 selected")
        assert desk.table.cursor == 0
        await desk.press("down", "space")
        await desk.shows("4 selected")
        assert [line[0] for line in desk.lines()] == ["◆", "◆", " "]
        await desk.press("enter", "down", "space")
        await desk.shows("3 selected")
        assert [line[0] for line in desk.lines()] == ["◆", " ", " ", "◆", "◆", " "]
        await desk.press("up", "N")
        await desk.shows("this is for one run")


async def test_a_filter_unfolds_what_it_finds_and_g_mixes_all(sweep: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("slash", *"latent:", "greater_than_sign", "equals_sign", *"16", "enter")
        assert titles(desk) == ["▾ codes · 1 of 3 runs", "  latent=16"]
        await desk.press("left")
        assert len(desk.lines()) == 1
        await desk.press("escape", "g")
        await desk.until(lambda: len(desk.lines()) == 5)
        assert "codes latent=16" in titles(desk)
        await desk.press("g")
        await desk.until(lambda: len(desk.lines()) == 3)


async def test_the_details_are_below_where_lines_are_free_and_beside_where_none_are(
    lab: Laboratory, sweep: list[RunPaths], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(size=(200, 40)) as desk:
        await listed(desk)
        details = desk.app.screen.query_one(RunDetails)
        await desk.until(lambda: details.region.y > desk.table.region.y)
        await desk.press("down")
        await desk.shows("best", "latent=16", "4, 8, 16")
        await desk.press("enter")
        await desk.pilot.resize_terminal(200, 20)
        await desk.until(lambda: details.region.x > desk.table.region.x and details.region.y == desk.table.region.y)
        # Where it is not so broad a list scrolls that is longer than there is room for.
        monkeypatch.setattr("tuiae.ui.screens.runs.LEAST_ROWS", 3)
        await desk.pilot.resize_terminal(120, 20)
        await desk.until(lambda: details.region.y == desk.table.region.bottom)
        assert details.region.height == 10


# Columns


async def test_columns_are_chosen_and_remembered(sweep: list[RunPaths]) -> None:
    async with open_desk(size=(80, 24)) as desk:
        await listed(desk)
        await desk.press("C", *"nosuch", "enter")
        await desk.dialog_shows("no setting and no metric has this in its name")
        await desk.pilot.resize_terminal(80, 24)
        await desk.press("ctrl+u", *"batch_s", "enter", *"seed", "space", *"epoch", "space")
        await desk.shows("batch_size, seed, preset")
        await desk.press("enter")
        shown = ("run", "state", "batch_size", "seed")
        await desk.until(lambda: desk.table.columns[:4] == shown)
        assert "epoch" not in desk.table.columns
        await desk.press("C", *"activation", "enter", *"initialisation", "enter", "enter")
        await desk.shows("no room here for activation, initialisation")
    async with open_desk(size=(80, 24)) as desk:
        await listed(desk)
        async for _ in desk.each_size():
            await desk.until(lambda: row_text(desk.table, -1).split()[:4] == [*shown])
        await desk.press("C", *"batch", "space", *"seed", "space", "enter")
        await desk.until(lambda: "seed" not in desk.table.columns)


# A sweep


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4 8 16", [4, 8, 16]),
        ("0.1, .2", [0.1, 0.2]),
        ("adam, sgd", ["adam", "sgd"]),
        ("mse bce", ["mse", "bce"]),
        ("[32], [64, 32]", [[32], [64, 32]]),
        ("true", [True]),
        ("", []),
    ],
)
def test_values_are_read_as_people_type_them(text: str, values: list[Any]) -> None:
    assert read_values(text) == values


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"model.latent": ["wide"]}, "model.latent = 'wide'"),
        ({"model.latnt": [1]}, "did you mean 'model.latent'?"),
        ({"training.loss": ["bce"], "model.output": ["relu"]}, "needs model.output = 'sigmoid'"),
        ({"training.seed": [1]}, "training.seed beside seeds"),
    ],
)
def test_a_sweep_that_cannot_be_says_why_in_a_sentence(grid: dict[str, list[Any]], words: str) -> None:
    with pytest.raises(ConfigError) as told:
        plan_sweep(RunConfig(), "mine", grid, [0, 1])
    assert words in told.value.cause
    assert "\n" not in told.value.cause


@pytest.mark.parametrize(
    ("grid", "label"),
    [
        ({"noise.level": [0.1], "model.latent": [8]}, "noise=0.1 latent=8"),
        ({"noise.kind": ["mask"], "noise.level": [0.1]}, "noise.kind=mask noise=0.1"),
        ({"checkpoint.every": [2], "samples.every": [5]}, "checkpoint.every=2 samples.every=5"),
    ],
)
def test_the_runs_of_a_sweep_are_called_by_words_that_say_which_setting(grid: dict[str, list[Any]], label: str) -> None:
    assert [job.label for job in plan_sweep(RunConfig(), "mine", grid, []).jobs] == [label]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-2", [0, 1, 2]), ("0..2 7", [0, 1, 2, 7]), ("1, 3-4", [1, 3, 4]), ("4", [4]), ("2-0", [0, 1, 2]), ("", [])],
)
def test_seeds_are_numbers_or_spans_of_them(text: str, seeds: list[Any]) -> None:
    assert read_seeds(text) == seeds


@pytest.mark.parametrize(
    ("word", "values", "key"),
    [
        ("code", [4, 16], "model.latent"),
        ("code", [], "model.latent"),
        ("code", ["mine.py:Net"], "model.code"),
        ("rate", [0.1], "training.learning_rate"),
        ("batch", [8], "training.batch_size"),
        ("lr", [0.1], "training.learning_rate"),
        ("learning-rate", [1], "training.learning_rate"),
        ("hidden widths", [[32]], "model.hidden"),
        ("model", ["dense", "conv"], "model.family"),
        ("noise", [0.1], "noise.level"),
        ("checkpoint.keep", [2], "checkpoint.keep"),
    ],
)
def test_a_sweep_knows_settings_by_the_words_of_the_form(word: str, values: list[Any], key: str) -> None:
    assert key_meant(word, values, ()) == key


def test_a_word_that_is_still_being_typed_is_no_mistake() -> None:
    for word, key in (("ep", "epochs"), ("rate schedule", "training.schedule")):
        with pytest.raises(NothingToDoError, match=key):
            key_meant(word, [], ())
    with pytest.raises(ConfigError, match="did you mean"):
        key_meant("latnt", [], ())


async def test_a_sweep_is_started_from_the_list_and_stopped_there(
    lab: Laboratory, sweep: list[RunPaths], workers: list[subprocess.Popen[Any]]
) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("W")
        await desk.shows("Around denoise-0003", "model.latent is 8 now")

        def judged() -> str:
            return str(desk.app.screen.query_one(".wrong", Static).content)

        await desk.press(*"4 wide".replace(" ", ","))
        await desk.until(lambda: "model.latent = 'wide'" in judged())
        await desk.press("enter")
        assert not list((lab.runs / "reports").glob("*"))
        await desk.press("ctrl+u", "4", "space", "1", "6")
        # Three epochs took six seconds; a run has six of them.
        await desk.until(lambda: "2 runs: latent=4 to latent=16" in judged() and "about 12 s each" in judged())
        desk.app.screen.query_one("#key-1", Input).value = "latnt"
        await desk.until(lambda: "did you mean 'model.latent'?" in judged())
        desk.app.screen.query_one("#key-1", Input).value = "noise.level"
        desk.app.screen.query_one("#values-1", Input).value = "0 0.3"
        await desk.until(lambda: "4 runs" in judged() and desk.app.screen.query_one(".wrong").has_class("-doubtful"))
        desk.app.screen.query_one("#key-1", Input).focus()
        await desk.press("ctrl+u", *"ep")
        await desk.until(lambda: "which setting? epochs" in judged())
        await desk.press("tab")
        assert desk.app.screen.query_one("#key-1", Input).value == "epochs"
        assert desk.app.screen.focused.id == "values-1"
        # None of its runs may end before it is stopped.
        desk.app.screen.query_one("#key-1", Input).value = "training.epochs"
        desk.app.screen.query_one("#values-1", Input).value = "9999"
        desk.app.screen.query_one("#seeds", Input).value = "0 1"
        await desk.until(lambda: "4 runs" in judged())
        desk.app.screen.query_one("#sweep-name", Input).value = "codes"
        await desk.press("enter")
        await desk.shows("codes starts: 4 runs")
        assert desk.table.under == "/sweep:codes"  # where the next keys are for
        process = find_process(lab.runs, "sweep-codes")
        assert process is not None
        assert os.getsid(process.pid) == process.pid
        workers.extend(desk.app.session.studies.values())
        written = load_sweep(sweep_path(lab.runs, "codes"))
        assert [job.label for job in written.jobs] == [
            f"latent={code} epochs=9999 seed={seed}" for code in (4, 16) for seed in (0, 1)
        ]
        assert "R Resume" not in await desk.shows("x Stop", "trains in the background")
        await desk.press("x")
        await desk.until(lambda: not process.alive)
        await desk.until(lambda: "trains in the background" not in desk.screen)
        await desk.press("R")
        await desk.shows("codes goes on: 4 of 4 runs to finish")
        workers.extend(desk.app.session.studies.values())
        await desk.until(lambda: desk.table.study_under is not None and desk.table.study_under.trains)


async def test_a_sweep_is_called_as_no_other_or_says_so(lab: Laboratory, sweep: list[RunPaths]) -> None:
    config = build_config({"name": "denoise", "model": {"latent": 8}})
    for name in ("quickstart-sweep", "mine"):
        write_sweep(lab.runs, config, name, {"model.latent": [4, 16]}, [0], ["wide"])
    assert load_sweep(sweep_path(lab.runs, "mine")).tags == ("wide",)
    async with open_desk(sweep[0]) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.press("W")
        await desk.until(lambda: isinstance(desk.app.screen, SweepDialog))
        name, line = desk.app.screen.query_one("#sweep-name", Input), desk.app.screen.query_one(".wrong", Static)
        assert name.value == "quickstart-sweep-2"
        await desk.press("4")
        await desk.until(lambda: line.has_class("-fine"))
        name.value = "mine"
        await desk.until(lambda: "there is another sweep mine" in str(line.content))
        await desk.press("escape", "W")
        await desk.until(lambda: isinstance(desk.app.screen, SweepDialog))
        left = [desk.app.screen.query_one(f"#{field}", Input).value for field in ("values-0", "sweep-name")]
        assert left == ["4", "mine"]
    assert not is_another(lab.runs, config, "mine", {"model.latent": [4, 16]}, [0])
    assert is_another(lab.runs, config, "mine", {"model.latent": [4, 16]}, [1])


async def test_resuming_a_sweep_needs_its_file_and_something_to_do(lab: Laboratory, sweep: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("down", "R")
        await desk.shows("the file of codes is not here")
        # The one that its runs were started with, wherever that lies.
        file = lab.root / "mine.toml"
        (lab.root / "mine.preset.toml").write_text(sweep[0].config.read_text())
        file.write_text('name = "codes"\npreset = "mine.preset.toml"\ngrid = { "model.latent" = [4, 8, 16] }\n')
        for run in sweep:
            replace_json(run.meta, {**read_json(run.meta), "argv": ["tuiae", "sweep", "--plain", str(file)]})
        await desk.press("R")
        await desk.shows("codes is complete: all of its 3 runs have finished")
        assert find_process(lab.runs, "sweep-codes") is None


async def test_a_sweep_that_is_still_stopping_goes_on_once_it_has(
    lab: Laboratory, sweep: list[RunPaths], workers: list[subprocess.Popen[Any]]
) -> None:
    preset = sweep_path(lab.runs, "codes").with_suffix(".preset.toml")
    preset.parent.mkdir()
    preset.write_text(sweep[0].config.read_text())
    text = f'name = "codes"\npreset = "{preset.name}"\ngrid = {{ "training.epochs" = [9999] }}\n'
    sweep_path(lab.runs, "codes").write_text(text)
    wants(sweep, 4)
    workers.append(subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(600)"]))
    stopping = StudyProcess(workers[0].pid, process_start(workers[0].pid), socket.gethostname(), time.time())
    replace_json(preset.parent / "sweep-codes.process.json", {**asdict(stopping), "stopping": True})
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("down")
        await desk.shows("saves and stops · R goes on with it")
        await desk.press("R")
        await desk.shows("codes is still stopping · it goes on as soon as it has stopped")
        assert find_process(lab.runs, "sweep-codes").alive
        workers[0].kill()
        await desk.shows("codes goes on: 1 of 1 run to finish")
        workers.extend(desk.app.session.studies.values())


async def test_a_sweep_that_fails_at_once_is_told(lab: Laboratory, sweep: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        failing = [sys.executable, "-c", "raise SystemExit(3)"]
        desk.app.session.studies["sweep-mine"] = subprocess.Popen(failing)
        (lab.runs / "reports").mkdir()
        (lab.runs / "reports" / "sweep-mine.log").write_text("error: no images\n")
        desk.app.session.studies["sweep-mine"].wait()
        played(lab, "20260104-000000-denoise-0004", AUTOENCODER, 1)
        await desk.shows("mine has failed: error: no images")


# Killing


def held(lab: Laboratory, workers: list[subprocess.Popen[Any]], host: str = "") -> RunPaths:
    """A run whose worker answers nothing: a process that sleeps stands for it."""
    live = script(lab.runs, AUTOENCODER, "20260104-000000-hanging-0004")
    live.play(2)
    live.writer.close("stopped")
    workers.append(subprocess.Popen(SLEEPER))
    pid = workers[-1].pid
    who = {"pid": pid, "process_start": process_start(pid), "host": host or socket.gethostname()}
    replace_json(live.run.status, {**read_json(live.run.status), **who, "state": "running", "heartbeat": time.time()})
    return live.run


def test_stop_kills_a_worker_that_does_not_answer(lab: Laboratory, workers: list[subprocess.Popen[Any]]) -> None:
    run = held(lab, workers)
    control.send(run, "stop")
    for path in run.control.iterdir():
        os.utime(path, (time.time() - 60, time.time() - 60))
    stopped = lab("stop", "--kill", run.id, check=4)
    assert (stopped.stdout.startswith(f"{run.id}: killed"), "error" in stopped.stderr) == (True, False)
    assert workers[0].wait(20) == -signal.SIGKILL
    status = read_status(run)
    assert (status.state, status.error is not None) == ("lost", True)
    assert failure_words(status) == f"the worker died: killed by {control.this_user()}"
    assert control.waited(run, "stop") is None  # which would stop it as soon as it is resumed


def test_a_process_that_is_no_worker_of_the_run_is_let_alone(
    lab: Laboratory, workers: list[subprocess.Popen[Any]]
) -> None:
    run = held(lab, workers, host="elsewhere")
    with pytest.raises(RunHeldError, match="trains on elsewhere"):
        kill_worker(run, read_status(run))
    replace_json(run.status, {**read_json(run.status), "host": socket.gethostname(), "process_start": "1"})
    with pytest.raises(ConfigError, match="has no worker"):
        kill_worker(run, read_status(run))
    assert workers[0].poll() is None


@pytest.mark.parametrize("screen", ["1", "2"])
async def test_k_kills_after_a_question(lab: Laboratory, workers: list[subprocess.Popen[Any]], screen: str) -> None:
    run = held(lab, workers)
    async with open_desk(run) as desk:
        await desk.until(lambda: desk.state == "running")
        if screen == "1":
            await listed(desk, 1)
        await desk.press("K")
        await desk.dialog_shows(
            f"process {workers[0].pid}", "x asks it to save and stop first", "Leave it alone", "Killed, it loses"
        )
        await desk.press("enter")  # leaves it alone
        assert workers[0].poll() is None
        await desk.press("K")
        await desk.shows("Kill process")
        await desk.press("down", "enter")
        await desk.until(lambda: workers[0].poll() == -signal.SIGKILL)
        await desk.shows("lost")
        await desk.press("K")
        await desk.shows("is lost: it has no worker")
