"""What `python -m pipeline data` says of a set that is known: counts, pixels, copies."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import dataset, summary
from pipeline.data.preprocessing import write_scaled
from pipeline.data.synthetic import DESCRIPTION, draw
from tests.project import Project


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthetic images; some are copied, exactly or not quite, within and across the splits."""
    monkeypatch.chdir(tmp_path)
    images, labels = draw(90, np.random.default_rng(0))
    images[7] = images[3]  # both in training
    images[75] = images[11]  # test and training
    noise = np.random.default_rng(1).integers(-2, 3, images[0].shape)
    images[76] = (images[12].astype(int) + noise).clip(0, 255).astype(np.uint8)
    images[77] = images[13][:, ::-1]  # a mirror image is another
    for path, rows in ((dataset.TRAIN, slice(60)), (dataset.TEST, slice(60, 90))):
        write_scaled(path, [images[rows]], images.shape[1:], labels[rows])
    write_scaled(dataset.VALIDATION, [], images.shape[1:], labels[:0])


@pytest.mark.usefixtures("known")
def test_copies_and_near_copies_are_found_within_and_across_splits() -> None:
    found = summary.summarise(DESCRIPTION)
    assert found["images"] == {"train": 60, "validation": 0, "test": 30}
    assert found["copies"] == {
        "images": {"within train": 1, "train and test": 1},
        "examples": [["train", 11, "test", 15], ["train", 3, "train", 7]],
    }
    assert found["near_copies"]["images"] == {"within train": 1, "train and test": 2}
    assert ["train", 12, "test", 16] in found["near_copies"]["examples"]
    assert sum(counts["train"] for counts in found["classes"].values()) == 60
    assert found["pixels"]["validation"] == {}
    json.dumps(found, allow_nan=False)


def test_pixels_and_classes_are_those_of_the_sets(finished: Project) -> None:
    found = json.loads(finished.ok("python", "-m", "pipeline", "data", "--json"))
    with np.load(finished.path / "data/processed/train.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    pixels = found["pixels"]["train"]
    assert pixels["mean"] == pytest.approx(images.mean(), abs=1e-4)
    assert pixels["standard_deviation"] == pytest.approx(images.std(), abs=1e-4)
    assert [c["train"] for c in found["classes"].values()] == np.bincount(labels).tolist()
    printed = finished.ok("python", "-m", "pipeline", "data")
    assert "all            900         100   300" in printed


@pytest.mark.usefixtures("known")
def test_pixels_of_one_value_do_not_deviate() -> None:
    constant = np.ones((30, 28, 28), np.uint8)
    write_scaled(dataset.VALIDATION, [constant], (28, 28), np.zeros(30, np.uint8))
    pixels = summary.summarise(DESCRIPTION)["pixels"]["validation"]
    assert pixels == {"mean": 0.0039, "standard_deviation": 0.0}


def test_files_are_named_where_they_are_those_of_the_sets(fresh: Project) -> None:
    for number in range(24):
        path = fresh.path / f"data/own/pictures/{number % 2}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(path)
    shutil.copy(path, path.with_name("copy.png"))
    fresh.set_params({"data.source": "folder", "data.folder.image_size": 8})
    fresh.ok("dvc", "repro", "--quiet", "preprocess")

    def copies() -> tuple[list[str], list[str | None]]:
        done = fresh.module("pipeline", "data", "--json")
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(
            "stale, so that files are not named; run " * bool(done.stderr)
        )
        found = json.loads(done.stdout)
        assert bool(done.stderr) == bool(found["stale"])
        (pair,) = found["copies"]["examples"]
        return found["stale"], pair[4:]

    stale, paths = copies()
    assert stale == []
    assert set(paths) == {f"data/own/pictures/1/{name}.png" for name in (23, "copy")}
    for params in ({"preprocess.seed": 1}, {"preprocess": 3}):
        fresh.set_params(params)
        assert copies() == (["preprocess (params.yaml)"], [None, None])
    fresh.ok("git", "checkout", "--quiet", "params.yaml")
    fresh.set_params({"data.source": "folder", "data.folder.image_size": 8})
    (fresh.path / dataset.RAW_FILES).write_text("path\na.png\n")
    assert copies() == (["download (data/raw/files.csv)"], [None, None])


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (48, 31), (64, 64, 3)])
def test_a_perceptual_hash_stands_small_changes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((20, *shape)).astype(np.float32)
    hashes = summary.difference_hash(images)
    assert hashes.shape == (20, 256)
    noisy = summary.difference_hash(images + rng.normal(0, 1e-3, images.shape).astype(np.float32))
    assert (hashes != noisy).sum(axis=1).max() < summary.NEAR_BITS
    assert (hashes[0] != hashes[1:]).sum(axis=1).min() > summary.NEAR_BITS
