"""Randomness is set by seed, epoch and layer."""

import keras
import pytest

from pipeline.training.callbacks import Seeding


@pytest.fixture(scope="module")
def model() -> keras.Model:
    layers = [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)]
    return keras.Sequential(layers)


def states(model: keras.Model, seed: int, epoch: int) -> list[tuple[int, ...]]:
    """The state of each layer's random numbers when the epoch begins."""
    seeding = Seeding(seed)
    seeding.set_model(model)
    seeding.on_epoch_begin(epoch)
    return [tuple(layer.seed_generator.state.numpy()) for layer in model.layers]


def test_each_seed_epoch_and_layer_has_random_numbers_of_its_own(model: keras.Model) -> None:
    drawn = [states(model, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({state for layers in drawn for state in layers}) == 2 * 2 * 2
    assert states(model, seed=0, epoch=0) == drawn[0]
