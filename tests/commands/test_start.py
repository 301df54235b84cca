"""`python -m pipeline start` keeps the project and drops what was recorded, if nothing is lost."""

from pathlib import Path

import pytest

from tests.conftest import Project

START = ("python", "-m", "pipeline", "start")


@pytest.fixture
def cloned(finished: Project, tmp_path: Path) -> Project:
    finished.ok("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    return Project(tmp_path / "clone")


def test_a_clone_becomes_a_project_with_a_history_of_its_own(cloned: Project) -> None:
    assert "Next: " in cloned.ok(*START)
    assert len(cloned.ok("git", "log", "--format=%H").split()) == 1
    assert cloned.ok("git", "remote") == cloned.ok("git", "status", "--porcelain") == ""
    tracked = cloned.ok("git", "ls-files").split()
    for gone in ("dvc.lock", "metrics/evaluate.json", "plots/history.csv", "RESULTS.md"):
        assert gone not in tracked
    assert {"params.yaml", "dvc.yaml", "README.md", "stages/train.py"} <= set(tracked)
    assert "train" in cloned.ok("dvc", "status", "--json"), "it can be run"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo >> params.yaml", "there are changes that are not committed: nothing was changed"),
        ("git commit --quiet --allow-empty -m own", "no remote has the last commit, which would"),
        ("git update-ref refs/exps/00/11/mine HEAD", "there are experiments here (mine), which"),
    ],
)
def test_it_refuses_where_something_would_be_lost(
    cloned: Project, command: str, message: str
) -> None:
    cloned.ok("sh", "-c", command)
    before = cloned.ok("git", "rev-parse", "HEAD")
    done = cloned.run(*START)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert cloned.ok("git", "rev-parse", "HEAD") == before
    assert (cloned.path / "dvc.lock").exists()
