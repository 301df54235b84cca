"""What a stage declares in `dvc.yaml`, and the proof that none of it changed while it ran.

DVC hashes the dependencies of a stage after its command has ended, and so takes an edit made in
the meantime for what gave the result: https://github.com/treeverse/dvc/issues/11058.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import pipeline
from pipeline import CODE_AT_START
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE, load_yaml, read_declared, select

REQUIREMENTS = "requirements.txt"
RUNNING = Path(pipeline.__file__)  # the library, as this process has imported it

# A path, alone or with its settings.
Output = str | Annotated[dict[str, Any], Field(min_length=1, max_length=1)]


class Declaration(BaseModel):
    """What `dvc.yaml` says of a stage."""

    model_config = ConfigDict(strict=True, frozen=True)

    cmd: str
    deps: list[str] = []
    params: list[str] = []
    outs: list[Output] = []
    metrics: list[Output] = []
    plots: list[Output] = []

    def outputs(self) -> list[str]:
        """Return the paths of all that it writes."""
        entries = [*self.outs, *self.metrics, *self.plots]
        return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@dataclass(frozen=True)
class FileState:
    """A file as it was."""

    sha256: str
    written: tuple[int, int, int]  # size, time of the last write in ns, inode
    touched: int  # time of the last change of any kind in ns, which no program can set


@dataclass(frozen=True)
class Inputs:
    """The inputs of a stage at one moment: its dependencies and its declared parameters."""

    stage: str
    deps: list[str]
    declared: list[str]  # the names of the parameters
    outputs: list[str]  # what it has to write
    params: dict[str, Any]
    files: dict[str, FileState]  # the dependencies, and what is below those that are folders

    def fingerprint(self) -> str:
        """Return a SHA-256 that is the same for the same inputs, wherever they lie."""
        content = {path: state.sha256 for path, state in self.files.items()}
        text = json.dumps([self.stage, self.params, content], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self) -> None:
        """Compare the inputs with what they are now.

        Raises:
            PipelineError: a line for each file or parameter that was changed since.
        """
        paths = dict.fromkeys([*self.files, *_files(self.deps)])
        changed = [path for path in paths if not _unchanged(path, self.files.get(path))]
        now = read_declared(self.declared)
        changed += [
            f"{PARAMS_FILE}: {name}"
            for name in self.declared
            if select(self.params, [name]) != select(now, [name])
        ]
        if changed:
            reason = "changed while the stage ran: its results may mix old and new; run it again"
            raise PipelineError("\n".join(f"{name} {reason}" for name in changed))


def observe(stage: str) -> Inputs:
    """Return the inputs of `stage` as they are now.

    Raises:
        PipelineError: a dependency is missing or was changed after the process started, or a
            library is not of the version that `requirements.txt` pins, and so says to DVC.
    """
    try:
        declared = Declaration.model_validate(load_yaml("dvc.yaml")["stages"][stage])
    except (KeyError, TypeError, ValidationError):
        declared = None
    if not (declared and declared.deps and declared.params):
        raise PipelineError(f"dvc.yaml does not declare the stage {stage} in full")
    params = read_declared(declared.params)
    files = {}
    for path in _files(declared.deps):
        if not Path(path).is_file():  # anything else may block for ever
            raise PipelineError(
                f"{path} is missing or not a file; restore it, or run `dvc repro` if a stage "
                "writes it"
            )
        files[path] = _state(path)
    if (own := "pipeline/__init__.py") in files and not Path(own).samefile(RUNNING):
        raise PipelineError(
            f"the code that runs is {RUNNING.parent}, not that of this folder; "
            "unset PYTHONPATH and PYTHONSAFEPATH"
        )
    # Code that is loaded already may be from before the change.
    late = [p for p, state in files.items() if state.touched != CODE_AT_START.get(p, state.touched)]
    if late:
        reason = "changed after the stage was started; run it again"
        raise PipelineError("\n".join(f"{path} {reason}" for path in late))
    _check_versions()
    return Inputs(stage, declared.deps, declared.params, declared.outputs(), params, files)


def _files(paths: Iterable[str]) -> Iterator[str]:
    """Yield the paths, and in the place of a folder the files below it, in a fixed order."""
    for path in paths:
        if Path(path).is_dir():
            yield from sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
        else:
            yield path


def _state(path: str) -> FileState:
    with Path(path).open("rb") as file:
        status = os.fstat(file.fileno())  # first, so that a write during the hashing shows later
        return FileState(
            sha256=hashlib.file_digest(file, "sha256").hexdigest(),
            written=(status.st_size, status.st_mtime_ns, status.st_ino),
            touched=status.st_ctime_ns,
        )


def _unchanged(path: str, before: FileState | None) -> bool:
    """Tell whether a file was left alone: not even written back as it was."""
    if before is None:
        return False
    try:
        status = Path(path).stat()
        if (status.st_size, status.st_mtime_ns, status.st_ino) != before.written:
            return False
        # What DVC links into its cache is touched; code may have been read between two edits.
        left_alone = status.st_ctime_ns == before.touched
        return left_alone or (path not in CODE_AT_START and _state(path).sha256 == before.sha256)
    except FileNotFoundError:
        return False


def _check_versions() -> None:
    text = Path(REQUIREMENTS).read_text(encoding="utf-8", errors="replace")
    for name, pinned in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE):
        try:
            installed = version(name)
        except PackageNotFoundError:  # pinned for another platform
            continue
        if installed != pinned:
            raise PipelineError(
                f"{name} {installed} is installed, but {REQUIREMENTS} pins {pinned}; run `make run`"
            )
