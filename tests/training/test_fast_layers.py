"""The fast layers compute what Keras's own layers do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.fast_layers import CompiledDropout, FusedBatchNormalization, fast, plain

IMAGES = np.random.default_rng(0).normal(2, 3, (4, 3, 3, 5)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=IMAGES.shape).astype(np.float32)  # of a loss


def normalisation(kind: type[keras.Layer]) -> keras.Layer:
    layer = kind(momentum=0.7, epsilon=0.01)
    layer.build(IMAGES.shape)
    layer.gamma.assign([1.0, 2.0, 0.5, -1.0, 3.0])
    layer.beta.assign([0.0, 1.0, -1.0, 0.5, 2.0])
    return layer


def trained(layer: keras.Layer) -> tuple[np.ndarray, list[np.ndarray]]:
    """The outputs in training, and the gradients by inputs, gamma and beta."""
    inputs = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(outputs * WEIGHTS)
    gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
    return outputs.numpy(), [gradient.numpy() for gradient in gradients]


def test_normalisation_is_that_of_keras() -> None:
    ours, keras_own = (
        normalisation(kind) for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    (outputs, gradients), (expected, expected_gradients) = trained(ours), trained(keras_own)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.moving_mean, keras_own.moving_mean, rtol=1e-5)
    # A new variance weighs 1 - momentum, beside the 1 that the layer starts from.
    count = IMAGES.size // IMAGES.shape[-1]
    new, own = (layer.moving_variance.numpy() - 0.7 for layer in (ours, keras_own))
    np.testing.assert_allclose(new, own * count / (count - 1), rtol=1e-5)


@pytest.mark.parametrize("trainable", [True, False])
def test_normalisation_uses_its_averages_where_it_does_not_train(trainable: bool) -> None:
    ours, keras_own = (
        normalisation(kind) for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    for layer in (ours, keras_own):
        layer.moving_mean.assign([0.0, 1.0, 2.0, 3.0, 4.0])
        layer.moving_variance.assign([1.0, 2.0, 3.0, 4.0, 5.0])
        layer.trainable = trainable
    frozen = not trainable
    np.testing.assert_array_equal(ours(IMAGES, training=frozen), keras_own(IMAGES, training=frozen))
    np.testing.assert_array_equal(ours.moving_mean, [0.0, 1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_dropout_drops_its_rate_and_scales_what_is_left(rate: float) -> None:
    layer = CompiledDropout(rate, seed=0)
    inputs = tf.ones((100, 1000))
    drop = tf.function(lambda: layer(inputs, training=True), jit_compile=True)
    first, second = drop().numpy(), drop().numpy()
    for outputs in (first, second):
        kept = outputs != 0
        assert 1 - kept.mean() == pytest.approx(rate, abs=0.01)
        np.testing.assert_allclose(outputs[kept], 1 / (1 - rate), rtol=1e-6)
    # Each call draws anew: two draws differ where one of them keeps and the other does not.
    assert np.mean((first != 0) != (second != 0)) == pytest.approx(2 * rate * (1 - rate), abs=0.01)
    np.testing.assert_array_equal(layer(inputs, training=False), inputs)


def test_a_model_gets_fast_layers_and_loses_them_again() -> None:
    inputs = keras.Input((3, 3, 5))
    x = keras.layers.BatchNormalization(momentum=0.7)(inputs)
    model = keras.Model(inputs, keras.layers.Dropout(0.4)(x))
    kinds = {
        jit_compile: [type(layer) for layer in fast(model, jit_compile=jit_compile).layers[1:]]
        for jit_compile in (True, False)
    }
    assert kinds[True] == [FusedBatchNormalization, CompiledDropout]
    assert kinds[False] == [FusedBatchNormalization, keras.layers.Dropout]
    again = plain(fast(model, jit_compile=True))
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    assert again.layers[2].rate == 0.4
    model.layers[1].moving_mean.assign(np.arange(5.0))
    np.testing.assert_array_equal(plain(fast(model, jit_compile=True))(IMAGES), model(IMAGES))
