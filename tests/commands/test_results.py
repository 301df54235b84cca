"""`python -m pipeline results`: a page from recorded experiments, and from nothing else."""

import csv
from dataclasses import asdict, fields
from statistics import mean, stdev

import pytest
import yaml

from pipeline.experiments.results import Result
from tests.commands.test_queue import accuracy
from tests.project import Project, read_json

ROWS = [{"name": "tiny", "preset": "mlp", "set": ["train.epochs=1"], "seeds": 2}]
RESULTS = ("python", "-m", "pipeline", "results")
QUEUE = "python -m pipeline seeds 2 --preset mlp --name tiny -S train.epochs=1"


def describe(project: Project, rows: list[dict[str, object]]) -> None:
    sections = [{"title": "A title", "about": "A question.", "rows": rows}]
    (project.path / "results.yaml").write_text(yaml.safe_dump({"sections": sections}))
    (project.path / "results.csv").unlink(missing_ok=True)


def record(project: Project, *rows: dict[str, object]) -> None:
    """Put what the workspace holds into the table, with other figures where a row has some."""
    describe(
        project, [{"set": ["train.epochs=2"], "preset": "mlp", "seeds": 1} | row for row in rows]
    )
    table = {}
    for row in rows:
        name = f"{row['name']}-0"
        table[name] = Result.of(name, lambda path: (project.path / path).read_text())
    with (project.path / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Result)])
        writer.writeheader()
        writer.writerows(asdict(result) for result in table.values())


def test_a_row_is_taken_over_only_if_every_figure_is_the_same(project: Project) -> None:
    record(project, {"name": "right"}, {"name": "wrong"})
    table = project.path / "results.csv"
    results = list(csv.DictReader(table.read_text().splitlines()))
    model = results[0]["model"]
    for result in results:  # as if of before: other code, on another machine, the model not kept
        result |= {"code": "0" * 12, "machine": "an abacus", "seconds": "7.0", "model": ""}
    results[1]["test_accuracy"] = "0.5"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(results[0]))
        writer.writeheader()
        writer.writerows(results)
    project.commit("Two rows")
    project.ok(*RESULTS)
    note = "Recorded with earlier code of the stage `train`: "
    assert f"{note}right, wrong." in (project.path / "RESULTS.md").read_text()

    done = project.run(*RESULTS, "--check", "right", "wrong")
    assert done.returncode == 1
    accuracy = read_json(project.path / "metrics/evaluate.json")["test"]["accuracy"]
    assert "right: the same, and taken over\n" in done.stdout
    assert f"wrong: test_accuracy 0.5, now {accuracy}\n" in done.stdout
    assert f"{note}wrong." in (project.path / "RESULTS.md").read_text()
    right, wrong = csv.DictReader(table.read_text().splitlines())
    assert (right["model"], right["seconds"], right["machine"]) == (model, "7.0", "an abacus")
    assert (wrong["model"], wrong["code"], wrong["test_accuracy"]) == ("", "0" * 12, "0.5")
    done = project.run(*RESULTS, "--check", "none")
    assert done.stderr == "error: none: not a row; there are right, wrong\n"


@pytest.mark.exhaustive
def test_the_page_says_what_the_experiments_gave(project: Project) -> None:
    describe(project, ROWS)
    done = project.run(*RESULTS)
    assert done.returncode == 1
    assert "tiny-0 is not recorded; `python -m pipeline results --run` runs it" in done.stderr
    project.commit("One row")
    printed = project.ok(*RESULTS, "--run")
    assert "tiny-1: validation accuracy 0." in printed
    page = (project.path / "RESULTS.md").read_text()
    values = [accuracy(project, f"tiny-{seed}") for seed in range(2)]
    assert f"| {mean(values):.4f} ± {stdev(values):.4f} | 2 | 1 | 1 | 101,770 |" in page
    assert "## A title\n\nA question.\n\n| experiment | " in page
    assert f"```console\n{QUEUE}\n```" in page
    rows = list(csv.DictReader((project.path / "results.csv").read_text().splitlines()))
    assert [float(row["test_accuracy"]) for row in rows] == values
    assert all(float(row["processor_seconds"]) > 0 for row in rows)
    assert "tiny" not in project.ok(*RESULTS, "--run"), "all is recorded"

    # Without the experiments, as in a fresh clone, the table serves.
    project.ok("dvc", "exp", "remove", "tiny-0", "tiny-1")
    (project.path / "RESULTS.md").unlink()
    project.ok(*RESULTS)
    assert (project.path / "RESULTS.md").read_text() == page

    # But not for a row that has come to mean something else.
    with (project.path / "presets/mlp.yaml").open("a") as file:
        file.write("  unknown: 1\n")
    done = project.run(*RESULTS)
    assert done.returncode == 1
    assert "experiment tiny-0 was run with other parameters" in done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set": ["modle.width=64"]}, "results.yaml: row tiny: modle.width is not a parameter"),
        ({"set": None}, "results.yaml: sections.0.rows.0.set: input should be a valid list"),
        (
            {"seeds": 0},
            "results.yaml: sections.0.rows.0.seeds: input should be greater than or equal to 1",
        ),
    ],
)
def test_a_row_that_cannot_be(project: Project, changes: dict[str, object], message: str) -> None:
    describe(project, [ROWS[0] | changes])
    done = project.run(*RESULTS)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
