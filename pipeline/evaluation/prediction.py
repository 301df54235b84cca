"""Applying a saved model to images."""

import json
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core import tensorflow_runtime
from pipeline.core.errors import PipelineError
from pipeline.core.reading import reading
from pipeline.data.dataset import Description, check_probabilities

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 2_000
MEMBERS = ["config.json", "metadata.json", "model.weights.h5"]
MAX_BYTES = 2**31  # of a model


def load_model(path: Path, description: Description, *, name: str = "") -> "keras.Model":
    """Start TensorFlow and read a `.keras` file, refusing any code in it (Keras's safe mode).

    The model runs as it was trained, compiled by XLA or not: the file says which. Errors call it
    `name`, where that is given.

    Raises:
        PipelineError: the file is missing, or is not such a model.
    """
    with reading(path, name) as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if sorted(entry.filename for entry in entries) != MEMBERS:
            raise ValueError(f"it does not hold {', '.join(MEMBERS)}, and nothing else")
        if size > MAX_BYTES or any(entry.compress_type for entry in entries):
            raise ValueError(f"it is compressed, or more than {MAX_BYTES:,} bytes")
        config = json.loads(archive.read("config.json"))
        compiled = config["compile_config"].pop("jit_compile")
        if not isinstance(compiled, bool):
            raise ValueError(f"jit_compile is {compiled!r}")
    tensorflow_runtime.start(jit_compile=compiled)
    import keras

    with reading(path, name) as file, zipfile.ZipFile(file) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's, about what ends in an error here
        _check_weights(archive)
        config["compile_config"] = None
        with keras.StatelessScope(initialize_variables=False):  # takes no memory for the weights
            blank = keras.saving.deserialize_keras_object(config)
        *inputs, output = [tuple(tensor.shape) for tensor in (*blank.inputs, *blank.outputs)]
        shape, classes = (None, *description.shape), len(description.classes)
        if inputs != [shape] or output != (None, classes):
            raise ValueError(f"it maps {inputs} to {output}, not {shape} to {classes}")
        if 4 * blank.count_params() > size:
            raise ValueError(f"it has {blank.count_params():,} weights, more than are in the file")
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    model.compile(jit_compile=compiled)
    return model


def _check_weights(archive: zipfile.ZipFile) -> None:
    """Refuse weights that are compressed, in another file, or not there at all."""
    import h5py

    def check(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.id.get_storage_size() != item.nbytes:
            raise ValueError(f"its {name} is not stored in it as it is")

    with h5py.File(archive.open("model.weights.h5")) as weights:
        weights.visititems(check)


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
