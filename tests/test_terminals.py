"""Every kind of terminal: characters, colours, themes, sizes, and how much is sent to it."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.color import Color as RichColor
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.color import Color
from textual.geometry import Size
from textual.strip import Strip
from textual.widgets import Input

from tests.conftest import Laboratory, wait_until
from tests.dashboard import CLASSIFIER, Script, keep_cold, open_desk, script
from tests.terminal import COLD, ESCAPE, Terminal
from tests.terminal_screen import Screen
from tuiae.errors import ConfigError
from tuiae.render import palette
from tuiae.render.curves import draw_curves, train_and_test
from tuiae.render.grid import draw_large, draw_strip, fit_gallery, fit_plane, image_grid
from tuiae.render.legend import legend
from tuiae.render.pixels import pixel_images
from tuiae.render.runs import MARK, NOTED, PIN
from tuiae.render.text import UNKNOWN, to_ascii
from tuiae.reproduce.verdicts import MARKS
from tuiae.runs.paths import RunPaths
from tuiae.ui.app import TuiaeApp
from tuiae.ui.terminal.app import load_setting, settings_file
from tuiae.ui.terminal.mode import (
    DARK,
    LIGHT,
    ON_LIGHT,
    Colors,
    TerminalMode,
    choose_mode,
    choose_theme,
    contrast,
    filters_for,
    nearest_16,
    nearest_256,
    protocol_in,
)
from tuiae.ui.terminal.screen_diff import ScreenDiff
from tuiae.ui.widgets.panel import FRAME
from tuiae.ui.widgets.tables import LineTable

SLOW = 60.0
NIGHT = Color.parse("#0E1116")


def test_quiet_words_can_be_read_in_both_themes() -> None:
    text = Path(sys.modules[TuiaeApp.__module__].__file__ or "").with_name(TuiaeApp.CSS_PATH).read_text()
    text += FRAME + LineTable.DEFAULT_CSS
    shares = {int(share) for share in re.findall(r"(?<!scrollbar-)color: \$foreground (\d+)%", text)}
    assert len(shares) > 1
    for theme in (DARK, LIGHT):
        ground, ink = (Color.parse(colour or "").rgb for colour in (theme.background, theme.foreground))
        for share in shares:
            assert contrast(palette.blend(ground, ink, share / 100), ground) >= 4.5, (theme.name, share)


def test_frames_part_panels_in_both_themes() -> None:
    (share,) = map(int, re.findall(r"border: round \$foreground (\d+)%", FRAME))
    for theme in (DARK, LIGHT):
        ground, ink = (Color.parse(colour or "").rgb for colour in (theme.background, theme.foreground))
        assert contrast(palette.blend(ground, ink, share / 100), ground) >= 2, theme.name


# Characters


def test_any_character_becomes_ascii_of_its_width() -> None:
    for code in (*range(0x20, 0x7F), *range(0xA0, 0x3000), *range(0x1F300, 0x1F700), *range(0xFF00, 0xFFEF)):
        char = chr(code)
        assert to_ascii(char).isascii()
        assert len(to_ascii(char)) == cell_len(char), hex(code)


def test_what_one_reads_stays_readable() -> None:
    assert to_ascii("● running → épée naïve × 3 …") == "* running > epee naive x 3 ~"
    assert to_ascii("counts · epoch 25") == "counts - epoch 25"
    assert to_ascii("日本") == "????"
    assert to_ascii("│┌─┐│") == "|+-+|"


def test_markers_and_shades_stay_apart_in_ascii() -> None:
    assert len({to_ascii(marker) for marker in palette.MARKERS}) == len(palette.MARKERS)
    assert len({to_ascii(sign) for sign in MARKS.values()} - {UNKNOWN}) == len(MARKS)
    assert UNKNOWN not in to_ascii(f"{MARK}{PIN}{NOTED}")
    assert len({to_ascii(shade) for shade in palette.SHADES}) == len(palette.SHADES) - 1


def test_curves_in_ascii_are_drawn_and_not_translated() -> None:
    x = np.arange(30.0)
    curves = train_and_test((x, x), (1 / (1 + x), 1.5 / (1 + x)))
    text = draw_curves(curves, 60, 12, ascii=True).plain
    assert text.count("*") > 20
    assert text.count(".") > 10
    assert not any("\u2800" <= char < "\u2900" for char in text)
    assert legend(curves, 60, ascii=True).plain.startswith("* train")


# Colours


@pytest.mark.parametrize(
    ("environ", "colors"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "screen-256color"}, "256"),
        ({"TERM": "xterm"}, "16"),
        ({"TERM": "linux"}, "16"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm", "TEXTUAL_COLOR_SYSTEM": "256"}, "256"),
    ],
)
def test_colours_follow_the_terminal(environ: dict[str, str], colors: str) -> None:
    assert choose_mode("auto", False, environ).colors == colors
    assert choose_mode("16", False, environ).colors == "16"


def test_an_unknown_number_of_colours_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="auto, truecolor, 256, 16, none"):
        choose_mode("88", False, {})


@pytest.mark.parametrize(
    ("mode", "pictures"),
    [
        (TerminalMode("truecolor"), "blocks"),
        (TerminalMode("256"), "blocks"),
        (TerminalMode("16"), "shades"),
        (TerminalMode("none"), "shades"),
        (TerminalMode("truecolor", ascii=True), "ascii"),
    ],
)
def test_pictures_take_what_the_terminal_has(mode: TerminalMode, pictures: str) -> None:
    assert mode.pictures == pictures


def test_greys_in_256_colours_rise_without_a_step_back() -> None:
    numbers = [nearest_256((level, level, level)) for level in range(256)]
    lights = [RichColor.from_ansi(number).get_truecolor().red for number in numbers]
    assert lights == sorted(lights)
    assert len(set(numbers)) == 26
    assert max(abs(light - level) for level, light in enumerate(lights)) <= 9
    assert not {number for number in numbers if number < 16}


def test_series_stay_apart_in_few_colours() -> None:
    colours = [palette.rgb(color) for color in palette.SERIES]
    assert len({nearest_256(color) for color in colours}) == len(colours)
    assert len({nearest_16(color) for color in colours[:6]}) >= 5


def restyled(colors: Colors, **style: Any) -> Style:
    (reduce,) = filters_for(TerminalMode(colors), {}, NIGHT.rgb)
    (segment,) = reduce.apply([Segment("x", Style(**style))], NIGHT)
    assert segment.style is not None
    return segment.style


def test_without_colour_a_marked_background_is_reversed_and_faint_text_dim() -> None:
    chosen = restyled("none", color="#D8DEE6", bgcolor="#56B4E9", bold=True)
    assert chosen.reverse
    assert chosen.bold
    plain = restyled("none", color="#D8DEE6", bgcolor="#161B22")
    assert not plain.reverse
    assert not plain.dim
    assert restyled("none", color="#363A40", bgcolor="#0E1116").dim
    for style in (chosen, plain):
        assert style.color is None
        assert style.bgcolor is None


def test_sixteen_colours_keep_the_background_of_the_terminal() -> None:
    assert restyled("16", color="#D8DEE6", bgcolor="#161B22").bgcolor == RichColor.default()
    marked = restyled("16", color="#D8DEE6", bgcolor="#56B4E9")
    assert marked.bgcolor is not None
    assert marked.color is not None
    assert marked.bgcolor.number not in (None, 0)
    assert marked.color.number in (0, 15)


# Themes


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])
def test_every_colour_of_a_theme_can_be_read(theme: Any) -> None:
    drawn = [ON_LIGHT.get(color, color) if theme is LIGHT else color for color in (*palette.SERIES, palette.PINK)]
    named = [theme.accent, theme.success, theme.warning, theme.error, theme.foreground, theme.secondary]
    for color in (*drawn, *named):
        for ground in (theme.background, theme.surface):
            assert contrast(Color.parse(color).rgb, Color.parse(ground).rgb) >= 4.5, (color, ground)


@pytest.mark.parametrize(
    ("choice", "remembered", "environ", "name"),
    [
        ("", "", {}, "tuiae"),
        ("", "nord", {}, "nord"),
        ("light", "nord", {}, "tuiae-light"),
        ("auto", "nord", {"COLORFGBG": "0;15"}, "tuiae-light"),
        ("auto", "", {"COLORFGBG": "15;default;0"}, "tuiae"),
        ("", "", {"COLORFGBG": "rubbish"}, "tuiae"),
    ],
)
def test_the_theme_is_asked_for_or_remembered_or_the_terminals(
    choice: str, remembered: str, environ: dict[str, str], name: str
) -> None:
    assert choose_theme(choice, remembered, environ) == name


async def test_a_theme_that_was_chosen_is_there_the_next_time(lab: Laboratory) -> None:
    app = TuiaeApp()
    keep_cold(app)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.theme == "tuiae"
        assert not settings_file().exists()
        await app.run_action("other_theme")
        await pilot.pause()
        assert app.theme == "tuiae-light"
    assert load_setting(settings_file(), "theme", "") == "tuiae-light"
    assert TuiaeApp().theme == "tuiae-light"
    settings_file().write_text("[")
    assert TuiaeApp().theme == "tuiae"
    settings_file().write_text('{"theme": "no-such"}')
    assert TuiaeApp().theme == "tuiae"


# What is sent


def layout(lines: list[Strip], columns: int) -> LayoutUpdate:
    return LayoutUpdate([[line] for line in lines], Size(columns, len(lines)).region)


def written(diff: ScreenDiff, lines: list[Strip], columns: int) -> str:
    """What a terminal is sent for these lines, and then shows."""
    difference = diff.difference(layout(lines, columns), Size(columns, len(lines)))
    assert difference is not None
    return difference.render_segments(Console())


def drawn(screen: Screen) -> list[list[Any]]:
    """Every cell with its colours and attributes; of a blank only what shows."""
    cells = [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]
    return [[char.bg if char.data == " " and not char.reverse else char for char in line] for line in cells]


def test_differences_draw_what_a_whole_update_draws() -> None:
    """Lines that change at random, with wide characters, pictures, attributes and the terminal's own colours."""
    random = np.random.default_rng(0)
    columns, rows = 40, 6
    pieces = ["abc", "  ", "▀▀", "日本", "⣿⡇", "e\u0301x", "-", "the same"]
    styles = [
        None,
        Style(color="#ffffff", bgcolor="#000000"),
        Style(color="#808080", bgcolor="#808080"),
        Style(color="#56B4E9", bold=True),
        Style(bgcolor="#1C232C"),
        Style(reverse=True, underline=True),
        Style(color="color(3)", dim=True),
    ]

    def line() -> Strip:
        parts = [Segment(pieces[random.integers(len(pieces))], styles[random.integers(len(styles))]) for _ in range(12)]
        return Strip(parts).adjust_cell_length(columns)

    diff, screen = ScreenDiff(), Screen(columns, rows)
    lines = [line() for _ in range(rows)]
    for _ in range(40):
        lines[random.integers(rows)] = line()
        never_sent = diff.difference(layout([line()] * rows, columns), Size(columns, rows))
        assert never_sent is not None
        screen.take(written(diff, lines, columns).encode())
        fresh = Screen(columns, rows)
        fresh.take(written(ScreenDiff(), lines, columns).encode())
        assert drawn(screen) == drawn(fresh)
        assert written(diff, lines, columns) == ""


def test_a_digit_that_changes_takes_a_digit_and_little_more() -> None:
    diff, style = ScreenDiff(), Style(color="#56B4E9", bgcolor="#0E1116")
    for text in ("epoch 1 of 6", "epoch 2 of 6"):
        sent = written(diff, [Strip([Segment(text, style)])], 12)
    assert re.sub(r"\x1b\[[\d;]*[a-zA-Z]", "", sent) == "2"
    assert len(sent) < 50


# Whole sessions


def tuiae(lab: Laboratory, *arguments: str, pictures: bool = False, **environ: str) -> Terminal:
    lab.root.mkdir(parents=True, exist_ok=True)
    terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environ}
    return Terminal([*COLD, *arguments], env={**lab.environment, **terminal}, pictures=pictures)


@pytest.fixture
def played(lab: Laboratory) -> Script:
    """A classifier that has ended, with a name that no ASCII terminal can show."""
    run = script(lab.runs, CLASSIFIER)
    run.play(3)
    with open(run.run.log, "a", encoding="utf-8") as log:
        log.write("épée 日本 ▀▄ → fin\n")
    run.writer.close("finished")
    return run


def visit_everything(terminal: Terminal, finished: str) -> None:
    """Every screen and dialog that keys lead to, and out again."""
    terminal.wait_for(finished, SLOW)
    terminal.wait_for("most confused", SLOW)
    for keys, words in (("?", "write a checkpoint"), ("\x10", "Search")):  # the help, the command palette
        terminal.send(keys)
        terminal.wait_for(words)
        terminal.send(ESCAPE)
        # A key that follows at once would be read as one with Alt.
        terminal.wait_for(lambda text, words=words: words not in text)
    for mode in "134562":
        terminal.send(mode)
    terminal.send("T")
    terminal.send("i")
    terminal.send("\x0c")
    terminal.send("q")
    assert terminal.exit_code() == 0
    assert not terminal.left_on()


def test_a_session_in_ascii_sends_no_character_above_127(lab: Laboratory, played: Script) -> None:
    with tuiae(lab, "attach", played.run.id, "--ascii") as terminal:
        visit_everything(terminal, "+ finished")
        assert terminal.raw.isascii()


@pytest.mark.parametrize(
    ("flags", "environ", "there", "absent"),
    [
        ([], {}, rb"[34]8;2;", None),
        (["--colors", "256"], {}, rb"[34]8;5;", rb"[34]8;2;"),
        (["--colors", "16"], {}, rb"[\[;][39][0-7][;m]", rb"[34]8;[25];"),
        ([], {"NO_COLOR": "1"}, rb"\[[\d;]*7", rb"[34]8;[25];|[\[;](?:[349][0-7]|10[0-7])[;m]"),
    ],
    ids=["truecolor", "256", "16", "NO_COLOR"],
)
def test_a_session_sends_the_colours_that_the_terminal_has(
    lab: Laboratory, played: Script, flags: list[str], environ: dict[str, str], there: bytes, absent: bytes | None
) -> None:
    with tuiae(lab, "attach", played.run.id, *flags, **environ) as terminal:
        terminal.wait_for("✓ finished", SLOW)
        terminal.wait_for("most confused", SLOW)
        terminal.send("?")
        terminal.wait_for("write a checkpoint")
        codes = b"".join(re.findall(rb"\x1b\[[\d;]*m", terminal.raw))
        assert re.search(there, codes)
        assert absent is None or not re.search(absent, codes)


def test_resizing_storms_end_on_a_whole_screen(lab: Laboratory, played: Script) -> None:
    with tuiae(lab, "attach", played.run.id) as terminal:
        terminal.wait_for("✓ finished", SLOW)
        for step in range(50):
            terminal.resize(60 + 3 * (step % 40), 20 + step % 30)
        terminal.resize(10, 3)
        terminal.resize(40, 12)
        terminal.wait_for("60x20", SLOW)
        terminal.resize(80, 24)
        terminal.wait_for("✓ finished", SLOW)
        terminal.resize(120, 40)
        terminal.wait_for(lambda text: "predictions" in text and "accuracy" in text and len(text.splitlines()) == 40)
        terminal.send("q")
        assert terminal.exit_code() == 0
        assert not terminal.left_on()
        assert "Traceback" not in terminal.text()


STALE = "from textual.drivers.linux_driver import LinuxDriver; LinuxDriver._get_terminal_size = lambda self: (10, 3)\n"


def test_a_size_that_was_read_before_the_last_change_does_not_stay(lab: Laboratory, played: Script) -> None:
    python, option, code = COLD
    environ = {**lab.environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with Terminal([python, option, STALE + code, "attach", played.run.id], env=environ) as terminal:
        terminal.wait_for("✓ finished", SLOW)
        terminal.resize(80, 24)
        terminal.wait_for(lambda text: "✓ finished" in text and len(text.splitlines()) == 24, SLOW)


def test_something_else_wrote_on_the_terminal_and_ctrl_l_mends_it(lab: Laboratory, played: Script) -> None:
    with tuiae(lab, "attach", played.run.id) as terminal:
        terminal.wait_for("✓ finished", SLOW)
        terminal.wait_for("predictions", SLOW)
        # Again while it still paints: what was on its way came after.
        wait_until(lambda: terminal.text() and not terminal.spoil() and "quickstart ·" not in terminal.text())
        terminal.send("\x0c")
        terminal.wait_for("quickstart ·")
        terminal.wait_for("✓ finished")
        terminal.wait_for("predictions")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")
def test_inside_tmux(lab: Laboratory, played: Script) -> None:
    command = f"{sys.executable} -m tuiae attach {played.run.id}"
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,  # the name of a socket has room for a hundred characters
        Terminal(
            ["tmux", "-u", "-S", f"{folder}/tmux", "-f", "/dev/null", "new-session", command],
            120,
            40,
            {**lab.environment, "TERM": "xterm-256color", "SHELL": "/bin/sh"},
        ) as terminal,
    ):
        terminal.wait_for("✓ finished", SLOW)
        terminal.resize(80, 24)
        terminal.wait_for(lambda text: "✓ finished" in text and "curves" in text, SLOW)
        terminal.send("q")
        assert terminal.exit_code() == 0


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_a_sentence(lab: Laboratory, term: str) -> None:
    with tuiae(lab, TERM=term) as terminal:
        assert terminal.exit_code() == 2
        assert "needs a terminal" in terminal.text()
        assert b"\x1b" not in terminal.raw


@pytest.mark.parametrize("flag", [["--colors", "88"], ["--theme", "pink"]])
def test_a_flag_that_is_not_known_is_a_sentence(lab: Laboratory, flag: list[str]) -> None:
    with tuiae(lab, *flag) as terminal:
        assert terminal.exit_code() == 2
        assert f"{flag[0]} {flag[1]} is not known" in terminal.text()


# Real pictures


@pytest.mark.parametrize(
    ("answer", "protocol"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62;4c\x1b[0n", "kitty"),
        (b"\x1b[?62;4;22c\x1b[0n", "sixel"),
        (b"\x1b[?62;22c\x1b[0n", ""),
        (b"\x1b[?64;14;24c\x1b[0n", ""),
        (b"", ""),
    ],
)
def test_the_terminal_says_which_pictures_it_draws(answer: bytes, protocol: str) -> None:
    assert protocol_in(answer) == protocol


def test_a_sheet_lies_where_the_grid_draws_its_pictures() -> None:
    white = np.full((4, 1, 8, 8), 255, np.uint8)
    rows = [("input", white), ("output", white)]
    (sheet,) = pixel_images(image_grid(rows, 60, 20, "none"), (0, 0, 0))
    grid = image_grid(rows, 60, 20, "ascii").plain.split("\n")
    marked = [(x, y) for y, line in enumerate(grid) for x, char in enumerate(line) if char == "@"]
    assert min(x for x, _ in marked) == sheet.left
    assert max(x for x, _ in marked) == sheet.left + sheet.columns - 1
    assert min(y for _, y in marked) == sheet.top
    assert max(y for _, y in marked) == sheet.top + sheet.rows - 1
    assert sheet.pixels.shape == (16 * sheet.rows, 8 * sheet.columns, 3)


def test_words_between_pictures_are_never_covered() -> None:
    white = np.full((12, 1, 8, 8), 255, np.uint8)
    axis = np.arange(3.0)
    drawings = {
        "gallery": lambda mode: fit_gallery(white, 60, 26, mode, [["a"] * 12, ["b"] * 12]),
        "strip": lambda mode: draw_strip(white, [("a", "b")] * 12, 60, 26, mode, 0, True),
        "plane": lambda mode: fit_plane(white[:9].reshape(3, 3, 1, 8, 8), axis, axis, 60, 26, mode),
        "large": lambda mode: draw_large(white[0], 60, 26, mode),
    }
    counts = {}
    for name, draw in drawings.items():
        words, sheets = draw("ascii").plain.split("\n"), pixel_images(draw("none"), (0, 0, 0))
        covered = {
            (x, y)
            for sheet in sheets
            for x in range(sheet.left, sheet.left + sheet.columns)
            for y in range(sheet.top, sheet.top + sheet.rows)
        }
        drawn = {(x, y): char for y, line in enumerate(words) for x, char in enumerate(line) if char != " "}
        assert {place for place, char in drawn.items() if char == "@"} <= covered
        assert not [char for place, char in drawn.items() if char != "@" and place in covered]
        assert all((sheet.pixels == 255).any() for sheet in sheets)
        counts[name] = len(sheets)
    assert counts["plane"] == counts["large"] == 1
    assert counts["gallery"] > 1


def test_pictures_that_cannot_be_had_are_a_sentence_and_leave_nothing_behind(lab: Laboratory) -> None:
    with tuiae(lab, "--graphics") as terminal:
        assert terminal.exit_code() == 2
        assert "--graphics" in terminal.text()
        assert "go without --graphics" in terminal.text()
        assert not terminal.left_on()
    with tuiae(lab, "--graphics", "--ascii") as terminal:
        assert terminal.exit_code() == 2


def test_kitty_draws_the_reconstructions(lab: Laboratory) -> None:
    pytest.importorskip("textual_image", reason="the extra [graphics] is not installed")
    run = script(lab.runs)
    run.play(2)
    run.writer.close("finished")
    with tuiae(lab, "attach", run.run.id, "--graphics", pictures=True) as terminal:
        terminal.wait_for(lambda text: "output" in text and "\U0010eeee" in text, SLOW)
        terminal.send("q")
        assert terminal.exit_code() == 0
        assert not terminal.left_on()


PLACEHOLDER = "\U0010eeee"
"""A cell that kitty covers with a picture."""


def test_kitty_draws_what_is_decoded_and_what_the_bench_makes_of_images(lab: Laboratory, finished: RunPaths) -> None:
    pytest.importorskip("textual_image", reason="the extra [graphics] is not installed")
    run = lab.copy(finished)
    with tuiae(lab, "attach", run.id, "--graphics", pictures=True) as terminal:
        terminal.wait_for(lambda text: "output" in text and PLACEHOLDER in text, SLOW)
        terminal.send("3")
        terminal.wait_for(lambda text: "decoded here" in text and PLACEHOLDER in text and "▀" not in text, SLOW)
        terminal.send("4")
        terminal.wait_for(lambda text: "pixels wrong" in text and PLACEHOLDER in text, SLOW)
        terminal.send("q")
        assert terminal.exit_code() == 0
        assert not terminal.left_on()


BARE = TerminalMode(colors="none")


async def test_dialogs_have_a_frame_of_their_own_and_nothing_behind_them(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run, mode=BARE, root=lab.runs) as desk:
        await desk.until(lambda: desk.state == "running")
        await desk.press("e")
        screen = await desk.shows("╔═ change the training", "learning rate")
        assert "quickstart ·" not in screen
        fields = list(desk.app.screen.query(Input))
        assert all(field.styles.text_style.underline for field in fields)
        assert not any(field.styles.text_style.reverse for field in fields)
        await desk.press("escape")
        await desk.shows("quickstart ·")
