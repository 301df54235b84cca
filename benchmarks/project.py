"""A throw-away clone of the project, to time commands in."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Done:
    """A command that has ended: what it printed, its time by the clock, and its peak memory."""

    printed: str
    seconds: float
    gibibytes: float


@dataclass(frozen=True)
class Project:
    """A clone, and the environment in which commands run there."""

    path: Path
    env: dict[str, str]

    def run(self, *command: str) -> Done:
        """Run a command.

        Raises:
            SystemExit: it failed.
        """
        # Files, not pipes: the workers of DVC's queue hold them open for as long as they run.
        with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=self.path, env=self.env, stdout=printed, stderr=said
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            for file in (printed, said):
                file.seek(0)
            done = Done(printed.read(), seconds, usage.ru_maxrss / 2**20)
            if process.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.printed}\n{said.read()}")
        return done

    def python(self, *arguments: str) -> Done:
        """Run the project's Python."""
        return self.run(sys.executable, *arguments)

    def dvc(self, *arguments: str) -> Done:
        """Run DVC."""
        return self.run("dvc", *arguments)

    def set_params(self, changes: dict[str, Any]) -> None:
        """Set parameters by their dotted names."""
        file = self.path / "params.yaml"
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name, value in changes.items():
            *parents, key = name.split(".")
            section = content
            for parent in parents:
                section = section[parent]
            section[key] = value
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def restore(self) -> None:
        """Go back to the committed parameters and results, and to the data that belong to them."""
        self.run("git", "restore", ".")
        self.dvc("repro", "--quiet")

    def forget(self) -> None:
        """Leave the clone as if nothing had ever run in it."""
        self.run("git", "clean", "--quiet", "-d", "--force", "-x", "data", "models", ".dvc/cache")
        (self.path / "dvc.lock").unlink(missing_ok=True)


def clone(target: Path, mirror: Path) -> Project:
    """Clone the last commit to `target`, with the four files in the folder `mirror` in reach."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, target], check=True)
    identity = {
        f"GIT_{role}_{what}": "benchmark"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    paths = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FASHION_MNIST_MIRROR": str(mirror),
        "KERAS_HOME": str(_keras_home(target.parent / "keras", mirror)),
    }
    project = Project(target, os.environ | identity | paths)
    project.restore()
    return project


def _keras_home(home: Path, mirror: Path) -> Path:
    """Put the four files where Keras looks for them, as if it had downloaded them before."""
    shutil.copytree(mirror, home / "datasets/fashion-mnist")
    return home
