"""Make this clone a project of your own: without our results, on a branch with its own history."""

import argparse
import re
from pathlib import Path

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.experiments.dvc_files import LOCK
from pipeline.experiments.results.table import HISTORY_TABLE, PAGE, TABLE
from pipeline.experiments.revisions import git, prefix
from pipeline.experiments.workspace import outputs

# `make screenshot` takes some again, `python -m pipeline results` draws the others.
PICTURES = ("docs/*.png", "docs/results/*.svg")
TEMPLATE = "template"  # the branch that keeps what was here


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def execute(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Begin a new history, with all but what was recorded here; the old one becomes a branch."""
    branch = git("branch", "--show-current").strip()
    _check_can_start(branch)
    git("add", "--all")  # changes nothing; where git cannot write, it says so before anything does
    pictures = [path for pattern in PICTURES for path in Path().glob(pattern)]
    ours = [LOCK, *map(str, (TABLE, HISTORY_TABLE, PAGE, *pictures))]
    for path in (*ours, *outputs()):
        Path(path).unlink(missing_ok=True)
    for page in git("ls-files", "*.md").split():
        if Path(page).exists():
            _unlink_missing(Path(page))
    git("add", "--all")
    message = "Start a project from a reproducible pipeline"
    commit = git("commit-tree", git("write-tree").strip(), "-m", message).strip()
    git("branch", "--move", TEMPLATE)
    git("branch", "--no-track", branch, commit)
    git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    print(
        f"{branch} has a new history, without {', '.join(ours)} and what the stages wrote. "
        f"What was here before is on the branch {TEMPLATE}.\nNext: write your own README.md, "
        "choose the data in params.yaml, run `dvc repro`, and commit dvc.lock, metrics/ and plots/."
    )
    return 0


def _check_can_start(branch: str) -> None:
    """Refuse what could not be carried through.

    Raises:
        PipelineError: says why.
    """
    if not branch or prefix():
        raise PipelineError("this is not the top folder of a git repository, on a branch")
    if git("status", "--porcelain").strip():
        raise PipelineError("there are changes that are not committed; commit or stash them")
    if git("branch", "--list", TEMPLATE, f"{TEMPLATE}/*").strip():
        raise PipelineError(f"there is a branch {TEMPLATE}: a project was started here before")
    git("var", "GIT_COMMITTER_IDENT")  # or the commit would fail at the end


def _unlink_missing(page: Path) -> None:
    """Take out of a page what leads to a file that is gone: pictures, and links, not their text."""

    def keep(match: re.Match[str]) -> str:
        exists = "://" in match[3] or (page.parent / match[3].partition("#")[0]).exists()
        return match[0] if exists else "" if match[1] else match[2]

    text = page.read_text(encoding="utf-8")
    write_bytes(page, re.sub(r"(!?)\[([^\]]*)\]\(([^)#][^)]*)\)", keep, text).encode())
