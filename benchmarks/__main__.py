"""`make bench`: time the pipeline beside its peers, and write the table."""

import argparse
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measurements import GROUPS, Bench, Row
from benchmarks.project import ROOT, clone
from pipeline import environment
from pipeline.artifacts import write_bytes, write_json

FOLDER = ROOT / "benchmarks"


def main() -> None:
    """Measure all groups and write the table, or some and only print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("group", nargs="*", choices=[[], *GROUPS], help="measure only this")
    parser.add_argument("--peers", type=Path, required=True, help="the Python that has the peers")
    parser.add_argument("--runs", type=int, default=5, help="how often each command is run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder) / "project", ROOT / "data/raw")
        bench = Bench(project, arguments.peers.absolute(), arguments.runs)
        rows: list[Row] = []
        for name in arguments.group or GROUPS:
            project.restore()
            for row in GROUPS[name](bench):
                print(_line(row), flush=True)
                rows.append(row)
    if not arguments.group:
        results = {"machine": environment.describe(), "rows": [asdict(row) for row in rows]}
        write_json(FOLDER / "results.json", results)
        write_bytes(FOLDER / "README.md", page(results).encode())


def page(results: dict[str, Any]) -> str:
    """Return the table of the results in Markdown, with what there is to say about it."""
    machine, rows = results["machine"], [Row(**row) for row in results["rows"]]
    packages = machine["packages"]
    pins = re.findall(r"^(\w+)==(\S+)", (FOLDER / "requirements.txt").read_text(), re.MULTILINE)
    return f"""# Benchmarks

Written by `make bench` from [results.json](results.json), which has every value. What a row
compares ran in turn, {len(rows[0].ours)} times; shown are medians, with the least and the greatest
value. A ratio is that of the medians.

Machine: {machine["cores"]} cores of an {machine["processor"]}, {machine["operating_system"]},
Python {machine["python"]}. Here: TensorFlow {packages["tensorflow"]}, Keras {packages["keras"]},
DVC {packages["dvc"]}. There: {", ".join(" ".join(pin) for pin in pins)}.

| what | here | held against | there | ratio | target | met |
| --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(map(_line, rows))}

{(FOLDER / "notes.md").read_text(encoding="utf-8")}"""


def _line(row: Row) -> str:
    ratio = f"{row.value:.2f}" if row.theirs else ""
    target = f"{'at least' if row.at_least else 'at most'} {row.target:g}"
    there = _values(row.theirs, row.unit) if row.theirs else ""
    met = "yes" if row.met else "**no**"
    cells = (row.what, _values(row.ours, row.unit), row.against, there, ratio, target, met)
    return f"| {' | '.join(cells)} |"


def _values(values: list[float], unit: str) -> str:
    return f"{median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    main()
