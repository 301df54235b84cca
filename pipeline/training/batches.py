"""The images in the order and the form in which training takes them."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.data.dataset import Dataset
from pipeline.training.augmentation import augment
from pipeline.training.hyperparameters import Hyperparameters

# Each call into TensorFlow costs about as much as a batch of a small model, so a call is given a
# chunk of batches: this many images, so that a chunk stays in the processor's cache.
CHUNK_IMAGES = 4_000
VALIDATION_BATCH_SIZE = 1_000

Chunk = tuple[NDArray[np.float32], NDArray[Any], NDArray[np.int32]]


class TrainingBatches:
    """The training images, in a new order in each epoch, in chunks of batches.

    A chunk is images float32 `[steps, batch, *shape]`, labels `[steps, batch]`, and int32 `[1]`,
    how many of the steps to train: the last chunk of an epoch may be filled up.

    Attributes:
        steps: how many batches an epoch has. The last images that do not fill a batch are left out.
        chunks: how many chunks an epoch has.
    """

    def __init__(self, train: Dataset, params: Hyperparameters) -> None:
        self.train = train
        self.params = params
        self.batch_size = params.train.batch_size
        self.steps = len(train.labels) // self.batch_size
        self.chunk_steps = min(self.steps, max(1, CHUNK_IMAGES // self.batch_size))
        self.chunks = -(-self.steps // self.chunk_steps)

    def dataset(self, first_epoch: int) -> tf.data.Dataset:
        """Return the chunks of one epoch after another.

        The next is made while one is trained on, except where TensorFlow is told to be
        deterministic.
        """
        chunk = (self.chunk_steps, self.batch_size)
        chunks = tf.data.Dataset.from_generator(
            lambda: self.generate(first_epoch),
            output_signature=(
                tf.TensorSpec((*chunk, *self.train.images.shape[1:]), self.train.images.dtype),
                tf.TensorSpec(chunk, self.train.labels.dtype),
                tf.TensorSpec((1,), tf.int32),
            ),
        )
        return _untuned(chunks.prefetch(1))

    def generate(self, first_epoch: int) -> Iterator[Chunk]:
        """Yield the chunks of one epoch after another, without end."""
        shape = (self.chunk_steps, self.batch_size)
        for epoch in itertools.count(first_epoch):
            rng = np.random.default_rng([self.params.seed, epoch])
            order = rng.permutation(len(self.train.labels))
            for first in range(0, self.steps, self.chunk_steps):
                last = first + self.chunk_steps
                rows = order[first * self.batch_size : last * self.batch_size]
                rows = np.resize(rows, self.chunk_steps * self.batch_size)
                images = augment(self.train.images[rows], self.params.train.augmentation, rng)
                yield (
                    images.reshape(*shape, *images.shape[1:]),
                    self.train.labels[rows].reshape(shape),
                    np.array([min(self.chunk_steps, self.steps - first)], np.int32),
                )


def validation_batches(validation: Dataset) -> tf.data.Dataset | None:
    """Return the validation set in batches; None where it is empty."""
    if not len(validation.labels):
        return None
    batches = tf.data.Dataset.from_tensor_slices(tuple(validation)).batch(VALIDATION_BATCH_SIZE)
    return _untuned(batches)


def _untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Keep tf.data from tuning itself, which it can take two seconds to end after training."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
