"""What to try next where something is wrong with a training: advice in words, and as settings that can be taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tuiae.config import RunConfig, short_key, typed
from tuiae.runs.control import Edit, offered
from tuiae.runs.evidence import HIGH_RATE, Evidence, slow_rate

FEW_STEPS = 100  # before them a rate that is not high has not shown yet whether it is too low
SOME, MUCH = 3, 10  # times, by which a remedy changes a rate: where the training goes well otherwise, and where not
SOME_DROPOUT, MOST_DROPOUT = 0.2, 0.5
SOME_DECAY, MOST_DECAY = 1e-4, 10.0

NOW, BEST, START = "now", "best", "start"
"""Where a remedy begins: in the training as it is, at its best weights, at the first step of a new run."""


@dataclass(frozen=True)
class Remedy:
    """An advice as settings, for whoever wants to try it."""

    changes: Mapping[str, Any]
    """Dotted key -> what it would be."""
    begin: str | int = NOW
    """NOW, BEST, START, or the step before which it would have to begin."""

    @property
    def words(self) -> str:
        """What it changes, such as `learning_rate 0.0002`."""
        return ", ".join(f"{short_key(key)} {typed(value)}" for key, value in self.changes.items())


Advice: TypeAlias = tuple[str, tuple[Remedy, ...]]
"""What to try next in words, and what of that is a matter of settings."""


def rounded(value: float) -> float:
    """A value with one digit, as people choose them."""
    return float(f"{value:.1g}")


# Another rate, or an edit taken back.


def much_lower(evidence: Evidence) -> float:
    """A rate for a training that is thrown about: a tenth, and never one at which that goes on."""
    return rounded(min(evidence.rate / MUCH, evidence.high_rate / SOME))


def lower_rate(evidence: Evidence) -> Advice:
    """The advice to take shorter steps."""
    lower = Remedy({"training.learning_rate": rounded(evidence.rate / SOME)})
    return f"lower training.learning_rate (now {evidence.rate:g})", (lower,)


def clip_advice(config: RunConfig) -> tuple[str, Remedy]:
    """The advice to bound the gradients, or to bound them further."""
    bound = config.training.clip_norm
    words = f"lower training.clip_norm (now {bound:g})" if bound else "set training.clip_norm = 1"
    return words, Remedy({"training.clip_norm": rounded(bound / MUCH) if bound else 1.0})


def fork_advice(evidence: Evidence, edit: Edit) -> Advice:
    """The advice to fork from before an edit, so that the fork leaves it out."""
    measured, undone = evidence.comparable, {edit.key: edit.old}
    before = measured.steps <= edit.step
    if edit.step < evidence.first_step:
        return "start again without that edit", (Remedy(undone, START),)
    if before.any() and np.min(measured.test[before]) <= np.min(measured.test):
        return f"fork from weights/best, which is from before step {edit.step:,}", (Remedy(undone, BEST),)
    return f"fork from a checkpoint before step {edit.step:,}", (Remedy(undone, edit.step),)


def excessive_raise(evidence: Evidence) -> Edit | None:
    """The first edit that raised the learning rate into the range where trainings become unstable; None without one,
    and where the training began in that range."""
    raises = evidence.rate_raises if evidence.first_rate <= evidence.high_rate else []
    return next((edit for edit in raises if edit.new > evidence.high_rate), None)


def other_rate(evidence: Evidence) -> Advice:
    """The advice to leave out an edit that raised the learning rate too far, or something else, or to take another
    rate."""
    training, high, key = evidence.config.training, evidence.high_rate, "training.learning_rate"
    if evidence.is_lowered:
        lost = f"the network was lost at a rate of {evidence.first_rate:g}, and a lower one does not bring it back"
        anew = Remedy({key: evidence.rate}, START)
        return f"{lost}; start a new run, not a fork, with {key} {evidence.rate:g}", (anew,)
    others = [edit for edit in evidence.suspects if edit.key != key and edit.new > edit.old]
    if (edit := excessive_raise(evidence) or next(iter(others), None)) is not None:
        advice, without = fork_advice(evidence, edit)
        return f"{advice}: {edit.words}", without
    if evidence.rate > high:  # what its gradients could use may be lost by now
        advice, other = "start again with a lower", Remedy({key: rounded(high / SOME)}, START)
    elif evidence.steps < FEW_STEPS:
        advice = f"take more than these {evidence.steps} steps: raise training.epochs (now {training.epochs})"
        smaller = Remedy({"training.batch_size": max(training.batch_size // MUCH, 1)}, START)
        longer = Remedy({"training.epochs": 2 * training.epochs})
        return f"{advice} or lower training.batch_size (now {training.batch_size})", (longer, smaller)
    else:
        advice, other = (
            "raise",
            Remedy({key: rounded(min(max(MUCH * evidence.rate, slow_rate(evidence.config)), high))}),
        )
    advice = f"{advice} {key} (now {evidence.rate:g})"
    if training.optimizer == "sgd":
        advice += ", or take training.optimizer = 'adam'"
        # Of another kind, whose steps are longer or shorter at the same rate.
        usual = rounded(HIGH_RATE["adam"] / SOME)
        return advice, (other, Remedy({"training.optimizer": "adam", key: usual}, START))
    return advice, (other,)


# Against what a network does with its images.


def against_overfitting(evidence: Evidence) -> Advice:
    """What would keep a network from learning its images by heart, and is not done already."""
    begin = NOW if evidence.is_live else START
    config, dropout = evidence.config, evidence.config.model.dropout
    dropped = [edit for edit in evidence.suspects if edit.key == "model.dropout" and edit.new == dropout < edit.old]
    if dropped:
        return f"take an edit back: {dropped[-1].words}", (Remedy({"model.dropout": dropped[-1].old}, begin),)
    raised, remedies = list[str](), list[Remedy]()
    if dropout < MOST_DROPOUT and "model.dropout" in offered(config):
        raised.append(f"model.dropout (now {dropout:g})")
        remedies.append(Remedy({"model.dropout": SOME_DROPOUT if dropout < SOME_DROPOUT else MOST_DROPOUT}, begin))
    if limit := config.data.train_limit:
        raised.append(f"data.train_limit (now {limit})")
        remedies.append(Remedy({"data.train_limit": 2 * limit}, START))
    if (decay := config.training.weight_decay) < MOST_DECAY:
        raised.append(f"training.weight_decay (now {decay:g})")
        remedies.append(Remedy({"training.weight_decay": min(MUCH * decay, MOST_DECAY) or SOME_DECAY}, START))
    if not raised:
        return "train on more images", ()
    *others, last = raised
    return f"raise {', '.join(others)}{' or ' if others else ''}{last}", tuple(remedies)


def against_collapse(evidence: Evidence) -> Advice:
    """What would let the code carry more, and is not done already."""
    training = evidence.config.training
    raised = [edit for edit in evidence.suspects if edit.key == "training.beta" and edit.new == training.beta]
    if raised:
        return f"take an edit back: {raised[-1].words}", (Remedy({"training.beta": raised[-1].old}),)
    longer = f"over more epochs (training.beta_warmup, now {training.beta_warmup:g})"
    slowly = f"let it rise {longer if training.beta_warmup else 'slowly (training.beta_warmup)'}"
    lower = Remedy({"training.beta": rounded(training.beta / MUCH)})
    rising = Remedy({"training.beta_warmup": 2 * training.beta_warmup or float(max(training.epochs // 2, 1))}, START)
    return f"lower training.beta (now {training.beta:g}), or {slowly}", (lower, rising)
