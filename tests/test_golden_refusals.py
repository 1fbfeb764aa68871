"""How works, sweeps, labels and networks that cannot be are refused, word for word (`tests/golden`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Laboratory
from tests.dashboard import new_run, script
from tests.golden import Golden, refusal, titled
from tests.small_work import WORK
from tests.test_claims import scope
from tests.test_sweep import sweep_of, write
from tuiae.config import ModelSection, build_config
from tuiae.errors import ConfigError, RunHeldError, TuiaeError, UnknownRunError
from tuiae.models.networks import build_model
from tuiae.reproduce.claims import check
from tuiae.reproduce.measures import ClaimError
from tuiae.reproduce.work import find_work, load_work
from tuiae.runs.labels import Label, write_label
from tuiae.runs.paths import RunPaths
from tuiae.runs.process import RunLock
from tuiae.runs.removal import delete_run
from tuiae.studies.sweep import load_sweep

# Works and their claims


EXPRESSIONS = (
    "final('ae', 'test/loss'",
    "finl('ae', 'test/loss')",
    "final('liner', 'test/loss')",
    "final('ae', 'test/los')",
    "final('ae', 'test/kl')",
    "final('ae')",
    "final(metric='test/loss', run='ae')",
    "final(reported, 'test/loss')",
    "at('ae', 'test/loss', 11)",
    "measurd < 1",
    "final < 1",
    "class_recall('ae', 'A')",
    "class_recall('classes', 'C')",
    "subspace_angle('ae')",
    "prior_ratio('ae')",
    "noise_error('ae', 'peper', 0.5, 'mse')",
    "noise_error('ae', 'mask', 0.5, 'beauty')",
    "reported.__class__",
    "'a'.upper()",
    "[1, 2][0]",
    "[x for x in [1]]",
    "lambda: 1",
    "9 ** 9 ** 9",
    "None",
    "__import__('os')",
)
WORKS = (
    ('reported = "it does"', 'reportd = "it does"'),
    ('name = "a code of 20"', 'nme = "a code of 20"'),
    ('title = "A small work"', ""),
    ('id = "twenty"', 'id = "two"'),
    ('base = "characters"', 'base = "charcters"'),
    ("[base.characters]", '[base.characters]\nbase = "characters"'),
    ("config.model.latent = 20", "config.model.latnt = 20"),
    ('encoder = "digits"\n', 'encoder = "digit"\n'),
    ("final('two', 'test/loss')", "final('two', 'test/lss')"),
    ("final('twenty', 'test/loss')", "final('twnty', 'test/loss')"),
    ('holds = "end < start"', 'holds = "end < begin"'),
    ("confused_with('classes', '8', 2)", "confused_with('classes', 'A', 2)"),
    ('kind = "curves"', 'kind = "curve"'),
    ('runs = ["classes"]', 'runs = ["digits"]'),
    ('ends = ["A", "B"]', ""),
    ("seeds = [0, 1]", "seeds = []"),
)
"""What stands in a work, and the mistake in its place."""


def test_mistaken_works(tmp_path: Path, golden: Golden) -> None:
    golden.hide(str(tmp_path), "/home/ana")
    parts = []
    for expression in EXPRESSIONS:
        with pytest.raises(ClaimError) as caught:
            check(expression, scope("measured", "reported"))
        # What Python's parser says is another thing in another version.
        parts.append(titled(expression, re.sub("(is no expression): .*", r"\1: (why)", str(caught.value))))
    path = tmp_path / "mistaken.toml"
    for old, new in WORKS:
        assert old in WORK
        path.write_text(WORK.replace(old, new, 1))
        parts.append(titled(new or f"without {old}", refusal(ConfigError, lambda: load_work(path))))
    text = WORK.replace("seeds = [0, 1]", "seeds = [2]", 1)
    path.write_text(text.replace("final('two', 'train/loss')", "final('twenty', 'train/loss')", 1))
    parts.append(titled("runs that share no seed", refusal(ConfigError, lambda: load_work(path))))
    parts.append(titled("a work that there is not", refusal(ConfigError, lambda: find_work("tp5-2023"))))
    golden.check("mistaken-works", *parts)


# Sweeps


SWEEPS = (
    '[grid]\n"model.latnt" = [1]',
    '[grid]\n"model.latent" = ["wide"]',
    '[grid]\n"model.latent" = 16',
    '[grid]\n"model.latent" = []',
    "[grid]",
    f'[grid]\n"model.latent" = {list(range(1, 200))}\n"training.seed" = {list(range(200))}',
    "",
    '[grid]\n"model.latent" = [1]\n[[list]]\n"model.latent" = 1',
    'seds = [1]\n[grid]\n"model.latent" = [1]',
    'seeds = [-1]\n[grid]\n"model.latent" = [1]',
    'seeds = [1]\n[grid]\n"training.seed" = [1]',
    '[set]\n"model.latent" = 4\n[grid]\n"model.latent" = [1]',
    'tags = ["a b"]\n[grid]\n"model.latent" = [1]',
    '[set]\n"training.epoch" = 4\n[grid]\n"model.latent" = [1]',
    '[grid]\n"training.loss" = ["mse", "bce"]\n"model.output" = ["relu"]',
    '[grid]\n"model.encoder_run" = ["last"]',
    "[grid]\nmodel.latent = [1",
    '[random]\n"model.latent" = { choices = [1] }',
    "[random]\ndraws = 3",
    '[random]\ndraws = 3\n"model.latent" = [1, 2]',
    '[random]\ndraws = 3\n"model.latent" = { low = 5, high = 2 }',
    '[random]\ndraws = 3\n"model.dropout" = { low = 0, high = 0.5, log = true }',
    '[random]\ndraws = 3\n"model.latent" = { low = 5, hi = 9 }',
    '[search]\ntrials = 3\nprunner = "asha"\n"model.latent" = { low = 5, high = 9 }',
    "[random]\ndraws = 3\nlatent = 4",
)
HEADS = (
    'name = "a b"\npreset = "small.toml"',
    'name = "mine"',
    'name = "mine"\npreset = "quickstrat"',
)


def test_mistaken_sweeps(lab: Laboratory, golden: Golden) -> None:
    parts = [titled(" ".join(text.split())[:90], refusal(ConfigError, lambda: sweep_of(lab, text))) for text in SWEEPS]  # noqa: B023
    for head in HEADS:
        file = write(lab, f'{head}\n[grid]\n"model.latent" = [1]')
        parts.append(titled(" ".join(head.split()), refusal(ConfigError, lambda: load_sweep(file))))  # noqa: B023
    golden.check("mistaken-sweeps", *parts)


# Labels, and runs to delete


LABELS = (
    Label(name="x" * 81),
    Label(note="x" * 2001),
    Label(name="a\x1b[2J"),
    Label(name="two\nlines"),
    Label(name=" last"),
    Label(note="a\u202eb"),
    Label(tags=("no blanks",)),
)


def test_labels_and_removal(runs_root: Path, golden: Golden, tmp_path: Path) -> None:
    run = new_run(runs_root, name="20261120-100000-denoise-0000")
    parts = [titled("labels", *(refusal(ConfigError, lambda: write_label(run, label)) for label in LABELS))]  # noqa: B023
    gone, foreign, link = (RunPaths(runs_root / name) for name in ("gone", "reports", "link"))
    foreign.root.mkdir()
    live = script(runs_root, name="20261120-110000-live-0001")
    live.begin()
    link.root.symlink_to(live.run.root)
    golden.hide(str(tmp_path), "/home/ana")

    def refused(title: str, one: RunPaths, kind: type[TuiaeError] = UnknownRunError) -> None:
        parts.append(titled(title, refusal(kind, lambda: delete_run(one, runs_root))))

    parts.append(titled("a run that is gone", refusal(UnknownRunError, lambda: write_label(gone, Label("x")))))
    refused("a folder that is no run", foreign)
    refused("a run of another directory", RunPaths(tmp_path / "elsewhere" / "run"))
    refused("a link", link, ConfigError)
    refused("a live run", live.run, RunHeldError)
    live.writer.close("finished")
    lock = RunLock(live.run)
    assert lock.acquire()
    refused("a run that is held", live.run, RunHeldError)
    lock.close()
    golden.check("labels", *parts)


# Networks


SIZES = ((2, 9), (3, 9), (8, 7), (8, 8), (28, 9))
STRIDED: tuple[dict[str, Any], ...] = ({"stride": [2, 2, 2]}, {"kernel": 4}, {"channels": [0]})


def test_networks_that_cannot_be(golden: Golden) -> None:
    def built(shape: tuple[int, int, int] = (1, 28, 28), classes: int = 4, **keys: Any) -> Any:
        return build_model(ModelSection(**keys), shape, classes)

    parts = []
    for size in SIZES:
        words = refusal(ConfigError, lambda: built((1, *size), family="conv"))  # noqa: B023
        parts.append(titled(f"conv of {size[0]}x{size[1]}", words))
    words = refusal(ConfigError, lambda: built((1, 8, 8), family="classifier", encoder="conv"))
    parts.append(titled("a classifier of 8x8", words))
    for classes in (0, 1):
        words = refusal(ConfigError, lambda: built(classes=classes, family="classifier"))  # noqa: B023
        parts.append(titled(f"a classifier of {classes} classes", words))
    for keys in STRIDED:
        words = refusal(ConfigError, lambda: build_config({"model": {"family": "strided-conv", **keys}}))  # noqa: B023
        parts.append(titled(f"strided-conv with {keys}", words))
    model, states = built(family="classifier", latent=16), {}
    for title, keys in (("a narrower code", {"family": "conv", "latent": 8}), ("another family", {"latent": 16})):
        states[title] = built(**keys).state_dict()
    states["no encoder"] = {"head.0.weight": torch.zeros(4, 64)}
    for title, state in states.items():
        words = refusal(ConfigError, lambda: model.load_encoder(state))  # noqa: B023
        parts.append(titled(f"an encoder that is {title}", words))
    golden.check("networks", *parts)
