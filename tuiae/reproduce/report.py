"""The report of results: its rows, and the pages that show them. The text of the pages is in `templates/`."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import fmean, stdev
from typing import Any

from tuiae import __version__
from tuiae.config import RunConfig
from tuiae.errors import TuiaeError
from tuiae.machine import count_cores, processor
from tuiae.reproduce.measures import ClaimError, FinishedRun, Value
from tuiae.reproduce.reproduce import ClaimResult, WorkResult
from tuiae.reproduce.verdicts import (
    MARKS,
    MISSING,
    PROVISIONAL,
    QUICK_MARK,
    VERDICTS,
    ClaimRow,
    Outcome,
    RecipeRow,
    tally,
)
from tuiae.reproduce.work import Claim, shared_seeds

LOSS = ".4g"


@dataclass(frozen=True)
class ReportFigure:
    """One figure: self-contained markup, and a caption."""

    title: str
    svg: str
    caption: str


@dataclass(frozen=True)
class WorkSection:
    """One work, in the words of tables."""

    result: WorkResult
    claims: tuple[ClaimRow, ...]
    runs: tuple[tuple[str, ...], ...]
    """Id, description, seeds, epochs, train, test, PCA and time of each training, all seeds in one row."""
    wall: str
    pictures: tuple[ReportFigure, ...] = ()


@dataclass(frozen=True)
class Report:
    """The works of one report."""

    works: tuple[WorkSection, ...]
    about: tuple[tuple[str, str], ...]
    """Versions and machine, as name and value."""
    provisional: bool = False

    @property
    def claims(self) -> tuple[ClaimRow, ...]:
        """The claims of all works."""
        return tuple(claim for work in self.works for claim in work.claims)


def report(results: Sequence[WorkResult]) -> Report:
    """The report of several works, without their figures."""
    sections = []
    for result in results:
        claims = tuple(_claim_row(result, claim) for claim in result.claims)
        runs = tuple(_run_row(result, spec.id) for spec in result.plan.work.run)
        sections.append(WorkSection(result, claims, runs, wall(sum(run.seconds for run in result.runs.values()))))
    return Report(tuple(sections), about(), any(result.plan.quick for result in results))


def wall(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `1 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _claim_row(result: WorkResult, claim: ClaimResult) -> ClaimRow:
    spec, work = claim.claim, result.plan.work
    named = dict.fromkeys(run for runs in claim.runs for run in runs)
    done = [found for run in named for found in result.of(run)]
    seeds = shared_seeds(work, claim.runs[0]) if claim.runs[0] else ()
    return ClaimRow(
        id=spec.id,
        text=spec.text,
        reported=_reported(spec),
        recipes=tuple(_recipe_row(spec, outcome) for outcome in claim.outcomes),
        verdict=claim.verdict,
        words=f"only with {claim.change}" if claim.change else str(claim.verdict),
        seeds=_seeds(seeds) if claim.outcomes[0].ran else MISSING,
        wall=wall(sum(run.seconds for run in done)) if done else MISSING,
        baseline=_baselines(result, claim.runs[0]),
        holds=spec.holds,
        caveat=spec.caveat,
        provisional=result.plan.quick,
    )


def _reported(claim: Claim) -> str:
    if isinstance(claim.reported, dict):
        figures = claim.reported.items()
        return ", ".join(f"{_name(claim, name)} {value:{claim.format}}" for name, value in figures)
    return f"{claim.reported:g}" if isinstance(claim.reported, float) else claim.reported or MISSING


def _name(claim: Claim, name: str) -> str:
    return claim.words.get(name, name.replace("_", " "))


def _recipe_row(claim: Claim, outcome: Outcome) -> RecipeRow:
    if not outcome.ran:
        return RecipeRow(outcome.name, MISSING, None, outcome.reason)
    names = list(outcome.trials[0].values)
    parts = []
    for name in names:
        shown = over_seeds([trial.values[name] for trial in outcome.trials], claim.format)
        parts.append(shown if names == ["measured"] else f"{_name(claim, name)} {shown}")
    unit = f" {claim.unit}" if claim.unit else ""
    separator = "; " if any("," in part for part in parts) else ", "
    return RecipeRow(outcome.name, separator.join(parts) + unit, outcome.holds, outcome.agreement)


def over_seeds(values: Sequence[Value], form: str) -> str:
    """Values of several seeds as one text: numbers as mean ± standard deviation, lists element by element.

    Where one of them is infinite there is no mean: they stand beside each other, each once.
    """
    first = values[0]
    if isinstance(first, list):
        return ", ".join(over_seeds(column, form) for column in zip(*values, strict=True))
    if isinstance(first, (bool, str)):
        return " or ".join(dict.fromkeys({True: "yes", False: "no"}.get(value, str(value)) for value in values))
    if len(values) == 1 or not all(map(math.isfinite, values)):
        return " or ".join(dict.fromkeys(number(value, form) for value in values))
    return f"{number(fmean(values), form)} ± {number(stdev(values), form.lstrip('+'))}"


def number(value: float, form: str = LOSS) -> str:
    """A number by a format of Python's; `never` for one that is infinite."""
    return format(value, form) if math.isfinite(value) else "never" if value > 0 else MISSING


def _baselines(result: WorkResult, runs: Sequence[str]) -> str:
    """The PCA error of each code size among these runs, or of each run where their images differ."""
    known = {run: value for run in runs if (value := baseline(result, run)) is not None}
    same_images = len({result.plan.configs[run].data for run in known}) < 2
    found = {
        str(result.plan.configs[run].model.latent) if same_images else run: number(value)
        for run, value in known.items()
    }
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{name}: {text}" for name, text in found.items()) or MISSING


def baseline(result: WorkResult, run: str) -> float | None:
    """The PCA error beside a run of an autoencoder, or None where there is no such run or no images."""
    seed = result.plan.work.spec(run).seeds[0]
    if result.plan.configs[run].is_classifier or (run, seed) not in result.runs:
        return None
    try:
        return result.runs[run, seed].pca_error()
    except (ClaimError, TuiaeError):
        return None  # the images are gone, which the claims that need them say


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and tuple(seeds) == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}–{seeds[-1]}"
    return ", ".join(map(str, seeds))


def _run_row(result: WorkResult, run: str) -> tuple[str, ...]:
    config, spec = result.plan.configs[run], result.plan.work.spec(run)
    found, pca = result.of(run), baseline(result, run)
    return (
        run,
        describe(config, spec.encoder),
        _seeds(spec.seeds),
        f"{config.training.epochs:,}",
        _final(found, "train"),
        _final(found, "test"),
        MISSING if pca is None else number(pca),
        wall(sum(one.seconds for one in found)) if found else "not run",
    )


def _final(found: Sequence[FinishedRun], split: str) -> str:
    """The last loss of these runs, or the accuracy of classifiers."""
    values = [run.snapshot.latest(split, "accuracy" if run.config.is_classifier else "loss") for run in found]
    known = [value for value in values if value is not None]
    return over_seeds(known, LOSS) if known else MISSING


def describe(config: RunConfig, encoder: str = "") -> str:
    """A config in a line: images, network, training."""
    model, training, data = config.model, config.training, config.data
    network: str = model.words
    if model.family in ("dense", "vae"):
        network = f"{model.family} " + "-".join(map(str, (*model.hidden, model.latent, *reversed(model.hidden))))
        network += f", {model.activation}"
    if config.is_classifier:
        network += f", {model.head} head, on the encoder of {encoder}" if encoder else f", {model.head} head"
        network += ", frozen" if model.freeze else ""
    else:
        network += f", output {model.output}"
    network += f", dropout {model.dropout:g}" if model.dropout else ""
    network += " (output too)" if model.output_dropout else ""
    images = f"{data.dataset} ({len(data.classes)} classes)" if data.classes else data.dataset
    noise = f"; {config.noise.kind} noise {config.noise.level:g}" if config.noise.kind != "none" else ""
    noise += f", p = {config.noise.probability:g}" if config.noise.kind == "uniform" else ""
    loss = "cross-entropy" if config.is_classifier else training.loss
    rate = f"{training.optimizer} {training.learning_rate:g}"
    rate += f" {training.schedule}" if training.schedule != "constant" else ""
    rate += f", decay {training.weight_decay:g}" if training.weight_decay else ""
    return f"{images}{noise}; {network}; {loss}, {rate}, batch {training.batch_size}"


def about() -> tuple[tuple[str, str], ...]:
    """Versions and machine; nothing that changes from day to day."""
    return (
        ("tuiae", __version__),
        ("PyTorch", version("torch")),
        ("scikit-learn", version("scikit-learn")),
        ("Python", platform.python_version()),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", f"{processor()}, {count_cores()} cores"),
    )


# The report as a page.

CLASSES = dict(zip(VERDICTS, ("yes", "with", "no", "none"), strict=True))
"""The class of each verdict in the style sheet."""


def render(template: str, report: Any) -> str:
    """A report as one HTML file, which runs no script and fetches nothing: a Report by `report.html.jinja`, one of runs
    by `runs.html.jinja`; or the tables of a Report (`report.md.jinja`). The same results give the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("tuiae.reproduce"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _as_cell
    environment.globals |= {"provisional": PROVISIONAL, "marks": MARKS, "quick_mark": QUICK_MARK, "classes": CLASSES}
    return environment.get_template(template).render(report=report, tally=tally)


def _as_cell(text: str) -> str:
    """Text on one line that Markdown takes as text, inside a table too."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
