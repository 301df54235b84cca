"""The unit K of the published times: what plain Keras takes for the default recipe, here and now.

Machines differ, and one machine differs from hour to hour; a time in K is comparable.
"""

import subprocess
import sys
import tempfile

from pipeline.core.errors import PipelineError
from pipeline.core.tensorflow_runtime import FOREIGN
from pipeline.experiments.subprocesses import child_environment

# The model and its training as in the TensorFlow tutorial, on as many images, whose content makes
# no difference to the time.
SCRIPT = """
import time
import keras
import numpy as np
rng = np.random.default_rng(0)
images, labels = rng.random((60_000, 28, 28), np.float32), rng.integers(0, 10, 60_000)
model = keras.Sequential(
    [
        keras.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
started = time.perf_counter()
model.fit(images, labels, epochs=5, verbose=0)
print(time.perf_counter() - started)
"""


def seconds() -> float:
    """Return the seconds of K: 9,375 updates by Keras's `fit`, some ten seconds in all.

    Raises:
        PipelineError: Keras does not run.
    """
    kept = {name: v for name, v in child_environment().items() if not name.startswith(FOREIGN)}
    settings = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as home:  # with no keras.json
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=kept | settings | {"KERAS_HOME": home},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise PipelineError(f"plain Keras does not run: {done.stderr.strip()[-200:]}")
    return float(done.stdout)
