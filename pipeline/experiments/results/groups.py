"""The rows of the page as groups of seeds: how accurate, at what cost, and which stand out."""

import re
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from pipeline.experiments.results.rows import Row
from pipeline.experiments.results.table import Result
from pipeline.experiments.statistics import MeanDifference, compare_means

BUSY = 1.5  # a load average for each core, above which times say little


@dataclass(frozen=True)
class Group:
    """What the experiments of a row gave."""

    row: Row
    members: list[Result]
    machine: str  # on which most rows were timed

    @property
    def name(self) -> str:
        """Of the row."""
        return self.row.name

    @property
    def accuracies(self) -> list[float]:
        """The validation accuracy of each seed, by which rows are compared."""
        return self.values("validation_accuracy")

    @property
    def accuracy(self) -> float:
        """Their mean."""
        return mean(self.accuracies)

    @property
    def cost(self) -> float | None:
        """The seconds of processor time of a training, where they are known and comparable."""
        seconds = self.values("processor_seconds")
        return median(seconds) if seconds and not self.busy and not self.elsewhere else None

    @property
    def elsewhere(self) -> list[str]:
        """The other machines on which it was timed."""
        return sorted(
            {result.machine for result in self.members if result.seconds} - {self.machine}
        )

    @property
    def busy(self) -> bool:
        """Tell whether the machine had too much to do for times to be compared."""
        # More often than not: times are given as medians.
        return 2 * sum(map(_busy, self.members)) > len(self.members)

    def values(self, field: str) -> list[Any]:
        """Return what a field of the results is for each seed, where it is known."""
        values = (getattr(result, field) for result in self.members)
        return [value for value in values if value is not None]

    def against(self, reference: "Group") -> MeanDifference | None:
        """Compare the mean accuracy with another group's; None where either has a single seed."""
        if min(len(self.members), len(reference.members)) < 2:
            return None
        return compare_means(reference.accuracies, self.accuracies)


def _busy(result: Result) -> bool:
    cores = re.match(r"\d+", result.machine)  # `environment.summary` begins with their number
    return bool(cores and result.load and result.load > BUSY * int(cores[0]))


def frontier(groups: list[Group]) -> list[Group]:
    """Return those that are better than each that takes less processor time, the cheapest first.

    A group without comparable timings, or with one seed, is passed over: it cannot be placed.
    """
    placed = [group for group in groups if group.cost is not None and len(group.members) > 1]
    placed.sort(key=lambda group: (group.cost or 0, -group.accuracy))
    return [
        group
        for place, group in enumerate(placed)
        if all(
            compare_means(cheaper.accuracies, group.accuracies).verdict == "better"
            for cheaper in placed[:place]
        )
    ]
