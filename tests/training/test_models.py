"""Every family, optimizer, schedule and augmentation: it learns, and a kill changes no byte."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.training import models
from pipeline.training.hyperparameters import Hyperparameters
from tests.project import ROOT, Project, keep_checkpoints, read_json

AUGMENTED = {"flip": True, "shift": 2, "erase": 0.5}
REGULARISED = {"dropout": 0.1, "l2": 0.0001}
CNN = REGULARISED | {"name": "cnn", "filters": [8, 8], "hidden_units": [16], "views": 1}
RESNET = REGULARISED | {"name": "resnet", "width": 8, "blocks": [0, 1], "views": 2}
TRANSFER = {
    "name": "transfer",
    "backbone": "MobileNetV2",
    "weights": "none",
    "weights_sha256": None,
    "image_size": 32,
    "frozen_epochs": 0,
    "fine_tuning_rate": None,
    "dropout": 0.1,
}
SGD = {"train.optimizer": "sgd", "train.momentum": 0.9, "train.weight_decay": 0.001}
ADAMW = {"train.optimizer": "adamw", "train.weight_decay": 0.01}

# What is trained, and the least accuracy on the training images that shows it has learned.
CASES: dict[str, tuple[dict[str, Any], float]] = {
    "mlp, adamw, cosine": (ADAMW | {"train.schedule": "cosine"}, 0.7),
    "mlp, sgd, one-cycle, smoothed, augmented": (
        SGD
        | {
            "train.learning_rate": 0.05,
            "train.schedule": "one-cycle",
            "train.warmup_epochs": 1,
            "train.label_smoothing": 0.1,
            "train.augmentation": AUGMENTED,
        },
        0.5,
    ),
    "mlp, bfloat16, not compiled": (
        {"train.precision": "mixed_bfloat16", "train.jit_compile": False},
        0.7,
    ),
    "cnn, adam, cosine, flipped": (
        {
            "model": CNN,
            "train.learning_rate": 0.005,
            "train.schedule": "cosine",
            "train.augmentation.flip": True,
            "train.precision": "mixed_bfloat16",
        },
        0.3,
    ),
    "cnn, adam, compiled, erased": (
        {
            "model": CNN,
            "train.learning_rate": 0.005,
            "train.jit_compile": True,
            "train.skip_easy": 0.5,
            "train.augmentation.erase": 0.5,
        },
        0.3,
    ),
    "resnet, sgd, one-cycle, augmented": (
        SGD
        | {
            "model": RESNET,
            "train.learning_rate": 0.1,
            "train.schedule": "one-cycle",
            "train.warmup_epochs": 1,
            "train.label_smoothing": 0.1,
            "train.augmentation": AUGMENTED,
            "train.precision": "mixed_bfloat16",
        },
        0.3,
    ),
    "resnet, adamw, constant, shifted": (
        ADAMW
        | {
            "model": RESNET | {"views": 6},
            "train.epochs": 4,
            "train.learning_rate": 0.01,
            "train.warmup_epochs": 1,
            "train.skip_easy": 0.5,
            "train.augmentation.shift": 2,
        },
        0.3,
    ),
    "transfer, new weights": ({"model": TRANSFER, "train.learning_rate": 0.003}, 0.2),
    "transfer, in two phases": (
        {
            "model": TRANSFER | {"weights": "new", "frozen_epochs": 1, "fine_tuning_rate": 0.001},
            "train.epochs": 2,
            "train.batch_size": 128,
        },
        0.0,  # on weights that know nothing
    ),
    "transfer, known weights": (
        {
            "model": TRANSFER | {"weights": "known", "frozen_epochs": 2, "fine_tuning_rate": 0.001},
            "train.epochs": 4,
            "train.early_stopping": 1,
            "train.skip_easy": 0.5,
            "train.learning_rate": 0.01,
        },
        0.3,
    ),
}

PREDICT = ("-m", "pipeline", "predict", "--json", "--test-index", "0")
TRAIN = {"train.epochs": 3, "train.batch_size": 16}
# Each optimizer and schedule is in another case, too; a known network takes a minute to compile.
EXHAUSTIVE = (
    "mlp, adamw, cosine",
    "mlp, bfloat16, not compiled",
    "cnn, adam, compiled, erased",
    "resnet, sgd, one-cycle, augmented",
    "transfer, new weights",
    "transfer, in two phases",
    "transfer, known weights",
)


def prepare(project: Project, changes: dict[str, Any]) -> None:
    project.set_params(TRAIN | changes)
    if (weights := changes.get("model", {}).get("weights")) in ("new", "known"):
        file = project.path / "backbone.weights.h5"
        project.ok("python", "-c", MAKE_WEIGHTS, weights, str(file))
        project.set_params({"model.weights": str(file)})
        done = project.stage("train")
        assert done.returncode == 1
        assert "model.weights_sha256 is empty, but" in done.stderr
        sha256 = done.stderr.split(" has ")[1].split(";")[0]
        project.set_params({"model.weights_sha256": sha256})


# A network for the tests; a known one has seen the training images for a moment.
MAKE_WEIGHTS = """
import sys
from pathlib import Path
from pipeline.core import tensorflow_runtime
from pipeline.data.dataset import DESCRIPTION, TRAIN, load, load_description
tensorflow_runtime.start(jit_compile=False)
import keras
from keras import layers
keras.utils.set_random_seed(1)
backbone = keras.applications.MobileNetV2(
    include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
)
for layer in backbone.layers:
    layer.momentum = 0.9
if sys.argv[1] == "known":
    images = keras.Input((28, 28))
    x = layers.Resizing(32, 32)(layers.Reshape((28, 28, 1))(images))
    x = backbone(layers.Rescaling(2.0, -1.0)(layers.Concatenate()([x, x, x])))
    model = keras.Model(images, layers.Dense(10, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    model.fit(*load(TRAIN, load_description(DESCRIPTION)), batch_size=16, epochs=2, verbose=0)
backbone.save_weights(sys.argv[2])
"""


def on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    keep_checkpoints()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.exhaustive] if name in EXHAUSTIVE else [])
        for name in CASES
    ],
)
def test_it_learns_and_goes_on_after_any_epoch_to_the_same_bytes(
    project: Project, name: str
) -> None:
    changes, accuracy = CASES[name]
    prepare(project, changes)
    done = project.stage("train", before=on_one_core)
    assert done.returncode == 0, done.stderr
    undisturbed = project.contents("train")
    done = project.stage("evaluate")
    assert done.returncode == 0, done.stderr
    assert read_json(project.path / "metrics/evaluate.json")["train"]["accuracy"] >= accuracy
    (image,) = json.loads(project.ok("python", *PREDICT))["images"]
    assert image["none_of_these"] is not None
    with zipfile.ZipFile(project.path / "models/model.keras") as archive:
        assert b"pipeline" not in archive.read("config.json"), "plain Keras could not load it"

    # Of known weights also where the head is no longer trained alone.
    epochs = {"transfer, known weights": (1, 3), "resnet, adamw, constant, shifted": (2,)}
    for epoch in epochs.get(name, (1,)):
        done = project.resume(epoch)
        assert f"going on after epoch {epoch}" in done.stdout, done.stderr
        assert project.contents("train") == undisturbed


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
@pytest.mark.parametrize("views", [1, 2, 6])
def test_the_saved_model_gives_the_mean_over_the_views(shape: tuple[int, ...], views: int) -> None:
    train = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]
    content = {"seed": 0, "model": RESNET | {"views": views}, "train": train}
    params = Hyperparameters.model_validate(content)
    images = np.random.default_rng(0).random((5, *shape), np.float32)
    height, width, *colours = shape
    size = {"height": height, "width": width, "channels": colours[0] if colours else 1}
    model = models.build(params, DESCRIPTION.model_copy(update=size))

    def moved(pixels: int) -> NDArray[np.float32]:
        """Move the images down and right, or up and left; background comes in."""
        result = np.zeros_like(images)
        if pixels > 0:
            result[:, pixels:, pixels:] = images[:, :-pixels, :-pixels]
        elif pixels < 0:
            result[:, :pixels, :pixels] = images[:, -pixels:, -pixels:]
        else:
            result[:] = images
        return result

    of_each = [view for pixels in (0, 1, -1) for view in (moved(pixels), moved(pixels)[:, :, ::-1])]
    expected = np.mean([model.predict(view, verbose=0) for view in of_each[:views]], axis=0)
    saved = models.finished(model, params)
    np.testing.assert_allclose(saved.predict(images, verbose=0), expected, atol=1e-6)


def put_hdf5(path: Path) -> None:
    """Of another program."""
    with h5py.File(path, "w") as file:
        file.create_group("measurements")["series"] = [1, 2, 3]


def put_layers(path: Path) -> None:
    """Of another network, in the older of Keras's formats."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]


WEIGHTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a pipe": ("w.h5", os.mkfifo, "w.h5 is not a file"),
    "a folder": ("w.h5", Path.mkdir, "w.h5 is not a file"),
    "missing": ("w.h5", lambda _: None, "w.h5 is not a file"),
    "text": (
        "w.h5",
        lambda path: path.write_text("text"),
        "as weights of MobileNetV2, cannot be used: ",
    ),
    "another program's": ("w.weights.h5", put_hdf5, "as weights of MobileNetV2, cannot be used: "),
    "another network's": ("w.h5", put_layers, "as weights of MobileNetV2, cannot be used: "),
    "unknown ending": ("w.bin", put_hdf5, "as weights of MobileNetV2, cannot be used: "),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if "another" in name else [pytest.mark.exhaustive])
        for name in WEIGHTS
    ],
)
def test_weights_that_cannot_be_used_are_one_line(project: Project, name: str) -> None:
    file, put, reason = WEIGHTS[name]
    path = project.path / file
    put(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    project.set_params({"model": TRANSFER | {"weights": file, "weights_sha256": sha256}})
    done = project.stage("train")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert reason in line
    assert len(line) < 400
