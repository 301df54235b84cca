"""Applying a saved model to images."""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.core import tensorflow_runtime

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 2_000


def load_model(path: Path) -> "keras.Model":
    """Start TensorFlow and read a `.keras` file, refusing any code in it (Keras's safe mode).

    The model runs as it was trained, compiled by XLA or not: the file says which.
    """
    with zipfile.ZipFile(path) as archive:
        compiled = json.loads(archive.read("config.json"))["compile_config"]["jit_compile"]
    tensorflow_runtime.start(jit_compile=compiled)
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    model.compile(jit_compile=compiled)
    return model


def predict(model: "keras.Model", images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of the classes, float32 `[N, 10]`, of images `[N, 28, 28]`."""
    batches = range(0, len(images), BATCH_SIZE)
    return np.concatenate(
        [model.predict_on_batch(images[first : first + BATCH_SIZE]) for first in batches]
    )
