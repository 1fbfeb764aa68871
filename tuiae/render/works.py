"""The works: a line for each, their claims with verdicts, and their trainings. Functions of a state and a width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from tuiae.config import counted
from tuiae.render import palette
from tuiae.render.status import state_text
from tuiae.render.table import draw_table, filled
from tuiae.render.text import (
    MISSING,
    clean,
    duration,
    figure,
    fitted,
    join_lines,
    number,
    of_epochs,
    progress_bar,
    shorten,
    wrap,
    wrapped,
)
from tuiae.reproduce.state import Expected, PlannedRun, WorkState
from tuiae.reproduce.verdicts import MARKS, QUICK_MARK, VERDICTS, ClaimRow, RecipeRow, Verdict
from tuiae.reproduce.work import MissingSet
from tuiae.runs.snapshot import Status, ago

COLORS = dict(zip(VERDICTS, (palette.GREEN, palette.YELLOW, palette.VERMILLION, palette.GREY), strict=True))
HOLDS = {True: ("✓", palette.GREEN), False: ("✗", palette.VERMILLION), None: ("–", palette.GREY)}
_BRIEFLY = dict(zip(VERDICTS, ("holds", "if changed", "fails", "not run"), strict=True))
LEGEND = " ".join(f"{MARKS[verdict]} {word}" for verdict, word in _BRIEFLY.items())
"""The meaning of the signs of `work_line`, for a narrow frame."""
INDENT = 6  # cells before what belongs to a claim
_TALLY = 16  # cells of `✓6  ◐1  ✗4  –0  `
_LABEL = 10  # cells of `reported  `
MOST_WORDS = 400  # of what a work said last
LONGEST_BAR = 30  # cells
LEAST_NAME = 17  # cells of the name of a training


def work_line(state: WorkState, width: int) -> Text:
    """`● tp5-2022   ✓6 ◐1 ✗4 –0`: whether it runs, its name, and how its claims came out."""
    tally = tally_text(state)
    sign = Text("● " if state.running else "  ", palette.GREEN)
    free = max(width - tally.cell_len - 4, 4)
    name = fitted(shorten(state.name, free - 1), free)
    return Text(end="", no_wrap=True).append_text(sign).append(name).append_text(tally)


def tally_text(state: WorkState) -> Text:
    """The number of claims of each verdict behind its sign; after a quick try only that fact."""
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
    """A work's title and source, its progress, what it lacks, its verdicts, and when it was judged."""
    if state is None or width <= 0 or height <= 0:
        return Text(end="")
    if state.problem:
        return join_lines(wrapped(clean(state.problem), width, palette.BAD, height))
    lines = [*wrapped(clean(state.title), width, "bold"), *wrapped(clean(state.source), width, "dim")]
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
    share = state.done / len(state.runs) if state.runs else 0.0
    lines = [*wrapped(done_words(state), width), progress_bar(share, min(width, LONGEST_BAR))]
    process = state.process
    if state.running and process is not None:
        what = "a quick try" if process.quick else "the whole work"
        lines += wrapped(f"● {what} has been running for {ago(now - process.since)}", width, palette.GREEN)
    elif state.full.missing:
        lines.append(Text(shorten(f"r runs the rest: {expected_words(state.full)}", width), "dim"))
    if state.last_words:
        # They may hold a command to copy: its end is not to be lost.
        said = clean(state.last_words, MOST_WORDS)
        lines += [Text(line, "dim") for line in wrap(said, width, hyphens=False)]
    return lines


def done_words(state: WorkState) -> str:
    """`3 of 14 trainings done`, and how many of the others had a quick try, which counts for nothing."""
    words = f"{state.done} of {len(state.runs)} trainings done"
    return f"{words}, {state.tried} tried" if state.tried else words


def _lacking(lacking: MissingSet, width: int) -> list[Text]:
    """The sets that are missing, and the commands that bring them, each on one line."""
    words = wrapped(f"✗ {missing_words((lacking,))}", width, palette.CAUTION)
    return [*words, *(Text(shorten(f"  {command}", width)) for command in lacking.commands)]


def missing_words(lacks: Sequence[MissingSet]) -> str:
    """`mnist is not on this machine`."""
    if lacks and lacks[0].problem:
        return clean(lacks[0].problem)
    names = " and ".join(clean(lacking.name) for lacking in lacks)
    return f"{names} {'is' if len(lacks) == 1 else 'are'} not on this machine"


def expected_words(expected: Expected) -> str:
    """`about 0:42`, what it took elsewhere, or that nobody knows."""
    if not expected.missing:
        return "nothing is left to train"
    if expected.seconds is None and expected.elsewhere is not None:
        return f"{duration(expected.elsewhere)} on two cores"
    if expected.seconds is None:
        return "its time is not known yet"
    return f"about {duration(max(expected.seconds, 1.0))}"


def _judged(state: WorkState, width: int, now: float) -> list[Text]:
    verdicts = state.verdicts
    if verdicts is None:
        return wrapped("not judged yet: r runs what is missing and judges", width, "dim")
    cautions = [clean(problem) for problem in verdicts.problems]
    if verdicts.quick:
        cautions.insert(0, "Provisional: a quick try says nothing about the work.")
    elif state.done > verdicts.runs:
        cautions.insert(0, "runs have finished since: r judges again")
    lines = wrapped(f"judged {ago(max(0.0, now - verdicts.time))} ago by {counted(verdicts.runs, 'run')}", width, "dim")
    return [*lines, *(line for caution in cautions for line in wrapped(caution, width, palette.CAUTION))]


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
    head = Text(f"{claim.mark} {fitted(clean(claim.id, INDENT - 3), INDENT - 2)}", f"bold {color}", end="")
    first, *more = wrap(clean(claim.text), width - INDENT) or [""]
    lines = [Text().append_text(head).append(first, "bold"), *(Text(" " * INDENT + line, "bold") for line in more)]
    lines += _field("verdict", clean(claim.verdict_text), width, color)
    lines += _field("reported", clean(claim.reported), width)
    measured = [recipe for recipe in claim.recipes if recipe.measured != MISSING or recipe.note]
    for place, recipe in enumerate(measured):
        lines += _recipe("measured" if not place else "", recipe, width, claim.is_provisional)
    if claim.seeds != MISSING:
        lines += _field("", f"seeds {claim.seeds}, {claim.wall}", width, "dim")
    return lines


def _recipe(name: str, recipe: RecipeRow, width: int, unsure: bool) -> list[Text]:
    sign, color = HOLDS[recipe.holds]
    note = f" ({clean(recipe.note)})" if recipe.note else ""
    lines = _field(name, f"{sign} {clean(recipe.name)}: {clean(recipe.measured)}{note}", width)
    lines[0].stylize(palette.GREY if unsure else color, INDENT + _LABEL, INDENT + _LABEL + 1)
    return lines


def _field(name: str, words: str, width: int, style: str = "") -> list[Text]:
    lines = []
    for part in wrapped(words, width - INDENT - _LABEL, style) or [Text()]:
        lines.append(Text(end="").append(" " * INDENT + f"{name:<{_LABEL}}", "dim").append_text(part))
        name = ""
    return lines


def draw_trainings(runs: Sequence[PlannedRun], width: int) -> list[Text]:
    """The names of columns, then a line for each training of a work: its name there, and how its run stands."""
    statuses = [run.row.status if run.row is not None else None for run in runs]

    def cells(words: Callable[[Status], str], style: str = "") -> Iterator[Text]:
        return (Text(words(status) if status is not None else "", style) for status in statuses)

    labels = (Text(clean(run.label)) for run in runs)
    columns = [
        filled("training", labels, right=False, least=LEAST_NAME, names=True),
        filled("state", map(_state, runs), right=False, rank=1),
        filled("epoch", cells(lambda status: of_epochs(status.epoch, status.epochs)), rank=2),
        filled("test loss", cells(lambda status: number(status.test_loss)), rank=3),
        filled("accuracy", cells(lambda status: figure("accuracy", status.test_accuracy)), rank=4),
        filled("time", cells(lambda status: duration(status.elapsed), "dim"), rank=5),
    ]
    head, *lines = draw_table(columns, width - 1)
    return [Text(f" {head.plain}"), *(Text(" ").append_text(line) for line in lines)]


def _state(run: PlannedRun) -> Text:
    if run.row is None:
        return Text("· not run", "dim")
    return state_text(run.row.status.state).append(" (quick)" if run.quick else "")
