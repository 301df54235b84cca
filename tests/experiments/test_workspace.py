"""Child processes, and what has to be right where DVC and git run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.experiments import environment
from pipeline.experiments.revisions import check_not_shallow
from pipeline.experiments.subprocesses import child_environment
from pipeline.experiments.workspace import (
    RWLOCK,
    check_not_locked,
    check_queue,
)
from tests.project import Project


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def test_a_child_finds_this_python_and_no_foreign_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
    for name in names:
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "stays")
    child = child_environment()
    assert not child.keys() & set(names)
    assert child["GIT_AUTHOR_NAME"] == "stays"
    assert child["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_the_environment_is_described_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert environment.describe()["cores_usable"] == os.cpu_count()


def test_a_shallow_clone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet", str(tmp_path / "whole"))
    monkeypatch.chdir(tmp_path / "whole")
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
    for message in ("one", "two"):
        git(*identity, "commit", "--quiet", "--allow-empty", "--message", message)
    check_not_shallow()
    git("clone", "--quiet", "--depth=1", f"file://{tmp_path}/whole", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    with pytest.raises(PipelineError, match="`git fetch --unshallow`"):
        check_not_shallow()


@pytest.mark.parametrize(
    ("folder", "remedy"),
    [
        ("plain 1", None),
        ("50%", None),
        ("no#1", "rename the folder so that its path is without #"),
        ("why?", "rename the folder so that its path is without ?"),
        ("Kleidung für alle", "`dvc cache dir --local FOLDER`"),
        ("%(dir)s", "`dvc cache dir --local FOLDER`"),
    ],
)
def test_where_the_queue_cannot_work(
    folder: str, remedy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / folder)
    config = Path(".dvc/config")
    config.write_text("[core]\nno_scm = true\n")
    if remedy is None:
        check_queue()
        return
    with pytest.raises(PipelineError) as error:
        check_queue()
    assert remedy in str(error.value)
    if "cache" in remedy:
        config.write_text(f"{config.read_text()}[cache]\ndir = {tmp_path}/cache\n")
        check_queue()


def test_a_damaged_table_of_locks_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    RWLOCK.parent.mkdir(parents=True)
    check_not_locked()
    RWLOCK.write_text("{}")
    check_not_locked()
    for content in ("", '{"write": {', "\0\0\0"):
        RWLOCK.write_text(content)
        with pytest.raises(PipelineError, match=f"^{RWLOCK}, .*remove it and run this again$"):
            check_not_locked()


@pytest.mark.parametrize("path", ["params.yaml", "dvc.yaml", "models/dataset.json", "data/own/x"])
def test_dvc_is_not_left_to_wait_for_a_pipe(project: Project, path: str) -> None:
    (project.path / path).unlink(missing_ok=True)
    os.mkfifo(project.path / path)
    done = project.run("python", "-m", "pipeline", "data", timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {path} is not a ")


def test_what_libraries_of_dvc_raise_is_one_line(project: Project) -> None:
    huge = f"seed: 1{'0' * 5000}"
    params = project.path / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("seed: 0", huge, 1))
    data = project.run("python", "-m", "pipeline", "data")
    params.write_text(text)
    project.ok("git", "checkout", "--quiet", "--orphan", "empty")
    seeds = project.run("python", "-m", "pipeline", "seeds", "1")
    for done in (data, seeds):
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: DVC: ")


def test_a_damaged_index_of_git_is_one_line(project: Project) -> None:
    """DVC would wait for ever."""
    (project.path / ".git/index").write_bytes(b"damaged")
    command = ("predict", "--test-index=0", "--rev=HEAD")
    done = project.run("python", "-m", "pipeline", *command, timeout=60)
    assert done.stderr.startswith("error: git: ")
