"""The report: all that a run gave on one page, which needs no other file and no network."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.params_file import flat, load_yaml
from pipeline.data.dataset import Dataset, Description
from pipeline.evaluation import metrics
from pipeline.evaluation.metrics import Probabilities
from pipeline.report import cases, figures
from pipeline.report.figures import PlotParams
from pipeline.report.formats import percent

TEMPLATES = Path(__file__).parent / "templates"
DEFAULTS = ("presets/defaults.yaml", "presets/mlp.yaml")
LIKELIEST = 3  # how many classes are shown with a case
WORST = 3  # how many confusions are named at the top
SAMPLES = 4  # how many images are shown of a class
LARGE = 80  # the edge at which images are shown that are not small, in pixels
MOST_CONFUSIONS = 90  # are listed: all that there can be of ten classes


class Case(NamedTuple):
    """An image, and what a model made of it."""

    name: str  # such as "test image 7", by its row
    file: str  # where it is from, if it is from a file
    image: str  # a `data:` URI
    actual: str
    predicted: str
    confidence: float
    probabilities: list[tuple[str, float]]  # the likeliest classes and the actual one


class ConfusionCases(NamedTuple):
    """The test images of one class that were taken for a certain other: how many, and some."""

    anchor: str
    actual: str
    predicted: str
    images: int
    cases: list[Case]


class ClassResult(NamedTuple):
    """The results of a class: its scores, and the class and share of its most frequent mistake."""

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
    description: Description,
    probabilities: Probabilities,
    shown: PlotParams,
    params: dict[str, Any],
    results: dict[str, Any],
    charts: dict[str, str],
) -> str:
    """Return the page as HTML.

    `shown` says how much to show, and `params` are all parameters of the run, nested. `results` is
    what `results.read` returns. `charts` are SVG elements: `history`, `calibration` and, of more
    classes than are legible, `confusion_matrix`.
    """
    classes = description.classes
    confusion = metrics.confusion_matrix(probabilities, test.labels)
    mistakes = cases.most_confident_mistakes(probabilities, test.labels)
    uncertain = cases.least_confident(probabilities)
    confusions = cases.confusions(probabilities, test.labels)

    case = partial(case_of, test, description, probabilities, "test", results["files"])
    listed = [
        ConfusionCases(
            anchor=f"confusion-{found.actual}-{found.predicted}",
            actual=classes[found.actual],
            predicted=classes[found.predicted],
            images=len(found.rows),
            cases=[case(row) for row in found.rows[: shown.per_confusion]],
        )
        for found in confusions[:MOST_CONFUSIONS]
    ]
    return template(TEMPLATES / "report.html").render(
        results,
        data=description,
        images=len(test.labels),
        **look(description),
        model=params["model"]["name"],
        skips_easy=bool(params["train"]["skip_easy"]),
        lowest_loss=figures.lowest_validation_loss(results["history"]),
        **_yardsticks(results["metrics"]["test"], confusion.sum(axis=1), description),
        mean_confidence=float(probabilities.max(axis=1).mean(dtype=np.float64)),
        samples=[
            (classes[label], [case(row) for row in np.flatnonzero(test.labels == label)[:SAMPLES]])
            for label in figures.named(classes)
        ],
        classes=_class_results(confusion, classes),
        legible=len(classes) <= figures.LEGIBLE_CLASSES,
        confusion=confusion.tolist() if len(classes) <= figures.LEGIBLE_CLASSES else [],
        mistakes=len(mistakes),
        confusions=listed,
        kinds=len(confusions),
        worst=listed[:WORST],
        confident=[case(row) for row in mistakes[: shown.mistakes]],
        uncertain=[case(row) for row in uncertain[: shown.uncertain]],
        per_confusion=shown.per_confusion,
        charts={name: Markup(chart) for name, chart in charts.items()},  # noqa: S704 (drawn by us)
        parameters=_parameters(params),
    )


def template(path: Path) -> jinja2.Template:
    """Return the template of a page, which may include those of the report, such as its style."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = percent
    environment.filters["decimal"] = "{:.4f}".format
    environment.filters["thousands"] = "{:,}".format
    return environment.get_template(path.name)


def look(description: Description) -> dict[str, Any]:
    """Return what a page has to know of images: the `edge` they have, and whether `negated`."""
    small = max(description.shape[:2]) <= figures.SMALL
    return {
        "edge": 2 * figures.SMALL if small else LARGE,
        "negated": figures.negated(description),
    }


def case_of(
    data: Dataset,
    description: Description,
    probabilities: Probabilities,
    split: str,
    files: Mapping[int, str],
    row: int,
) -> Case:
    """Return row `row` of `data`, the images of `split`, and what a model made of it.

    `probabilities` are those of the model, and `files` says by row where images are from.
    """
    classes, actual = description.classes, int(data.labels[row])
    order = np.argsort(-probabilities[row], kind="stable").tolist()
    shown = order[:LIKELIEST] + [actual] * (actual not in order[:LIKELIEST])
    return Case(
        name=f"{split} image {row}",
        file=files.get(int(row), ""),
        image=_data_uri(figures.pixels(data.images[row], description)),
        actual=classes[actual],
        predicted=classes[order[0]],
        confidence=float(probabilities[row].max()),
        probabilities=[(classes[index], float(probabilities[row, index])) for index in shown],
    )


def _data_uri(image: NDArray[np.uint8]) -> str:
    """Return an image as a URI that holds it, no larger than it is shown."""
    picture = Image.fromarray(image)
    picture.thumbnail((LARGE, LARGE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    # As PNG, photographs would take several times as much.
    kind = "png" if image.ndim == 2 else "jpeg"
    picture.save(buffer, kind, optimize=True, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _class_results(confusion: NDArray[np.intp], classes: Sequence[str]) -> list[ClassResult]:
    scores = metrics.per_class(confusion)
    mistaken = confusion.copy()
    np.fill_diagonal(mistaken, 0)
    most = mistaken.argmax(axis=1)
    return [
        ClassResult(
            name=name,
            images=int(confusion[index].sum()),
            **{score: float(values[index]) for score, values in scores.items()},
            taken_for=classes[most[index]] if mistaken[index].any() else "",
            taken_share=float(mistaken[index].max() / max(confusion[index].sum(), 1)),
        )
        for index, name in enumerate(classes)
    ]


def _yardsticks(
    scores: dict[str, float], sizes: NDArray[np.intp], description: Description
) -> dict[str, Any]:
    """Return what the accuracy compares with, given how many images each class has.

    Returns:
        `largest`, the class with the most images; `guessing`, the accuracy of always saying that;
        `scale`, all accuracies, the lowest first: name, accuracy, note and source; and `compared`,
        references with a verdict, where it is known on how many images they rest.
    """
    largest, guessing = description.classes[sizes.argmax()], float(sizes.max() / sizes.sum())
    scale = [
        ("Guessing" if sizes.min() == sizes.max() else f"Always {largest}", guessing, "", ""),
        ("This model", scores["accuracy"], "", ""),
    ]
    compared = []
    for reference in description.references:
        note = "claimed, not reproduced" if reference.claimed else ""
        if reference.images:
            note = f"on {reference.images:,} images"
            verdict = comparison(reference.accuracy, reference.images, scores)
            compared.append((reference, verdict))
        scale.append((reference.name, reference.accuracy, note, reference.url))
    scale.sort(key=lambda mark: mark[1])
    return {"largest": largest, "guessing": guessing, "scale": scale, "compared": compared}


def comparison(accuracy: float, images: int, test: dict[str, float]) -> str:
    """Compare a model with an accuracy on so many images: they differ if 95% intervals do."""
    low, high = metrics.accuracy_interval(accuracy, images)
    if test["accuracy_low"] > high:
        return "better than"
    if test["accuracy_high"] < low:
        return "worse than"
    return "about as well as"


def _parameters(params: dict[str, Any]) -> list[Parameter]:
    default = {name: value for path in DEFAULTS for name, value in flat(load_yaml(path)).items()}
    return [
        Parameter(name, _json(value), _json(default[name]) if name in default else "")
        for name, value in flat(params).items()
    ]


def _json(value: Any) -> str:
    # DVC takes 0 and 0.0 for the same, so the page may not tell them apart.
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)
