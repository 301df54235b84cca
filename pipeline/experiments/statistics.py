"""Telling a difference from luck: two models on the same images, or two groups of models.

The statistics are SciPy's; the rules that turn them into a verdict are here.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
ALPHA = 0.05

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
        low: lower bound of the 95 % interval of `difference` over draws of the test images.
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
        """Take sides only where the interval and the test both do."""
        return _side(self.low, self.high) if self.p_value < ALPHA else "within noise"

    @property
    def reason(self) -> str:
        """Say what the verdict rests on."""
        excludes, significant = _side(self.low, self.high) != "within noise", self.p_value < ALPHA
        return (
            f"the interval {'excludes' if excludes else 'contains'} 0, "
            f"{'and' if excludes == significant else 'but'} "
            f"p is {'' if significant else 'not '}below {ALPHA}"
        )


@dataclass(frozen=True)
class MeanDifference:
    """How the mean accuracies of two groups of models differ.

    Attributes:
        difference: mean of the second group minus that of the first.
        low: lower bound of the 95 % interval of `difference` over draws of the seeds.
        high: upper bound.
    """

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Take sides where the interval does."""
        return _side(self.low, self.high)

    @property
    def reason(self) -> str:
        """Say what the verdict rests on."""
        return f"the interval {'contains' if self.verdict == 'within noise' else 'excludes'} 0"


def compare_paired(base: Correct, other: Correct) -> PairedDifference:
    """Compare two models by the images, at least two, on which each was right.

    The interval is the percentile bootstrap's, over images, so that both models keep meeting the
    same ones; its random numbers are fixed. The test is McNemar's, exact: of the images on which
    one model alone was right, either has half if neither is better.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13;
    McNemar, Note on the sampling error of the difference between correlated proportions, 1947.
    """
    difference = other.astype(np.int8) - base.astype(np.int8)
    interval = stats.bootstrap(
        (difference,),
        np.mean,
        method="percentile",
        confidence_level=LEVEL,
        batch=100,  # of the resamples at a time, for the memory
        rng=np.random.default_rng(0),
    ).confidence_interval
    base_alone, other_alone = int(np.sum(difference < 0)), int(np.sum(difference > 0))
    discordant = base_alone + other_alone
    return PairedDifference(
        images=len(difference),
        base_alone=base_alone,
        other_alone=other_alone,
        difference=float(difference.mean()),
        low=float(interval.low),
        high=float(interval.high),
        p_value=float(stats.binomtest(other_alone, discordant).pvalue) if discordant else 1.0,
    )


def compare_means(base: Sequence[float], other: Sequence[float]) -> MeanDifference:
    """Compare two groups, of at least two accuracies each, by Welch's t interval.

    Source: Welch, The generalization of "Student's" problem, 1947.
    """
    with warnings.catch_warnings():
        # Where all of a group are equal, its spread is 0: SciPy doubts that, but is right.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = stats.ttest_ind(other, base, equal_var=False).confidence_interval(LEVEL)
    return MeanDifference(
        difference=float(np.mean(other) - np.mean(base)),
        low=float(interval.low),
        high=float(interval.high),
    )


def _side(low: float, high: float) -> Verdict:
    return "better" if low > 0 else "worse" if high < 0 else "within noise"
