"""A report as a page: one HTML file with its figures, or the tables as Markdown. The words stand in `templates/`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tuiae.reproduce.report import Report
from tuiae.reproduce.verdicts import MARKS, PROVISIONAL, QUICK_MARK, VERDICTS, tally

if TYPE_CHECKING:
    from jinja2 import Environment

CLASSES = dict(zip(VERDICTS, ("yes", "with", "no", "none"), strict=True))
"""What the style sheet calls each verdict."""
COUNTS = ("No works", "One work", "Two works", "Three works", "Four works", "Five works")


def to_html(report: Report) -> str:
    """The whole report in one file: styles and figures in it, no script, and nothing that is fetched."""
    return _render("report.html.jinja", report)


def to_markdown(report: Report) -> str:
    """The report's tables; the same results give the same text."""
    return _render("report.md.jinja", report)


def _render(template: str, report: Report) -> str:
    count = len(report.works)
    return (
        _environment()
        .get_template(template)
        .render(
            report=report,
            how_many=COUNTS[count] if count < len(COUNTS) else f"{count} works",
            provisional=PROVISIONAL,
            marks=MARKS,
            quick_mark=QUICK_MARK,
            classes=CLASSES,
            tally=tally,
        )
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("tuiae.reproduce"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _as_cell
    return environment


def _as_cell(text: str) -> str:
    """Text on one line that Markdown takes as text, inside a table too."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
