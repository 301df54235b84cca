"""What a run has recorded: its metrics, its predictions, and which runs differ by seed alone."""

import csv
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from pipeline.core.dvc_cache import md5_of
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE, Values, flat
from pipeline.core.reading import first_fault
from pipeline.experiments import revisions
from pipeline.experiments.dvc_files import LOCK, Record, hashes, parse_lock
from pipeline.experiments.workspace import has_remote

METRICS = "metrics/evaluate.json"
Split = Literal["validation", "test"]  # the images that runs are judged by
PREDICTIONS: dict[Split, str] = {
    "validation": "plots/validation.csv",
    "test": "plots/predictions.csv",
}

JSON_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])

Classes = NDArray[np.str_]  # [N], a name for each image


class Metrics(BaseModel):
    """What `evaluate` measured, by dotted names.

    Attributes:
        source: the data; the first results did not say.
        accuracy: `test.accuracy`.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")
    __pydantic_extra__: dict[str, FiniteFloat]

    source: str | None = None
    accuracy: FiniteFloat = Field(alias="test.accuracy")

    def by_name(self) -> dict[str, str | float]:
        """Return all that the file holds."""
        return self.model_dump(by_alias=True, exclude_unset=True)


@dataclass(frozen=True)
class Run:
    """A run by the name that the user gives it; `commit` is None for the workspace."""

    name: str
    commit: str | None

    @cached_property
    def lock(self) -> dict[str, Record]:
        """What its `dvc.lock` records, by stage.

        Raises:
            PipelineError: it has none, or it is not as DVC writes it.
        """
        try:
            return parse_lock(revisions.read(LOCK, self.commit), f"{LOCK} of {self.name}")
        except FileNotFoundError:
            raise PipelineError(
                f"{self.name} has no {LOCK}: nothing is recorded there; run `dvc repro`"
            ) from None

    def read(self, path: str) -> bytes:
        """Return an output of a stage.

        Raises:
            PipelineError: it is missing, or not the file that `dvc.lock` records.
        """
        try:
            content = revisions.read_bytes(path, self.commit)
        except FileNotFoundError:
            if self.commit is None:
                raise PipelineError(f"{path} is missing; run `dvc repro`") from None
            where, advice = "DVC's cache", f"`dvc repro` on {self.name} makes it"
            if has_remote():
                where, advice = "DVC's cache or remote", "try `dvc fetch --all-commits`"
            raise PipelineError(
                f"{path} of {self.name} is neither in git, nor in {where}; {advice}"
            ) from None
        recorded = hashes([file for record in self.lock.values() for file in record.outs])
        if md5_of(content) != recorded.get(path):
            raise PipelineError(
                f"{path} of {self.name} is not the file that {LOCK} records there: it was changed "
                "after the run, or never recorded; `dvc repro` writes it again"
            )
        return content

    def metrics(self) -> Metrics:
        """Return what `evaluate` measured."""
        try:
            return Metrics.model_validate(flat(JSON_OBJECT.validate_json(self.read(METRICS))))
        except ValidationError as error:
            raise PipelineError(f"{METRICS} of {self.name}: {first_fault(error)}") from None

    def accuracy(self, split: Split) -> float:
        """Return the share of images of `split` that it has right.

        Raises:
            PipelineError: it was not measured on any, as in a run without validation images.
        """
        accuracy = self.metrics().by_name().get(f"{split}.accuracy")
        if accuracy is None:
            raise PipelineError(
                f"{self.name} has no validation predictions; `--test` judges by the test set"
            )
        return float(accuracy)

    def predictions(self, split: Split) -> tuple[Classes, Classes]:
        """Return the actual and the predicted classes, in the order of the images of `split`."""
        path = PREDICTIONS[split]
        try:
            rows = list(csv.reader(self.read(path).decode().splitlines(), strict=True))
        except (ValueError, csv.Error):
            rows = []
        if rows[:1] != [["actual", "predicted"]] or {len(row) for row in rows} != {2}:
            raise PipelineError(f"{path} of {self.name} is not a table of actual,predicted")
        if len(rows) < 3:
            raise PipelineError(f"{path} of {self.name} has fewer than two images")
        actual, predicted = np.array(rows[1:], np.str_).T
        return actual, predicted

    def params(self) -> Values:
        """Return the parameters that its results come from, as `dvc.lock` records them."""
        records = self.lock.values()
        return {n: v for r in records for n, v in flat(r.params.get(PARAMS_FILE, {})).items()}

    @contextmanager
    def copies(self) -> Iterator[Callable[[Path], Path]]:
        """Give what returns a copy of an output of a stage, which `read` gives, in a folder."""
        with tempfile.TemporaryDirectory(prefix="run-") as folder:

            def copied(path: Path) -> Path:
                copy = Path(folder, path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(self.read(str(path)))
                return copy

            yield copied

    def images_hash(self, split: Split) -> str | None:
        """Return the MD5 of the images of `split` that it was measured on, where it is recorded."""
        evaluate = self.lock.get("evaluate")
        return hashes(evaluate.deps).get(f"data/processed/{split}.npz") if evaluate else None

    def recipe(self) -> tuple[int, str] | None:
        """Return the seed, and all else that makes its accuracy: data, parameters, code.

        None where `dvc.lock` does not tell: nothing was trained, or another model evaluated.
        """
        try:
            train, evaluate = self.lock["train"], self.lock["evaluate"]
            params = train.params[PARAMS_FILE] | evaluate.params[PARAMS_FILE]
            seed = int(params.pop("seed"))
        except (PipelineError, LookupError, TypeError, ValueError):
            return None
        made, measured = hashes(train.outs), hashes(evaluate.deps)
        if any(measured[path] != made[path] for path in made.keys() & measured.keys()):
            return None
        given = {path: md5 for path, md5 in measured.items() if path not in made}
        content = [train.cmd, evaluate.cmd, params, hashes(train.deps), given]
        return seed, json.dumps(content, sort_keys=True)


def find_run(revision: str | None) -> Run:
    """Return the run of a branch, tag, commit or experiment, or of the workspace for None."""
    if revision is None:
        return Run("workspace", None)
    return Run(revision, revisions.resolve(revision))


def accuracies_by_seed(runs: Iterable[Run], split: Split) -> list[dict[int, float]]:
    """Return, for each run, the accuracies of it and of all that differ by seed alone.

    Of several runs of one seed, the named one counts, or else the first: they agree anyway. An
    experiment whose metrics cannot be used is left out, and a line on standard error says so.

    Raises:
        PipelineError: the record of a named run does not say what its results come from.
    """
    candidates = [(run, run.recipe()) for run in itertools.starmap(Run, revisions.experiments())]
    groups = []
    for run in runs:
        own = run.recipe()
        if own is None:
            raise PipelineError(
                f"{run.name}: dvc.lock does not record where its results come from; run `dvc repro`"
            )
        accuracies = {own[0]: run.accuracy(split)}
        for candidate, recipe in candidates:
            if recipe and recipe[1] == own[1] and recipe[0] not in accuracies:
                try:
                    accuracies[recipe[0]] = candidate.accuracy(split)
                except PipelineError as error:
                    print(f"note: {candidate.name} is left out: {error}", file=sys.stderr)
        groups.append(dict(sorted(accuracies.items())))
    return groups
