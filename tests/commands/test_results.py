"""`python -m pipeline results`: a page from recorded experiments, and from nothing else."""

import csv
import json
import re
from dataclasses import asdict
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from scipy import stats

from pipeline.experiments.results.table import COLUMNS, Result, hash_params
from tests.commands.test_queue import accuracy
from tests.project import ROOT, Project, compare_json, read_csv, read_json

ROWS = [{"name": "tiny", "preset": "mlp", "set": ["train.epochs=1"], "seeds": 2}]
RESULTS = ("python", "-m", "pipeline", "results")
RUN = "python -m pipeline seeds 2 --preset mlp --name tiny -S train.epochs=1 --run"


def describe(project: Project, rows: list[dict[str, object]], **more: object) -> None:
    section = {"title": "A title", "about": "A question.", "reference": rows[0]["name"]}
    sections = [section | {"rows": rows} | more]
    (project.path / "results.yaml").write_text(yaml.safe_dump({"sections": sections}))
    (project.path / "results.csv").unlink(missing_ok=True)
    (project.path / "results-history.csv").unlink(missing_ok=True)


def record(project: Project, *rows: dict[str, object]) -> None:
    """Put what the workspace holds into the table."""
    describe(
        project, [{"set": ["train.epochs=2"], "preset": "mlp", "seeds": 1} | row for row in rows]
    )
    write(project, [result(project, f"{row['name']}-0") for row in rows])


def result(project: Project, name: str, **figures: object) -> dict[str, Any]:
    """What the workspace gave, as if it were this experiment, with other figures."""
    found = Result.of(name, lambda path: (project.path / path).read_text())
    return {column: asdict(found)[column] for column in COLUMNS} | figures


def write(project: Project, results: list[dict[str, Any]]) -> None:
    with (project.path / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(results)


@pytest.mark.exhaustive
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
    assert "right: the same; row updated\n" in done.stdout
    assert f"wrong: test_accuracy 0.5, now {accuracy}\n" in done.stdout
    assert f"{note}wrong." in (project.path / "RESULTS.md").read_text()
    epochs = read_csv(project.path / "results-history.csv")
    assert [row["experiment"] for row in epochs] == ["right-0"] * 2
    assert [row | {"experiment": ""} for row in epochs] == [
        {"experiment": "", **{name: row[name] for name in list(epochs[0])[1:]}}
        for row in read_csv(project.path / "plots/history.csv")
    ]
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
    printed = project.ok(*RESULTS, "--run", "--workers", "1")
    assert "tiny-1: validation accuracy 0." in printed
    assert "K, what plain Keras takes for the default: " in printed
    page = (project.path / "RESULTS.md").read_text()
    values = [accuracy(project, f"tiny-{seed}") for seed in range(2)]
    assert f"| tiny | {mean(values):.4f} ± {stdev(values):.4f} | " in page
    assert " | 2 | 1 | 1 | 101,770 | 0.0 | " in page
    assert "## A title\n\nA question.\n\n| experiment | " in page
    assert f"```console\n{RUN}\n```" in page
    history = read_csv(project.path / "results-history.csv")
    assert [(row["experiment"], row["epoch"]) for row in history] == [
        ("tiny-0", "1"),
        ("tiny-1", "1"),
    ]
    rows = list(csv.DictReader((project.path / "results.csv").read_text().splitlines()))
    assert [float(row["validation_accuracy"]) for row in rows] == values
    assert all(float(row["processor_seconds"]) > 0 for row in rows)
    assert all(float(row["unit"]) > 0 for row in rows)
    # 28 batches of 32; a weight of the two kernels for each image and three products.
    operations = 28 * 32 * 2 * 3 * (784 * 128 + 128 * 10)
    assert [int(row["operations"]) for row in rows] == [operations] * 2
    assert "tiny" not in project.ok(*RESULTS, "--run"), "all is recorded"
    # Nor is it run again where the experiments are there, and what it took is kept.
    table = project.path / "results.csv"
    recorded = table.read_text()
    table.write_text(recorded.replace(rows[0]["code"], "0" * 12))
    assert project.ok(*RESULTS, "--run").count("(it was run before)") == 2
    assert table.read_text() == recorded
    assert_the_page_agrees_with_compare(project)

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


def assert_the_page_agrees_with_compare(project: Project) -> None:
    """Of a second row, recorded now and taken away again, in the sentence on the difference."""
    before = {name: (project.path / name).read_text() for name in ("results.yaml", "RESULTS.md")}
    narrow = {
        "name": "narrow",
        "preset": "mlp",
        "set": ["train.epochs=1", "model.hidden_units=[8]"],
    }
    sections = yaml.safe_load(before["results.yaml"])["sections"]
    sections[0]["rows"].append(narrow | {"seeds": 2})
    (project.path / "results.yaml").write_text(yaml.safe_dump({"sections": sections}))
    project.ok(*RESULTS, "--run")
    report = compare_json(project, "--seeds", "tiny-0", "narrow-0")
    accuracy, verdict = report["accuracy"], report["verdict"]
    relation = f"{verdict} {'of' if verdict == 'within noise' else 'than'} tiny"
    interval = f"95 % interval {accuracy['low']:+.4f} to {accuracy['high']:+.4f}"
    sentence = f"narrow is {relation} ({accuracy['difference']:+.4f}, {interval})"
    assert sentence in (project.path / "RESULTS.md").read_text()
    for name, text in before.items():
        (project.path / name).write_text(text)
    project.ok(*RESULTS)
    assert (project.path / "RESULTS.md").read_text() == before["RESULTS.md"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set": ["modle.width=64"]}, "results.yaml: row tiny: modle.width is not a parameter"),
        ({"set": None}, "results.yaml: sections.0.rows.0.set: input should be a valid list"),
        ({"chart": "pie"}, "results.yaml: sections.0.chart: input should be 'points', 'curves' or"),
        ({"reference": "none"}, "results.yaml: section A title: none is not a row; there are tiny"),
        (
            {"seeds": 0},
            "results.yaml: sections.0.rows.0.seeds: input should be greater than or equal to 1",
        ),
    ],
)
def test_a_row_that_cannot_be(project: Project, changes: dict[str, object], message: str) -> None:
    section = {key: value for key, value in changes.items() if key in ("chart", "reference")}
    describe(project, [ROWS[0] | {k: v for k, v in changes.items() if k not in section}], **section)
    done = project.run(*RESULTS)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("source", "same"), [("folder", False), ("synthetic", True)])
def test_other_files_of_your_own_are_other_data(project: Project, source: str, same: bool) -> None:
    params = project.params()
    params["data"]["source"] = source

    def of(md5: str) -> str:
        lock = yaml.safe_load((project.path / "dvc.lock").read_text())
        own = next(d for d in lock["stages"]["download"]["deps"] if d["path"] == "data/own")
        own["md5"] = md5
        return hash_params(params, lambda _: yaml.safe_dump(lock))

    assert (of("1" * 32 + ".dir") == of("2" * 32 + ".dir")) is same


FIGURES = {  # validation accuracy of each seed, and seconds of processor time
    "base": ([0.80, 0.81, 0.82], 10.0),
    "busy": ([0.80, 0.81, 0.83], 8.0),  # where the machine was
    "better": ([0.88, 0.89, 0.90], 25.0),
    "noisy": ([0.70, 0.85, 0.95], 9.0),
    "untimed": ([0.90, 0.91, 0.92], None),
    "elsewhere": ([0.90, 0.91, 0.93], 5.0),  # timed on another machine
    "single": ([0.99], 1.0),
}


def test_a_section_says_what_its_rows_differ_by(project: Project) -> None:
    rows = [
        {"name": name, "preset": "mlp", "set": ["train.epochs=2"], "seeds": len(accuracies)}
        for name, (accuracies, _) in FIGURES.items()
    ]
    describe(project, rows[:-1], chart="points")
    sections = yaml.safe_load((project.path / "results.yaml").read_text())["sections"]
    sections.append(sections[0] | {"title": "Alone", "rows": rows[-1:], "chart": "curves"})
    (project.path / "results.yaml").write_text(json.dumps({"sections": sections}))
    some = result(project, "some")
    write(
        project,
        [
            some
            | {"experiment": f"{name}-{seed}", "seed": seed}
            | {"validation_accuracy": accuracy, "processor_seconds": cost, "seconds": cost}
            | {"machine": f"{64 if name == 'elsewhere' else 2} cores of an abacus"}
            | {"load": 3.1 if name == "busy" else 3.0}
            for name, (accuracies, cost) in FIGURES.items()
            for seed, accuracy in enumerate(accuracies)
        ],
    )
    stale = project.path / "docs/results/of-before.svg"
    stale.write_text("")
    project.ok(*RESULTS)
    page = (project.path / "RESULTS.md").read_text()

    def interval(name: str) -> str:
        welch = stats.ttest_ind(FIGURES[name][0], FIGURES["base"][0], equal_var=False)
        low, high = welch.confidence_interval()
        return f"95 % interval {low:+.4f} to {high:+.4f}"

    assert (
        "```\n\nIn validation accuracy, "
        f"busy is within noise of base (+0.0033, {interval('busy')}), at a cost that cannot be "
        f"compared; better is better than base (+0.0800, {interval('better')}), at 2.5 times the "
        f"CPU seconds; noisy is within noise of base (+0.0233, {interval('noisy')}), at 0.90 times "
        f"the CPU seconds; untimed is better than base (+0.1000, {interval('untimed')}), at a cost "
        "that cannot be compared; elsewhere is better than base "
        f"(+0.1033, {interval('elsewhere')}), at a cost that cannot be compared.\n" in page
    )
    assert page.endswith(
        "```\n\nIn validation accuracy, single differs from base by +0.1800, on which there is no "
        "verdict without two seeds of each, at 0.10 times the CPU seconds.\n"
    )
    # `base` and `better` are within noise of `noisy`, which is cheaper.
    assert named(page, "Accuracy against time") == ["noisy"]
    assert "\nNot among them, for lack of comparable timings: busy, untimed, elsewhere.\n" in page
    assert "\nNot comparable in seconds, since the machine was busy: busy (load 3.1).\n" in page
    other = "elsewhere (64 cores of an abacus)"
    assert f"\nNot comparable in seconds, since timed on another machine: {other}.\n" in page
    assert "\nNot among them, for a single seed: single.\n" in page
    picture = project.path / "docs/results/a-title.svg"
    assert f"](docs/results/{picture.name})" in page
    assert [text for text in drawn(picture) if text in FIGURES] == list(FIGURES)[:-1]
    assert "No picture: the epochs of these experiments were not recorded." in page
    assert not stale.exists()

    sections[1]["chart"] = "heat map"
    (project.path / "results.yaml").write_text(json.dumps({"sections": sections}))
    done = project.run(*RESULTS)
    reason = "a heat map shows two parameters, and its rows differ in none"
    assert done.stderr == f"error: results.yaml: section Alone: {reason}\n"


@pytest.mark.parametrize(
    ("rows", "more", "reason"),
    [
        ([{}, {"name": "other"}, {}], {}, "tiny: the name of several rows"),
        ([{"sets": ["seed=1"]}], {}, "sections.0.rows.0.sets: unexpected keyword argument"),
        ([{"seeds": True}], {}, "sections.0.rows.0.seeds: input should be a valid integer"),
        ([{}], {"besides": ["tiny"]}, "sections.0.besides: unexpected keyword argument"),
    ],
)
def test_rows_that_cannot_be(
    project: Project, rows: list[dict[str, Any]], more: dict[str, Any], reason: str
) -> None:
    # With no list twice, for which YAML would have an anchor.
    describe(project, json.loads(json.dumps([ROWS[0] | row for row in rows])), **more)
    done = project.run(*RESULTS)
    assert (done.returncode, done.stderr) == (1, f"error: results.yaml: {reason}\n")


def drawn(picture: Path) -> list[str]:
    """The texts of a drawing."""
    return [e.text or "" for e in ElementTree.parse(picture).iter() if e.tag.endswith("}text")]


def named(page: str, title: str) -> list[str]:
    """The rows of the table of a section."""
    section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| ([\w-]+) \| [\d.]+", section, re.MULTILINE)


def test_the_committed_page_is_that_of_the_table(fresh: Project) -> None:
    """And its frontier, and what it says of rows that a clone does not have."""
    written = [Path("RESULTS.md"), Path("results.csv"), Path("results-history.csv")]
    written += [path.relative_to(ROOT) for path in (ROOT / "docs/results").glob("*.svg")]
    fresh.ok(*RESULTS)
    assert fresh.ok("git", "status", "--porcelain", "--", "docs/results") == ""
    for path in written:
        texts = [(root / path).read_text() for root in (fresh.path, ROOT)]
        ours, committed = (re.sub("\nRecorded with earlier .*\n", "", text) for text in texts)
        assert ours == committed, f"{path}: run `python -m pipeline results`"
    page = (ROOT / "RESULTS.md").read_text()
    assert named(page, "Accuracy against time") == undominated(read_csv(ROOT / "results.csv"))
    light, dark = "--ink: #1b1d21", "--ink: #eceded"
    picture = (ROOT / "docs/results/accuracy-against-time.svg").read_text()
    assert (
        picture.index(light) < picture.index("(prefers-color-scheme: dark)") < picture.index(dark)
    )

    (compare,) = re.findall(r"^python -m pipeline compare .*$", page, re.MULTILINE)
    done = fresh.run(*compare.split())
    assert done.returncode == 1
    name = compare.split()[-2]
    (command,) = [line for line in page.splitlines() if line.endswith(f"--name {name[:-2]} --run")]
    assert f"{name} is not a branch, tag, commit or experiment; it is made by" in done.stderr
    assert f"`{command}`, or fetched by `dvc exp pull" in done.stderr


def undominated(results: list[dict[str, str]]) -> list[str]:
    """The rows that are better, by Welch's interval, than all that cost less.

    Those timed on a machine with more to do than it has cores for are left out.
    """
    groups: dict[str, list[dict[str, str]]] = {}
    for row in results:
        groups.setdefault(row["experiment"].rpartition("-")[0], []).append(row)
    groups = {
        name: rows
        for name, rows in groups.items()
        if median(float(row["load"] or 0) / int(row["machine"].split()[0]) for row in rows) <= 1.5
    }
    cost = {
        name: median(float(row["processor_seconds"]) for row in rows if row["processor_seconds"])
        for name, rows in groups.items()
    }
    accuracies = {
        name: [float(row["validation_accuracy"]) for row in rows] for name, rows in groups.items()
    }

    def better(name: str, other: str) -> bool:
        welch = stats.ttest_ind(accuracies[name], accuracies[other], equal_var=False)
        return bool(welch.confidence_interval().low > 0)

    return [
        name
        for name in sorted(groups, key=lambda name: cost[name])
        if all(better(name, other) for other in groups if cost[other] < cost[name])
    ]
