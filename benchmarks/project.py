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

from pipeline.core.tensorflow_runtime import FOREIGN

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
                command,
                cwd=self.path,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
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

    def raw_files(self) -> list[Path]:
        """Return the four files of the data set, as they are in the mirror."""
        return sorted(Path(self.env["FASHION_MNIST_MIRROR"]).glob("*-ubyte.gz"))

    def restore(self) -> None:
        """Go back to the committed parameters and results, and to the data that belong to them."""
        self.run("git", "restore", ".")
        self.dvc("repro", "--quiet")

    def remove(self, *folders: str) -> None:
        """Remove what git does not track in these folders."""
        self.run("git", "clean", "--quiet", "-d", "--force", "-x", *folders)

    def forget(self) -> None:
        """Leave the clone as if nothing had ever run in it."""
        self.remove("data", "models", ".dvc/cache")
        (self.path / "dvc.lock").unlink(missing_ok=True)


def clone(folder: Path) -> Project:
    """Clone the last commit into `folder`, with all that its commands need."""
    path = folder / "project"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, path], check=True)
    # No settings of the user's, which the pipeline's own stages would not heed either.
    env = {k: v for k, v in os.environ.items() if not k.startswith((*FOREIGN, "DVC_", "GIT_"))}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "benchmark", f"GIT_{role}_EMAIL": "benchmark@example.invalid"}
    mirror = folder / "keras/datasets/fashion-mnist"  # where Keras looks, too
    project = Project(
        path,
        env
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "KERAS_HOME": str(folder / "keras"),
            "FASHION_MNIST_MIRROR": str(ROOT / "data/raw"),
        },
    )
    project.restore()
    shutil.copytree(path / "data/raw", mirror)
    project.env["FASHION_MNIST_MIRROR"] = str(mirror)
    return project
