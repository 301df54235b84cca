"""RESULTS.md: the recorded results as a page."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from pipeline.core.artifacts import write_bytes
from pipeline.experiments.results import TABLE, Result, Section, Table, of, train_code
from pipeline.experiments.revisions import read

PAGE = Path("RESULTS.md")
COLUMNS = (
    "experiment",
    "validation accuracy",
    "test accuracy",
    "seeds",
    "epochs",
    "epoch of lowest validation loss",
    "weights",
    "seconds",
    "CPU seconds",
)
BUSY = 2.5  # a load average above which two cores were shared with more than another experiment
FRONTIER = """## Accuracy against time

The experiments above that no other beats in validation accuracy with less processor time.
"""


@dataclass(frozen=True)
class Group:
    """What the experiments of a row gave."""

    name: str
    members: list[Result]

    def values(self, field: str) -> list[Any]:
        """Return what a field of the results is for each seed, where it is known."""
        values = (getattr(result, field) for result in self.members)
        return [value for value in values if value is not None]

    def cells(self) -> list[str]:
        """Return what `COLUMNS` name."""
        return [
            self.name,
            _spread(self.values("validation_accuracy")),
            _spread(self.values("test_accuracy")),
            str(len(self.members)),
            _range(self.values("epochs")),
            _range(self.values("best_epoch")),
            f"{self.members[0].parameters:,}",
            _median(self.values("seconds")),
            _median(self.values("processor_seconds")),
        ]


def write(sections: list[Section], table: Table) -> None:
    """Write the page."""
    groups: list[Group] = []
    parts = []
    for section in sections:
        found = [Group(row.name, of(row, table)) for row in section.rows]
        commands = "\n".join(row.command() for row in section.rows)
        parts.append(f"## {section.title}\n\n{section.about}\n\n{_table(found)}")
        parts.append(f"```console\n{commands}\n```\n")
        groups += found
    parts.append(f"{FRONTIER}\n{_table(_frontier(groups))}")
    write_bytes(PAGE, "\n".join([_introduction(groups), *parts]).encode())


def _introduction(groups: list[Group]) -> str:
    machines = {result.machine for group in groups for result in group.members}
    code = train_code(partial(read, commit=None))
    older = [group.name for group in groups if {m.code for m in group.members} != {code}]
    note = (
        f"\nRecorded with earlier code of the stage `train`: {', '.join(older)}.\n" if older else ""
    )
    return f"""# Results

Written by `python -m pipeline results` from recorded experiments, listed one by one in
[{TABLE}]({TABLE}). All choices were made by validation accuracy; test accuracy, on the 10,000 test
images of Fashion-MNIST, is only reported. Values are means over the seeds from 0 on, with the
standard deviation over the seeds after the sign ±.

Seconds are those of training alone, compilation included, as medians over the seeds: on the clock,
with other work going on beside it, and of processor time, over all cores. Machine:
{"; ".join(sorted(machines))}.
{note}
The commands under a table queue its experiments; `dvc queue start` runs them. Once they have run,
`python -m pipeline compare --seeds neurons-128-0 neurons-512-0` tells two rows apart.
"""


def _timing_note(groups: list[Group]) -> str:
    """Say which rows of a table were timed where seconds cannot be compared."""
    timed = [m for group in groups for m in group.members if m.seconds is not None]
    machines = [member.machine for member in timed]
    usual = max(machines, key=machines.count, default="")
    others = {m.experiment: m.machine for m in timed if m.machine != usual}
    busy = {m.experiment: f"load {m.load}" for m in timed if (m.load or 0) > BUSY}
    notes = [
        f"\nNot comparable in seconds, since {reason}: "
        f"{', '.join(f'{name} ({where})' for name, where in found.items())}.\n"
        for reason, found in (("timed on another machine", others), ("the machine was busy", busy))
        if found
    ]
    return "".join(notes)


def _frontier(groups: list[Group]) -> list[Group]:
    """Return those that no other beats in validation accuracy with less time, the fastest first."""
    frontier: list[Group] = []
    best = 0.0
    timed = [group for group in groups if group.values("processor_seconds")]
    for group in sorted(timed, key=lambda group: median(group.values("processor_seconds"))):
        accuracy = mean(group.values("validation_accuracy"))
        if accuracy > best:
            best = accuracy
            frontier.append(group)
    return frontier


def _table(groups: list[Group]) -> str:
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *(group.cells() for group in groups)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{table}\n{_timing_note(groups)}"


def _spread(values: list[float]) -> str:
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def _median(values: list[float]) -> str:
    return f"{median(values):.0f}" if values else ""


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
