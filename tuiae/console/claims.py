"""`tuiae reproduce --claims`: what the works claim and how that is measured, without torch and without running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuiae.console.output import Output
from tuiae.studies.claims import FUNCTIONS
from tuiae.studies.work_plan import Plan, make_plan
from tuiae.studies.works import measures, reported_names


def list_claims(paths: Sequence[Path], output: Output) -> None:
    """What each work claims and how it is measured; trains nothing.

    Raises:
        ConfigError: a work's file is wrong.
    """
    plans = [make_plan(path) for path in paths]
    if output.json:
        output.document([_claims_document(plan) for plan in plans])
        return
    for plan in plans:
        output.line(f"{plan.name}  {plan.work.title}", "bold")
        for claim in plan.work.claim:
            output.line(f"  {claim.id}  {claim.text}")
            figures = ", ".join(f"{name} = {value}" for name, value in reported_names(claim).items())
            output.line(f"      {figures}", "dim")
            recipes = [(claim.recipe, claim.measure), *((f"with {c.name}", c.measure) for c in claim.change)]
            for name, measure in recipes:
                for variable, expression in measures(measure).items():
                    output.line(f"      {name}: {variable} = {expression}", "dim")
            output.line(f"      holds: {claim.holds}  ({claim.require} seed)", "dim")
        output.line()
    output.line("functions", "bold")
    for name, signature in FUNCTIONS.items():
        output.line(f"  {name}({', '.join(signature.kinds)})  {signature.gives}", "dim")


def _claims_document(plan: Plan) -> dict[str, Any]:
    claims = [claim.model_dump(mode="json") for claim in plan.work.claim]
    return {"work": plan.name, "title": plan.work.title, "claims": claims, "trainings": len(plan.jobs)}
