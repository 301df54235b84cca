"""Print how many images a second the pipeline trains by `params.yaml`, and how many weights."""

import json
import math
import time
from typing import Any

import numpy as np

from pipeline.core import guard, tensorflow_runtime
from pipeline.core.params import check_params
from pipeline.data.dataset import TRAIN, Dataset, load
from pipeline.training import checkpoint
from pipeline.training.hyperparameters import Hyperparameters

IMAGES = 12_800  # of an epoch


def main() -> None:
    """Train some epochs; the first, which compiles as well, does not count."""
    inputs = guard.observe("train")
    params = check_params(Hyperparameters, inputs.params)
    tensorflow_runtime.start(jit_compile=params.jit_compile)
    from pipeline.training import fit, models  # these import TensorFlow

    train = load(TRAIN)
    ends: list[float] = []
    model = models.build(params)
    fit.fit(
        model,
        Dataset(train.images[:IMAGES], train.labels[:IMAGES]),
        Dataset(np.empty((0, 28, 28), np.float32), np.empty(0, np.uint8)),
        params,
        inputs=inputs,
        on_epoch=lambda _: ends.append(time.perf_counter()),
    )
    checkpoint.discard()
    trained = IMAGES // params.train.batch_size * params.train.batch_size * (len(ends) - 1)
    speed = trained / (ends[-1] - ends[0])
    print(json.dumps({"images_per_second": speed, "parameters": _trainable(model)}))


def _trainable(model: Any) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


if __name__ == "__main__":
    main()
