"""Kernels in C: the bits of PyTorch's own operators, and trainings where there is no compiler."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from tests.conftest import SMALL, Laboratory
from tests.training import train
from tuiae import kernels
from tuiae.config import RunConfig, build_config
from tuiae.config.document import parse_toml
from tuiae.models import activations
from tuiae.models.activations import Dropout, PooledStack, RectifiedDropout, ReLU, Sigmoid, drawing_from
from tuiae.models.layers import ConvTranspose2d
from tuiae.models.losses import wrong_pixels
from tuiae.runs.writer import create_run
from tuiae.training.evaluate import evaluate
from tuiae.training.setup import Cores, set_up
from tuiae.training.step import BatchGradient

LAST = torch.channels_last
ODD = (float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 1e-42)


def forget() -> None:
    kernels.library.cache_clear()
    kernels.torch_routines.cache_clear()
    activations._draws_alike.cache_clear()


@pytest.fixture(autouse=True)
def compiled() -> None:
    if kernels.library() is None:
        pytest.skip("there is no C compiler here")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Call it to go on without kernels."""

    def leave_out() -> None:
        monkeypatch.setenv(kernels.SWITCH, "off")
        forget()

    yield leave_out
    monkeypatch.undo()
    forget()


def both(without: Any, compute: Any) -> tuple[Any, Any]:
    """What a function gives with kernels, and without."""
    first = compute()
    without()
    assert kernels.library() is None
    return first, compute()


def assert_same_bits(one: list[Tensor], other: list[Tensor]) -> None:
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def images(*shape: int, odd: bool = True) -> Tensor:
    """Values of every kind, channels last as convolutions make them."""
    made = torch.randn(*shape, generator=Generator().manual_seed(3))
    if odd:
        made.view(-1)[: len(ODD)] = torch.tensor(ODD)
    return made.contiguous(memory_format=LAST) if made.dim() == 4 else made


def passed(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """What a layer gives, and the gradient of its input, for the same draws."""
    source = x.clone().requires_grad_()
    with drawing_from(Generator().manual_seed(5)):
        output = layer(source * 1.0)  # as a layer before it would
        (gradient,) = torch.autograd.grad(output, source, torch.cos(torch.arange(output.numel()).view(output.shape)))
        after = torch.rand(3, generator=activations.drawn_from())
    return [output.detach(), gradient, after]


# --- layers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5), (9, 16, 26, 25), (2, 3, 5, 7)], ids=str)
@pytest.mark.parametrize(
    "layer", [Dropout(0.3), RectifiedDropout(0.3), RectifiedDropout(0.0), ReLU(), Sigmoid()], ids=repr
)
def test_a_layer_has_the_same_bits(layer: nn.Module, shape: tuple[int, ...], without: Any) -> None:
    assert_same_bits(*both(without, lambda: passed(layer, images(*shape))))


@pytest.mark.parametrize("p", [0.0, 0.25])
@pytest.mark.parametrize("size", [(26, 26), (11, 11), (3, 4), (2, 5)], ids=str)
def test_pooling_goes_with_the_activation_before_it(size: tuple[int, int], p: float, without: Any) -> None:
    stack = PooledStack(nn.Identity(), RectifiedDropout(p), nn.MaxPool2d(2), nn.Flatten())
    alike = torch.ones(3, 16, *size).contiguous(memory_format=LAST)  # of equals the first one counts
    for x in (images(5, 16, *size), images(5, 3, *size, odd=False), alike):
        apart = nn.Sequential(*stack)
        assert_same_bits(passed(stack, x), passed(apart, x))
        assert_same_bits([stack.eval()(x)], [apart.eval()(x)])
        stack.train()
    assert_same_bits(*both(without, lambda: passed(stack, images(5, 16, *size))))


def test_what_does_not_lie_channels_last_is_pooled_by_pytorch() -> None:
    stack = PooledStack(RectifiedDropout(0.0), nn.MaxPool2d(2))
    x = images(2, 3, 6, 6).contiguous()
    assert_same_bits([stack(x.clone())], [F.max_pool2d(F.relu(x), 2)])


def test_only_what_a_layer_has_made_is_overwritten() -> None:
    source = images(4, 8)
    before = source.clone()
    for layer in (ReLU(), Sigmoid(), RectifiedDropout(0.5)):
        layer(source)
        layer(source.requires_grad_())
        assert_same_bits([source.detach()], [before])


def test_the_generator_goes_on_as_pytorchs_does() -> None:
    assert activations._draws_alike()
    ours, theirs = (Generator().manual_seed(7) for _ in range(2))
    for count in (1, 311, 312, 313, 1000, 7, 50_001):
        drawn = torch.empty(count, dtype=torch.int64)
        activations._draw_quickly(drawn, ours)
        assert torch.equal(drawn, torch.empty_like(drawn).random_(-(2**63), None, generator=theirs))
        assert torch.equal(torch.randn(5, generator=ours), torch.randn(5, generator=theirs))


def test_wrong_pixels_are_counted_as_by_pytorch(without: Any) -> None:
    made, wanted = torch.sigmoid(images(6, 1, 7, 5)), torch.rand(6, 1, 7, 5).round()
    made.view(-1)[7] = 0.5
    assert_same_bits(*(list(counts) for counts in both(without, lambda: wrong_pixels(made, wanted))))


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "stride", "padding", "extra"),
    [
        (32, 16, 5, 2, 0, 0),
        (8, 20, 3, 2, 1, 1),
        (16, 1, 4, 2, 0, 0),
        (8, 3, 3, 2, 1, 1),
        (4, 2, 3, 1, 1, 0),
        (4, 2, (4, 5), 2, 0, 0),
    ],
)
def test_a_transposed_convolution_goes_in_parts(
    inputs: int, outputs: int, kernel: int, stride: int, padding: int, extra: int, without: Any
) -> None:
    torch.manual_seed(1)
    layer = ConvTranspose2d(inputs, outputs, kernel, stride, padding, extra).to(memory_format=LAST)
    x = images(70, inputs, 6, 5, odd=False)

    def compute() -> list[Tensor]:
        source = x.clone().requires_grad_()
        made = layer(source)
        return [made.detach(), *torch.autograd.grad(made.square().sum(), [source, *layer.parameters()])]

    direct = compute()
    layer.in_parts = True
    product, slow = both(without, compute)
    assert product[0].shape == direct[0].shape
    for one, other in zip(product, direct, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert_same_bits(product, slow)


# --- trainings --------------------------------------------------------------------------------------------------

NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {"noise.kind": "none", "model.output": "relu", "training.batch_size": 300},
    "conv": {"model.family": "conv", "model.dropout": 0.2, "model.output_dropout": True, "data.image_size": 27},
    "strided": {"model.family": "strided-conv", "model.activation": "gelu"},
    "variational": {"model.family": "conv-vae", "training.loss": "bce", "model.output": "sigmoid"},
    "classifier": {
        "model.family": "classifier",
        "model.encoder": "conv",
        "data.image_size": 12,
        "model.head": "relu-dropout",
    },
}


def trained(config: RunConfig) -> list[Tensor]:
    """Weights and scores after some steps, and the metrics of an evaluation."""
    parts = set_up(config)
    parts.model.train()
    gradient, found = BatchGradient(parts), []
    optimizer = torch.optim.Adam(gradient.weights, 1e-2)
    for step in range(3):
        gradient.seed(step)
        found.append(gradient(torch.arange(config.training.batch_size) + step).sums)
        optimizer.step()
    return [
        *found,
        *map(torch.detach, parts.model.parameters()),
        torch.tensor([*evaluate(parts, parts.test).metrics.values()]),
    ]


DENSE: dict[str, dict[str, Any]] = {
    "relu": {"model.output": "relu", "model.latent": 64, "training.batch_size": 600},
    "wide and narrow": {"model.hidden": [100, 37, 6], "model.latent": 1, "training.batch_size": 257},
    "sigmoid": {"model.hidden": [40], "model.output": "sigmoid", "noise.kind": "gaussian", "noise.level": 0.3},
    "tanh": {
        "model.activation": "tanh",
        "model.code_activation": "tanh",
        "model.hidden": [10],
        "model.dropout": 0,
        "model.output": "sigmoid",
        "training.loss": "sse",
    },
    "linear": {
        "model.activation": "identity",
        "model.code_activation": "identity",
        "model.output": "identity",
        "model.dropout": 0,
    },
}


def dense(settings: dict[str, Any], **others: Any) -> RunConfig:
    return build_config(
        parse_toml(SMALL), {"training.precision": "float32", "training.shards": 2, **settings, **others}
    )


@pytest.mark.parametrize("network", DENSE)
@pytest.mark.parametrize("activates", [True, False], ids=["alone", "PyTorch activates"])
def test_a_dense_network_is_computed_at_once_with_the_same_bits(
    network: str, activates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not activates:
        monkeypatch.setattr(kernels.TorchRoutines, "activates", False)
    config = dense(DENSE[network])
    parts = set_up(config)
    parts.model.train()
    if parts.program is None:
        pytest.skip("this PyTorch multiplies by other means")
    gradient = BatchGradient(parts)
    for count in (2, 61, config.training.batch_size // 2):
        found = []
        for compute in (gradient.compute_shard, gradient.compute_by_layers):
            gradient.seed(3)
            gradients, score = compute(torch.arange(count), 2 * count, 1)
            found.append([*map(torch.clone, gradients), *score])
        assert_same_bits(*found)


@pytest.mark.parametrize("network", DENSE)
def test_a_dense_training_has_the_same_bits_with_and_without(network: str, without: Any) -> None:
    assert_same_bits(*both(without, lambda: trained(dense(DENSE[network]))))


@pytest.mark.parametrize(
    "settings",
    [
        {"model.activation": "gelu", "model.hidden": [5]},
        {"model.output": "sigmoid", "model.output_dropout": True, "model.dropout": 0.1},
        {"training.loss": "bce", "model.output": "sigmoid"},
        {"training.precision": "bfloat16"},
        {"training.shards": 0},
        {"model.family": "vae"},
        {"model.family": "conv", "data.image_size": 27},
    ],
    ids=str,
)
def test_layers_that_the_kernels_do_not_know_compute_themselves(settings: dict[str, Any]) -> None:
    assert set_up(dense(settings)).program is None


def test_an_edit_of_dropout_reaches_what_computes_a_dense_network() -> None:
    parts = set_up(dense(DENSE["relu"]))
    parts.model.train()
    if parts.program is None:
        pytest.skip("this PyTorch multiplies by other means")
    activations.set_dropout(parts.model, 0.5)
    edited = replace(parts, config=dense(DENSE["relu"], **{"model.dropout": 0.5}))
    gradient = BatchGradient(edited)
    found = []
    for compute in (gradient.compute_shard, gradient.compute_by_layers):
        gradient.seed(3)
        found.append([*map(torch.clone, compute(torch.arange(50), 100, 1)[0])])
    assert_same_bits(*found)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_training_has_the_same_bits_with_and_without(network: str, without: Any) -> None:
    config = build_config(
        parse_toml(SMALL), {"training.precision": "float32", "training.shards": 2, **NETWORKS[network]}
    )
    assert_same_bits(*both(without, lambda: trained(config)))


def test_a_run_of_an_earlier_version_goes_on_with_direct_convolutions() -> None:
    complete = build_config(parse_toml(SMALL), {"model.family": "strided-conv"}).model_dump(mode="json")
    assert build_config(complete).training.transposed == "parts"
    del complete["training"]["transposed"]
    earlier = build_config(complete)
    assert earlier.training.transposed == "direct"
    products = [
        [layer.in_parts for layer in set_up(config).model.modules() if isinstance(layer, ConvTranspose2d)]
        for config in (earlier, build_config(parse_toml(SMALL), {"model.family": "strided-conv"}))
    ]
    assert products == [[False, False], [True, True]]


def test_a_core_computes_alone_from_its_first_operation_on() -> None:
    assert Cores(3).map(lambda _: torch.get_num_threads(), range(20)) == [1] * 20


# --- compiling --------------------------------------------------------------------------------------------------


def test_without_a_compiler_pytorch_does_it_and_the_log_says_so(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "cc"
    refusing.write_text("#!/bin/sh\nexit 1\n")
    refusing.chmod(0o755)
    try:
        for compiler in (tmp_path / "none", refusing):
            monkeypatch.setenv("CC", str(compiler))
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
            forget()
            assert kernels.library() is None
        run = create_run(build_config(parse_toml(SMALL), {"training.epochs": 1}), lab.runs, [])
        train(run)
        assert b"compiler" in run.events.read_bytes()
    finally:
        monkeypatch.undo()
        forget()


def test_a_compiler_that_does_not_know_this_processor_compiles_for_any(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = tmp_path / "cc"
    plain.write_text('#!/bin/sh\ncase "$*" in *native*) exit 1;; esac\nexec cc "$@"\n')
    plain.chmod(0o755)
    monkeypatch.setenv("CC", str(plain))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    try:
        assert kernels.library() is not None
        assert_same_bits(passed(ReLU(), images(3, 5)), passed(nn.ReLU(), images(3, 5)))
    finally:
        monkeypatch.undo()
        forget()


def test_the_library_is_compiled_once_for_a_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        made = kernels._compiled()
        born = made.stat().st_mtime_ns
        assert kernels._compiled() == made
        assert made.stat().st_mtime_ns == born
        assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
        assert [*made.parent.iterdir()] == [made]
        monkeypatch.setattr(kernels, "_processor", lambda: "another")
        assert kernels._compiled() != made
        made.parent.chmod(0o777)
        with pytest.raises(PermissionError):
            kernels._compiled()
    finally:
        monkeypatch.undo()


def test_a_profiler_sees_the_kernels_where_it_is_asked_to() -> None:
    before = {name: getattr(kernels.library(), name) for name in kernels.ARGUMENTS}
    stack = nn.Sequential(nn.Linear(4, 4), ReLU())
    with (
        kernels.named("kernel::"),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler,
    ):
        stack(torch.ones(2, 4)).sum().backward()
    seen = {event.name for event in profiler.events() or () if event.name.startswith("kernel::")}
    assert seen == {"kernel::rectify_drop", "kernel::rectify_drop_gradient"}
    assert before == {name: getattr(kernels.library(), name) for name in kernels.ARGUMENTS}
