"""What a Dask worker does: run a trial in a clone, and push it once it is complete."""

import re
import shutil
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from distributed import get_worker
from distributed.core import Status

from pipeline.core.errors import PipelineError
from pipeline.experiments import environment
from pipeline.experiments.code_hash import short_hash
from pipeline.experiments.copies import added_data, data_in_reach
from pipeline.experiments.revisions import git
from pipeline.experiments.subprocesses import POLL, call, child_environment
from pipeline.experiments.trials.executor import PAUSE
from pipeline.experiments.trials.trial import Outcome, Trial
from pipeline.experiments.workspace import cache_folder

LAST_LINES = 3  # of what a failed trial printed
LONGEST_LOG = 100_000  # characters
KILLED = re.compile(r"exited with (-9|137)$", re.MULTILINE)  # as DVC says it of a stage


@dataclass(frozen=True)
class Source:
    """Where trials come from and go to.

    Attributes:
        repository: what git clones and pushes to.
        prefix: the path of the project in it.
        commit: what the trials run on.
        remote: whether it is on another machine, so that outputs have to be pushed as well.
    """

    repository: str
    prefix: str
    commit: str
    remote: bool

    def ref(self, name: str) -> str:
        """Return where git keeps an experiment of this name."""
        return f"refs/exps/{self.commit[:2]}/{self.commit[2:]}/{name}"


def run(trial: Trial, source: Source) -> Outcome:
    """Run a trial, unless a worker that died had pushed it before.

    Raises:
        PipelineError, OSError: it is not the trial that failed, so another attempt may do it.
    """
    # One for each thread: a worker may have several.
    name = short_hash([source.repository, threading.get_ident()])
    root = Path(get_worker().local_directory) / name
    try:
        if pushed := git("ls-remote", source.repository, source.ref(trial.name)).split():
            return Outcome(trial, commit=pushed[0])
        return _run_in_clone(trial, source, root)
    except BaseException:
        _discard(root)  # it may be half of anything
        _pause()
        raise


def _discard(root: Path) -> None:
    """Remove a clone, under another name: what cannot be removed is not taken for a clone."""
    with suppress(FileNotFoundError):
        shutil.rmtree(root.rename(root.with_name(str(uuid4()))), ignore_errors=True)


def _pause() -> None:
    """Wait, as long as the trial is wanted."""
    end = time.monotonic() + PAUSE
    while time.monotonic() < end and not _cancelled():
        time.sleep(POLL)


def _run_in_clone(trial: Trial, source: Source, root: Path) -> Outcome:
    folder = _check_out(source, root)
    ref = source.ref(trial.name)
    _git(root, "update-ref", "-d", ref)  # of an attempt that could not be pushed
    settings = [part for setting in trial.settings for part in ("--set-param", setting)]
    ended, log = _dvc(root, folder, "exp", "run", "--name", trial.name, *settings)
    if ended:
        lines = [line for line in log.replace("\r", "\n").splitlines() if line.strip()]
        error = "\n".join(lines[-LAST_LINES:])
        if ended < 0 or KILLED.search(log):  # no trial does that to itself
            raise PipelineError(f"it was killed, perhaps because memory ran out:\n{error}")
        return Outcome(trial, error=error, log=log)
    if source.remote:
        ended, printed = _dvc(root, folder, "push")
        if ended:
            raise PipelineError(f"{trial.name}: dvc push fails: {printed.strip()}")
    _git(root, "push", "--quiet", "origin", ref)  # the last, so that what is there is complete
    commit = _git(root, "rev-parse", ref).strip()
    return Outcome(trial, commit, log=log, machine=environment.summary())


def _check_out(source: Source, root: Path) -> Path:
    """Bring a kept clone, or a new one, to the commit, and return the project's folder in it."""
    folder = root / source.prefix
    new = not root.exists()
    if new:
        # Copying the files of a repository is no clone while others push to it.
        git("clone", "--quiet", "--no-checkout", "--no-local", source.repository, str(root))
    elif source.commit not in _git(root, "rev-list", "--all"):
        _git(root, "fetch", "--quiet", "origin")
    _git(root, "checkout", "--quiet", "--force", "--detach", source.commit)
    _git(root, "clean", "--quiet", "--force", "-d")
    if new:
        if Path(".dvc/config.local").exists():  # it may say how this machine reaches a remote
            shutil.copy(".dvc/config.local", folder / ".dvc")
        ended, log = _dvc(root, folder, "cache", "dir", "--local", cache_folder())
        if ended:
            raise PipelineError(f"dvc cache dir fails: {log.strip()}")
    if tracked := added_data(folder):
        command = "pull" if source.remote else "checkout"
        ended, log = _dvc(root, folder, command, *tracked)
        if ended:
            raise PipelineError(f"dvc {command} {' '.join(tracked)} fails: {log.strip()}")
    return folder


def _git(root: Path, *arguments: str) -> str:
    return git("-C", str(root), *arguments, environment=child_environment() | _only_in(root))


def _dvc(root: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run DVC as long as the trial is wanted, and return its exit status and what it printed."""
    # What DVC remembers of a repository, it keeps outside: here, where it goes with the clone.
    variables = data_in_reach() | _only_in(root) | {"DVC_SITE_CACHE_DIR": str(root / ".git/dvc")}
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "dvc", *arguments]
        ended = call(command, folder, variables, output=output, cancelled=_cancelled)
        output.seek(0)
        return ended, output.read().decode(errors="replace")[-LONGEST_LOG:]


def _only_in(root: Path) -> dict[str, str]:
    """Return the variable that keeps git from a repository further up, once the clone is gone."""
    return {"GIT_CEILING_DIRECTORIES": str(root.parent)}


def _cancelled() -> bool:
    """Tell whether the trial that this thread runs is not wanted any more."""
    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    ending = worker.status in (Status.closing, Status.closed)
    return ending or task is None or task.state == "cancelled"
