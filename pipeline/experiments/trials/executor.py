"""Running trials, several at once, on this machine or on many, by Dask."""

import importlib.util
import ipaddress
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit
from uuid import uuid4

from tqdm import tqdm

from pipeline.core.dvc_cache import open_repo
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE
from pipeline.experiments.dvc_files import DECLARATIONS
from pipeline.experiments.revisions import check_not_shallow, git, prefix, resolve
from pipeline.experiments.trials.trial import Outcome, Trial, declared, find
from pipeline.experiments.workspace import changed_data

if TYPE_CHECKING:
    from distributed import Client

TRIAL_MEMORY = 2 * 2**30  # bytes: twice what the largest stage takes on Fashion-MNIST
PAUSE = 10  # seconds before what failed by the network is tried again
RETRIES = 3  # more, where it is the network or a machine that failed, and not the trial
FOLDER = ".dvc/tmp/trials"  # of the clones of a cluster of our own

# In a worker's process: Ctrl-C is for the one that started it, and reaches the whole group.
LEAVE_INTERRUPTS = "import signal; signal.signal(signal.SIGINT, lambda *_: None)"


@dataclass(frozen=True)
class Cluster:
    """Where trials run.

    Attributes:
        scheduler: the address of a Dask scheduler; None for a cluster of this process's own.
        workers: how many trials at once, in a cluster of its own; None for as many as fit.
        insecure: whether a scheduler on another machine may do without TLS.
        certificates: the files of TLS, by Dask's names; Dask's own configuration has the others.
        connect: where `kept` keeps a connection, gives that.
    """

    scheduler: str | None = None
    workers: int | None = None
    insecure: bool = False
    certificates: Mapping[str, str] = field(default_factory=dict)
    connect: Callable[[], "Client"] | None = None


@contextmanager
def kept(cluster: Cluster) -> Iterator[Cluster]:
    """Give a cluster whose workers start with the first trial and stay until the block ends."""
    with ExitStack() as stack:
        connect = cache(lambda: stack.enter_context(_connected(cluster, sys.maxsize)))
        yield replace(cluster, connect=connect)


def run(trials: Sequence[Trial], revision: str, cluster: Cluster) -> Iterator[Outcome]:
    """Run trials on a commit, and give what came of each, in the order in which they end.

    A trial whose parameters, data and code the repository has an experiment of already is not run
    again. One that fails does not stop the others. Prints how far they are: a bar on a terminal,
    and elsewhere a line a trial.

    Raises:
        PipelineError: before anything runs: the workspace has changes that a stage would see, a
            name is that of another experiment, or the scheduler is refused.
    """
    commit = resolve(revision)
    check_not_shallow()
    _check_committed(commit)
    _check_secure(cluster)
    remote = _bring_remote_experiments(commit) if cluster.scheduler else None
    found = find(trials, commit)
    waiting = [trial for trial in trials if trial not in found]
    with _Progress(len(trials)) as progress:
        for trial, experiment in found.items():
            yield progress.show(Outcome(trial, experiment, new=False))
        if not waiting:
            return
        with _connected(cluster, len(waiting)) as client:
            progress.slots = sum(client.nthreads().values())
            for outcome in _run(client, waiting, commit, remote):
                yield progress.show(outcome)


def _run(
    client: "Client", trials: Sequence[Trial], commit: str, remote: str | None
) -> Iterator[Outcome]:
    from distributed import as_completed

    from pipeline.experiments.trials import worker

    own = git("rev-parse", "--path-format=absolute", "--git-common-dir").rstrip("\n")
    source = worker.Source(remote or own, prefix(), commit, remote is not None)
    futures = {
        client.submit(
            worker.run,
            trial,
            source,
            # The scheduler may know the name from a command that was cut off.
            key=f"{trial.name}-{uuid4()}",
            priority=-number,
            retries=RETRIES,
        ): trial
        for number, trial in enumerate(trials)
    }
    for future in as_completed(futures):
        trial = futures.pop(future)
        try:
            error = future.exception()
            outcome = Outcome(trial, error=_describe(error)) if error else future.result()
        except CancelledError:
            raise PipelineError("the scheduler is gone; run this again to go on") from None
        if remote and outcome.commit:
            _fetch(remote, source.ref(trial.name))
        yield outcome
        future.release()  # or its log stays with the worker


def _fetch(remote: str, ref: str) -> None:
    """Fetch an experiment.

    Raises:
        PipelineError: it cannot be, however often. The trial itself did not fail.
    """
    for attempt in range(1 + RETRIES):
        try:
            git("fetch", "--quiet", remote, f"{ref}:{ref}")
            return
        except PipelineError as error:
            if attempt == RETRIES:
                raise PipelineError(
                    f"{ref} cannot be fetched from {remote}; run this again to go on: {error}"
                ) from None
            time.sleep(PAUSE)


def _describe(error: BaseException) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return f"{error.allowed_failures + 1} workers died while they ran it"
    return str(error) or type(error).__name__


@contextmanager
def _connected(cluster: Cluster, trials: int) -> Iterator["Client"]:
    """Connect to the scheduler, or to one with workers of our own for so many trials."""
    if cluster.connect:
        yield cluster.connect()
        return
    try:
        from dask.system import CPU_COUNT
        from distributed import Client, LocalCluster, Security
        from distributed.system import MEMORY_LIMIT
        from distributed.utils import silence_logging_cmgr
    except ImportError:
        raise PipelineError(
            "Dask is not installed; `make .venv/installed-search` installs it"
        ) from None

    if cluster.scheduler:
        try:
            client = Client(cluster.scheduler, security=Security(**cluster.certificates))
        except (OSError, TypeError, ValueError) as error:  # such as that certificates are missing
            raise PipelineError(f"{cluster.scheduler} cannot be reached: {error}") from None
        with silence_logging_cmgr(logging.CRITICAL), client:  # what matters is told here
            yield client
        return
    fitting = max(1, min(CPU_COUNT, MEMORY_LIMIT // TRIAL_MEMORY))
    with (
        LocalCluster(
            n_workers=min(cluster.workers or fitting, trials),
            threads_per_worker=1,
            memory_limit=None,  # the trials' memory is not the workers' own
            security=True,  # certificates made for now: others may use this machine too
            dashboard_address="127.0.0.1:0",
            local_directory=FOLDER,
            preload=[LEAVE_INTERRUPTS],
            silence_logs=logging.CRITICAL,
        ) as local,
        Client(local) as client,
    ):
        if importlib.util.find_spec("bokeh"):
            print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
        yield client


@cache
def _check_committed(commit: str) -> None:
    """Check, once, that a stage would see nothing in the workspace that the commit has not.

    What is changed there while a search runs is for the next one.

    Raises:
        PipelineError: it would.
    """
    _, given = declared(commit)
    listed = git(
        "status", "--porcelain", "-z", "--no-renames", "--", PARAMS_FILE, DECLARATIONS, *given
    )
    changed = [line[3:] for line in filter(None, listed.split("\0"))] + changed_data()
    if changed:
        raise PipelineError(
            f"{', '.join(changed)}: not as in the last commit, and what runs is a commit; "
            "commit it, or `git stash` it"
        )


def _check_secure(cluster: Cluster) -> None:
    """Check that nobody else can send code to the workers.

    Raises:
        PipelineError: a scheduler is on another machine, without TLS.
    """
    scheduler = cluster.scheduler or "tls://"
    try:
        address = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
        host = address.hostname or ""
    except ValueError:
        raise PipelineError(f"{scheduler} is not an address, such as tls://head:8786") from None
    if address.scheme == "tls" or cluster.insecure:
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise PipelineError(
            f"{cluster.scheduler} is on another machine and without TLS: whoever reaches it can "
            "run code as you; use tls://, or --insecure where nobody else is on the network"
        )


def _bring_remote_experiments(commit: str) -> str:
    """Fetch the experiments that `origin` has on a commit, and return its address.

    Raises:
        PipelineError: it has not the commit, or DVC no remote for what the workers make.
    """
    address = git("remote", "get-url", "origin").strip()
    if not git("for-each-ref", "--count=1", "--contains", commit, "refs/remotes/origin"):
        raise PipelineError(f"origin does not have commit {commit[:10]}; `git push` it first")
    with open_repo() as repo:
        if not repo.config["core"].get("remote"):
            raise PipelineError(
                "the workers' outputs need a place; `dvc remote add --default` names one"
            )
    refs = f"refs/exps/{commit[:2]}/{commit[2:]}/*"
    there = _commits(git("ls-remote", "origin", refs))
    here = _commits(git("for-each-ref", "--format=%(objectname)\t%(refname)", refs))
    if other := [name for name in here.keys() & there.keys() if here[name] != there[name]]:
        names = ", ".join(sorted(name.rpartition("/")[2] for name in other))
        raise PipelineError(
            f"{names}: origin has another experiment of this name; "
            "`dvc exp remove` yours first, or `dvc exp rename` it"
        )
    git("fetch", "--quiet", "origin", f"{refs}:{refs}")
    return address


def _commits(listed: str) -> dict[str, str]:
    """Return the commit of each reference, from lines of both."""
    return {ref: commit for commit, ref in map(str.split, listed.splitlines())}


class _Progress:
    """Shows on a terminal how far the trials are, and prints a line for each that ended."""

    def __init__(self, trials: int) -> None:
        self.trials, self.slots = trials, 0  # how many there are, and how many run at once
        self.done, self.failed, self.best = 0, 0, 0.0

    def __enter__(self) -> Self:
        self.bar = tqdm(
            total=self.trials,
            bar_format="{desc} {bar} {percentage:3.0f} %, {remaining} to go",
            leave=False,
            disable=not sys.stderr.isatty(),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def show(self, outcome: Outcome) -> Outcome:
        """Show an outcome, and return it."""
        name, accuracy = outcome.trial.name, outcome.accuracy()
        if outcome.error:
            self.bar.write(f"{name} failed: {outcome.error}")
        else:
            again = "" if outcome.new else " (it was run before)"
            known = "unknown" if accuracy is None else accuracy  # without validation images
            self.bar.write(f"{name}: validation accuracy {known}{again}")
        sys.stdout.flush()
        self.done += 1
        self.failed += bool(outcome.error)
        self.best = max(self.best, accuracy or 0.0)
        running = min(self.slots, self.trials - self.done)
        self.bar.set_description_str(
            f"{running} running, {self.done} done, {self.failed} failed, best {self.best}"
        )
        self.bar.update()
        return outcome
