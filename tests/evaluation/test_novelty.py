"""What is unlike the validation images is told, by the distance that the paper gives."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.evaluation import novelty
from pipeline.evaluation.novelty import Novelty

RNG = np.random.default_rng(0)


def model() -> keras.Model:
    """A model whose features are the pixels."""
    images = keras.Input((4, 4))
    probabilities = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(images))
    built = keras.Model(images, probabilities)
    built.compile()
    return built


def of_two_views() -> keras.Model:
    """One that gives the mean over an image and its mirror image."""
    images = keras.Input((4, 4))
    views = [images, keras.ops.flip(images, axis=2)]
    built = keras.Model(images, keras.layers.Average()(list(map(model(), views))))
    built.compile()
    return built


@pytest.mark.parametrize("build", [model, of_two_views])
def test_distances_and_threshold_are_those_of_a_plain_loop(
    build: Callable[[], keras.Model],
) -> None:
    known, images = (RNG.random((count, 4, 4), np.float32) for count in (101, 7))
    known[:, 0] += 1
    judge = Novelty(build(), known)

    def distance(image: np.ndarray) -> float:
        unit = [other / np.linalg.norm(other) for other in (image, *known[::2])]
        return float(sorted(np.linalg.norm(unit[0] - other) for other in unit[1:])[4])

    expected = [distance(image) for image in images]
    np.testing.assert_allclose(judge.distances(images), expected, atol=1e-5)
    usual = sorted(distance(image) for image in known[1::2])
    assert usual[46] < judge.threshold < usual[48]  # of 50, 95%
    assert min(expected) > judge.threshold


def test_no_more_images_are_used_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = RNG.random((150, 4, 4), np.float32)
    of_every_third = Novelty(model(), known[::3]).threshold
    monkeypatch.setattr(novelty, "MOST", 50)
    assert Novelty(model(), known).threshold == pytest.approx(of_every_third, abs=1e-6)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(PipelineError, match="there are 39 validation images, not 40 or more"):
        Novelty(model(), RNG.random((39, 4, 4), np.float32))
