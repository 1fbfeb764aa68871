"""Works as data: their runs, claims as expressions, and the verdicts that follow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.small_work import WORK
from tuiae.config import RunConfig, build_config
from tuiae.errors import ConfigError
from tuiae.reproduce.claims import Scope, check, evaluate
from tuiae.reproduce.measures import ClaimError
from tuiae.reproduce.report import over_seeds
from tuiae.reproduce.verdicts import Outcome, Trial, judge
from tuiae.reproduce.work import find_work, list_works, load_work

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


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("final('ae', 'test/loss'", "no expression"),
        ("finl('ae', 'test/loss')", "unknown function 'finl' (did you mean 'final'?)"),
        ("final('liner', 'test/loss')", "unknown run 'liner' (did you mean 'linear'?)"),
        ("final('ae', 'test/los')", "unknown metric 'test/los' (did you mean 'test/loss'?)"),
        ("final('ae', 'test/kl')", "unknown metric 'test/kl'"),
        ("final('ae')", "final takes (run, metric)"),
        ("final(metric='test/loss', run='ae')", "final takes (run, metric)"),
        ("final(reported, 'test/loss')", "final needs the id of a run, in quotes"),
        ("at('ae', 'test/loss', 11)", "epoch 11 is after the last, 10"),
        ("measurd < 1", "unknown name 'measurd'"),
        ("final < 1", "a function needs brackets"),
        ("class_recall('ae', 'A')", "class_recall needs a run of a classifier network"),
        ("class_recall('classes', 'C')", "unknown class 'C'"),
        ("subspace_angle('ae')", "needs a run of a linear network"),
        ("prior_ratio('ae')", "needs a run of a variational network"),
        ("noise_error('ae', 'peper', 0.5, 'mse')", "unknown kind of noise 'peper'"),
        ("noise_error('ae', 'mask', 0.5, 'beauty')", "unknown quality 'beauty'"),
        ("reported.__class__", "`reported.__class__` is not allowed"),
        ("'a'.upper()", "`'a'.upper` is not allowed"),
        ("[1, 2][0]", "`[1, 2][0]` is not allowed"),
        ("[x for x in [1]]", "`[x for x in [1]]` is not allowed"),
        ("lambda: 1", "`lambda: 1` is not allowed"),
        ("9 ** 9 ** 9", "a power is not allowed"),
        ("None", "None is no number and no word"),
        ("__import__('os')", "unknown function '__import__'"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_says_why(expression: str, says: str) -> None:
    with pytest.raises(ClaimError) as error:
        check(expression, scope("measured", "reported"))
    assert says in str(error.value)


def test_an_expression_has_its_value_and_one_without_any_says_so() -> None:
    functions = {"rising": lambda values: values == sorted(values), "abs": abs}
    assert evaluate("rising([1, 2]) and abs(x - 3) < 1", functions, {"x": 2.5}) is True
    assert evaluate("'Coat' in y and not 'Bag' in y", {}, {"y": ["Coat"]}) is True
    with pytest.raises(ClaimError, match="division by zero"):
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
    with pytest.raises(ConfigError, match=r"no such work \(did you mean 'tp5-2022'\?\)"):
        find_work("tp5-2023")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('reported = "it does"', 'reportd = "it does"', "unknown key 'reportd' in claim.0 (did you mean 'reported'?)"),
        ('name = "a code of 20"', 'nme = "a code of 20"', "unknown key 'nme'"),
        ('title = "A small work"', "", "title: field required"),
        ('id = "twenty"', 'id = "two"', "two runs are called 'two'"),
        (
            'base = "characters"',
            'base = "charcters"',
            "run 'two': unknown base 'charcters' (did you mean 'characters'?)",
        ),
        ("[base.characters]", '[base.characters]\nbase = "characters"', "base 'characters' leads back to itself"),
        ("config.model.latent = 20", "config.model.latnt = 20", "run 'twenty': unknown key 'model.latnt'"),
        ('encoder = "digits"\n', 'encoder = "digit"\n', "encoder = 'digit': no such run (did you mean 'digits'?)"),
        ("final('two', 'test/loss')", "final('two', 'test/lss')", "claim 'wider': unknown metric 'test/lss'"),
        ("final('twenty', 'test/loss')", "final('twnty', 'test/loss')", "claim 'wider': unknown run 'twnty'"),
        ('holds = "end < start"', 'holds = "end < begin"', "claim 'falls': unknown name 'begin'"),
        ("confused_with('classes', '8', 2)", "confused_with('classes', 'A', 2)", "unknown class 'A'"),
        ('kind = "curves"', 'kind = "curve"', "figure.0.kind"),
        ('runs = ["classes"]', 'runs = ["digits"]', "'confusion' needs a classifier, and 'digits' is none"),
        ('ends = ["A", "B"]', "", "'ends' needs two classes"),
        ("seeds = [0, 1]", "seeds = []", "run.0.seeds"),
    ],
)
def test_a_mistake_in_a_work_is_told_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in WORK
    path = tmp_path / "mistaken.toml"
    path.write_text(WORK.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load_work(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_claims_whose_runs_share_no_seed_are_refused(tmp_path: Path) -> None:
    text = WORK.replace("seeds = [0, 1]", "seeds = [2]", 1)
    text = text.replace("final('two', 'train/loss')", "final('twenty', 'train/loss')", 1)
    path = tmp_path / "mistaken.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="claim 'falls': its runs share no seed: two, twenty"):
        load_work(path)
