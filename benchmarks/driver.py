"""`python -m benchmarks.driver COUNT`: what so many trials cost the driver that hands them out."""

import resource
import sys
import time

from pipeline.experiments.trials import executor, worker
from pipeline.experiments.trials.trial import Outcome, Trial


def nothing(trial: Trial, source: worker.Source) -> Outcome:
    """Stand in for a worker's `run`: the commit itself is the experiment."""
    return Outcome(trial, source.commit, log="x" * worker.LONGEST_LOG)


def main() -> None:
    """Print the seconds a trial, and the driver's peak memory in GiB."""
    count = int(sys.argv[1])
    trials = [Trial(f"nothing-{number}", (f"seed={number + 1}",)) for number in range(count)]
    worker.run = nothing
    started = time.perf_counter()
    for outcome in executor.run(trials, "HEAD", executor.Cluster(workers=2)):
        assert outcome.commit, outcome.error
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{seconds / count:.4f} {memory:.3f}")


if __name__ == "__main__":
    main()
