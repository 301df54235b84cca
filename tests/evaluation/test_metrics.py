"""The measures, against plain loops and hand-made cases."""

import math

import numpy as np
import pytest

from pipeline.evaluation import metrics

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 9, 500).astype(np.uint8)  # no image of class 9
LOGITS = RNG.normal(size=(500, 10)) + 2 * np.eye(10)[LABELS]
PROBABILITIES = (np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)).astype(np.float32)
PREDICTED = [max(range(10), key=row.__getitem__) for row in PROBABILITIES.tolist()]


def test_accuracy_and_loss() -> None:
    pairs = list(zip(PREDICTED, LABELS, strict=True))
    assert metrics.accuracy(PROBABILITIES, LABELS) == sum(p == a for p, a in pairs) / 500
    expected = -sum(math.log(p[a]) for p, a in zip(PROBABILITIES, LABELS, strict=True)) / 500
    assert metrics.cross_entropy(PROBABILITIES, LABELS) == pytest.approx(expected)


def test_a_label_held_impossible_has_a_finite_loss() -> None:
    certain = np.eye(10, dtype=np.float32)[[3]]
    assert metrics.cross_entropy(certain, np.array([4], np.uint8)) == pytest.approx(-math.log(1e-7))


def test_top_2_accuracy() -> None:
    hits = sum(
        a in sorted(range(10), key=lambda k: -p[k])[:2]
        for p, a in zip(PROBABILITIES.tolist(), LABELS, strict=True)
    )
    assert metrics.top_2_accuracy(PROBABILITIES, LABELS) == hits / 500


def test_precision_recall_and_f1() -> None:
    confusion = metrics.confusion_matrix(PROBABILITIES, LABELS)
    scores = metrics.per_class(confusion)
    for c in range(10):
        hits = sum(p == a == c for p, a in zip(PREDICTED, LABELS, strict=True))
        predicted, actual = PREDICTED.count(c), int(np.sum(c == LABELS))
        assert confusion[c].sum() == actual
        precision = hits / predicted if predicted else 0
        recall = hits / actual if actual else 0
        f1 = 2 * precision * recall / (precision + recall) if hits else 0
        assert [scores[name][c] for name in scores] == pytest.approx([precision, recall, f1])


def test_balanced_accuracy_is_the_mean_recall_of_classes_with_images() -> None:
    confusion = metrics.confusion_matrix(PROBABILITIES, LABELS)
    recalls = [
        sum(p == a == c for p, a in zip(PREDICTED, LABELS, strict=True)) / int(np.sum(c == LABELS))
        for c in range(9)
    ]
    assert metrics.balanced_accuracy(confusion) == pytest.approx(sum(recalls) / 9)


def test_expected_calibration_error() -> None:
    # Two bins: confidences 0.4 and 0.4 (one right: off by 0.1), 0.9 and 1.0 (both right: 0.05).
    probabilities = np.zeros((4, 10), np.float32)
    probabilities[:, 0] = [0.4, 0.4, 0.9, 1.0]
    probabilities[:, 1:] = (1 - probabilities[:, :1]) / 9
    labels = np.array([0, 1, 0, 0], np.uint8)
    table = metrics.calibration(probabilities, labels, bins=2)
    error = metrics.expected_calibration_error(table)
    assert error == pytest.approx((2 * 0.1 + 2 * 0.05) / 4)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_calibration_table(bins: int) -> None:
    confidences = PROBABILITIES.max(axis=1).tolist()
    rows = []
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [i for i, c in enumerate(confidences) if low <= c < high or c == high == 1]
        if inside:
            hits = sum(PREDICTED[i] == LABELS[i] for i in inside)
            mean = sum(confidences[i] for i in inside) / len(inside)
            rows.append([low, high, len(inside), mean, hits / len(inside)])
    table = metrics.calibration(PROBABILITIES, LABELS, bins)
    assert list(table) == ["low", "high", "images", "confidence", "accuracy"]
    np.testing.assert_allclose(np.transpose(list(table.values())), rows)


@pytest.mark.parametrize(("value", "count"), [(0.87, 10_000), (0.5, 20), (1.0, 50), (0.0, 50)])
def test_the_interval_solves_its_equation(value: float, count: int) -> None:
    """Wilson's bounds are where a true accuracy p lies 1.96 standard errors from the measured."""
    for bound in metrics.accuracy_interval(value, count):
        error = math.sqrt(max(bound * (1 - bound), 0) / count)
        assert abs(value - bound) == pytest.approx(1.959964 * error, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_interval_is_of_accuracies(value: float) -> None:
    intervals = [metrics.accuracy_interval(value, count) for count in range(1, 1_000)]
    assert all(0 <= low < high <= 1 for low, high in intervals)


def test_a_class_that_is_nowhere_does_not_count() -> None:
    confusion = np.diag([3, 5, 0])
    assert metrics.macro_f1(confusion) == metrics.balanced_accuracy(confusion) == 1
    confusion[0, 2] = 3  # predicted, and so there
    assert metrics.macro_f1(confusion) == pytest.approx((2 * 3 / (6 + 3) + 1 + 0) / 3)
