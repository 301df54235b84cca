"""`python -m pipeline start` begins a project's own history, and loses nothing of what was here."""

from pathlib import Path

import pytest

from tests.project import Project

START = ("python", "-m", "pipeline", "start")


@pytest.fixture
def cloned(finished: Project, tmp_path: Path) -> Project:
    finished.ok("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    return Project(tmp_path / "clone")


def test_a_clone_becomes_a_project_with_a_history_of_its_own(cloned: Project) -> None:
    before = cloned.ok("git", "rev-parse", "HEAD")
    cloned.ok("git", "tag", "kept")
    assert "Next: " in cloned.ok(*START)
    assert len(cloned.ok("git", "log", "--format=%H").split()) == 1
    assert cloned.ok("git", "status", "--porcelain") == ""
    for name in ("template", "kept", "origin/main"):
        assert cloned.ok("git", "rev-parse", name) == before
    tracked = cloned.ok("git", "ls-files").split()
    ours = ("RESULTS.md", "results-history.csv", "docs/results/accuracy-against-time.svg")
    for gone in ("dvc.lock", "metrics/evaluate.json", "plots/history.csv", *ours):
        assert gone not in tracked
    assert {"params.yaml", "dvc.yaml", "README.md", "stages/train.py"} <= set(tracked)
    for page in ("README.md", "docs/commands.md"):
        text = (cloned.path / page).read_text()
        assert "RESULTS.md" in text
        assert "RESULTS.md)" not in text
        assert ".png)" not in text
    assert "train" in cloned.ok("dvc", "status", "--json"), "it can be run"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo >> params.yaml", "there are changes that are not committed; commit or stash them"),
        ("git checkout --quiet --detach", "this is not the top folder of a git repository, on a"),
        ("git branch template", "there is a branch template: a project was started here before"),
        ("git branch template/x", "there is a branch template: a project was started here before"),
        ("git config user.useConfigOnly true", "git: "),
        ("touch .git/index.lock", "git: "),
    ],
)
def test_it_refuses_before_anything_is_changed(cloned: Project, command: str, message: str) -> None:
    cloned.ok("sh", "-c", command)
    nobody = {
        f"GIT_{role}_{what}": "" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    before = cloned.ok("git", "rev-parse", "HEAD", "--all")
    done = cloned.run(*START, env=nobody if "config" in command else None)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert cloned.ok("git", "rev-parse", "HEAD", "--all") == before
    assert (cloned.path / "dvc.lock").exists()
