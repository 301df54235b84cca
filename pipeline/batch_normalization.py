"""Batch normalisation in one pass over memory, where Keras takes several."""

from typing import Any

import keras
import tensorflow as tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, trained by TensorFlow's fused kernel.

    It holds the same weights and gives the same results up to rounding; it is for channels-last
    images `[N, height, width, channels]`.
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


def fused(model: keras.Model) -> keras.Model:
    """Return a copy of `model` with fused layers in the place of Keras's own."""
    return _replaced(model, keras.layers.BatchNormalization, FusedBatchNormalization)


def plain(model: keras.Model) -> keras.Model:
    """Return a copy of `model` that plain Keras can load."""
    return _replaced(model, FusedBatchNormalization, keras.layers.BatchNormalization)


def _replaced(
    model: keras.Model, old: type[keras.layers.Layer], new: type[keras.layers.Layer]
) -> keras.Model:
    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = new if type(layer) is old else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
