"""Runs, or the seeds of runs, side by side: each is compared with the first."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.core.errors import PipelineError
from pipeline.experiments.runs import METRICS, Run, Split, accuracies_by_seed
from pipeline.experiments.statistics import Correct, compare_means, compare_paired, mean_interval
from pipeline.experiments.workspace import changes


def compare(runs: Sequence[Run], split: Split, seeds: bool) -> list[dict[str, Any]]:
    """Compare the first of two or more runs, or the group of its seeds, with each of the others.

    Returns:
        For each of the others: both sides, and a verdict on the other by the images of `split`.

    Raises:
        PipelineError: they do not have the same images in `split`, or none, one has not what
            `dvc.lock` records, or, of groups, has a single seed.
    """
    base, *others = runs
    for other in others:
        _check_same_images(base, other, split)
    stale = changes(METRICS) if any(run.commit is None for run in others) else []
    common = {"stale": stale, "source": base.metrics().source, "split": split}
    if seeds:
        return [common | report for report in _compare_groups(runs, split)]
    return [common | _compare_runs(base, other, split) for other in others]


def conclusion(report: dict[str, Any]) -> str:
    """Return the verdict of a comparison, and what it rests on, as a sentence."""
    return f"In {report['split']} accuracy, {verdict(report)}: {report['reason']}."


def verdict(report: dict[str, Any]) -> str:
    """Return the verdict of a comparison as a clause."""
    base, other = report["base"]["name"], report["other"]["name"]
    match report["verdict"]:
        case "within noise":
            return f"the difference of {other} from {base} is within noise"
        case "identical":
            return f"{other} is identical to {base}"
    return f"{other} is {report['verdict']} than {base}"


def caveats(report: dict[str, Any], seeds: bool) -> list[str]:
    """Return what is to be borne in mind with a verdict, as sentences."""
    found = []
    if not seeds:
        found.append(
            f"This weighs the luck of the {report['split']} images alone; --seeds weighs that of "
            "the seed."
        )
    if report["split"] == "test":
        found.append(
            "The test accuracy of a run that was chosen by it can no longer be reported: choose by "
            "the validation set, without --test."
        )
    if report["stale"]:
        found.append("This is about stale results, not about what `dvc repro` would give now.")
    return found


def _check_same_images(base: Run, other: Run, split: Split) -> None:
    for run in (base, other):
        run.accuracy(split)  # or there is nothing to compare
    sources = base.metrics().source, other.metrics().source
    counts = [len(run.predictions(split)[0]) for run in (base, other)]
    images = base.images_hash(split), other.images_hash(split)
    if None not in sources and sources[0] != sources[1]:  # the first results did not say
        reason = f"their data is {sources[0]} and {sources[1]}"
    elif counts[0] != counts[1]:
        reason = f"their {split} sets, of {counts[0]} and {counts[1]} images, differ"
    elif images[0] != images[1] or not np.array_equal(
        base.predictions(split)[0], other.predictions(split)[0]
    ):
        reason = f"their {split} images differ"
    else:
        return
    hint = "; `--test` judges by the test set" if split == "validation" else ""
    raise PipelineError(f"{base.name} and {other.name} cannot be compared: {reason}{hint}")


def _compare_runs(base: Run, other: Run, split: Split) -> dict[str, Any]:
    metrics, other_metrics = base.metrics().by_name(), other.metrics().by_name()
    actual, predicted = base.predictions(split)
    other_predicted = other.predictions(split)[1]
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


def _compare_groups(runs: Sequence[Run], split: Split) -> list[dict[str, Any]]:
    groups = accuracies_by_seed(runs, split)
    recipes = [recipe[1] for recipe in map(Run.recipe, runs) if recipe]
    if recipes[0] in recipes[1:]:
        names = f"{runs[0].name} and {runs[1 + recipes[1:].index(recipes[0])].name}"
        raise PipelineError(f"{names}: both names mean the same group of seeds")
    for run, accuracies in zip(runs, groups, strict=True):
        if len(accuracies) < 2:
            raise PipelineError(
                f"{run.name} has only seed {next(iter(accuracies))}; at least two are needed; with "
                "its parameters in the workspace, `python -m pipeline seeds 5` queues more"
            )
    base, *others = (_describe(run, group) for run, group in zip(runs, groups, strict=True))
    first, *rest = (list(accuracies.values()) for accuracies in groups)
    means = [compare_means(first, other) for other in rest]
    return [
        {
            "base": base,
            "other": other,
            "accuracy": asdict(difference),
            "verdict": difference.verdict,
            "reason": difference.reason,
        }
        for other, difference in zip(others, means, strict=True)
    ]


def _describe(run: Run, accuracies: dict[int, float]) -> dict[str, Any]:
    values = list(accuracies.values())
    low, high = mean_interval(values)
    return asdict(run) | {
        "accuracies": accuracies,
        "mean": float(np.mean(values)),
        "low": low,
        "high": high,
        "standard_deviation": float(np.std(values, ddof=1)),
        "least": min(values),
        "greatest": max(values),
    }
