"""`python -m benchmarks.trials`: how fast many experiments run, and what having many costs."""

import argparse
import itertools
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.measurements import EXPERIMENTS, experiments_a_minute
from benchmarks.project import Project, clone
from pipeline.commands._table import print_table

COUNTS = (10, 100, 1_000)  # of the experiments that a repository has, or that a driver hands out


def main() -> None:
    """Measure in a clone, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trials", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        project = clone(Path(folder))
        header = ["what", "unit", "median", "least", "greatest"]
        rows = [*_speed(project, runs), *_driver(project, runs), *_references(project, runs)]
        print_table(header, rows, left=2)


def _speed(project: Project, runs: int) -> Iterator[list[str]]:
    """Measure experiments a minute, of the default parameters under new seeds."""
    seeds = itertools.count(1)
    numbers = itertools.count()
    ways: dict[str, Callable[[], float]] = {
        "one worker": lambda: _trials_a_minute(project, 1, next(numbers)),
        "two workers": lambda: _trials_a_minute(project, 2, next(numbers)),
        "dvc queue start -j 2": lambda: experiments_a_minute(project, 2, seeds),
        "dvc repro, one after another": lambda: _repros_a_minute(project, seeds),
    }
    measured: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(runs):  # in turn, so that a slow spell meets them all
        for way, measure in ways.items():
            measured[way].append(measure())
    for way, values in measured.items():
        yield _row(f"experiments by {way}", "1/min", values)
    alone = zip(measured["one worker"], measured["dvc repro, one after another"], strict=True)
    overhead = [60 / trials - 60 / repros for trials, repros in alone]
    yield _row("overhead of a trial, starting the worker included", "s", overhead)


def _trials_a_minute(project: Project, workers: int, number: int) -> float:
    # Another rate each time, or nothing is left to run.
    settings = ("--set-param", f"train.learning_rate={0.001 + number / 1_000_000:.6f}")
    run = ("seeds", str(EXPERIMENTS), "--run", "--workers", str(workers), "--name", f"t{number}")
    return EXPERIMENTS / project.python("-m", "pipeline", *run, *settings).seconds * 60


def _repros_a_minute(project: Project, seeds: Iterator[int]) -> float:
    seconds = 0.0
    for _ in range(EXPERIMENTS):
        project.set_params({"seed": next(seeds)})
        seconds += project.dvc("repro").seconds
    project.restore()
    return EXPERIMENTS / seconds * 60


def _driver(project: Project, runs: int) -> Iterator[list[str]]:
    """Measure the driver alone, with trials that do nothing."""
    for count in COUNTS:
        printed = [
            project.python("-m", "benchmarks.driver", str(count)).printed for _ in range(runs)
        ]
        seconds, memory = zip(*(map(float, text.split()[-2:]) for text in printed), strict=True)
        yield _row(f"driver of {count:,} trials that do nothing, each", "s", list(seconds))
        yield _row(f"its memory, {count:,} trials", "GiB", list(memory))


def _references(project: Project, runs: int) -> Iterator[list[str]]:
    """Measure DVC's and git's commands on a repository with more and more experiments."""
    base = project.run("git", "rev-parse", "HEAD").printed.strip()
    listed = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/*").printed
    for reference in listed.split():
        project.run("git", "update-ref", "-d", reference)
    hub = project.path.parent / "hub.git"
    project.run("git", "clone", "--quiet", "--bare", ".", str(hub))
    there = 0
    for count in COUNTS:
        _add(project, base, range(there, count))
        there = count
        refs = f"refs/exps/{base[:2]}/{base[2:]}"
        project.run("git", "push", "--quiet", str(hub), f"{refs}/*:{refs}/*")
        for command in (
            ("dvc", "exp", "list"),
            ("dvc", "exp", "show", "--csv"),
            ("dvc", "exp", "push", "--no-cache", str(hub), "new"),
            ("git", "push", str(hub), f"{refs}/new"),
            ("git", "ls-remote", str(hub), f"{refs}/new"),
        ):
            values = []
            for _ in range(runs):
                _add(project, base, ["new"])
                subprocess.run(["git", "-C", hub, "update-ref", "-d", f"{refs}/new"], check=True)
                values.append(project.run(*command).seconds)
            name = " ".join(command[: 2 + (command[0] == "dvc")])
            yield _row(f"{name}, {count:,} experiments", "s", values)


def _add(project: Project, base: str, names: "range | list[str]") -> None:
    """Add experiments: commits with what the base has, each different."""
    for name in names:
        commit = ("git", "commit-tree", f"{base}^{{tree}}", "-p", base, "-m", str(name))
        made = project.run(*commit).printed.strip()
        reference = f"refs/exps/{base[:2]}/{base[2:]}/{name}"
        project.run("git", "update-ref", reference, made)


def _row(what: str, unit: str, values: list[float]) -> list[str]:
    return [what, unit, *(f"{value:.3g}" for value in (median(values), min(values), max(values)))]


if __name__ == "__main__":
    main()
