"""DVC's queue: nothing is lost between two workers, and each result is what a plain run gives."""

import json
import random
import statistics
from typing import Any

import pytest
import yaml

from tests.commands.test_compare import METRICS, compare, compare_json
from tests.conftest import Project
from tests.test_readme import WAIT

SEEDS = ("python", "-m", "pipeline", "seeds")
QUEUE = ("dvc", "exp", "run", "--queue")
# Number of hidden units and seed of each experiment.
EXPECTED: dict[str, tuple[int, int]] = {
    **{f"again-{seed}": (128, seed) for seed in range(5)},
    **{f"narrow-{seed}": (8, seed) for seed in range(5)},
    **{f"grid-{number}": (16, number - 1) for number in range(1, 6)},
    **{f"grid-{number}": (32, number - 6) for number in range(6, 11)},
}


@pytest.fixture
def plain(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A second copy, whose cache has nothing of what the first one makes."""
    return finished.clone(tmp_path_factory.mktemp("plain") / "project")


def test_twenty_experiments_with_two_workers(project: Project, plain: Project) -> None:
    printed = project.ok(*SEEDS, "5", "--name", "again")
    assert "Queued again-0, again-1, again-2, again-3, again-4." in printed
    assert "compare --seeds main again-0" in printed
    project.ok(*SEEDS, "5", "--set-param", "model.hidden_units=[8]", "--name", "narrow")
    grid = ("-S", "model.hidden_units=[16],[32]", "-S", "seed=0,1,2,3,4")
    project.ok(*QUEUE, "--name", "grid", *grid)
    project.ok(*QUEUE, "--name", "half", "-S", "seed=7", "train")  # one beside them
    check_names_are_taken(project)
    assert project.ok("git", "status", "--porcelain") == ""

    # Workers outlive the command that starts them, and would keep its pipe open.
    run = f"exec >/dev/null 2>&1; dvc queue start --jobs 2; {WAIT}"
    project.ok("bash", "-c", run, timeout=3600)
    assert project.ok("dvc", "queue", "status").count("Success") == len(EXPECTED) + 1
    for name, expected in EXPECTED.items():
        params = yaml.safe_load(show(project, name, "params.yaml"))
        assert (params["model"]["hidden_units"], params["seed"]) == ([expected[0]], expected[1])
    locks = {name: show(project, name, "dvc.lock") for name in EXPECTED}
    assert len(set(locks.values())) == 20
    check_names_are_taken(project)
    check_groups(project)

    # A plain run takes as long as a queued one: enough to do for four.
    for name in random.Random(0).sample(sorted(EXPECTED), 4):
        units, seed = EXPECTED[name]
        plain.set_params({"model.hidden_units": [units], "seed": seed})
        plain.ok("dvc", "repro")
        assert plain.lock() == locks[name], name


def check_names_are_taken(project: Project) -> None:
    """Of finished as of queued experiments: DVC would lose one of two that have the same."""
    done = project.run(*SEEDS, "2", "--name", "again")
    assert done.returncode == 1
    assert done.stderr == "error: again-0, again-1: there already; choose another --name\n"


def check_groups(project: Project) -> None:
    accuracies = {name: accuracy(project, name) for name in EXPECTED}
    main, narrow, wide = (
        [accuracies[name] for name, (hidden, _) in EXPECTED.items() if hidden == units]
        for units in (128, 8, 32)
    )
    # `half` has results of another model, so it is in no group; `main` and `again-0` are one.
    report = compare_json(project, "--seeds", "main", "narrow-1")
    check_side(report["base"], main)
    check_side(report["other"], narrow)
    difference = statistics.mean(narrow) - statistics.mean(main)
    assert report["accuracy"]["difference"] == pytest.approx(difference)
    status, printed = compare(project, "--seeds", "main", "narrow-1")
    assert status == 0
    assert "Seeds of main: 0, 1, 2, 3, 4" in printed
    assert f"narrow-1 is {report['verdict']}: {report['reason']}." in printed

    # Any of its members names a group, and so does the workspace.
    report = compare_json(project, "--seeds", "grid-9")
    check_side(report["base"], wide)
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
    value: float = json.loads(show(project, experiment, METRICS))["test"]["accuracy"]
    return value


def show(project: Project, experiment: str, path: str) -> str:
    refs = project.ok("git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{experiment}")
    return project.ok("git", "show", f"{refs.strip()}:{path}")
