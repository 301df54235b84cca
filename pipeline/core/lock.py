"""One at a time, also where the process that started another was killed and left it running."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(name: str) -> Iterator[int]:
    """Wait, and say so, until no other process of this project is inside `alone(name)`.

    Gives the file descriptor of the lock: a process that inherits it holds the lock as well.
    """
    path = Path(f".dvc/tmp/{name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another {name} that is running here", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
