"""What happened and what a worker printed, as one log."""

from __future__ import annotations

from tuiae.render.log import log_lines
from tuiae.runs.snapshot import Note


def note(text: str, epoch: float | None = None, kind: str = "command") -> Note:
    return Note(0.0, kind, text, epoch)


def told(*lines: str) -> str:
    return " ".join(line.rpartition(" ")[2] if not line.startswith("epoch") else line[6:7] for line in lines)


def epochs(*numbers: int) -> list[str]:
    return [f"epoch {number}/9 · train 0.1 · test 0.1 · 0.02 s" for number in numbers]


def test_a_pause_stands_behind_the_epochs_before_it() -> None:
    notes = [note("began", 0.0, "start"), note("paused", 2.0), note("resumed", 2.0), note("ended", 4.0, "end")]
    assert told(*log_lines(notes, ["preparing", *epochs(1, 2, 3, 4)])) == "began preparing 1 2 paused resumed 3 4 ended"
    assert told(*log_lines(notes[1:2], epochs(1, 2))) == "1 2 paused"


def test_what_comes_without_an_epoch_stands_where_it_was_seen() -> None:
    assert told(*log_lines([note("old")], [*epochs(1), "x"])) == "old 1 x"
    assert told(*log_lines([note("ended", None, "end")], [*epochs(1), "x"])) == "1 x ended"
    assert log_lines([], ["a", "b"]) == ["a", "b"]
    assert told(*log_lines([note("alone", 3.0)], [])) == "alone"


def test_a_worker_that_goes_on_from_a_checkpoint_prints_its_epochs_again() -> None:
    notes = [note("paused", 3.0), note("stopped", 3.5, "end"), note("again", 2.0, "start"), note("late", 3.2)]
    assert told(*log_lines(notes, epochs(1, 2, 3, 3, 4))) == "1 2 3 paused stopped again 3 late 4"
