"""The tutorial runs from a clean kernel, and what is committed of it is such a run."""

import json
import re

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.project import ROOT, Project, environment, read_json


def execute(project: Project, cells: slice) -> list[NotebookNode]:
    """Execute some of the cells as they stand in the project, and return them."""
    notebook = tutorial()
    notebook.cells = notebook.cells[cells]
    where = {"metadata": {"path": str(project.path / "docs")}}
    NotebookClient(notebook, timeout=300, resources=where).execute(env=environment())
    return list(notebook.cells)


def printed(cell: NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.get("outputs", []))


def pictures(cells: list[NotebookNode]) -> list[str]:
    """The last line of each cell that shows a picture."""
    return [
        cell.source.splitlines()[-1]
        for cell in cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def tutorial() -> NotebookNode:
    path = ROOT / "docs/tutorial.ipynb"
    notebook: NotebookNode = nbformat.read(path, 4)  # type: ignore[no-untyped-call]
    return notebook


def committed() -> list[NotebookNode]:
    return list(tutorial().cells)


def test_it_runs_up_to_the_exercises(project: Project) -> None:
    exercises = next(i for i, cell in enumerate(committed()) if "## Exercises" in cell.source)
    cells = execute(project, slice(exercises))
    text = "".join(map(printed, cells))
    scores = read_json(project.path / "metrics/evaluate.json")
    for part in ("validation", "test"):
        assert re.search(rf"{part} accuracy +{scores[part]['accuracy']:.4f}\n", text)
    assert "test: images (300, 28, 28), labels (300,)" in text
    assert len(re.findall(r"^\S.* [ \d.]+%$", text, re.MULTILINE)) == 10
    assert pictures(cells) == ["samples", "curves()", "cases"]
    assert project.ok("git", "status", "--porcelain") == ""


@pytest.mark.exhaustive
def test_all_of_it_runs(project: Project) -> None:
    cells = execute(project, slice(None))
    assert pictures(cells) == pictures(committed())
    names = re.findall(r'^exercise\("([\w-]+)"', "\n".join(c.source for c in cells), re.MULTILINE)
    assert set(names) <= set(project.ok("dvc", "exp", "list", "--name-only").split())
    for cell in cells:
        if name := re.match(r'.*^exercise\("([\w-]+)"', cell.source, re.MULTILINE | re.DOTALL):
            scores = json.loads(project.in_experiment(name[1], "metrics/evaluate.json"))
            expected = (
                f"validation accuracy {scores['validation']['accuracy']:.4f}; with the default"
            )
            assert printed(cell).startswith(expected)
    assert project.ok("git", "status", "--porcelain") == ""


def test_what_is_committed_is_a_whole_run() -> None:
    """From the top, without errors, and without what differs from machine to machine."""
    cells = committed()
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all("execution" not in cell.metadata for cell in code), "no times"
    exercises = [cell for cell in code if re.search(r"^exercise\(", cell.source, re.MULTILINE)]
    assert len(exercises) >= 9
    assert all(pictures([cell]) and printed(cell) for cell in exercises)
    for cell in code:
        text = json.dumps([o for o in cell.outputs if "image/png" not in o.get("data", {})])
        assert not re.search(r"/(home|root|tmp|usr|work)\b|Traceback|\d\d:\d\d|stderr", text)
    for link in re.findall(r"\]\(\.\./([^)#]+)", "".join(cell.source for cell in cells)):
        assert (ROOT / link).exists(), link
