"""Fetching the four official Fashion-MNIST files from whichever mirror has them."""

import hashlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import requests
from tqdm import tqdm

from pipeline.core import dvc_cache
from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError, one_line, printable
from pipeline.data.dataset import RAW, Description, Reference

MIRROR_VARIABLE = "FASHION_MNIST_MIRROR"
CACHE = "DVC's cache"  # the first place, before folders and URLs
ANOTHER = "Another data set goes into data/own, with data.source: folder."
CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3  # for each URL
DEADLINE = 60.0  # seconds for a file from one place, beside those for its size
SLOWEST = 50_000.0  # bytes a second
BACK_OFF = 0.5  # seconds before the second attempt, doubled before each further one


class RawFile(NamedTuple):
    """One of the official files, by what identifies it on any mirror."""

    name: str
    size: int
    sha256: str
    md5: str  # the name under which DVC keeps it, not a proof of anything


FILES = (
    RawFile(
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ),
    RawFile(
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "25c81989df183df01b3e8a0aad5dffbe",
    ),
    RawFile(
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "bef4ecab320f06d8554ea6380940ec79",
    ),
    RawFile(
        "t10k-labels-idx1-ubyte.gz",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)


DESCRIPTION = Description(
    name="Fashion-MNIST",
    source="fashion-mnist",
    # The official labels, in the order of their numbers.
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    height=28,
    width=28,
    channels=1,
    preparation="garment",
    licence="MIT",
    url="https://github.com/zalandoresearch/fashion-mnist",
    # Not the 0.967 that the data set's authors list: it is of the data before duplicates went, as
    # is 0.96 of the paper on random erasing, of which 0.9555 was left (a mean of several runs).
    references=(
        Reference(
            name="People without training in fashion",
            accuracy=0.835,
            images=1_000,
            url="https://github.com/zalandoresearch/fashion-mnist#benchmark",
        ),
        Reference(
            name="ResNet-20 with random erasing",
            accuracy=0.9555,
            images=None,
            url="https://github.com/zhunzhong07/Random-Erasing/issues/10",
        ),
        Reference(
            name="Fine-tuned DARTS",
            accuracy=0.9691,
            images=None,
            url="https://arxiv.org/abs/2006.09042",
            claimed=True,
        ),
    ),
)


class UnusableError(Exception):
    """A place did not give the file that was asked for, or not in time."""


class UnreachableError(PipelineError):
    """No mirror has a file."""


def fetch(mirrors: Sequence[str]) -> None:
    """Bring the four files to `data/raw`, leaving alone those that are there and right.

    Args:
        mirrors: base URLs, tried in this order after DVC's cache and the `local_places`.

    Raises:
        UnreachableError: no place has one of the files; names each place and its reason.
    """
    for file in FILES:
        path = RAW / file.name
        try:
            if path.is_file():
                _check(file, path.read_bytes())
                continue
        except UnusableError as error:
            print(f"{path} {error}: replacing it. {ANOTHER}", flush=True)
        write_bytes(path, _fetch_one(file, [*local_places(), *mirrors]))


def local_places() -> Iterator[str]:
    """Yield what `FASHION_MNIST_MIRROR` names, and the folders where the files often lie."""
    if chosen := os.environ.get(MIRROR_VARIABLE):
        yield chosen
    # Beside the project, or above it: DVC runs experiments in copies under `.dvc/tmp`.
    for parent in Path.cwd().parents:
        if os.path.isdir(folder := parent / "shared" / "fashion-mnist"):  # noqa: PTH112 (never raises)
            yield str(folder)
    keras_home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")  # noqa: PTH111 (never raises)
    if os.path.isdir(folder := Path(keras_home) / "datasets" / "fashion-mnist"):  # noqa: PTH112
        yield str(folder)


def _fetch_one(file: RawFile, places: Sequence[str]) -> bytes:
    reasons: dict[str, str] = {}
    for place in (CACHE, *places):
        try:
            with _deadline(DEADLINE + file.size / SLOWEST):
                content = _read(file, place)
            _check(file, content)
        # A server can make the libraries below fail in any way; the next place may still serve.
        except Exception as error:  # noqa: BLE001
            reasons[place] = f"{_shown(place)}: {_shown(_reason(error))}"
        else:
            chosen = os.environ.get(MIRROR_VARIABLE)
            if chosen in reasons:
                print(f"{file.name}: not from {MIRROR_VARIABLE}: {reasons[chosen]}. {ANOTHER}")
            print(f"{file.name}: from {_shown(place)}", flush=True)
            return content
    raise UnreachableError(
        "\n".join(
            [
                f"no mirror has {file.name}:",
                *(f"  {reason}" for reason in reasons.values()),
                f"set {MIRROR_VARIABLE} to a folder or URL that holds the four files, "
                "or data.source to synthetic in params.yaml",
            ]
        )
    )


def _read(file: RawFile, place: str) -> bytes:
    if place.startswith(("http://", "https://")):
        return _download(file, place)
    path = dvc_cache.find(file.md5) if place == CACHE else Path(place) / file.name
    if not path.is_file():  # anything else may block for ever
        raise FileNotFoundError(path)
    return path.read_bytes()


def _check(file: RawFile, content: bytes) -> None:
    if len(content) > file.size:  # maybe not read to its end
        raise UnusableError(f"has more than the {file.size} bytes of Fashion-MNIST")
    if len(content) < file.size:
        raise UnusableError(f"has {len(content)} bytes, not the {file.size} of Fashion-MNIST")
    if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise UnusableError(f"has SHA-256 {found}, not Fashion-MNIST's {file.sha256}")


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Interrupt the block after so long, also where a server sends a byte now and then."""

    def expire(*_: object) -> None:
        raise UnusableError(f"took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _download(file: RawFile, base_url: str) -> bytes:
    """Return what the mirror serves, trying again where that may help.

    Raises:
        requests.RequestException: the last attempt failed.
    """
    url = f"{base_url.rstrip('/')}/{file.name}"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _transfer(url, file.size)
        except requests.RequestException as error:
            refused = error.response is not None and error.response.status_code < 500
            if refused or attempt == ATTEMPTS:
                raise
            time.sleep(BACK_OFF * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _transfer(url: str, size: int) -> bytes:
    content = bytearray()
    with (
        requests.get(
            url,
            stream=True,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            # A `.gz` file must not be unpacked on its way here.
            headers={"Accept-Encoding": "identity"},
        ) as response,
        tqdm(
            desc=url.rsplit("/", 1)[-1],
            total=size,
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        ) as progress,
    ):
        response.raise_for_status()
        for chunk in response.iter_content(1 << 16):
            content += chunk
            progress.update(len(chunk))
            if len(content) > size:  # a wrong answer need not be read to its end
                break
    return bytes(content)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"answered {error.response.status_code} {error.response.reason[:40]}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "broke off before the end"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    if isinstance(error, FileNotFoundError):
        return "does not have the file"
    return one_line(error)


def _shown(text: str) -> str:
    """Return `text` without the passwords of URLs, and without what would control a terminal."""
    return printable(re.sub(r"://([^/]*|[^/@]*:(?!\d*/).*)@", "://", text))
