"""Two runs, or the seeds of two runs, side by side."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import PipelineError
from pipeline.experiments.runs import METRICS, Run, SeedGroup, find_seed_groups
from pipeline.experiments.workspace import changes

if TYPE_CHECKING:
    from pipeline.experiments.statistics import Correct


def _check_same_test_set(base: Run, other: Run) -> None:
    sources = base.metrics().source, other.metrics().source
    if None not in sources and sources[0] != sources[1]:  # the first results did not say
        raise PipelineError(
            f"{base.name} and {other.name} cannot be compared: "
            f"their data is {sources[0]} and {sources[1]}"
        )
    actual, other_actual = base.predictions()[0], other.predictions()[0]
    if not np.array_equal(actual, other_actual):
        raise PipelineError(
            f"{base.name} and {other.name} cannot be compared: "
            f"their test sets, of {len(actual)} and {len(other_actual)} images, differ"
        )


def compare_runs(base: Run, other: Run) -> dict[str, Any]:
    """Return what two runs measured, side by side, and whether the difference is only luck.

    Raises:
        PipelineError: they have not the same test set, or one has not what `dvc.lock` records.
    """
    from pipeline.experiments.statistics import compare_paired  # slow to import

    _check_same_test_set(base, other)
    metrics, other_metrics = base.metrics().by_name(), other.metrics().by_name()
    (actual, predicted), (_, other_predicted) = base.predictions(), other.predictions()
    correct, other_correct = predicted == actual, other_predicted == actual
    accuracy = compare_paired(correct, other_correct)
    same = np.array_equal(predicted, other_predicted)
    return {
        "base": asdict(base),
        "other": asdict(other),
        "stale": changes(METRICS) if other.commit is None else [],
        "source": base.metrics().source,
        "metrics": {
            name: _pair(metrics.get(name), other_metrics.get(name))
            for name in metrics | other_metrics
        },
        "accuracy": asdict(accuracy),
        "classes": {
            str(name): _class(correct[actual == name], other_correct[actual == name])
            for name in np.unique(actual)
        },
        "verdict": "identical" if same else accuracy.verdict,
        "reason": "every prediction is the same" if same else accuracy.reason,
    }


def _pair(base: Any, other: Any) -> dict[str, Any]:
    """Put two values side by side, with their difference where they are numbers."""
    numbers = all(isinstance(value, int | float) for value in (base, other))
    return {"base": base, "other": other, "difference": other - base if numbers else None}


def _class(correct: "Correct", other_correct: "Correct") -> dict[str, Any]:
    """Count the images of one class that either model has right."""
    return {"images": len(correct)} | _pair(int(correct.sum()), int(other_correct.sum()))


def compare_groups(base: Run, other: Run) -> dict[str, Any]:
    """Return the test accuracies of the seeds of two runs, and how their means differ.

    Raises:
        PipelineError: they have not the same test set, or one has a single seed.
    """
    from pipeline.experiments.statistics import compare_means  # slow to import

    _check_same_test_set(base, other)
    groups = find_seed_groups([base, other])
    for group in groups:
        if len(group.accuracies) < 2:
            raise PipelineError(
                f"{group.run.name} has one seed, {next(iter(group.accuracies))}, and two are the "
                "least; with its parameters in the workspace, `python -m pipeline seeds 5` "
                "queues more"
            )
    means = compare_means(*(list(group.accuracies.values()) for group in groups))
    return {
        "base": _describe(groups[0]),
        "other": _describe(groups[1]),
        "stale": changes(METRICS) if other.commit is None else [],
        "source": base.metrics().source,
        "accuracy": asdict(means),
        "verdict": means.verdict,
        "reason": means.reason,
    }


def _describe(group: SeedGroup) -> dict[str, Any]:
    values = list(group.accuracies.values())
    return asdict(group.run) | {
        "accuracies": group.accuracies,
        "mean": float(np.mean(values)),
        "standard_deviation": float(np.std(values, ddof=1)),
        "least": min(values),
        "greatest": max(values),
    }
