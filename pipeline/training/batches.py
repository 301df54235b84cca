"""The images in the order and the form in which training takes them."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pipeline.data.dataset import Dataset
from pipeline.training.augmentation import augment
from pipeline.training.hyperparameters import Hyperparameters, TrainParams

# Each call into TensorFlow costs about as much as a batch of a small model, so a call is given a
# chunk of batches: this many images, so that a chunk stays in the processor's cache.
CHUNK_IMAGES = 4_000

# What `train.skip_easy` skips is drawn from this share of the images, the easiest; none is skipped
# in this share of the epochs, the last. Chosen on the validation images of Fashion-MNIST.
EASY = 0.8
WITHOUT_SKIPPING = 0.05

Chunk = tuple[NDArray[np.float32], NDArray[Any], int]


def steps_by_epoch(params: TrainParams, images: int) -> list[int]:
    """Return how many batches each epoch has, for so many training images.

    The last images that do not fill a batch are left out.
    """
    epochs = range(params.epochs)
    return [(images - _skipped(params, images, epoch)) // params.batch_size for epoch in epochs]


def _skipped(params: TrainParams, images: int, epoch: int) -> int:
    """Return how many images an epoch skips; none in the first, before which none is known."""
    if not params.skip_easy:
        return 0
    last = math.ceil(WITHOUT_SKIPPING * params.epochs)
    return round(params.skip_easy * images) if 0 < epoch < params.epochs - last else 0


class TrainingBatches:
    """The training images, in a new order in each epoch, in chunks of batches.

    A chunk is images float32 `[steps, batch, *shape]`, labels `[steps, batch]`, and how many of
    the steps to train: the last chunk of an epoch may be filled up. The next one is written over
    it.

    With `train.skip_easy`, an epoch takes what is hard, and some of what is easy: the images to
    whose label the model gave the highest probability when it last trained on them. After Qin et
    al., InfoBatch, 2024, but without weights for the easy ones that are taken.

    Attributes:
        steps: how many batches each epoch has.
        label_probabilities: float32 `[N]`, what probability the model gave to the label of each
            image when it last trained on it; 0 before.
    """

    def __init__(self, train: Dataset, params: Hyperparameters) -> None:
        self.train = train
        self.params = params
        self.batch_size = params.train.batch_size
        self.steps = steps_by_epoch(params.train, len(train.labels))
        self.chunk_steps = min(self.steps[0], max(1, CHUNK_IMAGES // self.batch_size))
        self.label_probabilities = np.zeros(len(train.labels), np.float32)
        self.order = np.arange(0)  # of the epoch under way
        images = self.chunk_steps * self.batch_size
        self.images = _aligned((images, *train.images.shape[1:]), train.images.dtype)
        self.labels = _aligned((images,), train.labels.dtype)

    def chunks(self, first_epoch: int = 0) -> int:
        """Return how many chunks the epochs from `first_epoch` on have."""
        return sum(-(-steps // self.chunk_steps) for steps in self.steps[first_epoch:])

    def epoch(self, number: int) -> Iterator[Chunk]:
        """Yield the chunks of an epoch, which count from 0."""
        shape = (self.chunk_steps, self.batch_size)
        rng = np.random.default_rng([self.params.seed, number])
        self.order = self._order(number, rng)
        for first in range(0, self.steps[number], self.chunk_steps):
            last = first + self.chunk_steps
            rows = self.order[first * self.batch_size : last * self.batch_size]
            rows = np.resize(rows, len(self.labels))
            # With the mode "raise", NumPy would use a buffer of its own.
            np.take(self.train.images, rows, axis=0, out=self.images, mode="clip")
            np.take(self.train.labels, rows, out=self.labels, mode="clip")
            images = augment(self.images, self.params.train.augmentation, rng)
            steps = min(self.chunk_steps, self.steps[number] - first)
            yield images.reshape(*shape, *images.shape[1:]), self.labels.reshape(shape), steps

    def note(self, label_probabilities: NDArray[np.float32]) -> None:
        """Note the probability of the label of each image of the epoch, in its order."""
        self.label_probabilities[self.order] = label_probabilities

    def _order(self, epoch: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Return which images an epoch takes, in order."""
        images = len(self.train.labels)
        taken = np.arange(images)
        if skipped := _skipped(self.params.train, images, epoch):
            easy = np.argsort(-self.label_probabilities, kind="stable")[: round(EASY * images)]
            taken = np.delete(taken, rng.choice(easy, skipped, replace=False))
        return rng.permutation(taken)[: self.steps[epoch] * self.batch_size]


def _aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array that TensorFlow takes as it is, without a copy: 15 % of an epoch's time."""
    alignment = 64  # bytes, of Eigen's tensors
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + alignment, np.uint8)
    first = -buffer.ctypes.data % alignment
    return buffer[first : first + size].view(dtype).reshape(shape)
