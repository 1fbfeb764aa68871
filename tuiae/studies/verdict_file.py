"""What the works came to, written down: `reports/WORK.json` beside the runs, for whoever has no torch to judge with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tuiae.errors import UnknownRunError
from tuiae.export.findings import ClaimRow
from tuiae.files import replace_file
from tuiae.runs.layout import REPORTS


@dataclass(frozen=True)
class Verdicts:
    """The claims of one work as they were judged; `quick` ones say nothing about the work."""

    work: str
    quick: bool
    time: float
    runs: int
    """How many finished runs they were judged by."""
    claims: tuple[ClaimRow, ...]
    problems: tuple[str, ...] = ()


def verdict_path(root: Path, work: str, quick: bool) -> Path:
    return root / REPORTS / f"{work}{'.quick' if quick else ''}.json"


def write_verdicts(root: Path, verdicts: Verdicts) -> None:
    """Put them where `read_verdicts` looks.

    Raises:
        UnknownRunError: the runs directory cannot be written.
    """
    path = verdict_path(root, verdicts.work, verdicts.quick)
    content = _adapter().dump_json(verdicts, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda file: file.write(content + b"\n"))
    except OSError as error:
        raise UnknownRunError(
            f"cannot write {path}: {error.strerror or error}", "point TUIAE_RUNS_DIR at a directory that you may write"
        ) from error


def read_verdicts(root: Path, work: str) -> Verdicts | None:
    """The verdicts of the work as it is, else the provisional ones of a quick try; None without any."""
    return _read(verdict_path(root, work, quick=False)) or _read(verdict_path(root, work, quick=True))


def _read(path: Path) -> Verdicts | None:
    """What is missing, torn, or of another version is as if nobody had judged."""
    try:
        return _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


@cache
def _adapter() -> TypeAdapter[Verdicts]:
    return TypeAdapter(Verdicts)
