"""Measures against their formulas, a run's weights in memory, what is recorded of its codes, and `tuiae eval`."""

from __future__ import annotations

import math
import re
import shutil
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from tests.conftest import SMALL, Laboratory, SharedLaboratory, begin_with, record_edit
from tests.terminal import Terminal
from tests.training import train
from tuiae.cli.evaluate import DRAWN
from tuiae.config import NoiseSection, load_config
from tuiae.errors import ConfigError, NoCheckpointError
from tuiae.explore.checkpoint import LoadedRun, load, reload
from tuiae.explore.plane import principal_plane
from tuiae.files import replace_text
from tuiae.models.networks import ModelOutput
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.writer import create_run
from tuiae.training.evaluate import WIDE, CodeUse, evaluate, evaluating, place_codes, sample
from tuiae.training.quality import (
    class_scores,
    compare_images,
    linear_probe,
    measure_images,
    pca_error,
    ssim_note,
    ssim_window,
)

ESCAPE = "\x1b"


def trained(lab: Laboratory, name: str, *settings: str) -> RunPaths:
    return lab.train(*(word for setting in (f"name={name}", *settings) for word in ("--set", setting)))


@pytest.fixture(scope="session")
def convolutional(shared_lab: SharedLaboratory) -> RunPaths:
    return trained(shared_lab, "conv", "model.family=conv", "data.image_size=28", "training.epochs=1")


@pytest.fixture(scope="session")
def variational(shared_lab: SharedLaboratory) -> RunPaths:
    return trained(shared_lab, "vae", "model.family=vae", "training.loss=bce")


def opened(run: RunPaths, **overrides: Any) -> LoadedRun:
    return load(run, device="cpu", overrides=overrides)


# Measures


def test_psnr_is_ten_times_the_logarithm_of_one_over_the_mean_square() -> None:
    clean = np.zeros((2, 1, 4, 4), dtype=np.float32)
    made = clean.copy()
    made[0] += 0.1
    made[1, 0, 0, 0] = 0.8
    quality = compare_images(made, clean)
    assert quality.psnr == pytest.approx([20.0, -10 * math.log10(0.04)], rel=1e-5)
    assert quality.metrics()["psnr"] == pytest.approx((20.0 - 10 * math.log10(0.04)) / 2, rel=1e-5)


def test_an_exact_image_has_no_finite_psnr_and_spoils_no_mean() -> None:
    clean = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    made = torch.stack((clean[0], clean[1] * 0.9 + 0.05))
    quality = compare_images(made, clean)
    assert np.isinf(quality.psnr).tolist() == [True, False]
    assert quality.metrics()["psnr"] == pytest.approx(quality.psnr[1])
    assert compare_images(clean, clean).metrics()["psnr"] is None


@pytest.mark.parametrize(
    ("height", "width", "window"), [(28, 28, 11), (11, 40, 11), (8, 8, 7), (7, 5, 5), (3, 9, 3), (2, 9, 0)]
)
def test_the_window_of_ssim_fits_the_image_and_is_told(height: int, width: int, window: int) -> None:
    assert ssim_window(height, width) == window
    clean = torch.rand(3, 1, height, width, generator=torch.Generator().manual_seed(0))
    same, other = compare_images(clean, clean), compare_images(clean.flip(0), clean)
    assert same.note == ssim_note(height, width)
    if not window:
        assert same.ssim is None
        assert same.metrics()["ssim"] is None
        assert "too small" in same.note
        return
    assert same.ssim == pytest.approx([1, 1, 1], abs=1e-5)
    assert other.ssim is not None
    assert other.ssim[0] < 0.9
    assert (same.note == "") == (window == 11)


def test_precision_and_recall_follow_from_the_counts() -> None:
    counts = np.array([[8, 2, 0], [1, 9, 0], [4, 1, 0]])
    scores = class_scores(counts)
    assert scores.precision == pytest.approx([8 / 13, 9 / 12, 0.0])
    assert scores.recall == pytest.approx([0.8, 0.9, 0.0])
    assert scores.f1 == pytest.approx([2 * 8 / (10 + 13), 2 * 9 / (10 + 12), 0.0])
    assert scores.support.tolist() == [10, 10, 5]


def test_a_class_without_test_images_has_no_recall() -> None:
    scores = class_scores(np.array([[8, 2, 0], [0, 0, 0], [0, 0, 3]]))
    assert scores.recall == pytest.approx([0.8, np.nan, 1.0], nan_ok=True)
    assert scores.f1 == pytest.approx([2 * 8 / (10 + 8), np.nan, 1.0], nan_ok=True)
    assert scores.precision == pytest.approx([1.0, 0.0, 1.0])
    assert scores.support.tolist() == [10, 0, 3]


def test_a_linear_probe_reads_what_is_linear_and_needs_two_classes() -> None:
    codes = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    labels = (codes[:, 0] + codes[:, 1] > 0).astype(np.int64)
    probe = linear_probe(codes[:300], labels[:300], codes[300:], labels[300:])
    assert probe.accuracy > 0.95
    assert (probe.images, probe.converged) == (300, True)
    with pytest.raises(ConfigError):
        linear_probe(codes, np.zeros(400), codes, np.zeros(400))


def test_the_pca_baseline_is_the_error_of_inverse_transform(finished: RunPaths) -> None:
    run = opened(finished)
    train, test = run.images("train"), run.images("test")
    flat = test.reshape(len(test), -1).astype(np.float64)
    pca = PCA(8, svd_solver="full").fit(train.reshape(len(train), -1).astype(np.float64))
    expected = np.square(pca.inverse_transform(pca.transform(flat)) - flat).mean()
    assert pca_error(train, test, 8) == pytest.approx(expected, rel=1e-4)
    assert pca_error(train, test, 16) < expected
    noisy = run.corrupt(test, run.config.noise)
    assert expected < pca_error(train, noisy, 8, test) < pca_error(train, noisy, 8)  # which do not hold noise
    assert pca_error(train, test, 1000) == pytest.approx(0, abs=1e-9)  # more than there are pixels


# A run's weights in memory


@pytest.mark.parametrize(("which", "shape"), [("finished", (1, 8, 8)), ("convolutional", (1, 28, 28))])
def test_an_autoencoder_encodes_decodes_and_reconstructs(
    which: str, shape: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    run = opened(request.getfixturevalue(which))
    images = run.images("test", 5)
    assert (images.shape, images.dtype) == ((5, *shape), np.float32)
    codes, labels = run.codes("test", 5)
    assert (codes.shape, labels.shape) == ((5, 8), (5,))
    assert np.array_equal(labels, run.labels("test", 5))
    _, made = run.reconstruct(images)
    assert made == pytest.approx(run.decode(codes), abs=1e-6)
    assert run.codes("train")[0].shape == (1500, 8)
    with pytest.raises(ConfigError):
        run.predict(images)


def test_a_classifier_predicts_and_does_not_decode(classified: RunPaths) -> None:
    run = opened(classified)
    logits = run.predict(run.images("test"))
    assert logits.shape == (297, 10)
    accuracy = evaluate(run.parts, run.parts.test, noise=NoiseSection()).metrics["accuracy"]
    assert (logits.argmax(1) == run.labels("test")).mean() == pytest.approx(accuracy)
    assert run.encode(run.images("test", 2)).shape == (2, 8)
    for question in (lambda: run.decode(np.zeros((1, 8))), lambda: run.reconstruct(run.images("test", 1))):
        with pytest.raises(ConfigError):
            question()


def test_codes_of_a_variational_autoencoder_are_means_and_its_prior_is_decoded(variational: RunPaths) -> None:
    run = opened(variational)
    with torch.inference_mode():
        output = run.parts.model(torch.as_tensor(run.images("test", 4)))
    assert run.codes("test", 4)[0] == pytest.approx(output.mean.numpy(), abs=1e-6)
    drawn = run.prior_samples(6, seed=1)
    assert drawn.shape == (6, 1, 8, 8)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert np.array_equal(drawn, run.prior_samples(6, seed=1))
    assert not np.array_equal(drawn, run.prior_samples(6, seed=2))


def test_noise_changes_the_input_alone_and_the_same_seed_draws_the_same(finished: RunPaths) -> None:
    run = opened(finished)
    images = run.images("test", 20)
    before = images.copy()
    noise = NoiseSection(kind="salt-pepper", level=0.3)
    noisy, made = run.reconstruct(images, noise, seed=3)
    assert np.array_equal(images, before)
    assert 0.1 < (noisy != images).mean() < 0.35
    again, made_again = run.reconstruct(images, noise, seed=3)
    assert np.array_equal(noisy, again)
    assert np.array_equal(made, made_again)
    assert not np.array_equal(noisy, run.corrupt(images, noise, seed=4))
    assert np.array_equal(run.reconstruct(images)[0], images)


def test_watched_images_show_every_class(finished: RunPaths) -> None:
    run = opened(finished)
    watched = run.watched(10)
    assert run.labels("test", watched).tolist() == list(range(10))
    assert np.array_equal(run.images("test", watched), run.images("test")[watched])


@pytest.mark.parametrize("which", ["finished", "convolutional", "variational", "classified"])
def test_a_sample_has_the_codes_that_an_evaluation_has_seen(which: str, request: pytest.FixtureRequest) -> None:
    parts = opened(request.getfixturevalue(which)).parts
    seen: list[ModelOutput] = []
    evaluate(parts, parts.test, noise=NoiseSection(), on_batch=lambda start, clean, shown, output: seen.append(output))
    index = torch.arange(3)
    known, asked = sample(parts, index, seen=seen), sample(parts, index)
    assert known.keys() == asked.keys()
    for name in known.keys() & {"codes", "code_labels", "unit_kl"}:
        np.testing.assert_allclose(known[name], asked[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_questions_of_the_wrong_shape_are_refused(finished: RunPaths) -> None:
    run = opened(finished)
    questions = (
        lambda: run.encode(np.zeros((1, 1, 9, 9))),
        lambda: run.decode(np.zeros((1, 9))),
        lambda: run.images("test", [0, 297]),
    )
    for question in questions:
        with pytest.raises(ConfigError):
            question()


def test_weights_that_are_not_there_or_do_not_fit_are_refused(lab: Laboratory, finished: RunPaths) -> None:
    with pytest.raises(ConfigError):
        opened(finished, **{"model.latent": 9})
    with pytest.raises(NoCheckpointError):
        load(finished, "7")
    bare = lab.copy(finished)
    shutil.rmtree(bare.weights)
    with pytest.raises(NoCheckpointError):
        opened(bare)
    begin_with(bare, "[model]\nfamily = 'of another version'\n")
    with pytest.raises(ConfigError):
        opened(bare)


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize(
    "moment", ["explore.checkpoint.set_up", "runs.checkpoints.verify", "explore.checkpoint.load_weights"]
)
def test_a_worker_may_put_a_newer_checkpoint_in_the_place_of_the_one_that_is_being_loaded(
    lab: Laboratory, finished: RunPaths, monkeypatch: pytest.MonkeyPatch, moment: str, name: str
) -> None:
    run, then = lab.copy(finished), resolve_name(f"tuiae.{moment}")
    replace_text(run.weights / "best", "step-000060\n")

    def after_a_save(*given: Any) -> Any:
        if (run.weights / "step-000060").exists():
            shutil.rmtree(run.weights / "step-000045")
            (run.weights / "step-000060").rename(run.weights / "step-000075")
            replace_text(run.weights / "best", "step-000075\n")
        return then(*given)

    monkeypatch.setattr(f"tuiae.{moment}", after_a_save)
    assert load(run, name, "cpu").checkpoint == "step-000075"


def test_what_was_edited_since_a_run_was_loaded_is_in_force_when_it_is_looked_at_again(
    lab: Laboratory, finished: RunPaths
) -> None:
    run = lab.copy(finished)
    first = load(run, device="cpu", overrides={"noise.kind": "salt-pepper"})
    assert reload(first) is first
    record_edit(run, "noise.level", 0.2, 0.5, 60, 4.0)
    again = reload(first)
    assert (again.config.noise.kind, again.config.noise.level) == ("salt-pepper", 0.5)
    assert first.config.noise.level == 0.2
    assert reload(again) is again
    np.testing.assert_array_equal(again.encode(again.images("test", 3)), first.encode(first.images("test", 3)))


@pytest.mark.parametrize("which", ["finished", "variational"])
def test_the_quality_of_images_is_that_of_the_evaluation(which: str, request: pytest.FixtureRequest) -> None:
    parts = opened(request.getfixturevalue(which)).parts
    metrics, quality = evaluate(parts, parts.test).metrics, measure_images(parts, parts.test)
    assert np.mean(10 ** (-quality.psnr / 10)) == pytest.approx(metrics["mse"], rel=1e-4)


# The command


@pytest.mark.thorough
def test_eval_tells_the_quality_of_test_images(shared_lab: Laboratory, finished: RunPaths) -> None:
    document = shared_lab("eval", finished.id, "--device", "cpu", "--json", "--baseline", "--probe").document
    metrics = document["metrics"]
    assert 5 < metrics["test/psnr"] < 30
    assert 0 < metrics["test/ssim"] < 1
    assert metrics["test/wrong_pixels"] <= metrics["test/wrong_pixels_max"] <= 64
    assert "window of 7 pixels" in document["notes"][0]
    assert document["probe"]["accuracy"] > 0.5  # chance is 0.1
    run = opened(finished)
    pca = pca_error(run.images("train"), run.images("test"), 8)
    clean = evaluate(run.parts, run.parts.test, noise=NoiseSection()).metrics["mse"]
    assert document["baseline"]["pca_mse"] == pytest.approx(pca)
    assert document["baseline"]["mse"] == pytest.approx(clean, rel=1e-4)
    assert document["baseline"]["components"] == 8


def test_eval_of_a_variational_autoencoder_tells_drawn_codes_from_their_means(
    shared_lab: Laboratory, variational: RunPaths
) -> None:
    run = opened(variational)
    shown = shared_lab("eval", variational.id, "--device", "cpu", "--plain", "--baseline").stdout
    drawn = evaluate(run.parts, run.parts.test).metrics["mse"]
    mean = np.mean(np.square(run.reconstruct(run.images("test"))[1] - run.images("test")))
    assert DRAWN in shown
    assert re.search(rf"^test .*{drawn:.4g}", shown, re.MULTILINE)
    assert re.search(rf"this run, mean code of \d+ +{mean:.3g}", shown)


@pytest.mark.thorough
def test_eval_of_a_classifier_lists_its_classes(shared_lab: Laboratory, classified: RunPaths) -> None:
    document = shared_lab("eval", classified.id, "--json").document
    counts = np.array(document["confusion"])
    for index, row in enumerate(document["per_class"]):
        assert row["class"] == str(index)
        assert row["images"] == counts[index].sum()
        assert row["recall"] == pytest.approx(counts[index, index] / counts[index].sum())


@pytest.mark.thorough
def test_the_error_grows_with_the_noise(shared_lab: Laboratory, finished: RunPaths, classified: RunPaths) -> None:
    sweep = ("--noise-kind", "salt-pepper", "--noise-levels", "0,0.2,0.5", "--json", "--device", "cpu")
    noise = shared_lab("eval", finished.id, *sweep).document["noise"]
    assert noise["kind"] == "salt-pepper"
    assert [level["level"] for level in noise["levels"]] == [0, 0.2, 0.5]
    errors = [level["metrics"]["mse"] for level in noise["levels"]]
    assert errors[0] < errors[1] < errors[2]
    alone = shared_lab("eval", finished.id, "--noise", "salt-pepper:0.5", "--json", "--device", "cpu").document
    assert alone["metrics"]["test/mse"] == pytest.approx(errors[2], rel=1e-6)
    levels = shared_lab("eval", classified.id, *sweep).document["noise"]["levels"]
    assert levels[0]["metrics"]["accuracy"] > levels[2]["metrics"]["accuracy"]


@pytest.mark.thorough
def test_a_sweep_takes_the_run_s_noise_and_levels_of_its_own(shared_lab: Laboratory, finished: RunPaths) -> None:
    own = shared_lab("eval", finished.id, "--noise-levels", "0.1", "--json").document["noise"]
    assert (own["kind"], len(own["levels"])) == ("gaussian", 1)
    uniform = ("--noise-kind", "uniform", "--noise-probability", "0", "--json")
    still = shared_lab("eval", finished.id, *uniform).document["noise"]
    assert len({level["metrics"]["mse"] for level in still["levels"]}) == 1  # no pixel ever moves
    assert len(still["levels"]) == 6


@pytest.mark.thorough
def test_a_sweep_is_drawn_on_a_terminal_and_plain_elsewhere(shared_lab: Laboratory, finished: RunPaths) -> None:
    command = ("eval", finished.id, "--noise-levels", "0,0.5")
    assert "test mse against noise level" not in shared_lab(*command).stdout
    plain = shared_lab(*command, "--plot").stdout
    assert "test mse against noise level" in plain
    assert "▀" not in plain
    assert ESCAPE not in plain
    words = [sys.executable, "-m", "tuiae", *command]
    with Terminal(words, 100, 80, {**shared_lab.environment, "COLORTERM": "truecolor"}) as terminal:
        assert terminal.exit_code(60) == 0
        lines = terminal.lines()
    labels = [line.split()[0] for line in lines if "▀" in line and line.split()[0][0] != "▀"]
    assert labels == ["input", "0", "output", "0.5", "output"]


@pytest.mark.thorough
def test_a_probe_of_a_set_without_labels_is_refused(lab: Laboratory) -> None:
    pictures = lab.root / "pictures"
    pictures.mkdir(parents=True)
    for index in range(12):
        Image.fromarray(np.full((8, 8), 20 * index, dtype=np.uint8)).save(pictures / f"{index}.png")
    run = lab.train("--dataset", f"folder:{pictures}", "--epochs", "1")
    lab("eval", run.id, "--probe", check=2)


def test_noise_that_cannot_be_is_refused_before_anything_is_loaded(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    shutil.rmtree(run.weights)  # who looks for weights complains about these
    for arguments in (["--noise-kind", "mask", "--noise-levels", "0,x"], ["--noise", "salt:0.1"]):
        document = lab("eval", run.id, *arguments, "--json", check=2).document
        assert document["error"].startswith(arguments[-2])


@pytest.mark.thorough
def test_without_the_libraries_of_the_extra_eval_says_what_it_leaves_out(
    shared_lab: Laboratory, finished: RunPaths, tmp_path: Path
) -> None:
    for name in ("torchmetrics", "sklearn"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    environment = shared_lab.environment
    environment["PYTHONPATH"] = f"{tmp_path}:{environment['PYTHONPATH']}"
    document = shared_lab.process("eval", finished.id, "--json", env=environment).document
    assert "test/psnr" not in document["metrics"]
    assert "test/mse" in document["metrics"]
    assert "PSNR and SSIM need torchmetrics; pip install 'tuiae[studies]'" in document["notes"]
    for option in ("--probe", "--baseline"):
        assert (
            "pip install 'tuiae[studies]'"
            in shared_lab.process("eval", finished.id, option, env=environment, check=2).stderr
        )


def use_of(*batches: ModelOutput) -> CodeUse:
    use = CodeUse()
    for batch in batches:
        use.add(batch)
    return use


def test_a_unit_that_is_the_same_for_every_image_is_dead() -> None:
    first = torch.tensor([[0.0, 1.0, 100.0, 3.0], [0.0, 1.0, 100.0, 4.0]])
    second = torch.tensor([[0.0, 2.0, 100.00001, 3.0]])
    assert use_of(ModelOutput(first), ModelOutput(second)).read() == {"dead": 0.5}
    assert use_of(ModelOutput(torch.zeros(5, 3))).read() == {"dead": 1.0}
    # Small is not dead: it is measured against the largest value that the code takes.
    assert use_of(ModelOutput(1e-9 * first)).read() == {"dead": 0.75}
    assert use_of().read() == {}


def test_a_unit_whose_posterior_is_the_prior_has_collapsed() -> None:
    mean = torch.tensor([[0.0, 2.0, 0.1], [0.0, -2.0, -0.1]])
    use = use_of(ModelOutput(torch.randn(2, 3), mean=mean, log_variance=torch.zeros(2, 3)))
    assert use.read() == pytest.approx({"dead": 1 / 3, "collapsed": 2 / 3})
    assert use.unit_kl() is not None
    assert use.unit_kl().tolist() == pytest.approx([0, 2, 0.005])  # type: ignore[union-attr]


def placed(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return place_codes(torch.from_numpy(codes), torch.from_numpy(labels)).numpy()


@pytest.mark.parametrize("latent", [3, 40, WIDE, WIDE + 50])
def test_wide_codes_lie_on_their_principal_plane(latent: int) -> None:
    generator = np.random.default_rng(latent)
    codes = generator.normal(size=(WIDE, latent)) * np.linspace(3, 0.1, latent) + 5
    points = placed(codes, np.zeros(WIDE))
    assert points == pytest.approx(principal_plane(codes)[0], abs=1e-4)


def test_codes_that_span_no_plane_have_points_all_the_same() -> None:
    labels = np.array([0, 1, 1])
    assert placed(np.array([[1.0], [2.0], [3.0]]), labels).tolist() == [[1, 0], [2, 1], [3, 1]]
    assert placed(np.array([[1.0, 2.0]]), labels[:1]).tolist() == [[1, 2]]
    for width in (3, WIDE + 1):
        assert placed(np.ones((3, width)), labels).tolist() == [[0, 0]] * 3
        assert placed(np.ones((1, width)), labels[:1]).tolist() == [[0, 0]]
        assert np.isnan(placed(np.full((2, width), np.nan), labels[:2])).all()
    holed = np.vstack([np.eye(3), [np.inf, 0, 0]])
    assert np.isnan(placed(holed, np.zeros(4)))[:, 0].tolist() == [False, False, False, True]


def test_every_family_records_its_codes(lab: Laboratory, finished: RunPaths, classified: RunPaths) -> None:
    for run in (finished, classified):
        series = RunReader(run.root).read_all().series
        assert 0 <= series["code", "dead"].values.min() <= series["code", "dead"].values.max() <= 1
        assert len(series["code", "dead"].values) == 4
        assert ("code", "collapsed") not in series
        for epoch in (0, 4):
            sample = read_sample(run, epoch)
            assert sample is not None
            assert sample.codes is not None
            assert sample.code_labels is not None
            assert sample.codes.shape == (297, 2)
            assert sample.codes.dtype == np.float32
            assert sample.code_labels.shape == (297,)
            assert sample.unit_kl is None


def test_a_variational_run_records_the_kl_of_every_unit(lab: Laboratory) -> None:
    text = SMALL.replace('family = "dense"', 'family = "vae"')
    # So heavy a KL term that the posterior becomes the prior.
    config = load_config(
        Path(lab.preset(text)), {"training.beta": 1000.0, "training.loss": "bce", "training.epochs": 8}
    )
    run = create_run(config, lab.runs, [])
    fit = train(run)
    snapshot = RunReader(run.root).read_all()
    assert snapshot.latest("code", "collapsed") == 1.0
    sample = read_sample(run, 8)
    assert sample is not None
    assert sample.unit_kl is not None
    assert sample.unit_kl.shape == (8,)
    assert sample.unit_kl.max() < 0.01
    with evaluating(fit.parts), torch.inference_mode():
        means = fit.parts.model.encode(fit.parts.test.span(0, 297)[0]).numpy()
    assert sample.codes == pytest.approx(principal_plane(means.astype(float))[0], abs=1e-4)
