"""What compared runs must not be taken for: other seeds, another measure, a setting that was not always in force."""

from __future__ import annotations

from tests.comparing import end, read, settings, two_sizes
from tests.conftest import Laboratory
from tuiae.ui.render.compare import compare_curves, compare_title, values_and_seeds


def test_a_run_and_a_repeat_of_it_are_no_two_seeds(lab: Laboratory) -> None:
    study = two_sizes(lab)[:3]
    repeat = end(lab.runs, 60, [0.4, 0.3], settings(model__latent=4, training__seed=1))
    comparison = read(*study, repeat)
    assert [(group.key, [entry.key for entry in group.entries]) for group in comparison.groups] == [
        ("A", ["A1", "A2", "A3"]),
        ("B", ["B"]),
    ]
    names = [entry.label for entry in comparison.entries]
    assert names == ["denoise seed=0", "denoise seed=1 (0041)", "denoise seed=2", "denoise seed=1 (0060)"]
    pair = read(study[1], repeat)
    assert compare_title(pair, "loss", 80).plain.endswith("2 runs")
    assert "over seeds" not in values_and_seeds(pair, "loss", 100).plain
    test = compare_curves(pair, "loss").test
    assert len({curve.label for curve in test}) == len({curve.sign for curve in test}) == 2
