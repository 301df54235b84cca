"""Compare two runs on the same test images, and say whether the difference is only luck.

The runs are those of any branches, tags, commits or experiments; nothing is checked out.
"""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import PipelineError
from pipeline.data.dataset import label
from pipeline.experiments.runs import Run, SeedGroup, find_run, find_seed_groups

if TYPE_CHECKING:
    from pipeline.experiments.statistics import Correct

RULES = """
The verdict on two runs is "better" or "worse" only where both agree: the 95 % bootstrap interval
of the difference in test accuracy excludes 0, and McNemar's exact p-value is below 0.05.
Otherwise it is "within noise". This is about the choice of the test images, and says nothing of
the luck of the seed. That is for --seeds: it takes BASE together with all experiments of the same
data, code and parameters but for the seed, REV likewise, and the verdict is "better" or "worse"
where Welch's 95 % interval of the difference of the two mean test accuracies excludes 0.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take one or two revisions."""
    parser.epilog = RULES
    parser.add_argument("base", metavar="BASE", help="branch, tag, commit or experiment")
    parser.add_argument(
        "revision", metavar="REV", nargs="?", help="another one (the results in the workspace)"
    )
    parser.add_argument("--seeds", action="store_true", help="compare the groups they belong to")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")


def execute(arguments: argparse.Namespace) -> int:
    """Print the comparison; the exit status does not depend on the verdict."""
    base, other = find_run(arguments.base), find_run(arguments.revision)
    _check_same_test_set(base, other)
    report = _compare_groups(base, other) if arguments.seeds else _compare_runs(base, other)
    if arguments.json:
        print(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False))
    elif arguments.seeds:
        _print_groups(report)
    else:
        _print_runs(report)
    return 0


def _check_same_test_set(base: Run, other: Run) -> None:
    sources = base.metrics().get("source"), other.metrics().get("source")
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


def _compare_runs(base: Run, other: Run) -> dict[str, Any]:
    # Slow to import, and not every command needs them.
    from dvc.utils.flatten import flatten

    from pipeline.experiments.statistics import compare_paired

    metrics, other_metrics = flatten(base.metrics()), flatten(other.metrics())
    (actual, predicted), (_, other_predicted) = base.predictions(), other.predictions()
    correct, other_correct = predicted == actual, other_predicted == actual
    accuracy = compare_paired(correct, other_correct)
    return {
        "base": asdict(base),
        "other": asdict(other),
        "source": base.metrics().get("source"),
        "metrics": {
            name: _pair(metrics.get(name), other_metrics.get(name))
            for name in metrics | other_metrics
        },
        "accuracy": asdict(accuracy),
        "classes": {
            str(name): _class(correct[actual == name], other_correct[actual == name])
            for name in np.unique(actual)
        },
        "verdict": accuracy.verdict,
        "reason": accuracy.reason,
    }


def _pair(base: Any, other: Any) -> dict[str, Any]:
    """Put two values side by side, with their difference where they are numbers."""
    numbers = all(isinstance(value, int | float) for value in (base, other))
    return {"base": base, "other": other, "difference": other - base if numbers else None}


def _class(correct: "Correct", other_correct: "Correct") -> dict[str, Any]:
    """Count the images of one class that either model has right."""
    return {"images": len(correct)} | _pair(int(correct.sum()), int(other_correct.sum()))


def _compare_groups(base: Run, other: Run) -> dict[str, Any]:
    from pipeline.experiments.statistics import compare_means

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
        "source": base.metrics().get("source"),
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


def _print_runs(report: dict[str, Any]) -> None:
    base, other = report["base"]["name"], report["other"]["name"]
    accuracy, metrics, classes = report["accuracy"], report["metrics"], report["classes"]
    _print_table(
        ["metric", base, other, "difference"],
        [
            [name, _format(m["base"]), _format(m["other"]), _format(m["difference"], sign="+")]
            for name, m in metrics.items()
        ],
    )
    data = label(report["source"])
    print(f"\nAccuracy on the same {accuracy['images']:,} test images{data}:")
    print(f"{_interval(accuracy)} (paired bootstrap);")
    print(
        f"only {base} is right on {accuracy['base_alone']} of them, only {other} on "
        f"{accuracy['other_alone']}: p = {accuracy['p_value']:.2g} (McNemar's exact test).\n"
    )
    changed = {name: c for name, c in classes.items() if c["difference"]}
    if changed:
        _print_table(
            ["images right", base, other, "difference"],
            [
                [name, str(c["base"]), str(c["other"]), f"{c['difference']:+d} of {c['images']}"]
                for name, c in sorted(changed.items(), key=lambda item: -item[1]["difference"])
            ],
        )
    else:
        print("No class gained or lost.")
    print(f"\nIn test accuracy, {other} is {report['verdict']}: {report['reason']}.")
    print("This weighs the luck of the test images alone; --seeds weighs that of the seed.")


def _print_groups(report: dict[str, Any]) -> None:
    columns = ("mean", "standard_deviation", "least", "greatest")
    _print_table(
        [f"test accuracy{label(report['source'])}", "seeds", "mean", "SD", "min", "max"],
        [
            [side["name"], str(len(side["accuracies"])), *(f"{side[c]:.4f}" for c in columns)]
            for side in (report["base"], report["other"])
        ],
    )
    print()
    for side in (report["base"], report["other"]):
        print(f"Seeds of {side['name']}: {', '.join(map(str, side['accuracies']))}")
    print(f"Difference of the means: {_interval(report['accuracy'])} (Welch's t).\n")
    other = report["other"]["name"]
    print(f"In test accuracy, {other} is {report['verdict']}: {report['reason']}.")


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print aligned columns: text on the left, all others on the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for first, *others in (header, *rows):
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]))


def _format(value: Any, sign: str = "") -> str:
    if isinstance(value, float):
        return f"{value:{sign}.4f}"
    return "" if value is None else f"{value:{sign}}"


def _interval(accuracy: dict[str, float]) -> str:
    return (
        f"{accuracy['difference']:+.4f}, "
        f"95 % interval {accuracy['low']:+.4f} to {accuracy['high']:+.4f}"
    )
