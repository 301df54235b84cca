"""The split is stratified, complete, seeded, and of the size asked for."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.dataset import load
from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.data.preprocessing import PreprocessParams, chosen, scale, split, write_scaled
from tests.project import Project

LABELS = np.repeat(np.arange(10, dtype=np.uint8), range(10, 20))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.9])
def test_each_class_gives_its_share(fraction: float) -> None:
    parts = split(LABELS, 10, PreprocessParams(seed=0, validation_fraction=fraction))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(LABELS)))
    for label in range(10):
        chosen = np.sum(LABELS[parts.validation] == label)
        assert abs(chosen - fraction * np.sum(label == LABELS)) <= 0.5


def test_the_seed_decides() -> None:
    first, again, other = (
        split(LABELS, 10, PreprocessParams(seed=seed, validation_fraction=0.5)).validation.tolist()
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_pixels_are_scaled() -> None:
    scaled = scale(np.array([0, 51, 255], np.uint8))
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, np.array([0, 0.2, 1], np.float32))


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_rows_are_chosen_from_parts(share: float) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (50, 2), np.uint8)
    rows = np.flatnonzero(rng.random(50) < share)
    parts = list(chosen((array[first : first + 7] for first in range(0, 50, 7)), rows))
    np.testing.assert_array_equal(np.concatenate(parts), array[rows])


@pytest.mark.parametrize("count", [0, 7])
def test_written_part_by_part_as_numpy_would(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 28, 28), np.uint8)
    labels = rng.integers(0, 10, count, np.uint8)
    parts = (images[first : first + 3] for first in range(0, count, 3))
    write_scaled(tmp_path / "ours.npz", parts, (28, 28), labels)
    np.savez(tmp_path / "numpy.npz", images=scale(images), labels=labels)
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()
    loaded = load(tmp_path / "ours.npz", DESCRIPTION)
    np.testing.assert_array_equal(loaded.images, scale(images), strict=True)
    np.testing.assert_array_equal(loaded.labels, labels, strict=True)


def test_a_fraction_too_small_for_any_image_is_told(finished: Project, tmp_path: Path) -> None:
    project = finished.clone(tmp_path / "project")
    project.set_params({"preprocess.validation_fraction": 0.001})
    said = "no validation images: preprocess.validation_fraction is too small for these classes\n"
    assert project.stage("preprocess").stdout == said
    project.set_params({"preprocess.validation_fraction": 0})
    assert project.stage("preprocess").stdout == ""
