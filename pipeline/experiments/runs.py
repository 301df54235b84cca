"""What a run has recorded: its metrics, its predictions, and which runs differ by seed alone."""

import csv
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError
from pipeline.core.params import PARAMS_FILE, parse_yaml
from pipeline.experiments.revisions import experiments, read, resolve

METRICS = "metrics/evaluate.json"
PREDICTIONS = "plots/predictions.csv"

Classes = NDArray[np.str_]  # [N], a name for each test image


@dataclass(frozen=True)
class Run:
    """A run by the name that the user gives it; `commit` is None for the workspace."""

    name: str
    commit: str | None

    def read(self, path: str) -> str:
        """Return one of its files.

        Raises:
            PipelineError: it has none of this name.
        """
        try:
            return read(path, self.commit)
        except FileNotFoundError:
            raise PipelineError(
                f"{self.name} has no results: {path} is missing there; `dvc repro` makes it"
            ) from None

    def metrics(self) -> dict[str, Any]:
        """Return what `evaluate` measured."""
        try:
            content: dict[str, Any] = json.loads(self.read(METRICS))
        except json.JSONDecodeError as error:
            raise PipelineError(f"{self.name}: {METRICS} is not valid JSON: {error}") from None
        return content

    def predictions(self) -> tuple[Classes, Classes]:
        """Return the actual and the predicted classes, in the order of the test set."""
        rows = list(csv.reader(self.read(PREDICTIONS).splitlines()))
        if rows[:1] != [["actual", "predicted"]] or {len(row) for row in rows} != {2}:
            raise PipelineError(f"{self.name}: {PREDICTIONS} is not a table of actual,predicted")
        if len(rows) < 3:
            raise PipelineError(f"{self.name}: {PREDICTIONS} has fewer than two test images")
        actual, predicted = np.array(rows[1:], np.str_).T
        return actual, predicted

    def recipe(self) -> tuple[int, str] | None:
        """Return the seed, and all else that makes its test accuracy: data, parameters, code.

        None where `dvc.lock` does not tell: nothing was trained, or another model evaluated.
        """
        try:
            lock = parse_yaml(read("dvc.lock", self.commit), "dvc.lock")
        except (FileNotFoundError, PipelineError):
            return None
        stages = lock["stages"]
        if not {"train", "evaluate"} <= stages.keys():
            return None
        train, evaluate = stages["train"], stages["evaluate"]
        made, measured = _hashes(train, "outs"), _hashes(evaluate, "deps")
        if any(measured[path] != made[path] for path in made.keys() & measured.keys()):
            return None
        params = train["params"][PARAMS_FILE] | evaluate["params"][PARAMS_FILE]
        seed = int(params.pop("seed"))
        given = {path: md5 for path, md5 in measured.items() if path not in made}
        content = [train["cmd"], evaluate["cmd"], params, _hashes(train, "deps"), given]
        return seed, json.dumps(content, sort_keys=True)


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ by seed alone.

    Attributes:
        run: the one that the user named.
        accuracies: test accuracy by seed.
    """

    run: Run
    accuracies: dict[int, float]


def find_run(revision: str | None) -> Run:
    """Return the run of a branch, tag, commit or experiment, or of the workspace for None."""
    return Run(revision, resolve(revision)) if revision else Run("workspace", None)


def find_seed_groups(runs: Iterable[Run]) -> list[SeedGroup]:
    """Return each run with all experiments that differ from it by seed alone.

    Of several runs of one seed, the named one counts, or else the first: they agree anyway.

    Raises:
        PipelineError: the record of a named run does not say what its results come from.
    """
    candidates = [(run, run.recipe()) for run in itertools.starmap(Run, experiments())]
    groups = []
    for run in runs:
        own = run.recipe()
        if own is None:
            raise PipelineError(
                f"{run.name}: dvc.lock does not record where its results come from; run `dvc repro`"
            )
        members = {own[0]: run}
        for candidate, recipe in candidates:
            if recipe is not None and recipe[1] == own[1]:
                members.setdefault(recipe[0], candidate)
        accuracies = {s: members[s].metrics()["test"]["accuracy"] for s in sorted(members)}
        groups.append(SeedGroup(run, accuracies))
    return groups


def _hashes(stage: dict[str, Any], kind: str) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in stage[kind]}
