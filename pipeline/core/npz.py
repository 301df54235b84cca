"""Reading `.npz` archives as this project writes them, without a copy in memory."""

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


def mapped(file: BinaryIO, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return the arrays of an archive that is as `np.savez` writes it, without a copy in memory.

    Source: PKWARE's .ZIP File Format Specification, section 4.3.7.

    Raises:
        ValueError: it holds anything else, or was changed since.
    """
    content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if [entry.filename for entry in entries] != [f"{name}.npy" for name in names]:
        raise ValueError(f"it does not hold {' and '.join(names)}, and nothing else")
    arrays, end = [], 0
    for entry in entries:  # one after the other, with nothing between
        start = end + 30 + sum(struct.unpack_from("<HH", content, end + 26))  # name and extra field
        if entry.header_offset != end or entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{entry.filename} is not stored as it was written")
        end = start + entry.file_size
        if zlib.crc32(content[start:end]) != entry.CRC:
            raise ValueError(f"{entry.filename} is damaged: its checksum is wrong")
        arrays.append(_array(content[start:end]))
    return arrays


def _array(content: memoryview) -> NDArray[Any]:
    """Return the array in the bytes of an `.npy` file; NumPy makes no pointers of them."""
    file = io.BytesIO(content[:1024])  # the header takes 128
    version = np.lib.format.read_magic(file)
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if version != (1, 0) or fortran_order or min(shape, default=0) < 0:
        raise ValueError("an array in it is not stored as it was written")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape)


def expect(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    """Check an array's type and shape.

    Raises:
        ValueError: one of them is another.
    """
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"its {name} are {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} {list(shape)}"
        )
