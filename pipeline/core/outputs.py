"""A stage writes what `dvc.yaml` declares: all of it, and nothing else beside it.

DVC does not notice a file that a stage leaves in a folder of results undeclared: it is not
compared, not restored, and not written again when it is out of date.
"""

import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def watch() -> set[str]:
    """Return a set that fills with the names of the files that this process writes from now on.

    Another program may well save a file in the same folder, so the folder itself does not tell.
    What a library writes without Python, as HDF5 does, is not seen.
    """
    written: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(arguments[0], int) and arguments[2] & WRITING:
            written.add(os.fsdecode(arguments[0]))
        elif event in ("os.rename", "os.link", "os.symlink"):
            written.add(os.fsdecode(arguments[1]))

    sys.addaudithook(note)
    return written


def check(declared: Collection[str], written: Iterable[str], scratch: Collection[Path]) -> None:
    """Compare what `watch` has seen written with the outputs that the stage declares.

    The `scratch` files may lie beside them.

    Raises:
        PipelineError: a line for each output that is missing and each file that is not declared.
    """
    known = {*map(_place, declared), *map(_place, scratch)}
    folders = {path.parent for path in map(_place, declared)}
    others = {path for path in map(_place, written) if not folders.isdisjoint(path.parents)}
    lines = [
        f"{path} was not written, though dvc.yaml declares it"
        for path in declared
        if not Path(path).exists()
    ] + [
        f"{os.path.relpath(path)} was written, but dvc.yaml does not declare it"
        for path in sorted(others - known)
        if path.exists()
    ]
    if lines:
        raise PipelineError("\n".join(lines))


def _place(path: str | Path) -> Path:
    """Return the absolute path; DVC may make an output itself a link to its cache."""
    return Path(path).parent.resolve() / Path(path).name
