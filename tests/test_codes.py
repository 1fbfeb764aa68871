"""What is recorded of the code: units that do nothing, and where the test images lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SMALL, Laboratory
from tests.training import train
from tuiae.config import load_config
from tuiae.explore.plane import principal_plane
from tuiae.models.networks import ModelOutput
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader, read_sample
from tuiae.runs.writer import create_run
from tuiae.training.evaluate import WIDE, CodeUse, evaluating, place_codes


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
    with evaluating(fit.parts.model), torch.inference_mode():
        means = fit.parts.model.encode(fit.parts.test.span(0, 297)[0]).numpy()
    assert sample.codes == pytest.approx(principal_plane(means.astype(float))[0], abs=1e-4)
