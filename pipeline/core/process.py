"""The process that a stage runs in: free of what was set, or closed, for other programs."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pipeline.core.errors import PipelineError

# What a notebook or a shell may have set for other projects: it changes results, or ends in an
# error. What fits a library to the machine, such as OPENBLAS_CORETYPE, stays.
FOREIGN = ("FREETYPE_", "MATPLOTLIBRC", "MPLBACKEND", "NPY_", "TQDM_")
SOON = 0.05  # seconds


def prepare() -> None:
    """Make the process fit for a stage, before it imports any library."""
    forget_settings(FOREIGN)
    open_standard_streams()
    name_user()


@contextmanager
def tidied_up() -> Iterator[None]:
    """Let a signal end this block as an exception does: temporary files and child processes go.

    The exit status is then 128 and the signal's number.
    """
    before = {
        number: signal.signal(number, _exit)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN  # as `nohup` has the first
    }
    sys.unraisablehook = _again
    try:
        yield
    finally:
        sys.unraisablehook = sys.__unraisablehook__
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals wait for the end of this block, in which an exception would abort native code."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _again(lost: "sys.UnraisableHookArgs") -> None:
    """Send a signal again whose exception Python ignored, as it does in what a finalizer calls."""
    if isinstance(lost.exc_value, SystemExit) and isinstance(lost.exc_value.code, int):
        number = lost.exc_value.code - 128
        threading.Timer(SOON, os.kill, (os.getpid(), number)).start()
    else:
        sys.__unraisablehook__(lost)


def open_standard_streams() -> None:
    """Open those that are closed, and escape what the encoding does not hold, as a path may.

    A file would get the number of a closed one, and what is printed.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what was printed: what cannot be written is an error now, and not after the end.

    Raises:
        BrokenPipeError: what reads it, such as `head`, has ended.
        PipelineError: it cannot be written, as on a full disk.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PipelineError(f"standard output cannot be written: {error.strerror}") from None


def drop_unwritten() -> None:
    """Let what cannot be printed any more go nowhere, or Python tries it again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def name_user() -> None:
    """Give DVC a name and a home where the user has none, as a container under any number has."""
    if not {"LOGNAME", "USER", "LNAME", "USERNAME"} & os.environ.keys():
        os.environ["USER"] = f"user-{os.getuid()}"
    if not os.access(os.path.expanduser("~/"), os.W_OK):  # noqa: PTH111 (never raises)
        os.environ["HOME"] = str(Path(".dvc/tmp").resolve())


def forget_settings(prefixes: tuple[str, ...]) -> None:
    """Remove from the environment what begins with one of the `prefixes`."""
    for name in [name for name in os.environ if name.startswith(prefixes)]:
        del os.environ[name]
