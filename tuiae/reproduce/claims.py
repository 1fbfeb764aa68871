"""Claims as small expressions: names are checked before anything trains, values computed afterwards.

An expression is arithmetic, comparisons, `and`, `or`, `not`, `in`, lists, and calls of `measures.FUNCTIONS`. There are
no attributes, no subscripts, no keywords and no comprehensions, so nothing beyond these functions can be reached.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tuiae.config import NOISE_KINDS, RunConfig, did_you_mean
from tuiae.reproduce.measures import FUNCTIONS, QUALITIES, ClaimError, Value


@dataclass(frozen=True)
class Scope:
    """The runs, classes and names that an expression may use."""

    runs: Mapping[str, RunConfig]
    classes: Callable[[RunConfig], tuple[str, ...]]
    names: tuple[str, ...] = ()
    used: set[str] = field(default_factory=set)
    """Run ids that checked expressions have named."""


def metrics_of(config: RunConfig) -> tuple[str, ...]:
    """Every `split/metric` that a run with this config records; `live` begins with the first step."""
    shared = ["loss", "accuracy"]
    measured: list[str] = []
    if not config.is_classifier:
        measured = ["mse", "wrong_pixels", "wrong_pixels_max"]
    if config.model.is_variational:
        shared += ["reconstruction", "kl"]
    named = [("live", shared), ("train", shared), ("train-eval", shared + measured), ("test", shared + measured)]
    return tuple(f"{split}/{name}" for split, names in named for name in names)


def is_linear(config: RunConfig) -> bool:
    """Returns whether an autoencoder is linear from the pixels to the code and back."""
    model = config.model
    activations = {model.code_activation, model.output} | ({model.activation} if model.hidden else set())
    return model.family == "dense" and activations == {"identity"}


_NEEDS: dict[str, Callable[[RunConfig], bool]] = {
    "any": lambda config: True,
    "autoencoder": lambda config: not config.is_classifier,
    "linear": is_linear,
    "variational": lambda config: config.model.is_variational,
    "classifier": lambda config: config.is_classifier,
}


def check(expression: str, scope: Scope) -> None:
    """Refuse, with a ClaimError, an expression that could not be evaluated once its runs have finished."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ClaimError(f"`{expression}` is no expression: {getattr(error, 'msg', error)}") from error
    _check_node(tree.body, scope)


_PLAIN_NODES = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.List)
_OPERATORS: tuple[type[ast.AST], ...] = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.UAdd, ast.Not, ast.And, ast.Or),
    *(ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Load),
)


def _check_node(node: ast.AST, scope: Scope) -> None:
    if isinstance(node, ast.Call):
        _check_call(node, scope)
    elif isinstance(node, ast.Name):
        if node.id not in scope.names:
            extra = "; a function needs brackets" if node.id in FUNCTIONS else did_you_mean(node.id, list(scope.names))
            raise ClaimError(f"unknown name '{node.id}'{extra}")
    elif isinstance(node, ast.Constant):
        if not isinstance(node.value, (int, float, str)):
            raise ClaimError(f"{node.value!r} is no number and no word")
    elif isinstance(node, _PLAIN_NODES):
        for child in ast.iter_child_nodes(node):
            _check_node(child, scope)
    elif not isinstance(node, _OPERATORS):
        what = "a power" if isinstance(node, ast.Pow) else f"`{ast.unparse(node)}`"
        raise ClaimError(f"{what} is not allowed: only arithmetic, comparisons and the listed functions are")


def _check_call(node: ast.Call, scope: Scope) -> None:
    if not isinstance(node.func, ast.Name):
        _check_node(node.func, scope)
        raise ClaimError("only a function of the list can be called")
    name = node.func.id
    _need_known("function", name, tuple(FUNCTIONS), listed=False)
    function = FUNCTIONS[name]
    if node.keywords or len(node.args) != len(function.kinds):
        raise ClaimError(f"{name} takes ({function.takes})")
    configs: list[RunConfig] = []
    for kind, argument in zip(function.kinds, node.args, strict=True):
        if kind in ("run", "runs"):
            configs += _check_runs(name, argument, scope, kind)
        elif kind in _ARGUMENTS:
            _ARGUMENTS[kind](name, argument, scope, configs)
        else:
            _check_node(argument, scope)
    if not all(_NEEDS[function.needs](config) for config in configs):
        raise ClaimError(f"{name} needs a run of a {function.needs} network")


def _check_runs(name: str, argument: ast.expr, scope: Scope, kind: str) -> Iterator[RunConfig]:
    elements = argument.elts if isinstance(argument, ast.List) and kind == "runs" else [argument]
    if not elements:
        raise ClaimError(f"{name} needs the id of a run")
    for element in elements:
        run = _word(name, element, "the id of a run")
        _need_known("run", run, tuple(scope.runs), listed=False)
        scope.used.add(run)
        yield scope.runs[run]


def _check_metric(name: str, argument: ast.expr, scope: Scope, configs: list[RunConfig]) -> None:
    metric = _word(name, argument, 'a metric such as "test/loss"')
    for config in configs:
        _need_known("metric", metric, metrics_of(config))


def _check_epoch(name: str, argument: ast.expr, scope: Scope, configs: list[RunConfig]) -> None:
    if not (isinstance(argument, ast.Constant) and type(argument.value) is int and argument.value > 0):
        raise ClaimError(f"{name} needs an epoch, counted from 1")
    for config in configs:
        if argument.value > config.training.epochs:
            raise ClaimError(f"{name}: epoch {argument.value} is after the last, {config.training.epochs}")


def _check_class(name: str, argument: ast.expr, scope: Scope, configs: list[RunConfig]) -> None:
    word = _word(name, argument, "the name of a class")
    for known in map(scope.classes, configs):
        if known:
            _need_known("class", word, known, listed=False)


def _check_among(what: str, allowed: tuple[str, ...]) -> Callable[..., None]:
    return lambda name, argument, *_: _need_known(what, _word(name, argument, f"a {what}"), allowed)


_ARGUMENTS: dict[str, Callable[..., None]] = {
    "metric": _check_metric,
    "epoch": _check_epoch,
    "class": _check_class,
    "noise": _check_among("kind of noise", NOISE_KINDS),
    "quality": _check_among("quality", tuple(QUALITIES)),
}
"""What checks an argument of each kind; those of other kinds are expressions."""


def _word(name: str, argument: ast.expr, what: str) -> str:
    if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
        raise ClaimError(f"{name} needs {what}, in quotes")
    return argument.value


def _need_known(what: str, word: str, known: tuple[str, ...], listed: bool = True) -> None:
    if word not in known:
        allowed = f": allowed: {', '.join(known)}" if listed else ""
        raise ClaimError(f"unknown {what} '{word}'{did_you_mean(word, list(known))}{allowed}")


def evaluate(expression: str, functions: Mapping[str, Callable[..., Value]], names: Mapping[str, Value]) -> Value:
    """The value of a checked expression; raises ClaimError where it has none, as of a division by zero."""
    import simpleeval  # type: ignore[import-untyped]

    evaluator = simpleeval.EvalWithCompoundTypes(functions=dict(functions), names=dict(names))
    try:
        return evaluator.eval(expression)
    except (ArithmeticError, TypeError, LookupError, simpleeval.InvalidExpression) as error:
        raise ClaimError(f"`{expression}`: {error}") from error
