"""The IDX format of the MNIST family, gzipped: https://yann.lecun.com/exdb/mnist/.

Two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit integer, then the elements, last dimension fastest.
"""

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.data.dataset import CLASS_NAMES, IMAGE_SIZE

UNSIGNED_BYTE = 0x08


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
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} is not a whole gzip file: {error}") from None
    header_size = 4 + 4 * dimensions
    if len(content) < header_size:
        raise PipelineError(f"{path} ends in its header, after {len(content)} bytes")
    zero, kind, found = struct.unpack_from(">HBB", content)
    if zero != 0:
        raise PipelineError(f"{path} starts with {content[:2].hex()}, not with 0000: no IDX file")
    if kind != UNSIGNED_BYTE:
        raise PipelineError(f"{path} holds elements of type 0x{kind:02x}, not 0x08 (unsigned byte)")
    if found != dimensions:
        raise PipelineError(f"{path} has {found} dimensions, not {dimensions}")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    expected = header_size + int(np.prod(shape, dtype=np.uint64))
    if len(content) != expected:
        raise PipelineError(
            f"{path} has {len(content)} bytes, but its dimensions {shape} take {expected}"
        )
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)


def read_pair(images_path: Path, labels_path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images uint8 `[N, 28, 28]` and labels uint8 `[N]`, 0 to 9, that belong together.

    Raises:
        PipelineError: a file is not as it should be, or the two do not fit each other.
    """
    images = read(images_path, dimensions=3)
    labels = read(labels_path, dimensions=1)
    if images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        size = " by ".join(map(str, images.shape[1:]))
        raise PipelineError(f"{images_path} has images of {size} pixels, not 28 by 28")
    if len(images) != len(labels):
        raise PipelineError(
            f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels"
        )
    if len(labels) == 0:
        raise PipelineError(f"{labels_path} is empty")
    if labels.max() >= len(CLASS_NAMES):
        raise PipelineError(f"{labels_path} has a label {labels.max()}; allowed are 0 to 9")
    return images, labels
