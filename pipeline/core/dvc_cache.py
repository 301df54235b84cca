"""Reading DVC's cache, wherever the user has put it."""

from pathlib import Path


def find(md5: str, root: Path | None = None) -> Path:
    """Return where the repository at `root` (or here) keeps the content of this hash.

    Raises:
        FileNotFoundError: it is not in the cache, or there is no DVC repository to ask.
    """
    # Slow to import, and seldom needed.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(root) as repo:
            path = Path(repo.cache.local.oid_to_path(md5))
    except DvcException:
        raise FileNotFoundError(md5) from None
    if not path.exists():
        raise FileNotFoundError(path)
    return path
