"""The report: all that a run gave on one page, which needs no other file and no network."""

import base64
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.params import load_yaml
from pipeline.data.dataset import CLASS_NAMES, Dataset
from pipeline.evaluation.metrics import (
    Probabilities,
    accuracy_interval,
    confusion_matrix,
    per_class,
)
from pipeline.report import cases
from pipeline.report.figures import PlotParams, percent

DEFAULTS = ("presets/defaults.yaml", "presets/mlp.yaml")
LIKELIEST = 3  # how many classes are shown with a case
WORST = 3  # how many confusions are named at the top
# What else is known to happen on Fashion-MNIST. People were shown 1,000 images; the best is
# WRN40-4. Source: the benchmark table of https://github.com/zalandoresearch/fashion-mnist.
PEOPLE, PEOPLE_IMAGES, BEST_LISTED = 0.835, 1_000, 0.967


class Case(NamedTuple):
    """A test image, and what the model made of it.

    Attributes:
        row: its index in the test set.
        image: a `data:` URI.
        actual: its class.
        predicted: the likeliest class.
        confidence: the probability of that.
        probabilities: the likeliest classes and the actual one, the likeliest first.
    """

    row: int
    image: str
    actual: str
    predicted: str
    confidence: float
    probabilities: list[tuple[str, float]]


class ConfusionCases(NamedTuple):
    """The test images of one class that were taken for a certain other: how many, and some."""

    anchor: str
    actual: str
    predicted: str
    images: int
    cases: list[Case]


class ClassResult(NamedTuple):
    """How a class fared: its scores, and the class and share of its most frequent mistake."""

    name: str
    images: int
    recall: float
    precision: float
    f1: float
    taken_for: str
    taken_share: float


class Parameter(NamedTuple):
    """A parameter of the run, with its value and its default as JSON."""

    name: str
    value: str
    default: str

    @property
    def changed(self) -> bool:
        """Tell whether the value is another than the default."""
        return self.value != self.default


def render(
    test: Dataset,
    probabilities: Probabilities,
    shown: PlotParams,
    params: dict[str, Any],
    results: dict[str, Any],
    charts: dict[str, str],
) -> str:
    """Return the page as HTML.

    Args:
        test: the test set.
        probabilities: float32 `[N, 10]`, of its images.
        shown: how much to show.
        params: all parameters of the run, nested.
        results: what `train` and `evaluate` wrote: the mappings `metrics` and `training`, and the
            rows of `history` and `calibration`.
        charts: SVG elements `history` and `calibration`.
    """
    confusion = confusion_matrix(probabilities.argmax(axis=1), test.labels)
    mistakes = cases.most_confident_mistakes(probabilities, test.labels)
    uncertain = cases.least_confident(probabilities)
    confusions = _confusions(test, probabilities, shown.per_confusion)
    synthetic = params["data"]["source"] == "synthetic"
    return _template().render(
        results,
        dataset="Synthetic garments" if synthetic else "Fashion-MNIST",
        synthetic=synthetic,
        images=len(test.labels),
        names=CLASS_NAMES,
        model=params["model"]["name"],
        people=PEOPLE,
        against_people=against_people(results["metrics"]["test"]),
        scale=_scale(results["metrics"]["test"]["accuracy"], synthetic),
        mean_confidence=_mean_confidence(results["calibration"]),
        classes=_class_results(confusion),
        confusion=confusion.tolist(),
        mistakes=len(mistakes),
        confusions=confusions,
        worst=confusions[:WORST],
        confident=[_case(test, probabilities, row) for row in mistakes[: shown.mistakes]],
        uncertain=[_case(test, probabilities, row) for row in uncertain[: shown.uncertain]],
        per_confusion=shown.per_confusion,
        charts={name: Markup(chart) for name, chart in charts.items()},  # noqa: S704 (drawn by us)
        parameters=_parameters(params),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = percent
    environment.filters["decimal"] = "{:.4f}".format
    environment.filters["thousands"] = "{:,}".format
    return environment.get_template("report.html")


def _case(test: Dataset, probabilities: Probabilities, row: int) -> Case:
    actual, values = int(test.labels[row]), probabilities[row].tolist()
    order = sorted(range(len(values)), key=lambda index: -values[index])
    shown = [index for place, index in enumerate(order) if place < LIKELIEST or index == actual]
    return Case(
        row=int(row),
        image=_data_uri(test.images[row]),
        actual=CLASS_NAMES[actual],
        predicted=CLASS_NAMES[order[0]],
        confidence=values[order[0]],
        probabilities=[(CLASS_NAMES[index], values[index]) for index in shown],
    )


def _data_uri(image: NDArray[np.float32]) -> str:
    """Return an image `[28, 28]`, 0 to 1, as PNG: dark on white, as the figures show it."""
    buffer = io.BytesIO()
    Image.fromarray(255 - (image * 255).round().astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _confusions(test: Dataset, probabilities: Probabilities, count: int) -> list[ConfusionCases]:
    """Return all confusions, the most frequent first, each with up to `count` cases."""
    return [
        ConfusionCases(
            anchor=f"confusion-{found.actual}-{found.predicted}",
            actual=CLASS_NAMES[found.actual],
            predicted=CLASS_NAMES[found.predicted],
            images=len(found.rows),
            cases=[_case(test, probabilities, row) for row in found.rows[:count]],
        )
        for found in cases.confusions(probabilities, test.labels)
    ]


def _class_results(confusion: NDArray[np.intp]) -> list[ClassResult]:
    scores = per_class(confusion)
    mistaken = confusion.copy()
    np.fill_diagonal(mistaken, 0)
    most = mistaken.argmax(axis=1)
    return [
        ClassResult(
            name=name,
            images=int(confusion[index].sum()),
            **{score: float(values[index]) for score, values in scores.items()},
            taken_for=CLASS_NAMES[most[index]] if mistaken[index].any() else "",
            taken_share=float(mistaken[index].max() / max(confusion[index].sum(), 1)),
        )
        for index, name in enumerate(CLASS_NAMES)
    ]


def _scale(accuracy: float, synthetic: bool) -> list[tuple[str, float]]:
    """Return what the accuracy compares with, the lowest first."""
    known = [("Guessing", 1 / len(CLASS_NAMES)), ("This model", accuracy)]
    if not synthetic:
        known += [("People", PEOPLE), ("Best model listed", BEST_LISTED)]
    return sorted(known, key=lambda entry: entry[1])


def against_people(test: dict[str, float]) -> str:
    """Say how the model does beside people: better or worse if their 95 % intervals are apart."""
    low, high = accuracy_interval(PEOPLE, PEOPLE_IMAGES)
    if test["accuracy_low"] > high:
        return "better than"
    if test["accuracy_high"] < low:
        return "worse than"
    return "about as well as"


def _mean_confidence(calibration: list[dict[str, str]]) -> float:
    total = sum(int(row["images"]) * float(row["confidence"]) for row in calibration)
    return total / sum(int(row["images"]) for row in calibration)


def _parameters(params: dict[str, Any]) -> list[Parameter]:
    default = {name: value for path in DEFAULTS for name, value in _flat(load_yaml(path)).items()}
    return [Parameter(name, value, default.get(name, "")) for name, value in _flat(params).items()]


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters under their dotted names, the values as JSON."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            # DVC takes 0 and 0.0 for the same, so the page may not tell them apart.
            whole = isinstance(value, float) and value.is_integer()
            flat[f"{prefix}{key}"] = json.dumps(int(value) if whole else value, ensure_ascii=False)
    return flat
