"""What the data is called and where it lies: shared by every stage that touches it."""

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.params import Section
from pipeline.core.reading import reading

IMAGE_SIZE = 28
# The official labels, in the order of their numbers: https://github.com/zalandoresearch/fashion-mnist
CLASS_NAMES = (
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
)

RAW = Path("data/raw")
TRAIN_IMAGES = RAW / "train-images-idx3-ubyte.gz"
TRAIN_LABELS = RAW / "train-labels-idx1-ubyte.gz"
TEST_IMAGES = RAW / "t10k-images-idx3-ubyte.gz"
TEST_LABELS = RAW / "t10k-labels-idx1-ubyte.gz"

TRAIN = Path("data/processed/train.npz")
VALIDATION = Path("data/processed/validation.npz")
TEST = Path("data/processed/test.npz")

TEST_PROBABILITIES = Path("data/predictions/test.npz")

Source = Literal["fashion-mnist", "synthetic"]


class DataSource(Section):
    """The one data parameter that later stages need: it labels what they print and draw."""

    source: Source


def label(source: Source) -> str:
    """Return what to put after a metric or a title, so that nobody takes synthetic for real."""
    return " (synthetic data)" if source == "synthetic" else ""


class Dataset(NamedTuple):
    """Labelled images.

    Attributes:
        images: float32 `[N, *shape]`, 0 (background) to 1.
        labels: uint8 `[N]`, the number of each image's class, from 0.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]


def load(
    path: Path,
    shape: tuple[int, ...] = (IMAGE_SIZE, IMAGE_SIZE),
    classes: int = len(CLASS_NAMES),
) -> Dataset:
    """Open one of the processed `.npz` files: arrays that cannot be written to.

    What they hold is mapped from the file. With all checks that takes 0.06 s for the 170 MB of the
    training set, most of it for the checksum; by `np.load` it would be 0.6 s.

    Args:
        path: what `preprocess` has written.
        shape: of an image: `[H, W]` or `[H, W, channels]`.
        classes: how many there are.

    Raises:
        PipelineError: the file is missing, or is not exactly what `preprocess` writes.
    """
    with reading(path) as file:
        images, labels = _mapped(file, Dataset._fields)
        _expect("images", images, np.float32, (len(images), *shape))
        _expect("labels", labels, np.uint8, (len(images),))
        # In 0.01 s for 170 MB: as unsigned integers, positive floats keep their order, and all that
        # are negative or NaN come after 1.
        if images.size and images.view(np.uint32).max() > np.float32(1).view(np.uint32):
            raise ValueError("its images are not all from 0 to 1")
        if len(labels) and labels.max() >= classes:
            raise ValueError(f"it has a label {labels.max()}; allowed are 0 to {classes - 1}")
    return Dataset(images, labels)


def load_probabilities(path: Path, images: int, classes: int) -> NDArray[np.float32]:
    """Return the probabilities of the classes that `evaluate` has written, float32 `[N, classes]`.

    Raises:
        PipelineError: the file is missing, or is not that for so many images, at least one.
    """
    with reading(path) as file:
        (probabilities,) = _mapped(file, ("probabilities",))
        _expect("probabilities", probabilities, np.float32, (images, classes))
        check_probabilities(probabilities)
    return probabilities


def check_probabilities(probabilities: NDArray[np.float32]) -> None:
    """Check float32 `[N, classes]`.

    Raises:
        ValueError: there are none, or a row is not a distribution.
    """
    if not len(probabilities):
        raise ValueError("there are no images")
    # Both are false of NaN.
    if not (probabilities.min() >= 0 and abs(probabilities.sum(axis=1) - 1).max() < 1e-3):
        raise ValueError("the probabilities of an image are negative, NaN or do not add up to 1")


def _mapped(file: BinaryIO, names: Sequence[str]) -> list[NDArray[Any]]:
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


def _expect(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"its {name} are {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} {list(shape)}"
        )
