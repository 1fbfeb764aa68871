"""The open run on images that one chooses or draws."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tuiae.runs.snapshot import Sample, Snapshot
from tuiae.ui.keys import BENCH
from tuiae.ui.screens.base import RunScreen


class BenchScreen(RunScreen):
    """Images through the network."""

    NAME = "bench"
    BINDINGS = [key.binding for key in BENCH]

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            yield Static("no run is open: 1 lists them")

    def run_changed(self, snapshot: Snapshot, sample: Sample | None) -> None:
        pass

    def action_back(self) -> None:
        """Back to the open run."""
        self.app.switch_mode("live")
