"""RESULTS.md: the recorded results as a page, with a picture and a sentence for each section."""

from functools import partial
from pathlib import Path
from statistics import mean, median, stdev

from matplotlib.figure import Figure

from pipeline.core.artifacts import write_bytes
from pipeline.experiments.results import charts
from pipeline.experiments.results.groups import Group, frontier
from pipeline.experiments.results.recording import results_of
from pipeline.experiments.results.rows import ResultsSection
from pipeline.experiments.results.table import PAGE, TABLE, Table, train_code
from pipeline.experiments.revisions import read
from pipeline.report import figures

COLUMNS = (
    "experiment",
    "validation accuracy",
    "test accuracy",
    "seeds",
    "epochs",
    "epoch of lowest validation loss",
    "weights",
    "10¹² operations",
    "seconds",
    "K",
    "CPU seconds",
)
FRONTIER = "Accuracy against time"


def write(sections: list[ResultsSection], table: Table) -> None:
    """Write the page and its pictures."""
    rows = [row for section in sections for row in section.rows]
    results = {row.name: results_of(row, table) for row in rows}
    machines = [m.machine for members in results.values() for m in members if m.seconds]
    usual = max(machines, key=machines.count, default="")
    groups = {row.name: Group(row, results[row.name], usual) for row in rows}
    everything = list(groups.values())
    with figures.style():
        pictures = {section.title: _chart(section, groups) for section in sections}
        pictures[FRONTIER] = charts.frontier(everything, frontier(everything))
        paths = charts.write(pictures)
    parts = [_introduction(sections[0], everything), _frontier(everything, paths[FRONTIER])]
    parts += [_section(section, groups, paths.get(section.title)) for section in sections]
    write_bytes(PAGE, "\n".join(parts).encode())


def _introduction(first: ResultsSection, groups: list[Group]) -> str:
    machines = {result.machine for group in groups for result in group.members}
    code = train_code(partial(read, commit=None))
    older = [group.name for group in groups if {m.code for m in group.members} != {code}]
    note = (
        f"\nRecorded with earlier code of the stage `train`: {', '.join(older)}.\n" if older else ""
    )
    other = next((row.name for row in first.rows if row.name != first.reference), first.reference)
    return f"""# Results

Written by `python -m pipeline results` from recorded experiments, listed one by one in
[{TABLE}]({TABLE}). Choose by validation accuracy: no model is trained on the validation images.
Test accuracy then says how good the chosen row is on images that had no part in the choice. A row
that is chosen by its test accuracy looks better than it is.

Values are means over the seeds from 0 on, with the standard deviation over the seeds after the sign
±. A row is better or worse than another where Welch's 95 % interval of the difference of their mean
validation accuracies excludes 0, and otherwise within noise of it: the rule of `compare --seeds`.

Seconds are those of the training in stage `train`, compilation included, as medians over the seeds:
by the clock, and of processor time over all cores. The column K has the seconds by the clock in
units of K, the time that plain Keras takes for the default recipe, measured on the same machine
just before and after the experiments. It is empty where they ran beside others, so that their
seconds by the clock are too many. K is measured in float32, and does not even out how fast a
processor is in bfloat16, in which some presets train: processors with avx512_bf16 have instructions
for it. Operations are the multiplications and additions of the training, counted from the shapes of
the layers. An empty cell was not recorded. Machine:
{"; ".join(sorted(machines))}.
{note}
Experiments are not part of a clone. The commands under a table run those of its rows;
`dvc exp pull REMOTE NAME` fetches one that somebody has pushed. Then

```console
python -m pipeline compare --seeds {first.reference}-0 {other}-0
```

compares two rows.
"""


def _frontier(groups: list[Group], picture: Path) -> str:
    untimed = [group.name for group in groups if group.cost is None]
    single = [group.name for group in groups if len(group.members) < 2]
    notes = _notes(
        "Not among them, for",
        {"lack of comparable timings": untimed, "a single seed": single},
    )
    best = frontier(groups)
    listed = _table(best) if best else "There are none.\n"
    return f"""## {FRONTIER}

The rows that are better than every row that takes less processor time. A row that is missing here
is worse than a cheaper one, or within noise of it.

![Validation accuracy against CPU seconds, on a logarithmic axis]({picture})

{listed}{notes}"""


def _section(section: ResultsSection, groups: dict[str, Group], picture: Path | None) -> str:
    rows = [groups[row.name] for row in section.rows]
    lesson = _lesson(rows, groups[section.reference])
    chart = ""
    if picture:
        shown = ", ".join(group.name for group in _shown(section, groups))
        chart = f"![{section.title}, as {section.chart}: {shown}]({picture})\n\n"
    elif section.chart:
        chart = "No picture: the epochs of these experiments were not recorded.\n\n"
    commands = "\n".join(row.command() for row in section.rows)
    return f"""## {section.title}

{section.about}

{chart}{_table(rows)}
```console
{commands}
```
{lesson}"""


def _lesson(groups: list[Group], reference: Group) -> str:
    """Say in a sentence how the rows differ from the section's reference, and what that costs."""
    parts = [
        f"{group.name} {_difference(group, reference)}, {_cost(group, reference)}"
        for group in groups
        if group != reference
    ]
    return f"\nIn validation accuracy, {'; '.join(parts)}.\n" if parts else ""


def _difference(group: Group, reference: Group) -> str:
    found = group.against(reference)
    if found is None:
        difference = group.accuracy - reference.accuracy
        return (
            f"differs from {reference.name} by {difference:+z.4f}, on which there is no verdict "
            "without two seeds of each"
        )
    relation = f"{found.verdict} {'of' if found.verdict == 'within noise' else 'than'}"
    basis = f"95 % interval {found.low:+z.4f} to {found.high:+z.4f}"
    if found.low == found.high:
        basis = found.reason
    return f"is {relation} {reference.name} ({found.difference:+z.4f}, {basis})"


def _cost(group: Group, reference: Group) -> str:
    if group.cost is None or not reference.cost:
        return "at a cost that cannot be compared"
    ratio = group.cost / reference.cost
    return f"at {ratio:.{0 if ratio >= 10 else 1 if ratio >= 1 else 2}f} times the CPU seconds"


def _shown(section: ResultsSection, groups: dict[str, Group]) -> list[Group]:
    """Return what the picture of a section shows: first the reference."""
    names = [section.reference, *section.beside, *(row.name for row in section.rows)]
    return [groups[name] for name in dict.fromkeys(names)]


def _chart(section: ResultsSection, groups: dict[str, Group]) -> Figure | None:
    shown = _shown(section, groups)
    match section.chart:
        case "points":
            return charts.points(shown)
        case "curves":
            return charts.curves(shown)
        case "heat map":
            return charts.heat_map(section.title, shown)
        case None:
            return None


def _timing_note(groups: list[Group]) -> str:
    """Say which rows of a table were timed where seconds cannot be compared."""
    others = [f"{group.name} ({other})" for group in groups for other in group.elsewhere]
    busy = [
        f"{group.name} (load {median(group.values('load')):.1f})" for group in groups if group.busy
    ]
    return _notes(
        "Not comparable in seconds, since",
        {"timed on another machine": others, "the machine was busy": busy},
    )


def _notes(what: str, rows: dict[str, list[str]]) -> str:
    """Name the rows of which something is to be said, for each reason that there are any for."""
    return "".join(
        f"\n{what} {reason}: {', '.join(names)}.\n" for reason, names in rows.items() if names
    )


def _table(groups: list[Group]) -> str:
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *map(_cells, groups)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{table}\n{_timing_note(groups)}"


def _cells(group: Group) -> list[str]:
    """Return what `COLUMNS` name."""
    return [
        group.name,
        _spread(group.accuracies),
        _spread(group.values("test_accuracy")),
        str(len(group.members)),
        _range(group.values("epochs")),
        _range(group.values("best_epoch")),
        f"{group.members[0].parameters:,}",
        _median([operations / 1e12 for operations in group.values("operations")], digits=1),
        _median(group.values("seconds")),
        _median([m.seconds / m.unit for m in group.members if m.seconds and m.unit], digits=1),
        _median(group.values("processor_seconds")),
    ]


def _spread(values: list[float]) -> str:
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def _median(values: list[float], digits: int = 0) -> str:
    return f"{median(values):.{digits}f}" if values else ""


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
