"""The commit of a checkout, read without starting git."""

from __future__ import annotations

from pathlib import Path


def read_commit(checkout: Path) -> str:
    """The commit that a checkout stands at, in hexadecimal; empty outside one, and before its first commit."""
    git = checkout / ".git"
    try:
        if git.is_file():  # a worktree or a submodule: its files are elsewhere
            git = checkout / git.read_text().strip().removeprefix("gitdir: ")
        head = (git / "HEAD").read_text().strip()
        return _resolve(git, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    except OSError:
        return ""


def _resolve(git: Path, ref: str) -> str:
    """The commit of `refs/heads/main`; worktrees share their branches, and `git gc` packs them into one file."""
    common = git / "commondir"
    shared = git / common.read_text().strip() if common.is_file() else git
    if (shared / ref).is_file():
        return (shared / ref).read_text().strip()
    packed = (line.split() for line in (shared / "packed-refs").read_text().splitlines())
    return next((words[0] for words in packed if words[1:] == [ref]), "")
