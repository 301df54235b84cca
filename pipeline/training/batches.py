"""The images in the order and the form in which training takes them."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pipeline.data.dataset import Dataset
from pipeline.training.augmentation import augment
from pipeline.training.hyperparameters import Hyperparameters

# Each call into TensorFlow costs about as much as a batch of a small model, so a call is given a
# chunk of batches: this many images, so that a chunk stays in the processor's cache.
CHUNK_IMAGES = 4_000

Chunk = tuple[NDArray[np.float32], NDArray[Any], int]


class TrainingBatches:
    """The training images, in a new order in each epoch, in chunks of batches.

    A chunk is images float32 `[steps, batch, *shape]`, labels `[steps, batch]`, and how many of
    the steps to train: the last chunk of an epoch may be filled up. The next one is written over
    it.

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
        images = self.chunk_steps * self.batch_size
        self.images = _aligned((images, *train.images.shape[1:]), train.images.dtype)
        self.labels = _aligned((images,), train.labels.dtype)

    def epoch(self, number: int) -> Iterator[Chunk]:
        """Yield the chunks of an epoch, which count from 0."""
        shape = (self.chunk_steps, self.batch_size)
        rng = np.random.default_rng([self.params.seed, number])
        order = rng.permutation(len(self.train.labels))
        for first in range(0, self.steps, self.chunk_steps):
            last = first + self.chunk_steps
            rows = order[first * self.batch_size : last * self.batch_size]
            rows = np.resize(rows, len(self.labels))
            # With the mode "raise", NumPy would use a buffer of its own.
            np.take(self.train.images, rows, axis=0, out=self.images, mode="clip")
            np.take(self.train.labels, rows, out=self.labels, mode="clip")
            images = augment(self.images, self.params.train.augmentation, rng)
            steps = min(self.chunk_steps, self.steps - first)
            yield images.reshape(*shape, *images.shape[1:]), self.labels.reshape(shape), steps


def _aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array that TensorFlow takes as it is, without a copy: 15 % of an epoch's time."""
    alignment = 64  # bytes, of Eigen's tensors
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + alignment, np.uint8)
    first = -buffer.ctypes.data % alignment
    return buffer[first : first + size].view(dtype).reshape(shape)
