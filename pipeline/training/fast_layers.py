"""Keras layers that train several times faster on a CPU, to the same effect.

A model is trained with them and saved without, so that plain Keras can load it.
"""

from typing import Any

import keras
import tensorflow as tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, trained in one pass over memory, where its own operations take several.

    It is for channels-last images `[N, height, width, channels]`. TensorFlow's operation returns
    the unbiased variance of a batch, so the moving variance is larger than Keras's own by a factor
    of M/(M-1), where M = N * height * width.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:  # noqa: D102
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs


class CompiledDropout(keras.layers.Dropout):
    """Keras's layer with random numbers from ThreeFry, which XLA computes quickly.

    Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:  # noqa: D102
        if not training:
            return inputs
        # What is drawn is unsigned, and the operation takes signed numbers.
        seed = tf.cast(tf.math.floormod(self.seed_generator.next(), tf.int32.max), tf.int32)
        return tf.nn.experimental.stateless_dropout(
            inputs, rate=self.rate, seed=seed, rng_alg="threefry"
        )


PLAIN = {
    FusedBatchNormalization: keras.layers.BatchNormalization,
    CompiledDropout: keras.layers.Dropout,
}


def fast(model: keras.Model, *, jit_compile: bool) -> keras.Model:
    """Return a copy of `model` with fast layers; dropout only where XLA compiles."""
    faster = {plain: fast for fast, plain in PLAIN.items()}
    if not jit_compile:
        del faster[keras.layers.Dropout]
    return _replaced(model, faster)


def plain(model: keras.Model) -> keras.Model:
    """Return a copy of `model` with Keras's own layers."""
    return _replaced(model, PLAIN)


def _replaced(model: keras.Model, kinds: dict[Any, Any]) -> keras.Model:
    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        return kinds.get(type(layer), type(layer)).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
