"""Augmentation does what its name says to each image by itself, and repeats by its seed."""

import numpy as np
import pytest

from pipeline.training.augmentation import augment, erase, flip, shift
from pipeline.training.hyperparameters import AugmentationParams

IMAGES = np.random.default_rng(0).uniform(0.1, 0.9, (2_000, 28, 28)).astype(np.float32)
ALL = AugmentationParams(flip=True, shift=3, erase=0.5)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_half_of_the_images_are_flipped() -> None:
    flipped = flip(IMAGES, rng())
    turned = (flipped == IMAGES[:, :, ::-1]).all(axis=(1, 2))
    assert ((flipped == IMAGES).all(axis=(1, 2)) ^ turned).all()
    assert 0.45 < turned.mean() < 0.55


def test_images_are_shifted_both_ways_and_filled_with_background() -> None:
    moves = set()
    for image, shifted in zip(IMAGES, shift(IMAGES, 2, rng()), strict=True):
        matches = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if (shifted == moved(image, down, right)).all()
        ]
        assert len(matches) == 1
        moves.update(matches)
    assert len(moves) == 25


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    padded = np.pad(image, 2)
    return padded[2 - down : 30 - down, 2 - right : 30 - right]


def test_a_rectangle_is_erased_in_about_the_share_asked_for() -> None:
    changed = erase(IMAGES, 0.3, rng()) != IMAGES
    touched = changed.any(axis=(1, 2))
    assert 0.25 < touched.mean() < 0.35
    for mask in changed[touched]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    area = changed[touched].mean(axis=(1, 2))
    assert area.min() < 0.05 < 0.3 < area.max() < 0.42


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_bytes_and_leaves_the_images_alone(seed: int) -> None:
    before = IMAGES.copy()
    first, again = (augment(IMAGES, ALL, np.random.default_rng(seed)) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert (first != augment(IMAGES, ALL, np.random.default_rng(3))).any()
    assert (before == IMAGES).all()
    assert first.dtype == np.float32
    assert first.shape == IMAGES.shape


def test_without_any_switch_nothing_changes() -> None:
    unchanged = AugmentationParams(flip=False, shift=0, erase=0.0)
    assert augment(IMAGES, unchanged, rng()) is IMAGES
