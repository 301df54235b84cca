"""The optimizer, and how its learning rate goes up and down."""

import math
from typing import Any

import keras
from keras import ops

from pipeline.training.hyperparameters import Phase, TrainParams

# Weight decay is for kernels: biases and the parameters of normalisation are left out, as usual.
NOT_DECAYED = ["bias", "gamma", "beta"]


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises in a line from 0 to `peak` and then follows `shape`.

    constant stays at `peak`; cosine falls to 0 in half a wave (Loshchilov and Hutter, SGDR, 2017,
    equation 5); one-cycle falls to 0 in a line (Smith and Topin, Super-Convergence, 2018).
    """

    def __init__(self, peak: float, shape: str, warmup_steps: int, steps: int) -> None:
        super().__init__()
        self.peak = peak
        self.shape = shape
        self.warmup_steps = warmup_steps
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of the batch after `step` batches, a float32 scalar."""
        step = ops.cast(step, "float32")
        left = ops.clip((self.steps - step) / (self.steps - self.warmup_steps), 0.0, 1.0)
        share: Any = 1.0
        if self.shape == "cosine":
            share = ops.square(ops.sin(math.pi / 2 * left))  # (1 - cos) / 2, but exact near 0
        elif self.shape == "one-cycle":
            share = left
        if self.warmup_steps:
            share = ops.where(step < self.warmup_steps, (step + 1) / self.warmup_steps, share)
        return self.peak * share


def schedule(params: TrainParams, phase: Phase, steps_by_epoch: list[int]) -> Schedule:
    """Return the learning rate by batch over `phase`."""
    steps = steps_by_epoch[phase.first : phase.end]
    return Schedule(
        phase.learning_rate,
        params.schedule,
        warmup_steps=sum(steps[: params.warmup_epochs]),
        steps=sum(steps),
    )


def build(params: TrainParams, schedule: Schedule) -> keras.Optimizer:
    """Return the optimizer that `params` name, on `schedule`."""
    if params.optimizer == "adam":
        return keras.optimizers.Adam(schedule)
    optimizer: keras.Optimizer
    if params.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=params.weight_decay)
    else:
        optimizer = keras.optimizers.SGD(
            schedule, params.momentum, nesterov=True, weight_decay=params.weight_decay
        )
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer
