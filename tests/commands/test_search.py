"""`python -m pipeline search`: trials that are experiments, and the same however they are run."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from selenium.webdriver.common.by import By

from tests.browser import A4, DESKTOP, PHONE, Browser, opened
from tests.browser import chromium as chromium
from tests.project import Project, copy_project
from tests.search_project import without_training, write_search

COMMAND = ("python", "-m", "pipeline", "search")
# By 2 epochs, one of the three trials that do not fail is chosen to go on to 5.
PRUNED: dict[str, Any] = {
    "sampler": "random",
    "batch": 4,
    "seed": 2,
    "pruning": {"epochs": [2], "reduction_factor": 2},
}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with stages that take no time."""
    return without_training(copy_project(tmp_path_factory.mktemp("untrained") / "project"))


@pytest.fixture(scope="module")
def searched(untrained: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A search of four trials: one complete, two pruned, one failed; and what it printed."""
    project = untrained.clone(tmp_path_factory.mktemp("searched") / "project")
    write_search(project, **PRUNED)
    return project, project.ok(*COMMAND, timeout=900)


def experiments(project: Project) -> dict[str, dict[str, Any]]:
    """Parameters and validation accuracy of each experiment, by name."""
    refs = project.ok("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/*").split()
    return {
        ref.rpartition("/")[2]: {
            "params": yaml.safe_load(project.ok("git", "show", f"{ref}:params.yaml")),
            "metrics": json.loads(project.ok("git", "show", f"{ref}:metrics/evaluate.json")),
        }
        for ref in refs
    }


def accuracy(experiment: dict[str, Any]) -> float:
    return float(experiment["metrics"]["validation"]["accuracy"])


def conclusion(printed: str) -> list[str]:
    """What a search says of its trials, without the lines that say which has ended."""
    lines = printed.partition("The best of")[2].partition("All of it")[0].splitlines()
    return [line for line in lines if ": validation accuracy" not in line]


def test_trials_are_experiments_and_the_best_is_named(searched: tuple[Project, str]) -> None:
    project, printed = searched
    found = experiments(project)
    study = min(found, key=len).rpartition("-")[0]
    assert re.fullmatch("search-[0-9a-f]{6}", study)
    short = {name: run for name, run in found.items() if name.endswith("-at-2")}
    assert len(short) == 3
    best = max(short, key=lambda name: accuracy(short[name])).removesuffix("-at-2")
    assert found.keys() == {*short, best, f"{best}-seed-1", f"{best}-seed-2"}
    assert found[best]["params"]["train"]["epochs"] == 5
    assert "The best of 4 trials, 1 of them complete:" in printed
    assert f"    dvc exp apply {best}\n" in printed
    rate = found[best]["params"]["train"]["learning_rate"]
    assert f"train.learning_rate={rate}" in printed

    seeds = [accuracy(found[f"{best}-seed-{seed}"]) for seed in (1, 2)]
    said = re.search(r"validation.accuracy (\S+) ± (\S+), where it was chosen for (\S+);", printed)
    assert said
    assert float(said[1]) == pytest.approx(sum(seeds) / 2, abs=6e-5)
    assert float(said[3]) == accuracy(found[best]) < float(said[1])
    assert f"test.accuracy {said[1]} ± {said[2]}.\n" in printed


def test_again_it_says_the_same_and_runs_nothing(searched: tuple[Project, str]) -> None:
    project, printed = searched
    before = project.ok("git", "for-each-ref", "refs/exps")
    assert conclusion(project.ok(*COMMAND)) == conclusion(printed)
    assert project.ok("git", "for-each-ref", "refs/exps") == before


@pytest.fixture
def browser(chromium: Browser, searched: tuple[Project, str]) -> Iterator[Browser]:
    with opened(chromium, searched[0].path / "pages/search.html") as shown:
        yield shown


def test_the_page_shows_every_trial(browser: Browser, searched: tuple[Project, str]) -> None:
    found = experiments(searched[0])
    best = next(name for name in found if f"{name}-seed-1" in found)
    assert f"{accuracy(found[best]):.4f}" in browser.texts("h1")[0]
    assert "Synthetic data." in browser.texts(".warning")[0]
    assert "1 complete, 2 pruned, 1 failed, of 4 trials" in browser.texts(".eyebrow")[0]
    rows = [
        [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")]
        for row in browser.find("#trials tbody tr")
    ]
    states = {name: (state, epochs, value) for name, _, state, epochs, value, _, _ in rows}
    for name, (state, epochs, value) in states.items():
        if state == "failed":
            assert (epochs, value, name in found) == ("", "", False)
        else:
            assert value == f"{accuracy(found[name]):.4f}"
            assert epochs == str(found[name]["params"]["train"]["epochs"])
    assert sorted(state for state, _, _ in states.values()) == [
        "complete", "failed", "pruned", "pruned",
    ]  # fmt: skip
    failed = next(row for row in rows if row[2] == "failed")
    assert "the loss is not a number" in failed[-1]
    assert float(next(row for row in rows if row[2] == "complete")[5]) == pytest.approx(0.4)
    assert [row.text.split()[0] for row in browser.find("header tbody tr")] == ["1", "2"]
    history, parameters = (svg.get_attribute("textContent") or "" for svg in browser.find("svg"))
    for word in ("best so far", "complete", "pruned", "failed", "processor time"):
        assert word in history
    assert "train.learning_rate" in parameters


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_screen_and_paper(browser: Browser, scheme: str) -> None:
    for size in (PHONE, DESKTOP):
        browser.emulate(size, scheme)
        assert browser.width() == size[0]
    browser.emulate((A4, 1000), media="print")
    assert browser.width() == A4


def test_a_file_that_cannot_be(untrained: Project) -> None:
    done = untrained.run(*COMMAND, "searches/none.yaml")
    reason = "searches/none.yaml is missing or not a file; run from the project's root"
    assert (done.returncode, done.stderr) == (1, f"error: {reason}\n")


LONGER: dict[str, Any] = {
    "trials": 8,
    "batch": 4,
    "pruning": {"epochs": [2], "reduction_factor": 2},
}


def outcome(project: Project, workers: str) -> tuple[dict[str, Any], list[str]]:
    """Run the search to its end; return its experiments, and what it says of them."""
    printed = project.ok(*COMMAND, "--workers", workers, timeout=900)
    return experiments(project), conclusion(printed)


@pytest.mark.exhaustive
def test_workers_and_kills_change_nothing(untrained: Project, tmp_path: Path) -> None:
    """With 1, 2 and 4 workers, and killed three times: the same experiments and the same winner."""
    projects = {name: untrained.clone(tmp_path / name) for name in ("1", "2", "4", "killed")}
    for project in projects.values():
        write_search(project, **LONGER)
    expected = outcome(projects["1"], "1")
    assert len(expected[0]) > 6
    assert outcome(projects["2"], "2") == expected
    assert outcome(projects["4"], "4") == expected

    for least in (1, 3, 5):
        process = projects["killed"].start(*COMMAND, "--workers", "2")
        while len(experiments(projects["killed"])) < least and process.poll() is None:
            time.sleep(0.2)
        process.kill()
        process.wait()
    assert outcome(projects["killed"], "2") == expected


def test_what_changes_meanwhile_is_for_the_next_search(untrained: Project, tmp_path: Path) -> None:
    project = untrained.clone(tmp_path / "project")
    write_search(project, **LONGER)
    process = project.start(*COMMAND, "--workers", "1")
    while not experiments(project) and process.poll() is None:
        time.sleep(0.2)
    project.set_params({"seed": 7})
    assert process.wait(timeout=600) == 0
    found = experiments(project)
    assert {run["params"]["seed"] for run in found.values()} == {0, 1, 2}
    assert max(int(name.split("-")[2]) for name in found) > 3  # of the second batch, too

    project.set_params({"seed": 0})
    write_search(project, **LONGER | {"trials": 4})
    done = project.run(*COMMAND)
    reason = "search.yaml: trials is 4, but 8 have been run already"
    assert (done.returncode, done.stderr) == (1, f"error: {reason}\n")


def test_a_damaged_study_is_named(untrained: Project, tmp_path: Path) -> None:
    project = untrained.clone(tmp_path / "project")
    study = project.path / ".dvc/tmp/search/studies.db"
    study.parent.mkdir(parents=True)
    study.write_bytes(b"?" * 8192)
    done = project.run(*COMMAND)
    assert done.stderr.startswith("error: .dvc/tmp/search/studies.db cannot be used: ")
    assert "where it is damaged, remove it" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("data", [None, "synthetic"])
def test_params_that_cannot_be(untrained: Project, tmp_path: Path, data: str | None) -> None:
    project = untrained.clone(tmp_path / "project")
    params = yaml.safe_load((project.path / "params.yaml").read_text()) | {"data": data}
    (project.path / "params.yaml").write_text(yaml.safe_dump(params))
    for command in (COMMAND, ("python", "-m", "pipeline", "results")):
        done = project.run(*command)
        assert done.returncode == 1
        assert done.stderr.startswith("error: params.yaml: data ")


@pytest.mark.exhaustive
def test_several_presets_are_searched_together_by_any_metric(
    untrained: Project, tmp_path: Path
) -> None:
    project = untrained.clone(tmp_path / "project")
    rate = {"type": "float", "low": 0.001, "high": 0.004, "scale": "log"}
    space = {"mlp": {"train.learning_rate": rate}, "cnn": {"train.learning_rate": dict(rate)}}
    write_search(project, trials=6, batch=6, metric="validation.loss", space=space)
    printed = project.ok(*COMMAND, timeout=900)
    found = experiments(project)
    assert {run["params"]["model"]["name"] for run in found.values()} == {"mlp", "cnn"}
    assert re.search(r"^search-\S+ +cnn  ", printed, re.MULTILINE)
    losses = {
        name: run["metrics"]["validation"]["loss"]
        for name, run in found.items()
        if "seed" not in name
    }
    assert f"    dvc exp apply {min(losses, key=lambda name: losses[name])}\n" in printed
    assert "Parameters of cnn" in (project.path / "pages/search.html").read_text()


@pytest.mark.exhaustive
def test_where_every_trial_fails_it_says_so_and_tries_again(
    untrained: Project, tmp_path: Path
) -> None:
    project = untrained.clone(tmp_path / "project")
    space = {"mlp": {"train.learning_rate": {"type": "float", "low": 0.001, "high": 0.002}}}
    write_search(project, trials=2, space=space)
    done = project.run(*COMMAND, env={"BROKEN": "yes"})
    assert done.returncode == 1
    assert re.search(r"error: all trials of search-\w+ failed: pages/search.html says", done.stderr)
    assert "the environment is broken" in (project.path / "pages/search.html").read_text()
    assert "The best of 2 trials, 2 of them complete:" in project.ok(*COMMAND)
