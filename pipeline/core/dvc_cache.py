"""Reading DVC's cache, wherever the user has put it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def find(md5: str, root: Path | None = None) -> Path:
    """Return where the repository at `root` (or here) keeps the content of this hash.

    Raises:
        FileNotFoundError: it is not in the cache, or there is no DVC repository to ask.
    """
    with _opened(root) as cache:
        path = Path(cache.oid_to_path(md5))
    if not path.exists():
        raise FileNotFoundError(path)
    return path


def folder(root: Path | None = None) -> Path:
    """Return where the repository at `root` (or here) keeps its cache.

    Raises:
        FileNotFoundError: there is no DVC repository to ask.
    """
    with _opened(root) as cache:
        return Path(cache.path)


@contextmanager
def _opened(root: Path | None) -> Iterator[Any]:
    # Slow to import, and seldom needed.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(root) as repo:
            yield repo.cache.local
    except DvcException as error:
        raise FileNotFoundError(f"there is no DVC cache: {error}") from None
