"""Trials: what is to run as an experiment, and what came of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """Parameters to run the pipeline with.

    Attributes:
        name: of the experiment.
        settings: `KEY=VALUE` as for `dvc exp run --set-param`: all that differs from the
            revision's own parameters, a preset's settings included.
    """

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        trial: the trial.
        commit: the experiment's; None if the trial failed.
        error: why it failed: the last lines that it printed; empty if it did not.
        new: False where the repository had the experiment already.
        log: what DVC and the stages printed; empty where it was not run here and now.
    """

    trial: Trial
    commit: str | None = None
    error: str = ""
    new: bool = True
    log: str = ""


def find(trial: Trial, revision: str) -> str | None:
    """Return the commit of an experiment with the same parameters, data and code.

    Args:
        trial: what to look for; its name does not matter.
        revision: the commit that it would run on.
    """
    raise NotImplementedError
