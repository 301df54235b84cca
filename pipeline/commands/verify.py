"""Run a revision from scratch and compare every output with its dvc.lock."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.commands._table import print_table
from pipeline.core.artifacts import write_json
from pipeline.core.errors import PipelineError
from pipeline.experiments import environment
from pipeline.experiments.revisions import resolve
from pipeline.experiments.verification import Comparison, verify


def configure(parser: argparse.ArgumentParser) -> None:
    """Take a revision, and what to do with it."""
    parser.add_argument(
        "revision", nargs="?", default="HEAD", help="branch, tag, commit or experiment (HEAD)"
    )
    parser.add_argument("--stage", help="verify this stage alone, from its recorded inputs")
    parser.add_argument(
        "--report",
        type=Path,
        default=Path(".dvc/tmp/verify.json"),
        help="where to write the JSON report (%(default)s)",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Verify in a temporary clone; exit status 0 only if everything agrees."""
    commit = resolve(arguments.revision)
    report: Path = arguments.report
    if report.is_dir():
        raise PipelineError(f"{report} is a folder; --report needs a file")
    report.unlink(missing_ok=True)  # one of an earlier run must not pass for this one's
    where = f"{arguments.revision}, commit {commit[:10]}"
    print(f"Running the code of {where}, in a temporary clone", flush=True)
    comparisons = verify(commit, arguments.stage)
    same = all(comparison.same for comparison in comparisons)
    _print(comparisons)
    write_json(
        report,
        {
            "revision": arguments.revision,
            "commit": commit,
            "same": same,
            "environment": environment.describe(),
            "comparisons": [asdict(c) | {"same": c.same} for c in comparisons],
        },
    )
    print(f"Report: {report.resolve()}")
    return 0 if same else 1


def _print(comparisons: list[Comparison]) -> None:
    """Print a row for each output, and for all else that differs."""
    print()
    print_table(
        ["stage", "output", "recorded", "reproduced", ""],
        [
            [c.stage, c.name, _short(c.recorded), _short(c.reproduced), _verdict(c)]
            for c in comparisons
            if c.kind == "output" or not c.same
        ],
        left=5,
    )
    first = next((c for c in comparisons if not c.same), None)
    if first is None:
        print("\nEverything agrees with dvc.lock.")
    else:
        print(f"\nThe first difference is in stage {first.stage}: {first.kind} {first.name}.")


def _verdict(comparison: Comparison) -> str:
    if comparison.same:
        return "same"
    return "DIFFERENT" if comparison.kind == "output" else f"DIFFERENT {comparison.kind}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 32 else f"{text[:29]}..."
