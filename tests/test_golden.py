"""What tuiae says, surface by surface, word for word (`tests/golden`); other tests assert fields, kinds, exit codes."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.comparing import begin, end, read, settings, tell, two_sizes
from tests.conftest import Laboratory, record_edit
from tests.dashboard import AUTOENCODER, CLASSIFIER, Script, fixed, new_run, script
from tests.golden import Golden, titled
from tests.small_work import JUDGED
from tuiae.cli.status import status_lines
from tuiae.files import read_json, replace_json
from tuiae.render.compare import compare_curves, group_key
from tuiae.render.sweeps import draw_summary, summary_notes
from tuiae.reproduce.work import make_plan
from tuiae.runs.control import describe_edit
from tuiae.runs.labels import PRUNED, relabel
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import process_start
from tuiae.runs.reader import RunReader
from tuiae.runs.writer import create_run
from tuiae.studies.compare import cautions, choose_curves
from tuiae.studies.shared_images import shared_images
from tuiae.studies.sweep_summary import sweep_summaries, without_summary

DENOISE, LETTERS = "20261120-115900-denoise-a3f9", "20261120-120000-letters-b7c1"
HOURS = 3600.0
FAILURE = {"cause": "the loss is no longer a number at step 9", "hint": "lower training.learning_rate", "exit_code": 4}


def aged(run: RunPaths, hours: float, **status: Any) -> RunPaths:
    """A run that was last heard of so many hours ago."""
    replace_json(run.status, {**read_json(run.status), "heartbeat": time.time() - hours * HOURS, **status})
    return run


def ended(lab: Laboratory, state: str, document: dict[str, Any], name: str, epochs: int) -> Script:
    """A run that ended after so many epochs."""
    played = script(lab.runs, document, name)
    played.play(epochs)
    played.writer.close(state, FAILURE if state == "failed" else None)
    fixed(played.run)
    return played


def lost(run: RunPaths) -> RunPaths:
    """A run whose worker died and left nothing behind."""
    return aged(run, 0.01, state="running", process_start="1", host=read_json(run.status)["host"])


def hung(run: RunPaths) -> RunPaths:
    """A run whose worker lives and has written nothing for three minutes."""
    worker = {"pid": os.getpid(), "process_start": process_start(os.getpid()), "host": socket.gethostname()}
    return aged(run, 0.055, state="running", **worker)


def lines_of(run: RunPaths) -> list[str]:
    return status_lines(RunReader(run.root).read_all())


# Runs


def test_status(lab: Laboratory, golden: Golden) -> None:
    fresh = new_run(lab.runs, name="20261120-100000-denoise-0000")
    first = script(lab.runs, name="20261120-110000-denoise-0001")
    first.begin()
    first.writer.event("metric", split="live", step=2, epoch=0.5, values={"loss": 0.25, "accuracy": 0.5})
    live = script(lab.runs, name=DENOISE)
    live.play(2)
    parts = [
        titled("just started", *lines_of(fresh)),
        titled("within its first epoch", *lines_of(first.run)),
        titled("under way", *lines_of(live.run)),
    ]
    parts.append(titled("hung", *lines_of(hung(fresh))))
    live.writer.status(now=True, state="paused")
    parts.append(titled("paused", *lines_of(live.run)))
    first.writer.close("stopped")
    parts.append(titled("stopped within its first epoch", *lines_of(first.run)))
    parts.append(titled("lost", *lines_of(lost(first.run))))
    live.writer.close("finished")
    parts.append(titled("finished", *lines_of(live.run)))
    failed = ended(lab, "failed", CLASSIFIER, LETTERS, 1)
    parts.append(titled("failed", *lines_of(failed.run)))
    golden.check("status", *parts)


def test_show(lab: Laboratory, golden: Golden) -> None:
    played = script(lab.runs, name=DENOISE)
    played.play(4)
    played.writer.event(
        "metric", split="speed", step=16, epoch=4, values={"epoch_seconds": 2.0, "images_per_second": 4096}
    )
    played.writer.close("finished")
    with open(played.run.events, "a") as events:
        for place in range(9):
            note = {"v": 1, "seq": 90 + place, "kind": "command", "time": place + 1, "text": f"paused at step {place}"}
            events.write(json.dumps(note) + "\n")
    record_edit(played.run, "training.learning_rate", 0.002, 0.001, 15, 3.75)
    events_of = [json.loads(line) for line in played.run.events.read_text().splitlines()]
    played.run.events.write_text(
        "".join(json.dumps({**event, "seq": seq}) + "\n" for seq, event in enumerate(events_of))
    )
    fixed(played.run)
    ended(lab, "failed", CLASSIFIER, LETTERS, 2)
    kept(lost(ended(lab, "stopped", AUTOENCODER, "20261120-130000-denoise-c001", 1).run), 4)
    golden.check(
        "show",
        lab.told("show", DENOISE),
        lab.told("show", DENOISE, "--plot"),
        lab.told("show", DENOISE, "--x", "time", "--log-x", "--log-y"),
        lab.told("show", "letters"),
        lab.told("show", "denoise-c001"),
    )


def test_a_followed_run_ends_with_what_show_finds(lab: Laboratory, golden: Golden) -> None:
    run = ended(lab, "finished", AUTOENCODER, DENOISE, 6).run
    # `run`, `resume` and `fork` end as `attach` does.
    golden.check("followed", lab.told("show", run.id), lab.told("attach", run.id, "--plot"))


def test_runs(lab: Laboratory, golden: Golden) -> None:
    parts = [lab.told("runs"), lab.told("runs", "--tag", "codes")]
    for place, (state, document, epochs) in enumerate(
        [("failed", AUTOENCODER, 2), ("stopped", CLASSIFIER, 3), ("finished", AUTOENCODER, 6)]
    ):
        played = ended(lab, state, document, f"2026112{place}-090000-{document['name']}-000{place}", epochs)
        aged(played.run, 2.5 + 24 * (2 - place))
    relabel(played.run, name="the wide one", note="as in the paper\nbut wider", tag=["codes"])
    parts += [
        lab.told("runs"),
        lab.told("runs", "--filter", "best:<0.05"),
        lab.told("runs", "--filter", "nothing like it"),
        lab.told("label", "denoise-0002"),
        lab.told("label", "letters-0001", "--name", "letters"),
        lab.told("delete", "denoise-0000", "--yes"),
    ]
    hung(new_run(lab.runs, name="20261115-090000-denoise-0003"))
    parts.append(lab.told("runs"))
    golden.check("runs", *parts)


# What is refused


MISTAKES: dict[str, list[tuple[int, tuple[str, ...]]]] = {
    "presets and settings": [
        (2, ("run", "quikstart")),
        (2, ("run", "no/such.toml")),
        (2, ("run", "/")),
        (2, ("run", "--set", "training.epohcs=3")),
        (2, ("run", "--set", "lr=0.1")),
        (2, ("run", "--set", "training.epochs.more=3")),
        (2, ("run", "--set", "nonsense")),
        (2, ("run", "--epochs", "0")),
        (2, ("run", "--epochs", "0", "--latent", "0", "--set", "training.sede=1")),
        (2, ("run", "--name", "a/b")),
        (2, ("run", "--set", "model.family=conv")),
    ],
    "noise": [
        (2, ("run", "--noise", "1.5")),
        (2, ("run", "--noise", "gauss:0.2")),
        (2, ("run", "--noise", "gaussian:much")),
        (2, ("run", "--noise", "salt-pepper:3")),
    ],
    "devices": [(2, ("run", "--device", "gpu")), (2, ("run", "--device", "cuda:99"))],
    "images": [
        (2, ("data", "fetch", "digitz")),
        (2, ("run", "--dataset", "digitz")),
        (3, ("run", "--dataset", "mnist")),
        (2, ("run", "--set", "data.classes=['7', '8', 'nine']")),
        (2, ("run", "--set", "data.classes=['3', '3']")),
        (2, ("run", "--dataset", "folder:")),
        (3, ("run", "--dataset", "folder:/nowhere/at/all")),
        (3, ("data", "import", "/nowhere/at/all")),
    ],
    "runs that are not there": [
        (2, ("show", "nothing-like-it")),
        (2, ("resume", "last")),
        (2, ("stop", "last")),
        (2, ("attach",)),
        (2, ("eval",)),
        (2, ("run", "quickstart", "--replay", "nowhere")),
        (2, ("compare", "--tag", "codes")),
    ],
    "studies": [(2, ("sweep", "missing.toml")), (2, ("reproduce", "politano"))],
    "the dashboard": [(2, ()), (2, ("--colors", "pink"))],
}


LOSS_AND_OUTPUT = """
[noise]
kind = "salt-pepper"
level = 1.5
[model]
output = "relu"
[training]
loss = "bce"
"""


def no_mirrors(text: str) -> str:
    """Without what mirrors and libraries answer where there is no network."""
    return re.sub(r"(could not be downloaded) \([^)]*\)", r"\1 (what the mirrors answered)", text)


def refused(lab: Laboratory, mistakes: Iterable[tuple[int, tuple[str, ...]]]) -> list[str]:
    """What each command says; every one of them is refused with an error, on stderr alone."""
    said = []
    for code, arguments in mistakes:
        told = lab.told(*arguments, check=code)
        assert "\nerror: " in told
        said.append(no_mirrors(told))
    return said


def test_bad_input(lab: Laboratory, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    from tuiae.training.device import list_devices

    golden.hide(f"this machine has {', '.join(list_devices())}", "this machine has cpu")
    parts: list[str] = []
    for title, mistakes in MISTAKES.items():
        parts += [titled(title), *refused(lab, mistakes)]
    files = {"five": "training = 5", "torn": "[training]\nepochs = 3\nseed = = 4", "loss": LOSS_AND_OUTPUT}
    parts.append(titled("presets of one's own"))
    for name, text in files.items():
        lab.preset(text, f"{name}.toml")
        parts += refused(lab, [(2, ("run", f"{name}.toml"))])
    assert list_runs(lab.runs) == []
    lab.runs.rmdir() if lab.runs.exists() else None
    lab.runs.write_text("")
    parts += [titled("a runs directory that is a file"), *refused(lab, [(2, ("runs",)), (2, ("show",)), (2, ("run",))])]
    golden.check("bad-input", *parts)


def kept(run: RunPaths, *steps: int) -> None:
    """Checkpoints by their names alone: what refuses to begin looks no further."""
    for step in steps:
        (run.weights / f"step-{step:06d}").mkdir(parents=True, exist_ok=True)


def test_runs_that_refuse(lab: Laboratory, golden: Golden) -> None:
    live = script(lab.runs, name="20261120-100000-live-0000")
    live.play(2)
    done = ended(lab, "finished", AUTOENCODER, DENOISE, 6)
    classifier = ended(lab, "finished", CLASSIFIER, LETTERS, 6)
    failed = ended(lab, "failed", AUTOENCODER, "20261120-130000-spoiled-c001", 2)
    gone = lost(ended(lab, "stopped", AUTOENCODER, "20261120-140000-killed-c002", 2).run)
    torn = ended(lab, "stopped", AUTOENCODER, "20261120-150000-torn-c003", 2).run
    torn.status.write_text('{"state": "fini')
    old = ended(lab, "stopped", AUTOENCODER, "20261120-160000-old-c004", 2).run
    old.config.write_text("[data")
    parts = [
        titled("which run"),
        *refused(lab, [(2, ("show", "nobody")), (2, ("fork", "202611"))]),
        titled("a run that ended"),
        *refused(lab, [(2, ("edit", DENOISE, "training.epochs=9")), (4, ("attach", "spoiled"))]),
        *refused(lab, [(4, ("attach", "killed")), (4, ("stop", "killed"))]),
        titled("a run under way"),
        *refused(
            lab,
            [
                (2, ("edit", "live", "model.latent=3")),
                (2, ("edit", "live", "training.learning_rate=-1")),
                (2, ("edit", "live", "training.epochs=1")),
                (6, ("delete", "live", "--yes")),
            ],
        ),
        titled("a damaged run"),
        *refused(lab, [(2, ("attach", "torn")), (2, ("resume", "old")), (2, ("eval", "old")), (2, ("fork", "old"))]),
        titled("a run without weights"),
        *refused(
            lab, [(2, ("fork", "live")), (2, ("fork", DENOISE)), (2, ("eval", DENOISE)), (2, ("explore", DENOISE))]
        ),
    ]
    kept(done.run, 20, 24)
    (done.run.weights / "best").write_text("step-000016")
    parts += [
        *refused(lab, [(2, ("fork", DENOISE, "--from", "best")), (2, ("eval", DENOISE, "--weights", "15"))]),
        titled("a run without epochs to come, and one that trains"),
        *refused(lab, [(2, ("resume", DENOISE)), (2, ("resume", DENOISE, "--epochs", "3")), (6, ("resume", "live"))]),
        titled("a view that a run does not have"),
        *refused(
            lab,
            [
                (2, ("explore", LETTERS, "--plane")),
                (2, ("explore", DENOISE, "--samples")),
                (2, ("explore", DENOISE, "--dims", "0,8")),
                (2, ("explore", DENOISE, "--dims", "1")),
                (2, ("explore", DENOISE, "--dims", "3,3")),
                (2, ("explore", DENOISE, "--between", "3")),
            ],
        ),
        titled("lists and comparisons"),
        *refused(
            lab,
            [
                (2, ("runs", "--filter", "dataste:x")),
                (2, ("runs", "--filter", "state:done")),
                (2, ("label", DENOISE, "--name", "x" * 81)),
                (2, ("label", DENOISE, "--name", "last")),
                (2, ("delete", DENOISE)),
                (2, ("compare", DENOISE)),
                (2, ("compare", DENOISE, LETTERS, "--metric", "psnr")),
            ],
        ),
    ]
    golden.check("runs-that-refuse", *(re.sub(r"\d+ \w+ ago", "3 min ago", part) for part in parts))
    live.writer.close("finished")
    assert {classifier.run.id, failed.run.id, gone.id} < {run.id for run in list_runs(lab.runs)}


# Studies


def test_compare(lab: Laboratory, golden: Golden) -> None:
    study = two_sizes(lab)
    relabel(study[0].run, name="the good one", tag=["codes"])
    ids = [played.run.id for played in study]
    document = settings(model__latent=12, training__learning_rate=0.02)
    changed = begin(lab.runs, 90, document)
    for epoch, loss in enumerate((0.5, float("nan"), 0.3), 1):
        tell(changed, epoch, loss)
    changed.writer.event("command", **describe_edit("training.learning_rate", 0.02, 0.01, 6, 1.5, "me"))
    changed.writer.status(now=True, step=12)
    again = settings(model__latent=12, training__learning_rate=0.02, training__seed=7)
    bad = [end(lab.runs, 91, [0.4, 0.2], document), end(lab.runs, 92, [0.5, float("nan")], again)]
    other = begin(lab.runs, 93, settings(data__dataset="digits"))
    arrays = {name: np.zeros((4, 1, 8, 8), np.uint8) for name in ("inputs", "reconstructions")}
    other.writer.sample(1, **arrays)
    shifted = begin(lab.runs, 94, settings(model__latent=3))
    shifted.writer.sample(1, **{name: np.full((8, 1, 7, 5), 9, np.uint8) for name in arrays})
    without = script(lab.runs, settings(model__latent=5), "20200195-000000-denoise-0095")
    sizes = [end(lab.runs, 60 + size, [0.1 + 0.01 * size], settings(model__latent=20 + size)) for size in range(10)]
    more = [end(lab.runs, 43 + seed, [0.4], settings(model__latent=4, training__seed=3 + seed)) for seed in range(4)]
    overlay = compare_curves(read(*study, *more), "loss")
    golden.check(
        "compare",
        lab.told("compare", *ids, "--plot"),
        lab.told("compare", ids[0], changed.run.id),
        lab.told("compare", *(played.run.id for played in bad)),
        titled("two runs in one line", group_key(read(study[0], study[3]))),
        titled("below many curves", overlay.note, choose_curves(read(*sizes), "loss")[1]),
        titled("below pictures", shared_images(read(*study[:2], other, shifted, without)).sentence),
    )
    for played in (changed, other, shifted, without):
        played.writer.close("stopped")


def test_what_compared_runs_must_not_be_taken_for(lab: Laboratory, golden: Golden) -> None:
    plain = end(lab.runs, 1, [0.3], settings())

    def beside(number: int, **changes: Any) -> Script:
        return end(lab.runs, number, [0.2], settings(**changes))

    stopped = begin(lab.runs, 11, settings())
    tell(stopped, 1, 0.1)
    stopped.writer.close("stopped")
    patient = begin(lab.runs, 12, settings(training__patience=1))
    tell(patient, 2, 0.1)
    patient.writer.close("finished")
    edited = begin(lab.runs, 13, settings(training__learning_rate=0.002))
    for epoch in range(1, 7):
        tell(edited, epoch, 0.2 / epoch)
    for place in range(5):
        change = describe_edit("training.learning_rate", 50.0 + place, 51.0 + place, 8 + place, 2 + place / 4, "me")
        edited.writer.event("command", **change)
    edited.writer.status(now=True, step=24)
    edited.writer.close("finished")
    forks = [beside(number, training__learning_rate=0.01) for number in (14, 15)]
    for fork, keys in zip(forks, (["training.learning_rate"], []), strict=True):
        origin = {"run": plain.run.id, "step": 4, "epoch": 1, "changed": keys}
        replace_json(fork.run.meta, {**read_json(fork.run.meta), "parent": origin})
    young, live = begin(lab.runs, 16, settings(model__latent=3)), begin(lab.runs, 17, settings())
    tell(live, 1, 0.2)
    vae = {"model__family": "vae", "training__loss": "bce"}
    sets = {
        "another loss": [plain, beside(2, training__loss="l1")],
        "other images": [plain, beside(3, data__dataset="digits")],
        "another weight of the KL term": [beside(4, **vae, training__beta=1.0), beside(5, **vae, training__beta=4.0)],
        "images and pixels": [plain, end(lab.runs, 6, [0.1], settings(CLASSIFIER))],
        "ends": [stopped, patient, plain],
        "edits": [edited, plain],
        "forks": [plain, *forks],
        "a fork without its parent": [forks[1]],
        "runs under way": [young, live],
    }
    said = {title: cautions(read(*runs), "loss") for title, runs in sets.items()}
    relabel(plain.run, name="the first")
    said["a fork of a run that has a name"] = cautions(read(forks[1]), "loss")
    golden.check("cautions", *(titled(title, *words) for title, words in said.items()))
    for played in (young, live):
        played.writer.close("finished")


def test_sweep_summary(lab: Laboratory, golden: Golden) -> None:
    def runs(key: str, losses: dict[Any, list[float]], first: int, **more: Any) -> list[Script]:
        return [
            end(lab.runs, first + place, told, settings(**{key: value}, **(more if place else {})))
            for place, (value, told) in enumerate(losses.items())
        ]

    studies = {
        "numbers on a logarithmic axis": runs(
            "training__learning_rate", {0.1: [0.3, 0.9], 0.001: [0.2], 0.01: [0.5, 0.1]}, 1
        ),
        "words": runs("model__activation", {"relu": [0.4, 0.5], "gelu": [0.2, 0.25]}, 11),
        "two settings at once": runs("model__latent", {4: [0.3], 8: [0.2]}, 21, training__batch_size=4),
        "another measure": runs("training__loss", {"mse": [0.3], "l1": [0.2]}, 31),
    }
    parts = []
    for title, scripts in studies.items():
        summary = sweep_summaries(read(*scripts), "loss")[0]
        drawn = draw_summary(summary, 74, 14).plain.splitlines()
        parts += [titled(title, *filter(None, [summary_notes(summary)]), *drawn)]
    same = runs("model__latent", {4: [0.3]}, 41) + runs("model__latent", {4: [0.2]}, 42)
    young = begin(lab.runs, 51, settings(model__latent=5))
    nothing = [without_summary(read(*scripts), "loss") for scripts in (same, [same[0], young])]
    same[0].run.config.write_text("[model\nlatent")
    nothing.append(without_summary(read(*same), "loss"))
    (whole,), pruned = runs("model__latent", {4: [0.3]}, 61), begin(lab.runs, 62, settings(model__latent=8))
    tell(pruned, 1, 0.5)
    pruned.writer.close("stopped")
    relabel(pruned.run, tag=(PRUNED,))
    nothing.append(without_summary(read(whole, pruned), "loss"))
    golden.check("sweep-summary", *parts, titled("nothing to set against the figures", *nothing))
    young.writer.close("finished")


WORK = (
    """
title = "A small work"
source = "Nobody (2026)"

[base.small]
data.dataset = "glyphs"
model = { family = "classifier", encoder = "dense", latent = 2 }
training = { epochs = 2, batch_size = 32, device = "cpu" }

[[run]]
id = "two"
label = "code of 2"
base = "small"
seeds = [0, 1]

[[run]]
id = "twenty"
label = "code of 20"
base = "small"
config.model.latent = 20
seeds = [0, 1]

"""
    + JUDGED
    + """[[claim]]
id = "never"
text = "Nothing is left."
measure = "final('two', 'test/loss')"
holds = "measured == 0"

[[claim]]
id = "gone"
text = "MNIST is learned."
measure = "final('elsewhere', 'test/loss')"
holds = "measured < 1"
"""
)


def test_reproduce(lab: Laboratory, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    path = Path(lab.preset(WORK, "small-work.toml"))
    plan = make_plan(path)
    for place, job in enumerate(plan.jobs[:4]):
        run = create_run(job.config, lab.runs, ["tuiae"], [plan.tag])
        played = Script(RunPaths(run.root.rename(lab.runs / f"20261120-11590{place}-small-000{place}")), job.config)
        scale = 0.1 if job.config.model.latent == 20 else 0.2 + 0.02 * place
        for epoch in (1, 2):
            for split in ("train", "test"):
                values = {"loss": scale / epoch, "accuracy": 1 - scale / epoch}
                played.writer.event("metric", split=split, step=4 * epoch, epoch=epoch, values=values)
        played.writer.status(now=True, epoch=2, epochs=2, step=8, elapsed=21.0)
        played.writer.close("finished")
    report = lab.root / "small.md"
    told = no_mirrors(lab.told("reproduce", str(path), "--markdown", str(report)))
    # Without the machine that it ran on.
    page = re.sub(r"(?s)(?<=## Where it ran\n).*(?=\n## In short)", "", no_mirrors(report.read_text()))
    golden.check("reproduce", lab.told("reproduce", str(path), "--claims").partition("\nfunctions")[0], told, page)
