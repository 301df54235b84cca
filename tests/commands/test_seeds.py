"""`python -m pipeline seeds` where it refuses; tests/test_queue.py has what it queues."""

import pytest

from tests.conftest import Project


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0"], "N is 0; it has to be 1 or more"),
        (["2", "-S", "seed=1"], "--set-param seed=1: N is what sets the seeds"),
        (["2", "-S", "train.epochs=1,2"], "--set-param train.epochs=1,2 has several values"),
        (["2", "-S", "trian.epochs=1"], "DVC cannot queue this: Could not override 'trian.epochs'"),
        (["2", "-S", "train.epochs"], "DVC cannot queue this: Error parsing override"),
        (["2", "--name", "a/b"], "DVC cannot queue this: Invalid exp name a/b-0"),
    ],
)
def test_what_cannot_be_queued_is_one_line(
    project: Project, arguments: list[str], message: str
) -> None:
    done = project.run("python", "-m", "pipeline", "seeds", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert "No experiment tasks in the queue." in project.ok("dvc", "queue", "status")
    assert project.ok("git", "status", "--porcelain") == ""
