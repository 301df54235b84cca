"""IDX files of the user's own, in `data/own/idx`: those of any data set of the MNIST family."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError
from pipeline.core.reading import reading
from pipeline.data import idx
from pipeline.data.own import (
    OWN,
    FolderParams,
    Own,
    check_count,
    described,
    listed,
    normal,
    refuse,
    tell,
)

IDX = OWN / "idx"
CLASSES = IDX / "classes.txt"
# Such as `emnist-letters-test-images-idx3-ubyte.gz` and `t10k-labels.idx1-ubyte`.
NAME = re.compile(r"(?:.*-)?(train|t10k|test)-(images|labels)[-.]idx\d-\w+(?:\.gz)?")
ROLES = ("train-images", "train-labels", "test-images", "test-labels")
EDGES = range(8, 257)  # allowed, in pixels


def find(params: FolderParams) -> Own:
    """Find the four files, and read what is in them except the images.

    Raises:
        PipelineError: one is missing, there twice, or not as it should be.
    """
    train_images, train_labels, test_images, test_labels = _files()
    train_count, *shape = _shape(train_images)
    test_count, *test_shape = _shape(test_images)
    if test_shape != shape:
        raise PipelineError(f"{train_images} has images of {shape}, but {test_images} {test_shape}")
    check_count("images", train_count + test_count)  # before so many labels are in memory
    train, test = _labels(train_labels, train_count), _labels(test_labels, test_count)
    first = int(min(train.min(), test.min()) == 1)
    if first == 1:
        print(f"{IDX}: labels start at 1, and become those from 0", flush=True)
        train, test = train - 1, test - 1
    last = int(max(train.max(), test.max()))  # not of NumPy's type, in which 255 + 1 is 0
    numbers = range(first, first + last + 1)
    classes = _names(numbers) if CLASSES.exists() else [str(number) for number in numbers]
    description = described(params, classes, *shape)
    return Own(
        description,
        (train.astype(description.label_type), test.astype(description.label_type)),
        (
            idx.read_parts(train_images, str(train_images)),
            idx.read_parts(test_images, str(test_images)),
        ),
        faults=[],
        files=[],
    )


def _files() -> list[Path]:
    """Return the files in the order of their roles."""
    found: dict[str, Path] = {}
    strays = []
    for path in listed(IDX):
        if match := NAME.fullmatch(path.name):
            role = f"{match[1].replace('t10k', 'test')}-{match[2]}"
            if (other := found.setdefault(role, path)) != path:
                raise PipelineError(f"{other} and {path} have the same role; keep one")
        elif path != CLASSES:
            strays.append(path)
    tell("ignored, since not an IDX file of images or labels", strays)
    refuse([f"{IDX} has no file {role}-..." for role in ROLES if role not in found])
    return [found[role] for role in ROLES]


def _shape(path: Path) -> tuple[int, ...]:
    """Return the number of images, their height and width, and 1 or 3 channels."""
    dtype, shape = idx.read_header(path, str(path))
    count, *size = shape if len(shape) == 4 else (*shape, 1)
    if dtype != np.uint8 or len(size) != 3 or size[2] not in (1, 3) or not {*size[:2]} <= {*EDGES}:
        raise PipelineError(
            f"{path} holds {dtype.name} {list(shape)}; allowed are uint8 [N, H, W] and "
            f"[N, H, W, 3], H and W from {EDGES[0]} to {EDGES[-1]}"
        )
    return count, *size


def _labels(path: Path, images: int) -> NDArray[Any]:
    """Return the labels, uint8 or int16 `[N]`, of so many images."""
    count = idx.read_header(path, str(path))[1][0]
    if count != images or images == 0:
        raise PipelineError(f"{path} has {count} labels for {images} images")
    labels = idx.read(path, dimensions=1, name=str(path))
    if labels.min() < 0:
        raise PipelineError(f"{path} has a label {labels.min()}; allowed are those from 0")
    return labels


def _names(numbers: range) -> list[str]:
    """Return the names of the classes, a line each."""
    with reading(CLASSES, str(CLASSES)) as file:
        names = [normal(line.strip()) for line in file.read().decode("utf-8-sig").splitlines()]
    while names and not names[-1]:
        names.pop()
    if len(names) != len(numbers):
        raise PipelineError(
            f"{CLASSES} has {len(names)} names, but labels are {numbers[0]} to {numbers[-1]}"
        )
    for row, name in enumerate(names):
        if not name or not name.isprintable() or name in names[:row]:
            fault = "names a class again" if name in names[:row] else "is not printable"
            raise PipelineError(f"{CLASSES}: line {row + 1} {fault}: {name!r}")
    return names
