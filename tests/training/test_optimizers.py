"""Learning rates by hand, and which weights decay."""

import keras
import pytest
import yaml

from pipeline.training import optimizers
from pipeline.training.hyperparameters import Phase, TrainParams
from tests.project import ROOT

STEPS = 10  # of each epoch
EPOCHS = [1, 2, 3, *[STEPS] * 5]  # of those before as well


def params(**changes: object) -> TrainParams:
    train = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]
    sgd = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.5}
    return TrainParams.model_validate(train | sgd | changes)


@pytest.mark.parametrize(
    ("shape", "warmup_epochs", "expected"),
    [
        # At the first step, and after each of five epochs.
        ("constant", 0, [0.1] * 6),
        ("constant", 2, [0.01 / 2, 0.11 / 2, 0.1, 0.1, 0.1, 0.1]),
        ("cosine", 0, [0.1, 0.0904508, 0.0654508, 0.0345492, 0.0095492, 0]),
        ("cosine", 1, [0.01, 0.1, 0.0853553, 0.05, 0.0146447, 0]),
        ("one-cycle", 2, [0.01 / 2, 0.11 / 2, 0.1, 0.2 / 3, 0.1 / 3, 0]),
    ],
)
def test_a_schedule_rises_and_falls(shape: str, warmup_epochs: int, expected: list[float]) -> None:
    # A phase that starts at epoch 3 has a schedule of its own.
    schedule = optimizers.schedule(
        params(schedule=shape, warmup_epochs=warmup_epochs), Phase(3, 8, 0.1), EPOCHS
    )
    rates = [float(schedule(epoch * STEPS)) for epoch in range(6)]
    assert rates == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_a_schedule_ends_with_epochs_of_unequal_length() -> None:
    chosen = params(schedule="one-cycle", warmup_epochs=2)
    schedule = optimizers.schedule(chosen, Phase(0, 4, 0.1), [10, 4, 4, 6])
    rates = [float(schedule(step)) for step in (0, 10, 13, 18, 24)]
    assert rates == pytest.approx([0.1 / 14, 1.1 / 14, 0.1, 0.06, 0], abs=1e-8)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_kernels_decay_and_nothing_else(optimizer: str) -> None:
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(2, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    momentum = 0.0 if optimizer == "sgd" else None
    chosen = params(optimizer=optimizer, momentum=momentum)
    built = optimizers.build(chosen, optimizers.schedule(chosen, Phase(3, 8, 0.1), EPOCHS))
    weights = model.trainable_variables
    for weight in weights:
        weight.assign(keras.ops.ones_like(weight))
    built.apply([keras.ops.zeros_like(weight) for weight in weights], weights)
    after = [(weight.name, float(keras.ops.max(weight))) for weight in weights]
    decayed = pytest.approx(1 - 0.1 * 0.5)  # by learning rate times weight decay
    assert after == [
        ("kernel", decayed),
        ("bias", 1.0),
        ("gamma", 1.0),
        ("beta", 1.0),
        ("kernel", decayed),
        ("bias", 1.0),
    ]
