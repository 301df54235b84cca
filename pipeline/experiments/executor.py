"""Running trials, several at once, on this machine or on many, by Dask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.experiments.trials import Outcome, Trial


@dataclass(frozen=True)
class Cluster:
    """Where trials run.

    Attributes:
        scheduler: the address of a Dask scheduler; None for a cluster of this process's own.
        workers: how many trials at once, in a cluster of its own; None for as many as fit.
        insecure: whether a scheduler on another machine may do without TLS.
        tls_ca_file, tls_cert, tls_key: certificates, by Dask's names.
    """

    scheduler: str | None = None
    workers: int | None = None
    insecure: bool = False
    tls_ca_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


def run(trials: Sequence[Trial], revision: str, cluster: Cluster) -> Iterator[Outcome]:
    """Run trials on a commit, and give what came of each, in the order in which they end.

    A trial whose parameters, data and code the repository has an experiment of already is not run
    again. One that fails does not stop the others.

    Raises:
        PipelineError: before anything runs: the workspace has changes that a stage would see, a
            name is that of another experiment, or the scheduler is refused.
    """
    raise NotImplementedError
