"""Scaling pixels and splitting off the validation set."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.artifacts import replacing
from pipeline.core.params_file import Section
from pipeline.data.idx import Labels


class PreprocessParams(Section):
    """The section `preprocess`."""

    seed: int = Field(ge=0)
    validation_fraction: float = Field(ge=0, lt=1)


class Split(NamedTuple):
    """Positions in the training files, each part in ascending order."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]


def scale(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pixels 0 to 255 as float32 0 to 1."""
    return np.divide(images, np.float32(255), dtype=np.float32)


def chosen(
    parts: Iterable[NDArray[np.uint8]], rows: NDArray[np.intp]
) -> Iterator[NDArray[np.uint8]]:
    """Yield, in parts again, these rows of an array in parts; they are in ascending order."""
    first = 0
    for part in parts:
        start, end = np.searchsorted(rows, (first, first + len(part)))
        yield part[rows[start:end] - first]
        first += len(part)


def write_scaled(
    path: Path, images: Iterable[NDArray[np.uint8]], shape: tuple[int, ...], labels: Labels
) -> None:
    """Write the bytes of `np.savez(path, images=scale(images), labels=labels)`, part by part.

    The images come in parts, `[N, *shape]` each.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(labels), *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for part in images:
                file.write(scale(part).data)
        with archive.open("labels.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, labels)


def split(labels: Labels, classes: int, params: PreprocessParams) -> Split:
    """Choose `validation_fraction` of each class, rounded, for validation."""
    rng = np.random.default_rng(params.seed)
    in_validation = np.zeros(len(labels), dtype=bool)
    for label in range(classes):
        members = rng.permutation(np.flatnonzero(labels == label))
        in_validation[members[: round(params.validation_fraction * len(members))]] = True
    return Split(np.flatnonzero(~in_validation), np.flatnonzero(in_validation))
