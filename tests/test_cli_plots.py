"""Plots that commands print: by themselves on a terminal, in ASCII where they are asked for, never beside JSON."""

from __future__ import annotations

import json
import re
import sys

import pytest

from tests.comparing import end, settings
from tests.conftest import Laboratory
from tests.dashboard import Script, fixed, script
from tests.terminal import Terminal

BRAILLE = re.compile("[⠁-⣿]")
ASCII_PLOT = re.compile(r"^ *\S+ \+.*[*o]", re.MULTILINE)
"""A tick, and a line of stars or signs beside it."""


@pytest.fixture
def finished(lab: Laboratory) -> Script:
    played = script(lab.runs)
    played.play(6)
    played.writer.close("finished")
    return played


@pytest.fixture
def two(lab: Laboratory) -> list[str]:
    losses = {4: [0.4, 0.3, 0.2], 8: [0.3, 0.2, 0.1]}
    runs = [end(lab.runs, latent, told, settings(model__latent=latent)) for latent, told in losses.items()]
    return [played.run.id for played in runs]


def on_a_terminal(lab: Laboratory, *arguments: str, columns: int = 120) -> Terminal:
    return Terminal([sys.executable, "-m", "tuiae", *arguments], columns, 80, lab.environment)


@pytest.mark.parametrize(("columns", "beside"), [(80, False), (120, True)])
def test_a_run_is_shown_with_its_curves_at_the_width_of_the_terminal(
    lab: Laboratory, finished: Script, columns: int, beside: bool
) -> None:
    with on_a_terminal(lab, "show", finished.run.id, columns=columns) as terminal:
        assert terminal.exit_code() == 0
        shown = terminal.text()
        assert BRAILLE.search(shown)
        assert bool(re.search(r"loss .*train.*accuracy, %.*train", shown)) == beside
        assert "accuracy, %" in shown


def test_elsewhere_there_is_a_plot_only_where_it_is_asked_for_and_in_ascii(lab: Laboratory, finished: Script) -> None:
    for command in (("show", finished.run.id), ("status", finished.run.id, "--once"), ("attach", finished.run.id)):
        assert "epoch  " not in lab(*command).stdout
        asked = lab(*command, "--plot").stdout
        assert ASCII_PLOT.search(asked), command
        assert "loss" in asked
        plot = asked[asked.rindex("\nloss ") :].partition("\nfinding: ")[0]
        assert plot.isascii()
        assert max(map(len, plot.splitlines())) <= 80
        document = lab(*command, "--json", "--plot").stdout
        assert json.loads(document)


def test_plain_on_a_terminal_is_as_in_a_pipe(lab: Laboratory, finished: Script) -> None:
    for options, drawn in ((("--plain",), False), (("--plain", "--plot"), True)):
        with on_a_terminal(lab, "show", finished.run.id, *options) as terminal:
            assert terminal.exit_code() == 0
            assert bool(ASCII_PLOT.search(terminal.text())) == drawn
            assert not BRAILLE.search(terminal.text())


def test_status_draws_on_a_terminal_too_in_characters_that_any_has(lab: Laboratory, finished: Script) -> None:
    with on_a_terminal(lab, "status", finished.run.id, "--once", columns=80) as terminal:
        assert terminal.exit_code() == 0
        assert ASCII_PLOT.search(terminal.text())
        assert not BRAILLE.search(terminal.text())


def test_without_colours_the_test_curve_is_one_of_signs(lab: Laboratory, finished: Script) -> None:
    with on_a_terminal(lab, "--colors", "none", "show", finished.run.id) as terminal:
        assert terminal.exit_code() == 0
        assert "• test" in terminal.text()


def test_a_comparison_is_drawn_where_it_is_asked_for(lab: Laboratory, two: list[str]) -> None:
    assert not BRAILLE.search(lab("compare", *two).stdout)
    asked = lab("compare", *two, "--plot").stdout
    assert "train loss" in asked
    assert not BRAILLE.search(asked)
    assert re.search(r"\+-+\+", asked)
    assert json.loads(lab("compare", *two, "--plot", "--json").stdout)


def axis_of(printed: str) -> str:
    """What the x axis of the last plot counts."""
    return next(line.split()[0] for line in reversed(printed.splitlines()) if re.match("(epoch|step|time) ", line))


def test_who_asks_for_an_axis_gets_a_plot_over_it(lab: Laboratory, finished: Script, two: list[str]) -> None:
    for run in (finished.run, *map(lab.run, two)):
        fixed(run)
    for command in (("show", finished.run.id), ("status", finished.run.id, "--once"), ("compare", *two)):
        for unit in ("epoch", "step", "time"):
            assert axis_of(lab(*command, "--x", unit).stdout) == unit, command
        straight, *bent = (lab(*command, option).stdout for option in ("--plot", "--log-x", "--log-y"))
        assert len({straight, *bent}) == 3
        assert lab(*command, "--json").stdout == lab(*command, "--json", "--x", "step", "--log-x", "--log-y").stdout
        assert lab(*command, "--x", "steps", check=2).stdout == ""


def test_a_run_that_does_not_tell_its_times_is_plotted_over_epochs(lab: Laboratory, finished: Script) -> None:
    records = [{**json.loads(line), "time": 1.0} for line in finished.run.events.read_text().splitlines()]
    finished.run.events.write_text("".join(json.dumps(record) + "\n" for record in records))
    asked = lab("show", finished.run.id, "--x", "time")
    assert axis_of(asked.stdout) == "epoch"
    assert asked.stderr


def test_a_training_ends_with_its_curves_on_a_terminal(lab: Laboratory) -> None:
    with on_a_terminal(lab, "run", lab.preset(), "--epochs", "2", "--x", "step") as terminal:
        assert terminal.exit_code(120) == 0
        assert BRAILLE.search(terminal.text())
        assert axis_of(terminal.text()) == "step"
