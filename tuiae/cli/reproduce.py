"""`tuiae reproduce`: running the works, and saying which of their claims came out."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from tuiae.cli.output import Output, dataset_progress, study_progress
from tuiae.cli.torchrun import refuse_torchrun
from tuiae.errors import ConfigError, ExitCode, TuiaeError
from tuiae.files import make_directory, replace_text
from tuiae.machine import AUTO
from tuiae.render.text import MISSING
from tuiae.reproduce.measures import FUNCTIONS
from tuiae.reproduce.report import Report, WorkSection, render, report
from tuiae.reproduce.reproduce import WorkResult, prepare_sets, reproduce
from tuiae.reproduce.verdicts import MARKS, PROVISIONAL, RecipeRow, Verdicts, tally, write_verdicts
from tuiae.reproduce.work import WorkPlan, find_work, list_works, make_plan
from tuiae.runs.paths import REPORTS, runs_dir
from tuiae.studies.places import HERE, Resources, Wish, place_of

FIGURES_NEED = ("matplotlib", "the figures of a report need matplotlib")
STYLES = dict(zip(MARKS, ("green", "yellow", "red", "dim"), strict=True))
HOLDS = {True: "✓", False: "✗", None: MISSING}


def reproduce_works(
    work: str | None,
    output: Output,
    *,
    quick: bool = False,
    seeds: int = 0,
    jobs: int = AUTO,
    html: Path | None = None,
    markdown: Path | None = None,
    wish: Wish = HERE,
) -> ExitCode:
    """Run a work, or all of them one after the other, then print the table and write the reports.

    A verdict is never a failure.

    Raises:
        ConfigError: no such work, its file is wrong, or a library of the report is missing; nothing was started.
    """
    refuse_torchrun("reproduce")
    root, plans = runs_dir(), [make_plan(path, quick, seeds) for path in _find_works(work)]
    _check_ready(html, markdown)
    if quick:
        output.note(PROVISIONAL, "yellow")
    try:
        findings = report([_run(plan, root, jobs, output, wish) for plan in plans])
        return _conclude(findings, root, html, markdown, output)
    except KeyboardInterrupt:
        output.note(f"stopped and saved; the same command goes on: tuiae {' '.join(sys.argv[1:])}", "yellow")
        return ExitCode.STOPPED


def _find_works(work: str | None) -> list[Path]:
    return [find_work(name) for name in ([work] if work else list_works())]


def _check_ready(html: Path | None, markdown: Path | None) -> None:
    """Check, before a long run begins, what its end will need.

    Raises:
        ConfigError: a library is missing, or a report could not be written.
    """
    _need("sklearn", "the PCA baseline needs scikit-learn")
    if html is not None:
        _need(*FIGURES_NEED)
    for path in filter(None, (html, markdown)):
        folder = path.absolute().parent
        if not folder.is_dir():
            raise ConfigError(f"{path}: there is no folder {folder}", "make it first")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} exists and is not a file", "name a file, in that folder perhaps")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"{path}: no permission to write to {folder}", "name a file somewhere else")


def _need(module: str, what: str) -> None:
    """Raise ConfigError where a library is missing: `what` needs it, and how to install it."""
    if find_spec(module) is None:
        raise ConfigError(what, "pip install 'tuiae[studies]'")


def _run(plan: WorkPlan, root: Path, jobs: int, output: Output, wish: Wish) -> WorkResult:
    output.note(f"{plan.name}: {len(plan.jobs)} trainings; list them with `tuiae runs --tag {plan.tag}`")
    # One after the other: two displays that redraw themselves take the same lines of a terminal.
    with dataset_progress(output) as progress:
        lacking, warnings = prepare_sets(plan, root, progress)
    output.warn(warnings)
    wanted = [job for job in plan.jobs if job.config.data.dataset not in lacking]
    where = place_of(wish, Resources(), root, plan.tag, jobs, wanted)
    with where as place, study_progress(output) as tell:
        return reproduce(plan, root, lacking, jobs, tell, place)


def _conclude(findings: Report, root: Path, html: Path | None, markdown: Path | None, output: Output) -> ExitCode:
    """Show the results, then write them, which may fail on a full disk."""
    if not output.json:
        for work in findings.works:
            _show(work, output)
        if findings.provisional:
            output.line(PROVISIONAL, "yellow")
    try:
        written = _write_reports(findings, root, html, markdown, output)
    except TuiaeError as error:
        if not output.json:
            raise
        # stdout has room for one document.
        output.document({**_document(findings, None), **error.document()})
        for line in error.lines():
            output.note(line)
        return error.exit_code
    if output.json:
        output.document(_document(findings, written))
    if written is not None:
        output.note(f"report: {written}")
    return ExitCode.OK


def _write_reports(
    findings: Report, root: Path, html: Path | None, markdown: Path | None, output: Output
) -> Path | None:
    """Write the verdicts for the dashboard, then the reports; returns the path of the one with figures.

    Without matplotlib there is none, and a sentence says so.
    """
    for work in findings.works:
        result = work.result
        found = Verdicts(
            result.plan.name, result.plan.quick, time.time(), len(result.runs), work.claims, result.problems
        )
        write_verdicts(root, found)
    if markdown is not None:
        _write(markdown, render("report.md.jinja", findings))
        output.note(f"table: {markdown}")
    try:
        _need(*FIGURES_NEED)
    except ConfigError as error:
        output.note(f"no HTML report: {error.cause}; {error.hint}", "yellow")
        return None
    from tuiae.reproduce.illustrate import illustrate

    output.note("drawing the figures")
    drawn = tuple(replace(work, pictures=illustrate(work.result, output.note)) for work in findings.works)
    name = findings.works[0].result.plan.name if len(findings.works) == 1 else "works"
    path = html or root / REPORTS / f"{name}.html"
    _write(path, render("report.html.jinja", replace(findings, works=drawn)))
    return path


def _write(path: Path, text: str) -> None:
    try:
        make_directory(path.parent)
        replace_text(path, text)
    except OSError as error:
        hint = "give the same command again: it trains nothing twice"
        raise ConfigError(f"cannot write {path}: {error.strerror or error}", hint) from error


def _show(work: WorkSection, output: Output) -> None:
    output.line()
    plan = work.result.plan
    output.line(f"{plan.name}  {plan.work.title}", "bold")
    output.line(f"{plan.work.source}; {tally(work.claims)}; {work.wall} of training", "dim")
    for problem in work.result.problems:
        output.line(f"not everything could be run: {problem}", "yellow")
    if output.shows_pictures:
        output.people.print(_table(work))
        return
    # In a pipe a table as wide as its longest cell helps nobody: every claim and every recipe is a line of its own.
    for claim in work.claims:
        output.line(f"{claim.id}  {claim.mark} {claim.verdict_text}: {claim.text}")
        cost = f"seeds {claim.seeds}; wall time {claim.wall}"
        output.line(f"    reported {claim.reported}; {cost}; PCA {claim.baseline}")
        for recipe in claim.recipes:
            output.line(f"    {_recipe(recipe)}")


def _recipe(recipe: RecipeRow, alone: bool = False) -> str:
    """What a recipe measured; unless it stands `alone`, with its name and whether the claim holds under it."""
    measured = f"{recipe.measured} ({recipe.note})" if recipe.note else recipe.measured
    return measured if alone else f"{HOLDS[recipe.holds]} {recipe.name}: {measured}"


def _table(work: WorkSection) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    for head, ratio in (("", 1), ("claim", 8), ("reported", 4), ("measured", 10), ("verdict", 5), ("PCA", 3)):
        table.add_column(head, ratio=ratio, overflow="fold")
    for claim in work.claims:
        alone = len(claim.recipes) == 1 and claim.recipes[0].holds is not None
        measured = Text("\n".join(_recipe(recipe, alone) for recipe in claim.recipes))
        verdict = Text(f"{claim.mark} {claim.verdict_text}", "dim" if claim.is_provisional else STYLES[claim.verdict])
        verdict.append(f"\nseeds {claim.seeds}, {claim.wall}", "dim")
        table.add_row(claim.id, claim.text, claim.reported, measured, verdict, claim.baseline)
    return table


def _document(findings: Report, html: Path | None) -> dict[str, Any]:
    return {
        "provisional": findings.provisional,
        "about": dict(findings.about),
        "report": None if html is None else str(html),
        "works": [_work(work) for work in findings.works],
    }


def _work(work: WorkSection) -> dict[str, Any]:
    result, claims = work.result, []
    for found, row in zip(result.claims, work.claims, strict=True):
        recipes = [
            {
                "name": outcome.name,
                "holds": outcome.holds if outcome.ran else None,
                "reason": outcome.reason or None,
                "seeds": [vars(trial) for trial in outcome.trials],
            }
            for outcome in found.outcomes
        ]
        claims.append(
            {
                "id": row.id,
                "text": row.text,
                "reported": found.claim.reported,
                "verdict": row.verdict,
                "change": found.change or None,
                "pca": row.baseline,
                "wall_time": row.wall,
                "recipes": recipes,
            }
        )
    runs = [{"run": run.run.id, "id": key[0], "seed": key[1]} for key, run in result.runs.items()]
    about = {"work": result.plan.name, "title": result.plan.work.title, "problems": list(result.problems)}
    return {**about, "claims": claims, "runs": runs}


# `tuiae reproduce --claims`: what the works claim and how that is measured, without torch and without running it.


def list_claims(work: str | None, output: Output) -> None:
    """Print what a work claims, or what all of them do, and how that is measured; trains nothing.

    Raises:
        ConfigError: no such work, or its file is wrong.
    """
    plans = [make_plan(path) for path in _find_works(work)]
    if output.json:
        output.document(
            [
                {
                    "work": plan.name,
                    "title": plan.work.title,
                    "claims": [claim.model_dump(mode="json") for claim in plan.work.claim],
                    "trainings": len(plan.jobs),
                }
                for plan in plans
            ]
        )
        return
    for plan in plans:
        output.line(f"{plan.name}  {plan.work.title}", "bold")
        for claim in plan.work.claim:
            output.line(f"  {claim.id}  {claim.text}")
            figures = ", ".join(f"{name} = {value}" for name, value in claim.reported_names.items())
            output.line(f"      {figures}", "dim")
            for index, recipe in enumerate(claim.recipes):
                name = f"with {recipe.name}" if index else recipe.name
                for variable, expression in recipe.measures.items():
                    output.line(f"      {name}: {variable} = {expression}", "dim")
            output.line(f"      holds: {claim.holds}  ({claim.require} seed)", "dim")
        output.line()
    output.line("functions", "bold")
    for name, function in FUNCTIONS.items():
        output.line(f"  {name}({function.takes})  {function.gives}", "dim")
