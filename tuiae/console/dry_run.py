"""`tuiae run --dry-run`: what a run would cost."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from tuiae.config import RunConfig
from tuiae.console.output import Output
from tuiae.console.training import make_ready
from tuiae.runs.process import StandbyWorker
from tuiae.ui.render.preflight import cost_facts


def show_cost(config: RunConfig, root: Path, output: Output) -> None:
    """Try a few steps in a worker's environment, and show what they cost; no run is made.

    Raises:
        TuiaeError: what the run would fail with.
    """
    config = make_ready(config, root, output)
    # A process like the run's own: its threads and its allocator are set where it starts, and a batch that takes all
    # memory takes it and not this one.
    worker = StandbyWorker()
    try:
        cost = worker.dry_run(config, root)
    finally:
        worker.dismiss()
        worker.process.wait()
    if output.json:
        output.document({"name": config.name, "dataset": config.data.dataset, **cost})
        return
    output.line(f"{config.name} on {config.data.dataset}: a dry run, nothing is kept", "bold")
    for label, value, style in cost_facts(cost):
        output.line(Text(f"{label:<12}", "dim").append(value, style))
