"""Applying a saved model to images."""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.core import tensorflow_runtime
from pipeline.core.errors import PipelineError
from pipeline.core.reading import reading
from pipeline.data.dataset import Description, check_probabilities

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 2_000
MAX_BYTES = 2**31  # of a model; the largest preset makes 30 MB


def load_model(path: Path, description: Description, *, name: str = "") -> "keras.Model":
    """Start TensorFlow and read a `.keras` file, refusing any code in it (Keras's safe mode).

    The model runs as it was trained, compiled by XLA or not: the file says which.

    Args:
        path: the file.
        description: the data set that the model is for.
        name: what errors call it, if not by its path.

    Raises:
        PipelineError: the file is missing, or is not such a model.
    """
    with reading(path, name) as file, zipfile.ZipFile(file) as archive:
        # Keras stores without compression, so that nothing is larger than the file itself.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed, as Keras leaves no model")
        if (size := sum(entry.file_size for entry in archive.infolist())) > MAX_BYTES:
            raise ValueError(f"it unpacks to {size:,} bytes; allowed are {MAX_BYTES:,}")
        compiled = json.loads(archive.read("config.json"))["compile_config"]["jit_compile"]
        if not isinstance(compiled, bool):
            raise ValueError(f"jit_compile is {compiled!r}")
    tensorflow_runtime.start(jit_compile=compiled)
    import keras

    with reading(path, name):
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        model.compile(jit_compile=compiled)
        found = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
        if found != [(None, *description.shape), (None, len(description.classes))]:
            raise ValueError(f"it maps {found[:-1]} to {found[-1:]}")
    return model


def predict(model: "keras.Model", images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of the classes, float32 `[N, classes]`, of images `[N, *shape]`.

    Raises:
        PipelineError: there are no images, or what the model gives is not probabilities.
    """
    batches = range(0, max(len(images), 1), BATCH_SIZE)
    probabilities: NDArray[np.float32] = np.concatenate(
        [model.predict_on_batch(images[first : first + BATCH_SIZE]) for first in batches]
    )
    try:
        check_probabilities(probabilities)
    except ValueError as error:
        raise PipelineError(f"the model cannot be used: {error}; run `dvc repro`") from None
    return probabilities
