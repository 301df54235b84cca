"""Telling images that are unlike the data set: those far from all that the model knows.

How far an image is, is the distance of its features, what enters the last layer of the network, to
those of the k-th nearest of the known images, all scaled to length 1. Source: Sun, Ming, Zhu and
Li, Out-of-Distribution Detection with Deep Nearest Neighbors, 2022
(https://arxiv.org/abs/2204.06507).

The validation images serve as the known ones: half of them as neighbours, and the other half say
which distance is usual. `python -m benchmarks.novelty` measures how well it works.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError
from pipeline.evaluation.prediction import BATCH_SIZE

if TYPE_CHECKING:
    import keras

NEIGHBOUR = 5  # k
USUAL = 0.95  # the share of validation images that are not novel
LEAST, MOST = 40, 6_000  # validation images: 5% of half of them are one, and 9 million distances


class Novelty:
    """Tells which images are farther from those that a model knows than is usual.

    Attributes:
        threshold: the distance above which an image is novel, 0 to 2.
    """

    def __init__(self, model: "keras.Model", known: NDArray[np.float32]) -> None:
        """Measure `known`, the validation images, float32 `[N, *shape]`.

        Raises:
            PipelineError: they are too few.
        """
        import keras

        if len(known) < LEAST:
            raise PipelineError(f"there are {len(known)} validation images, not {LEAST} or more")
        network = model
        if isinstance(model.layers[-1], keras.layers.Average):  # over views; one is enough here
            network = next(layer for layer in model.layers if isinstance(layer, keras.Model))
        self._extractor = keras.Model(network.inputs, network.layers[-1].input)
        self._extractor.compile(jit_compile=model.jit_compile)
        # From all over: they may be sorted by class.
        count = min(len(known), MOST)
        some = known[np.arange(count) * len(known) // count]
        self._neighbours = self._features(some[::2])
        self.threshold = float(np.quantile(self.distances(some[1::2]), USUAL))

    def distances(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how far each image is from those that are known, float32 `[N]`."""
        similarity = self._features(images) @ self._neighbours.T
        nearest = np.partition(similarity, -NEIGHBOUR, axis=1)[:, -NEIGHBOUR]
        # |a - b| where both have length 1.
        distances: NDArray[np.float32] = np.sqrt(np.maximum(2 - 2 * nearest, 0))
        return distances

    def _features(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        batches: list[Any] = [
            self._extractor.predict_on_batch(images[first : first + BATCH_SIZE])
            for first in range(0, len(images), BATCH_SIZE)
        ]
        features: NDArray[np.float32] = np.concatenate(batches).astype(np.float32)
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
        return features
