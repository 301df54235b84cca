"""Compare two runs on the same test images, and say whether the difference is only luck.

The runs are those of any branches, tags, commits or experiments; nothing is checked out.
"""

import argparse
import json
from typing import Any

from pipeline.commands._table import print_table
from pipeline.data.dataset import label
from pipeline.experiments.comparison import compare
from pipeline.experiments.runs import find_run

RULES = """
The verdict on two runs is "better" or "worse" where McNemar's exact p-value is below 0.05,
otherwise "within noise", or "identical" where every prediction is the same. The 95 % bootstrap
interval of the difference is shown beside it. This is about the choice of the test images, and says
nothing of the luck of the seed. That is for --seeds: it takes BASE together with all experiments of
the same data, code and parameters except for the seed, REV likewise, and the verdict is "better" or
"worse" where Welch's 95 % interval of the difference of the two mean test accuracies excludes 0. It
is "within noise" where all seeds of each give the same accuracy: no spread is left to judge by.
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
    report = compare(base, other, arguments.seeds)
    if arguments.json:
        print(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False))
        return 0
    if report["stale"]:
        print(
            "The results in the workspace are stale; run `dvc repro`. "
            f"Changed since: {', '.join(report['stale'])}\n"
        )
    (_print_groups if arguments.seeds else _print_runs)(report)
    return 0


def _print_runs(report: dict[str, Any]) -> None:
    base, other = report["base"]["name"], report["other"]["name"]
    accuracy, metrics, classes = report["accuracy"], report["metrics"], report["classes"]
    print_table(
        ["metric", base, other, "difference"],
        [
            [name, _format(m["base"]), _format(m["other"]), _format(m["difference"], sign="+")]
            for name, m in metrics.items()
        ],
    )
    print(f"\nAccuracy on the same {accuracy['images']:,} test images{label(report['source'])}:")
    print(f"{_interval(accuracy)} (paired bootstrap);")
    print(
        f"only {base} is right on {accuracy['base_alone']} of them, only {other} on "
        f"{accuracy['other_alone']}: p = {accuracy['p_value']:.2g} (McNemar's exact test).\n"
    )
    changed = [
        [name, str(c["base"]), str(c["other"]), f"{c['difference']:+d} of {c['images']}"]
        for name, c in sorted(classes.items(), key=lambda item: -item[1]["difference"])
        if c["difference"]
    ]
    if changed:
        print_table(["images right", base, other, "difference"], changed)
    else:
        print("No class gained or lost.")
    verdict = f"identical to {base}" if report["verdict"] == "identical" else report["verdict"]
    print(f"\nIn test accuracy, {other} is {verdict}: {report['reason']}.")
    print("This weighs the luck of the test images alone; --seeds weighs that of the seed.")


def _print_groups(report: dict[str, Any]) -> None:
    columns = ("mean", "standard_deviation", "least", "greatest")
    print_table(
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
    name = report["other"]["name"]
    print(f"In test accuracy, {name} is {report['verdict']}: {report['reason']}.")


def _format(value: Any, sign: str = "") -> str:
    if isinstance(value, float):
        return f"{value:{sign}.4f}"
    return "" if value is None else f"{value:{sign}}"


def _interval(accuracy: dict[str, float]) -> str:
    return (
        f"{accuracy['difference']:+.4f}, "
        f"95 % interval {accuracy['low']:+.4f} to {accuracy['high']:+.4f}"
    )
