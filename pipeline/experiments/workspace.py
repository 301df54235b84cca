"""The workspace as DVC sees it, copies of the project, and the processes that run in them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.data import fashion_mnist
from pipeline.experiments.dvc_files import DECLARATIONS, LOCK, parse_stages
from pipeline.experiments.revisions import git, prefix, read

RWLOCK = Path(".dvc/tmp/rwlock")
MISSING = ("deleted", "not in cache")  # what DVC says of files
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


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Check the project out at `commit`, in a temporary clone that goes when the block ends.

    Gives the folder of the project in the clone: where it is a part of a larger repository, a
    folder below the clone's root. The clone shares the objects of the user's repository and
    changes nothing there. It has the data that `dvc add` tracks, but no DVC cache and no local
    settings. Use `child_environment` for what runs in it.
    """
    environment = child_environment()
    repository = git("rev-parse", "--path-format=absolute", "--git-common-dir").rstrip("\n")
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        options = ("--quiet", "--shared", "--no-checkout")
        git("clone", *options, repository, folder, environment=environment)
        git("-C", folder, "checkout", "--quiet", "--detach", commit, environment=environment)
        project = Path(folder, prefix())
        _bring_added_data(project)
        yield project


def _bring_added_data(folder: Path) -> None:
    """Check out what `dvc add` tracks in a copy of the project, from the cache of this one."""
    tracked = [str(path.relative_to(folder)) for path in folder.glob("data/**/*.dvc")]
    if not tracked:
        return
    local = folder / ".dvc/config.local"
    local.write_text(f'[cache]\n    dir = "{_cache_folder()}"\n', encoding="utf-8")
    if call([sys.executable, "-m", "dvc", "checkout", "--quiet", *tracked], folder):
        raise PipelineError(f"{', '.join(tracked)}: not in DVC's cache; try `dvc fetch`")
    local.unlink()  # or a stage could take from the cache what it has to make


def data_in_reach() -> dict[str, str]:
    """Return the variable by which a copy of the project finds the data that is in reach."""
    place = next(fashion_mnist.local_places(), "https://")
    if place.startswith(("http://", "https://")):
        return {}
    return {fashion_mnist.MIRROR_VARIABLE: str(Path(place).resolve())}


def outputs() -> list[str]:
    """Return the paths of all that the stages write."""
    stages = parse_stages(read(DECLARATIONS, None)).values()
    return [path for stage in stages for path in stage.outputs()]


def copy_sources(target: Path) -> None:
    """Make `target` a copy of the workspace as it is, without its results.

    Copied is what git tracks or would track, edits included; not copied are stages' outputs and
    their record. The copy is a DVC repository outside git, with the cache of this one.
    """
    if target.exists():
        shutil.rmtree(target)
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in {*filter(os.path.isfile, listed)} - {LOCK, *outputs()}:
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, copy)
    cache = os.path.relpath(_cache_folder(), target / ".dvc")
    (target / ".dvc/config.local").write_text(
        f'[core]\n    no_scm = true\n[cache]\n    dir = "{cache}"\n', encoding="utf-8"
    )


@contextmanager
def open_repo() -> Iterator[Any]:
    """Open the project as DVC does.

    Raises:
        PipelineError: DVC fails, here or in the block.
    """
    # Slow to import, and not every command needs them.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            yield repo
    except DvcException as error:
        raise PipelineError(f"DVC: {' '.join(str(error).split())}") from None


def _cache_folder() -> str:
    with open_repo() as repo:
        return str(repo.cache.local_cache_dir)


def changes(output: str) -> list[str]:
    """Return why an output in the workspace is not what `dvc repro` would make now.

    Gives a text for each stage that it comes from, such as `train (params.yaml)`. Data and
    models that are only missing, as in a fresh clone, do not count.
    """
    with open_repo() as repo:
        (out,) = repo.find_outs_by_path(output)
        status = repo.status(targets=[out.stage.addressing], with_deps=True)
        made = {str(Path(out.fs_path).relative_to(repo.root_dir)) for out in repo.index.outs}
    found = []
    for stage, differences in status.items():
        causes = []
        for change in differences:
            if isinstance(change, str):  # "changed command"
                causes.append(change)
                continue
            for files in change.values():
                causes += [f for f, what in files.items() if f not in made or what not in MISSING]
        if causes:
            found.append(f"{stage} ({', '.join(causes)})")
    return sorted(found)


def check_not_locked() -> None:
    """Check that DVC can read its table of locks.

    Raises:
        PipelineError: it cannot, as after a kill while DVC wrote it.
    """
    try:
        json.loads(RWLOCK.read_bytes())
    except FileNotFoundError:
        return
    except ValueError:
        raise PipelineError(
            f"{RWLOCK}, DVC's table of locks, is damaged, as a kill can leave it; "
            "if no other DVC command is running here, remove it and run this again"
        ) from None


def check_queue() -> None:
    """Check that DVC's queue and `--temp` work where the project and its cache lie.

    Raises:
        PipelineError: they do not; names the way round.
    """
    # DVC hands the folder to git as a URL, and the cache to its copies in ASCII.
    root, cache = str(Path.cwd()), _cache_folder()
    if found := [mark for mark in ("#", "?") if mark in root]:
        raise PipelineError(
            f"DVC's queue and `dvc exp run --temp` do not work in {root}: "
            f"rename the folder so that its path is without {' and '.join(found)}"
        )
    if not cache.isascii() or "%(" in cache:
        raise PipelineError(
            f"DVC's queue and `dvc exp run --temp` do not work with a cache in {cache}: "
            "`dvc cache dir --local FOLDER` moves it to a folder whose path is plain ASCII"
        )
