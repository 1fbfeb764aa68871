"""What a work takes to run: its seeds and epochs settled, and a job for each training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuiae.config import RunConfig
from tuiae.studies.plan import Job
from tuiae.studies.works import RunSpec, Work, load_work, run_configs

TAG = "work:"


@dataclass(frozen=True)
class Plan:
    """A work with its seeds and epochs settled, and the trainings that it takes."""

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


def make_plan(path: Path, quick: bool = False, seeds: int = 0) -> Plan:
    """Read a work and settle its seeds: the file's own, the first `seeds` numbers, or one under `quick`.

    Raises:
        ConfigError: the file, a config in it or a claim is wrong; nothing was started.
    """
    work = load_work(path)
    specs = tuple(spec.model_copy(update={"seeds": _seeds(spec, quick, seeds)}) for spec in work.run)
    work = work.model_copy(update={"run": specs})
    configs = run_configs(work, path)
    if quick:
        configs = {spec.id: _cut(configs[spec.id], spec.quick) for spec in specs}
    return Plan(path, work, configs, tuple(_jobs(work, configs)), quick)


def _seeds(spec: RunSpec, quick: bool, seeds: int) -> tuple[int, ...]:
    if seeds:
        return tuple(range(seeds))
    return spec.seeds[:1] if quick else spec.seeds


def _cut(config: RunConfig, epochs: int) -> RunConfig:
    epochs = min(epochs, config.training.epochs)
    every = min(config.training.evaluate_every, max(1, epochs // 2))
    return _with_training(config, epochs=epochs, evaluate_every=every)


def _with_training(config: RunConfig, **values: int) -> RunConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=values)})


def _jobs(work: Work, configs: dict[str, RunConfig]) -> Sequence[Job]:
    # Encoders first: a job may only wait for an earlier one.
    specs = sorted(work.run, key=lambda spec: bool(spec.encoder))
    jobs = []
    for spec in specs:
        for seed in spec.seeds:
            source = work.spec(spec.encoder).seeds if spec.encoder else ()
            encoder = label(spec.encoder, seed if seed in source else source[0]) if source else ""
            jobs.append(Job(label(spec.id, seed), _with_training(configs[spec.id], seed=seed), encoder))
    return jobs


def label(run: str, seed: int) -> str:
    return f"{run} seed={seed}"
