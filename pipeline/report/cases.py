"""Which test images are worth a look: the mistakes, and what the model was unsure of."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import Labels, Probabilities

Rows = NDArray[np.intp]  # indices of test images


class Confusion(NamedTuple):
    """The images of one class that were taken for a certain other."""

    actual: int
    predicted: int
    rows: Rows  # the most confident mistake first


def most_confident_mistakes(probabilities: Probabilities, labels: Labels) -> Rows:
    """Return the wrong predictions, the most confident first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def least_confident(probabilities: Probabilities) -> Rows:
    """Return all predictions, the least confident first, whether right or wrong.

    Source: least confidence sampling, in Settles, Active Learning Literature Survey, 2009.
    """
    return np.argsort(probabilities.max(axis=1), kind="stable")


def confusions(probabilities: Probabilities, labels: Labels) -> list[Confusion]:
    """Return the confusions that occur, the most frequent first."""
    groups = defaultdict(list)
    for row in most_confident_mistakes(probabilities, labels):
        groups[int(labels[row]), int(probabilities[row].argmax())].append(row)
    found = [Confusion(*pair, np.array(rows)) for pair, rows in sorted(groups.items())]
    return sorted(found, key=lambda confusion: -len(confusion.rows))
