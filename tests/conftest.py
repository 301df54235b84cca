"""Shared fixtures."""

import fcntl
import os
import signal
from pathlib import Path

import pytest

from pipeline.data.fashion_mnist import FILES
from tests.project import ROOT, SMALL, Project, copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which the pipeline has run on small data. Only read it: tests share it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # one run does for all workers
    with (folder / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "finished"
        if not done.exists():
            run_on_small_data(folder / "unfinished").rename(done)
    return Project(done).clone(tmp_path_factory.mktemp("finished") / "project")


def run_on_small_data(target: Path) -> Path:
    project = copy_project(target)
    project.set_params(SMALL)
    project.commit("Small data")
    project.ok("dvc", "repro")
    project.commit("Results on small data")
    return project.packed().path


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to change at will."""
    return finished.clone(tmp_path / "project")


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which nothing has run, its parameters those that are committed. Only read it."""
    return copy_project(tmp_path_factory.mktemp("untouched") / "project")


@pytest.fixture
def fresh(untouched: Project, tmp_path: Path) -> Project:
    """A copy of the project in which nothing has run, to change at will."""
    return untouched.clone(tmp_path / "fresh")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the four official files."""
    candidates = [ROOT.parent / "shared" / "fashion-mnist"]
    if chosen := os.environ.get("FASHION_MNIST_MIRROR"):
        candidates.insert(0, Path(chosen))
    for folder in candidates:
        if all((folder / file.name).is_file() for file in FILES):
            return folder.resolve()
    pytest.skip("no folder with the four Fashion-MNIST files: set FASHION_MNIST_MIRROR")


def pytest_configure() -> None:
    """Let what the tests start be interrupted, which it is not in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and end with what waits for the finished project.

    So no worker is left with the first at the end, and not all wait for the second at the start.
    """
    long = ("test_readme.py", "test_portability.py")
    items.sort(key=lambda item: (item.path.name not in long, _needs_finished(item)))


def _needs_finished(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "finished" in item.fixturenames
