"""Reading files that anything may have happened to: every fault of one becomes one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from pipeline.core.errors import PipelineError, one_line


@contextmanager
def reading(path: Path, name: str = "") -> Iterator[BinaryIO]:
    """Open a file for the block that reads it, and checks what its caller relies on.

    Errors call it `name`, where that is given, and then leave open what to do.

    Raises:
        PipelineError: it is missing or not a regular file, or the block raised an exception.
    """
    remedy = "" if name else "; remove it and run `dvc repro`"
    name = name or str(path)
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            if path.exists():
                raise ValueError("it is not a regular file")
            raise PipelineError(f"{name} is missing; run `dvc repro`")
        with path.open("rb") as file:
            yield file
    except PipelineError:
        raise
    except Exception as error:  # parsers raise anything, from KeyError to MemoryError
        raise PipelineError(f"{name} cannot be used: {_reason(error)}{remedy}") from error


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong, and where."""
    first = error.errors()[0]
    # What a validator of ours says is said in full.
    reason = str(first.get("ctx", {}).get("error", first["msg"].lower()))
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), reason]))


def _reason(error: Exception) -> str:
    """Return what is wrong in one printable line."""
    if isinstance(error, ValidationError):
        text = first_fault(error)
    else:
        text, kind = one_line(error), type(error).__name__
        if text != kind and not isinstance(error, (OSError, ValueError)):
            text = f"{kind}: {text}"
    return text if text.isprintable() else ascii(text)
