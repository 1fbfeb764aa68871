"""The works as data: `presets/works/<name>.toml`, its schema, and all checks that need no training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tuiae.config import RunConfig, build_config, did_you_mean, read_document
from tuiae.config.presets import find_packaged, find_preset, packaged
from tuiae.data.registry import DOWNLOADS, commands_for, describe
from tuiae.errors import ConfigError, TuiaeError, in_plain_words
from tuiae.reproduce.claims import Scope, check
from tuiae.reproduce.measures import ClaimError
from tuiae.studies.jobs import Job

FigureKind = Literal[
    "curves", "images", "untrained", "noise", "codes", "between", "code-grid", "prior", "confusion", "seeds"
]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,23}$")]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class WorkTable(BaseModel):
    """A frozen table that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunSpec(WorkTable):
    """One training of a work, repeated for each seed."""

    id: Id
    label: str = ""
    """Its name in figures; the id when empty."""
    base: str = ""
    """A [base.NAME] table of the file to start from."""
    preset: str = ""
    """A preset to start from."""
    config: dict[str, Any] = {}
    """Settings of this run alone, on top of base and preset."""
    encoder: str = ""
    """The run whose trained encoder this classifier starts from."""
    seeds: Seeds = (0,)
    """The work's own where a run names none."""
    quick: int = Field(default=1, ge=1)
    """Epochs under --quick."""


class Recipe(WorkTable):
    """One way of measuring a claim: as the work prints it, or with a named change."""

    name: str
    measure: str | dict[str, str]
    """One expression, called `measured`, or several by name."""
    holds: str = ""
    """Of a change: the claim's own when empty."""

    @property
    def measures(self) -> dict[str, str]:
        """Name -> expression."""
        return {"measured": self.measure} if isinstance(self.measure, str) else self.measure


class Claim(WorkTable):
    """A sentence of the work, what it reports, and how that is measured here."""

    id: Id
    text: str
    reported: float | str | dict[str, float] = ""
    measure: str | dict[str, str]
    holds: str
    require: Literal["every", "any"] = "every"
    """How many of the seeds have to agree."""
    words: dict[str, str] = {}
    """Plainer names in tables for measures and reported figures."""
    recipe: str = "as printed"
    format: str = ".4g"
    unit: str = ""
    change: tuple[Recipe, ...] = ()
    caveat: str = ""

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The printed recipe, then each change."""
        printed = Recipe(name=self.recipe, measure=self.measure, holds=self.holds)
        return (printed, *(c if c.holds else c.model_copy(update={"holds": self.holds}) for c in self.change))

    @property
    def reported_names(self) -> dict[str, float | str]:
        """The reported figures by their names in `holds`: `reported`, or `reported_NAME` for each of several."""
        if isinstance(self.reported, dict):
            return {f"reported_{name}": value for name, value in self.reported.items()}
        return {"reported": self.reported}


class FigureSpec(WorkTable):
    """A figure that the work shows."""

    kind: FigureKind
    title: str
    runs: tuple[str, ...] = Field(min_length=1)
    caption: str = ""
    metric: tuple[str, ...] = ("loss",)
    """curves, seeds: which of the run's metrics."""
    log: bool = False
    """curves, seeds: a logarithmic axis."""
    count: int = Field(default=10, ge=1, le=100)
    """images, noise, prior, between: how many."""
    noise: str = "salt-pepper"
    levels: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    ends: tuple[str, ...] = ()
    """between: the two classes to walk between, by name."""


class Work(WorkTable):
    """One work, complete."""

    title: str
    source: str
    note: str = ""
    base: dict[str, dict[str, Any]] = {}
    seeds: Seeds = (0,)
    """Of every run that names none of its own."""
    run: tuple[RunSpec, ...] = Field(min_length=1)
    claim: tuple[Claim, ...] = ()
    figure: tuple[FigureSpec, ...] = ()
    hours: float | None = Field(default=None, gt=0)
    """How long its trainings took on two cores of a server, two at a time; for whoever has timed none of them yet."""

    @model_validator(mode="before")
    @classmethod
    def _share_seeds(cls, document: dict[str, Any]) -> dict[str, Any]:
        runs = document.get("run")
        if "seeds" not in document or not isinstance(runs, list):
            return document
        own = {"seeds": document["seeds"]}
        return document | {"run": [own | run if isinstance(run, dict) else run for run in runs]}

    def spec(self, run: str) -> RunSpec:
        return next(spec for spec in self.run if spec.id == run)


list_works = partial(packaged, "work")
find_work = partial(find_packaged, "work")


def load_work(path: Path) -> Work:
    """Read and check a work's file; raises ConfigError, which names the claim, run or figure that is wrong."""
    document = read_document(path, "work")
    try:
        work = Work.model_validate(document)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_reason(item)}" for item in error.errors(include_url=False))) from error
    for what, found in (("run", work.run), ("claim", work.claim)):
        doubles = [name for name, count in Counter(item.id for item in found).items() if count > 1]
        if doubles:
            raise ConfigError(f"{path}: two {what}s are called '{doubles[0]}'", "give each its own id")
    configs = run_configs(work, path)
    for spec in work.run:
        where = f"{path}: run '{spec.id}': encoder = '{spec.encoder}'"
        if spec.encoder and spec.encoder not in configs:
            raise ConfigError(f"{where}: no such run{did_you_mean(spec.encoder, list(configs))}")
        if spec.encoder and (not configs[spec.id].is_classifier or configs[spec.encoder].is_classifier):
            raise ConfigError(f"{where}: a classifier takes its encoder from an autoencoder")
    for claim in work.claim:
        claim_runs(work, claim, configs, path)
    for figure in work.figure:
        _check_figure(figure, configs, path)
    return work


def run_configs(work: Work, path: Path) -> dict[str, RunConfig]:
    """The config of each run by its id, with the first of its seeds; raises ConfigError."""
    configs = {}
    for spec in work.run:
        where = f"{path}: run '{spec.id}'"
        document = _resolve(work, spec.base, spec.preset, spec.config, where, ())
        name = f"{path.stem}-{spec.id}".replace(".", "_")[:48]
        document = _merge(document, {"name": name, "training": {"seed": spec.seeds[0]}})
        document.setdefault("training", {}).setdefault("precision", "float32")  # as printed, on every machine
        configs[spec.id] = build_config(document, source=where)
    return configs


def _resolve(
    work: Work, base: str, preset: str, own: dict[str, Any], where: str, seen: tuple[str, ...]
) -> dict[str, Any]:
    if base in seen:
        raise ConfigError(f"{where}: base '{base}' leads back to itself", "take one of the `base` keys out")
    start = read_document(find_preset(preset)) if preset else {}
    if base:
        if base not in work.base:
            raise ConfigError(f"{where}: unknown base '{base}'{did_you_mean(base, list(work.base))}")
        table = dict(work.base[base])
        under, first = str(table.pop("base", "")), str(table.pop("preset", ""))
        start = _merge(start, _resolve(work, under, first, table, where, (*seen, base)))
    return _merge(start, own)


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def classes_of(config: RunConfig) -> tuple[str, ...]:
    """Names of the classes that a run has."""
    return config.data.classes or describe(config.data.dataset).classes


def claim_runs(work: Work, claim: Claim, configs: dict[str, RunConfig], path: Path) -> list[tuple[str, ...]]:
    """The runs that each recipe of a claim measures, the printed one first; checks every expression.

    Raises:
        ConfigError: an expression that cannot be evaluated, or runs that share no seed.
    """
    found = []
    for recipe in claim.recipes:
        scope = Scope(configs, classes_of)
        names = (*recipe.measures, *claim.reported_names)
        try:
            for expression in recipe.measures.values():
                check(expression, scope)
            check(recipe.holds, Scope(configs, classes_of, names, scope.used))
        except ClaimError as error:
            raise ConfigError(
                f"{path}: claim '{claim.id}': {error}", "`tuiae reproduce --claims` lists the functions"
            ) from error
        runs = tuple(spec.id for spec in work.run if spec.id in scope.used)
        if runs and not shared_seeds(work, runs):
            raise ConfigError(f"{path}: claim '{claim.id}': its runs share no seed: {', '.join(runs)}")
        found.append(runs)
    return found


def shared_seeds(work: Work, runs: tuple[str, ...]) -> tuple[int, ...]:
    """The seeds under which every one of these runs is trained, in order."""
    return tuple(sorted(set.intersection(*(set(work.spec(run).seeds) for run in runs))))


_FIGURE_NEEDS = {
    **dict.fromkeys(("images", "untrained", "noise", "between", "code-grid", "prior"), "autoencoder"),
    "confusion": "classifier",
}


def _check_figure(figure: FigureSpec, configs: dict[str, RunConfig], path: Path) -> None:
    where = f"{path}: figure '{figure.title}'"
    for run in figure.runs:
        if run not in configs:
            raise ConfigError(f"{where}: unknown run '{run}'{did_you_mean(run, list(configs))}")
        config, need = configs[run], _FIGURE_NEEDS.get(figure.kind, "")
        if need and config.is_classifier != (need == "classifier"):
            article = "an" if need.startswith("a") else "a"
            raise ConfigError(f"{where}: '{figure.kind}' needs {article} {need}, and '{run}' is none")
        if figure.kind in ("codes", "code-grid") and config.model.latent != 2:
            raise ConfigError(
                f"{where}: a plane of codes needs model.latent = 2, and '{run}' has {config.model.latent}"
            )
    if figure.kind == "between" and len(figure.ends) != 2:
        raise ConfigError(f"{where}: 'ends' needs two classes")


_TABLES: dict[str, type[WorkTable]] = {"": Work, "run": RunSpec, "claim": Claim, "change": Recipe, "figure": FigureSpec}


def _reason(item: Any) -> str:
    """One mistake in the file in words; names the table by its id where it has one."""
    *place, key = [str(part) for part in item["loc"] if part != "str"]
    where = ".".join(place)
    if item["type"] == "extra_forbidden":
        known = list(_TABLES["change" if "change" in place else place[0] if place else ""].model_fields)
        return f"unknown key '{key}'{f' in {where}' if where else ''}{did_you_mean(key, known)}"
    return f"{'.'.join([*place, key])}: {in_plain_words(item['msg'])}"


# Datasets that a work still needs.


@dataclass(frozen=True)
class MissingSet:
    """A dataset that is not on this machine."""

    name: str
    commands: tuple[str, ...]
    """Commands that bring it here."""
    problem: str = ""
    """Why nothing is known of it, in a sentence, where that is so."""

    @property
    def can_be_fetched(self) -> bool:
        """Whether the work downloads it by itself, given a network."""
        return self.name in DOWNLOADS and not self.problem


def missing_sets(names: Iterable[str]) -> tuple[MissingSet, ...]:
    """The datasets that are neither embedded nor prepared; reads only manifests."""
    found = []
    for name in dict.fromkeys(names):
        try:
            ready, problem = describe(name).ready, ""
        except TuiaeError as error:
            ready, problem = False, str(error)
        if not ready:
            found.append(MissingSet(name, commands_for(name), problem))
    return tuple(found)


# The plan of a work: its seeds and epochs settled, and a job for each training.

TAG = "work:"


@dataclass(frozen=True)
class WorkPlan:
    """A work with its seeds and epochs settled, and its trainings."""

    path: Path
    work: Work
    configs: dict[str, RunConfig]
    jobs: tuple[Job, ...]
    quick: bool = False

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def tag(self) -> str:
        return TAG + self.name


def make_plan(path: Path, quick: bool = False, seeds: int = 0) -> WorkPlan:
    """Read a work and settle its seeds: the file's own, the first `seeds` numbers, or one under `quick`."""
    work = load_work(path)
    specs = []
    for spec in work.run:
        chosen = tuple(range(seeds)) if seeds else spec.seeds[:1] if quick else spec.seeds
        specs.append(spec.model_copy(update={"seeds": chosen}))
    work = work.model_copy(update={"run": tuple(specs)})
    configs = run_configs(work, path)
    jobs = []
    for spec in sorted(specs, key=lambda spec: bool(spec.encoder)):  # a job may only wait for an earlier one
        if quick:
            training = configs[spec.id].training
            epochs = min(spec.quick, training.epochs)
            every = min(training.evaluate_every, max(1, epochs // 2))
            configs[spec.id] = _with_training(configs[spec.id], epochs=epochs, evaluate_every=every)
        source = work.spec(spec.encoder).seeds if spec.encoder else ()
        for seed in spec.seeds:
            encoder = label(spec.encoder, seed if seed in source else source[0]) if source else ""
            jobs.append(Job(label(spec.id, seed), _with_training(configs[spec.id], seed=seed), encoder))
    return WorkPlan(path, work, configs, tuple(jobs), quick)


def _with_training(config: RunConfig, **values: int) -> RunConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=values)})


def label(run: str, seed: int) -> str:
    return f"{run} seed={seed}"
