"""Findings about a run's curves, in plain sentences with the next thing to try: pure functions of recorded values.

`diagnose` reads the evidence of a snapshot and asks each check for a finding. A finding that is wrong costs more trust
than one that comes late: each waits until the curves leave little doubt. Where a limit says "of 172 runs", it was set
by looking at those of the five works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from tuiae.config import RunConfig, learning_rate
from tuiae.runs.advice import (
    BEST,
    SOME,
    START,
    Remedy,
    against_collapse,
    against_overfitting,
    clip_advice,
    excessive_raise,
    fork_advice,
    lower_rate,
    much_lower,
    other_rate,
    rounded,
)
from tuiae.runs.control import Edit
from tuiae.runs.evidence import SETTLED, Evidence, raises_of
from tuiae.runs.snapshot import Sample, Snapshot

DIVERGED = "the loss is no longer a number"
"""How the worker begins the sentence of a training that diverged."""
AUTO_PAUSE = "auto-pause"
"""How the warning begins of a training that paused by itself; the kind of the finding follows."""

EARLY = 5  # evaluations after which a training that works has left the loss of the untrained network behind
WINDOW = 10  # evaluations at least without progress, until a curve counts as flat
# Of all evaluations, likewise: of 172 runs 34 were flat for so long, and 3 of them fell by 3 % more later.
PAUSE = 1 / 3
PLANNED = 0.05  # of the planned evaluations, likewise: just after an edit there are few to look at
PROGRESS = 0.005  # of the loss, gained over the window: less is not seen in the pictures
STRETCH = 0.1  # of all evaluations, the last ones, in which a training that was long enough gains little:
STILL = 0.03  # of the loss; of 23 short runs 2 gained more, and of 10 of pacheco-2023, which has 10 epochs, 5
NO_RATE = 0.01  # of the learning rate: a schedule that has come so low ends there
SWING = 0.05  # of the loss, from one evaluation to the next: converging runs of the five works stay under 0.03
HIGHER = 0.25  # over the best test loss: what swings about that level does more than swing
LEARNED = 0.1  # of the first loss; trainings that learn anything gain more in their first epochs
RISEN = 0.05  # over the best test loss; between two epochs of a training that goes well it moves by less
DOUBLED = 2.0  # times the best loss, on training images too: no longer a matter of unseen images
LOST = 0.1  # of what was learned: of 172 runs those that lost less mostly recovered, the 9 that lost more did not
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
    """One problem that the curves show."""

    kind: str
    severity: Severity
    sentence: str
    """What was seen, with numbers; no full stop."""
    advice: str
    """What to try next; no full stop."""
    remedies: tuple[Remedy, ...] = ()
    """What of that is a matter of settings, each by itself, the first to try at the front."""

    def __str__(self) -> str:
        return f"{self.sentence}: {self.advice}"


@np.errstate(all="ignore")  # of damaged values; what came of them finds nothing
def diagnose(snapshot: Snapshot, sample: Sample | None = None) -> tuple[Finding, ...]:
    """Findings of a run, the most serious first; empty when nothing is to be said. Its cost does not grow with the run.

    Of several that explain the same curve only the first stands: what diverges is not told that it does not progress.
    """
    config = snapshot.current_config
    if config is None:
        return ()
    evidence = Evidence(snapshot, config)
    curve = next((finding for check in _CURVE_CHECKS if (finding := check(evidence))), None)
    said = [curve, *(check(evidence) for check in _CODE_CHECKS), missing_classes(config, sample)]
    found = [finding for finding in said if finding]
    # It explains the rest, unless that weighs more.
    alike = one_picture(evidence, sample)
    if alike and all(finding.severity < alike.severity for finding in found):
        found = [alike]
    if not found and (more := unfinished(evidence)):
        found = [more]  # epochs mend nothing else
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def nothing_found(snapshot: Snapshot) -> str:
    """Why `diagnose` advises nothing, for whoever asks."""
    config = snapshot.current_config
    if config is not None and Evidence(snapshot, config).recent.count < EARLY:
        return f"too few epochs to say anything: curves are judged from the {EARLY}th evaluation on"
    return "the curves of this run ask for no other settings"


# What the loss does: explanations of one curve.


def divergence(evidence: Evidence) -> Finding | None:
    """A loss that is not a number, or is far above its best on training images too."""
    rate, begin = f"lower training.learning_rate (now {evidence.rate:g})", BEST if evidence.has_weights else START
    lower = Remedy({"training.learning_rate": much_lower(evidence)}, begin)
    if evidence.failure.startswith(DIVERGED):
        if raises := raises_of(evidence.config, evidence.suspects):
            return Finding("divergence", Severity.SERIOUS, evidence.failure, *fork_advice(evidence, raises[-1]))
        bound, clip = clip_advice(evidence.config)
        advice, remedies = f"{rate}, or {bound}", (lower, replace(clip, begin=begin))
        return Finding("divergence", Severity.SERIOUS, evidence.failure, advice, remedies)
    sentence, edit = _spoiled_by_edit(evidence)
    if edit is not None:
        return Finding("divergence", Severity.SERIOUS, sentence, *fork_advice(evidence, edit))
    sentence = _doubled(evidence) or _exploded(evidence)
    advice = f"{rate}, and {'go back to weights/best' if evidence.has_weights else 'start again'}"
    return Finding("divergence", Severity.SERIOUS, sentence, advice, (lower,)) if sentence else None


def _is_lost(later: np.ndarray, first: float, best: float, untrained: float) -> bool:
    """Returns whether all later losses are above twice the best one, and above it by a tenth of what was learned."""
    learned = max(first, np.nan_to_num(untrained)) - best
    return best > 0 and bool(np.all(later > max(DOUBLED * best, best + LOST * learned)))


def _spoiled_by_edit(evidence: Evidence) -> tuple[str, Edit | None]:
    """What the loss did since an edit; empty where it did not jump, or recovered.

    Far above its best by now and never back at it, on training images too; or where no evaluation came before, above
    the loss of the untrained network.
    """
    measured, words = evidence.comparable, ""
    for edit in evidence.comparable_suspects:
        after = measured.steps > edit.step
        if after.sum() < SETTLED:
            continue
        test, before, train = measured.test[after], measured.test[~after], measured.train
        if len(before):
            best = float(np.min(before))
            lost = _is_lost(test[-SETTLED:], before[0], best, evidence.untrained)
            if (
                lost
                and np.min(test) > (1 + HIGHER) * best
                and np.all(train[-SETTLED:] > DOUBLED * np.min(train[~after]))
            ):
                words = f"test loss has risen to {test[-1]:.4g}, {test[-1] / best:.1f} times its best ({best:.4g})"
        elif evidence.same_measure and np.all(test > evidence.untrained):
            words = f"test loss is {test[-1]:.4g}, above that of the untrained network ({evidence.untrained:.4g})"
        if words:
            return f"{words}, since {edit.words}", edit
    return "", None


def _doubled(evidence: Evidence) -> str:
    test, train, best = evidence.recent.test, evidence.recent.train, evidence.recent.best
    if evidence.recent.after_best < SETTLED or not _is_lost(test[-SETTLED:], test[0], test[best], evidence.untrained):
        return ""
    if not np.all(train[-SETTLED:] > DOUBLED * np.min(train[: best + 1])):
        return ""
    return (
        f"test loss has risen to {test[-1]:.4g}, {test[-1] / test[best]:.1f} times its best "
        f"({test[best]:.4g} at epoch {evidence.recent.epochs[best]:g}), and training images fare no better"
    )


def _exploded(evidence: Evidence) -> str:
    blocks = len(evidence.live) // LIVE_BLOCK
    if blocks < 2:
        return ""
    medians = np.median(evidence.live[-blocks * LIVE_BLOCK :].reshape(blocks, LIVE_BLOCK), axis=1)
    lowest = float(np.min(medians))
    learned = np.nan_to_num(evidence.untrained) - lowest
    if not medians[-1] > max(EXPLODED * lowest, lowest + LOST * learned) > 0:
        return ""
    return f"training loss has risen to {medians[-1]:.4g}, {medians[-1] / lowest:.1f} times its lowest ({lowest:.4g})"


def overfitting(evidence: Evidence) -> Finding | None:
    """A test loss that rises from its best while the loss of training images goes on falling."""
    test, train, best = evidence.recent.test, evidence.recent.train, evidence.recent.best
    if evidence.recent.after_best < SETTLED or not np.min(test[-SETTLED:]) > (1 + RISEN) * test[best] > 0:
        return None
    if not train[-1] < train[best]:
        return None
    sentence = (
        f"test loss has risen {test[-1] / test[best] - 1:.0%} from its best ({test[best]:.4g} at epoch "
        f"{evidence.recent.epochs[best]:g}) while that of training images fell {1 - train[-1] / train[best]:.0%}"
    )
    (cure, remedies), better = against_overfitting(evidence), "weights/best is the better network"
    if not evidence.has_weights:
        advice = f"stop, or {cure}" if evidence.is_live else f"next time {cure}"
    else:
        advice = f"stop, {better}, or {cure}" if evidence.is_live else f"{better}; next time {cure}"
    return Finding("overfitting", Severity.SERIOUS, sentence, advice, remedies)


def stuck(evidence: Evidence) -> Finding | None:
    """A training that has not left the loss of the untrained network."""
    first, last, recent = evidence.untrained, evidence.last_train, evidence.recent
    if not evidence.is_live or len(recent.test) < EARLY or not last > (1 - LEARNED) * first:
        return None
    if recent.epochs[-EARLY] < evidence.config.rising_epochs:
        return None
    sentence = f"training loss has hardly moved in {recent.epochs[-1]:g} epochs (from {first:.4g} to {last:.4g})"
    return Finding("stuck", Severity.WARNING, sentence, *other_rate(evidence))


def oscillation(evidence: Evidence) -> Finding | None:
    """A loss that swings and no longer falls: the steps are too long."""
    flat = _flat(evidence)
    if flat is None:
        return None
    last = evidence.recent.test[-WINDOW:]
    changes = np.diff(last) / last[:-1]
    swing, rises = float(np.mean(np.abs(changes))), int(np.sum(changes > 0))
    if swing < SWING or not WINDOW // 4 <= rises <= WINDOW - WINDOW // 4:
        return None
    if np.median(last) > (1 + HIGHER) * np.min(evidence.recent.test):
        return None  # it climbs as well, and lower rates may no longer help
    sentence = f"test loss swings by {swing:.0%} from one evaluation to the next and {flat}"
    return Finding("oscillation", Severity.WARNING, sentence, *lower_rate(evidence))


def plateau(evidence: Evidence) -> Finding | None:
    """A test loss that no longer falls, while the training goes on."""
    flat, test = _flat(evidence), evidence.recent.test
    if flat is None or np.median(test[-SETTLED:]) > (1 + RISEN) * np.min(test):
        return None
    model, steady = evidence.config.model, evidence.config.training.schedule == "constant"
    advice, remedies = lower_rate(evidence) if steady else ("", ())
    if not (model.encoder_run or model.is_custom):  # whose code is as wide as it is
        wider = f"widen model.latent (now {model.latent})"
        advice = f"{advice}, {wider}, or stop" if steady else f"stop, or {wider}"
        remedies = (*remedies, Remedy({"model.latent": 2 * model.latent}, START))
    elif steady:
        advice += ", or stop"
    return Finding("plateau", Severity.NOTE, f"test loss {flat}", advice or "stop", remedies)


def unfinished(evidence: Evidence) -> Finding | None:
    """A training that has done its epochs while its test loss still fell, at a rate at which it would go on falling."""
    recent, training = evidence.recent, evidence.config.training
    window = max(SETTLED, int(STRETCH * recent.count))
    late = recent.numbers >= recent.count - window
    if not evidence.is_complete or recent.count < EARLY or late.all() or recent.after_best >= SETTLED:
        return None
    if learning_rate(training, training.epochs) < NO_RATE * training.learning_rate:
        return None
    before, now = float(np.min(recent.test[~late])), float(np.min(recent.test[late]))
    if not 0 < now <= (1 - STILL) * before:
        return None
    sentence = f"test loss still fell by {1 - now / before:.1%} in the last {window} evaluations"
    advice = f"train on for more epochs (training.epochs, now {training.epochs})"
    return Finding("unfinished", Severity.NOTE, sentence, advice, (Remedy({"training.epochs": 2 * training.epochs}),))


def _flat(evidence: Evidence) -> str | None:
    """How little the loss fell in the last evaluations, in words; None where they are too few, or it rose or fell."""
    recent, training = evidence.recent, evidence.config.training
    window = max(WINDOW, int(PAUSE * recent.count), int(PLANNED * training.epochs / training.evaluate_every))
    late = recent.numbers >= recent.count - window
    if not evidence.is_live or recent.count <= window or late.all() or not late.any():
        return None
    if recent.epochs[late][0] < evidence.config.rising_epochs:
        return None
    before, now, best = float(np.min(recent.test[~late])), float(np.min(recent.test[late])), recent.best
    if not (1 - PROGRESS) * before <= now <= (1 + RISEN) * before:
        return None
    fell = 1 - now / before
    little = f"only {fell:.1%}" if fell >= 0.001 else "less than 0.1%"
    how = f"has fallen by {little}" if fell > 0 else "has not fallen"
    return f"{how} in {window} evaluations (best {recent.test[best]:.4g} at epoch {recent.epochs[best]:g})"


_Check = Callable[[Evidence], Finding | None]
_CURVE_CHECKS: tuple[_Check, ...] = (divergence, overfitting, stuck, oscillation, plateau)
"""The first finding stands."""


# What the code and the pictures say.


def posterior_collapse(evidence: Evidence) -> Finding | None:
    """Units of a variational code that say nothing of the image."""
    model = evidence.config.model
    if not model.is_variational or len(evidence.kl) < SETTLED:
        return None
    advice, remedies = against_collapse(evidence)
    if np.max(evidence.kl[-SETTLED:]) < NO_NATS * model.latent:
        sentence = (
            f"the posterior has collapsed: the code of {model.latent} carries {evidence.kl[-1]:.2g} nats an image"
        )
        return Finding("collapse", Severity.WARNING, sentence, advice, remedies)
    share = evidence.collapsed
    if share is None or not MANY_COLLAPSED <= share <= 1:
        return None
    units = round(share * model.latent)
    sentence = f"{units} of {model.latent} units of the code carry nothing (KL under {NO_NATS} nats)"
    advice = f"a narrower model.latent does the same; for more, {advice}"
    # First what would let it carry more: who wants no more may leave it as it is.
    narrower = Remedy({"model.latent": max(model.latent - units, 1)}, START)
    return Finding("collapse", Severity.NOTE, sentence, advice, (*remedies, narrower))


def dead_units(evidence: Evidence) -> Finding | None:
    """Units of the code that are the same for every test image."""
    share, model = evidence.dead, evidence.config.model
    if share is None or not MANY_DEAD <= share <= 1:
        return None
    count = round(share * model.latent)
    sentence = f"{count} of {model.latent} units of the code are dead (the same for every test image)"
    if count == model.latent:
        sentence = f"all {count} units of the code are dead (every test image has the same code)"
    key, first, rate = "training.learning_rate", evidence.first_rate, evidence.rate
    advice, lower = f"start again with a lower {key} (now {rate:g})", much_lower(evidence)
    if first > rate:  # they do not come back at a lower rate, and may never have died at it
        advice, lower = f"start again with {key} {rate:g} (it began with {first:g})", rate
    remedies: tuple[Remedy, ...] = (Remedy({key: lower}, START),)
    if model.code_activation == "relu" and not model.is_custom:
        advice += ", or take model.code_activation = 'leaky-relu' (now 'relu')"
        remedies += (Remedy({"model.code_activation": "leaky-relu"}, START),)
    return Finding("dead-units", Severity.WARNING, sentence, advice, remedies)


_CODE_CHECKS: tuple[_Check, ...] = (posterior_collapse, dead_units)


def one_picture(evidence: Evidence, sample: Sample | None) -> Finding | None:
    """Reconstructions that are nearly the same whatever the image is."""
    if sample is None or sample.inputs is None or sample.reconstructions is None or sample.epoch < SETTLED:
        return None
    if len(sample.inputs) < 2 or sample.inputs.shape != sample.reconstructions.shape:
        return None
    differ = float(np.mean(np.std(sample.inputs, axis=0)))
    share = float(np.mean(np.std(sample.reconstructions, axis=0))) / differ if differ else 1.0
    if share > ALIKE:
        return None
    sentence = f"it gives much the same picture for every image (they differ {share:.0%} as much as the images do)"
    # A slow training may still leave it behind; one that is thrown about so has lost what its gradients could use.
    is_high = evidence.rate > evidence.high_rate
    recent = evidence.recent.test[-SETTLED:]
    is_falling = len(recent) > 0 and recent[-1] <= (1 - STILL) * recent[0]
    if not is_high and (is_falling or (evidence.is_live and len(recent) < SETTLED)):
        return None  # it is leaving it behind, or has not had the time since an edit
    thrown = is_high or excessive_raise(evidence) is not None
    hopeless = evidence.is_lowered or (thrown and len(evidence.comparable.test) >= WINDOW)
    severity = Severity.SERIOUS if hopeless else Severity.WARNING
    return Finding("one-picture", severity, sentence, *other_rate(evidence))


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
    lower = Remedy({"training.learning_rate": rounded(config.training.learning_rate / SOME)})
    remedies: tuple[Remedy, ...] = (Remedy({"training.epochs": 2 * config.training.epochs}), lower)
    if config.model.head == "relu-dropout":
        remedies = (Remedy({"model.head": "linear"}, START),)
        advice = "take model.head = 'linear': a logit that its ReLU has cut off gets no gradient any more"
    return Finding("missing-classes", Severity.WARNING, sentence, advice, remedies)
