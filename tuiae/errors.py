"""The errors a user meets: one sentence of cause, one of what to do next, one exit code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The exit codes of the process; `tuiae --help` lists them."""

    OK = 0
    USAGE = 2
    DATA = 3
    TRAINING = 4
    STOPPED = 5
    HELD = 6
    INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


_VALID = re.compile(r"Input should be a valid (\w+).*")
_KINDS = {
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "a word",
    "tuple": "a list",
    "dictionary": "a table",
}


def in_plain_words(message: str) -> str:
    """What a library says of a value that is not of its kind, such as `should be a whole number`; else its sentence."""
    if found := _VALID.fullmatch(message):
        return f"should be {_KINDS.get(found[1], f'a {found[1]}')}"
    return message.lower().replace("input ", "")


class TuiaeError(Exception):
    """Base of the errors that users read as a sentence rather than a traceback."""

    exit_code = ExitCode.USAGE

    def __init__(self, cause: str, hint: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.cause}; {self.hint}" if self.hint else self.cause

    def lines(self) -> list[str]:
        """The cause and the hint as lines for people."""
        return [f"error: {self.cause}", *([f"  try: {self.hint}"] if self.hint else [])]

    def document(self) -> dict[str, Any]:
        """The error as `--json` prints it."""
        return {"error": self.cause, "hint": self.hint, "exit_code": int(self.exit_code)}

    def record(self) -> dict[str, Any]:
        """The error as a record, from which another process raises it again with `from_record`."""
        return {"cause": self.cause, "hint": self.hint, "exit_code": int(self.exit_code)}


class ConfigError(TuiaeError):
    """A preset, an override or a command line that cannot be used."""


class MissingLibraryError(ConfigError):
    """A measure whose library is not installed."""


class CodeError(ConfigError):
    """A network of the user's own that cannot be made; its cause is an exception of theirs, or what came out."""


class UnknownRunError(TuiaeError):
    """A run that matches none or several, or a runs directory that cannot be used."""


class DeviceError(TuiaeError):
    """A device that this machine does not have."""


class DataError(TuiaeError):
    """A dataset that is not available or not fit to use."""

    exit_code = ExitCode.DATA


class OtherImagesError(DataError):
    """Images that are not those that a run trained on: going on with them has to be asked for."""


class TrainingError(TuiaeError):
    """A training that failed: diverged, out of memory, disk full, worker died."""

    exit_code = ExitCode.TRAINING


class CodeFailedError(TrainingError):
    """A network of the user's own that raised, or gave something else than before."""


class RankLostError(TrainingError):
    """Another process that shares the batches of a run has ended, or does not answer."""


class NoCheckpointError(TrainingError):
    """A checkpoint that a run does not have. Nothing has failed: somebody asked for one that is not there."""

    exit_code = ExitCode.USAGE


class RunHeldError(TuiaeError):
    """The run is being written by another process."""

    exit_code = ExitCode.HELD


BY_CODE = {int(kind.exit_code): kind for kind in (ConfigError, DataError, TrainingError, RunHeldError)}


def from_record(record: Mapping[str, Any], hint: str = "") -> TuiaeError:
    """The error that another process recorded, with `hint` where the record has none."""
    code = record.get("exit_code")
    kind = BY_CODE.get(code, TrainingError) if isinstance(code, int) else TrainingError
    return kind(str(record.get("cause", "the training failed")), str(record.get("hint", hint)))
