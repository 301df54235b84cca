"""Telling a difference from luck: two models on the same images, or two groups of models.

The statistics are SciPy's; the rules that turn them into a verdict are here.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
ALPHA = 0.05
DRAWS = 100_000  # of the bootstrap

Verdict = Literal["better", "worse", "within noise"]
Correct = NDArray[np.bool_]  # [N], whether a model was right on each image


@dataclass(frozen=True)
class PairedDifference:
    """How the accuracies of two models differ on the same images.

    Attributes:
        images: how many there are.
        base_alone: on how many of them only the first model was right.
        other_alone: on how many only the second was.
        difference: accuracy of the second minus that of the first.
        low: lower bound of the 95 % interval of `difference` over draws of the images.
        high: upper bound.
        p_value: the chance of counts at least as unequal as these two, were neither model better.
    """

    images: int
    base_alone: int
    other_alone: int
    difference: float
    low: float
    high: float
    p_value: float

    @property
    def verdict(self) -> Verdict:
        """Return the verdict of the test."""
        return _side(self.difference) if self.p_value < ALPHA else "within noise"

    @property
    def reason(self) -> str:
        """Say what the verdict rests on."""
        return f"p is {'' if self.p_value < ALPHA else 'not '}below {ALPHA}"


@dataclass(frozen=True)
class MeanDifference:
    """How the mean accuracies of two groups of models differ.

    Attributes:
        difference: mean of the second group minus that of the first.
        low: lower bound of the 95 % interval of `difference` over draws of the seeds.
        high: upper bound; the same as `low` where no seed changes anything.
    """

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Return the verdict of the interval."""
        within = self.low == self.high or self.low <= 0 <= self.high
        return "within noise" if within else _side(self.difference)

    @property
    def reason(self) -> str:
        """Say what the verdict rests on."""
        if self.low == self.high:
            return "neither group has any spread to judge the difference by"
        return f"the interval {'contains' if self.verdict == 'within noise' else 'excludes'} 0"


def compare_paired(base: Correct, other: Correct) -> PairedDifference:
    """Compare two models by the images on which each was right.

    The interval is the percentile bootstrap's, over images: draws of N images have multinomial
    numbers of those that either model alone has right. Its random numbers are fixed. The test is
    McNemar's, exact: of these images, either model has half if neither is better.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13;
    McNemar, Note on the sampling error of the difference between correlated proportions, 1947.
    """
    from scipy import stats  # slow to import

    images = len(base)
    counts = [int(np.sum(base & ~other)), int(np.sum(other & ~base))]
    shares = np.array([*counts, images - sum(counts)]) / images
    draws = np.random.default_rng(0).multinomial(images, shares, DRAWS)
    low, high = np.quantile(draws[:, 1] - draws[:, 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) / images
    return PairedDifference(
        images=images,
        base_alone=counts[0],
        other_alone=counts[1],
        difference=(counts[1] - counts[0]) / images,
        low=float(low),
        high=float(high),
        p_value=float(stats.binomtest(counts[1], sum(counts)).pvalue) if sum(counts) else 1.0,
    )


def compare_means(base: Sequence[float], other: Sequence[float]) -> MeanDifference:
    """Compare two groups, of at least two accuracies each, by Welch's t interval.

    Source: Welch, The generalization of "Student's" problem, 1947.
    """
    from scipy import stats  # slow to import

    difference = float(np.mean(other) - np.mean(base))
    if len(set(base)) == len(set(other)) == 1:
        return MeanDifference(difference, difference, difference)
    with warnings.catch_warnings():
        # Where all of one group are equal, its spread is 0: SciPy doubts that, but is right.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = stats.ttest_ind(other, base, equal_var=False).confidence_interval(LEVEL)
    return MeanDifference(difference, float(interval.low), float(interval.high))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean of at least two values, over draws of the seeds.

    Source: Student, The probable error of a mean, 1908.
    """
    from scipy import stats  # slow to import

    if len(set(values)) == 1:  # no spread, of which SciPy makes NaN
        return values[0], values[0]
    error = stats.sem(values)
    low, high = stats.t.interval(LEVEL, len(values) - 1, np.mean(values), error)
    return float(low), float(high)


def _side(difference: float) -> Verdict:
    return "better" if difference > 0 else "worse"
