"""Running commands in any folder, so that none outlives this process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.core.errors import PipelineError
from pipeline.experiments.revisions import git

GRACE = 5  # seconds that an interrupted process has to end by itself
POLL = 0.2  # seconds between two looks whether a command is still wanted

# Waits for the end of its input, which only the process that started it holds open.
WATCH = 'read -r _; kill -INT "-$1" && sleep "$2" && kill -KILL "-$1"'


def child_environment() -> dict[str, str]:
    """Return the environment for a process that runs stages, DVC or git in any folder.

    This Python comes first in it, whether or not its virtual environment is active, and nothing
    points git at another repository than that of the folder, as its variables do in hooks.
    """
    foreign = git("rev-parse", "--local-env-vars").split()
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    folders = [str(Path(sys.executable).parent), *filter(None, [kept.get("PATH")])]
    return kept | {"PATH": os.pathsep.join(folders)}


def call(
    command: Sequence[str] | str,
    folder: Path,
    variables: dict[str, str] | None = None,
    keep_open: Sequence[int] = (),
    output: BinaryIO | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> int:
    """Run a command in a folder, in the environment for children, and return its exit status.

    What ends this process ends the command and all that it has started; after SIGKILL, within
    seconds.

    Args:
        command: its arguments, or a line of shell.
        folder: where it runs.
        variables: more variables for its environment.
        keep_open: file descriptors that it inherits, such as that of a lock it is to hold too.
        output: a file for all that it prints; it then reads nothing either.
        cancelled: tells whether the command is not wanted any more. It has a folder of its own
            then, which may go as soon as this process is killed: so may the command.

    Raises:
        PipelineError: it was cancelled.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=child_environment() | (variables or {}),
        shell=isinstance(command, str),
        pass_fds=keep_open,
        stdin=subprocess.DEVNULL if output else None,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        process_group=0,
    ) as process:
        try:
            # Of a command with a folder of its own, nothing is to be released in peace.
            with _ended_with_this_process(process.pid, 0 if cancelled else GRACE):
                return _wait(process, cancelled)
        finally:
            if process.returncode is None:  # a signal came before there was anything to wait for
                _kill(process)


def _wait(process: "subprocess.Popen[bytes]", cancelled: Callable[[], bool] | None) -> int:
    try:
        while not (cancelled and cancelled()):
            with suppress(subprocess.TimeoutExpired):
                return process.wait(POLL if cancelled else None)
        raise PipelineError("cancelled")
    finally:
        if process.returncode is None:
            _end(process)
        elif process.returncode < 0:  # killed: what it had started is still at work
            _kill(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its group, whatever else this process is told meanwhile."""
    try:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGINT)  # first, let DVC release its locks
            process.wait(GRACE)
    finally:
        _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _ended_with_this_process(group: int, grace: int) -> Iterator[None]:
    """In this block, let a process group end when this process does, by SIGKILL as well."""
    with subprocess.Popen(
        ["sh", "-c", WATCH, "sh", str(group), str(grace)],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as watch:
        try:
            yield
        finally:
            watch.kill()
