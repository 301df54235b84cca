"""pages/search.html: what a search has found so far, on one page that needs no network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.artifacts import write_bytes
from pipeline.experiments.runs import Run
from pipeline.experiments.search import Scores, Study
from pipeline.experiments.search_space import Choice
from pipeline.report import figures, page
from pipeline.report.figures import BLUE, GREY, ORANGE

PAGE = Path("pages/search.html")
TEMPLATE = Path(__file__).parent / "templates/search.html"
COLUMNS = 3  # of the charts of parameters
LISTED = 10  # of the best
FEWEST = 4  # complete trials, for importances to mean anything
MARKS: dict[TrialState, dict[str, Any]] = {  # how trials are drawn, by state
    TrialState.COMPLETE: {"marker": "o", "color": GREY, "label": "complete"},
    TrialState.PRUNED: {"marker": "v", "color": ORANGE, "label": "pruned, after fewer epochs"},
    TrialState.FAIL: {"marker": "x", "color": "black", "label": "failed"},
}


class Row(NamedTuple):
    """A trial as the page lists it."""

    experiment: str
    preset: str
    state: str
    value: float | None  # after its last epochs; None where it failed before
    epochs: int | None
    seconds: float  # of processor time, as far as it is known
    differences: str
    error: str


def write(study: Study, confirmed: dict[int, Scores]) -> None:
    """Write the page.

    Args:
        study: with at least one trial that is over.
        confirmed: the metrics of the best trial by the other seeds it was run under, so far.
    """
    trials = study.record.get_trials(states=list(MARKS))
    ranking = study.ranking()
    with figures.style():
        charts = {"history": figures.svg(_history(study, trials), "history")}
        for preset in study.search.space:
            own = [trial for trial in trials if study.search.chosen(trial.params)[0] == preset]
            charts[preset] = figures.svg(_slices(study, own, preset), preset) if own else ""
    names = study.names()
    best = ranking[0].user_attrs["commit"] if ranking else None
    source = Run(names[ranking[0].number], best).metrics().source if best else None
    html = page.template(TEMPLATE).render(
        study=study.name,
        search=study.search,
        rows=[_row(study, names[trial.number], trial) for trial in trials],
        best=[_row(study, names[trial.number], trial) for trial in ranking[:LISTED]],
        synthetic=source == "synthetic",
        importances=get_param_importances(study.record) if len(ranking) >= FEWEST else {},
        confirmed=confirmed,
        charts={name: Markup(chart) for name, chart in charts.items()},  # noqa: S704 (drawn by us)
    )
    write_bytes(PAGE, html.encode())


def processor_seconds(trial: FrozenTrial) -> float:
    """Return what the trainings of a trial took, as far as it is known."""
    attributes = trial.user_attrs.items()
    return sum(float(value) for name, value in attributes if name.startswith("processor_seconds"))


def _row(study: Study, name: str, trial: FrozenTrial) -> Row:
    epochs = max(trial.intermediate_values, default=None)
    return Row(
        name,
        study.search.chosen(trial.params)[0],
        {TrialState.FAIL: "failed"}.get(trial.state, trial.state.name.lower()),
        None if epochs is None else trial.intermediate_values[epochs],
        epochs,
        processor_seconds(trial),
        study.differences(trial),
        trial.user_attrs.get("error", ""),
    )


def _history(study: Study, trials: Sequence[FrozenTrial]) -> Figure:
    """Draw each trial and the best so far, by trial and by processor time.

    Optuna's own figures leave out what was pruned or failed, and know of no processor time.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    spent, minutes = 0.0, []
    for trial in trials:
        spent += processor_seconds(trial) / 60
        minutes.append(spent)
    panels = figure.subplots(1, 2, sharey=True)
    scales = ((range(len(trials)), "trial"), (minutes, "processor time of training (minutes)"))
    better = max if study.search.direction == "maximize" else min
    for axes, (places, label) in zip(panels, scales, strict=True):
        best: list[tuple[float, float]] = []
        for place, trial in zip(places, trials, strict=True):
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                best.append((place, better(trial.value, *(value for _, value in best[-1:]))))
        if best:
            best.append((places[-1], best[-1][1]))
            axes.step(*zip(*best, strict=True), where="post", color=BLUE, label="best so far")
        _scatter(axes, list(places), trials)
        axes.set_xlabel(label)
    panels[0].set_ylabel(study.search.metric)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _slices(study: Study, trials: Sequence[FrozenTrial], preset: str) -> Figure:
    """Draw the metric of each trial against each parameter."""
    space = study.search.space[preset]
    lines = -(-len(space) // COLUMNS)
    figure = Figure(figsize=(9, 2.6 * lines), layout="constrained")
    panels = figure.subplots(lines, COLUMNS, sharey=True, squeeze=False).flatten()
    for axes, (name, found) in zip(panels, space.items(), strict=False):
        values = [trial.params[study.search.key(preset, name)] for trial in trials]
        if isinstance(found, Choice):
            texts = found.texts()
            axes.set_xticks(range(len(texts)), texts)
            values = [texts.index(value) for value in values]
        else:
            axes.set_xscale(found.scale)
        _scatter(axes, values, trials)
        axes.set_xlabel(name)
    for axes in panels[len(space) :]:
        axes.set_visible(False)
    return figure


def _scatter(axes: Axes, places: Sequence[float], trials: Sequence[FrozenTrial]) -> None:
    """Draw trials at these places, those that failed without a value below the others."""
    for state, mark in MARKS.items():
        mine = [(x, t.value) for x, t in zip(places, trials, strict=True) if t.state == state]
        bottom = axes.get_xaxis_transform() if state == TrialState.FAIL else axes.transData
        heights = [0.03 if value is None else value for _, value in mine]
        if mine:
            axes.scatter([x for x, _ in mine], heights, s=18, transform=bottom, zorder=3, **mark)
    axes.grid(alpha=0.3)
