"""Whole trainings in this process: every family learns; schedules, clipping, early stopping, rare evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from tests.conftest import Laboratory
from tuiae.config import RunConfig, build_config, load_config
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample, read_status
from tuiae.runs.writer import RunWriter, create_run
from tuiae.training.control import Mailbox
from tuiae.training.loop import Trainer
from tuiae.training.setup import set_up

CPU = torch.device("cpu")


def fit(root: Path, document: dict[str, Any]) -> tuple[RunPaths, Trainer, dict[str, Any]]:
    """Train in this process; the run, what trained it, and its summary."""
    document.setdefault("training", {})["device"] = "cpu"
    config: RunConfig = build_config(document)
    run = create_run(config, root, [])
    writer = RunWriter(run)
    trained = Trainer(set_up(config, root), writer, Mailbox(run, lambda: False))
    writer.close(trained.run())
    return run, trained, summarise(RunReader(run.root).read_all())


FAMILIES: dict[str, dict[str, Any]] = {
    "dense": {"family": "dense", "hidden": [48]},
    "conv": {"family": "conv"},
    "strided-conv": {"family": "strided-conv", "channels": [8, 16], "norm": "batch"},
    "vae": {"family": "vae", "hidden": [48]},
    "conv-vae": {"family": "conv-vae", "channels": [8, 16]},
    "classifier, dense": {"family": "classifier", "encoder": "dense", "hidden": [48]},
    "classifier, strided-conv": {"family": "classifier", "encoder": "strided-conv", "channels": [8, 16]},
}


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_every_family_learns_digits(tmp_path: Path, name: str, loss: str) -> None:
    data = {"dataset": "digits", "train_limit": 600, "image_size": 12 if name == "conv" else 0}
    training = {"epochs": 4, "batch_size": 50, "loss": loss, "learning_rate": 3e-3}
    _, _, summary = fit(tmp_path, {"data": data, "model": FAMILIES[name], "training": training})
    losses = summary["history"]["test/loss"]
    assert losses[-1] < 0.95 * losses[0]
    assert "test/kl" in summary["metrics"] or "vae" not in name


def test_a_variational_run_tells_both_terms_in_every_split_and_their_sum(tmp_path: Path) -> None:
    document = {
        "data": {"dataset": "digits"},
        "model": {"family": "vae", "hidden": [64], "latent": 2},
        "training": {"epochs": 6, "batch_size": 50, "loss": "bce", "beta_warmup": 3, "learning_rate": 2e-3},
    }
    run, trained, summary = fit(tmp_path, document)
    for split in ("train", "test", "train-eval"):
        history = {name: summary["history"][f"{split}/{name}"] for name in ("loss", "reconstruction", "kl")}
        if split != "train":  # whose beta rises
            for total, reconstruction, kl in zip(*history.values(), strict=True):
                assert total == pytest.approx(reconstruction + kl, rel=1e-5)
        assert min(history["kl"]) > 0
    first, last = summary["history"]["train/loss"][0], summary["history"]["train/reconstruction"][0]
    assert first < last + summary["history"]["train/kl"][0]  # beta was below 1
    sample = read_sample(run, 6)
    assert sample is not None
    assert sample.codes is not None
    assert sample.codes.shape == (297, 2)
    assert trained.state.epoch == 6


def test_a_linear_autoencoder_finds_the_plane_of_the_principal_components(tmp_path: Path) -> None:
    linear = {"activation": "identity", "code_activation": "identity", "output": "identity"}
    document = {
        "data": {"dataset": "digits"},
        "model": {"family": "dense", "latent": 3, **linear},
        "training": {"epochs": 300, "batch_size": 100, "learning_rate": 1e-2, "schedule": "cosine"},
        "samples": {"every": 1000},
        "checkpoint": {"every": 1000},
    }
    document["training"]["evaluate_every"] = 100
    _, trained, summary = fit(tmp_path, document)
    assert len(summary["history"]["test/loss"]) == 3
    images = trained.parts.train.span(0, 1500)[0].flatten(1).numpy()
    pca = PCA(3).fit(images)
    decoder = trained.parts.model.decoder[0].weight.detach().numpy()
    cosines = np.linalg.svd(np.linalg.qr(decoder)[0].T @ pca.components_.T, compute_uv=False)
    assert np.degrees(np.arccos(np.clip(cosines.min(), 0, 1))) < 3
    pixels = trained.parts.test.span(0, 297)[0].flatten(1).numpy()
    error = np.square(pixels - pca.inverse_transform(pca.transform(pixels))).mean()
    assert summary["metrics"]["test/mse"] == pytest.approx(error, rel=0.01)


def test_a_schedule_goes_on_where_a_resumed_training_stands(lab: Laboratory) -> None:
    keys = ("training.schedule=cosine", "training.warmup=1.5", "training.clip_norm=0.5", "training.shift=1")
    settings = [word for key in (*keys, "training.flip=true", "model.family=vae") for word in ("--set", key)]
    whole = lab.train(*settings)
    config = load_config(whole.config)
    run, stops = create_run(config, lab.runs, []), [22, None]
    for stop in stops:
        writer = RunWriter(run)
        part = Trainer(set_up(config), writer, Mailbox(run, lambda: stop == part.state.step))  # noqa: B023
        writer.close(part.run())
    weights = [json.loads((paths.weights / "step-000060" / "manifest.json").read_text()) for paths in (whole, run)]
    assert weights[0]["files"]["model.safetensors"] == weights[1]["files"]["model.safetensors"]


def test_clipping_bounds_the_step_of_plain_descent(tmp_path: Path) -> None:
    document: dict[str, Any] = {
        "data": {"dataset": "digits"},
        "training": {"epochs": 1, "batch_size": 1500, "optimizer": "sgd", "learning_rate": 1.0, "clip_norm": 1e-3},
    }
    config = build_config({**document, "training": {**document["training"], "device": "cpu"}})
    before = [parameter.clone() for parameter in set_up(config).model.parameters()]
    _, trained, _ = fit(tmp_path, document)
    after = trained.parts.model.parameters()
    moved = sum((a - b).square().sum().item() for a, b in zip(after, before, strict=True)) ** 0.5
    assert 0 < moved <= 1.001e-3


# Early stopping and rare evaluations


def test_early_stopping_ends_a_run_and_says_why(lab: Laboratory) -> None:
    settings = ("--set", "training.patience=2", "--set", "training.learning_rate=0.5", "--epochs", "200")
    run = lab.train(*settings)
    status = read_status(run)
    assert status.state == "finished"
    assert 3 <= status.epoch < 200
    losses = summarise(RunReader(run.root).read_all())["history"]["test/loss"]
    assert min(losses) == losses[-3] <= min(losses[-2:])
    notes = [note.text for note in RunReader(run.root).read_all().notes]
    assert any("stopped early" in note for note in notes)


def test_early_stopping_waits_until_beta_and_the_rate_have_risen(tmp_path: Path) -> None:
    training = {"epochs": 12, "batch_size": 500, "patience": 1, "learning_rate": 0.5, "beta": 50.0}
    for warmup, beta_warmup in ((3, 6), (6, 3)):
        rising = {"warmup": warmup, "beta_warmup": beta_warmup, "loss": "bce"}
        document = {"data": {"dataset": "digits"}, "model": {"family": "vae"}, "training": training | rising}
        assert fit(tmp_path, document)[2]["epochs"] >= 7


def test_rare_evaluations_leave_rare_points_and_always_the_last(tmp_path: Path) -> None:
    training = {"epochs": 7, "batch_size": 500, "evaluate_every": 3}
    run, _, summary = fit(tmp_path, {"data": {"dataset": "digits"}, "training": training})
    series = RunReader(run.root).read_all().series["test", "loss"]
    assert series.epochs.tolist() == [3, 6, 7]
    assert summary["epochs"] == 7
