"""The pictures of RESULTS.md: SVG files that fit a page in light and in dark."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import flat
from pipeline.experiments.results.groups import Group
from pipeline.experiments.results.rows import ROWS
from pipeline.experiments.statistics import mean_interval
from pipeline.report import figures
from pipeline.report.figures import BELOW, BLUE, GREY, ORANGE

FOLDER = Path("docs/results")
CSS = Path("pipeline/report/templates/report.css")
WIDTH = 5.0  # inches: its letters are legible on a phone
MEAN = "mean of the seeds, 95 % interval"
DARK, LIGHT = "#1b1d21", "#fafafa"  # letters on cells that look the same in light and dark


def write(charts: Mapping[str, Figure | None]) -> dict[str, Path]:
    """Write the pictures by their titles, remove those of before, and return where they are."""
    paths = {}
    for title, figure in charts.items():
        if figure is not None:
            name = re.sub(r"\W+", "-", title.lower())
            paths[title] = FOLDER / f"{name}.svg"
            write_bytes(paths[title], _coloured(figures.svg(figure, name)).encode())
    for path in set(FOLDER.glob("*.svg")) - set(paths.values()):
        path.unlink()
    return paths


def frontier(groups: Sequence[Group], best: Sequence[Group]) -> Figure:
    """Draw accuracy against cost, on a logarithmic axis; the best are named."""
    figure, axes = _chart(5.0)
    placed = [group for group in groups if group.cost is not None]
    others = [group for group in placed if group not in best]
    for shown, colour, label in (
        (others, GREY, "other rows"),
        (best, BLUE, "better than every cheaper row"),
    ):
        costs = np.array([group.cost for group in shown], np.float64)
        means = [group.accuracy for group in shown]
        reach = np.hstack([np.zeros((2, 0)), *map(_reach, shown)])
        axes.errorbar(costs, means, reach, fmt="o", color=colour, capsize=2, label=label)
    for group in best:
        place, side = (group.cost, group.accuracy), (-5, 3)  # only noise can make a row stand there
        axes.annotate(group.name, place, side, textcoords="offset points", ha="right")
    axes.set(xscale="log", xlabel="CPU seconds", ylabel=f"validation accuracy\n({MEAN})")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.margins(x=0.35)  # for the names
    figure.legend(**BELOW)
    return figure


def points(groups: Sequence[Group]) -> Figure:
    """Draw the accuracy of each seed, and the mean of each group; the first is the reference."""
    figure, axes = _chart(1.4 + 0.4 * len(groups))
    for place, group in enumerate(groups):
        colour = BLUE if place else GREY
        heights = [place] * len(group.members)
        axes.plot(group.accuracies, heights, "o", color=colour, alpha=0.4, label="a seed")
        options: dict[str, Any] = {"fmt": "D", "color": colour, "capsize": 3, "label": MEAN}
        axes.errorbar(group.accuracy, place, xerr=_reach(group), **options)
    axes.axvline(groups[0].accuracy, color=GREY, linestyle=":", zorder=1)
    axes.set_yticks(range(len(groups)), [group.name for group in groups])
    axes.set(xlabel="validation accuracy", ylim=(len(groups) - 0.4, -0.6))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    handles, labels = axes.get_legend_handles_labels()  # all seeds, then all means
    last = slice(len(groups) - 1, None, len(groups))
    figure.legend(handles[last], labels[last], **BELOW)
    return figure


def curves(groups: Sequence[Group]) -> Figure | None:
    """Draw the epochs of the group that has most; the others are taken to be its beginnings.

    They are marked where they end. Returns None where the epochs are not recorded.
    """
    longest = max(groups, key=lambda group: max(group.values("epochs")))
    histories = [result.history for result in longest.members if result.history]
    if not histories:
        return None
    figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    charts = figure.subplots(2, 1, sharex=True)
    best = longest.values("best_epoch")
    for axes, name in zip(charts, ("accuracy", "loss"), strict=True):
        for field, colour, style in ((name, BLUE, "-"), (f"val_{name}", ORANGE, "--")):
            label = "validation" if colour == ORANGE else "training"
            seeds = [[getattr(epoch, field) for epoch in history] for history in histories]
            _curve(axes, seeds, color=colour, linestyle=style, label=label)
        label = "lowest validation loss"
        axes.axvspan(min(best) - 0.2, max(best) + 0.2, color=GREY, alpha=0.3, lw=0, label=label)
        axes.grid(alpha=0.3)
    _mark_ends(charts[0], [group for group in groups if group != longest])
    charts[0].set_ylabel("accuracy")
    limits = (0.5, max(longest.values("epochs")) + 0.5)
    charts[1].set(ylabel="loss (nats)", xlabel=f"epoch of {longest.name}", xlim=limits)
    charts[1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    figure.legend(*charts[1].get_legend_handles_labels(), **BELOW)
    return figure


def heat_map(title: str, groups: Sequence[Group]) -> Figure:
    """Draw the mean accuracy by the two parameters in which the groups differ.

    Raises:
        PipelineError: they do not differ in exactly two.
    """
    params = [flat(group.row.params()) for group in groups]
    varied = [name for name in params[0] if any(p.get(name) != params[0][name] for p in params)]
    if len(varied) != 2:
        raise PipelineError(
            f"{ROWS}: section {title}: a heat map shows two parameters, and its rows differ in "
            f"{', '.join(varied) or 'none'}"
        )
    places = [tuple(json.dumps(p[name]) for name in varied) for p in params]
    ticks = [sorted(set(values), key=_order) for values in zip(*places, strict=True)]
    means = np.full((len(ticks[0]), len(ticks[1])), np.nan)
    figure, axes = _chart(1.5 + 0.6 * len(ticks[0]))
    for (row, column), group in zip(places, groups, strict=True):
        means[ticks[0].index(row), ticks[1].index(column)] = group.accuracy
    axes.pcolormesh(means, cmap="Blues", edgecolors="white", linewidth=2)
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for (row, column), mean in np.ndenumerate(means):
        if not np.isnan(mean):
            colour = LIGHT if mean > middle else DARK
            axes.text(
                column + 0.5, row + 0.5, f"{mean:.4f}", ha="center", va="center", color=colour
            )
    axes.set_yticks(np.arange(len(ticks[0])) + 0.5, ticks[0])
    axes.set_xticks(np.arange(len(ticks[1])) + 0.5, ticks[1])
    axes.set(ylabel=varied[0], xlabel=varied[1], title="mean validation accuracy")
    axes.grid(visible=False)
    return figure


def _order(value: str) -> tuple[list[float], str]:
    """Return what puts values of a parameter, as JSON, in the order of the numbers in them."""
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", value)], value


def _chart(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _reach(group: Group) -> NDArray[np.float64]:
    """Return how far the interval of the mean goes down and up, `[2, 1]`; 0 for a single seed."""
    mean = group.accuracy
    low, high = mean_interval(group.accuracies) if len(group.members) > 1 else (mean, mean)
    return np.array([[mean - low], [high - mean]])


def _curve(axes: Axes, seeds: list[list[float]], label: str, **style: Any) -> None:
    """Draw a figure by epoch: of each seed, and the mean as far as all of them go."""
    mean = [sum(values) / len(seeds) for values in zip(*seeds, strict=False)]
    for values in seeds:
        axes.plot(range(1, len(values) + 1), values, alpha=0.2, linewidth=1, **style)
    axes.plot(range(1, len(mean) + 1), mean, linewidth=2, label=label, **style)


def _mark_ends(axes: Axes, groups: Sequence[Group]) -> None:
    """Mark after which epoch each group ended, and the training accuracy that it was to reach."""
    for group in groups:
        end = median(group.values("epochs"))
        axes.axvline(end, color="black", linestyle=":", linewidth=1)
        place, on = (end, 0.02), axes.get_xaxis_transform()
        axes.text(*place, f" {group.name} ends", transform=on, rotation=90, va="bottom", ha="right")
        if target := group.row.params()["train"]["target_accuracy"]:
            axes.axhline(target, color="black", linestyle=":", linewidth=1)
            along = axes.get_yaxis_transform()
            axes.text(0.99, target, "target", transform=along, va="bottom", ha="right")


def _coloured(drawing: str) -> str:
    """Return a drawing as a file of its own, with the colours of the report in light and dark."""
    light, dark = re.findall(r":root \{.*?\}", CSS.read_text(encoding="utf-8"), re.DOTALL)[:2]
    style = (
        f"<style>\n{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n"
        "svg { background: var(--card); color: var(--ink); }\n"
        "text { fill: currentColor; }\n</style>\n"
    )
    head, bracket, rest = drawing.partition(">\n")
    return f"{head}{bracket}{style}{rest}"
