"""Two runs, or the seeds of two runs, side by side."""

from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.core.errors import PipelineError
from pipeline.experiments.runs import METRICS, Run, accuracies_by_seed
from pipeline.experiments.statistics import Correct, compare_means, compare_paired
from pipeline.experiments.workspace import changes


def compare(base: Run, other: Run, seeds: bool) -> dict[str, Any]:
    """Return two runs, or the groups of their seeds, side by side, and a verdict on `other`.

    Raises:
        PipelineError: they have not the same test set, one has not what `dvc.lock` records, or,
            of groups, has a single seed.
    """
    _check_same_test_set(base, other)
    return {
        "stale": changes(METRICS) if other.commit is None else [],
        "source": base.metrics().source,
        **(_compare_groups if seeds else _compare_runs)(base, other),
    }


def _check_same_test_set(base: Run, other: Run) -> None:
    sources = base.metrics().source, other.metrics().source
    actual, other_actual = base.predictions()[0], other.predictions()[0]
    if None not in sources and sources[0] != sources[1]:  # the first results did not say
        reason = f"their data is {sources[0]} and {sources[1]}"
    elif not np.array_equal(actual, other_actual):
        reason = f"their test sets, of {len(actual)} and {len(other_actual)} images, differ"
    else:
        return
    raise PipelineError(f"{base.name} and {other.name} cannot be compared: {reason}")


def _compare_runs(base: Run, other: Run) -> dict[str, Any]:
    metrics, other_metrics = base.metrics().by_name(), other.metrics().by_name()
    (actual, predicted), (_, other_predicted) = base.predictions(), other.predictions()
    correct, other_correct = predicted == actual, other_predicted == actual
    accuracy = compare_paired(correct, other_correct)
    same = np.array_equal(predicted, other_predicted)
    return {
        "base": asdict(base),
        "other": asdict(other),
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


def _class(correct: Correct, other_correct: Correct) -> dict[str, Any]:
    """Count the images of one class that either model has right."""
    return {"images": len(correct)} | _pair(int(correct.sum()), int(other_correct.sum()))


def _compare_groups(base: Run, other: Run) -> dict[str, Any]:
    runs = (base, other)
    groups = accuracies_by_seed(runs)
    if len({recipe[1] for recipe in (run.recipe() for run in runs) if recipe}) == 1:
        raise PipelineError(f"{base.name} and {other.name} are of one group: they differ by seed")
    for run, accuracies in zip(runs, groups, strict=True):
        if len(accuracies) < 2:
            raise PipelineError(
                f"{run.name} has one seed, {next(iter(accuracies))}, and two are the least; with "
                "its parameters in the workspace, `python -m pipeline seeds 5` queues more"
            )
    means = compare_means(*(list(accuracies.values()) for accuracies in groups))
    return {
        "base": _describe(base, groups[0]),
        "other": _describe(other, groups[1]),
        "accuracy": asdict(means),
        "verdict": means.verdict,
        "reason": means.reason,
    }


def _describe(run: Run, accuracies: dict[int, float]) -> dict[str, Any]:
    values = list(accuracies.values())
    return asdict(run) | {
        "accuracies": accuracies,
        "mean": float(np.mean(values)),
        "standard_deviation": float(np.std(values, ddof=1)),
        "least": min(values),
        "greatest": max(values),
    }
