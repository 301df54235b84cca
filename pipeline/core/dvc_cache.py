"""Opening a repository of DVC, and reading its cache, wherever the user has put that."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError, one_line


@contextmanager
def open_repo(root: Path | None = None) -> Iterator[Any]:
    """Open the repository at `root` (or here) as DVC does.

    Raises:
        PipelineError: DVC fails, here or in the block.
    """
    from dvc.repo import Repo  # slow to import, and seldom needed

    with faults(), Repo(root) as repo:
        yield repo


@contextmanager
def faults() -> Iterator[None]:
    """Raise what DVC raises in this block as a `PipelineError`; errors of the system stay."""
    try:
        yield
    except (PipelineError, OSError):
        raise
    except Exception as error:  # its own, and those of what it reads git and YAML with
        raise PipelineError(f"DVC: {one_line(error)}") from error


def md5_of(content: bytes) -> str:
    """Return the hash by which DVC knows this content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def find(md5: str, root: Path | None = None) -> Path:
    """Return where the repository at `root` (or here) keeps the content of this hash.

    Raises:
        FileNotFoundError: it is not in the cache.
        PipelineError: there is no DVC repository to ask.
    """
    with open_repo(root) as repo:
        path = Path(repo.cache.local.oid_to_path(md5))
    if not path.exists():
        raise FileNotFoundError(path)
    return path
