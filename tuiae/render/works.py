"""The works: a line for each, their claims with verdicts, and their trainings. Functions of a state and a width."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.status import state_text
from tuiae.render.text import MISSING, ago, clean, duration, figure, join_lines, number, of_epochs, shorten
from tuiae.reproduce.state import Expected, PlannedRun, WorkState
from tuiae.reproduce.verdicts import MARKS, QUICK_MARK, VERDICTS, ClaimRow, RecipeRow, Verdict
from tuiae.reproduce.work import MissingSet

COLORS = dict(zip(VERDICTS, (palette.GREEN, palette.YELLOW, palette.VERMILLION, palette.GREY), strict=True))
HOLDS = {True: ("✓", palette.GREEN), False: ("✗", palette.VERMILLION), None: ("–", palette.GREY)}
_BRIEFLY = dict(zip(VERDICTS, ("holds", "if changed", "fails", "not run"), strict=True))
LEGEND = " ".join(f"{MARKS[verdict]} {word}" for verdict, word in _BRIEFLY.items())
"""What the signs of `work_line` count, for a narrow frame."""
INDENT = 6  # cells before what belongs to a claim
_TALLY = 16  # cells of `✓6  ◐1  ✗4  –0  `
_LABEL = 10  # cells of `reported  `
MOST_WORDS = 400  # of what a work said last


def work_line(state: WorkState, width: int) -> Text:
    """`● tp5-2022   ✓6 ◐1 ✗4 –0`: whether it runs, its name, and how its claims came out."""
    tally = tally_text(state)
    sign = Text("● " if state.running else "  ", palette.GREEN)
    name = shorten(state.name, max(width - tally.cell_len - 4, 4))
    room = " " * max(width - cell_len(name) - tally.cell_len - 4, 1)
    return Text(end="", no_wrap=True).append_text(sign).append(name).append(room).append_text(tally)


def tally_text(state: WorkState) -> Text:
    """How many claims came to each verdict, by their signs; nothing of the kind after a quick try."""
    text = Text(end="")
    if state.problem:
        return text.append("✗ its file is wrong", palette.BAD)
    if state.provisional:
        return text.append(f"{QUICK_MARK} quick try".ljust(_TALLY), palette.CAUTION)
    for verdict in VERDICTS:
        found = state.count(verdict)
        text.append(f"{MARKS[verdict]}{found:<2}", COLORS[verdict] if found else "dim").append(" ")
    return text


def draw_about(state: WorkState | None, width: int, height: int, now: float) -> Text:
    """What a work is, how far it is, and what its signs mean."""
    if state is None or width <= 0 or height <= 0:
        return Text(end="")
    if state.problem:
        return join_lines([Text(line, palette.BAD) for line in wrap(clean(state.problem), width)][:height])
    lines = [Text(line, "bold") for line in wrap(clean(state.title), width)]
    lines += [Text(line, "dim") for line in wrap(clean(state.source), width)]
    lines += [Text(), *_progress(state, width, now), Text()]
    for lacking in state.lacks:
        lines += [*_lacking(lacking, width), Text()]
    if state.verdicts is not None:
        lines += [_count(state, verdict) for verdict in VERDICTS] + [Text()]
    lines += _judged(state, width, now)
    return join_lines(lines[:height])


def _count(state: WorkState, verdict: Verdict) -> Text:
    found = state.count(verdict)
    if state.provisional and verdict is not Verdict.NOT_RUN:
        return Text(f"{QUICK_MARK} {found:>2} {verdict} (quick)", palette.CAUTION if found else "dim")
    return Text(f"{MARKS[verdict]} {found:>2} {verdict}", COLORS[verdict] if found else "dim")


def _progress(state: WorkState, width: int, now: float) -> list[Text]:
    total = len(state.runs)
    filled = round(min(1.0, state.done / total) * min(width, 30)) if total else 0
    bar = Text().append("━" * filled, palette.SKY).append("━" * (min(width, 30) - filled), "dim")
    lines = [*(Text(line) for line in wrap(done_words(state), width)), bar]
    process = state.process
    if state.running and process is not None:
        what = "a quick try" if process.quick else "the whole work"
        words = f"● {what} has been running for {ago(now - process.since)}"
        lines += [Text(line, palette.GREEN) for line in wrap(words, width)]
    elif state.full.missing:
        lines.append(Text(shorten(f"r runs the rest: {expected_words(state.full)}", width), "dim"))
    if state.last_words:
        # They may hold a command to copy: its end is not to be lost.
        said = clean(state.last_words, MOST_WORDS)
        lines += [Text(line, "dim") for line in wrap(said, width, break_on_hyphens=False)]
    return lines


def done_words(state: WorkState) -> str:
    """`3 of 14 trainings done`, and how many of the others had a quick try, which counts for nothing."""
    words = f"{state.done} of {len(state.runs)} trainings done"
    return f"{words}, {state.tried} tried" if state.tried else words


def _lacking(lacking: MissingSet, width: int) -> list[Text]:
    """What is not here, and what to type; a command keeps its line."""
    words = [Text(line, palette.CAUTION) for line in wrap(f"✗ {missing_words((lacking,))}", width)]
    return [*words, *(Text(shorten(f"  {command}", width)) for command in lacking.commands)]


def missing_words(lacks: Sequence[MissingSet]) -> str:
    """`mnist is not on this machine`."""
    if lacks and lacks[0].problem:
        return clean(lacks[0].problem)
    names = " and ".join(clean(lacking.name) for lacking in lacks)
    return f"{names} {'is' if len(lacks) == 1 else 'are'} not on this machine"


def expected_words(expected: Expected) -> str:
    """`about 0:42`, or that nobody knows."""
    if not expected.missing:
        return "nothing is left to train"
    if expected.seconds is None:
        return "its time is not known yet"
    return f"about {duration(max(expected.seconds, 1.0))}"


def _judged(state: WorkState, width: int, now: float) -> list[Text]:
    verdicts = state.verdicts
    if verdicts is None:
        return [Text(line, "dim") for line in wrap("not judged yet: r runs what is missing and judges", width)]
    words = f"judged {ago(max(0.0, now - verdicts.time))} ago by {verdicts.runs} runs"
    lines = [Text(line, "dim") for line in wrap(words, width)]
    if verdicts.quick:
        provisional = "Provisional: a quick try says nothing about the work."
        lines += [Text(line, palette.CAUTION) for line in wrap(provisional, width)]
    elif state.done > verdicts.runs:
        lines += [Text(line, palette.CAUTION) for line in wrap("runs have finished since: r judges again", width)]
    for problem in verdicts.problems:
        lines += [Text(line, palette.CAUTION) for line in wrap(clean(problem), width)]
    return lines


def draw_claims(state: WorkState | None, width: int) -> Text:
    """Every claim: its verdict, what the work reports, and what each recipe of it came to."""
    if state is None or width <= INDENT + _LABEL:
        return Text(end="")
    lines: list[Text] = []
    for claim in state.claims:
        lines += [*_claim(claim, width), Text()]
    return join_lines(lines[:-1])


def _claim(claim: ClaimRow, width: int) -> list[Text]:
    color = palette.CAUTION if claim.is_provisional else COLORS[claim.verdict]
    head = Text().append(f"{claim.mark} ", f"bold {color}")
    head.append(f"{clean(claim.id, INDENT - 3):<{INDENT - 2}}", f"bold {color}")
    first, *more = wrap(clean(claim.text), width - INDENT) or [""]
    lines = [head.append(first, "bold"), *(Text(" " * INDENT + line, "bold") for line in more)]
    lines += _field("verdict", clean(claim.verdict_text), width, color)
    lines += _field("reported", clean(claim.reported), width)
    measured = [recipe for recipe in claim.recipes if recipe.measured != MISSING or recipe.note]
    for place, recipe in enumerate(measured):
        lines += _recipe("measured" if not place else "", recipe, width, claim.is_provisional)
    seeds = f"seeds {claim.seeds}, {claim.wall}" if claim.seeds != MISSING else ""
    return [*lines, *(_field("", seeds, width, "dim") if seeds else [])]


def _recipe(name: str, recipe: RecipeRow, width: int, unsure: bool) -> list[Text]:
    sign, color = HOLDS[recipe.holds]
    note = f" ({clean(recipe.note)})" if recipe.note else ""
    lines = _field(name, f"{sign} {clean(recipe.name)}: {clean(recipe.measured)}{note}", width)
    lines[0].stylize(palette.GREY if unsure else color, INDENT + _LABEL, INDENT + _LABEL + 1)
    return lines


def _field(name: str, words: str, width: int, style: str = "") -> list[Text]:
    parts = wrap(words, width - INDENT - _LABEL) or [""]
    lines = []
    for place, part in enumerate(parts):
        head = Text(" " * INDENT + f"{name if not place else '':<{_LABEL}}", "dim")
        lines.append(Text(end="").append_text(head).append(part, style))
    return lines


MOST_NAME = 40
_STATE, _TRIED = 11, 18  # cells of a state, and of one with ` (quick)` behind it
_RUN_WIDTHS = (11, 11, 9, 8)


def runs_header(width: int, tried: bool = False) -> Text:
    """The names above `planned_line`; `tried` where one of the trainings had a quick try."""
    names = ("state", "epoch", "test loss", "accuracy", "time")
    return _cells("training", [(name, "") for name in names], width, tried)


def planned_line(run: PlannedRun, width: int, tried: bool = False) -> Text:
    """One training of a work: its name there, and how its run stands; `tried` as in `runs_header`."""
    if run.row is None:
        return _cells(run.label, [("· not run", "dim"), *[("", "")] * 4], width, tried)
    status = run.row.status
    state = state_text(status.state)
    figures = (
        of_epochs(status.epoch, status.epochs),
        number(status.test_loss),
        figure("accuracy", status.test_accuracy),
    )
    cells = [(f"{state.plain}{' (quick)' if run.quick else ''}", str(state.style)), *((word, "") for word in figures)]
    return _cells(run.label, [*cells, (duration(status.elapsed), "dim")], width, tried)


def _cells(name: str, cells: Sequence[tuple[str, str]], width: int, tried: bool) -> Text:
    """The name takes what is left; where that is too little, the last cells go."""
    # Of all lines alike, or the columns would not stand below each other.
    widths = [_TRIED if tried else _STATE, *_RUN_WIDTHS]
    while cells and width - sum(widths[: len(cells)]) - 2 * len(cells) < 18:
        cells = cells[:-1]
    room = min(width - sum(widths[: len(cells)]) - 2 * len(cells) - 1, MOST_NAME)
    name = shorten(clean(name), room)
    line = Text(" ", end="", no_wrap=True).append(name + " " * (room - cell_len(name)))
    for place, (words, style) in enumerate(cells):
        words, size = shorten(words, widths[place]), widths[place]
        pad = " " * (size - cell_len(words))
        line.append("  ")
        line.append(words + pad, style) if place == 0 else line.append(pad + words, style)
    return line
