"""Golden texts: what a surface says, word for word, in `tests/golden/NAME.txt`, to be read and judged as English.

Everything behind them is fixed: scripted runs, numbers, times. `pytest --snapshot-update` writes them anew after a
change that is meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuiae.errors import TuiaeError

FOLDER = Path(__file__).with_name("golden")
WIDTH = 100  # columns that commands believe to have


class Golden:
    """Compares what was said with the golden text of a surface, or writes that anew."""

    def __init__(self, renewed: bool) -> None:
        self.renewed = renewed
        self.words: dict[str, str] = {}

    def hide(self, text: str, word: str) -> None:
        """Put a word where something stands that is different tomorrow or elsewhere: a path, the id of a run."""
        self.words[text] = word

    def check(self, name: str, *parts: str) -> None:
        """Compare parts, an empty line between them, with the golden text of this name."""
        text = "\n\n".join(part.strip("\n") for part in parts)
        for found in sorted(self.words, key=len, reverse=True):
            text = text.replace(found, self.words[found])
        text = "\n".join(map(str.rstrip, text.split("\n"))) + "\n"
        path = FOLDER / f"{name}.txt"
        if self.renewed:
            path.write_text(text, encoding="utf-8")
        lines, known = text.splitlines(), path.read_text(encoding="utf-8").splitlines()
        if changed := "\n".join(difflib.unified_diff(known, lines, str(path), "said now", lineterm="")):
            pytest.fail(f"{changed}\n\nIf this is meant: pytest --snapshot-update", pytrace=False)


def refusal(kind: type[TuiaeError], action: Callable[[], Any]) -> str:
    """What people read of an error of this very kind, which an action ends with."""
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    return "\n".join(caught.value.lines()).encode(errors="replace").decode()


def titled(title: str, *lines: str) -> str:
    """Lines under a title."""
    return "\n".join([f"== {title}", *lines])
