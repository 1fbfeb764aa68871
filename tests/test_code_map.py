"""The legend of the map of codes: no class is left out where a few letters of each have room."""

from __future__ import annotations

import numpy as np
import pytest

from tuiae.render.code_map import class_signs, draw_code_map, labelled_points, map_legend

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@pytest.mark.parametrize("width", [36, 42, 60, 100])
def test_every_class_is_in_the_legend_and_a_name_that_is_cut_says_so(width: int) -> None:
    signs = class_signs(FASHION)
    lines = map_legend(FASHION, signs, width, 2, -1)
    assert len(lines) <= 3
    assert all(line.cell_len <= width for line in lines)
    text = " ".join(line.plain for line in lines)
    for sign, name in zip(signs, FASHION, strict=True):
        shown = text.partition(f"{sign} {name[0]}")[2].partition("  ")[0].partition(" ")[0]
        assert name[1:].startswith(shown.removesuffix("…")), (name, shown)
        assert shown.endswith("…") or name[1:].partition(" ")[0] == shown


def test_full_names_stand_where_they_have_room() -> None:
    assert map_legend(FASHION, class_signs(FASHION), 140, 2, -1)[0].plain.endswith("Ankle boot")


def test_more_classes_than_there_is_room_for_say_that_there_are_more() -> None:
    names = [f"class {number}" for number in range(60)]
    lines = map_legend(names, class_signs(names), 40, 2, -1)
    assert len(lines) <= 3
    assert lines[-1].plain.endswith("…")


def test_the_axes_are_named_whole_on_a_narrow_map() -> None:
    names = ("principal component 1 (18.4%)", "principal component 2 (12.0%)")
    points, labels = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 10
    drawn = draw_code_map(labelled_points(points, labels, FASHION, names), 42, 18).plain
    assert "across: PC 1 18.4%   up: PC 2 12.0%" in drawn
