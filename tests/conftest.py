"""Shared set-up: throw-away copies of the project, driven through real git, DVC and stages."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.data.fashion_mnist import FILES

ROOT = Path(__file__).parents[1]

# Small enough for a run of seconds; still learnable.
SMALL: dict[str, Any] = {
    "data.source": "synthetic",
    "data.synthetic.train_images": 1000,
    "data.synthetic.test_images": 300,
    "train.epochs": 2,
}


@dataclass(frozen=True)
class Project:
    """A throw-away copy of the project in a git repository of its own."""

    path: Path

    def run(
        self, *command: str, env: dict[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project and return what it printed, whatever its status."""
        return subprocess.run(
            command,
            cwd=self.path,
            env=environment() | (env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ok(self, *command: str, env: dict[str, str] | None = None, timeout: float = 300) -> str:
        """Run a command that must succeed and return what it printed."""
        done = self.run(*command, env=env, timeout=timeout)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def stage(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run one stage as DVC would, without DVC."""
        return self.run("python", "-m", f"stages.{name}")

    def params(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load((self.path / "params.yaml").read_text())
        return content

    def set_params(self, changes: dict[str, Any]) -> None:
        """Set parameters by their dotted names."""
        content = self.params()
        for name, value in changes.items():
            *parents, key = name.split(".")
            section = content
            for parent in parents:
                section = section[parent]
            section[key] = value
        # Lists in one line, as in the project's own file.
        (self.path / "params.yaml").write_text(
            yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
        )

    def commit(self, message: str) -> None:
        self.ok("git", "add", "--all")
        self.ok("git", "commit", "--quiet", "--allow-empty", "--message", message)

    def outputs(self, *names: str) -> list[Path]:
        """The files that these stages write, or all of them."""
        stages = yaml.safe_load((self.path / "dvc.yaml").read_text())["stages"]
        entries = [
            entry
            for name in names or stages
            for kind in ("outs", "metrics", "plots")
            for entry in stages[name].get(kind, [])
        ]
        paths = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
        return [self.path / path for path in paths]

    def lock(self) -> str:
        return (self.path / "dvc.lock").read_text()

    def clone(self, target: Path) -> "Project":
        """Copy everything, what DVC has cached included."""
        shutil.copytree(self.path, target, symlinks=True)
        return Project(target)


def environment() -> dict[str, str]:
    """The environment of a user whose virtual environment is active."""
    foreign = ("GIT_", "DVC_", "KERAS_", "FASHION_MNIST_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    identity = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Test"), ("EMAIL", "test@example.invalid"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # No data set of the user's own is in reach, unless a test puts it there.
    return kept | identity | {"PATH": path, "KERAS_HOME": "/nonexistent"}


def copy_project(target: Path) -> Project:
    """Copy the files that git tracks, as they are now, into a new repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    project = Project(target)
    project.ok("git", "init", "--quiet", "--initial-branch", "main")
    project.commit("The project as it is")
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which the pipeline has run on small data. Only read it: tests share it."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    project.set_params(SMALL)
    project.commit("Small data")
    project.ok("dvc", "repro")
    project.commit("Results on small data")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to change at will."""
    return finished.clone(tmp_path / "project")


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A copy of the project in which nothing has run, its parameters untouched."""
    return copy_project(tmp_path / "fresh")


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
