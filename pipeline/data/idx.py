"""The IDX format of the MNIST family, gzipped: https://yann.lecun.com/exdb/mnist/.

Two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit integer, then the elements, last dimension fastest.
"""

import gzip
import io
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.core.reading import reading
from pipeline.data.dataset import Description

UNSIGNED_BYTE = 0x08
MAX_BYTES = 2**32  # of an array: five million images of 28 by 28


def write(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a uint8 array of any number of dimensions."""
    header = struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTE, array.ndim, *array.shape)
    content = io.BytesIO()
    # Neither name nor time in the gzip header. `gzip.compress` would do, but for one byte in which
    # versions of Python differ.
    with gzip.GzipFile("", "wb", fileobj=content, mtime=0) as file:
        file.write(header + array.tobytes())
    write_bytes(path, content.getvalue())


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the uint8 array in `path`, which must have that many dimensions.

    Raises:
        PipelineError: the file is missing or is not exactly such an array.
    """
    with reading(path) as file, gzip.GzipFile(fileobj=file) as content:
        header_size = 4 + 4 * dimensions
        header = content.read(header_size)
        if len(header) < header_size:
            raise ValueError(f"it ends in its header, after {len(header)} bytes")
        zero, kind, found = struct.unpack_from(">HBB", header)
        if zero != 0:
            raise ValueError(f"it starts with {header[:2].hex()}, not with 0000 as IDX files do")
        if kind != UNSIGNED_BYTE:
            raise ValueError(f"its elements are of type 0x{kind:02x}, not 0x08 (unsigned byte)")
        if found != dimensions:
            raise ValueError(f"it has {found} dimensions, not {dimensions}")
        shape = struct.unpack_from(f">{dimensions}I", header, 4)
        if (size := math.prod(shape)) > MAX_BYTES:
            raise ValueError(f"its dimensions {shape} take {size:,} bytes of {MAX_BYTES:,} allowed")
        elements = content.read(size + 1)  # no more, whatever the file unpacks to
        if len(elements) != size:
            few = "fewer" if len(elements) < size else "more"
            raise ValueError(f"its dimensions {shape} take {size} bytes, but it has {few}")
    return np.frombuffer(elements, np.uint8).reshape(shape)


def read_pair(
    images_path: Path, labels_path: Path, description: Description
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images uint8 `[N, *shape]` and labels uint8 `[N]` that belong together.

    Raises:
        PipelineError: a file is not as it should be, or the two do not fit each other.
    """
    shape, classes = description.shape, len(description.classes)
    images = read(images_path, dimensions=1 + len(shape))
    labels = read(labels_path, dimensions=1)
    if images.shape[1:] != shape:
        found, allowed = (" by ".join(map(str, size)) for size in (images.shape[1:], shape))
        raise PipelineError(f"{images_path} has images of {found} pixels, not {allowed}")
    if len(images) != len(labels):
        raise PipelineError(
            f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels"
        )
    if len(labels) == 0:
        raise PipelineError(f"{labels_path} is empty")
    if labels.max() >= classes:
        raise PipelineError(
            f"{labels_path} has a label {labels.max()}; allowed are 0 to {classes - 1}"
        )
    return images, labels
