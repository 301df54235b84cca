"""Running commands in any folder, so that none outlives this process."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.experiments.revisions import git

GRACE = 5  # seconds that an interrupted process has to end by itself


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
) -> int:
    """Run a command in a folder, in the environment for children, and return its exit status.

    What ends this process, SIGKILL excepted, ends the command and all that it has started.

    Args:
        command: its arguments, or a line of shell.
        folder: where it runs.
        variables: more variables for its environment.
        keep_open: file descriptors that it inherits, such as that of a lock it is to hold too.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=child_environment() | (variables or {}),
        shell=isinstance(command, str),
        pass_fds=keep_open,
        process_group=0,
    ) as process:
        try:
            return process.wait()
        finally:
            if process.returncode is None:
                for number in (signal.SIGINT, signal.SIGKILL):  # first, let DVC release its locks
                    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                        os.killpg(process.pid, number)
                        process.wait(GRACE)
