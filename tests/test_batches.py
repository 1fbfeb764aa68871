"""Corruption and augmentation of images: the statistics of each kind, determinism, and inputs left as they were."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tuiae.config import NOISE_KINDS, NoiseSection
from tuiae.data.batches import CORRUPTIONS, augment, corrupt, seed_of, seeded

CPU = torch.device("cpu")

NOISES = [
    NoiseSection(kind="salt-pepper", level=0.3),
    NoiseSection(kind="gaussian", level=0.2),
    NoiseSection(kind="uniform", level=0.5, probability=0.7),
    NoiseSection(kind="mask", level=0.3),
]
every_noise = pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.kind)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(value: float | None = None, channels: int = 1) -> torch.Tensor:
    """100 images of 40x50 pixels, of one value or of random ones: 200,000 pixels."""
    shape = (100, channels, 40, 50)
    return torch.rand(shape, generator=generator(9)) if value is None else torch.full(shape, value)


def near(share: float) -> object:
    """Five standard deviations of a share of 200,000."""
    return pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 200_000))


@pytest.mark.parametrize(
    "numbers", [(0,), (7, 0xD0E, 12345, 1), (2**32 - 1, 3), (2**32, 3), (2**63 - 1, 0, 0)], ids=str
)
def test_seeds_are_those_of_numpy(numbers: tuple[int, ...]) -> None:
    assert seed_of(*numbers) == int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1


def test_every_kind_of_the_config_is_there() -> None:
    assert set(CORRUPTIONS) == set(NOISE_KINDS)
    assert {noise.kind for noise in NOISES} == set(NOISE_KINDS) - {"none"}


def test_none_gives_the_images_themselves() -> None:
    clean = images()
    assert corrupt(clean, NoiseSection(), generator()) is clean


@every_noise
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_target_stays_clean(noise: NoiseSection, dtype: torch.dtype) -> None:
    clean = images(channels=3).to(dtype)
    before = clean.clone()
    noisy = corrupt(clean, noise, generator())
    assert torch.equal(clean, before)
    assert (noisy.shape, noisy.dtype) == (clean.shape, clean.dtype)
    assert not torch.equal(noisy, clean)
    assert noisy.min() >= 0
    assert noisy.max() <= 1


@every_noise
def test_a_generator_repeats_itself(noise: NoiseSection) -> None:
    clean = images()
    source = generator(5)
    first, second = corrupt(clean, noise, source), corrupt(clean, noise, source)
    assert not torch.equal(first, second)
    assert torch.equal(first, corrupt(clean, noise, generator(5)))
    assert not torch.equal(first, corrupt(clean, noise, generator(6)))


@every_noise
def test_the_default_generator_stays_out_of_it(noise: NoiseSection) -> None:
    state = torch.get_rng_state()
    corrupt(images(), noise, generator())
    assert torch.equal(torch.get_rng_state(), state)


@every_noise
def test_level_zero_changes_nothing(noise: NoiseSection) -> None:
    clean = images()
    assert torch.equal(corrupt(clean, noise.model_copy(update={"level": 0.0}), generator()), clean)


@pytest.mark.parametrize("level", [0.001, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_salt_and_pepper_hit_equally_many(level: float, dtype: torch.dtype) -> None:
    noisy = corrupt(images(0.5).to(dtype), NoiseSection(kind="salt-pepper", level=level), generator())
    assert (noisy == 0).float().mean().item() == near(level / 2)
    assert (noisy == 1).float().mean().item() == near(level / 2)
    assert (noisy == 0.5).float().mean().item() == near(1 - level)


@pytest.mark.parametrize("level", [0.25, 1.0])
def test_mask_zeroes_its_share(level: float) -> None:
    noisy = corrupt(images(0.5), NoiseSection(kind="mask", level=level), generator())
    assert (noisy == 0).float().mean().item() == near(level)
    assert (noisy == 0.5).float().mean().item() == near(1 - level)


@pytest.mark.parametrize("kind", ["salt-pepper", "mask"])
def test_a_pixel_is_hit_in_all_its_channels(kind: str) -> None:
    noisy = corrupt(images(0.5, channels=3), NoiseSection.model_validate({"kind": kind, "level": 0.3}), generator())
    assert (noisy == noisy[:, :1]).all()


def test_gaussian_has_its_deviation_and_no_bias() -> None:
    delta = corrupt(images(0.5), NoiseSection(kind="gaussian", level=0.1), generator()) - 0.5
    assert delta.mean().item() == pytest.approx(0, abs=5 * 0.1 / math.sqrt(200_000))
    assert delta.std().item() == pytest.approx(0.1, rel=0.01)


def test_gaussian_is_clamped() -> None:
    noisy = corrupt(images(0.0), NoiseSection(kind="gaussian", level=2.0), generator())
    assert (noisy == 0).float().mean().item() == near(0.5)
    assert noisy.max() == 1


@pytest.mark.parametrize("probability", [0.2, 0.7, 1.0])
@pytest.mark.parametrize(("value", "direction"), [(0.0, 1), (0.4, 1), (0.5, -1), (1.0, -1)])
def test_uniform_moves_pixels_towards_the_other_value(probability: float, value: float, direction: int) -> None:
    noise = NoiseSection(kind="uniform", level=0.5, probability=probability)
    moved = (corrupt(images(value), noise, generator()) - images(value)) * direction
    hit = moved[moved != 0]
    assert hit.numel() / moved.numel() == near(probability)
    assert hit.min() > 0
    assert hit.max() <= 0.5
    assert hit.mean().item() == pytest.approx(0.25, abs=5 * 0.5 / math.sqrt(12 * hit.numel()))


# Augmentation


def test_half_of_the_images_are_mirrored_whole() -> None:
    images = torch.arange(6.0).reshape(1, 1, 2, 3).repeat(2000, 1, 1, 1)
    result = augment(images, True, 0, seeded(CPU, 1))
    mirrored = (result == images.flip(3)).flatten(1).all(1)
    assert ((result == images).flatten(1).all(1) | mirrored).all()
    assert 0.45 < mirrored.float().mean() < 0.55


def test_images_move_by_up_to_the_shift_each_way_with_black_coming_in() -> None:
    images = torch.zeros(4000, 2, 9, 9)
    images[:, 0, 4, 4], images[:, 1, 4, 4] = 1, 0.5
    result = augment(images, False, 2, seeded(CPU, 1))
    where = result[:, 0].flatten(1).argmax(1)
    rows, columns = where // 9, where % 9
    for axis in (rows, columns):
        assert axis.bincount(minlength=9)[2:7].min() > 600
        assert axis.bincount(minlength=9).sum() == axis.bincount(minlength=9)[2:7].sum()
    assert torch.equal(result[:, 1], result[:, 0] / 2)  # channels move together
    assert result.sum().item() == pytest.approx(images.sum().item())


def test_augmentation_repeats_itself_and_leaves_what_it_was_given() -> None:
    images = torch.rand(50, 1, 8, 8)
    before = images.clone()
    first = augment(images, True, 1, seeded(CPU, 7))
    assert torch.equal(first, augment(images, True, 1, seeded(CPU, 7)))
    assert not torch.equal(first, augment(images, True, 1, seeded(CPU, 8)))
    assert torch.equal(images, before)
