"""Batches computed in shards: the same bits on any number of cores, and the gradient of the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from tests.conftest import CHECKOUT, SMALL, Laboratory
from tests.endings import assert_same_end
from tests.training import train
from tuiae.config import RunConfig, build_config, load_config
from tuiae.config.document import dump_config, parse_toml
from tuiae.preflight import check, put_on_encoder
from tuiae.runs.lineage import need_config
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import create_run
from tuiae.training.setup import Cores, set_up
from tuiae.training.step import BatchGradient

# Everything that is drawn: order, augmentation, corruption, dropout and the codes of a variational autoencoder.
DRAWN = {"model.family": "vae", "training.flip": True, "training.shift": 1, "training.epochs": 1, "training.shards": 3}


def config_of(**overrides: Any) -> RunConfig:
    return build_config(parse_toml(SMALL), {key.replace("__", "."): value for key, value in overrides.items()})


def gradients(config: RunConfig) -> list[torch.Tensor]:
    """The mean gradient of one batch, of each tensor of the weights."""
    parts = set_up(config)
    BatchGradient(parts)(torch.arange(config.training.batch_size))
    return [weights.grad for weights in parts.model.parameters() if weights.grad is not None]


@pytest.mark.parametrize("family", ["dense", "strided-conv", "classifier"])
def test_shards_have_the_gradient_of_the_whole_batch(family: str) -> None:
    plain = {
        "model__family": family,
        "model__encoder": "dense",
        "model__dropout": 0.0,
        "noise__kind": "none",
        "training__batch_size": 50,
        "training__precision": "float32",  # bfloat16, which some machines prefer, has two digits
    }
    whole, cut = (gradients(config_of(**plain, training__shards=shards)) for shards in (0, 7))
    assert whole
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_the_bits_do_not_depend_on_the_number_of_cores(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    config = build_config(parse_toml(SMALL), DRAWN)
    runs = []
    for cores in (1, 2, 16):
        run = create_run(config, lab.runs, [])
        monkeypatch.setattr("tuiae.training.setup.usual_threads", lambda cores=cores: cores)
        train(run)
        runs.append(run)
    for run in runs[1:]:
        assert_same_end(run, runs[0])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process cannot be kept on one core here")
def test_a_worker_on_one_core_ends_with_the_same_bits(lab: Laboratory) -> None:
    config = build_config(parse_toml(SMALL), DRAWN)
    runs = [create_run(config, lab.runs, []) for _ in "ab"]
    train(runs[0])
    alone = (
        f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}]); from tuiae.training.worker import main"
    )
    subprocess.run([sys.executable, "-c", f"{alone}; raise SystemExit(main())", runs[1].root], cwd=CHECKOUT, check=True)
    assert_same_end(*runs[::-1])


def test_a_config_says_how_many_shards_there_are_whatever_the_machine(lab: Laboratory) -> None:
    small, large, conv = (
        config_of(training__batch_size=batch, model__family=family)
        for batch, family in ((100, "dense"), (1000, "dense"), (1000, "conv"))
    )
    assert (small.shards, large.shards, conv.shards) == (1, 2, 8)
    assert [config_of(training__batch_size=batch).shards for batch in (299, 300, 500, 2000, 60_000)] == [1, 2, 2, 4, 4]
    run = create_run(large, lab.runs, [])
    assert load_config(run.config).training.shards == 2
    assert config_of(training__shards=4).shards == 4


def test_a_classifier_is_cut_as_suits_the_encoder_that_it_is_put_on() -> None:
    dense = config_of(model__family="dense")
    classifier = {"model__family": "classifier", "training__batch_size": 1000}
    assert put_on_encoder(config_of(**classifier), dense).shards == 2
    assert put_on_encoder(config_of(**classifier, training__shards=5), dense).shards == 5


def test_batch_norm_sees_the_whole_batch(lab: Laboratory) -> None:
    normed = {"model__family": "strided-conv", "model__norm": "batch"}
    assert config_of(**normed, training__batch_size=1000).training.shards == 0
    cut = config_of(**normed, training__shards=2)
    assert cut.shards == 0
    (told,) = check(cut, lab.runs).warnings
    assert told.startswith("training.shards = 2 ")


def test_a_run_of_an_earlier_version_goes_on_with_whole_batches(lab: Laboratory) -> None:
    config = config_of()
    earlier = parse_toml(dump_config(config))
    del earlier["training"]["shards"]
    assert build_config(earlier).shards == 0
    run: RunPaths = create_run(build_config(earlier), lab.runs, [])
    assert need_config(run).shards == 0


def test_subnormal_numbers_are_zero_on_every_core_but_in_runs_of_earlier_versions() -> None:
    earlier = parse_toml(dump_config(config_of()))
    del earlier["training"]["subnormals"]

    def product(item: int) -> float:
        return (torch.full((64,), 1e-30) * 1e-10)[item % 64].item()

    if not torch.set_flush_denormal(False):
        pytest.skip("this processor has no such mode")
    for config, flushed in (
        (build_config(earlier), False),
        (config_of(), True),
        (config_of(training__shards=0), False),
    ):
        parts = set_up(config)
        found = {value == 0 for value in [product(0), *parts.cores.map(product, range(200)), product(0)]}
        assert found == {flushed}
    assert build_config(earlier).training.subnormals == "kept"


def test_what_fails_on_a_core_is_told_and_the_others_end() -> None:
    done = []

    def compute(item: int) -> int:
        if item == 1:
            raise ValueError(item)
        done.append(item)
        return item

    assert Cores(3).map(lambda item: item * 2, range(9)) == list(range(0, 18, 2))
    with pytest.raises(ValueError, match="1"):
        Cores(1).map(compute, range(3))
    assert done == [0]


@pytest.mark.parametrize("shards", [0, 2])
def test_gradients_lie_in_memory_as_their_weights_do(shards: int) -> None:
    """Or a fused optimizer would pair the numbers of one with those of others."""
    kinds: dict[str, dict[str, Any]] = {
        "strided-conv": {"model__channels": [4, 8, 8], "model__norm": "none" if shards else "batch"},
        "conv-vae": {"model__channels": [4, 32]},
        "conv": {"data__image_size": 12},
    }
    for family, others in kinds.items():
        parts = set_up(config_of(model__family=family, training__shards=shards, **others))
        BatchGradient(parts)(torch.arange(100))
        for name, weights in parts.model.named_parameters():
            assert weights.grad is not None
            # The step along a dimension of one is never taken.
            wide = [place for place, size in enumerate(weights.shape) if size > 1]
            strides = [(weights.grad.stride(place), weights.stride(place)) for place in wide]
            assert all(one == other for one, other in strides), (family, name)
