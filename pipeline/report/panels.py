"""The panels of pictures: the first images of each class, and images beside their predictions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.data.dataset import Dataset, Description
from pipeline.evaluation.metrics import Probabilities
from pipeline.report.figures import BLUE, GREY, ORANGE, SMALL, named, pixels, short
from pipeline.report.formats import percent

# In inches.
HEADER = 0.5  # the room for the title
NAMES = 1.1  # the room for the names of the classes, beside the samples
SAMPLE, LARGEST_SAMPLE = 0.02, 1.12  # a pixel of a sample, of two dots, and a sample at most
GAP = 0.06  # from one row of samples to the next
CASE_WIDTH, CASE_HEIGHT, CASE_COLUMNS = 4.0, 2.1, 3  # a case, and how many are side by side
CASE_IMAGE = 1.4
BARS = 10  # how many classes the chart of a prediction shows


def samples(test: Dataset, description: Description, per_class: int) -> Figure:
    """Draw the first images of each class that is `named`, a row each."""
    shown, longest = named(description.classes), max(test.images.shape[1:3])
    size = min(SAMPLE * max(longest, SMALL), LARGEST_SAMPLE)
    height, width = (size * edge / longest for edge in test.images.shape[1:3])
    all_of_them = len(shown) == len(description.classes)
    whose = "each class" if all_of_them else f"{len(shown)} of {len(description.classes)} classes"
    figure, axes = _panel(
        max(NAMES + width * per_class + 0.1, 5.0),  # so that the longest title fits
        (height + GAP) * len(shown),
        f"The first test images of {whose}{description.suffix}",
    )
    for place, index in enumerate(shown):
        y = (height + GAP) * place
        name = short(description.classes[index])
        axes.text(NAMES - 0.1, y + height / 2, name, ha="right", va="center")
        images = test.images[np.flatnonzero(test.labels == index)[:per_class]]
        if len(images):
            _show(axes, pixels(np.hstack(list(images)), description), NAMES, y, height)
    return figure


def predictions(
    test: Dataset,
    description: Description,
    probabilities: Probabilities,
    rows: NDArray[np.intp],
    title: str,
) -> Figure:
    """Draw each chosen test image, under what it was taken for, beside the class probabilities.

    The likeliest class is blue where it is right and orange and hatched where it is wrong; the
    right class is then marked by an arrow.
    """
    height = CASE_HEIGHT * max(1, -(-len(rows) // CASE_COLUMNS))
    heading = f"{title}{description.suffix}, and what they were taken for"
    figure, axes = _panel(CASE_WIDTH * CASE_COLUMNS, height, heading)
    names = [short(name) for name in description.classes]
    for place, row in enumerate(rows):
        line, column = divmod(place, CASE_COLUMNS)
        x, y = CASE_WIDTH * column, CASE_HEIGHT * line
        predicted, actual = probabilities[row].argmax(), int(test.labels[row])
        image = pixels(test.images[row], description)
        verdict = "right" if predicted == actual else f"actual: {names[actual]}"
        _picture(axes, x, y, image, names[predicted], verdict)
        _chart(axes, x, y, probabilities[row], actual, names)
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


def _show(axes: Axes, image: NDArray[np.uint8], x: float, y: float, height: float) -> None:
    """Draw an image, its upper left corner at `x`, `y`."""
    width = height * image.shape[1] / image.shape[0]
    axes.imshow(
        image,
        cmap="gray",
        vmin=0,
        vmax=255,
        # Small images keep their pixels; of large ones, no pixel is left out.
        interpolation="nearest" if len(image) <= SMALL else "hanning",
        extent=(x, x + width, y + height, y),
        aspect="auto",
    )


def _picture(
    axes: Axes, x: float, y: float, image: NDArray[np.uint8], predicted: str, verdict: str
) -> None:
    """Draw an image at the left of a case, with what it was taken for and whether that is right."""
    height, width = (CASE_IMAGE * edge / max(image.shape[:2]) for edge in image.shape[:2])
    centre = x + 0.15 + CASE_IMAGE / 2
    _show(axes, image, centre - width / 2, y + 0.3 + (CASE_IMAGE - height) / 2, height)
    axes.text(centre, y + 0.15, predicted, ha="center", va="center", weight="bold")
    colour = BLUE if verdict == "right" else ORANGE
    axes.text(centre, y + 1.83, verdict, ha="center", va="center", color=colour)


def _chart(
    axes: Axes, x: float, y: float, probabilities: Probabilities, actual: int, names: Sequence[str]
) -> None:
    """Draw the probabilities at the right of a case: of all classes, or the likeliest first."""
    predicted, shown = probabilities.argmax(), np.arange(len(names))
    if len(names) > BARS:
        shown = np.argsort(-probabilities, kind="stable")[:BARS]
        shown[-1] = shown[-1] if actual in shown else actual
    left, full = x + 2.4, 1.0  # where the bars begin, and the length of 100%
    heights = y + 0.15 + 0.175 * np.arange(len(shown))
    bars = axes.barh(heights, probabilities[shown] * full, 0.13, left=left, color=GREY)
    axes.vlines(left, heights[0] - 0.08, heights[-1] + 0.08, color="black", linewidth=0.8)
    for index, height, bar in zip(shown.tolist(), heights, bars, strict=True):
        if index == predicted == actual:
            bar.set_facecolor(BLUE)
        elif index == predicted:
            bar.set(facecolor=ORANGE, hatch="///", edgecolor="white")
        axes.text(left - 0.06, height, names[index], ha="right", va="center", size=8)
        arrow = " ◂ actual" if index == actual != predicted else ""
        value = percent(float(probabilities[index])) if probabilities[index] >= 0.01 else ""
        end = left + full * float(probabilities[index]) + 0.06
        axes.text(end, height, f"{value}{arrow}", va="center", size=8)
