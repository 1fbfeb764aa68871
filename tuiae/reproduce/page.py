"""A report as one HTML file: styles, figures and words in it, no script, and nothing that is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from importlib.util import find_spec

from tuiae.errors import ConfigError
from tuiae.reproduce.findings import (
    MARKS,
    PROVISIONAL,
    QUICK_MARK,
    VERDICTS,
    ClaimRow,
    Picture,
    RecipeRow,
    Report,
    RunRow,
    WorkSection,
    tally,
)

_CLASSES = dict(zip(VERDICTS, ("yes", "with", "no", "none"), strict=True))


def to_html(report: Report) -> str:
    """The whole report; it reads in light and in dark, on paper and without colour."""
    style = resources.files("tuiae.reproduce").joinpath("report.css").read_text(encoding="utf-8")
    works = report.works
    title = f"tuiae: {', '.join(work.name for work in works)}"
    body = [_head(report), *(_work(work) for work in works), _foot(report)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Whoever changes this page later cannot make it fetch anything either.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{''.join(body)}</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    claims = tuple(claim for work in report.works for claim in work.claims)
    counts = "".join(
        f'<li class="{_CLASSES[verdict]}"><b>{sum(claim.verdict == verdict for claim in claims)}</b> '
        f"{MARKS[verdict]} {verdict}</li>"
        for verdict in VERDICTS
    )
    if report.provisional:
        counts = f'<li class="none">{QUICK_MARK} {escape(tally(claims))}</li>'
    links = "".join(
        f'<tr><td><a href="#{escape(work.name)}">{escape(work.name)}</a></td><td>{escape(work.title)}</td>'
        f"<td>{_dots(work.claims)}</td><td>{escape(work.wall)}</td></tr>"
        for work in report.works
    )
    many = f"{_count(report.works)}, claim by claim"
    warning = f'<p class="warning">{escape(PROVISIONAL)}</p>' if report.provisional else ""
    return (
        f'<header><p class="kicker">tuiae reproduce</p><h1>{escape(many)}</h1>'
        "<p class=lead>Each work was run again from its description. A claim is <em>reproduced</em> when it holds for "
        "every seed. Where the printed recipe does not reach a reported figure and a named change does, both stand "
        "here, and the verdict says <em>only with</em> that change.</p>"
        f'{warning}<ul class="counts">{counts}</ul>'
        f'<table class="works"><thead><tr><th>work</th><th>what</th><th>verdicts</th><th>training</th></tr></thead>'
        f"<tbody>{links}</tbody></table></header>\n"
    )


def _count(works: Sequence[WorkSection]) -> str:
    words = ("No works", "One work", "Two works", "Three works", "Four works", "Five works")
    return words[len(works)] if len(works) < len(words) else f"{len(works)} works"


def _class(claim: ClaimRow) -> str:
    return "none" if claim.unsure else _CLASSES[claim.verdict]


def _dots(claims: Iterable[ClaimRow]) -> str:
    return "".join(
        f'<span class="dot {_class(c)}" title="{escape(f"{c.id}: {c.told}")}">{c.mark}</span>' for c in claims
    )


def _work(work: WorkSection) -> str:
    problems = "".join(f'<p class="warning">Not everything could be run: {escape(text)}</p>' for text in work.problems)
    claims = "".join(_claim(claim) for claim in work.claims)
    pictures = "".join(_picture(picture, number) for number, picture in enumerate(work.pictures, 1))
    gallery = f'<h3>Figures</h3><div class="figures">{pictures}</div>' if pictures else ""
    return (
        f'<section id="{escape(work.name)}"><p class="kicker">{escape(work.name)}</p><h2>{escape(work.title)}</h2>'
        f'<p class="source">{escape(work.source)}</p><p class="note">{escape(work.note)}</p>{problems}'
        f'<p class="tally">{escape(tally(work.claims))}; {escape(work.wall)} of training.</p>'
        f'<div class="claims">{claims}</div>{gallery}{_runs(work.runs)}</section>\n'
    )


def _claim(claim: ClaimRow) -> str:
    facts = (
        ("reported", claim.reported),
        ("seeds", claim.seeds),
        ("wall time", claim.wall),
        ("PCA at the same code size", claim.baseline),
    )
    listed = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    recipes = "".join(_recipe(recipe) for recipe in claim.recipes)
    caveat = f'<p class="caveat">{escape(claim.caveat)}</p>' if claim.caveat else ""
    return (
        f'<article class="claim {_class(claim)}"><div class="verdict">'
        f'<span class="badge">{claim.mark} {escape(claim.told)}</span></div>'
        f'<h4><span class="number">{escape(claim.id)}</span> {escape(claim.text)}</h4><dl>{listed}</dl>'
        f'<table class="recipes"><thead><tr><th>recipe</th><th>measured</th><th>holds</th></tr></thead>'
        f"<tbody>{recipes}</tbody></table>{caveat}"
        f"<p class=condition>holds when <code>{escape(claim.holds)}</code></p></article>"
    )


_HOLDS = {True: ("yes", "✓ yes"), False: ("no", "✗ no"), None: ("none", "– not run")}


def _recipe(recipe: RecipeRow) -> str:
    kind, word = _HOLDS[recipe.holds]
    note = f'<span class="agree">{escape(recipe.note)}</span>' if recipe.note else ""
    return (
        f"<tr><td>{escape(recipe.name)}</td><td>{escape(recipe.measured)}</td>"
        f'<td class="{kind}"><span class="word">{word}</span>{note}</td></tr>'
    )


def _picture(picture: Picture, number: int) -> str:
    svg = picture.svg.replace("<svg ", f'<svg aria-label="{escape(picture.title)}" ', 1)
    return (
        f'<figure><div class="canvas">{svg}</div><figcaption><b>{number}. {escape(picture.title)}.</b> '
        f"{escape(picture.caption)}</figcaption></figure>"
    )


def _runs(runs: Iterable[RunRow]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(run.id)}</code></td><td>{escape(run.what)}</td>"
        + "".join(
            f"<td>{escape(cell)}</td>" for cell in (run.seeds, run.epochs, run.train, run.test, run.baseline, run.wall)
        )
        + "</tr>"
        for run in runs
    )
    heads = "".join(f"<th>{head}</th>" for head in ("run", "what", "seeds", "epochs", "train", "test", "PCA", "time"))
    return (
        f'<details><summary>Every run of this work</summary><div class="scroll"><table class="runs"><thead><tr>{heads}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
        "<p class=caveat>Train and test are the last loss, or the accuracy of a classifier: mean ± standard deviation "
        "over seeds. Train is measured while training, with dropout on.</p></details>"
    )


def _foot(report: Report) -> str:
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in report.about)
    return f"<footer><dl>{facts}</dl></footer>\n"


# Libraries that only some results need.

FIGURES_NEED = "the figures of a report need matplotlib"


def need(module: str, what: str) -> None:
    """Say before anything starts that a library is missing.

    Raises:
        ConfigError: `what`, and how to install it.
    """
    if find_spec(module) is None:
        raise ConfigError(what, "pip install 'tuiae[studies]'")
