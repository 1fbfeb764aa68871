"""The two sets that come with the program and need no network and no writable home."""

from __future__ import annotations

from importlib import resources

import numpy as np

from tuiae.data.dataset import Dataset

DIGITS_TRAIN = 1500
GLYPHS = tuple(chr(code) for code in range(ord("@"), ord("_") + 1))
DIGITS = tuple("0123456789")
_GLYPH_ROWS = 7


def load_digits() -> Dataset:
    """scikit-learn's handwritten digits, (1, 8, 8), values 0 to 16 spread over 0 to 255; 1,500 train, 297 test."""
    with resources.files("tuiae.data").joinpath("embedded/digits.npz").open("rb") as file, np.load(file) as arrays:
        images, labels = arrays["images"][:, None], arrays["labels"].astype(np.int64)
    return Dataset(
        "digits", DIGITS, images[:DIGITS_TRAIN], labels[:DIGITS_TRAIN], images[DIGITS_TRAIN:], labels[DIGITS_TRAIN:]
    )


def load_glyphs() -> Dataset:
    """32 characters drawn for this project, (1, 7, 5), values 0 and 255. Train and test are the same 32 characters."""
    lines = resources.files("tuiae.data").joinpath("embedded/glyphs.txt").read_text(encoding="utf-8").splitlines()
    drawn = {
        line.removeprefix("glyph "): lines[number + 1 : number + 1 + _GLYPH_ROWS]
        for number, line in enumerate(lines)
        if line.startswith("glyph ")
    }
    pixels = [[[255 * (pixel == "#") for pixel in row] for row in drawn[name]] for name in GLYPHS]
    images = np.array(pixels, dtype=np.uint8)[:, None]
    labels = np.arange(len(GLYPHS), dtype=np.int64)
    return Dataset("glyphs", GLYPHS, images, labels, images, labels)


EMBEDDED = {"digits": load_digits, "glyphs": load_glyphs}
