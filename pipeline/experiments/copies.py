"""Copies of the project: a temporary clone of a commit, and the workspace without its results."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.data import fashion_mnist
from pipeline.data.own import OWN
from pipeline.experiments.dvc_files import LOCK
from pipeline.experiments.revisions import git, prefix
from pipeline.experiments.subprocesses import call, child_environment
from pipeline.experiments.workspace import cache_folder, outputs


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Check the project out at `commit`, in a temporary clone that is deleted when the block ends.

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
        if tracked := added_data(project):
            local = project / ".dvc/config.local"
            local.write_text(f'[cache]\n    dir = "{cache_folder()}"\n', encoding="utf-8")
            if call([sys.executable, "-m", "dvc", "checkout", "--quiet", *tracked], project):
                raise PipelineError(f"{', '.join(tracked)}: not in DVC's cache; try `dvc fetch`")
            local.unlink()  # or a stage could take from the cache what it has to make
        yield project


def added_data(folder: Path) -> list[str]:
    """Return the `.dvc` files that `dvc add` has written for data."""
    return [str(path.relative_to(folder)) for path in folder.glob("data/**/*.dvc")]


def reachable(mirrors: object) -> bool:
    """Tell whether Fashion-MNIST can be had; so, too, where `mirrors` is not a list."""
    if not isinstance(mirrors, list):
        return True  # it is this that is wrong, and the stage says so
    try:
        fashion_mnist.fetch(mirrors)
    except fashion_mnist.UnreachableError:
        return False
    return True


def data_in_reach() -> dict[str, str]:
    """Return the variable by which a copy of the project finds the data that is in reach."""
    place = next(fashion_mnist.local_places(), "https://")
    if place.startswith(("http://", "https://")):
        return {}
    return {fashion_mnist.MIRROR_VARIABLE: str(Path(place).resolve())}


def copy_sources(target: Path) -> None:
    """Make `target` a copy of the workspace as it is, without its results.

    Copied is what git tracks or would track, edits included; not copied are stages' outputs and
    their record, and the `.dvc` files of the user's own data, which git ignores. The copy is a DVC
    repository outside git, with the cache of this one.
    """
    if target.exists():
        shutil.rmtree(target)
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    own = {str(path) for path in OWN.glob("**/*.dvc")}
    for name in {*filter(os.path.isfile, listed)} - {LOCK, *outputs()} - own:
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, copy)
    cache = os.path.relpath(cache_folder(), target / ".dvc")
    (target / ".dvc/config.local").write_text(
        f'[core]\n    no_scm = true\n[cache]\n    dir = "{cache}"\n', encoding="utf-8"
    )
