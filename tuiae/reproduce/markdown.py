"""A report as Markdown: docs/reproduction.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuiae.reproduce.findings import PROVISIONAL, ClaimRow, RecipeRow, Report, WorkSection, tally

INTRODUCTION = """\
This page is what `tuiae reproduce --markdown` wrote after running the five works; `tuiae reproduce --claims` lists
the claims with the expressions that decide them, and `presets/works/` holds the works themselves. Each claim is
measured for every seed that its runs share and is *reproduced* when it holds for each of them. Where the recipe as
printed does not reach a reported figure and a named change does, both are shown and the verdict says *only with*
that change. Values over several seeds are mean ± standard deviation. *PCA* is the test error of as many principal
components as the code is wide, in the unit of the work's own error: what a useful autoencoder should beat."""


def to_markdown(report: Report) -> str:
    """The whole report; it holds no date, so that the same results give the same text."""
    blocks = ["# Reproduction", INTRODUCTION]
    if report.provisional:
        blocks.append(f"**{PROVISIONAL}**")
    blocks.append("## Where it ran")
    blocks.append(_table(("what", "value"), report.about))
    blocks.append("## In short")
    blocks.append(
        _table(
            ("work", "verdicts", "wall time"),
            ((f"[{work.name}](#{work.name})", tally(work.claims), work.wall) for work in report.works),
        )
    )
    for work in report.works:
        blocks += _work(work)
    return "\n\n".join(blocks) + "\n"


def _work(work: WorkSection) -> list[str]:
    blocks = [f"## {work.name}", f"**{_escape(work.title)}.** {_escape(work.source)}.", _escape(work.note)]
    blocks += [f"> Not everything could be run: {_escape(problem)}" for problem in work.problems]
    rows = [row for claim in work.claims for row in _claim_rows(claim)]
    heads = ("", "claim", "reported", "recipe", "measured", "verdict", "seeds", "wall time", "PCA")
    blocks.append(_table(heads, rows))
    caveats = [f"- **{claim.id}**: {_escape(claim.caveat)}" for claim in work.claims if claim.caveat]
    if caveats:
        blocks.append("\n".join(caveats))
    blocks.append(f"### Runs of {work.name}")
    columns = ("run", "what", "seeds", "epochs", "train", "test", "PCA", "wall time")
    blocks.append(
        _table(
            columns,
            ((r.id, r.what, r.seeds, r.epochs, r.train, r.test, r.baseline, r.wall) for r in work.runs),
        )
    )
    return blocks


def _claim_rows(claim: ClaimRow) -> Iterable[tuple[str, ...]]:
    """The recipe as printed, and below it each change with what came of it."""
    printed, *changes = claim.recipes
    verdict = f"{claim.mark} {claim.told}"
    yield (
        claim.id,
        claim.text,
        claim.reported,
        printed.name,
        _measured(printed),
        verdict,
        claim.seeds,
        claim.wall,
        claim.baseline,
    )
    for change in changes:
        holds = {True: "holds", False: "does not hold", None: "not run"}[change.holds]
        yield ("", "", "", f"with {change.name}", _measured(change), holds, "", "", "")


def _measured(row: RecipeRow) -> str:
    return f"{row.measured} ({row.note})" if row.note else row.measured


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_escape(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
