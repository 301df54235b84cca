"""pages/search.html: what a search has found so far, on one page that needs no network.

The charts are not Optuna's own: those leave out what was pruned or failed, know of no processor
time, and have colours that cannot follow the page into the dark.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.artifacts import write_bytes
from pipeline.experiments.runs import Run
from pipeline.experiments.search.space import Choice
from pipeline.experiments.search.study import Scores, Study
from pipeline.report import figures, page
from pipeline.report.figures import BLUE, GREY, ORANGE

PAGE = Path("pages/search.html")
TEMPLATE = Path(__file__).parent / "search.html"
LISTED = 10  # of the best
COLUMNS = 3  # of the charts of parameters
FEWEST = 4  # complete trials, for importances to mean anything
MARKS: dict[TrialState, dict[str, Any]] = {  # how trials are drawn
    TrialState.COMPLETE: {"marker": "o", "color": GREY, "label": "complete"},
    TrialState.PRUNED: {"marker": "v", "color": ORANGE, "label": "pruned"},
    TrialState.FAIL: {"marker": "x", "color": "black", "label": "failed"},
}


def write(study: Study, confirmed: dict[int, Scores]) -> None:
    """Write the page.

    Args:
        study: with at least one trial that is over.
        confirmed: the metrics of the best trial by the other seeds it was run under, so far.
    """
    trials, ranking = study.record.get_trials(states=list(MARKS)), study.ranking()
    with figures.style():
        charts = {"": figures.svg(_history(study, trials), "history")}
        for preset in study.search.space:
            own = [trial for trial in trials if study.search.chosen(trial.params)[0] == preset]
            charts[preset] = figures.svg(_slices(study, own, preset), preset)
    html = page.template(TEMPLATE).render(
        study=study,
        search=study.search,
        names=study.names(),
        trials=trials,
        ranking=ranking[:LISTED],
        states={state: mark["label"] for state, mark in MARKS.items()},
        seconds=processor_seconds,
        source=Run("", ranking[0].user_attrs["commit"]).metrics().source if ranking else None,
        importances=get_param_importances(study.record) if len(ranking) >= FEWEST else {},
        confirmed=confirmed,
        mean=fmean(s[study.search.metric] for s in confirmed.values()) if confirmed else None,
        charts={name: Markup(chart) for name, chart in charts.items()},  # noqa: S704 (drawn by us)
    )
    write_bytes(PAGE, html.encode())


def processor_seconds(trial: FrozenTrial) -> float:
    """Return what the trainings of a trial took, as far as it is known."""
    attributes = trial.user_attrs.items()
    return sum(float(value) for name, value in attributes if name.startswith("processor_seconds"))


def _history(study: Study, trials: Sequence[FrozenTrial]) -> Figure:
    """Draw each trial and the best so far, by trial and by processor time."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    scales: dict[str, list[float]] = {
        "trial": [trial.number for trial in trials],
        "processor time of training (minutes)": [
            *accumulate(processor_seconds(trial) / 60 for trial in trials)
        ],
    }
    better = max if study.search.direction == "maximize" else min
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (label, places) in zip(panels, scales.items(), strict=True):
        ended = zip(places, trials, strict=True)
        complete = [(place, t.value) for place, t in ended if t.state == TrialState.COMPLETE]
        if complete:
            reached, values = zip(*complete, strict=True)
            best = [*accumulate(values, better)]
            line = ([*reached, places[-1]], [*best, best[-1]])
            axes.step(*line, where="post", color=BLUE, label="best so far")
        _draw(axes, places, trials)
        axes.set_xlabel(label)
        axes.locator_params("x", nbins=6, integer=label == "trial")
    panels[0].set_ylabel(study.search.metric)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _slices(study: Study, trials: Sequence[FrozenTrial], preset: str) -> Figure:
    """Draw the metric of each trial against each parameter."""
    space = study.search.space[preset]
    columns = min(len(space), COLUMNS)
    lines = -(-len(space) // columns)
    figure = Figure(figsize=(9, 2.6 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    for axes, (name, found) in zip(panels, space.items(), strict=False):
        values = [trial.params[study.search.key(preset, name)] for trial in trials]
        if isinstance(found, Choice):
            texts = found.texts()
            axes.set_xticks(range(len(texts)), texts)
            values = [texts.index(value) for value in values]
        elif found.scale == "log":
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
        _draw(axes, values, trials)
        axes.set_xlabel(name)
    for axes in panels[len(space) :]:
        axes.set_visible(False)
    if len(study.search.space) > 1:
        figure.suptitle(preset)
    return figure


def _draw(axes: Axes, places: Sequence[float], trials: Sequence[FrozenTrial]) -> None:
    """Draw trials at these places, those that failed at the bottom."""
    for state, mark in MARKS.items():
        mine = [(x, t.value) for x, t in zip(places, trials, strict=True) if t.state == state]
        if mine:
            transform = axes.get_xaxis_transform() if state == TrialState.FAIL else axes.transData
            heights = [0.03 if value is None else value for _, value in mine]
            axes.plot([x for x, _ in mine], heights, ls="", ms=5, transform=transform, **mark)
    axes.grid(alpha=0.3)
