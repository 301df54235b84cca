"""`make bench`: time the pipeline beside its peers, and write the table."""

import argparse
import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measurements import GROUPS, Bench, Row
from benchmarks.project import ROOT, clone
from pipeline.core.artifacts import write_bytes, write_json
from pipeline.experiments import environment
from pipeline.experiments.revisions import git

FOLDER = ROOT / "benchmarks"
RESULTS = FOLDER / "results.json"
NOTES = FOLDER / "notes.md"


def main() -> None:
    """Measure all groups and write the table, or one and only print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=GROUPS, help="measure this, and write nothing")
    parser.add_argument("--peers", type=Path, help="the Python that has the peers")
    parser.add_argument("--runs", type=int, default=3, help="how often each command is run")
    parser.add_argument(
        "--page", action="store_true", help=f"measure nothing, and write {NOTES.name} to the page"
    )
    arguments = parser.parse_args()
    if arguments.page:
        write_page()
        return
    if arguments.peers is None:
        parser.error("--peers is missing; `make bench` knows it")
    if arguments.runs < 1:
        parser.error(f"--runs is {arguments.runs}; at least 1 is needed")
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder))
        bench = Bench(project, arguments.peers.absolute(), arguments.runs)
        rows: list[Row] = []
        for name in [arguments.only] if arguments.only else GROUPS:
            project.restore()
            for row in GROUPS[name](bench):
                print(_line(row), flush=True)
                rows.append(row)
    for line in worse(rows, committed()):
        print(line, flush=True)
    if not arguments.only:
        pins = (FOLDER / "requirements.txt").read_text(encoding="utf-8")
        results = {
            "machine": environment.describe(),
            "peers": dict(re.findall(r"^(\w+)==(\S+)", pins, re.MULTILINE)),
            "rows": [asdict(row) for row in rows],
        }
        write_json(RESULTS, results)
        write_page()


def committed() -> list[Row]:
    """Return the rows of the table as it is in the last commit."""
    shown = git("show", "HEAD:./benchmarks/results.json")
    return [Row(**row) for row in json.loads(shown)["rows"]]


def worse(rows: list[Row], before: list[Row]) -> list[str]:
    """Name the rows whose figure is worse than in the table of before, by more than both spread.

    A ratio is compared where there is one: machines differ less in it than in seconds.
    """
    known = {(row.what, row.against): row for row in before}
    lines = []
    for row in rows:
        old = known.get((row.what, row.against))
        if old is None:
            continue
        low, high = min(_each(old)), max(_each(old))
        spread = max(high - low, max(_each(row)) - min(_each(row)))
        change = row.value - old.value
        if (-change if row.at_least else change) > spread:
            lines.append(
                f"worse than committed, by more than the spread: {row.what}"
                f"{f', against {row.against}' if row.against else ''}: "
                f"{_number(old.value)}, now {_number(row.value)}"
            )
    return lines


def _each(row: Row) -> list[float]:
    """Return the value of each round."""
    if not row.theirs:
        return row.ours
    return [ours / theirs for ours, theirs in zip(row.ours, row.theirs, strict=True)]


def write_page() -> None:
    """Write the page anew, from what was measured and what there is to say about it."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    write_bytes(FOLDER / "README.md", page(results).encode())


def page(results: dict[str, Any]) -> str:
    """Return the table of the results in Markdown, with the notes below it."""
    machine, rows = results["machine"], [Row(**row) for row in results["rows"]]
    packages = machine["packages"]
    return f"""# Benchmarks

Written by `make bench` from [results.json](results.json), which has every value. What a row
compares ran in turn, {len(rows[0].ours)} times; shown are medians, with the least and the greatest
value. A ratio is that of the medians.

Machine: {machine["cores"]} cores of an {machine["processor"]}, {machine["operating_system"]},
Python {machine["python"]}. Here: TensorFlow {packages["tensorflow"]}, Keras {packages["keras"]},
DVC {packages["dvc"]}. There: {", ".join(map(" ".join, results["peers"].items()))}.

| what | here | held against | there | ratio | target | met |
| --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(map(_line, rows))}

{NOTES.read_text(encoding="utf-8")}"""


def _line(row: Row) -> str:
    ratio = f"{row.value:.2f}" if row.theirs else ""
    target = ""
    if row.target is not None:
        target = f"{'at least' if row.at_least else 'at most'} {row.target:g}"
    there = _values(row.theirs, row.unit) if row.theirs else ""
    met = "" if row.target is None else "yes" if row.met else "**no**"
    cells = (row.what, _values(row.ours, row.unit), row.against, there, ratio, target, met)
    return f"| {' | '.join(cells)} |"


def _values(values: list[float], unit: str) -> str:
    shown = [_number(value) for value in (median(values), min(values), max(values))]
    return f"{shown[0]} {unit} ({shown[1]} to {shown[2]})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
