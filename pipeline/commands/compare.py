"""Compare runs on the same images, and say whether a difference is only luck.

The runs are those of any branches, tags, commits or experiments; nothing is checked out. They are
judged by the validation set, and with --test by the test set: for a report, and not for a choice.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline.commands._table import print_table
from pipeline.core.errors import PipelineError
from pipeline.data.dataset import label
from pipeline.experiments.comparison import caveats, compare, conclusion
from pipeline.experiments.results.rows import how_to_get
from pipeline.experiments.runs import Run, Split, find_run

PAGE = Path("pages/compare.html")
MOST_RUNS = 8
RULES = """
The verdict on two runs is "better" or "worse" where McNemar's exact p-value is below 0.05,
otherwise "within noise", or "identical" where every prediction is the same. The 95 % bootstrap
interval of the difference is shown beside it. This is about the choice of the images, and says
nothing of the luck of the seed. That is for --seeds: it takes BASE together with all experiments of
the same data, code and parameters except for the seed, REV likewise, and the verdict is "better" or
"worse" where Welch's 95 % interval of the difference of the two mean accuracies excludes 0. It is
"within noise" where all seeds of each give the same accuracy: no spread is left to judge by. Each
of several runs is compared with BASE; --json then prints a list.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take two revisions or more, or one."""
    parser.epilog = RULES
    parser.add_argument("base", metavar="BASE", help="branch, tag, commit or experiment")
    parser.add_argument(
        "revisions",
        metavar="REV",
        nargs="*",
        help="runs to compare with it (default: the results here)",
    )
    parser.add_argument("--seeds", action="store_true", help="compare the groups they belong to")
    parser.add_argument("--test", action="store_true", help="judge by the test set")
    parser.add_argument(
        "--html",
        metavar="FILE",
        nargs="?",
        type=Path,
        const=PAGE,
        help=f"also write a page with curves, confusions and images ({PAGE})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")


def execute(arguments: argparse.Namespace) -> int:
    """Print the comparison; the exit status does not depend on the verdict."""
    names = [arguments.base, *(arguments.revisions or [None])]
    if len(names) > MOST_RUNS:
        raise PipelineError(f"{len(names)} runs are named; {MOST_RUNS} are the most")
    if arguments.html and arguments.html.suffix != ".html":
        raise PipelineError(f"--html {arguments.html}: the name of a page ends in .html")
    runs = [_find(name) for name in names]
    split: Split = "test" if arguments.test else "validation"
    reports = compare(runs, split, arguments.seeds)
    if arguments.html:
        from pipeline.experiments import comparison_page  # imports Matplotlib

        comparison_page.write(arguments.html, runs, reports, arguments.seeds)
    if arguments.json:
        content = reports[0] if len(reports) == 1 else reports
        print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
        return 0
    if reports[0]["stale"]:
        print(
            "The results in the workspace are stale; run `dvc repro`. "
            f"Changed since: {', '.join(reports[0]['stale'])}\n"
        )
    for report in reports:
        (_print_groups if arguments.seeds else _print_runs)(report)
        print(f"\n{conclusion(report)}\n")
    for caveat in caveats(reports[0], arguments.seeds):
        print(caveat)
    if arguments.html:
        print(f"All of it, and more: {arguments.html.resolve().as_uri()}")
    return 0


def _find(name: str | None) -> Run:
    """Return the run of this name; the error says how to get what is a row of the results."""
    try:
        return find_run(name)
    except PipelineError as error:
        raise PipelineError(f"{error}{how_to_get(name or '')}") from None


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
    images = f"{accuracy['images']:,} {report['split']} images{label(report['source'])}"
    print(f"\nAccuracy on the same {images}:")
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


def _print_groups(report: dict[str, Any]) -> None:
    title = f"{report['split']} accuracy{label(report['source'])}"
    columns = ("mean", "standard_deviation", "least", "greatest")
    print_table(
        [title, "seeds", "mean", "SD", "min", "max"],
        [
            [side["name"], str(len(side["accuracies"])), *(f"{side[c]:.4f}" for c in columns)]
            for side in (report["base"], report["other"])
        ],
    )
    print()
    for side in (report["base"], report["other"]):
        print(f"Seeds of {side['name']}: {', '.join(map(str, side['accuracies']))}")
    print(f"Difference of the means: {_interval(report['accuracy'])} (Welch's t).")


def _format(value: Any, sign: str = "") -> str:
    if isinstance(value, float):
        return f"{value:{sign}.4f}"
    return "" if value is None else f"{value:{sign}}"


def _interval(accuracy: dict[str, float]) -> str:
    return (
        f"{accuracy['difference']:+z.4f}, "
        f"95 % interval {accuracy['low']:+z.4f} to {accuracy['high']:+z.4f}"
    )
