"""Training by chunks is training batch by batch, as Keras does it, on the loss of the formula."""

import keras
import numpy as np
import pytest

from pipeline.data.dataset import Dataset
from pipeline.training import fit, optimizers, trainer
from pipeline.training.hyperparameters import Phase
from pipeline.training.trainer import Trainer
from tests.training.test_optimizers import params

RNG = np.random.default_rng(0)
STEPS, BATCH = 4, 8
IMAGES = RNG.random((STEPS, BATCH, 5), np.float32)
LABELS = RNG.integers(0, 10, (STEPS, BATCH)).astype(np.uint8)
PARAMS = params(optimizer="adam", momentum=None, weight_decay=None, learning_rate=0.01)
SCHEDULE = optimizers.schedule(PARAMS, Phase(0, 1, 0.01), [STEPS])


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(6, activation="relu", kernel_regularizer="l2")(inputs)
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(hidden))


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("steps", [STEPS, 3], ids=["whole chunk", "last chunk, filled up"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_chunk_is_so_many_batches_of_keras(steps: int, jit_compile: bool, weighted: bool) -> None:
    ours, plain = model(), model()
    plain.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    by_class = np.linspace(0.5, 2, 10, dtype=np.float32) if weighted else None
    trained = Trainer(
        ours, PARAMS, SCHEDULE, by_class, jit_compile=jit_compile, note_probabilities=True
    )
    results, label_probabilities = trained.train([(IMAGES, LABELS, steps)])
    expected, probabilities = [], []
    for images, labels in zip(IMAGES[:steps], LABELS[:steps], strict=True):
        counts = None if by_class is None else by_class[labels]
        plain.reset_metrics()
        probabilities += list(plain.predict_on_batch(images)[np.arange(BATCH), labels])
        expected.append(plain.train_on_batch(images, labels, counts))
    for weight, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-6)
    assert trained.optimizer.iterations == steps
    np.testing.assert_allclose(label_probabilities, probabilities, atol=1e-6)
    loss, accuracy = np.mean(expected, axis=0)
    assert results == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-5)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_evaluation_is_that_of_keras(monkeypatch: pytest.MonkeyPatch, jit_compile: bool) -> None:
    monkeypatch.setattr(trainer, "EVALUATION_BATCH_SIZE", 12)  # so that the last is smaller
    built = model()
    built.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels = IMAGES.reshape(-1, 5), LABELS.reshape(-1)
    measured = Trainer(
        built, PARAMS, SCHEDULE, np.arange(10, dtype=np.float32), jit_compile=jit_compile
    ).evaluate(Dataset(images, labels))
    loss, accuracy = built.evaluate(images, labels, verbose=0)
    assert measured == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_by_hand(smoothing: float) -> None:
    labels = np.array([0, 3, 9])
    probabilities = RNG.dirichlet(np.ones(10), 3).astype(np.float32)
    # All classes share `smoothing` evenly, the label's own among them.
    targets = np.full((3, 10), smoothing / 10)
    targets[np.arange(3), labels] += 1 - smoothing
    expected = -(targets * np.log(probabilities)).sum(axis=1).mean()
    loss = trainer.loss(params(label_smoothing=smoothing))
    assert float(loss(labels, probabilities)) == pytest.approx(expected, rel=1e-5)


def test_each_seed_epoch_and_layer_has_random_numbers_of_its_own() -> None:
    layers = [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)]
    built = keras.Sequential(layers)

    def states(seed: int, epoch: int) -> list[tuple[int, ...]]:
        fit._seed_layers(built, seed, epoch)
        return [tuple(layer.seed_generator.state.numpy()) for layer in built.layers]

    drawn = [states(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({state for layers in drawn for state in layers}) == 2 * 2 * 2
    assert states(seed=0, epoch=0) == drawn[0]
