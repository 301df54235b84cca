"""RESULTS.md: the recorded results as a page."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev

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

    @property
    def validation_accuracy(self) -> float:
        """Mean over the seeds."""
        return mean(result.validation_accuracy for result in self.members)

    @property
    def seconds(self) -> float | None:
        """Median over the seeds that were timed; None where none was."""
        return _median(result.seconds for result in self.members)

    @property
    def processor_seconds(self) -> float | None:
        """The same over all cores."""
        return _median(result.processor_seconds for result in self.members)

    def cells(self) -> list[str]:
        """Return what `COLUMNS` name."""
        return [
            self.name,
            _spread([result.validation_accuracy for result in self.members]),
            _spread([result.test_accuracy for result in self.members]),
            str(len(self.members)),
            _range([result.epochs for result in self.members]),
            _range([result.best_epoch for result in self.members]),
            f"{self.members[0].parameters:,}",
            *("" if t is None else f"{t:.0f}" for t in (self.seconds, self.processor_seconds)),
        ]


def write(sections: list[Section], table: Table) -> None:
    """Write the page."""
    groups: list[Group] = []
    parts = []
    for section in sections:
        found = [Group(row.name, of(row, table)) for row in section.rows]
        groups += found
        commands = "\n".join(row.command() for row in section.rows)
        parts.append(
            f"## {section.title}\n\n{section.about}\n\n{_table(found)}\n{_timing_note(found)}"
        )
        parts.append(f"```console\n{commands}\n```\n")
    frontier = _frontier(groups)
    parts.append(f"{FRONTIER}\n{_table(frontier)}\n{_timing_note(frontier)}")
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
    timed = [group for group in groups if group.processor_seconds is not None]
    for group in sorted(timed, key=lambda group: group.processor_seconds or 0.0):
        if not frontier or group.validation_accuracy > frontier[-1].validation_accuracy:
            frontier.append(group)
    return frontier


def _table(groups: Iterable[Group]) -> str:
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *(group.cells() for group in groups)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _spread(values: list[float]) -> str:
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
