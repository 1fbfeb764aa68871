"""Optimizers by name, and what an optimizer gathered handed on to another one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from tuiae.config import TrainingSection


def _uncompiled(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The optimizer without the decorators that torch.compile needs: their first call imports the compiler, which
    takes 1.3 s and 160 MB, and nothing here is compiled. And without the hooks around a step, which nothing here sets:
    with them a step of a small network takes twice as long."""
    plain = {
        name: inspect.unwrap(getattr(kind, name))
        for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    }
    step = torch.no_grad()(plain["step"])
    step.hooked = True
    return type(kind.__name__, (kind,), {**plain, "step": step})


class _AtOnce(torch.optim.Optimizer):
    """Before an Adam, lets it call its fused kernel alone on a CPU, with the same bits: PyTorch's step finds weights,
    gradients and moments anew each time and counts the steps of each weight by itself, 60 us more for ten of them."""

    kernel: Callable[..., None]
    _known: tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]] | None = None
    """How many steps were taken with each weight, its moments, and views of the numbers of steps."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._known = None

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        if self._known is None:
            super().step()
            if group["fused"] and group["params"][0].device.type == "cpu":
                self._know([self.state[weights] for weights in group["params"]])
            return
        counts, moments, squares, steps = self._known
        counts.add_(1)
        gradients = [weights.grad for weights in group["params"]]
        options = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
        first, second = group["betas"]
        self.kernel(group["params"], gradients, moments, squares, [], steps, beta1=first, beta2=second, **options)

    step.hooked = True  # type: ignore[attr-defined]

    def _know(self, gathered: list[dict[str, Tensor]]) -> None:
        counts = torch.stack([one["step"] for one in gathered])
        for one, step in zip(gathered, counts, strict=True):
            one["step"] = step
        moments, squares, steps = ([one[name] for one in gathered] for name in ("exp_avg", "exp_avg_sq", "step"))
        self._known = counts, moments, squares, steps


def _at_once(kind: type[torch.optim.Optimizer], kernel: Callable[..., None]) -> type[torch.optim.Optimizer]:
    return type(kind.__name__, (_AtOnce, _uncompiled(kind)), {"kernel": staticmethod(kernel)})


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": _at_once(torch.optim.Adam, torch._fused_adam_),
    "adamw": _at_once(torch.optim.AdamW, torch._fused_adamw_),
    "sgd": _uncompiled(torch.optim.SGD),
    "rmsprop": _uncompiled(torch.optim.RMSprop),
}
_WITH_MOMENTUM = ("sgd", "rmsprop")
_CAPTURE_CHECKS = ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check")
"""What a step asks of CUDA before anything else, of PyTorch 2.14 and before: it begins the first card, for weights on
the CPU as well."""


def build_optimizer(
    parameters: Iterable[Parameter], section: TrainingSection, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer over the parameters that train; fused kernels where PyTorch has them (one launch a step). On CUDA
    its steps can be captured in a graph, and its rate is a tensor, where such a graph finds it."""
    options: dict[str, Any] = {"lr": section.learning_rate, "weight_decay": section.weight_decay}
    if section.optimizer in _WITH_MOMENTUM:
        options["momentum"] = section.momentum
    if section.optimizer != "rmsprop":
        options["fused"] = device.type in ("cpu", "cuda") or None
    if device.type == "cuda" and section.optimizer != "sgd":  # which counts no steps
        options["capturable"] = True
    optimizer = OPTIMIZERS[section.optimizer]([weights for weights in parameters if weights.requires_grad], **options)
    optimizer._warned_capturable_if_run_uncaptured = True  # it is meant to do both
    if device.type == "cpu":
        for name in _CAPTURE_CHECKS:
            setattr(optimizer, name, lambda: None)
    if device.type == "cuda":
        for group in optimizer.param_groups:  # only now: checking its sign would wait for the device
            group["lr"] = torch.tensor(section.learning_rate, device=device)
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the steps to come."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


_GATHERED = {"Adam": ("step", "exp_avg", "exp_avg_sq"), "RMSprop": ("step", "square_avg")}
_GATHERED["AdamW"] = _GATHERED["Adam"]
"""Class of an optimizer -> what it gathers for each weight from its first step on; SGD gathers momentum at most."""


def is_gathered_for(optimizer: torch.optim.Optimizer, saved: Any) -> bool:
    """Returns whether this is what such an optimizer gathers for such weights."""
    if not isinstance(saved, dict) or not isinstance(saved.get("state"), dict):
        return False
    groups = saved.get("param_groups")
    own = optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return False
    if [group.get("params") for group in groups] != [group["params"] for group in own]:
        return False
    weights = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    needed = _GATHERED.get(type(optimizer).__name__, ())
    for index, gathered in saved["state"].items():
        if index not in range(len(weights)) or not isinstance(gathered, dict) or not gathered.keys() >= {*needed}:
            return False
        shape = weights[index].shape
        for name, value in gathered.items():
            fits = isinstance(value, Tensor) and value.shape == (torch.Size() if name == "step" else shape)
            if not (fits or (value is None and name == "momentum_buffer")):
                return False
    return True


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Take over what an optimizer has gathered; its settings stay the config's, which a fork may have changed."""
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
        for parameter in group["params"]:
            gathered = optimizer.state.get(parameter, {})
            _lay_out(gathered, parameter, bool(own.get("fused") or own.get("capturable")))
            # RMSprop makes room for its momentum at its first step alone.
            if own.get("momentum") and "square_avg" in gathered and "momentum_buffer" not in gathered:
                gathered["momentum_buffer"] = torch.zeros_like(parameter)


def _lay_out(gathered: dict[str, Any], parameter: Tensor, counts_on_device: bool) -> None:
    """Put what was gathered for a parameter where this optimizer looks for it: it may have been gathered on another
    device, or with the weights in another order of memory."""
    for name, value in gathered.items():
        if name == "step":
            # load_state_dict goes by whether the optimizer that was saved was fused.
            gathered[name] = value.to(parameter.device if counts_on_device else "cpu", torch.float32)
        elif value.shape == parameter.shape and value.stride() != parameter.stride():
            # Fused kernels on a CPU pair numbers by their place in memory, and say nothing.
            gathered[name] = torch.empty_like(parameter).copy_(value)
