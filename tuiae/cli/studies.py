"""Commands about several runs at once."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tuiae.cli.app import Json, Plain, Run, app, find, output_of


@app.command(short_help="Lay runs beside each other: curves, values, pictures.")
def compare(
    context: typer.Context,
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Ids, their beginnings, or paths.")] = None,
    tag: Annotated[str, typer.Option(metavar="TAG", help="And every run that carries this tag.")] = "",
    metric: Annotated[
        str, typer.Option(help="What to compare: loss, accuracy, or another that the runs have.")
    ] = "loss",
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Lay runs beside each other: curves, final and best values, spread over seeds, what differs, the same images."""
    from tuiae.cli.compare import compare_runs
    from tuiae.runs.paths import runs_dir

    compare_runs([find(run) for run in runs or []], runs_dir(), tag, metric, output_of(context.obj, json, plain))


@app.command(short_help="Train a preset with every combination of values in a file.")
def sweep(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A sweep file, or the name of one that came with tuiae.")],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Trainings at once; they share the cores.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and list its runs; train nothing.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Train a preset with every combination of values in a file; the same command again does what is missing."""
    from tuiae.cli.sweep import sweep_file
    from tuiae.runs.paths import runs_dir
    from tuiae.studies.sweep import find_sweep

    output = output_of(context.obj, json, plain)
    raise typer.Exit(sweep_file(find_sweep(file), runs_dir(), jobs, output, dry_run=dry_run))


@app.command(short_help="Run what published works ran, and judge their claims.")
def reproduce(
    context: typer.Context,
    work: Annotated[str | None, typer.Argument(metavar="WORK", help="A work's name or file; without it, all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few epochs, one seed: verdicts are provisional.")] = False,
    claims: Annotated[bool, typer.Option("--claims", help="List the claims and how they are measured.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Seeds of every run, instead of its own.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Trainings at once; they share the cores.")] = 1,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Where the report goes.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the tables as Markdown too.")] = None,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Run what published works ran, and say claim by claim what came out; the same command goes on where it stopped."""
    from tuiae.reproduce.work import find_work, list_works
    from tuiae.runs.paths import runs_dir

    paths = [find_work(name) for name in ([work] if work else list_works())]
    output = output_of(context.obj, json, plain)
    if claims:
        from tuiae.cli.reproduce import list_claims

        list_claims(paths, output)
        return
    from tuiae.cli.reproduce import Wishes, reproduce_works

    raise typer.Exit(reproduce_works(paths, runs_dir(), Wishes(quick, seeds or 0, jobs, report, markdown), output))


class _OptionalNumbers(TyperCommand):
    """`--plane` and `--samples` stand alone or before a number; Click has no such option."""

    USUAL = {"--plane": "8", "--samples": "16"}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the usual number where none was given."""
        filled: list[str] = []
        for word, following in zip_longest(args, args[1:], fillvalue=""):
            filled.append(word)
            if word in self.USUAL and not following.isdecimal():
                filled.append(self.USUAL[word])
        return super().parse_args(ctx, filled)


@app.command(cls=_OptionalNumbers, short_help="Show a run's code: a map, what its plane decodes to.")
def explore(
    context: typer.Context,
    run: Run = "last",
    codes: Annotated[bool, typer.Option("--codes", help="The test images on the plane of their codes.")] = False,
    plane: Annotated[
        int | None, typer.Option(min=2, max=64, metavar="[N]", help="N x N images decoded from the plane of codes.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="[N]", help="N images decoded from draws of the prior.")
    ] = None,
    between: Annotated[
        str | None, typer.Option(metavar="A,B", help="From one test image to another: positions, or class names.")
    ] = None,
    dims: Annotated[str | None, typer.Option(metavar="I,J", help="Numbers of the code that the map shows.")] = None,
    weights: Annotated[str, typer.Option(help="last, best, or a step that was kept.")] = "last",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the draws from the prior.")] = 0,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters.")] = False,
    json: Json = False,
    plain: Plain = False,
) -> None:
    """Show a run's code: a map, what its plane and its prior decode to, and the way between two images."""
    from tuiae.cli.explore import Request, explore_run

    request = Request(codes, plane, samples, between, dims, weights, device, seed, ascii_only)
    explore_run(find(run), request, output_of(context.obj, json, plain))
