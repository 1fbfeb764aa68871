"""Networks: their printed shapes, their parameter counts, freezing, dropout, losses and counts."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any, get_args

import pytest
import torch
from torch import nn

from tuiae.config import Activation, Head, ModelSection, OutputActivation
from tuiae.errors import ConfigError
from tuiae.models import layers as linear
from tuiae.models import losses
from tuiae.models.activations import ACTIVATIONS, Dropout, RectifiedDropout
from tuiae.models.geometry import conv_geometry, count_parameters, network_layers
from tuiae.models.layers import OneDnnLinear, has_onednn
from tuiae.models.networks import HEADS, build_model

MNIST = (1, 28, 28)


def section(**keys: Any) -> ModelSection:
    return ModelSection(**keys)


def layer_shapes(stack: nn.Sequential, x: torch.Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Name and output shape, less the batch, of every layer."""
    shapes = []
    for layer in stack:
        x = layer(x)
        shapes.append((type(layer).__name__, tuple(x.shape[1:])))
    return shapes


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


# --- geometry ---------------------------------------------------------------------------------------------------


def test_geometry_and_package_do_not_import_torch() -> None:
    code = "import sys, tuiae.models, tuiae.models.geometry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kernels_for_28_are_those_printed() -> None:
    sizes = conv_geometry(28, 28)
    assert (sizes.features, sizes.up1_kernel, sizes.up2_kernel) == (800, (5, 5), (4, 4))


# --- networks ---------------------------------------------------------------------------------------------------


# A RectifiedDropout is the ReLU and the Dropout after it that the works print, as one layer.


def test_conv_encoder_is_the_one_printed() -> None:
    model = build_model(section(family="conv", latent=64, dropout=0.2), MNIST, 10)
    assert layer_shapes(model.encoder, torch.rand(2, *MNIST)) == [
        ("Conv2d", (16, 26, 26)),
        ("RectifiedDropout", (16, 26, 26)),
        ("MaxPool2d", (16, 13, 13)),
        ("Conv2d", (32, 11, 11)),
        ("RectifiedDropout", (32, 11, 11)),
        ("MaxPool2d", (32, 5, 5)),
        ("Flatten", (800,)),
        ("Linear", (64,)),
        ("RectifiedDropout", (64,)),
    ]


def test_conv_decoder_is_the_one_printed() -> None:
    model = build_model(section(family="conv", latent=64, dropout=0.2, output_dropout=True), MNIST, 10)
    assert layer_shapes(model.decoder, torch.rand(2, 64)) == [
        ("Linear", (800,)),
        ("RectifiedDropout", (800,)),
        ("Unflatten", (32, 5, 5)),
        ("ConvTranspose2d", (16, 13, 13)),
        ("RectifiedDropout", (16, 13, 13)),
        ("ConvTranspose2d", (1, 28, 28)),
        ("Sigmoid", (1, 28, 28)),
        ("Dropout", (1, 28, 28)),
    ]


def test_dense_without_hidden_is_politano() -> None:
    model = build_model(section(latent=64, output="relu", dropout=0.1), MNIST, 10)
    encoder = layer_shapes(model.encoder, torch.rand(2, *MNIST))
    decoder = layer_shapes(model.decoder, torch.rand(2, 64))
    assert encoder == [("Flatten", (784,)), ("Linear", (64,)), ("RectifiedDropout", (64,))]
    assert decoder == [("Linear", (784,)), ("ReLU", (784,)), ("Unflatten", MNIST)]


def test_dense_hidden_widths_are_mirrored() -> None:
    keys = {"hidden": (15, 10), "latent": 2, "activation": "tanh", "code_activation": "identity"}
    model = build_model(section(**keys, output_dropout=True), (1, 7, 5), 32)
    linear = [(m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear)]
    assert linear == [(35, 15), (15, 10), (10, 2), (2, 10), (10, 15), (15, 35)]
    names = [name for name, _ in layer_shapes(model.encoder, torch.rand(2, 1, 7, 5))]
    assert names == ["Flatten", *["Linear", "Tanh", "Dropout"] * 2, "Linear", "Identity", "Dropout"]
    names = [name for name, _ in layer_shapes(model.decoder, torch.rand(2, 2))]
    assert names == [*["Linear", "Tanh", "Dropout"] * 2, "Linear", "Sigmoid", "Dropout", "Unflatten"]


@pytest.mark.parametrize("shape", [MNIST, (1, 10, 10), (3, 11, 32), (1, 29, 14), (2, 31, 13), (1, 33, 64)])
@pytest.mark.parametrize("family", ["dense", "conv", "strided-conv", "vae", "conv-vae"])
def test_any_size_comes_back(family: str, shape: tuple[int, int, int]) -> None:
    model = build_model(section(family=family, latent=7, hidden=(9,)), shape, 0).eval()
    images = torch.rand(2, *shape)
    output = model(images)
    assert output.code.shape == (2, 7)
    assert output.reconstruction.shape == images.shape
    assert output.logits is None
    assert torch.equal(model.decode(model.encode(images)), output.reconstruction)


@pytest.mark.parametrize(
    "keys",
    [
        {"family": "dense", "latent": 64},
        {"family": "dense", "latent": 3, "hidden": (40, 9), "output_dropout": True, "dropout": 0.5},
        {"family": "conv", "latent": 256},
        {"family": "classifier", "encoder": "dense", "hidden": (12,), "head": "relu-dropout"},
        {"family": "classifier", "encoder": "conv", "freeze": True},
        {"family": "strided-conv", "channels": (8, 4, 6), "stride": (1, 2, 3), "kernel": 5},
        {"family": "strided-conv", "norm": "batch", "latent": 5},
        {"family": "classifier", "encoder": "strided-conv", "norm": "batch"},
        {"family": "vae", "hidden": (30, 20), "latent": 2},
        {"family": "vae", "latent": 2},
        {"family": "conv-vae", "norm": "batch", "latent": 2},
    ],
)
@pytest.mark.parametrize("shape", [MNIST, (3, 17, 12)])
def test_layers_and_their_parameters_are_known_without_building(
    keys: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    model, layers = build_model(section(**keys), shape, 7), network_layers(section(**keys), shape, 7)
    assert count_parameters(section(**keys), shape, 7) == sum(p.numel() for p in model.parameters())
    modules = dict(model.named_modules())
    own = {name: sum(p.numel() for p in module.parameters(recurse=False)) for name, module in modules.items()}
    assert {layer.name: layer.parameters for layer in layers if layer.parameters} == {
        name: count for name, count in own.items() if count
    }
    x = torch.rand(2, *shape)
    for part in ("encoder", "decoder", "head"):
        shapes = [given for _, given in layer_shapes(modules[part], x)] if part in modules else []
        listed = [layer for layer in layers if layer.part == part]
        assert [layer.shape for layer in listed] == [shapes[layer.index] for layer in listed]
        x = modules[part](x) if part in modules else x


def test_every_name_of_the_config_has_its_module() -> None:
    assert set(ACTIVATIONS) == set(get_args(Activation)) >= set(get_args(OutputActivation))
    assert set(HEADS) == set(get_args(Head))


def test_training_lowers_the_loss() -> None:
    images = (torch.rand(16, 1, 12, 12) > 0.7).float()
    for keys in ({"family": "dense", "hidden": (64,)}, {"family": "conv"}):
        model = build_model(section(**keys, latent=32), (1, 12, 12), 0)
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        values = []
        for _ in range(60):
            loss = losses.mse(model(images).reconstruction, images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            values.append(loss.item())
        assert values[-1] < 0.8 * values[0]


# --- classifier -------------------------------------------------------------------------------------------------


def train_step(model: nn.Module) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    model.train()
    losses.cross_entropy(model(torch.rand(8, *MNIST)).logits, torch.arange(8) % 4).backward()
    optimizer.step()


@pytest.mark.parametrize("encoder", ["dense", "conv"])
@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_encoder_stays_and_a_free_one_learns(encoder: str, freeze: bool) -> None:
    keys = {"family": "classifier", "encoder": encoder, "latent": 16, "dropout": 0.5, "freeze": freeze}
    model = build_model(section(**keys), MNIST, 4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train_step(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == (freeze and name.startswith("encoder.")), name


@pytest.mark.parametrize("freeze", [True, False])
def test_only_a_frozen_encoder_keeps_its_dropout_off_while_training(freeze: bool) -> None:
    model = build_model(section(family="classifier", latent=16, dropout=0.5, freeze=freeze), MNIST, 4)
    images = torch.rand(4, *MNIST)
    for prepare in (lambda: None, lambda: model.eval().train()):
        prepare()
        assert torch.equal(model(images).code, model(images).code) == freeze
        assert model.head.training


def test_heads() -> None:
    images = torch.rand(64, *MNIST)
    model = build_model(section(family="classifier", head="relu-dropout", dropout=0.5), MNIST, 4)
    output = model(images)
    assert output.reconstruction is None
    assert output.logits.shape == (64, 4)
    assert (output.logits >= 0).all()
    assert [type(layer) for layer in model.head] == [linear.Linear, nn.ReLU, Dropout]
    plain = build_model(section(family="classifier"), MNIST, 4)
    assert (plain(images).logits < 0).any()


@pytest.mark.parametrize("family", ["conv", "classifier"])
def test_the_encoder_is_taken_from_an_autoencoder_or_a_classifier(family: str) -> None:
    source = build_model(section(family=family, latent=16, dropout=0.2), MNIST, 4).eval()
    model = build_model(section(family="classifier", latent=16), MNIST, 4).eval()
    head = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    images = torch.rand(3, *MNIST)
    assert not torch.equal(model.encode(images), source.encode(images))
    model.load_encoder(source.state_dict())
    assert torch.equal(model.encode(images), source.encode(images))
    assert all(torch.equal(tensor, head[name]) for name, tensor in model.head.state_dict().items())


@pytest.mark.parametrize(
    "keys", [{"family": "conv", "latent": 8}, {"family": "dense", "latent": 16}], ids=lambda keys: keys["family"]
)
def test_another_encoder_is_refused_and_nothing_is_copied(keys: dict[str, Any]) -> None:
    model = build_model(section(family="classifier", latent=16), MNIST, 4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ConfigError):
        model.load_encoder(build_model(section(**keys), MNIST, 4).state_dict())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


# --- dropout ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    count = 400_000
    y = Dropout(p)(torch.ones(count, dtype=dtype))
    tolerance = 5 * math.sqrt(p * (1 - p) / count)
    assert (y == 0).double().mean().item() == pytest.approx(p, abs=tolerance)
    assert y.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-4 if dtype is torch.float32 else 4e-3)


def test_dropout_treats_all_four_lanes_of_a_draw_alike() -> None:
    dropped = (Dropout(0.3)(torch.ones(100_000, 4)) == 0).float().mean(0)
    assert dropped.tolist() == pytest.approx([0.3] * 4, abs=5 * math.sqrt(0.21 / 100_000))


def test_dropout_keeps_the_expectation_in_bfloat16() -> None:
    # 1 / 0.9 is 1.109375 in bfloat16: a scale rounded like that would lose 0.16% of every value.
    x = torch.rand(2_000_000).add(1).bfloat16()
    y = Dropout(0.1)(x)
    kept = y != 0
    assert (y[kept].double().sum() / x[kept].double().sum()).item() == pytest.approx(1 / 0.9, rel=4e-4)


def test_dropout_in_eval_is_the_identity() -> None:
    x = torch.rand(5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_repeats_under_a_seed_and_a_saved_state() -> None:
    x, dropout = torch.ones(1003), Dropout(0.5)
    torch.manual_seed(3)
    first = dropout(x)
    state = torch.get_rng_state()
    second = dropout(x)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(dropout(x), second)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 5, 7), (0,), (4, 0, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_takes_any_shape(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.ones(shape, dtype=dtype)
    y = Dropout(0.5)(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert ((y == 0) | (y == 2)).all()


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(0, 3),
        lambda x: x[:, ::2, 1:],
        lambda x: x[:1, :1].expand(6, 5, -1, -1),
    ],
)
def test_dropout_of_any_layout(view: Any) -> None:
    x = view(torch.rand(20, 16, 14, 14) + 1)
    y = Dropout(0.25)(x)
    kept = y != 0
    assert torch.allclose(y[kept], x[kept] / 0.75)
    assert kept.float().mean().item() == pytest.approx(0.75, abs=5 * math.sqrt(0.1875 / x.numel()))


def test_dropout_keeps_channels_last() -> None:
    x = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert Dropout(0.5)(x).is_contiguous(memory_format=torch.channels_last)


def test_dropout_gradient_is_that_of_its_mask_and_the_input_stays() -> None:
    x = (torch.rand(999) + 1).requires_grad_()
    before = x.detach().clone()
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, (y != 0).float() * 2)
    assert torch.equal(x.detach(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rectified_dropout_is_a_relu_and_a_dropout(dtype: torch.dtype) -> None:
    x = torch.randn(64, 3, 7, 5).to(dtype).contiguous(memory_format=torch.channels_last)
    gradient = torch.randn_like(x)
    results = []
    for layers in (nn.Sequential(nn.ReLU(), Dropout(0.3)), RectifiedDropout(0.3)):
        source = x.clone().requires_grad_()
        torch.manual_seed(5)
        output = layers(source)
        output.backward(gradient)
        results.append((output, source.grad, layers.eval()(x)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_dropout_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match=str(p)):
        Dropout(p)


def test_dropout_next_to_one_stays_finite() -> None:
    assert torch.isfinite(Dropout(1 - 1e-9)(torch.ones(200_000))).all()


# --- losses and counts ------------------------------------------------------------------------------------------


def test_losses_are_means_over_pixels_in_float32() -> None:
    target = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    guess = torch.tensor([[[[0.5, 0.75], [1.0, 0.25]]]]).bfloat16()
    expected = {
        "mse": (0.25 + 0.0625 + 0 + 0.0625) / 4,
        "l1": (0.5 + 0.25 + 0 + 0.25) / 4,
        "sse": 0.25 + 0.0625 + 0 + 0.0625,
        "bce": -(math.log(0.5) + 2 * math.log(0.75)) / 4,
    }
    assert set(losses.RECONSTRUCTION_LOSSES) == set(expected)
    for name, loss in losses.RECONSTRUCTION_LOSSES.items():
        value = loss(guess, target)
        assert (value.dtype, value.shape) == (torch.float32, ())
        assert value.item() == pytest.approx(expected[name], rel=1e-5)


def test_bce_has_torchs_gradient_and_survives_nan() -> None:
    target = torch.rand(2, 1, 4, 4)
    ours, theirs = (torch.linspace(0.01, 0.99, 32).reshape(2, 1, 4, 4).requires_grad_() for _ in range(2))
    losses.bce(ours, target).backward()
    nn.functional.binary_cross_entropy(theirs, target).backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4)
    assert losses.bce(torch.full((1, 1, 2, 2), math.nan), torch.zeros(1, 1, 2, 2)).isnan()


def test_wrong_pixels_are_counted_in_each_image() -> None:
    target = torch.tensor([[0.0, 0.4, 0.6, 1.0, 1.0]] * 2).reshape(2, 1, 1, 5)
    guess = torch.tensor([[0.5, 0.9, 0.7, 0.1, 3.0], [0.0, 0.0, 1.0, 1.0, 1.0]]).reshape(2, 1, 1, 5)
    values, pixels = losses.wrong_pixels(guess, target)
    assert values.tolist() == pixels.tolist() == [2, 0]


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 1, 8, 8), (2, 3, 7, 5), (2, 3, 32, 32)])
def test_wrong_pixels_of_any_size_are_the_plain_count(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    guess, target = torch.rand(shape), torch.rand(shape)
    plain = (guess > 0.5) != (target > 0.5)
    values, pixels = losses.wrong_pixels(guess, target)
    assert values.tolist() == plain.flatten(1).sum(1).tolist()
    assert pixels.tolist() == plain.any(1).flatten(1).sum(1).tolist()
    _, pixels = losses.wrong_pixels(torch.ones(shape), torch.zeros(shape))
    assert pixels.tolist() == [target[0, 0].numel()] * shape[0]


def test_confusion_has_the_true_class_in_rows() -> None:
    labels = torch.tensor([0, 0, 2, 2, 2], dtype=torch.uint8)
    logits = nn.functional.one_hot(torch.tensor([0, 1, 2, 2, 0]), 4).float()
    counts = losses.confusion_counts(logits, labels, 4)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]


@pytest.mark.skipif(not has_onednn(), reason="a PyTorch without oneDNN")
@pytest.mark.parametrize(("images", "entries", "units"), [(64, 784, 64), (1000, 64, 784), (3, 2, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_products_of_onednn_are_those_of_pytorch(images: int, entries: int, units: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.rand(images, entries, generator=generator), torch.rand(units, entries, generator=generator)
    given = [x, weight, torch.rand(units, generator=generator)] if bias else [x, weight]
    given = [tensor.requires_grad_() for tensor in given]
    wanted, made = torch.nn.functional.linear(*given), OneDnnLinear.apply(*given, *([] if bias else [None]))
    sums = {"rtol": 1e-4, "atol": 1e-4}  # of up to a thousand products, which every kernel adds in an order of its own
    torch.testing.assert_close(made, wanted, **sums)
    target = torch.rand(units, images, generator=generator).t()  # its gradient does not lie row by row
    grads = [torch.autograd.grad((output * target).sum(), given) for output in (made, wanted)]
    torch.testing.assert_close(*grads, **sums)


@pytest.mark.skipif(not has_onednn(), reason="a PyTorch without oneDNN")
def test_products_of_onednn_refuse_a_second_derivative_that_they_do_not_know() -> None:
    x, weight = torch.rand(4, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    output = OneDnnLinear.apply(x, weight, None).square().sum()
    (first,) = torch.autograd.grad(output, x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        first.square().sum().backward()


def test_only_large_products_of_float32_on_a_cpu_take_the_detour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "onednn_is_quicker", has_onednn)
    layer = linear.Linear(784, 64)
    name = "OneDnnLinearBackward" if has_onednn() else "AddmmBackward0"
    assert layer(torch.rand(1000, 784)).grad_fn.name() == name
    assert layer(torch.rand(2, 784)).grad_fn.name() == "AddmmBackward0"
    assert layer.double()(torch.rand(1000, 784).double()).grad_fn.name() == "AddmmBackward0"
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.float()(torch.rand(1000, 784)).dtype == torch.bfloat16
