"""Draw what the run gave, and put it all on one page."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict

from pipeline.core import stage
from pipeline.core.artifacts import write_bytes, write_figure
from pipeline.core.params_file import Section
from pipeline.data import dataset
from pipeline.evaluation.metrics import confusion_matrix
from pipeline.report import cases, figures, page, panels, results

PLOTS = Path("plots")


class Network(Section):
    """The section `model`, of which the report needs the name and lists the rest."""

    model_config = ConfigDict(extra="allow")

    name: str


class Params(Section):
    """What the stage declares: its own section, and all others that the report lists."""

    seed: Any
    data: dict[str, Any]
    preprocess: dict[str, Any]
    model: Network
    train: dict[str, Any]
    evaluate: dict[str, Any]
    plot: figures.PlotParams


def plot(params: Params) -> None:
    """Write the pictures in `plots`, and `plots/report.html`."""
    description = dataset.load_description(dataset.DESCRIPTION)
    test = dataset.load(dataset.TEST, description)
    classes, images = len(description.classes), len(test.labels)
    probabilities = dataset.load_probabilities(dataset.TEST_PROBABILITIES, images, classes)
    run = results.read(images)
    first = np.arange(min(params.plot.predictions, images))
    mistakes = cases.most_confident_mistakes(probabilities, test.labels)[: params.plot.mistakes]
    confusion = confusion_matrix(probabilities, test.labels)

    with figures.style():
        drawn = {
            "samples": panels.samples(test, description, params.plot.samples_per_class),
            "history": figures.history(run["history"], description.suffix),
            "calibration": figures.calibration(run["calibration"], description.suffix),
            "confusion_matrix": figures.confusion(confusion, description),
            "predictions": panels.predictions(
                test, description, probabilities, first, "The first test images"
            ),
            "mistakes": panels.predictions(
                test, description, probabilities, mistakes, "The most confident mistakes"
            ),
        }
        for name, figure in drawn.items():
            write_figure(PLOTS / f"{name}.png", figure)
        in_page = ["history", "calibration"]
        if classes > figures.LEGIBLE_CLASSES:
            in_page.append("confusion_matrix")
        charts = {name: figures.svg(drawn[name], name) for name in in_page}

    html = page.render(
        test, description, probabilities, params.plot, params.model_dump(), run, charts
    )
    write_bytes(PLOTS / "report.html", html.encode())


if __name__ == "__main__":
    # Drawing leaves little garbage; without the search for it, 2.1 s in place of 2.5 s.
    gc.disable()
    with stage.active("plot", Params) as this:
        plot(this.params)
    gc.freeze()  # or Python would still search on its way out
