"""Throw-away copies of the project, driven through real git, DVC and stages."""

import csv
import json
import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

# Small enough for a run of seconds; still learnable.
SMALL: dict[str, Any] = {
    "data.source": "synthetic",
    "data.synthetic.train_images": 1000,
    "data.synthetic.test_images": 300,
    "train.epochs": 2,
}

# Processes are forked from one that has imported these once, in place of 2 s for each.
INTERPRETERS = multiprocessing.get_context("forkserver")
INTERPRETERS.set_forkserver_preload(["tensorflow", "keras", "scipy.stats", "dvc.repo"])
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # which TensorFlow reads when it is imported

Finished = subprocess.CompletedProcess[str]


# Anybody, who may read and write everywhere: the interpreter may lie in a folder of root's.
CAPABILITIES = "+dac_override,+dac_read_search"
ANYBODY = [
    "setpriv",
    "--reuid=54321",
    "--regid=54321",
    "--clear-groups",
    f"--inh-caps={CAPABILITIES}",
    f"--ambient-caps={CAPABILITIES}",
]


@dataclass(frozen=True)
class Project:
    """A throw-away copy of the project in a git repository of its own."""

    path: Path

    def run(
        self, *command: str, env: dict[str, str] | None = None, timeout: float = 300
    ) -> Finished:
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

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command, the first of a process group, with one pipe for all that it prints."""
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def module(
        self, name: str, *arguments: str, before: Callable[[], None] | None = None
    ) -> Finished:
        """Run `python -m name` as `run` would, in a process that has TensorFlow imported.

        `before` is called there first: a function at the top of a module, or a partial of one.
        """
        with tempfile.TemporaryDirectory() as folder:
            printed = Path(folder, "stdout"), Path(folder, "stderr")
            process = INTERPRETERS.Process(
                target=_module, args=(self.path, name, arguments, before, printed)
            )
            process.start()
            process.join(300)
            if process.exitcode is None:
                process.kill()
                raise TimeoutError(f"{name} {arguments} takes more than five minutes")
            stdout, stderr = (path.read_text() for path in printed)
        return Finished((name, *arguments), process.exitcode, stdout, stderr)

    def stage(self, name: str, before: Callable[[], None] | None = None) -> Finished:
        """Run one stage as DVC would, without DVC."""
        return self.module(f"stages.{name}", before=before)

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

    def contents(self, *names: str) -> dict[str, bytes]:
        """What is in the files that these stages write; a missing file is left out."""
        files = [file for file in self.outputs(*names) if file.exists()]
        return {str(file.relative_to(self.path)): file.read_bytes() for file in files}

    def lock(self) -> str:
        return (self.path / "dvc.lock").read_text()

    def recorded(self, stage: str) -> Any:
        """What `dvc.lock` says of a stage; None if nothing."""
        return yaml.safe_load(self.lock())["stages"].get(stage)

    def forget(self, *stages: str, outputs: bool = True) -> None:
        """Leave the project as if these stages had never run; their outputs may stay."""
        lock = yaml.safe_load(self.lock())
        for name in stages:
            del lock["stages"][name]
        (self.path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
        for file in self.outputs(*stages) if outputs else []:
            file.unlink()
        shutil.rmtree(self.path / ".dvc/cache/runs", ignore_errors=True)

    def in_experiment(self, name: str, path: str) -> str:
        """What is in a file as an experiment recorded it."""
        refs = self.ok("git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}")
        return self.ok("git", "show", f"{refs.strip()}:{path}")

    def resume(self, epoch: int, checkpoints: Path | None = None) -> Finished:
        """Train on from what `keep_checkpoints` kept of this epoch, with no outputs there."""
        for file in self.outputs("train"):
            file.unlink(missing_ok=True)
        kept = (checkpoints or self.path / "checkpoints") / f"{epoch}.npz"
        shutil.copy(kept, self.path / "models/checkpoint.npz")
        return self.stage("train")

    def packed(self) -> "Project":
        """Let git keep all objects in one file, so that copies are made in half the time."""
        self.ok("git", "gc", "--quiet")
        return self

    def clone(self, target: Path) -> "Project":
        """Copy everything, what DVC has cached included."""
        shutil.copytree(self.path, target, symlinks=True)
        return Project(target)


def environment() -> dict[str, str]:
    """The environment of a user whose virtual environment is active, whatever ours is."""
    foreign = ("GIT_", "DVC_", "KERAS_", "TF_", "FASHION_MNIST_", "PYTHON", "SHELL")
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
    return project.packed()


# A worker ends when it reads a message before all of it is written (celery/kombu#1551), as those
# of `dvc queue status` may be: so that is asked only when no worker is left, and they start again.
WAIT = """
running() { grep -q '"returncode": null' .dvc/tmp/exps/celery/*.json; }
workers() { sleep 5; while running; do sleep 1; done; }
workers
while dvc queue status | grep -E 'Running|Queued' >/dev/null; do dvc queue start -j 2; workers; done
"""


def keep_checkpoints() -> None:
    """In a stage's process: put a copy of each epoch's checkpoint into `checkpoints`."""
    folder = Path("checkpoints")
    folder.mkdir()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and Path(arguments[1]).name == "checkpoint.npz":
            shutil.copy(arguments[0], folder / f"{len(list(folder.iterdir())) + 1}.npz")

    sys.addaudithook(note)


def wait_for(process: subprocess.Popen[str], start: str) -> None:
    """Read what a process prints up to the line that starts so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(f"it ended without {start!r}")


def kill(process: subprocess.Popen[str], *, whole_group: bool = True) -> None:
    """Kill DVC, and the stage as well or not: then it goes on without its parent."""
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def compare(project: Project, *arguments: str) -> tuple[int, str]:
    """The status of `python -m pipeline compare`, and all that it printed."""
    done = project.module("pipeline", "compare", *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def compare_json(project: Project, *arguments: str) -> dict[str, Any]:
    status, printed = compare(project, "--json", *arguments)
    assert status == 0, printed
    report: dict[str, Any] = json.loads(printed)
    return report


def _module(
    folder: Path,
    name: str,
    arguments: tuple[str, ...],
    before: Callable[[], None] | None,
    printed: tuple[Path, Path],
) -> None:
    """Become `python -m name`, with the modules of the project in `folder`."""
    for stream, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    settings = environment()
    os.environ.clear()
    os.environ.update(settings)
    os.chdir(folder)
    sys.path = [str(folder), *(path for path in sys.path if Path(path).resolve() != ROOT)]
    sys.argv = [name, *arguments]
    for module in list(sys.modules):
        if module.partition(".")[0] in ("pipeline", "stages"):
            del sys.modules[module]
    if before:
        before()
    runpy.run_module(name, run_name="__main__", alter_sys=True)
