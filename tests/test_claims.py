"""Works as data: their runs, claims as expressions, and the verdicts that follow."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tuiae.config import RunConfig, build_config
from tuiae.errors import ConfigError
from tuiae.reproduce.claims import Scope, check, evaluate
from tuiae.reproduce.measures import ClaimError
from tuiae.reproduce.report import over_seeds
from tuiae.reproduce.verdicts import Outcome, Trial, judge
from tuiae.reproduce.work import Work, claim_runs, find_work, list_works, load_work, run_configs, shared_seeds

WORKS = ("andruskiewitsch-2020", "magallanes-2022", "pacheco-2023", "politano-2020", "tp5-2022")


def config_of(**model: Any) -> RunConfig:
    return build_config({"data": {"dataset": "glyphs"}, "model": model, "training": {"epochs": 10}})


RUNS = {
    "ae": config_of(latent=2),
    "linear": config_of(latent=2, code_activation="identity", output="identity"),
    "classes": config_of(family="classifier", encoder="dense"),
    "vae": config_of(family="vae", latent=2),
}


def scope(*names: str) -> Scope:
    return Scope(RUNS, lambda config: ("A", "B"), names)


@pytest.mark.parametrize(
    "expression",
    [
        "final('ae', 'test/loss') / 2 + 1 < 3 and not rising([1, 2])",
        "falling(finals(['ae', 'linear'], 'train/loss'))",
        "at('ae', 'test/wrong_pixels_max', 10) <= reported",
        "subspace_angle('linear') < 1",
        "first('vae', 'live/kl') < 0.5",
        "'A' in confused_with('classes', 'B', 1)",
        "noise_error('ae', 'salt-pepper', 0.5, 'exact')",
    ],
)
def test_expressions_that_can_be_evaluated_pass(expression: str) -> None:
    check(expression, scope("reported"))


def test_an_expression_has_its_value_and_one_without_any_says_so() -> None:
    functions = {"rising": lambda values: values == sorted(values), "abs": abs}
    assert evaluate("rising([1, 2]) and abs(x - 3) < 1", functions, {"x": 2.5}) is True
    assert evaluate("'Coat' in y and not 'Bag' in y", {}, {"y": ["Coat"]}) is True
    with pytest.raises(ClaimError):
        evaluate("1 / x", {}, {"x": 0})


def outcome(*holds: bool, name: str = "as printed", required: str = "every") -> Outcome:
    return Outcome(name, tuple(Trial(seed, {}, held) for seed, held in enumerate(holds)), required)


NOT_RUN = Outcome("as printed", (), reason="no images")


@pytest.mark.parametrize(
    ("outcomes", "verdict", "change"),
    [
        ((outcome(True, True),), "reproduced", ""),
        ((outcome(True, False),), "not reproduced", ""),
        ((outcome(True, False, required="any"),), "reproduced", ""),
        ((outcome(False), outcome(False, name="x"), outcome(True, name="Adam")), "only with a change", "Adam"),
        ((outcome(True), outcome(False, name="Adam")), "reproduced", ""),
        ((outcome(False), outcome(True, False, name="Adam")), "not reproduced", ""),
        ((NOT_RUN,), "not run", ""),
        ((NOT_RUN, outcome(True, name="Adam")), "not run", ""),
    ],
)
def test_the_verdict_follows_from_what_held(outcomes: tuple[Outcome, ...], verdict: str, change: str) -> None:
    assert judge(outcomes) == (verdict, change)


def test_seeds_that_disagree_are_named() -> None:
    assert outcome(True, False, True).agreement == "2 of 3 seeds (not 1)"
    assert outcome(False, False).agreement == "0 of 2 seeds"
    assert outcome(True).agreement == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([12.0, 14.0], "13 ± 1.414"),
        ([12.0], "12"),
        ([12.0, math.inf], "12 or never"),
        ([math.inf, math.inf], "never"),
        ([[12.0, 3.0], [math.inf, 3.0]], "12 or never, 3 ± 0"),
        ([True, False], "yes or no"),
    ],
    ids=str,
)
def test_seeds_are_told_as_one_even_where_one_of_them_never_came_there(values: list[Any], words: str) -> None:
    assert over_seeds(values, ".4g") == words


@pytest.mark.parametrize("name", WORKS)
def test_the_works_that_come_along_can_be_run_and_judged(name: str) -> None:
    work = load_work(find_work(name))
    assert work.claim
    assert work.figure


def test_these_are_the_five_works() -> None:
    assert tuple(list_works()) == WORKS
    with pytest.raises(ConfigError, match="tp5-2022"):
        find_work("tp5-2023")


def test_a_run_has_the_seeds_of_its_work_or_its_own() -> None:
    runs = [{"id": "small"}, {"id": "large", "seeds": [7]}]
    work = Work.model_validate({"title": "A work", "source": "Nowhere", "seeds": [0, 1], "run": runs})
    assert [run.seeds for run in work.run] == [(0, 1), (7,)]


@pytest.mark.parametrize("name", WORKS)
def test_no_claim_rests_on_one_seed(name: str) -> None:
    path = find_work(name)
    work = load_work(path)
    configs = run_configs(work, path)
    for claim in work.claim:
        for runs in claim_runs(work, claim, configs, path):
            seeds = 2 if name == "magallanes-2022" else 3  # whose four networks train for 400 epochs each
            assert not runs or len(shared_seeds(work, runs)) >= seeds, f"{claim.id}: {runs}"
