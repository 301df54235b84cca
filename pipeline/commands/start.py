"""Make this clone a project of your own: without our results, and with a history of its own."""

import argparse
import shutil
from pathlib import Path

from pipeline.core.errors import PipelineError
from pipeline.experiments.dvc_files import LOCK
from pipeline.experiments.results import TABLE
from pipeline.experiments.results_page import PAGE
from pipeline.experiments.revisions import experiments, git
from pipeline.experiments.workspace import outputs

PICTURES = "docs/*.png"  # `make screenshot` takes them again


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def execute(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Remove what was recorded here, and commit the rest as the first of a new history."""
    _check_nothing_is_lost()
    pictures = map(str, Path().glob(PICTURES))
    removed = [path for path in (LOCK, str(TABLE), str(PAGE), *pictures) if Path(path).exists()]
    for path in (*removed, *outputs()):
        Path(path).unlink(missing_ok=True)
    shutil.rmtree(".git")
    git("init", "--quiet", "--initial-branch", "main")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Start a project from a reproducible pipeline")
    print(
        f"Gone are {', '.join(removed)}, and what the stages wrote. What is left is the first "
        "commit of main.\nNext: name the project in README.md and pyproject.toml, choose the data "
        "in params.yaml, `dvc repro`, and commit dvc.lock, metrics/ and plots/."
    )
    return 0


def _check_nothing_is_lost() -> None:
    """Refuse where anything is only here.

    Raises:
        PipelineError: says what.
    """
    if not Path(".git").is_dir():
        raise PipelineError("this is not the top folder of a git repository: nothing was changed")
    if git("status", "--porcelain").strip():
        raise PipelineError("there are changes that are not committed: nothing was changed")
    if names := [name for name, _ in experiments()]:
        raise PipelineError(
            f"there are experiments here ({', '.join(names[:3])}), which would be lost; "
            "`dvc exp remove --all-commits` removes them"
        )
    if not git("branch", "--remotes", "--contains", "HEAD").strip():
        raise PipelineError("no remote has the last commit, which would be lost; `git push` it")
