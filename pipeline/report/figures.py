"""The figures: drawn with Matplotlib's object interface, without the global state of pyplot."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.params_file import Section
from pipeline.data.dataset import Description
from pipeline.evaluation.metrics import accuracy_interval

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
# Of runs side by side; the blue and the orange of dark pages are none of the others.
RUN_COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", GREY, "#b07d4f", "#9467bd", "#b5a800")
SMALL = 28  # the edge of images whose pixels stay sharp squares
# Markers on the curves are for so many epochs at most; of more they would hide the line.
MARKED_EPOCHS = 50
# Of more classes, the confusion matrix is a picture without numbers, and only some are named.
LEGIBLE_CLASSES = 20
DOTS = 250  # along an edge of that picture, at most
BELOW: dict[str, Any] = {"loc": "outside lower center", "ncols": 3, "columnspacing": 1}  # a legend
NAME_LENGTH = 12  # characters


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
    with mpl.rc_context(), warnings.catch_warnings():
        # A figure may lack the letters of a class's name; the report has them all.
        warnings.filterwarnings("ignore", "Glyph ")
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
                "text.parse_math": False,  # a dollar in the name of a class is a dollar
            }
        )
        yield


def negated(description: Description) -> bool:
    """Tell whether images are light on black: they are shown dark on white."""
    return description.channels == 1 and description.preparation == "garment"


def pixels(image: NDArray[np.float32], description: Description) -> NDArray[np.uint8]:
    """Return an image as it is shown, 0 (black) to 255."""
    values = (image * 255).round().astype(np.uint8)
    return 255 - values if negated(description) else values


def named(classes: Sequence[str]) -> list[int]:
    """Return which classes to name: all, or as many as are legible, evenly spread."""
    count = min(len(classes), LEGIBLE_CLASSES)
    return [round(index) for index in np.linspace(0, len(classes) - 1, count)]


def short(name: str) -> str:
    """Return the name of a class, cut off where there is no room for it."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def lowest_validation_loss(rows: Sequence[dict[str, str]]) -> int | None:
    """Return the epoch of it, from the rows of `plots/history.csv`; None without validation."""
    losses = [float(row["val_loss"]) for row in rows if row["val_loss"]]
    return 1 + losses.index(min(losses)) if losses else None


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


def history(rows: Sequence[dict[str, str]], suffix: str) -> Figure:
    """Draw accuracy and loss by epoch, from the rows of `plots/history.csv`."""
    figure, charts = _by_epoch([rows], f"Training{suffix}", [(BLUE, ORANGE)])
    if best := lowest_validation_loss(rows):
        for axes in charts:
            axes.axvline(best, color=GREY, linestyle=":", zorder=1, label="lowest validation loss")
    figure.legend(*charts[0].get_legend_handles_labels(), **BELOW)
    return _laid_out(figure)


def histories(runs: Sequence[Sequence[dict[str, str]]], suffix: str) -> Figure:
    """Draw accuracy and loss by epoch of up to eight runs, each in a colour of `RUN_COLOURS`."""
    colours = [(colour, colour) for colour in RUN_COLOURS]
    figure, _ = _by_epoch(runs, f"Training{suffix}", colours)
    styles = {"training": "-", "validation": "--"}
    handles = [Line2D([], [], color="black", ls=line, label=name) for name, line in styles.items()]
    figure.legend(handles=handles, **BELOW)
    return _laid_out(figure)


def intervals(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    bounds: Sequence[tuple[float, float]],
    label: str,
) -> Figure:
    """Draw the mean of the values of up to eight runs, with its bounds, the first run at the top.

    Where there are several values, these are drawn as well.
    """
    figure = Figure(figsize=(4.8, 1.1 + 0.42 * len(names)), dpi=150)
    axes = figure.subplots()
    for row, (points, (low, high), colour) in enumerate(
        zip(values, bounds, RUN_COLOURS, strict=False)
    ):
        mean = float(np.mean(points))
        # Rounding may put the mean a little beyond a bound: an accuracy of 1, for one.
        reach = [[max(0, mean - low)], [max(0, high - mean)]]
        axes.errorbar(mean, row, xerr=reach, fmt="o", color=colour, capsize=4, markersize=7)
        if len(points) > 1:
            axes.plot(points, [row] * len(points), "|", color="black", markersize=10, alpha=0.7)
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x", alpha=0.3)
    return _laid_out(figure)


def calibration(table: Sequence[dict[str, str]], suffix: str) -> Figure:
    """Draw accuracy against confidence, from the rows of `plots/calibration.csv`.

    Source of its form: Guo et al., On Calibration of Modern Neural Networks, 2017, figure 4.
    """
    low, high, images, confidence, accuracy = (
        np.array([float(row[name]) for row in table])
        for name in ("low", "high", "images", "confidence", "accuracy")
    )
    figure, (above, below) = _two_charts(f"Calibration{suffix}", height_ratios=[2, 1])
    above.bar(
        low, accuracy, high - low, align="edge", color=BLUE, edgecolor="white", label="accuracy"
    )
    bounds = [accuracy_interval(*bin_) for bin_ in zip(accuracy, images, strict=True)]
    reach = np.abs(np.transpose(bounds) - accuracy)
    above.errorbar(
        confidence, accuracy, reach, fmt=".", color="black", label="95% interval", capsize=2
    )
    above.plot([0, 1], [0, 1], "--", color=ORANGE, label="perfectly calibrated")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy (share of images)")
    figure.legend(**BELOW)
    below.bar(low, images, high - low, align="edge", color=GREY, edgecolor="white")
    below.set(xlabel="confidence: probability of the likeliest class", ylabel="test images")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return _laid_out(figure)


def confusion(matrix: NDArray[np.intp], description: Description) -> Figure:
    """Draw how many images of each class (row) were taken for each class (column).

    Where there are too many classes for numbers, it is drawn by shades alone.
    """
    legible = len(matrix) <= LEGIBLE_CLASSES
    figure = Figure(figsize=(8, 7.2))
    # Placed by hand, which takes no time, with room for the names of the classes; a square.
    axes = figure.add_axes((0.145, 0.15, 0.72, 0.8))
    rates = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    if legible:
        image = axes.imshow(rates, cmap="Blues", vmin=0, vmax=1)
        bar = figure.colorbar(image, figure.add_axes((0.895, 0.2, 0.03, 0.7)))
        bar.set_label("share of the actual class")
        bar.outline.set_visible(False)
        for (actual, predicted), count in np.ndenumerate(matrix):
            colour = "white" if rates[actual, predicted] > 0.5 else "black"
            axes.text(predicted, actual, str(count), ha="center", va="center", color=colour)
    else:
        edges = (-0.5, len(rates) - 0.5, len(rates) - 0.5, -0.5)
        axes.imshow(_shades(rates), interpolation="none", extent=edges)
        axes.tick_params(labelsize=8)
    title = "Number of test images by class" if legible else "Test images: right blue, wrong orange"
    shown = named(description.classes)
    names = [short(description.classes[index]) for index in shown]
    axes.set_xticks(shown, names, rotation=45, ha="right")
    axes.set_yticks(shown, names)
    axes.set(title=f"{title}{description.suffix}", xlabel="predicted class", ylabel="actual class")
    return figure


def _shades(rates: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return a picture `[dots, dots, 4]` of a confusion matrix: its rates are its opacity.

    A dot is as strong as the strongest of the classes that it stands for. Mistakes are on a scale
    of their own, so that the rarest can be seen.
    """
    starts = np.arange(0, len(rates), -(-len(rates) // DOTS))
    misses = rates * (1 - np.eye(len(rates)))
    misses = np.maximum.reduceat(np.maximum.reduceat(misses, starts, axis=0), starts, axis=1)
    opacity = np.where(misses > 0, 0.3 + 0.7 * misses / max(misses.max(), 1e-9), 0)
    shades = np.dstack([np.full((*misses.shape, 3), to_rgb(ORANGE)), opacity])
    diagonal = np.arange(len(starts))
    shades[diagonal, diagonal, :3] = to_rgb(BLUE)
    shades[diagonal, diagonal, 3] = np.maximum.reduceat(rates.diagonal(), starts)
    return (255 * shades).round().astype(np.uint8)


def _two_charts(title: str, **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its two charts, one above the other: narrow enough for a phone."""
    figure = Figure(figsize=(4.8, 5.2), dpi=150)
    figure.suptitle(title)
    return figure, figure.subplots(2, 1, sharex=True, **options)


def _by_epoch(
    runs: Sequence[Sequence[dict[str, str]]], title: str, colours: Sequence[tuple[str, str]]
) -> tuple[Figure, Any]:
    """Draw accuracy and loss of each run in two colours: training, and validation, dashed."""
    figure, charts = _two_charts(title)
    longest = max(len(rows) for rows in runs)
    dot, square = ("o", "s") if longest <= MARKED_EPOCHS else ("", "")
    for axes, name, unit in zip(
        charts, ("accuracy", "loss"), ("share of images", "nats"), strict=True
    ):
        for rows, (training, validation) in zip(runs, colours, strict=False):
            epochs = [int(row["epoch"]) for row in rows]
            values = [float(row[name]) for row in rows]
            axes.plot(epochs, values, f"{dot}-", color=training, label="training")
            if lowest_validation_loss(rows):
                values = [float(row[f"val_{name}"]) for row in rows]
                axes.plot(epochs, values, f"{square}--", color=validation, label="validation")
        axes.set_ylabel(f"{name} ({unit})")
        axes.grid(alpha=0.3)
    charts[-1].set(xlabel="epoch", xlim=(0.5, longest + 0.5))
    charts[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return figure, charts


def _laid_out(figure: Figure) -> Figure:
    """Give all parts their places now, once, and not whenever the figure is saved."""
    figure.align_ylabels()
    ConstrainedLayoutEngine().execute(figure)
    return figure
