"""Steps of training and of evaluation, compiled: a call takes a whole chunk of batches.

Keras's `fit` makes a call for each batch. With its `steps_per_execution` XLA compiles only the
single step, so that each batch of a small model still costs less than the call for it.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.data.dataset import Dataset
from pipeline.training import optimizers
from pipeline.training.batches import Chunk
from pipeline.training.checkpoint import Arrays
from pipeline.training.hyperparameters import TrainParams
from pipeline.training.optimizers import Schedule

EVALUATION_BATCH_SIZE = 1_000


class Trainer:
    """A model that maps images to probabilities, with its loss and an optimizer of its own."""

    def __init__(
        self,
        model: keras.Model,
        params: TrainParams,
        schedule: Schedule,
        class_weights: NDArray[np.float32] | None = None,
        *,
        jit_compile: bool,
        note_probabilities: bool = False,
    ) -> None:
        """Make a trainer.

        Args:
            model: what is trained, in place: its weights that are trainable now.
            params: say what loss and optimizer are.
            schedule: the learning rate.
            class_weights: float32 `[classes]`, how much an image of each counts in training; None
                for all alike.
            jit_compile: whether XLA compiles the steps.
            note_probabilities: whether `train` returns probabilities.
        """
        self.note_probabilities = note_probabilities
        self.model, self.schedule = model, schedule
        self.loss, self.class_weights = loss(params), class_weights
        self.weights = model.trainable_variables
        self.optimizer = optimizers.build(params, schedule)
        self.optimizer.build(self.weights)  # so that its state can be restored
        # Nothing below needs AutoGraph, which takes 0.1 s and leaves files behind when killed.
        compiled = partial(tf.function, autograph=False, jit_compile=jit_compile)
        self._train, self._evaluate = compiled(self._train_on_chunk), compiled(self._evaluate_batch)

    def train(self, chunks: Iterable[Chunk]) -> tuple[dict[str, float], NDArray[np.float32]]:
        """Train batch by batch.

        Returns:
            Accuracy and mean loss in nats, and float32 `[N]`, what probability the model gave to
            the label of each image in turn, while it happened; the latter empty unless asked for.
        """
        sums, noted = tf.zeros(3), [np.zeros(0, np.float32)]
        for images, labels, steps in chunks:
            arguments = map(tf.constant, (images, labels, steps))
            sums, *probabilities = self._train(*arguments, sums)
            noted += [batches[:steps].numpy().ravel() for batches in probabilities]
        return _means(sums), np.concatenate(noted)

    def evaluate(self, dataset: Dataset) -> dict[str, float]:
        """Return accuracy and mean loss in nats."""
        sums = tf.zeros(3)
        for first in range(0, len(dataset.labels), EVALUATION_BATCH_SIZE):
            batch = (array[first : first + EVALUATION_BATCH_SIZE] for array in dataset)
            sums += self._evaluate(*map(tf.constant, batch))
        return _means(sums)

    def last_rate(self) -> float:
        """Return the learning rate of the last batch."""
        return float(self.schedule(self.optimizer.iterations - 1))

    def state(self) -> Arrays:
        """Return the state of the optimizer."""
        return [variable.numpy() for variable in self.optimizer.variables]

    def restore(self, state: Arrays) -> None:
        """Take up the state of an optimizer of the same kind."""
        for variable, array in zip(self.optimizer.variables, state, strict=True):
            variable.assign(array)

    def _train_on_chunk(
        self, images: tf.Tensor, labels: tf.Tensor, steps: tf.Tensor, sums: tf.Tensor
    ) -> list[tf.Tensor]:
        """Return what `_means` takes and, where noted, probabilities of labels `[steps, batch]`."""

        def train_on_batch(step: tf.Tensor, sums: tf.Tensor, *noted: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss, batch, probabilities = self._measured(
                    images[step], labels[step], training=True
                )
            self.optimizer.apply(tape.gradient(loss, self.weights), self.weights)
            noted = tuple(tf.tensor_scatter_nd_update(n, [[step]], [probabilities]) for n in noted)
            return [step + 1, sums + batch, *noted]

        noted = [tf.zeros(labels.shape)] if self.note_probabilities else []
        state = [tf.constant(0), sums, *noted]
        trained: list[tf.Tensor] = tf.while_loop(
            lambda step, *_: step < steps, train_on_batch, state
        )
        return trained[1:]

    def _evaluate_batch(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return self._measured(images, labels, training=False)[1]

    def _measured(
        self, images: tf.Tensor, labels: tf.Tensor, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return a batch's loss with penalties, what `_means` takes, and label probabilities."""
        labels = tf.cast(labels, tf.int32)
        probabilities = self.model(images, training=training)
        counts = None
        if training and self.class_weights is not None:
            counts = tf.gather(self.class_weights, labels)
        loss = tf.add_n([self.loss(labels, probabilities, counts), *self.model.losses])
        right = tf.argmax(probabilities, axis=-1, output_type=tf.int32) == labels
        images_in_batch = tf.cast(tf.shape(labels)[0], tf.float32)
        right_in_batch = tf.reduce_sum(tf.cast(right, tf.float32))
        sums = tf.stack([right_in_batch, loss * images_in_batch, images_in_batch])
        return loss, sums, tf.gather(probabilities, labels, batch_dims=1)


def _means(sums: tf.Tensor) -> dict[str, float]:
    """Return means, from sums over images: of the right ones, of the loss, and of 1."""
    right, loss, images = map(float, sums)
    return {"accuracy": right / images, "loss": loss / images}


def loss(params: TrainParams) -> Any:
    """Return the cross-entropy in nats; Keras has label smoothing only for one-hot labels."""
    if not params.label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy()
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=params.label_smoothing)

    def loss(
        labels: tf.Tensor, probabilities: tf.Tensor, counts: tf.Tensor | None = None
    ) -> tf.Tensor:
        return smoothed(tf.one_hot(labels, probabilities.shape[-1]), probabilities, counts)

    return loss
