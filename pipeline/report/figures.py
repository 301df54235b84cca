"""The figures: drawn with Matplotlib's object interface, without the global state of pyplot."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.params import Section
from pipeline.data.dataset import CLASS_NAMES, Dataset
from pipeline.evaluation.metrics import Probabilities, accuracy_interval

# Okabe and Ito's palette, told apart with any kind of colour vision: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
# What stands for them in an SVG.
PAGE_COLOURS = {
    "#000000": "currentColor",
    "#ffffff": "var(--card)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREY: "var(--grey)",
}
# The panels of pictures, in inches.
HEADER = 0.5  # the room for the title
NAMES = 1.1  # the room for the names of the classes, beside the samples
SAMPLE, SAMPLE_ROW = 0.56, 0.62  # a sample, at two dots to the pixel, and from one row to the next
CASE_WIDTH, CASE_HEIGHT, CASE_COLUMNS = 4.0, 2.1, 3  # a case, and how many are side by side
# Markers on the curves are for so many epochs at most; of more they would hide the line.
MARKED_EPOCHS = 50


class PlotParams(Section):
    """The section `plot`."""

    samples_per_class: int = Field(ge=1, le=50)
    predictions: int = Field(ge=1, le=100)
    mistakes: int = Field(ge=1, le=100)
    uncertain: int = Field(ge=1, le=100)
    per_confusion: int = Field(ge=1, le=8)


@contextmanager
def style() -> Iterator[None]:
    """Draw with Matplotlib's own defaults, whatever the user has configured."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "figure.dpi": 100,
                "font.size": 10,
                "axes.titlesize": 11,
                "figure.titlesize": 12,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "legend.frameon": False,
            }
        )
        yield


def percent(share: float) -> str:
    """Return a share as text, which says 0 or 100 % only where it is that exactly."""
    if 0 < share < 0.001:
        return "<0.1\u00a0%"
    if 0.999 < share < 1:
        return ">99.9\u00a0%"
    return f"{100 * share:.1f}\u00a0%"


def svg(figure: Figure, name: str) -> str:
    """Return `figure` as an SVG element for a page, its colours CSS variables of that page.

    What `name` salts are the names by which parts of the drawing refer to others.
    """
    buffer = io.StringIO()
    # The salt instead of a random one, and text that stays text.
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    drawn = buffer.getvalue()
    drawn = re.sub(r' id="[\w.]+_\d+"', "", drawn)  # not referred to, and the same in each drawing
    for colour, variable in PAGE_COLOURS.items():
        drawn = drawn.replace(colour, variable)
    return drawn[drawn.index("<svg") :]


def samples(test: Dataset, per_class: int, label: str) -> Figure:
    """Draw the first images of each class, a row each."""
    width = max(NAMES + SAMPLE * per_class + 0.1, 5.0)  # so that the longest title fits
    height = SAMPLE_ROW * len(CLASS_NAMES)
    figure, axes = _panel(width, height, f"The first test images of each class{label}")
    for index, name in enumerate(CLASS_NAMES):
        y = SAMPLE_ROW * index
        axes.text(NAMES - 0.1, y + SAMPLE / 2, name, ha="right", va="center")
        images = test.images[np.flatnonzero(test.labels == index)[:per_class]]
        if len(images):
            _show(axes, np.hstack(list(images)), NAMES, y, SAMPLE)
    return figure


def history(rows: Sequence[dict[str, str]], label: str) -> Figure:
    """Draw accuracy and loss by epoch, from the rows of `plots/history.csv`."""
    figure = _two_charts()
    figure.suptitle(f"Training{label}")
    epochs = [int(row["epoch"]) for row in rows]
    dot, square = ("o", "s") if len(epochs) <= MARKED_EPOCHS else ("", "")
    charts = figure.subplots(2, 1, sharex=True)
    for axes, name, unit in zip(
        charts, ("accuracy", "loss"), ("share of images", "nats"), strict=True
    ):
        axes.plot(
            epochs, [float(row[name]) for row in rows], f"{dot}-", color=BLUE, label="training"
        )
        if rows[0][f"val_{name}"]:
            values = [float(row[f"val_{name}"]) for row in rows]
            axes.plot(epochs, values, f"{square}--", color=ORANGE, label="validation")
        axes.set_ylabel(f"{name} ({unit})")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    charts[-1].set_xlabel("epoch")
    return _laid_out(figure)


def calibration(table: Sequence[dict[str, str]], label: str) -> Figure:
    """Draw accuracy against confidence, from the rows of `plots/calibration.csv`.

    Source of its form: Guo et al., On Calibration of Modern Neural Networks, 2017, figure 4.
    """
    low, high, images, confidence, accuracy = (
        np.array([float(row[name]) for row in table])
        for name in ("low", "high", "images", "confidence", "accuracy")
    )
    figure = _two_charts()
    figure.suptitle(f"Calibration{label}")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    above.bar(
        low, accuracy, high - low, align="edge", color=BLUE, edgecolor="white", label="accuracy"
    )
    bounds = [accuracy_interval(*bin_) for bin_ in zip(accuracy, images, strict=True)]
    reach = np.abs(np.transpose(bounds) - accuracy)
    above.errorbar(
        confidence, accuracy, reach, fmt=".", color="black", label="95 % interval", capsize=2
    )
    above.plot([0, 1], [0, 1], "--", color=ORANGE, label="perfectly calibrated")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy (share of images)")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1)
    below.bar(low, images, high - low, align="edge", color=GREY, edgecolor="white")
    below.set(xlabel="confidence: probability of the likeliest class", ylabel="test images")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return _laid_out(figure)


def confusion(matrix: NDArray[np.intp], label: str) -> Figure:
    """Draw how many images of each class (row) were taken for each class (column)."""
    figure = Figure(figsize=(8, 7.2))
    # Placed by hand, which takes no time, with room for the names of the classes; a square.
    axes = figure.add_axes((0.145, 0.15, 0.72, 0.8))
    rates = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(rates, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, figure.add_axes((0.895, 0.2, 0.03, 0.7)))
    bar.set_label("share of the actual class")
    bar.outline.set_visible(False)
    for (actual, predicted), count in np.ndenumerate(matrix):
        colour = "white" if rates[actual, predicted] > 0.5 else "black"
        axes.text(predicted, actual, str(count), ha="center", va="center", color=colour)
    ticks = range(len(CLASS_NAMES))
    axes.set_xticks(ticks, CLASS_NAMES, rotation=45, ha="right")
    axes.set_yticks(ticks, CLASS_NAMES)
    axes.set(
        title=f"Number of test images by class{label}",
        xlabel="predicted class",
        ylabel="actual class",
    )
    return figure


def predictions(
    test: Dataset, probabilities: Probabilities, rows: NDArray[np.intp], title: str
) -> Figure:
    """Draw each chosen test image, under what it was taken for, beside the class probabilities.

    The likeliest class is blue where it is right and orange and hatched where it is wrong; the
    right class is then marked by an arrow.
    """
    height = CASE_HEIGHT * max(1, -(-len(rows) // CASE_COLUMNS))
    heading = f"{title}, and what they were taken for"
    figure, axes = _panel(CASE_WIDTH * CASE_COLUMNS, height, heading)
    for place, row in enumerate(rows):
        line, column = divmod(place, CASE_COLUMNS)
        x, y = CASE_WIDTH * column, CASE_HEIGHT * line
        _picture(axes, x, y, test.images[row], probabilities[row], int(test.labels[row]))
        _chart(axes, x, y, probabilities[row], int(test.labels[row]))
    return figure


def _panel(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """Return a figure and one pair of axes for all of it, in inches; the title is above their 0.

    Dozens of small axes take seconds to draw.
    """
    figure = Figure(figsize=(width, HEADER + height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, -HEADER))
    axes.set_axis_off()
    axes.text(width / 2, -HEADER / 2, title, ha="center", va="center", size=13)
    return figure, axes


def _show(axes: Axes, image: NDArray[np.float32], x: float, y: float, height: float) -> None:
    """Draw an image, its upper left corner at `x`, `y`."""
    width = height * image.shape[1] / image.shape[0]
    axes.imshow(
        image,
        cmap="gray_r",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(x, x + width, y + height, y),
        aspect="auto",
    )


def _two_charts() -> Figure:
    """Return a figure for two charts, one above the other: narrow enough to be read on a phone."""
    return Figure(figsize=(4.8, 5.2), dpi=150)


def _laid_out(figure: Figure) -> Figure:
    """Give all parts their places now, once, and not whenever the figure is saved."""
    figure.align_ylabels()
    ConstrainedLayoutEngine().execute(figure)
    return figure


def _picture(
    axes: Axes,
    x: float,
    y: float,
    image: NDArray[np.float32],
    probabilities: Probabilities,
    actual: int,
) -> None:
    """Draw an image at the left of a case, with what it was taken for and whether that is right."""
    predicted = int(probabilities.argmax())
    _show(axes, image, x + 0.15, y + 0.3, 1.4)
    centre = x + 0.85
    axes.text(centre, y + 0.15, CLASS_NAMES[predicted], ha="center", va="center", weight="bold")
    right = predicted == actual
    verdict = "right" if right else f"actual: {CLASS_NAMES[actual]}"
    colour = BLUE if right else ORANGE
    axes.text(centre, y + 1.83, verdict, ha="center", va="center", color=colour)


def _chart(axes: Axes, x: float, y: float, probabilities: Probabilities, actual: int) -> None:
    """Draw the probabilities at the right of a case."""
    predicted = int(probabilities.argmax())
    left, full = x + 2.4, 1.0  # where the bars begin, and the length of 100 %
    heights = y + 0.15 + 0.175 * np.arange(len(CLASS_NAMES))
    bars = axes.barh(heights, probabilities * full, 0.13, left=left, color=GREY)
    if predicted == actual:
        bars[predicted].set_facecolor(BLUE)
    else:
        bars[predicted].set(facecolor=ORANGE, hatch="///", edgecolor="white")
    axes.vlines(left, heights[0] - 0.08, heights[-1] + 0.08, color="black", linewidth=0.8)
    for index, (name, height) in enumerate(zip(CLASS_NAMES, heights, strict=True)):
        axes.text(left - 0.06, height, name, ha="right", va="center", size=8)
        arrow = " ◂ actual" if index == actual != predicted else ""
        value = percent(float(probabilities[index])) if probabilities[index] >= 0.01 else ""
        end = left + full * float(probabilities[index]) + 0.06
        axes.text(end, height, f"{value}{arrow}", va="center", size=8)
