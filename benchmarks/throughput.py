"""Print how many images a second the pipeline trains by `params.yaml`, and how many weights."""

import json
import math
import time
from typing import Any

from pipeline.core import guard, tensorflow_runtime
from pipeline.core.params_file import check_params
from pipeline.data.dataset import DESCRIPTION, TRAIN, Dataset, load, load_description
from pipeline.training import checkpoint
from pipeline.training.batches import steps_by_epoch
from pipeline.training.hyperparameters import Hyperparameters

IMAGES = 12_800  # of an epoch


def main() -> None:
    """Train some epochs; the first, which compiles as well, does not count."""
    inputs = guard.observe("train")
    params = check_params(Hyperparameters, inputs.params)
    tensorflow_runtime.start(jit_compile=params.jit_compile, gpu=params.train.device == "gpu")
    from pipeline.training import fit, models  # these import TensorFlow

    description = load_description(DESCRIPTION)
    train = load(TRAIN, description)
    ends: list[float] = []
    model = models.build(params, description)
    fit.fit(
        model,
        Dataset(train.images[:IMAGES], train.labels[:IMAGES]),
        Dataset(train.images[:0], train.labels[:0]),
        params,
        inputs=inputs,
        on_epoch=lambda _: ends.append(time.perf_counter()),
    )
    checkpoint.discard()
    steps = steps_by_epoch(params.train, IMAGES)[1 : len(ends)]
    trained = sum(steps) * params.train.batch_size
    speed = trained / (ends[-1] - ends[0])
    print(json.dumps({"images_per_second": speed, "parameters": _trainable(model)}))


def _trainable(model: Any) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


if __name__ == "__main__":
    main()
