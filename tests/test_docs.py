"""The pages say what is there: links lead somewhere, and no output or command is left out."""

import csv
import json
import re
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "results.csv"
OUTPUTS = (ROOT / "docs/outputs.md").read_text(encoding="utf-8")


def text(page: Path) -> str:
    """A page without its code, where nothing is a link or a heading."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The names that code hosts give to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_output_is_explained() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in stages.values():
        for entry in [e for kind in ("outs", "metrics", "plots") for e in stage.get(kind, [])]:
            path = next(iter(entry)) if isinstance(entry, dict) else entry
            name = re.sub("^t10k-(images|labels)-.*", r"t10k-\1-...", Path(path).name)
            assert f"{name}`" in OUTPUTS, path


def leaves(content: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        leaf
        for key, value in content.items()
        for leaf in (
            leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
        )
    ]


def test_every_metric_and_column_is_explained() -> None:
    names = [
        re.sub(r"^validation\..*", "validation.*", leaf)
        for file in (ROOT / "metrics").glob("*.json")
        for leaf in leaves(json.loads(file.read_text(encoding="utf-8")))
    ]
    for table in (ROOT / "plots").glob("*.csv"):
        with table.open(encoding="utf-8", newline="") as rows:
            names += next(csv.reader(rows))
    assert [name for name in names if f"`{name}`" not in OUTPUTS] == []


def test_every_command_is_explained() -> None:
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    commands = {path.stem for path in (ROOT / "pipeline/commands").glob("[!_]*.py")}
    assert {name for name in commands if f"| `{name}` |" not in page} == set()


@pytest.mark.skipif(not RESULTS.exists(), reason="a project of your own has no results yet")
def test_the_readme_says_what_the_results_say_of_the_presets() -> None:
    sections = yaml.safe_load((ROOT / "results.yaml").read_text(encoding="utf-8"))["sections"]
    rows = {row["preset"]: row["name"] for s in sections for row in s["rows"] if not row["set"]}
    with RESULTS.open(encoding="utf-8", newline="") as file:
        results = list(csv.DictReader(file))
    line = r"^\| `(.+)` \| (0\.\d+ ± 0\.\d+) \| (\d+) \| (\d+) (s|min) \|$"
    cells = re.findall(line, README, re.MULTILINE)
    assert {preset for preset, *_ in cells} == set(rows)
    for preset, accuracy, seeds, time, unit in cells:
        row = [r for r in results if re.fullmatch(rf"{rows[preset]}-\d+", r["experiment"])]
        accuracies = [float(r["test_accuracy"]) for r in row]
        assert f"{mean(accuracies):.4f} ± {stdev(accuracies):.4f}" == accuracy, preset
        assert len(row) == int(seeds), preset
        seconds = median(float(r["seconds"]) for r in row if r["seconds"])
        assert round(seconds / {"s": 1, "min": 60}[unit]) == int(time), preset
