"""The IDX format of the MNIST family: https://yann.lecun.com/exdb/mnist/.

Two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit
integer, then the elements, last dimension fastest. Written gzipped, read gzipped or not, and part
by part: a set of images need not fit into memory.
"""

import gzip
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.core.artifacts import replacing
from pipeline.core.errors import PipelineError
from pipeline.core.reading import reading
from pipeline.data.dataset import Description

UNSIGNED_BYTE, SHORT = 0x08, 0x0B
TYPES: dict[int, np.dtype[Any]] = {UNSIGNED_BYTE: np.dtype(np.uint8), SHORT: np.dtype(">i2")}
PART = 2**23  # bytes of an array that are in memory at a time

Labels = NDArray[Any]  # [N], uint8 or, of more than 256 classes, uint16


def write(path: Path, array: Labels) -> None:
    """Write an array of any number of dimensions, of uint8, or of uint16 below 2 to the 15."""
    kind = UNSIGNED_BYTE if array.dtype == np.uint8 else SHORT
    with writing(path, array.shape, kind) as content:
        content.write(array.astype(TYPES[kind], copy=False).tobytes())


@contextmanager
def writing(
    path: Path, shape: tuple[int, ...], kind: int = UNSIGNED_BYTE
) -> Iterator[gzip.GzipFile]:
    """Give the block a file to write the elements of such an array to; an error leaves none."""
    # Neither name nor time in the gzip header.
    with (
        replacing(path) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as content,
    ):
        content.write(struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape))
        yield content


def read_header(path: Path, name: str = "") -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and the shape of the array in `path`; errors call it `name`, where given.

    Raises:
        PipelineError: the file is missing, or does not start as an IDX file does.
    """
    with _opened(path, name) as content:
        return _header(content)


def read_parts(path: Path, name: str = "") -> Iterator[NDArray[Any]]:
    """Yield the array in `path`, uint8 or int16, in parts along its first dimension.

    Raises:
        PipelineError: the file is missing or is not exactly one array.
    """
    with _opened(path, name) as content:
        dtype, shape = _header(content)
        size, row = (math.prod(dims) * dtype.itemsize for dims in (shape, shape[1:]))
        step = max(1, PART // max(1, row))
        for first in range(0, shape[0], step):
            elements = content.read(row * min(step, shape[0] - first))
            if len(elements) < row * min(step, shape[0] - first):
                raise ValueError(f"its dimensions {shape} take {size} bytes, but it has fewer")
            yield np.frombuffer(elements, dtype).reshape(-1, *shape[1:])
        if content.read(1):
            raise ValueError(f"its dimensions {shape} take {size} bytes, but it has more")


def read(path: Path, dimensions: int, name: str = "") -> NDArray[Any]:
    """Return the whole array in `path`, uint8 or int16, which must have that many dimensions.

    Raises:
        PipelineError: the file is missing or is not exactly such an array.
    """
    dtype, shape = read_header(path, name)
    if len(shape) != dimensions:
        raise PipelineError(f"{path} has {len(shape)} dimensions, not {dimensions}")
    return np.concatenate([np.empty((0, *shape[1:]), dtype), *read_parts(path, name)])


def read_labels(images_path: Path, labels_path: Path, description: Description) -> Labels:
    """Return the labels, `[N]` of the description's type, of N images of the description's shape.

    Raises:
        PipelineError: a file is not as it should be, or the two do not fit each other.
    """
    dtype, (count, *shape) = read_header(images_path)
    labels_count = read_header(labels_path)[1][0]
    if dtype != np.uint8 or tuple(shape) != description.shape:
        found, allowed = [count, *shape], [count, *description.shape]
        raise PipelineError(f"{images_path} holds {dtype.name} {found}, not uint8 {allowed}")
    if count != labels_count:
        raise PipelineError(
            f"{images_path} has {count} images, but {labels_path} has {labels_count} labels"
        )
    if count == 0:
        raise PipelineError(f"{labels_path} is empty")
    labels = read(labels_path, dimensions=1)
    classes = len(description.classes)
    for label in (labels.min(), labels.max()):
        if not 0 <= label < classes:
            raise PipelineError(
                f"{labels_path} has a label {label}; allowed are 0 to {classes - 1}"
            )
    return labels.astype(description.label_type)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """Give the content of a file, unpacked where it is gzipped."""
    with reading(path, name) as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        yield gzip.GzipFile(fileobj=file) if gzipped else file  # type: ignore[misc]


def _header(content: BinaryIO) -> tuple[np.dtype[Any], tuple[int, ...]]:
    start = content.read(4)
    if len(start) < 4:
        raise ValueError(f"it ends in its header, after {len(start)} bytes")
    zero, kind, dimensions = struct.unpack(">HBB", start)
    if zero != 0:
        raise ValueError(f"it starts with {start[:2].hex()}, not with 0000 as IDX files do")
    if kind not in TYPES:
        raise ValueError(
            f"its elements are of type 0x{kind:02x}, not 0x08 (unsigned byte) or 0x0b (short)"
        )
    rest = content.read(4 * dimensions)
    if len(rest) < 4 * dimensions:
        raise ValueError(f"it ends in its header, after {len(start + rest)} bytes")
    shape = struct.unpack(f">{dimensions}I", rest)
    if not shape:
        raise ValueError("it has no dimensions")
    if (row := math.prod(shape[1:])) > PART:
        raise ValueError(f"its rows of {list(shape[1:])} take {row:,} bytes of {PART:,} allowed")
    return TYPES[kind], shape
