"""The list of runs at a desk: find, sort, select, name, tag, note, pin, copy, resume, fork and delete."""

from __future__ import annotations

import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from tests.conftest import Laboratory, begin_with, record_edit
from tests.dashboard import AUTOENCODER, CLASSIFIER, Desk, Script, new_run, open_desk, row_text, script
from tuiae.config import build_config, load_config, parse_override
from tuiae.config.presets import find_preset
from tuiae.files import read_json, replace_json
from tuiae.render.runs import (
    USUAL,
    Sort,
    arrange,
    column_at,
    column_of,
    header_line,
    next_sort,
    place_columns,
)
from tuiae.render.runs import run_line as draw_run
from tuiae.render.status import draw_details
from tuiae.render.text import LEVELS, shorten_middle, spark
from tuiae.runs.control import take
from tuiae.runs.labels import read_label, relabel, tags_of
from tuiae.runs.lineage import repeat_line, run_command
from tuiae.runs.listing import RunLister, RunRow, fold, ids_inside
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.writer import create_run
from tuiae.ui.feeds import RunsListed, follow_list
from tuiae.ui.screens.live import LiveScreen
from tuiae.ui.screens.runs import RunsScreen
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.widgets.tables import RunDetails

pytestmark = pytest.mark.usefixtures("no_worker_left")
FAILURE = {"cause": "the loss is no longer a number at step 9", "hint": "lower training.learning_rate"}


def played(root: Path, day: int, epochs: int, state: str = "finished", document: Any = AUTOENCODER) -> RunPaths:
    run = script(root, document, f"2020010{day}-000000-run{day}-000{day}")
    run.play(epochs)
    run.writer.close(state, FAILURE if state == "failed" else None)
    return run.run


@pytest.fixture
def runs(lab: Laboratory) -> list[RunPaths]:
    """Four runs, the oldest first: two finished, one classifier that was stopped, one that failed."""
    return [
        played(lab.runs, 1, 6),
        played(lab.runs, 2, 3),
        played(lab.runs, 3, 4, "stopped", CLASSIFIER),
        played(lab.runs, 4, 1, "failed"),
    ]


def short(desk: Desk) -> str:
    """The days of the runs that show, in order."""
    return " ".join(key[7] for key in desk.table.keys)


async def listed(desk: Desk, count: int = 4) -> None:
    await desk.press("1")
    await desk.until(lambda: isinstance(desk.app.screen, RunsScreen) and len(desk.table.rows) == count)
    await desk.until(lambda: all(row.best is not None for row in desk.table.rows))
    await desk.press("home")


# Drawing


def rows_of(root: Path) -> tuple[RunRow, ...]:
    return RunLister(root).rows(histories=True)


@pytest.mark.parametrize("width", [57, 77, 117, 157, 197])
def test_columns_fit_whatever_the_width(lab: Laboratory, runs: list[RunPaths], width: int) -> None:
    relabel(runs[0], name="漢字" * 20, tag=["x" * 60], note="n")
    rows = rows_of(lab.runs)
    placed = place_columns(rows, width)
    names = [column.name for column in placed]
    assert names[:2] == ["run", "state"]
    assert "epoch" in names
    assert header_line(placed, Sort("state")).cell_len <= width + 2
    for row in rows:
        line = draw_run(row, placed, time.time(), selected=True)
        assert line.cell_len == header_line(placed, Sort()).cell_len <= width + 2
        assert column_at(placed, 3) == "run"
    assert (width < 190) or {"tags", "best", "note", "device"} <= set(names)


@pytest.mark.parametrize("name", ["x" * 80, "漢字" * 40, "one two " * 9, "a\u0301" * 40])
def test_whatever_runs_are_called_80_columns_say_how_they_stand(
    lab: Laboratory, runs: list[RunPaths], name: str
) -> None:
    relabel(runs[0], name=name, tag=["x" * 60], note="n")
    rows = rows_of(lab.runs)
    placed = place_columns(rows, 77)
    assert {"run", "state", "epoch", "test loss", "best"} <= {column.name for column in placed}
    lines = [draw_run(row, placed, time.time(), selected=False) for row in rows]
    assert all(line.cell_len <= 79 for line in lines)
    assert any("…" in line.plain for line in lines)


def test_what_runs_are_and_where_they_ran_shows_at_120_columns_and_ids_are_whole_at_80(
    lab: Laboratory, runs: list[RunPaths]
) -> None:
    rows = rows_of(lab.runs)
    wide = [column.name for column in place_columns(rows, 117)]
    assert {"state", "preset", "dataset", "model", "epoch", "test loss", "best", "age", "device"} <= set(wide)
    for width in (77, 117):
        placed = place_columns(rows, width)
        lines = [draw_run(row, placed, time.time(), selected=False).plain for row in rows]
        assert all(row.id in line for row, line in zip(rows, lines, strict=True))


def test_a_column_that_somebody_chose_leaves_how_runs_stand_in_sight(lab: Laboratory, runs: list[RunPaths]) -> None:
    chosen = [column_of("seed"), *USUAL]
    for width in (77, 117):
        placed = {column.name for column in place_columns(rows_of(lab.runs), width, chosen)}
        assert {"run", "state", "seed", "epoch", "test loss"} <= placed


async def test_what_a_filter_asks_a_range_of_shows_however_narrow_the_screen_is(
    lab: Laboratory, runs: list[RunPaths]
) -> None:
    async with open_desk(size=(80, 24), root=lab.runs) as desk:
        await listed(desk)
        assert not {"accuracy", "latent"} & set(desk.table.columns)
        await desk.press("slash")
        words = "(accuracy:>93 OR latent:>9) NOT state:stopped"
        desk.app.screen.query_one("#filter", Input).value = words
        await desk.press("enter")
        async for _ in desk.each_size():
            await desk.shows("runs · 1 of 4", words, "96.00%", "esc Show all")
            await desk.until(lambda: {"accuracy", "latent"} <= set(desk.table.columns))
        await desk.pilot.resize_terminal(80, 24)
        await desk.press("escape")
        await desk.until(lambda: not {"accuracy", "latent"} & set(desk.table.columns))


def test_what_varies_stays_whole_beside_a_column_that_is_asked_for(lab: Laboratory) -> None:
    for latent in (16, 32):
        model = {**AUTOENCODER["model"], "latent": latent}
        documents = [{**AUTOENCODER, "model": model, "training": {"epochs": 6, "seed": seed}} for seed in range(2)]
        for document in documents:
            create_run(build_config(document), lab.runs, [], tags=("sweep:codes",))
    rows = rows_of(lab.runs)
    (study, *inside) = fold(rows, rows, frozenset({"sweep:codes"}), {})
    placed = place_columns([study, *inside], 68, asked=["accuracy"])
    members = ids_inside([study])
    drawn = [draw_run(row, placed, time.time(), selected=False, members=members).plain for row in inside]
    assert all(row.varies in line for row, line in zip(rows, drawn, strict=True))
    assert "accuracy" in [column.name for column in placed]


def test_a_study_that_is_cut_still_says_how_many_of_its_runs_match(lab: Laboratory) -> None:
    for seed in range(3):
        document = {**AUTOENCODER, "training": {"epochs": 6, "seed": seed}}
        create_run(build_config(document), lab.runs, [], tags=("sweep:a_name_of_many_letters",))
    rows = rows_of(lab.runs)
    (study,) = fold(rows[:2], rows, frozenset(), {})
    (column, *_) = place_columns([study], 57)
    drawn = draw_run(study, [replace(column, width=20)], time.time(), selected=False).plain
    assert "2 of 3" in drawn
    assert "…" in drawn


def test_an_id_gives_up_its_date_before_it_is_cut(lab: Laboratory) -> None:
    new_run(lab.runs, name="20260101-000000-a_rather_long_name-0001")
    rows = rows_of(lab.runs)
    for width in range(77, 140):
        placed = place_columns(rows, width)
        (line,) = (draw_run(row, placed, time.time(), selected=False).plain for row in rows)
        # Without its date where that does not fit, and with it where nothing else wants the room.
        assert ("20260101-000000-a_rather" in line) is placed[0].dated
        assert "a_rather_long_name-0001" in line
    assert not place_columns(rows, 77)[0].dated
    assert place_columns(rows, 200)[0].dated


def test_a_title_that_is_cut_keeps_both_ends() -> None:
    assert shorten_middle("20261120-224105-conv_256-a3f9", 16) == "20261120…56-a3f9"
    assert shorten_middle("short", 16) == "short"
    for limit in range(12):
        assert cell_len(shorten_middle("漢字かな交じり文の名前", limit)) <= limit


def test_every_column_sorts_both_ways_with_what_is_missing_last(lab: Laboratory, runs: list[RunPaths]) -> None:
    new_run(lab.runs, name="20200105-000000-run5-0005")

    def order(sort: Sort) -> str:
        return "".join(row.id[7] for row in arrange(rows_of(lab.runs), sort))

    assert order(Sort()) == "54321"
    assert order(Sort("test loss")) == "13245"
    assert order(Sort("test loss", falling=True)) == "42315"
    assert order(Sort("model", falling=True)) == "54213"
    relabel(runs[1], pinned=True)
    assert order(Sort("test loss", falling=True)) == "24315"
    sort, seen = Sort(), []
    for _ in range(14):
        sort = next_sort(sort, ["run", "state", "best"])
        seen.append(sort.key)
    assert seen[:5] == ["run", "state", "best", "", "run"]


def test_runs_sort_by_what_they_are_called_and_not_by_when_they_began(lab: Laboratory) -> None:
    for name in ("20260103-000000-apple-0001", "20260101-000000-cherry-0002", "20260102-000000-date-0003"):
        new_run(lab.runs, name=name)
    relabel(RunPaths(lab.runs / "20260102-000000-date-0003"), name="Banana")
    names = [row.title[16:] or row.title for row in arrange(rows_of(lab.runs), Sort("run"))]
    assert names == ["apple-0001", "Banana", "cherry-0002"]


def test_details_say_what_was_asked_what_came_of_it_and_what_was_written(lab: Laboratory, runs: list[RunPaths]) -> None:
    relabel(runs[3], name="too fast", note="try a tenth\nof the rate", tag=["rates"])
    replace_json(runs[3].meta, {**read_json(runs[3].meta), "parent": {"run": runs[0].id, "step": 8, "epoch": 2}})
    row = rows_of(lab.runs)[0]
    text = draw_details(row, 42, 60, time.time()).plain
    for words in ("too fast", runs[3].id, "✗ failed", "the loss is no longer a number", "gaussian 0.3", "rates"):
        assert words in text
    for words in ("try a tenth\n", "of the rate", "run1-0001 at epoch 2", "adam", "glyphs", "0.2400"):
        assert words in text
    assert all(len(line) <= 42 for line in text.splitlines())
    assert len(draw_details(row, 20, 5, time.time()).plain.splitlines()) <= 5


def test_a_sparkline_falls_as_its_values_do() -> None:
    assert spark([8.0, 4.0, 2.0, 1.0], 10) == "".join(LEVELS[place] for place in (7, 5, 2, 0))
    assert len(spark([float(value) for value in range(100)], 30)) <= 30
    assert spark([], 10) == ""
    assert spark([1.0, 1.0], 10, ascii_only=True).isascii()


def test_the_command_of_a_run_repeats_it(lab: Laboratory) -> None:
    config = load_config(find_preset("quickstart"), {"training.epochs": 3, "noise.kind": "mask"})
    line = repeat_line(create_run(config, lab.runs, []))
    assert line == "tuiae run quickstart --set noise.kind=mask --set training.epochs=3"
    other = create_run(load_config(find_preset("quickstart"), {"name": "mine"}), lab.root / "a b", [])
    assert repeat_line(other) == f"tuiae run '{other.config}'"
    odd = run_command("quickstart", {"data.classes": ["1", "2"], "data.dataset": "7", "model.freeze": True})
    assert [parse_override(word)[1] for word in shlex.split(odd)[4::2]] == [["1", "2"], "7", True]


def test_the_command_of_a_run_that_was_edited_makes_the_edits_again(lab: Laboratory) -> None:
    run = create_run(load_config(find_preset("quickstart"), {"training.epochs": 3}), lab.runs, [])
    record_edit(run, "training.epochs", 3, 5, 20, 1.0)
    assert repeat_line(run) == f"tuiae run quickstart --set training.epochs=3 --replay {run.id}"
    elsewhere = RunPaths(run.root.rename(lab.root / "else where"))
    assert shlex.split(repeat_line(elsewhere))[-2:] == ["--replay", str(elsewhere.root)]


def test_that_every_run_was_read_is_told_although_none_changed(runs: list[RunPaths], lab: Laboratory) -> None:
    looks = follow_list(lab.runs, histories=False)
    told = [next(looks)[0] for _ in range(4)]
    assert [message.complete if isinstance(message, RunsListed) else None for message in told[:3]] == [
        False,
        True,
        None,
    ]
    assert told[3] is None


# At the desk


async def test_typing_finds_and_escape_shows_all_again(runs: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("slash", *"loss:")
        assert short(desk) == "4 3 2 1"
        await desk.press("less_than_sign", *"0.1")
        await desk.shows("runs · 3 of 4")
        assert short(desk) == "3 2 1"
        await desk.press("space", *"-classifier", "enter")
        await desk.shows("runs · 2 of 4", "loss:<0.1 -classifier")
        await desk.press("end")
        assert desk.table.under == runs[0].id
        await desk.press("escape")
        await desk.shows("runs · 4")
        assert desk.table.under == runs[0].id
        await desk.press("slash", *"nothing like it")
        await desk.shows("none of 4 runs is found", "nothing like it")
        await desk.press("escape", "slash", *"dat:x")
        await desk.shows("unknown key 'dat'")
        await desk.press("escape", "escape")
        await desk.until(lambda: isinstance(desk.app.screen, LiveScreen))


async def test_while_a_filter_is_typed_only_what_counts_there_is_offered(runs: list[RunPaths]) -> None:
    keys, typing = "space selects runs", "text or key:value · enter takes the filter, escape drops it"
    async with open_desk(size=(80, 24)) as desk:
        await listed(desk)
        await desk.shows(keys)
        await desk.press("slash")
        screen = await desk.shows(typing)
        assert keys not in screen
        await desk.press(*"dense")
        assert keys not in await desk.shows(typing, "runs · 3 of 4")
        await desk.press("enter")
        assert typing not in await desk.shows(keys)
        await desk.press("slash")
        await desk.shows(typing)
        await desk.press("escape")
        assert typing not in await desk.shows(keys)


async def test_what_was_typed_is_understood_by_the_runs_that_come(runs: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("slash", *"work:x")
        await desk.shows("unknown key 'work'", "runs · 4 of 4")
        relabel(runs[1], tag=["work:x"])
        desk.app.screen.feed.hurry()
        await desk.shows("runs · 1 of 4")
        assert short(desk) == "2"
        assert "unknown key" not in desk.screen


async def test_the_table_shows_alone_and_its_filter_stays(runs: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("slash", *"dense", "enter", "z")
        await desk.until(lambda: desk.app.screen.maximized is desk.table)
        await desk.press("escape")
        await desk.until(lambda: desk.app.screen.maximized is None)
        assert desk.app.screen.query_one("#filter", Input).value == "dense"


async def test_what_is_typed_to_find_shows_also_where_the_table_was_alone(runs: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("z")
        await desk.until(lambda: desk.app.screen.maximized is desk.table)
        await desk.press("slash", *"dense")
        assert desk.app.screen.query_one("#filter", Input).region.area
        await desk.shows("dense", "runs · ")


def reversed_at(desk: Desk, widget: Widget, line: int) -> bool:
    """Whether anything in a line of a widget is painted with its two colours exchanged."""
    place = widget.region
    painted = desk.app.screen._compositor.render_strips()[place.y + line].crop(place.x, place.right)
    return any(style is not None and style.reverse for _, style, _ in painted)


async def test_without_colours_and_in_ascii_it_shows_where_one_is(runs: list[RunPaths]) -> None:
    async with open_desk(size=(200, 60), mode=TerminalMode("none", ascii=True)) as desk:
        await listed(desk)
        await desk.press("end")
        row = desk.table.row_under
        assert row is not None
        await desk.shows("#= runs", spark(row.trend, 40, ascii_only=True), "enter Open")
        assert [reversed_at(desk, desk.table, line) for line in (2, 5)] == [False, True]
        await desk.press("slash")
        await desk.until(lambda: not desk.table.has_focus)
        assert reversed_at(desk, desk.table, 5)
        await desk.press("escape", "2")
        await desk.focus("training-epochs")
        await desk.until(lambda: reversed_at(desk, desk.app.live.query_one("#training-epochs"), 0))
        assert not reversed_at(desk, desk.app.live.query_one("#training-seed"), 0)


async def test_sorting_by_key_and_by_mouse(runs: list[RunPaths]) -> None:
    async with open_desk(size=(200, 60)) as desk:
        await listed(desk)
        assert desk.table.border_subtitle == "newest first"
        await desk.press("s", "s")
        await desk.shows("state ↑", "by state, lowest first")
        assert not desk.table.border_subtitle
        assert short(desk) == "2 1 3 4"
        await desk.press("S")
        await desk.shows("state ↓")
        assert short(desk) == "4 3 2 1"
        for arrow, order in (("↑", "1 3 2 4"), ("↓", "4 2 3 1")):
            await desk.click("#runs", offset=(row_text(desk.table, -1).index("test loss") + 2, 1))
            await desk.shows(f"test loss{arrow}")
            assert short(desk) == order


async def test_all_that_show_are_selected_or_none(runs: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        async for width, _ in desk.each_size():
            await desk.press("space")
            words = "Unselect" if width != 120 else "Select"
            await desk.shows(f"space {words}", *["1 selected", "◆"] * (words == "Unselect"))
        await desk.press("space", "slash", *"state:finished", "enter", "a")
        await desk.shows("2 selected")
        await desk.press("escape")
        assert [line[0] for line in desk.lines()] == [" ", " ", "◆", "◆"]
        await desk.press("a")
        await desk.shows("4 selected")
        await desk.press("a")
        await desk.shows("space selects runs")
        await desk.click("#runs", offset=(1, 3))
        await desk.shows("1 selected")
        assert desk.lines()[1].startswith("◆")


async def test_what_is_done_to_the_selected_is_done_to_those_that_show(runs: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("end", "space", "slash", *"state:stopped", "enter")
        await desk.shows("runs · 1 of 4 · 1 selected, 1 not shown")
        await desk.press("asterisk")
        await desk.until(lambda: read_label(runs[2]).pinned)
        await desk.press("c")
        await desk.shows("no run is selected of those that show")
        await desk.press("D")
        await desk.shows(runs[2].id, "Delete it for good?")
        await desk.press("escape", "space")
        await desk.shows("2 selected, 1 not shown")
        await desk.press("c")
        await desk.shows("one run is selected of those that show")
        await desk.press("D")
        await desk.shows(runs[2].id, "Delete it for good?")
        await desk.press("escape", "escape")
        await desk.shows("runs · 4 · 2 selected ")
        await desk.press("D")
        await desk.shows("Delete these 2 runs for good?")
    assert not read_label(runs[0]).pinned


async def test_names_tags_notes_and_pins_are_written_and_show(runs: list[RunPaths]) -> None:
    async with open_desk(size=(200, 60)) as desk:
        await listed(desk)
        await desk.press("N", *"best", "space", *"one", "enter")
        await desk.until(lambda: "best one" in desk.lines()[0])
        await desk.press("t", *"a", "space", *"b:c", "enter")
        await desk.until(lambda: "a b:c" in desk.lines()[0])
        await desk.press("t", *"d", "enter")
        await desk.until(lambda: "a b:c d" in desk.lines()[0])
        await desk.shows("tags of 1 run: a b:c d")
        await desk.press("n", *"look", "enter", *"twice", "ctrl+s")
        await desk.shows("✎", "look", "twice")
        label = read_label(runs[3])
        assert (label.name, label.note, label.tags) == ("best one", "look\ntwice", ("a", "b:c", "d"))
        await desk.press("end", "asterisk")
        await desk.until(lambda: short(desk) == "1 4 3 2")
        assert "★" in desk.lines()[0]
        assert desk.table.under == runs[0].id
        await desk.press("a", "t", *"all", "space", "minus", *"a", "enter")
        await desk.until(lambda: tags_of(runs[3]) == ("b:c", "d", "all") and tags_of(runs[0]) == ("all",))
        await desk.shows("all set on 4 runs · a taken from 4 runs")


async def test_what_cannot_be_a_label_is_said_where_it_is_typed(runs: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("N")
        desk.app.screen.query_one(Input).value = "x" * 81
        await desk.press("enter")
        await desk.shows("a name of 81 characters: at most 80")
        await desk.press("escape", "n")
        desk.app.screen.query_one(TextArea).text = "\u202e"
        await desk.press("ctrl+s")
        await desk.shows("control character U+202E")
        await desk.press("escape", "t", *"no!", "enter")
        await desk.shows("tag 'no!'")
        await desk.press("escape")
        assert not any(run.label.exists() for run in runs)


async def test_deleting_asks_and_says_what_goes(lab: Laboratory, runs: list[RunPaths]) -> None:
    live = Script(new_run(lab.runs, name="20200105-000000-run5-0005"), load_config(runs[0].config))
    live.play(1)
    replace_json(runs[0].meta, {**read_json(runs[0].meta), "parent": {"run": runs[3].id, "step": 8, "epoch": 2}})
    async with open_desk(runs[0]) as desk:
        await listed(desk, 5)
        await desk.press("D")
        await desk.until(
            lambda: "is running; stop it first" in str(desk.app.screen.query_one("#message", Static).content)
        )
        await desk.press("down", "D")
        await desk.shows(runs[3].id, "MB", "Delete it for good?", f"{runs[0].id} was forked from it")
        await desk.press("enter")
        assert len(list_runs(lab.runs)) == 5
        await desk.press("space", "down", "space", "D")
        await desk.shows("Delete these 2 runs for good?", runs[2].id)
        await desk.press("down", "enter")
        await desk.until(lambda: short(desk) == "5 2 1")
        await desk.shows("2 runs are deleted")
    assert len(list_runs(lab.runs)) == 3
    live.writer.close("finished")


async def test_dialogs_call_a_run_by_its_name_and_the_one_that_deletes_tells_its_id_too(
    lab: Laboratory, finished: RunPaths
) -> None:
    relabel(run := lab.copy(finished), name="the good one")
    live = script(lab.runs, name="20200101-000000-live-0001")
    live.play(1)
    relabel(live.run, name="still at it")
    async with open_desk(live.run, (80, 24)) as desk:
        await listed(desk, 2)
        await desk.until(lambda: desk.table.row_under.name == "the good one")  # type: ignore[union-attr]
        for key, words in (("n", "About the good one."), ("t", "Tags of the good one,"), ("f", "of the good one.")):
            await desk.press(key)
            await desk.shows(words)
            await desk.press("escape")
        await desk.press("D")
        await desk.shows(f"the good one, {run.id}", "MB", "Delete it for good?")
        await desk.press("escape", "q")
        await desk.shows("still at it is running.")
        await desk.press("escape", "2")
        await desk.ready()
        await desk.press("r")
        await desk.shows("still at it is still running.")
    live.writer.close("finished")


async def test_the_question_about_deleting_is_asked_once_and_only_there(runs: list[RunPaths]) -> None:
    async with open_desk(runs[0]) as desk:
        await listed(desk)
        screen = desk.app.screen
        assert isinstance(screen, RunsScreen)
        screen.action_delete()
        screen.action_delete()
        await desk.shows("Delete it for good?")
        await desk.pilot.pause()
        assert len(desk.app.screen_stack) == 2
        await desk.press("escape")
        await desk.until(lambda: all(worker.is_finished for worker in screen.workers))
        screen.action_delete()
        desk.app.switch_mode("live")
        await desk.until(lambda: all(worker.is_finished for worker in screen.workers))
        assert desk.app.screen_stack == [desk.app.live]
        await desk.press("1", "D")
        await desk.shows("Delete it for good?")


async def test_copy_open_and_refusals(runs: list[RunPaths]) -> None:
    async with open_desk() as desk:
        await listed(desk)
        await desk.press("y")
        await desk.shows("copied: tuiae run")
        assert desk.app.clipboard == f"tuiae run {runs[3].config}"
        await desk.press("end", "R")
        await desk.shows("it has done its epochs; for more f forks it")
        await desk.press("enter")
        await desk.until(lambda: isinstance(desk.app.screen, LiveScreen) and desk.app.session.path == runs[0].root)


async def test_a_stopped_run_goes_on_from_the_list(lab: Laboratory, workers: list[Any]) -> None:
    run = lab.train("--epochs", "2")
    text = run.config.read_text()
    begin_with(run, text.replace("epochs = 2", "epochs = 3", 1))
    replace_json(run.status, {**read_json(run.status), "state": "stopped"})
    async with open_desk() as desk:
        await listed(desk, 1)
        await desk.press("R")
        await desk.until(lambda: isinstance(desk.app.screen, LiveScreen))
        await desk.until(lambda: desk.state == "finished" and "3/3" in desk.screen)


async def test_a_run_is_forked_from_the_list(lab: Laboratory) -> None:
    source = lab.train("--epochs", "1")
    bare = played(lab.runs, 1, 1)
    async with open_desk() as desk:
        await listed(desk, 2)
        await desk.press("end", "f")
        await desk.shows(f"nothing to fork: {bare.id}")
        await desk.press("home", "f")
        await desk.shows("goes on from a checkpoint of", source.id)
        await desk.press("escape")
        assert len(list_runs(lab.runs)) == 2


async def test_details_come_back_with_what_a_filter_finds_at_last(runs: list[RunPaths]) -> None:
    async with open_desk(size=(80, 24)) as desk:
        await listed(desk)
        details = desk.app.screen.query_one(RunDetails)
        await desk.press("slash", *"latent:9")
        await desk.shows("none of 4 runs is found by")
        await desk.press("backspace", "8")
        await desk.until(lambda: details.region.height >= 7)


def test_the_best_loss_is_never_above_the_newest(lab: Laboratory) -> None:
    live, lister = script(lab.runs), RunLister(lab.runs)
    live.play(2)
    (row,) = lister.rows(histories=True)
    assert row.best == row.status.test_loss == pytest.approx(0.12)
    live.writer.status(now=True, test_loss=0.01)  # which the history, read a moment ago, does not have yet
    (row,) = lister.rows()
    assert row.best == row.status.test_loss == 0.01
    live.writer.close("stopped")


async def test_a_list_without_runs_and_runs_that_go(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.press("1")
        await desk.shows("no runs in", "2 goes to the form")
        for key in ("space", "a", "D", "N", "t", "n", "R", "f", "y", "asterisk", "enter", "s", "S", "c"):
            await desk.press(key)
        run = played(lab.runs, 1, 2)
        await desk.shows("runs · 1")
        await desk.press("N")
        shutil.rmtree(run.root)
        await desk.press("x", "enter")
        await desk.shows("cannot write to", "is there space on its disk?")
        await desk.shows("no runs in")


async def test_many_runs_are_drawn_line_by_line(runs: list[RunPaths]) -> None:
    """What does not show is never drawn, whatever the number of runs."""
    async with open_desk() as desk:
        await listed(desk)
        row = desk.table.rows[0]
        many = tuple(RunRow(row.path.with_name(f"run-{index:05d}"), row.status) for index in range(5000))
        drawn: list[int] = []
        line = desk.table._draw
        desk.table._draw = lambda place, width: drawn.append(place) or line(place, width)  # type: ignore[method-assign,func-returns-value]
        desk.table.take(many)
        await desk.pilot.pause()
        assert 0 < len(set(drawn)) < 100
        await desk.press("end")
        assert desk.table.under == many[0].id
        drawn.clear()
        desk.table.take((*many[:-1], RunRow(many[-1].path, row.status, dataset="changed")))
        await desk.pilot.pause()
        assert len(drawn) < 3


# Pausing


async def test_p_pauses_the_run_under_the_cursor_and_says_where_that_means_nothing(
    lab: Laboratory, runs: list[RunPaths]
) -> None:
    live = script(lab.runs, AUTOENCODER, "20200105-000000-run5-0005")
    live.play(2)
    async with open_desk(runs[0]) as desk:
        await listed(desk, 5)
        await desk.press("p")
        await desk.shows("asked 20200105-000000-run5-0005 to pause")
        assert [record["command"] for record in take(live.run)] == ["pause"]
        live.writer.status(now=True, state="paused")
        await desk.until(lambda: "paused" in desk.lines()[0])
        await desk.press("p")
        await desk.shows("asked 20200105-000000-run5-0005 to go on")
        assert [record["command"] for record in take(live.run)] == ["resume"]
        await desk.press("down", "p")
        await desk.shows("run4-0004 is failed: only a run that trains can pause")
        assert not take(runs[3])
    live.writer.close("finished")


@pytest.mark.parametrize(("screen", "shows"), [("5", "nothing to compare"), ("6", "trainings done")])
async def test_p_pauses_the_open_run_from_screens_about_others(lab: Laboratory, screen: str, shows: str) -> None:
    live = script(lab.runs, AUTOENCODER, "20200105-000000-run5-0005")
    live.play(2)
    async with open_desk(live.run) as desk:
        await desk.until(lambda: desk.state == "running")
        await desk.press(screen)
        await desk.shows(shows)
        await desk.press("p")
        await desk.shows("asked 20200105-000000-run5-0005 to pause")
        assert [record["command"] for record in take(live.run)] == ["pause"]
        live.writer.close("finished")
        await desk.until(lambda: desk.state == "finished")
        await desk.press("p")
        await desk.shows("this run is finished: 1 lists all, r on Live starts what its form says")
