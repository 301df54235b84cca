"""What a data set is, and where it lies: shared by every stage that touches it."""

import csv
import io
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.core.artifacts import write_json
from pipeline.core.npz import expect, mapped
from pipeline.core.params_file import Section
from pipeline.core.reading import reading

RAW = Path("data/raw")
TRAIN_IMAGES = RAW / "train-images-idx3-ubyte.gz"
TRAIN_LABELS = RAW / "train-labels-idx1-ubyte.gz"
TEST_IMAGES = RAW / "t10k-images-idx3-ubyte.gz"
TEST_LABELS = RAW / "t10k-labels-idx1-ubyte.gz"
# The pictures that the images were made of, where they were; otherwise no rows.
RAW_FILES = RAW / "files.csv"
FILES_HEADER = ("set", "row", "class", "path")

TRAIN = Path("data/processed/train.npz")
VALIDATION = Path("data/processed/validation.npz")
TEST = Path("data/processed/test.npz")

# The description goes along with the data, and with the model that was trained on them.
RAW_DESCRIPTION = RAW / "dataset.json"
DESCRIPTION = Path("data/processed/dataset.json")
MODEL_DESCRIPTION = Path("models/dataset.json")

# What the model made of the images of each.
VALIDATION_PROBABILITIES = Path("data/predictions/validation.npz")
TEST_PROBABILITIES = Path("data/predictions/test.npz")

Source = Literal["fashion-mnist", "synthetic", "folder"]
# How a picture becomes an image: trimmed, centred and light on black; whole, with padding; or
# filling the image, cut at its edges.
Preparation = Literal["garment", "fit", "crop"]
Edge = Annotated[int, Field(ge=8, le=256)]  # in pixels
Channels = Literal[1, 3]  # grey, or red, green and blue
Text = Annotated[str, Field(pattern=r"^\P{C}+$")]  # nothing that could control a terminal


class Reference(Section):
    """An accuracy that others have reached on the test images."""

    name: Text  # who or what reached it
    accuracy: float = Field(gt=0, lt=1)
    images: int | None = Field(ge=1)  # on how many it was measured, where that is known
    url: Text  # who says so
    claimed: bool = False  # whether it is the word of one author, which nobody has reproduced


class Description(Section):
    """What a data set is: the content of `dataset.json`."""

    name: Text
    source: Source
    # Their names, in the order of the labels from 0.
    classes: tuple[Text, ...] = Field(min_length=2, max_length=1000)
    height: Edge
    width: Edge
    channels: Channels
    preparation: Preparation  # how a picture was, or is to be, prepared for it
    licence: Text | None  # where it is known, as is the URL
    url: Text | None
    references: tuple[Reference, ...]

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have the same name")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image: `[H, W]`, or `[H, W, 3]` in colour."""
        size = (self.height, self.width)
        return size if self.channels == 1 else (*size, self.channels)

    @property
    def label_type(self) -> type[np.uint8] | type[np.uint16]:
        """The type of a label in memory."""
        return np.uint8 if len(self.classes) <= 256 else np.uint16

    @property
    def suffix(self) -> str:
        """What to put after a metric or a title."""
        return label(self.source)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, self.model_dump())


def label(source: str | None) -> str:
    """Return what to put after a metric or a title, so that nobody takes synthetic for real."""
    return " (synthetic data)" if source == "synthetic" else ""


def load_description(path: Path, name: str = "") -> Description:
    """Read a description; errors call it `name`, where that is given.

    Raises:
        PipelineError: the file is missing, or is not a description.
    """
    with reading(path, name) as file:
        return Description.model_validate_json(file.read())


def read_files() -> dict[tuple[str, int], str]:
    """Return the picture from which each row of `train` and `test` in `data/raw` was made.

    There are none where the data came as four files.

    Raises:
        PipelineError: `files.csv` is missing, or is not what `download` writes.
    """
    with reading(RAW_FILES) as file:
        text = io.StringIO(file.read().decode(), newline="")
        header, *lines = csv.reader(text, strict=True)
        if tuple(header) != FILES_HEADER:
            raise ValueError(f"its columns are not {', '.join(FILES_HEADER)}")
        return {(name, int(row)): path for name, row, _, path in lines}


class Dataset(NamedTuple):
    """Labelled images."""

    images: NDArray[np.float32]  # [N, *shape], 0 (background) to 1
    labels: NDArray[np.uint8] | NDArray[np.uint16]  # [N], uint16 of more than 256 classes


def load(path: Path, description: Description, name: str = "") -> Dataset:
    """Open one of the processed `.npz` files: arrays that cannot be written to.

    What they hold is mapped from the file. With all checks that takes 0.06 s for the 170 MB of the
    training set, most of it for the checksum; by `np.load` it would be 0.6 s. Errors call the file
    `name`, where that is given.

    Raises:
        PipelineError: the file is missing, or is not exactly what `preprocess` writes.
    """
    with reading(path, name) as file:
        images, labels = mapped(file, Dataset._fields)
        expect("images", images, np.float32, (len(images), *description.shape))
        expect("labels", labels, description.label_type, (len(images),))
        # In 0.01 s for 170 MB: as unsigned integers, positive floats keep their order, and all that
        # are negative or NaN come after 1.
        if images.size and images.view(np.uint32).max() > np.float32(1).view(np.uint32):
            raise ValueError("its images are not all from 0 to 1")
        if len(labels) and labels.max() >= (classes := len(description.classes)):
            raise ValueError(f"it has a label {labels.max()}; allowed are 0 to {classes - 1}")
    return Dataset(images, labels)


def load_probabilities(
    path: Path, images: int, classes: int, name: str = ""
) -> NDArray[np.float32]:
    """Return the probabilities of the classes that `evaluate` has written, float32 `[N, classes]`.

    Errors call the file `name`, where that is given.

    Raises:
        PipelineError: the file is missing, or is not that for so many images, at least one.
    """
    with reading(path, name) as file:
        (probabilities,) = mapped(file, ("probabilities",))
        expect("probabilities", probabilities, np.float32, (images, classes))
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
