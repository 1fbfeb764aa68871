"""What a run's curves say, in plain sentences with the next thing to try: pure functions of what was recorded.

A finding that is wrong costs more trust than one that comes late: each waits until the curves leave little doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tuiae.config import RunConfig
from tuiae.runs.edits import MEASURED, Edit
from tuiae.runs.snapshot import Sample, Snapshot

# The part of a run's curves that findings are made from.

DIVERGED = "the loss is no longer a number"
"""How the worker begins the sentence of a training that diverged."""
SETTLED = 3  # evaluations in a row that have to agree: the first ones of a training say little, and one may be a spike


@dataclass(frozen=True)
class Symptoms:
    """Evaluations since the last edit of a setting: what was measured before was measured of something else.

    `test` and `train` are losses with dropout off at `epochs`, each (evaluations,), without those that are no number;
    `train` is of training images and may hold NaN. `live` are the losses of batches while training.
    """

    config: RunConfig
    epochs: np.ndarray
    test: np.ndarray
    train: np.ndarray
    live: np.ndarray
    kl: np.ndarray
    """Of the test images, nats an image."""
    untrained: float
    """Training loss of the first batches; NaN when the weights came from elsewhere."""
    last_train: float
    """Training loss of the last epoch, dropout on as in `untrained`."""
    dead: float | None
    collapsed: float | None
    """Shares of the code's units that were so in each of the last evaluations; None when nobody looked."""
    rate: float
    raises: tuple[Edit, ...]
    """Edits that raised the learning rate, while the loss was measured as it is now."""
    same_measure: bool
    """Whether no edit changed what the loss measures."""
    steps_measured: np.ndarray
    """Of all evaluations that measured as the last one did, also from before those edits; with `test_measured` and
    `train_measured`."""
    test_measured: np.ndarray
    train_measured: np.ndarray
    beta: float
    live_now: bool
    failed_with: str


def read_symptoms(snapshot: Snapshot, config: RunConfig) -> Symptoms:
    """Take from a snapshot what the findings look at."""
    since, alike = _last_edit(snapshot), _last_edit(snapshot, MEASURED)
    steps, epochs, test = _points(snapshot, "test", "loss", since)
    measured, _, losses = _points(snapshot, "test", "loss", alike)
    error = snapshot.status.error or {}
    last_train = snapshot.latest("train", "loss")
    return Symptoms(
        config=config,
        epochs=epochs,
        test=test,
        train=_train_at(snapshot, steps),
        live=_live(snapshot, config, since),
        kl=_points(snapshot, "test", "kl", since)[2],
        untrained=_untrained(snapshot, config),
        last_train=math.nan if last_train is None else last_train,
        dead=_settled(snapshot, "dead", since),
        collapsed=_settled(snapshot, "collapsed", since),
        rate=config.training.learning_rate,
        raises=tuple(
            edit
            for edit in sorted(snapshot.edits, key=lambda edit: edit.step)
            if edit.key == "training.learning_rate" and edit.new > edit.old and alike < edit.step
        ),
        same_measure=alike < 0,
        steps_measured=measured,
        test_measured=losses,
        train_measured=_train_at(snapshot, measured),
        beta=config.training.beta,
        live_now=snapshot.status.live,
        failed_with=str(error.get("cause", "")) if snapshot.status.state == "failed" else "",
    )


def _points(snapshot: Snapshot, split: str, metric: str, since: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, epochs and values after a step; gaps left out."""
    series = snapshot.series.get((split, metric))
    if series is None:
        return np.empty(0), np.empty(0), np.empty(0)
    kept = (series.steps > since) & np.isfinite(series.values)
    return series.steps[kept], series.epochs[kept], series.values[kept]


def _live(snapshot: Snapshot, config: RunConfig, since: int) -> np.ndarray:
    """Losses of batches; none while beta rises and takes the loss along."""
    return np.empty(0) if config.training.beta_warmup else _points(snapshot, "live", "loss", since)[2]


def _untrained(snapshot: Snapshot, config: RunConfig) -> float:
    values = _points(snapshot, "live", "loss", -1)[2]
    if snapshot.meta.get("parent") or config.model.encoder_run or config.training.beta_warmup or not len(values):
        return math.nan
    return float(values[0])


def _settled(snapshot: Snapshot, metric: str, since: int) -> float | None:
    """The lowest share of the last evaluations, once there are enough of them."""
    values = _points(snapshot, "code", metric, since)[2]
    return float(np.min(values[-SETTLED:])) if len(values) >= SETTLED else None


def _last_edit(snapshot: Snapshot, keys: Collection[str] = ()) -> int:
    """The step of the last edit of one of these keys; without any, of what changes how it is measured or trained."""
    found = (edit for edit in snapshot.edits if (edit.key in keys if keys else edit.key != "training.epochs"))
    return max((edit.step for edit in found), default=-1)


def _train_at(snapshot: Snapshot, steps: np.ndarray) -> np.ndarray:
    """Losses of training images with dropout off at these steps; NaN where nobody looked."""
    train = dict(zip(*_points(snapshot, "train-eval", "loss", -1)[::2], strict=True))
    return np.array([train.get(step, math.nan) for step in steps], dtype=float)


# Whether it was an edit of the learning rate that spoiled a training, and where to go back to.

DOUBLED = 2.0  # times the best loss, on training images too: no longer a matter of unseen images
LOST = 0.1  # of what was learned: of 172 runs those that lost less mostly recovered, the 9 that lost more did not
HIGH_RATE = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 3e-3, "sgd": 1.0}
"""Optimizer -> the learning rate above which a training that does not move is more likely thrown about than slow."""


def spoiled(seen: Symptoms) -> tuple[str, str] | None:
    """What the loss did since the learning rate was raised, and the way back; None where it did not jump, or recovered.

    Far above its best in every evaluation since, on training images too; or where none came before, above the loss of
    the untrained network.
    """
    for edit in seen.raises:
        after = seen.steps_measured > edit.step
        if after.sum() < SETTLED:
            continue
        test, before = seen.test_measured[after], seen.test_measured[~after]
        if not len(before):
            if seen.same_measure and np.all(test > seen.untrained):
                words = f"test loss is {test[-1]:.4g}, above that of the untrained network ({seen.untrained:.4g})"
                return f"{words}, since {named(edit)}", way_back(seen, edit)
            continue
        best, train = float(np.min(before)), seen.train_measured
        learned = max(before[0], np.nan_to_num(seen.untrained)) - best
        risen = np.all(test > max(DOUBLED * best, best + LOST * learned)) and best > 0
        if risen and np.all(train[after] > DOUBLED * np.min(train[~after])):
            words = f"test loss has risen to {test[-1]:.4g}, {test[-1] / best:.1f} times its best ({best:.4g})"
            return f"{words}, since {named(edit)}", way_back(seen, edit)
    return None


def wild_raise(seen: Symptoms) -> Edit | None:
    """The first edit that took the learning rate where trainings are thrown about; None without one."""
    high = HIGH_RATE[seen.config.training.optimizer]
    return next((edit for edit in seen.raises if edit.new > high), None)


def way_back(seen: Symptoms, edit: Edit) -> str:
    """Where a fork has to begin that leaves an edit out."""
    before = seen.steps_measured <= edit.step
    if not before.any():
        return "start again without that edit"
    if np.min(seen.test_measured[before]) <= np.min(seen.test_measured):
        return f"fork from weights/best, which is from before step {edit.step:,}"
    return f"fork from a checkpoint before step {edit.step:,}"


def blamed(seen: Symptoms, edit: Edit) -> str:
    """Advice that names the edit: where something is seen that does not say since when."""
    return f"{way_back(seen, edit)}: {named(edit)}"


def named(edit: Edit) -> str:
    """What an edit did, and when."""
    return f"{edit.key} went from {edit.old:g} to {edit.new:g} at step {edit.step:,}"


AUTO_PAUSE = "auto-pause"
"""How the warning begins of a training that paused by itself; the kind of the finding follows."""
WINDOW = 10  # evaluations at least without progress, until a curve counts as flat
# Of all evaluations, likewise: of 172 runs 34 were flat for so long, and 3 of them fell by 3 % more later.
PAUSE = 1 / 3
PLANNED = 0.05  # of the planned evaluations, likewise: just after an edit there are few to look at
PROGRESS = 0.005  # of the loss, gained over the window: less is not seen in the pictures
SWING = 0.05  # of the loss, from one evaluation to the next: converging runs of the five works stay under 0.03
HIGHER = 0.25  # over the best test loss: what swings about that level does more than swing
EARLY = 5  # evaluations after which a training that works has left the loss of the untrained network behind
LEARNED = 0.1  # of the first loss; trainings that learn anything gain more in their first epochs
RISEN = 0.05  # over the best test loss; between two epochs of a training that goes well it moves by less
EXPLODED = 3.0  # times the lowest training loss, of medians over LIVE_BLOCK points, before an epoch has ended
LIVE_BLOCK = 10  # live points, two seconds or more: single batches scatter
MANY_DEAD = 0.5  # of the code's units: with ReLU a quarter or a third are dead in trainings that go well, too
MANY_COLLAPSED = 0.5  # of the units: a wide code always leaves some unused
NO_NATS = 0.01  # KL of a unit that carries nothing
FEWEST_IMAGES = 5  # of a class among the test images, before its absence from the predictions means something
ALIKE = 0.1  # of what images differ: of 172 runs the 4 that learned nothing gave 0.08 at most, slow ones 0.19
NAMED = 4  # classes named in a sentence


class Severity(IntEnum):
    """How much a finding matters."""

    NOTE = 1
    """Worth knowing."""
    WARNING = 2
    """The training goes on for little or nothing."""
    SERIOUS = 3
    """Every further epoch makes the network worse, or finds it dead: what `training.auto_pause` stops at."""


@dataclass(frozen=True)
class Finding:
    """One thing that the curves say."""

    kind: str
    severity: Severity
    sentence: str
    """What was seen, with numbers; no full stop."""
    advice: str
    """What to try next; no full stop."""

    def __str__(self) -> str:
        return f"{self.sentence}: {self.advice}"


def diagnose(snapshot: Snapshot, sample: Sample | None = None) -> tuple[Finding, ...]:
    """Findings of a run, the most serious first; empty when nothing is to be said.

    Of several that explain the same curve only the first stands: what diverges is not told that it does not progress.
    """
    config = snapshot.current_config
    if config is None:
        return ()
    seen = read_symptoms(snapshot, config)
    curve = next((finding for check in _CURVES if (finding := check(seen))), None)
    said = [curve, *(check(seen) for check in _CODES), missing_classes(config, sample)]
    found = [finding for finding in said if finding]
    # It explains the rest, unless that weighs more.
    alike = one_picture(seen, sample)
    if alike and all(finding.severity < alike.severity for finding in found):
        found = [alike]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def divergence(seen: Symptoms) -> Finding | None:
    """A loss that is no number, or far above its best on training images too."""
    rate = f"lower training.learning_rate (now {seen.rate:g})"
    if seen.failed_with.startswith(DIVERGED):
        advice = way_back(seen, seen.raises[-1]) if seen.raises else f"{rate}, or set training.clip_norm = 1"
        return Finding("divergence", Severity.SERIOUS, seen.failed_with, advice)
    if (found := spoiled(seen)) is not None:
        return Finding("divergence", Severity.SERIOUS, *found)
    text = _doubled(seen) or _exploded(seen)
    return Finding("divergence", Severity.SERIOUS, text, f"{rate}, and go back to weights/best") if text else None


def _doubled(seen: Symptoms) -> str:
    test, train = seen.test, seen.train
    best = int(np.argmin(test)) if len(test) else 0
    after = slice(len(test) - SETTLED, None)
    if len(test) - 1 - best < SETTLED or not test[best] > 0:
        return ""
    learned = max(test[0], np.nan_to_num(seen.untrained)) - test[best]
    risen = np.all(test[after] > max(DOUBLED * test[best], test[best] + LOST * learned))
    if not (risen and np.all(train[after] > DOUBLED * np.min(train[: best + 1]))):
        return ""
    return (
        f"test loss has risen to {test[-1]:.4g}, {test[-1] / test[best]:.1f} times its best "
        f"({test[best]:.4g} at epoch {seen.epochs[best]:g}), and training images fare no better"
    )


def _exploded(seen: Symptoms) -> str:
    blocks = len(seen.live) // LIVE_BLOCK
    if blocks < 2:
        return ""
    medians = np.median(seen.live[-blocks * LIVE_BLOCK :].reshape(blocks, LIVE_BLOCK), axis=1)
    lowest = float(np.min(medians))
    learned = np.nan_to_num(seen.untrained) - lowest
    if not medians[-1] > max(EXPLODED * lowest, lowest + LOST * learned) > 0:
        return ""
    return f"training loss has risen to {medians[-1]:.4g}, {medians[-1] / lowest:.1f} times its lowest ({lowest:.4g})"


def overfitting(seen: Symptoms) -> Finding | None:
    """A test loss that rises from its best while the loss of training images goes on falling."""
    test, train = seen.test, seen.train
    best = int(np.argmin(test)) if len(test) else 0
    if len(test) - 1 - best < SETTLED or not np.min(test[-SETTLED:]) > (1 + RISEN) * test[best] > 0:
        return None
    if not train[-1] < train[best]:
        return None
    sentence = (
        f"test loss has risen {test[-1] / test[best] - 1:.0%} from its best ({test[best]:.4g} at epoch "
        f"{seen.epochs[best]:g}) while that of training images fell {1 - train[-1] / train[best]:.0%}"
    )
    config = seen.config
    remedy = f"raise model.dropout (now {config.model.dropout:g})" if config.model.dropout < 0.5 else "train on more"
    better = "weights/best is the better network"
    advice = f"stop, {better}, or {remedy}" if seen.live_now else f"{better}; next time {remedy}"
    return Finding("overfitting", Severity.SERIOUS, sentence, advice)


def stuck(seen: Symptoms) -> Finding | None:
    """A training that has not left the loss of the untrained network."""
    first, last = seen.untrained, seen.last_train
    if not seen.live_now or len(seen.test) < EARLY or not last > (1 - LEARNED) * first:
        return None
    sentence = f"training loss has hardly moved in {seen.epochs[-1]:g} epochs (from {first:.4g} to {last:.4g})"
    return Finding("stuck", Severity.WARNING, sentence, _other_rate(seen))


def _other_rate(seen: Symptoms) -> str:
    if (edit := wild_raise(seen)) is not None:
        return blamed(seen, edit)
    optimizer = seen.config.training.optimizer
    verb = "lower" if seen.rate > HIGH_RATE[optimizer] else "raise"
    advice = f"{verb} training.learning_rate (now {seen.rate:g})"
    return advice + (", or take training.optimizer = 'adam'" if optimizer == "sgd" else "")


def oscillation(seen: Symptoms) -> Finding | None:
    """A loss that goes up and down and no longer down: the steps are too long."""
    flat = _flat(seen)
    if flat is None:
        return None
    recent = seen.test[-WINDOW:]
    changes = np.diff(recent) / recent[:-1]
    rises = int(np.sum(changes > 0))
    if float(np.mean(np.abs(changes))) < SWING or not WINDOW // 4 <= rises <= WINDOW - WINDOW // 4:
        return None
    if np.median(recent) > (1 + HIGHER) * np.min(seen.test):
        return None  # it climbs as well, and lower rates may no longer help
    sentence = f"test loss swings by {np.mean(np.abs(changes)):.0%} from one evaluation to the next and {flat}"
    return Finding("oscillation", Severity.WARNING, sentence, f"lower training.learning_rate (now {seen.rate:g})")


def plateau(seen: Symptoms) -> Finding | None:
    """A test loss that no longer falls, while the training goes on."""
    flat = _flat(seen)
    if flat is None or np.median(seen.test[-SETTLED:]) > (1 + RISEN) * np.min(seen.test):
        return None
    constant = seen.config.training.schedule == "constant"
    advice = f"lower training.learning_rate (now {seen.rate:g}), or stop" if constant else "stop, or widen the model"
    return Finding("plateau", Severity.NOTE, f"test loss {flat}", advice)


def _flat(seen: Symptoms) -> str | None:
    """How long there was no progress to speak of, where that is long enough; what has risen is another matter."""
    test = seen.test
    planned = seen.config.training.epochs / seen.config.training.evaluate_every
    window = max(WINDOW, int(PAUSE * len(test)), int(PLANNED * planned))
    if not seen.live_now or len(test) <= window:
        return None
    before, recent = float(np.min(test[:-window])), float(np.min(test[-window:]))
    if not (1 - PROGRESS) * before <= recent <= (1 + RISEN) * before:
        return None
    best = int(np.argmin(test))
    how = "has not fallen" if recent >= before else f"has fallen by only {1 - recent / before:.1%}"
    return f"{how} in {window} evaluations (best {test[best]:.4g} at epoch {seen.epochs[best]:g})"


def dead_units(seen: Symptoms) -> Finding | None:
    """Units of the code that are the same for every test image."""
    share, width = seen.dead, seen.config.model.latent
    if share is None or share < MANY_DEAD:
        return None
    count = round(share * width)
    sentence = f"{count} of {width} units of the code are dead (the same for every test image)"
    if count == width:
        sentence = f"all {width} units of the code are dead (every test image has the same code)"
    return Finding("dead-units", Severity.WARNING, sentence, _revive(seen))


def _revive(seen: Symptoms) -> str:
    activation = seen.config.model.code_activation
    other = f", or take model.code_activation = 'leaky-relu' (now '{activation}')" if activation == "relu" else ""
    return f"start again with a lower training.learning_rate (now {seen.rate:g}){other}"


def posterior_collapse(seen: Symptoms) -> Finding | None:
    """Units of a variational code that say nothing of the image."""
    if not seen.config.model.is_variational or len(seen.kl) < SETTLED:
        return None
    width, beta = seen.config.model.latent, seen.beta
    advice = f"lower training.beta (now {beta:g}), or let it rise slowly (training.beta_warmup)"
    if np.max(seen.kl[-SETTLED:]) < NO_NATS * width:
        sentence = f"the posterior has collapsed: the code of {width} carries {seen.kl[-1]:.2g} nats an image"
        return Finding("collapse", Severity.WARNING, sentence, advice)
    share = seen.collapsed
    if share is None or share < MANY_COLLAPSED:
        return None
    sentence = f"{round(share * width)} of {width} units of the code carry nothing (KL under {NO_NATS} nats)"
    return Finding("collapse", Severity.NOTE, sentence, f"a narrower model.latent does the same; for more, {advice}")


def one_picture(seen: Symptoms, sample: Sample | None) -> Finding | None:
    """Reconstructions that are nearly the same whatever the image is."""
    if sample is None or sample.inputs is None or sample.reconstructions is None or sample.epoch < SETTLED:
        return None
    if len(sample.inputs) < 2 or sample.inputs.shape != sample.reconstructions.shape:
        return None
    differ = float(np.mean(np.std(sample.inputs, axis=0)))
    share = float(np.mean(np.std(sample.reconstructions, axis=0))) / differ if differ else 1.0
    if share > ALIKE:
        return None
    sentence = f"it gives much the same picture for every image (they differ by {share:.0%} of what the images do)"
    # A slow training may still leave it behind; one that is thrown about so has lost what its gradients could use.
    thrown = wild_raise(seen) is not None or seen.rate > HIGH_RATE[seen.config.training.optimizer]
    severity = Severity.SERIOUS if thrown and len(seen.test_measured) >= WINDOW else Severity.WARNING
    return Finding("one-picture", severity, sentence, _other_rate(seen))


def missing_classes(config: RunConfig, sample: Sample | None) -> Finding | None:
    """Classes that a classifier gives to no test image at all."""
    counts = None if sample is None else sample.confusion
    if sample is None or counts is None or sample.epoch < SETTLED or counts.shape[0] != counts.shape[1]:
        return None
    missing = np.flatnonzero((counts.sum(axis=0) == 0) & (counts.sum(axis=1) >= FEWEST_IMAGES))
    if not len(missing):
        return None
    named = [sample.classes[index] if index < len(sample.classes) else str(index) for index in missing[:NAMED]]
    names = ", ".join(named) + (", ..." if len(missing) > NAMED else "")
    sentence = f"no test image is taken for {len(missing)} of {len(counts)} classes ({names})"
    advice = "train for longer, or lower training.learning_rate"
    if config.model.head == "relu-dropout":
        advice = "take model.head = 'linear': a logit that its ReLU has cut off gets no gradient any more"
    return Finding("missing-classes", Severity.WARNING, sentence, advice)


Check = Callable[[Symptoms], Finding | None]
_CURVES: tuple[Check, ...] = (divergence, overfitting, stuck, oscillation, plateau)
"""Explanations of the curve of the loss, the first that holds stands."""
_CODES: tuple[Check, ...] = (posterior_collapse, dead_units)
