"""`tuiae reproduce`: running the works, and saying which of their claims came out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tuiae.cli.commands import Jobs, Json, Plain, new_app
from tuiae.cli.output import Output, dataset_progress, study_progress
from tuiae.errors import ConfigError, ExitCode, TuiaeError
from tuiae.files import replace_text
from tuiae.render.text import MISSING
from tuiae.reproduce.measures import FUNCTIONS
from tuiae.reproduce.report import Report, WorkSection, render, report
from tuiae.reproduce.reproduce import WorkResult, prepare_sets
from tuiae.reproduce.reproduce import reproduce as reproduce_work
from tuiae.reproduce.verdicts import MARKS, PROVISIONAL, ClaimRow, RecipeRow, Verdicts, tally, write_verdicts
from tuiae.reproduce.work import WorkPlan, find_work, list_works, make_plan
from tuiae.runs.paths import REPORTS, runs_dir

FIGURES_NEED = "the figures of a report need matplotlib"
STYLES = dict(zip(MARKS, ("green", "yellow", "red", "dim"), strict=True))
HOLDS = {True: "✓", False: "✗", None: MISSING}

app = new_app()


@app.command()
def reproduce(
    context: typer.Context,
    work: Annotated[str | None, typer.Argument(metavar="WORK", help="A work's name or file; without it, all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few epochs, one seed: verdicts are provisional.")] = False,
    claims: Annotated[bool, typer.Option("--claims", help="List the claims and how they are measured.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Train every run with this many seeds.")] = None,
    jobs: Jobs = 1,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write the report here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the tables as Markdown too.")] = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Run what published works ran, and judge claim by claim; the same command again goes on where it stopped."""
    paths = [find_work(name) for name in ([work] if work else list_works())]
    output = Output.of(context, json, plain)
    if claims:
        list_claims(paths, output)
        return
    options = ReproduceOptions(quick, seeds or 0, jobs, report, markdown)
    raise typer.Exit(reproduce_works(paths, runs_dir(), options, output))


@dataclass(frozen=True)
class ReproduceOptions:
    """The options of the command line."""

    quick: bool = False
    seeds: int = 0
    jobs: int = 1
    html: Path | None = None
    markdown: Path | None = None


def reproduce_works(paths: Sequence[Path], root: Path, options: ReproduceOptions, output: Output) -> ExitCode:
    """Run the works one after the other, then print the table and write the reports. A verdict is never a failure.

    Raises:
        ConfigError: a work's file is wrong, or a library of the report is missing; nothing was started.
    """
    plans = [make_plan(path, options.quick, options.seeds) for path in paths]
    _check_ready(options)
    if options.quick:
        output.note(PROVISIONAL, "yellow")
    try:
        results = [_run(plan, root, options, output) for plan in plans]
        return _conclude(results, root, options, output)
    except KeyboardInterrupt:
        output.note(f"stopped and saved; the same command goes on: tuiae {' '.join(sys.argv[1:])}", "yellow")
        return ExitCode.STOPPED


def _run(plan: WorkPlan, root: Path, options: ReproduceOptions, output: Output) -> WorkResult:
    output.note(f"{plan.name}: {len(plan.jobs)} trainings; list them with `tuiae runs --tag {plan.tag}`")
    # One after the other: two displays that redraw themselves take the same lines of a terminal.
    with dataset_progress(output) as progress:
        lacking = prepare_sets(plan, progress)
    with study_progress(output) as tell:
        return reproduce_work(plan, root, lacking, options.jobs, tell)


def _check_ready(options: ReproduceOptions) -> None:
    """Check, before a long run begins, what its end will need."""
    _need("sklearn", "the PCA baseline needs scikit-learn")
    if options.html is not None:
        _need("matplotlib", FIGURES_NEED)
    for path in filter(None, (options.html, options.markdown)):
        _check_writable(path)


def _need(module: str, what: str) -> None:
    """Say before anything starts that a library is missing.

    Raises:
        ConfigError: `what`, and how to install it.
    """
    if find_spec(module) is None:
        raise ConfigError(what, "pip install 'tuiae[studies]'")


def _check_writable(path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"{path}: there is no folder {folder}", "make it first")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} exists and is not a file", "name a file, in that folder perhaps")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{path}: no permission to write to {folder}", "name a file somewhere else")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror or error}", "give the same command again: it trains nothing twice"
        ) from error


def _conclude(results: Sequence[WorkResult], root: Path, options: ReproduceOptions, output: Output) -> ExitCode:
    """Show the results, then write them, which may fail on a full disk."""
    findings = report(results)
    if not output.json:
        for work in findings.works:
            _show(work, output)
        if findings.provisional:
            output.line(PROVISIONAL, "yellow")
    try:
        written = _write_all(findings, root, options, output)
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


def _write_all(findings: Report, root: Path, options: ReproduceOptions, output: Output) -> Path | None:
    """Write the verdicts for the dashboard, then the reports; returns the path of the one with figures, if any."""
    for work in findings.works:
        name, runs, problems = work.result.plan.name, len(work.result.runs), work.result.problems
        write_verdicts(root, Verdicts(name, options.quick, time.time(), runs, work.claims, problems))
    if options.markdown is not None:
        _write(options.markdown, render("report.md.jinja", findings))
        output.note(f"table: {options.markdown}")
    return _write_html(findings, root, options, output)


def _write_html(findings: Report, root: Path, options: ReproduceOptions, output: Output) -> Path | None:
    """The report with its figures; without matplotlib there is none, and a sentence says so."""
    try:
        _need("matplotlib", FIGURES_NEED)
    except ConfigError as error:
        output.note(f"no HTML report: {error.cause}; {error.hint}", "yellow")
        return None
    from tuiae.reproduce.illustrate import illustrate

    output.note("drawing the figures")
    drawn = tuple(replace(work, pictures=illustrate(work.result, output.note)) for work in findings.works)
    page = render("report.html.jinja", replace(findings, works=drawn))
    names = [work.result.plan.name for work in findings.works]
    path = options.html or root / REPORTS / f"{names[0] if len(names) == 1 else 'works'}.html"
    _write(path, page)
    return path


def _show(work: WorkSection, output: Output) -> None:
    output.line()
    plan = work.result.plan
    output.line(f"{plan.name}  {plan.work.title}", "bold")
    output.line(f"{plan.work.source}; {tally(work.claims)}; {work.wall} of training", "dim")
    for problem in work.result.problems:
        output.line(f"not everything could be run: {problem}", "yellow")
    # In a pipe a table as wide as its longest cell helps nobody: every claim and every recipe is a line of its own.
    if not output.shows_pictures:
        for claim in work.claims:
            for line in plain_lines(claim):
                output.line(line)
        return
    output.people.print(_table(work))


def plain_lines(claim: ClaimRow) -> list[str]:
    """A claim as lines for `grep`: the claim with its verdict, then one line a recipe."""
    lines = [f"{claim.id}  {claim.mark} {claim.verdict_text}: {claim.text}"]
    lines.append(f"    reported {claim.reported}; seeds {claim.seeds}; wall time {claim.wall}; PCA {claim.baseline}")
    lines += [f"    {_recipe(recipe)}" for recipe in claim.recipes]
    return lines


def _recipe(recipe: RecipeRow) -> str:
    return f"{HOLDS[recipe.holds]} {recipe.name}: {_measured(recipe)}"


def _measured(recipe: RecipeRow) -> str:
    return f"{recipe.measured} ({recipe.note})" if recipe.note else recipe.measured


def _table(work: WorkSection) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    for head, ratio in (("", 1), ("claim", 8), ("reported", 4), ("measured", 10), ("verdict", 5), ("PCA", 3)):
        table.add_column(head, ratio=ratio, overflow="fold")
    for claim in work.claims:
        alone = len(claim.recipes) == 1 and claim.recipes[0].holds is not None
        measured = Text("\n".join(_measured(recipe) if alone else _recipe(recipe) for recipe in claim.recipes))
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
                "seeds": [
                    {"seed": trial.seed, "holds": trial.holds, "values": dict(trial.values)} for trial in outcome.trials
                ],
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


def list_claims(paths: Sequence[Path], output: Output) -> None:
    """Print what each work claims and how that is measured; trains nothing.

    Raises:
        ConfigError: a work's file is wrong.
    """
    plans = [make_plan(path) for path in paths]
    if output.json:
        output.document([_claims_document(plan) for plan in plans])
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


def _claims_document(plan: WorkPlan) -> dict[str, Any]:
    claims = [claim.model_dump(mode="json") for claim in plan.work.claim]
    return {"work": plan.name, "title": plan.work.title, "claims": claims, "trainings": len(plan.jobs)}
