"""What the data is called and where it lies: shared by every stage that touches it."""

import os
import struct
import zipfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.params import Section

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
        images: float32 `[N, 28, 28]`, 0 (background) to 1.
        labels: uint8 `[N]`, 0 to 9, an index of `CLASS_NAMES`.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]


def load(path: Path) -> Dataset:
    """Open one of the processed `.npz` files: arrays that cannot be written to.

    What they hold is read from the file as it is used.
    """
    return Dataset(_mapped(path, "images.npy"), _mapped(path, "labels.npy"))


def _mapped(path: Path, name: str) -> NDArray[Any]:
    """Return an array of an archive as `np.savez` writes it, without a copy in memory.

    Its checksum is not compared. Source: PKWARE's .ZIP File Format Specification, section 4.3.7.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        file.seek(archive.getinfo(name).header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)  # its name and extra field
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.asarray(np.memmap(file, dtype, "r", file.tell(), shape))
