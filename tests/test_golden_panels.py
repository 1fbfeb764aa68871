"""What panels, findings and warnings say, word for word (`tests/golden`), of fixed numbers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from textual.content import Content

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, Desk, Script, fixed, open_desk, script
from tests.golden import Golden, titled
from tests.shown import NAMES, STEP, shades, show_codes
from tests.test_live import overfit
from tests.test_render import CLASSES as TEN
from tuiae.config import NoiseSection, RunConfig, build_config
from tuiae.data.registry import describe
from tuiae.explore.protocol import Classification, Confused, NoiseCurve, Reconstruction, Worst
from tuiae.images import ImageRecord
from tuiae.machine import Gpu, Machine, MachineHistory, Owner
from tuiae.models.geometry import network_layers
from tuiae.preflight import warn, warn_of_change
from tuiae.render.chrome import place_note
from tuiae.render.confusion import MatrixLook, cell_words, draw_confusion
from tuiae.render.curves import Curve, Look, Mark, draw_curves, prepare, train_and_test, without_dashes
from tuiae.render.explorer import best_class, confused_title, draw_noise_curve, draw_shares, draw_tried, worst_captions
from tuiae.render.legend import line_legend, readout, run_marks
from tuiae.render.log import fit_line, log_line
from tuiae.render.machine import draw_machine, suggestion
from tuiae.render.network import draw_histograms, draw_network
from tuiae.render.status import bad_ending, draw_facts, note_line, own_pause, status_facts
from tuiae.render.works import draw_about, draw_claims, draw_trainings, work_line
from tuiae.reproduce.state import Expected, PlannedRun, StudyProcess, WorkState
from tuiae.reproduce.verdicts import ClaimRow, RecipeRow, Verdict, Verdicts
from tuiae.reproduce.work import MissingSet
from tuiae.runs.advice import START
from tuiae.runs.control import Edit
from tuiae.runs.diagnosis import diagnose
from tuiae.runs.listing import RunRow
from tuiae.runs.snapshot import Histogram, Note, Sample, Series, Snapshot, Status
from tuiae.ui.draft import training_words
from tuiae.ui.questions import KINDS, NoiseChoice
from tuiae.ui.widgets.latent_view import LatentView
from tuiae.ui.widgets.panel import Panel

STEPS = 15  # an epoch
DIGITS = {"data": {"dataset": "digits"}}
FASHION = ("T-shirt/top", "Trouser", "Shirt")
Values = Sequence[float] | np.ndarray


def config_of(**sections: dict[str, Any]) -> RunConfig:
    return build_config({**DIGITS, **sections})


# Findings


def curve(values: Values) -> Series:
    """A value after each epoch."""
    epochs = np.arange(1, len(values) + 1)
    return Series(STEPS * epochs, epochs.astype(float), np.asarray(values, float))


def seen(config: RunConfig, curves: Mapping[str, Values], state: str = "running", **fields: Any) -> Snapshot:
    """A run as its reader sees it: `curves` by split and metric."""
    series = {(key.partition("/")[0], key.partition("/")[2]): curve(values) for key, values in curves.items()}
    longest = max((len(values) for values in curves.values()), default=0)
    planned, error = config.training.epochs, fields.pop("error", None)
    status = Status(state, epoch=longest, epochs=planned, step=STEPS * longest, error=error)
    meta = fields.pop("meta", {})
    return Snapshot("20261120-115900-denoise-a3f9", Path(), config, meta, status, series, **fields)


def measured(test: Values, train: Values, **more: Values) -> dict[str, Values]:
    further = {name.replace("__", "/"): values for name, values in more.items()}
    return {"test/loss": test, "train-eval/loss": train, "train/loss": train, **further}


def raised(step: int, new: float = 5.0) -> Edit:
    return Edit(0.0, step, step / STEPS, "training.learning_rate", 0.002, new, "me")


def test_findings(golden: Golden) -> None:
    adam = config_of(training={"epochs": 40, "learning_rate": 2e-3})
    wild = config_of(training={"epochs": 40, "learning_rate": 0.5})
    sgd = config_of(training={"epochs": 40, "optimizer": "sgd", "learning_rate": 1e-3})
    cosine = config_of(training={"epochs": 40, "learning_rate": 2e-3, "schedule": "cosine"})
    brief, ending = (config_of(training={"epochs": 8, "schedule": schedule}) for schedule in ("constant", "cosine"))
    variational = config_of(model={"family": "vae", "latent": 4}, training={"epochs": 40, "loss": "bce", "beta": 100.0})
    relu = config_of(model={"latent": 16, "code_activation": "relu"}, training={"epochs": 40})
    leaky = config_of(model={"latent": 16, "code_activation": "leaky-relu"}, training={"epochs": 40})
    head = {"family": "classifier", "encoder": "dense"}
    classifier = config_of(model=head, training={"epochs": 40})
    cut_off = config_of(model={**head, "head": "relu-dropout"}, training={"epochs": 40})

    falling = 0.5 * 0.8 ** np.arange(8)
    overfit = measured([*falling, *(0.11, 0.12, 0.13, 0.14)], 0.4 * 0.8 ** np.arange(12))
    flat = measured([*falling, *[0.105] * 22], [*falling, *[0.1] * 22])
    swinging = measured([*falling, *[0.105, 0.12] * 11], [*falling, *[0.1] * 22])
    still = measured([0.5] * 8, [0.495] * 8, live__loss=[0.5] * 8)
    doubled = measured([*falling, 0.4, 0.5, 0.6], [*falling, 0.4, 0.5, 0.6])
    risen = measured([*falling, 0.7, 0.8, 0.9], [*falling, 0.7, 0.8, 0.9], live__loss=[0.6])
    at_once = measured([0.9] * 5, [0.9] * 5, live__loss=[0.6])
    exploded = {"live/loss": [*[0.1] * 20, *[0.5] * 10]}
    fine = measured(falling, falling)
    alike = np.zeros((8, 1, 8, 8), np.uint8)
    inputs = np.random.default_rng(0).integers(0, 256, alike.shape, dtype=np.uint8)
    grey = Sample(8, inputs=inputs, reconstructions=alike)
    counts = np.zeros((6, 6), int)
    counts[:, 0] = 20
    blind = Sample(8, confusion=counts, classes=("zero", "one", "two", "three", "four", "five"))
    unmoved, few = measured([0.5] * 8, [0.4] * 8), measured([0.5] * 4, [0.4] * 4)
    down = (replace(raised(4 * STEPS, 2e-3), old=0.3),)
    dead = {"run": "20261120-115800-dead-b001", "step": 60, "epoch": 4, "highest_rate": 0.3}
    failure = {"cause": "the loss is no longer a number at step 40"}
    not_raised = seen(adam, fine, "failed", error=failure)

    cases: dict[str, tuple[Snapshot, Sample | None]] = {
        "overfitting, under way": (seen(adam, overfit, checkpoints=(120,)), None),
        "overfitting, afterwards": (seen(adam, overfit, "finished", checkpoints=(120,)), None),
        "overfitting, without weights": (seen(adam, overfit), None),
        "no progress, adam at a high rate": (seen(wild, still), None),
        "no progress, sgd at a low rate": (seen(sgd, still), None),
        "swinging": (seen(adam, swinging), None),
        "a plateau": (seen(adam, flat), None),
        "a plateau under a schedule": (seen(cosine, flat), None),
        "the end of a training that still gained": (seen(brief, fine, "finished"), None),
        "a loss that is no number": (not_raised, None),
        "a loss that is no number, after an edit": (replace(not_raised, edits=(raised(30),)), None),
        "a loss that doubled": (seen(adam, doubled, checkpoints=(120,)), None),
        "a loss that exploded within the first epoch": (seen(adam, exploded), None),
        "a loss that an edit spoiled": (seen(adam, risen, edits=(raised(8 * STEPS),)), None),
        "a loss that an edit spoiled before the first evaluation": (seen(adam, at_once, edits=(raised(5),)), None),
        "a code that carries nothing": (seen(variational, {**fine, "test/kl": [0.001] * 8}), None),
        "a code of which half carries nothing": (
            seen(variational, {**fine, "test/kl": [3.0] * 8, "code/collapsed": [0.5] * 8}),
            None,
        ),
        "half of a code dead": (seen(relu, {**fine, "code/dead": [0.5] * 8}), None),
        "all of a code dead": (seen(leaky, {**fine, "code/dead": [1.0] * 8}), None),
        "one picture for all images": (seen(adam, unmoved), grey),
        "one picture for all images, after a few steps": (seen(adam, few, "finished"), replace(grey, epoch=4)),
        "one picture for all images, since a rate that was lowered by an edit": (seen(adam, unmoved, edits=down), grey),
        "one picture for all images, in a fork of such a run": (seen(adam, unmoved, meta={"parent": dead}), grey),
        "one picture for all images, for good": (seen(wild, {**fine, **measured([0.5] * 12, [0.49] * 12)}), grey),
        "classes that are never predicted": (seen(classifier, fine), blind),
        "classes that are never predicted, behind a ReLU": (seen(cut_off, fine), blind),
    }
    said = []
    for title, (snapshot, sample) in cases.items():
        found = diagnose(snapshot, sample)
        assert found, title
        lines = []
        for one in found:
            assert one.remedies, title  # else it advises what no form can set
            tries = []
            for remedy in one.remedies:
                asked = build_config(snapshot.current_config.model_dump(mode="json"), dict(remedy.changes))  # type: ignore[union-attr]
                assert asked != snapshot.current_config or remedy.begin == START
                tries.append(f"[from {remedy.begin}: {remedy.words}]")
            lines.append(f"{one.kind}, {one.severity.name.lower()}: {one.sentence}: {one.advice} {' '.join(tries)}")
        said.append(titled(title, *lines))
    assert diagnose(seen(adam, fine)) == ()
    # Its pictures may still come: the loss falls, or an edit was only just made.
    just_now = (replace(down[0], step=6 * STEPS),)
    for young in (seen(adam, fine), seen(adam, unmoved, edits=just_now)):
        assert diagnose(young, grey) == ()
    # Of these, more epochs would be the wrong advice, or nobody's: it ended early, was stopped, has no rate any more,
    # or no longer gained much.
    gained = measured([*falling, *[0.105] * 3], [*falling, *[0.1] * 3])
    eleven = config_of(training={"epochs": 11})
    for ended in (seen(adam, fine, "finished"), seen(brief, fine, "stopped"), seen(ending, fine, "finished")):
        assert diagnose(ended) == ()
    assert diagnose(seen(eleven, gained, "finished")) == ()
    golden.check("findings", *said)


# Warnings before a start


WORTH_A_WORD: list[dict[str, dict[str, Any]]] = [
    {"training": {"batch_size": 2000}},
    {"data": {"dataset": "digits", "validation": 0.5}, "training": {"batch_size": 800}},
    {"model": {"latent": 64}},
    {"model": {"latent": 100}},
    {"model": {"latent": 150}, "data": {"dataset": "digits", "image_size": 12}},
    {"training": {"optimizer": "sgd", "learning_rate": 1e-3}},
    {"training": {"learning_rate": 0.1}},
    {"training": {"momentum": 0.9}},
    {"noise": {"kind": "gaussian"}},
    {"noise": {"level": 0.3}},
    {"noise": {"kind": "uniform", "level": 0.3, "probability": 0}},
    {"training": {"evaluate_every": 10}},
    {"training": {"patience": 7}, "data": {"dataset": "digits", "validation": 0.1}},
    {"training": {"patience": 3, "warmup": 5}, "data": {"dataset": "digits", "validation": 0.1}},
    {"training": {"patience": 2}},
    {"training": {"warmup": 7}},
    {"model": {"family": "vae"}, "training": {"loss": "bce", "beta_warmup": 9}},
    {"model": {"family": "vae"}},
    {"model": {"family": "vae"}, "training": {"loss": "sse", "beta": 2}},
    {"training": {"schedule": "step"}},
    {"training": {"schedule": "step", "warmup": 3, "step_epochs": 4}},
    {"model": {"latent": 12, "dropout": 0.1, "output_dropout": True}},
    {"model": {"family": "classifier", "head": "relu-dropout"}},
    {"model": {"family": "classifier", "freeze": True}},
]


def test_warnings(golden: Golden) -> None:
    said = []
    for sections in WORTH_A_WORD:
        document = {**DIGITS, "model": {"latent": 12}, **sections}
        config = build_config({**document, "training": {"epochs": 7, "device": "cpu", **sections.get("training", {})}})
        (words,) = warn(config, describe(config.data.dataset))
        settings = [f"{name}.{key} = {value!r}" for name, values in sections.items() for key, value in values.items()]
        said.append(titled(", ".join(settings), words))
    cosine = config_of(training={"schedule": "cosine", "learning_rate": 0.01, "epochs": 10})
    longer = build_config(cosine.model_dump(mode="json"), {"training.epochs": 20})
    said.append(titled("twice as many epochs of a cosine", *warn_of_change(cosine, longer, 10)))
    model = {"family": "classifier", "freeze": True, "encoder_run": "a"}
    glyphs = build_config({"data": {"dataset": "glyphs"}, "model": model, "training": {"batch_size": 8}})
    said.append(titled("an encoder of other images", *warn(glyphs, describe("glyphs"), config_of())))
    golden.check("warnings", *said)


# The machine


def gpu(index: int, used: float, **fields: Any) -> Gpu:
    known = {"cuda": f"cuda:{index}", "name": "NVIDIA A100-SXM4-40GB", "utilisation": 0.5, "total": 40_000.0}
    return Gpu(**{**known, "index": index, "used": used, "temperature": 64.0, "power": 310.0, **fields})


def test_machine(golden: Golden) -> None:
    owners = (Owner(4711, "ana", "python train.py", 30_500.0), Owner(12, "", "", None))
    cards = (gpu(0, 38_200, utilisation=0.97, owners=owners), gpu(1, 21_000), gpu(2, 2_000, utilisation=0.0))
    busy = Machine(cores=(0.1, 0.5, 0.99, 0.0), load=2.31, used=5_100, total=16_000, gpus=cards)
    machines = {"three cards": busy, "one card": replace(busy, gpus=cards[:1]), "no card": replace(busy, gpus=())}
    parts = []
    for name, machine in machines.items():
        for width in (80, 34):
            parts.append(titled(f"{name}, {width} columns", draw_machine(machine, width, 20).plain))
    history = MachineHistory()
    for look in range(0, 320, 2):
        if not 100 <= look < 160:  # nobody looked
            card = replace(cards[0], utilisation=min(look / 300, 1.0))
            history.add(replace(busy, cores=(0.1, look % 50 / 50), used=look * 50, gpus=(card,)), 1000 + look)
    for width in (80, 34):
        drawn = draw_machine(machines["one card"], width, 20, history=history).plain
        parts.append(titled(f"the last minutes, {width} columns", drawn))
    for name, unknown in (("nothing is known", Machine()), ("not yet", None)):
        parts.append(titled(name, draw_machine(unknown, 40, 3).plain))
    assert suggestion([]) == suggestion([gpu(0, 5, cuda="")]) == ""
    golden.check("machine", *parts)


# Networks


def test_network(golden: Golden) -> None:
    networks = {
        "a dense one": {"family": "dense", "hidden": [32], "latent": 8, "dropout": 0.05},
        "a convolutional one": {"family": "conv", "latent": 64, "dropout": 0.2, "output_dropout": True},
        "a variational one with batch norms": {"family": "conv-vae", "norm": "batch", "latent": 2, "channels": [8, 16]},
        "a classifier": {"family": "classifier", "encoder": "dense", "latent": 8, "head": "relu-dropout"},
    }
    parts = []
    for name, model in networks.items():
        config = config_of(model=model)
        layers = network_layers(config.model, (1, 28, 28), 10)
        for width in (100, 50):
            lines = draw_network(layers, (1, 28, 28), width, frozen=config.is_classifier)
            parts.append(titled(f"{name}, {width} columns", *(line.plain for line in lines)))
    lines = draw_network(layers, (1, 28, 28), 76, ascii_only=True)
    parts.append(titled("in ASCII", *(line.plain for line in lines)))
    golden.check("network", *parts)


def test_histograms(golden: Golden) -> None:
    def spread(epoch: int) -> list[Histogram]:
        bins = np.arange(32)
        bell = np.exp(-(((bins - 16) / (4 + epoch)) ** 2) * 4)
        flat = np.ones(32)
        found = []
        for layer, shape in (("encoder.1", bell), ("log_variance", flat), ("decoder.0", bell[::-1] + flat)):
            found.append(Histogram("weights", layer, -0.1 - epoch / 50, 0.12, (1000 * shape).astype(int)))
            if epoch:
                found.append(Histogram("gradients", layer, -2e-5, 3.5e-5, (1000 * bell).astype(int)))
        return [*found, Histogram("code", "", 0.0, 7.25, (1000 * np.exp(-bins / 4)).astype(int))]

    history = {epoch: spread(epoch) for epoch in range(31)}
    parts = []
    for size in ((110, 24), (74, 16), (40, 9)):
        drawn = draw_histograms(history[30], history, (0, 0), 30, *size)
        parts.append(titled(f"{size[0]} columns and {size[1]} lines", drawn.plain))
    drawn = draw_histograms(history[0], history, (0, 1), 0, 74, 14, ascii_only=True)
    parts.append(titled("the untrained network in ASCII", drawn.plain))
    drawn = draw_histograms(history[30], {}, (3, 0), 30, 74, 12)
    parts.append(titled("the code, while epochs are read", drawn.plain))
    parts.append(titled("none", draw_histograms((), {}, (0, 0), 0, 60, 3).plain))
    golden.check("histograms", *parts)


# Live


def test_facts(golden: Golden) -> None:
    noisy = config_of(noise={"kind": "salt-pepper", "level": 0.3}, training={"learning_rate": 1e-3})
    encoder = {"family": "classifier", "encoder_run": "20261120-115900-denoising_64-4682", "freeze": True}
    about = {
        "meta": {"host": "gpu-7.cluster.example.org"},
        "images": ImageRecord("digits", "", ("0", "1"), (1, 8, 8), 1500, 297, "d"),
    }
    runs = {
        "a denoising autoencoder": seen(noisy, {"test/loss": [0.2, 0.1]}, **about),
        "a classifier on a frozen encoder": seen(config_of(model=encoder), {"test/loss": [0.2, 0.1]}, **about),
        "a classifier from scratch": seen(config_of(model={"family": "classifier"}), {"test/loss": [0.2]}),
    }
    parts = [
        titled(f"{name}, {width} columns, {height} lines", draw_facts(status_facts(run), width, height).plain)
        for name, run in runs.items()
        for width, height in ((30, 24), (30, 9), (74, 9))
    ]
    for state in ("running", "paused"):
        words = [training_words(replace(run, status=replace(run.status, state=state))) for run in runs.values()]
        parts.append(titled(f"in the line of messages, {state}", *words))
    silent = [training_words(replace(run, status=replace(run.status, silent=2))) for run in runs.values()]
    golden.check("facts", *parts, titled("in the line of messages, without a sign", silent[0]))


def test_log(golden: Golden) -> None:
    noon = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))
    texts = (
        ("start", "training from the first step"),
        ("command", "learning rate from 0.02 to 0.01 at step 15, asked by me"),
        ("warning", "auto-pause, overfitting: test loss has risen"),
        ("command", "paused at step 20"),
        ("end", "failed: out of memory"),
    )
    notes = [note_line(Note(noon + place, kind, text)) for place, (kind, text) in enumerate(texts)]
    epoch = log_line("epoch 10/100 · train 0.0032843, 95.17% · test 0.0031906, 95.40% · 12.34 s")
    narrower = [fit_line(epoch, width).plain for width in (80, 72, 60, 44, 26)]
    paused = Snapshot("a", Path(), None, {}, Status("paused"), {}, notes=(Note(noon, "warning", texts[2][1]),))
    states = {
        "failed": Status("failed", error={"cause": "out of memory", "hint": "lower training.batch_size"}),
        "lost": Status("lost"),
        "gone": Status("gone"),
    }
    ends = [f"{name}: {bad_ending(replace(paused, status=status))}" for name, status in states.items()]
    ends.append(f"lost, with weights: {bad_ending(replace(paused, status=Status('lost'), checkpoints=(20,)))}")
    golden.check(
        "log",
        titled("what happened", *notes),
        titled("an epoch, in fewer and fewer columns", *narrower),
        titled("why a run paused by itself", own_pause(paused)),
        titled("how a run ended, in the line of messages", *ends),
    )


def test_curves(golden: Golden) -> None:
    epochs = np.arange(1.0, 13.0)
    clock = Series(np.arange(13) * 10, np.arange(13.0), np.arange(13) / 2)
    x = np.arange(0.0, 12.5, 0.5)
    curves = train_and_test([x, epochs], [0.01 + 0.08 / (1 + x), 0.013 + 0.05 / epochs], clock)
    lines = [prepare(one) for one in curves]
    smooth = [prepare(one, Look(log_y=True, smoothing="light")) for one in curves]
    rate = Mark(12, "e", "learning rate 0.001 → 0.0005", "rate 0.0005")
    marks = [rate, Mark(12, "e", "noise level 0.1 → 0.3", "level 0.3")]
    readouts = [readout(lines, 12.0, width).plain for width in (80, 40, 30)]
    readouts += [readout(lines, 0.0, 80).plain, readout(lines, 3.5, 80).plain, readout(smooth, 12.0, 90).plain]
    few_or_all = ((marks[:1], 120), (marks[:1], 52), (marks, 52), (marks, 40))
    marked = [readout(lines, 12.0, width, marks=some).plain for some, width in few_or_all]
    strokes = (("train", "solid"), ("test", "dashed"))
    behind = [
        prepare(Curve(name, np.arange(9), np.arange(9.0), stroke=stroke, faint=True, group="parent", split=name))  # type: ignore[arg-type]
        for name, stroke in strokes
    ]
    own = [
        prepare(Curve(name, np.arange(9), np.full(9, value), stroke=stroke, split=name))  # type: ignore[arg-type]
        for (name, stroke), value in zip(strokes, (0.5, 0.25), strict=True)
    ]
    legends = [line_legend([*behind, *own], width).plain for width in (100, 60, 40, 35)]
    config = config_of()
    edits = (
        Edit(0.0, 8, 2.0, "training.learning_rate", 0.001, 0.0005, "me"),
        Edit(0.0, 8, 2.0, "noise.level", 0.3, 0.1, "me"),
    )
    run = seen(config, {"test/loss": [0.2, 0.1]}, edits=edits)
    places = [place_note(40), place_note(0), place_note(12, 40, live=True), place_note(0, 40)]
    places.append(place_note(1271, 40_000, live=True))
    golden.check(
        "curves",
        titled("under the cursor, in fewer and fewer columns", *readouts[:3]),
        titled("at the untrained network", readouts[3]),
        titled("between two evaluations", readouts[4]),
        titled("smoothed", readouts[5]),
        titled("where something happened", *marked),
        titled("a fork before its parent, in fewer and fewer columns", *legends),
        titled("under the cursor of a fork", readout([*behind, *own], 4.0, 80).plain),
        titled("marks, in long and in short", *(f"{mark.text} / {mark.short}" for mark in run_marks(run))),
        titled("how far back", *places),
    )


def test_plots(golden: Golden) -> None:
    """As they look in panels of the three sizes, without colours."""
    x = np.arange(1.0, 21.0)
    coincide = [without_dashes(curve) for curve in train_and_test([x, x], [0.02 + 0.05 / x, 0.0203 + 0.05 / x])]
    four = [Curve("ABCD"[n], x, (1 + n / 4) * 0.02 + 0.05 / x, sign="◆•×+"[n]) for n in range(4)]
    means = [
        Curve(key, x, y := level + 0.1 / x, sign=sign, band=(y - 0.01, y + 0.02))
        for key, sign, level in (("A", "◆", 0.02), ("B", "•", 0.06))
    ]
    clock = Series(np.arange(21) * 15, np.arange(21.0), np.arange(21) * 7.5)
    timed = [replace(curve, clock=clock) for curve in coincide]
    kinds = {
        "train and test that nearly coincide": (coincide, Look()),
        "by steps": (timed, Look(unit="step")),
        "by time": (timed, Look(unit="time")),
        "four runs": (four, Look()),
        "four runs on a logarithmic axis": (four, Look(log_y=True)),
        "two groups of seeds": (means, Look()),
    }
    drawn = [
        titled(f"{name}, {width}x{height}", draw_curves(curves, width, height, look=look, ascii=height < 10).plain)
        for name, (curves, look) in kinds.items()
        for width, height in ((46, 7), (54, 12), (90, 22))
    ]
    golden.check("plots", *drawn)


def test_confusion(golden: Golden) -> None:
    counts = np.array([[900, 40, 60], [5, 990, 5], [297, 3, 700]])
    cells = [cell_words(counts, FASHION, cell, 80).plain for cell in ((2, 0), (1, 1))]
    many = np.eye(32, dtype=int) * 28
    ten = 900 * np.eye(10, dtype=int) + np.arange(10) * (np.indices((10, 10)).sum(0) % 3 == 0)
    golden.check(
        "confusion",
        titled("counts", draw_confusion(counts, FASHION, 60, 10).plain),
        titled("a cell under the cursor", draw_confusion(counts, FASHION, 60, 10, cursor=(2, 0)).plain),
        titled("shares of each true class", draw_confusion(counts, FASHION, 60, 10, MatrixLook(shares=True)).plain),
        titled("cells in words", *cells),
        titled("30 columns", draw_confusion(counts, FASHION, 30, 10).plain),
        *(
            titled(f"ten classes on Live, {size}", draw_confusion(ten, TEN, width, height).plain)
            for size, width, height in (("80x24", 44, 16), ("120x40", 54, 15), ("200x60", 90, 14))
        ),
        titled("too many classes", draw_confusion(many, [str(index) for index in range(32)], 80, 20).plain),
        titled("none yet", draw_confusion(np.zeros((3, 3), int), ["a"], 40, 5).plain),
    )


def test_bench(golden: Golden) -> None:
    images = shades(2)
    names = ("Shirt", "Coat")
    noisy = np.clip(images[:1].astype(int) + 40 * (np.indices(images[:1].shape).sum(0) % 3), 0, 255).astype(np.uint8)
    tried = Reconstruction(STEP, noisy, np.where(images[:1] > 100, 255, 0).astype(np.uint8), np.array([0.0123]))
    curve = NoiseCurve("step-1", "mask", (0.0, 0.5, 1.0), "error", (0.1, 0.2, 0.4), 100)
    shares = np.array([0.1, 0.7, 0.05, 0.05, 0.1], np.float32)
    confused = Confused("s", 0, 1, 1234, np.arange(2), images, np.array([0.9, 0.8], np.float32))
    worst = Worst("s", np.arange(2), np.array([0, 1]), np.array([0.5, 0.25], np.float32), images, images, images, None)
    sure = Classification(STEP, noisy, np.array([[0.7, 0.2, 0.1]]), "neighbours", 10)
    letters = ("a", "b", "c", "d", "e")
    ring = (np.abs(np.hypot(*(np.indices((28, 28)) - 13.5)) - 9) < 2)[None, None].repeat(3, 0) * np.uint8(255)
    large = Reconstruction(STEP, ring[:1], np.roll(ring[:1], 3, axis=-1), np.array([0.0123]))
    own = [
        titled(f"an image of 28x28 at {size}", draw_tried(large, ring[0], width, height, "ascii").plain)
        for size, width, height in (("80x24", 39, 18), ("110x40", 64, 18), ("120x40", 86, 16))
    ]
    kinds = [NoiseChoice(kind, 0.3).text for kind in KINDS]
    golden.check(
        "bench",
        titled("kinds of noise", *kinds, NoiseChoice.trained_with(NoiseSection()).text),
        titled("what came back", draw_tried(tried, images[0], 80, 12, "ascii").plain),
        *own,
        titled("error against noise", draw_noise_curve(curve, 0.75, 0.5, 70, 10, "ascii").plain),
        titled("classes", draw_shares(shares, letters, 40, 5).plain),
        titled("classes where there are few lines", draw_shares(shares, letters, 40, 3).plain),
        titled("the best class", best_class(sure.shares[0], NAMES)),
        titled("images without classes", draw_shares(np.ones(1), ("all",), 60, 1).plain),
        titled("the images of a cell", confused_title(confused, names)),
        titled("the worst images", *(f"{name} {error}" for name, error in worst_captions(worst, names))),
    )


# The line of messages


async def said(desk: Desk, *keys: str) -> str:
    """The next message after some keys."""
    desk.app.live.message.tell("")
    await desk.press(*keys)
    await desk.until(lambda: desk.message)
    return f"{' '.join(keys)}: {desk.message}"


async def test_messages(lab: Laboratory, golden: Golden) -> None:
    parts = []
    async with open_desk(root=lab.runs, size=(200, 60)) as desk:
        await desk.ready()
        lines = [f"ready: {desk.message}"]
        for key in ("e", "f", "F", "p", "x", "R", "Y"):
            lines.append(await said(desk, key))
        parts.append(titled("no run is open", *lines))
    for state in ("finished", "failed"):
        played = script(lab.runs, AUTOENCODER, f"20261120-115900-{state}-a3f9")
        played.play(3)
        played.writer.close(
            state, {"cause": "out of memory", "hint": "lower training.batch_size"} if state == "failed" else None
        )
        async with open_desk(played.run, size=(200, 60)) as desk:
            await desk.until(lambda state=state: desk.state == state)  # type: ignore[misc]
            await desk.until(lambda: desk.message and not desk.message.startswith("opening"))
            lines = [f"opened: {desk.message}"]
            for key in ("p", "x", "w", "e", "s", "y", "l", "a", "m", "t", "n"):
                lines.append(await said(desk, key))
            parts.append(titled(f"a {state} run", *lines))
    golden.check("messages", *parts)


# Dialogs


async def test_dialogs(lab: Laboratory, golden: Golden) -> None:
    """At each size, and once where two sizes have the same."""
    training = {**AUTOENCODER["training"], "epochs": 50}  # type: ignore[dict-item]
    played = script(lab.runs, {**AUTOENCODER, "training": training}, "20261120-115900-denoise-a3f9")
    overfit(played)
    dialogs = {"u": "what to try", "r": "start", "W": "a sweep", "O": "all settings"}
    shown: dict[str, dict[str, str]] = {title: {} for title in dialogs.values()}
    async with open_desk(played.run) as desk:
        await desk.ready()
        await desk.shows("tries dropout 0.2 or")
        async for width, height in desk.each_size():
            for key, title in dialogs.items():
                await desk.press(key)
                (dialog,) = await desk.until(lambda: [*desk.app.screen.query(".dialog").results()])
                await desk.shows({"W": "give the values to try", "O": "name  default run"}.get(key, title))
                text = desk.painted(dialog).strip("\n")
                sizes = shown[title].pop(text, "")
                shown[title][text] = f"{sizes}, {width}x{height}"
                await desk.press("escape")
                await desk.until(lambda: desk.app.screen is desk.app.live)
    parts = [titled(f"{title}{sizes}", text) for title, texts in shown.items() for text, sizes in texts.items()]
    golden.check("dialogs", *parts)
    played.writer.close("finished")


# Works


def test_works(golden: Golden) -> None:
    now = 1_000_000.0
    recipes = (
        RecipeRow("as printed", "train 0.1, test 0.2", True, "3 of 3 seeds"),
        RecipeRow("with Adam", "0.05", False),
    )
    claim = ClaimRow(
        "1", "The loss falls by half.", "0.1", recipes, Verdict.REPRODUCED, "reproduced", "0–2", "12 s", "", ""
    )
    others = ("2", Verdict.ONLY_WITH, "only with Adam"), ("3", Verdict.NOT_REPRODUCED, "not reproduced")
    claims = (claim, *(replace(claim, id=name, verdict=verdict, words=words) for name, verdict, words in others))
    claims = (*claims, replace(claim, id="4", verdict=Verdict.NOT_RUN, words="not run", recipes=(), seeds="–"))
    statuses = (
        Status("finished", epoch=15, epochs=15, test_loss=0.0123, test_accuracy=0.94, elapsed=42.0),
        Status("stopped", epoch=3, epochs=15, test_loss=0.2, elapsed=8.0),
        Status("finished", epoch=2, epochs=2, test_loss=0.3, elapsed=2.0),
    )
    runs = tuple(PlannedRun(f"code of {2 + place}", RunRow(Path(), one)) for place, one in enumerate(statuses))
    runs = (*runs[:2], replace(runs[2], quick=True), PlannedRun("code of 20"))
    lacking = MissingSet("mnist", ("tuiae data fetch mnist", "tuiae data import DIR --as mnist"))
    judged = Verdicts("small", False, now - 7200, 1, claims)
    fresh = WorkState("small", "A small work", "Nobody (2026)", (), runs, Expected(3, 84.0), lacks=(lacking,))
    full = replace(fresh, claims=claims, verdicts=replace(judged, runs=0, problems=("two runs disagree",)), lacks=())
    unsure = tuple(replace(one, provisional=True) for one in claims)
    quick = replace(full, claims=unsure, verdicts=replace(judged, quick=True))
    process = StudyProcess(1, "", "", now - 90)
    running = replace(full, process=process, running=True, last_words="2/4  running  code of 3")
    unknown = replace(fresh, full=Expected(3, None), lacks=(MissingSet("mine", (), "mine has no manifest"),))
    wrong = WorkState("wrong", problem="wrong.toml: title: field required")
    states = {
        "not judged yet": fresh,
        "judged before the last run": full,
        "a quick try": quick,
        "under way": running,
        "times unknown": unknown,
        "a wrong file": wrong,
    }
    parts = []
    for title, state in states.items():
        parts.append(titled(title, work_line(state, 44).plain, draw_about(state, 44, 40, now).plain))
    parts += [titled(f"claims, {width} columns", draw_claims(full, width).plain) for width in (100, 44)]
    parts.append(titled("claims of a quick try", draw_claims(quick, 100).plain))
    parts.append(titled("trainings", *(line.plain for line in draw_trainings(runs, 90))))
    golden.check("works", *parts)


# What stands in the frames of panels


def frames(desk: Desk) -> list[str]:
    """The words above and below each panel that shows."""
    panels = [panel for panel in desk.app.screen.query(Panel) if panel.region.area]
    words = [[panel.border_title or "", panel.border_subtitle or ""] for panel in panels]
    return [" / ".join(Content.from_markup(part).plain.strip() for part in parts) for parts in words]


def fixed_script(lab: Laboratory, document: dict[str, Any]) -> Script:
    """A finished run of three epochs."""
    played = script(lab.runs, document, f"20261120-115900-{document['name']}-a3f9")
    played.play(3)
    played.writer.close("finished")
    fixed(played.run)
    return played


async def test_frames(lab: Laboratory, golden: Golden) -> None:
    parts = []
    for document in (AUTOENCODER, CLASSIFIER):
        played = fixed_script(lab, document)
        async with open_desk(played.run, size=(200, 60)) as desk:
            await desk.until(lambda: desk.state == "finished" and "epoch 3" in str(frames(desk)))
            async for width, height in desk.each_size():
                parts.append(titled(f"Live, {document['name']}, {width}x{height}", *frames(desk)))
            await desk.press("y", "l", "s", "t", "n", "d")
            parts.append(titled("on other axes, smoothed, train alone, shares, errors", *frames(desk)))
            await desk.press("comma")
            await desk.until(lambda: "epoch 2" in str(frames(desk)))
            parts.append(titled("of an epoch before", *frames(desk)))
            await desk.press("greater_than_sign", "3")
            await desk.shows("has no checkpoint")
            view = desk.app.screen.query_one(LatentView)
            parts.append(titled(f"Latent, {document['name']}, without weights", *frames(desk)))
            show_codes(view)
            await desk.pilot.pause()
            parts.append(titled("with codes", *frames(desk)))
    golden.check("frames", *parts)
