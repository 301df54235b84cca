"""DVC's queue: nothing is lost between two workers, and each result is what a plain run gives."""

import json
import random
import statistics
from typing import Any

import pytest
import yaml

from tests.project import WAIT, Project, compare, compare_json

SEEDS = ("python", "-m", "pipeline", "seeds")
QUEUE = ("dvc", "exp", "run", "--queue")
Experiments = dict[str, tuple[int, int]]  # number of hidden units and seed of each


@pytest.mark.parametrize(
    ("count", "widths"),
    [(2, []), (5, [16, 32])],
    ids=["5 experiments", "21 experiments"],
)
@pytest.mark.exhaustive  # the walk through the README and the results queue some
def test_experiments_with_two_workers(
    project: Project, finished: Project, count: int, widths: list[int]
) -> None:
    seeds = range(count)
    printed = project.ok(*SEEDS, str(count), "--name", "again")
    assert f"Queued {', '.join(f'again-{seed}' for seed in seeds)}." in printed
    assert "compare --seeds BASE again-0" in printed
    project.ok(*SEEDS, str(count), "--set-param", "model.hidden_units=[8]", "--name", "narrow")
    units = {"again": 128, "narrow": 8}
    expected = {f"{name}-{seed}": (units[name], seed) for name in units for seed in seeds}
    if widths:
        lists = [",".join(f"[{n}]" for n in widths), ",".join(map(str, seeds))]
        grid = ("-S", f"model.hidden_units={lists[0]}", "-S", f"seed={lists[1]}")
        project.ok(*QUEUE, "--name", "grid", *grid)
        combined = [(width, seed) for width in widths for seed in seeds]
        expected |= {f"grid-{number}": pair for number, pair in enumerate(combined, start=1)}
    project.ok(*QUEUE, "--name", "half", "-S", "seed=7", "train")  # one beside them
    check_names_are_taken(project)
    assert project.ok("git", "status", "--porcelain") == ""

    # Workers outlive the command that starts them, and would keep its pipe open.
    run = f"exec >/dev/null 2>&1; dvc queue start --jobs 2; {WAIT}"
    project.ok("bash", "-c", run, timeout=3600)
    assert project.ok("dvc", "queue", "status").count("Success") == len(expected) + 1
    for name, (width, seed) in expected.items():
        params = yaml.safe_load(project.in_experiment(name, "params.yaml"))
        assert (params["model"]["hidden_units"], params["seed"]) == ([width], seed)
    locks = {name: project.in_experiment(name, "dvc.lock") for name in expected}
    assert len(set(locks.values())) == len(expected)
    check_names_are_taken(project)
    check_groups(project, expected)

    # In another copy, whose cache has nothing of theirs; a few of many are enough.
    plain = finished.clone(project.path.with_name("plain"))
    for name in random.Random(0).sample(sorted(expected), len(expected) // 5):
        width, seed = expected[name]
        plain.set_params({"model.hidden_units": [width], "seed": seed})
        plain.ok("dvc", "repro")
        assert plain.lock() == locks[name], name


def check_names_are_taken(project: Project) -> None:
    """Of finished as of queued experiments: DVC would lose one of two that have the same."""
    done = project.run(*SEEDS, "2", "--name", "again")
    assert done.returncode == 1
    assert done.stderr == "error: again-0, again-1: there already; choose another --name\n"


def check_groups(project: Project, expected: Experiments) -> None:
    accuracies = {name: accuracy(project, name) for name in expected}

    def group(member: str) -> list[float]:
        width, _ = expected[member]
        return [accuracies[name] for name, (units, _) in expected.items() if units == width]

    main, narrow, last = group("again-0"), group("narrow-0"), next(reversed(expected))
    # `half` has results of another model, so it is in no group; `main` and `again-0` are one.
    report = compare_json(project, "--seeds", "main", "narrow-1")
    check_side(report["base"], main)
    check_side(report["other"], narrow)
    difference = statistics.mean(narrow) - statistics.mean(main)
    assert report["accuracy"]["difference"] == pytest.approx(difference)
    status, printed = compare(project, "--seeds", "main", "narrow-1")
    assert status == 0
    assert f"Seeds of main: {', '.join(map(str, range(len(main))))}" in printed
    said = next(line for line in printed.splitlines() if line.startswith("In validation accuracy"))
    assert report["verdict"] in said
    assert said.endswith(f": {report['reason']}.")

    # Any of its members names a group, and so does the workspace.
    report = compare_json(project, "--seeds", last)
    check_side(report["base"], group(last))
    check_side(report["other"], main)
    status, printed = compare(project, "--seeds", "half")
    assert status == 1
    assert "half: dvc.lock does not record where its results come from" in printed


def check_side(side: dict[str, Any], accuracies: list[float]) -> None:
    assert side["accuracies"] == {str(seed): value for seed, value in enumerate(accuracies)}
    assert side["mean"] == pytest.approx(statistics.mean(accuracies))
    assert side["standard_deviation"] == pytest.approx(statistics.stdev(accuracies))
    assert (side["least"], side["greatest"]) == (min(accuracies), max(accuracies))


def accuracy(project: Project, experiment: str) -> float:
    metrics = json.loads(project.in_experiment(experiment, "metrics/evaluate.json"))
    value: float = metrics["validation"]["accuracy"]
    return value
