"""Training by chunks is training batch by batch, on the loss that the formula gives."""

import keras
import numpy as np
import pytest

from pipeline.training import fit
from pipeline.training.fit import ChunkTrainer
from tests.training.test_optimizers import params

RNG = np.random.default_rng(0)
STEPS, BATCH = 4, 8
IMAGES = RNG.random((STEPS, BATCH, 5), np.float32)
LABELS = RNG.integers(0, 10, (STEPS, BATCH)).astype(np.uint8)


def model(kind: type[keras.Model], *, jit_compile: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    outputs = keras.layers.Dense(10, activation="softmax")(
        keras.layers.Dense(6, activation="relu")(inputs)
    )
    built = kind(inputs, outputs)
    built.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    return built


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("steps", [STEPS, 3], ids=["whole chunk", "last chunk, filled up"])
def test_a_chunk_is_so_many_batches(steps: int, jit_compile: bool) -> None:
    ours, plain = (model(kind, jit_compile=jit_compile) for kind in (ChunkTrainer, keras.Model))
    results = ours.train_on_batch(IMAGES, LABELS, sample_weight=np.array([steps], np.int32))
    batches = zip(IMAGES[:steps], LABELS[:steps], strict=True)
    expected = [plain.train_on_batch(images, labels) for images, labels in batches]
    for weight, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-6)
    assert ours.optimizer.iterations == steps
    assert results == pytest.approx(np.mean(expected, axis=0), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_by_hand(smoothing: float) -> None:
    labels = np.array([0, 3, 9], np.uint8)
    probabilities = RNG.dirichlet(np.ones(10), 3).astype(np.float32)
    # All classes share `smoothing` evenly, the label's own among them.
    targets = np.full((3, 10), smoothing / 10)
    targets[np.arange(3), labels] += 1 - smoothing
    expected = -(targets * np.log(probabilities)).sum(axis=1).mean()
    loss = fit._loss(params(label_smoothing=smoothing))
    assert float(loss(labels, probabilities)) == pytest.approx(expected, rel=1e-5)
