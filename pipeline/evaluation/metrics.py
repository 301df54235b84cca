"""Judging predictions: everything here follows from probabilities and labels."""

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.params_file import Section

Probabilities = NDArray[np.float32]  # [N, classes]
Labels = NDArray[np.uint8] | NDArray[np.uint16]  # [N]
Column = NDArray[Any]  # of a table, a number for each row

# The smallest probability that enters a logarithm, as in Keras's own cross-entropy.
EPSILON = 1e-7


class EvaluateParams(Section):
    """The section `evaluate`."""

    calibration_bins: int = Field(ge=1, le=100)


class Evaluation(NamedTuple):
    """How good a model is on a set of images."""

    metrics: dict[str, float]  # accuracies and errors are shares of 1, the loss is in nats
    confusion: NDArray[np.intp]  # as `confusion_matrix` returns it
    calibration: dict[str, Column]  # as `calibration` returns it


def accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Return the share of images whose likeliest class is their label."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def cross_entropy(probabilities: Probabilities, labels: Labels) -> float:
    """Return the mean of -ln p(label), in nats."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    # Not NumPy's logarithm and sum, whose last bits depend on the processor.
    return -math.fsum(map(math.log, np.maximum(chosen, EPSILON))) / len(labels)


def top_2_accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Return the share of images whose label is among the two likeliest classes."""
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    return float(np.mean((likeliest == labels[:, None]).any(axis=1)))


def calibration(probabilities: Probabilities, labels: Labels, bins: int) -> dict[str, Column]:
    """Compare confidence, the probability of the likeliest class, with accuracy.

    Returns:
        A table by columns, with a row for each of the equal `bins` of confidence that holds any
        image: its bounds `low` and `high`, its number of `images` (integers), and their mean
        `confidence` and their `accuracy`.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    images = np.bincount(index, minlength=bins)
    filled = np.flatnonzero(images)
    return {
        "low": filled / bins,
        "high": (filled + 1) / bins,
        "images": images[filled],
        "confidence": np.bincount(index, weights=confidence)[filled] / images[filled],
        "accuracy": np.bincount(index, weights=correct)[filled] / images[filled],
    }


def expected_calibration_error(table: dict[str, Column]) -> float:
    """Return the mean gap between confidence and accuracy in a table of `calibration`.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3.
    """
    gaps = np.abs(table["accuracy"] - table["confidence"])
    return float((gaps * table["images"]).sum() / table["images"].sum())


def accuracy_interval(value: float, count: float) -> tuple[float, float]:
    """Return the 95 % bounds of the true accuracy, given `value` measured on `count` images.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    z = NormalDist().inv_cdf(0.975)
    centre = value + z**2 / (2 * count)
    spread = z * (value * (1 - value) / count + z**2 / (4 * count**2)) ** 0.5
    low, high = (centre - spread) / (1 + z**2 / count), (centre + spread) / (1 + z**2 / count)
    return max(low, 0.0), min(high, 1.0)  # where rounding errors go beyond


def confusion_matrix(probabilities: Probabilities, labels: Labels) -> NDArray[np.intp]:
    """Return how many images of each class (row) were taken for each class (column)."""
    predicted, size = probabilities.argmax(axis=1), probabilities.shape[1]
    return np.bincount(labels.astype(np.intp) * size + predicted, minlength=size**2).reshape(
        size, size
    )


def per_class(confusion: NDArray[np.intp]) -> dict[str, NDArray[np.float64]]:
    """Return precision, recall and F1 of each class, float64 `[classes]`; 0 where undefined."""
    hits = confusion.diagonal().astype(np.float64)
    predicted, actual = confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(actual, 1),
        "f1": 2 * hits / np.maximum(predicted + actual, 1),
    }


def balanced_accuracy(confusion: NDArray[np.intp]) -> float:
    """Return the mean recall of the classes that have images.

    Source: Brodersen et al., The Balanced Accuracy and Its Posterior Distribution, 2010.
    """
    present = confusion.sum(axis=1) > 0
    return float(per_class(confusion)["recall"][present].mean())


def macro_f1(confusion: NDArray[np.intp]) -> float:
    """Return the mean F1 of the classes that have images or predictions."""
    seen = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    return float(per_class(confusion)["f1"][seen].mean())


def evaluate(probabilities: Probabilities, labels: Labels, params: EvaluateParams) -> Evaluation:
    """Judge what a model gave for images, at least one."""
    right = accuracy(probabilities, labels)
    low, high = accuracy_interval(right, len(labels))
    confusion = confusion_matrix(probabilities, labels)
    table = calibration(probabilities, labels, params.calibration_bins)
    metrics = {
        "accuracy": right,
        "accuracy_low": low,
        "accuracy_high": high,
        "loss": cross_entropy(probabilities, labels),
        "top_2_accuracy": top_2_accuracy(probabilities, labels),
        "balanced_accuracy": balanced_accuracy(confusion),
        "macro_f1": macro_f1(confusion),
        "expected_calibration_error": expected_calibration_error(table),
    }
    return Evaluation(metrics, confusion, table)
