"""Draw what the run gave, and put it all on one page."""

import csv
import gc
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import stage
from pipeline.core.artifacts import write_bytes, write_figure
from pipeline.core.params import Section
from pipeline.data.dataset import TEST, TEST_PROBABILITIES, Source, label, load
from pipeline.evaluation.metrics import confusion_matrix
from pipeline.report import cases, figures, page

PLOTS = Path("plots")
METRICS = Path("metrics")


class DataChoice(Section):
    """Of the section `data`, what decides on the data."""

    source: Source
    synthetic: dict[str, Any]


class Params(Section):
    """What the stage declares: its own section, and all others that the report lists."""

    seed: Any
    data: DataChoice
    preprocess: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]
    plot: figures.PlotParams


def plot(params: Params) -> None:
    """Write the pictures in `plots`, and `plots/report.html`."""
    suffix = label(params.data.source)
    test = load(TEST)
    with np.load(TEST_PROBABILITIES, allow_pickle=False) as arrays:
        probabilities = arrays["probabilities"]
    history, calibration = read_csv(PLOTS / "history.csv"), read_csv(PLOTS / "calibration.csv")
    first = np.arange(min(params.plot.predictions, len(test.labels)))
    mistakes = cases.most_confident_mistakes(probabilities, test.labels)[: params.plot.mistakes]
    confusion = confusion_matrix(probabilities.argmax(axis=1), test.labels)

    with figures.style():
        drawn = {
            "samples": figures.samples(test, params.plot.samples_per_class, suffix),
            "history": figures.history(history, suffix),
            "calibration": figures.calibration(calibration, suffix),
            "confusion_matrix": figures.confusion(confusion, suffix),
            "predictions": figures.predictions(
                test, probabilities, first, f"The first test images{suffix}"
            ),
            "mistakes": figures.predictions(
                test, probabilities, mistakes, f"The most confident mistakes{suffix}"
            ),
        }
        for name, figure in drawn.items():
            write_figure(PLOTS / f"{name}.png", figure)
        charts = {name: figures.svg(drawn[name], name) for name in ("history", "calibration")}

    results = {
        "metrics": read_json(METRICS / "evaluate.json"),
        "training": read_json(METRICS / "train.json"),
        "history": history,
        "calibration": calibration,
    }
    html = page.render(test, probabilities, params.plot, params.model_dump(), results, charts)
    write_bytes(PLOTS / "report.html", html.encode())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json(path: Path) -> dict[str, Any]:
    """Return a mapping."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    # Drawing leaves little garbage; without the search for it, 2.1 s in place of 2.5 s.
    gc.disable()
    with stage.active("plot", Params) as this:
        plot(this.params)
    gc.freeze()  # or Python would still search on its way out
