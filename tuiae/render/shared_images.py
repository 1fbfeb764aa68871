"""The same test images, one row a run."""

from __future__ import annotations

import textwrap
from string import ascii_uppercase

from rich.cells import cell_len
from rich.text import Text

from tuiae.render.grid import LABEL_LIMIT, LEAST_ROWS, CaptionRow, ImageRow, image_grid, sample_captions
from tuiae.render.text import centred, clean, join_lines, shorten
from tuiae.studies.shared_images import SharedImages

MOST_LABEL = 24
MOST_NOTE = 3  # lines


def shared_grid(shared: SharedImages, width: int, height: int, mode: str = "blocks") -> Text:
    """The inputs once, then a row a run of what its network made of them, or of what it took them for.

    Runs that do not fit are left out, and a line below says which.
    """
    note = (
        [Text(line, "dim", end="") for line in textwrap.wrap(shared.sentence, width)[:MOST_NOTE]] if width > 0 else []
    )
    if not shared.entries:
        return centred("no pictures yet", width, height)
    room = height - len(note)
    rows, words, missing = _fitting_rows(shared, room)
    if missing:
        rows, words, missing = _fitting_rows(shared, room - 1)
        note.append(Text(shorten(f"no room for {', '.join(missing)}", width), "dim", end=""))
    limit = min(max(width // 4, LABEL_LIMIT), MOST_LABEL)
    if any(cell_len(label) > limit for label, _ in (*rows, *words)):
        rows, words = [(_short(label), images) for label, images in rows], [(_short(k), names) for k, names in words]
    grid = image_grid(rows, width, height - len(note), mode, captioned=words, label_limit=limit)
    lines = list(grid.split(allow_blank=True))
    return join_lines([*lines, *(Text() for _ in range(height - len(note) - len(lines))), *note])


def _short(label: str) -> str:
    """The key of a run without its label, so that no label is cut to nothing."""
    return label.partition(" ")[0]


def _fitting_rows(shared: SharedImages, height: int) -> tuple[list[ImageRow], list[CaptionRow], list[str]]:
    """Rows, captions, and the keys of the runs for which there is no room."""
    rows: list[ImageRow] = [("input", shared.inputs)] if shared.inputs is not None else []
    rows += [("noisy", shared.noisy)] if shared.noisy is not None else []
    words: list[CaptionRow] = []
    kept = _kept(shared, height - LEAST_ROWS * len(rows))
    for entry in shared.entries:
        sample = entry.sample
        if sample is None or entry.key not in kept:
            continue
        label = clean(f"{entry.key} {entry.label}")
        if sample.reconstructions is not None:
            rows.append((label, sample.reconstructions))
        else:
            words.append((label, sample_captions(sample) or ()))
    return rows, words, [entry.key for entry in shared.entries if entry.key not in kept]


def _kept(shared: SharedImages, free: int) -> set[str]:
    """The runs that fit: the first of every group before the second of any."""
    kept = set()
    for entry in sorted(shared.entries, key=lambda entry: int(entry.key.lstrip(ascii_uppercase) or 0)):
        cost = 1 if entry.sample is None or entry.sample.reconstructions is None else LEAST_ROWS
        if cost <= free:
            free -= cost
            kept.add(entry.key)
    return kept
