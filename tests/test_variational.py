"""The general convolutional family, variational autoencoders and their units, and initial weights."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from torch import distributions, nn

from tests.conftest import Laboratory
from tests.training import train
from tuiae.config import Initialisation, ModelSection, build_config, load_config
from tuiae.models import losses
from tuiae.models.activations import drawing_from
from tuiae.models.layers import INITIALISERS
from tuiae.models.networks import Classifier, VariationalAutoencoder, build_model
from tuiae.preflight import check
from tuiae.runs.writer import create_run
from tuiae.training.objective import Objective
from tuiae.training.rehearsal import dry_run
from tuiae.training.setup import set_up

MNIST = (1, 28, 28)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def build(shape: tuple[int, int, int] = MNIST, **keys: Any) -> Any:
    return build_model(ModelSection(**keys), shape, 10)


# Strides


def test_strides_of_two_give_the_sizes_of_tp5() -> None:
    model = build(family="strided-conv", channels=(32, 64), stride=(2,), kernel=3)
    x = torch.rand(2, *MNIST)
    sizes = [tuple((x := layer(x)).shape[1:]) for layer in model.encoder if isinstance(layer, nn.Module)]
    assert list(dict.fromkeys(sizes)) == [(32, 14, 14), (64, 7, 7), (3136,), (64,)]


@pytest.mark.parametrize("shape", [(1, 7, 5), (1, 1, 1), (3, 2, 9), (1, 28, 28)])
@pytest.mark.parametrize(("stride", "kernel"), [((2,), 3), ((3, 1, 2), 5), ((1,), 1), ((8, 8, 8), 7)])
def test_images_of_any_size_come_back(shape: tuple[int, int, int], stride: tuple[int, ...], kernel: int) -> None:
    model = build(shape, family="strided-conv", channels=(3, 4, 5), stride=stride, kernel=kernel, latent=2)
    images = torch.rand(2, *shape)
    assert model(images).reconstruction.shape == images.shape


# Units


def test_kl_is_that_of_two_normal_distributions() -> None:
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    posterior = distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0))
    assert torch.allclose(losses.kl_divergence(mean, log_variance), expected, atol=1e-5)
    assert losses.kl_divergence(torch.zeros(1, 2), torch.zeros(1, 2)).abs().max() == 0
    # By hand: N(1, e) against N(0, 1) is (1 + e - 1 - 1) / 2.
    assert losses.kl_divergence(torch.ones(1, 1), torch.ones(1, 1)).item() == pytest.approx((math.e - 1) / 2)


def test_likelihoods_are_in_nats_an_image() -> None:
    x, guess = torch.rand(4, 1, 3, 5), torch.rand(4, 1, 3, 5) * 0.8 + 0.1
    pixels = 15

    def nats(distribution: Any) -> float:
        return -distribution.log_prob(x).sum((1, 2, 3)).mean().item()

    bernoulli = nats(distributions.Bernoulli(guess, validate_args=False))
    normal = nats(distributions.Normal(guess, 1.0)) - pixels / 2 * math.log(2 * math.pi)
    laplace = nats(distributions.Laplace(guess, 1.0)) - pixels * math.log(2)
    for loss, expected in (("bce", bernoulli), ("mse", normal), ("sse", normal), ("l1", laplace)):
        assert losses.negative_log_likelihood(loss, guess, x).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_total_is_the_reconstruction_term_and_beta_times_the_kl_term(beta: float) -> None:
    document = {"model": {"family": "vae", "latent": 2}, "training": {"loss": "bce", "beta": beta}}
    config = build_config(document)
    network = build_model(config.model, (1, 8, 8), 0)
    objective = Objective(config, network)
    images = torch.rand(6, 1, 8, 8)
    output = network(images)
    score = objective(output, images, torch.zeros(6))
    values = dict(zip(objective.names, (value.item() for value in score.values), strict=True))
    assert values["kl"] > 0
    assert values["loss"] == pytest.approx(values["reconstruction"] + beta * values["kl"], rel=1e-5)


def test_the_mean_square_has_torchs_value_and_gradient() -> None:
    target = torch.rand(3, 1, 4, 4)
    ours, theirs = (torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab")
    (losses.mse(ours, target) * 3).backward()
    (nn.functional.mse_loss(theirs, target) * 3).backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad)
    assert losses.mse(torch.full((1, 1, 2, 2), math.nan), torch.zeros(1, 1, 2, 2)).isnan()


# Codes


@pytest.mark.parametrize("family", ["vae", "conv-vae"])
def test_codes_are_drawn_while_training_and_are_the_mean_afterwards(family: str) -> None:
    model = build(family=family, latent=3)
    images = torch.rand(2000, 1, 28, 28)[:1].repeat(2000, 1, 1, 1)
    output = model(images)
    drawn = (output.code - output.mean) / (0.5 * output.log_variance).exp()
    assert drawn.mean().abs() < 0.05
    assert (drawn.std() - 1).abs() < 0.05
    output = model.eval()(images[:2])
    assert torch.equal(output.code, output.mean)
    assert torch.equal(model.encode(images[:2]), output.mean)
    with drawing_from(torch.Generator().manual_seed(3)):
        first = model(images[:2]).code
    with drawing_from(torch.Generator().manual_seed(3)):
        assert torch.equal(model(images[:2]).code, first)
    assert not torch.equal(first, output.mean)


def test_the_mean_is_neither_rectified_nor_dropped() -> None:
    model = build(family="vae", latent=3, hidden=(16,), dropout=0.5)
    assert isinstance(model, VariationalAutoencoder)
    assert isinstance(model.encoder[-1], nn.Linear)
    assert (model.posterior(torch.rand(50, *MNIST))[0] < 0).any()


@pytest.mark.parametrize(("family", "encoder"), [("vae", "dense"), ("conv-vae", "strided-conv")])
def test_a_classifier_takes_the_mean_of_a_variational_encoder(family: str, encoder: str) -> None:
    keys: dict[str, Any] = {"latent": 5, "hidden": (12,)}
    trained = build(family=family, **keys)
    classifier = build(family="classifier", encoder=encoder, code_activation="identity", **keys)
    assert isinstance(classifier, Classifier)
    classifier.load_encoder(trained.state_dict())
    images = torch.rand(2, *MNIST)
    assert torch.equal(classifier.encode(images), trained.encode(images))


@pytest.mark.parametrize("family", ["vae", "conv-vae"])
def test_a_run_of_a_variational_autoencoder_is_there_to_classify_on(family: str, lab: Laboratory) -> None:
    small: dict[str, Any] = {
        "data": {"dataset": "glyphs"},
        "model": {"family": family, "latent": 3, "hidden": [6], "channels": [4], "norm": "batch"},
        "training": {"epochs": 1, "device": "cpu"},
    }
    source = create_run(build_config(small), lab.runs, [])
    trained = train(source).parts.model
    asked = build_config({**small, "model": {"family": "classifier", "encoder_run": source.id, "freeze": True}})
    config = check(asked, lab.runs).config
    assert dry_run(config, lab.runs).epochs == 1
    classifier = set_up(load_config(create_run(config, lab.runs, []).config), lab.runs).model
    images = torch.rand(20, 1, 7, 5)
    with torch.inference_mode():
        codes = classifier.encode(images)
        assert torch.equal(codes, trained.eval().encode(images))
    assert (codes < 0).any()  # means, which nothing has rectified


# Initial weights


def test_every_initialisation_of_the_config_is_there() -> None:
    assert {"default", *INITIALISERS} == set(get_args(Initialisation))


@pytest.mark.parametrize("kind", sorted(INITIALISERS))
def test_initial_weights_are_drawn_as_named_and_repeat(kind: str) -> None:
    def weights() -> torch.Tensor:
        torch.manual_seed(5)
        return build(family="dense", latent=300, initialisation=kind).encoder[1].weight

    inputs, outputs = 784, 300
    wanted = {"xavier": math.sqrt(2 / (inputs + outputs)), "kaiming": math.sqrt(2 / inputs)}
    assert torch.equal(weights(), weights())
    if kind == "orthogonal":
        product = weights() @ weights().T
        assert torch.allclose(product, torch.eye(outputs), atol=1e-4)
    else:
        assert weights().std().item() == pytest.approx(wanted[kind.partition("-")[0]], rel=0.02)
    assert build(family="dense", initialisation=kind).encoder[1].bias.abs().max() == 0
