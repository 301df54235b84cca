"""pages/compare.html: up to eight runs side by side, on one page that needs no network."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from markupsafe import Markup

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Description
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import Probabilities
from pipeline.experiments import comparison
from pipeline.experiments.dvc_files import hashes
from pipeline.experiments.runs import Run, Split
from pipeline.report import figures, page, results
from pipeline.report.page import Case

TEMPLATE = Path(__file__).parent / "comparison.html"
IMAGES = {"validation": dataset.VALIDATION, "test": dataset.TEST}
PROBABILITIES = {
    "validation": dataset.VALIDATION_PROBABILITIES,
    "test": dataset.TEST_PROBABILITIES,
}
MOST_IMAGES = 600  # that are shown on the page
MOST_CHANGES = 20  # of confusions, where the classes are too many for a matrix

Loaded = TypeVar("Loaded")


class Side(NamedTuple):
    """A run, or the group of its seeds: its accuracies, and their mean with its 95% interval."""

    name: str
    commit: str | None
    colour: str
    accuracies: list[float]
    mean: float
    low: float
    high: float


class Change(NamedTuple):
    """How the confusions of a run differ from those of the first."""

    other: str
    matrix: list[list[int]]  # other minus first; empty where the classes are too many
    largest: list[tuple[str, str, int]]  # those that differ most: actual, predicted, difference


class Disagreement(NamedTuple):
    """The images that one of two runs has right and the other wrong: how many, and some."""

    title: str
    names: tuple[str, str]
    images: int
    cases: list[tuple[Case, Case]]  # what either run made of them


def write(path: Path, runs: Sequence[Run], reports: Sequence[dict[str, Any]], seeds: bool) -> None:
    """Write the page of these runs and of what `comparison.compare` returned of them.

    Raises:
        PipelineError: an output of a run is missing, or not the one that is recorded.
    """
    split: Split = reports[0]["split"]
    sides = list(_sides(runs, reports, split))
    description = _load(runs[0], dataset.DESCRIPTION, dataset.load_description)
    histories = [_load(run, results.HISTORY, results.load_history) for run in runs]
    label = f"{split} accuracy{description.suffix}"
    with figures.style():
        charts = {
            "history": figures.histories(histories, description.suffix),
            "accuracy": figures.intervals(
                [side.name for side in sides],
                [side.accuracies for side in sides],
                [(side.low, side.high) for side in sides],
                label,
            ),
        }
        drawn = {name: Markup(figures.svg(chart, name)) for name, chart in charts.items()}  # noqa: S704 (drawn by us)
    html = page.template(TEMPLATE).render(
        page.look(description),
        data=description,
        split=split,
        seeds=seeds,
        sides=sides,
        colours=[figures.PAGE_COLOURS.get(side.colour, side.colour) for side in sides],
        reports=reports,
        verdict_of=comparison.verdict,
        conclusion=comparison.conclusion,
        caveats=comparison.caveats(reports[0], seeds),
        parameters=_differing([run.params() for run in runs]),
        files=_differing_files(runs),
        charts=drawn,
        **({} if seeds else {"metrics": _metrics(runs)} | _by_image(runs, split, description)),
    )
    write_bytes(path, html.encode())


def _sides(runs: Sequence[Run], reports: Sequence[dict[str, Any]], split: Split) -> Iterator[Side]:
    found = [reports[0]["base"], *(report["other"] for report in reports)]
    for run, side, colour in zip(runs, found, figures.RUN_COLOURS, strict=False):
        if "accuracies" in side:
            accuracies = list(side["accuracies"].values())
            mean, low, high = side["mean"], side["low"], side["high"]
        else:
            mean = run.accuracy(split)
            accuracies = [mean]
            low, high = metrics.accuracy_interval(mean, reports[0]["accuracy"]["images"])
        yield Side(run.name, run.commit, colour, accuracies, mean, low, high)


def _metrics(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return what each run has of each metric that any of them has."""
    found = [run.metrics().by_name() for run in runs]
    names = dict.fromkeys(name for metrics in found for name in metrics)
    return {name: [metrics.get(name) for metrics in found] for name in names}


def _load(run: Run, path: Path, load: Callable[[Path, str], Loaded]) -> Loaded:
    """Load an output of a run, by a function of where it is and of what errors call it."""
    with run.copies() as copied:
        return load(copied(path), f"{path} of {run.name}")


def _differing(values: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return what is not the same in all runs, as JSON, or nothing where a run lacks it."""
    return [
        (name, [json.dumps(v[name], ensure_ascii=False) if name in v else "" for v in values])
        for name in dict.fromkeys(itertools.chain(*values))
        if any(name not in v or v[name] != values[0].get(name) for v in values)
    ]


def _differing_files(runs: Sequence[Run]) -> list[str]:
    """Return the paths of the code and data, not made by a stage, that differ between runs."""
    given = []
    for run in runs:
        stages = [record for name, record in run.lock.items() if name != "plot"]
        made = {file.path for record in stages for file in record.outs}
        deps = hashes([file for record in stages for file in record.deps])
        given.append({path: md5 for path, md5 in deps.items() if path not in made})
    return [path for path, _ in _differing(given)]


def _by_image(runs: Sequence[Run], split: Split, description: Description) -> dict[str, Any]:
    """Return the `changes` of the confusions and the `disagreements` on images."""
    names, images = [run.name for run in runs], _images(runs[0], split, description)
    probabilities = [_probabilities(run, split, images, description) for run in runs]
    return {
        "changes": _changes(names, probabilities, images, description.classes),
        "disagreements": list(_disagreements(names, probabilities, images, description, split)),
    }


def _images(run: Run, split: Split, description: Description) -> Dataset:
    path = IMAGES[split]
    images = _load(run, path, lambda copy, name: dataset.load(copy, description, name))
    actual = np.array(description.classes)[images.labels]
    if not np.array_equal(actual, run.predictions(split)[0]):
        raise PipelineError(
            f"{path} of {run.name} is not what its predictions are about; run `dvc repro`"
        )
    return images


def _probabilities(
    run: Run, split: Split, images: Dataset, description: Description
) -> Probabilities:
    path = PROBABILITIES[split]
    if all(file.path != str(path) for record in run.lock.values() for file in record.outs):
        raise PipelineError(f"{run.name} was run before {path} was kept; `dvc repro` there adds it")
    rows, columns = len(images.labels), len(description.classes)
    return _load(
        run, path, lambda copy, name: dataset.load_probabilities(copy, rows, columns, name)
    )


def _changes(
    names: Sequence[str],
    probabilities: Sequence[Probabilities],
    images: Dataset,
    classes: Sequence[str],
) -> list[Change]:
    base, *others = (metrics.confusion_matrix(p, images.labels) for p in probabilities)
    changes = []
    for name, other in zip(names[1:], others, strict=True):
        difference = other - base
        matrix = difference.tolist() if len(classes) <= figures.LEGIBLE_CLASSES else []
        order = np.argsort(-abs(difference), axis=None, kind="stable")[:MOST_CHANGES]
        places = zip(*np.unravel_index(order, difference.shape), strict=True)
        largest = [(classes[a], classes[p], int(difference[a, p])) for a, p in places]
        changes.append(Change(name, matrix, [change for change in largest if change[2]]))
    return changes


def _disagreements(
    names: Sequence[str],
    probabilities: Sequence[Probabilities],
    images: Dataset,
    description: Description,
    split: Split,
) -> Iterator[Disagreement]:
    """Yield two for each run but the first; the mistakes come first that are most confident."""
    right = [p.argmax(axis=1) == images.labels for p in probabilities]
    most = MOST_IMAGES // (2 * (len(names) - 1))
    for other in range(1, len(names)):
        for hit, miss in ((0, other), (other, 0)):
            rows = np.flatnonzero(right[hit] & ~right[miss])
            rows = rows[np.argsort(-probabilities[miss][rows].max(axis=1), kind="stable")]
            first, second = (
                [page.case_of(images, description, p, split, {}, row) for row in rows[:most]]
                for p in (probabilities[0], probabilities[other])
            )
            yield Disagreement(
                title=f"{names[hit]} right, {names[miss]} wrong",
                names=(names[0], names[other]),
                images=len(rows),
                cases=list(zip(first, second, strict=True)),
            )
