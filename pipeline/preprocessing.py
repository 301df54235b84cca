"""Scaling pixels and splitting off the validation set."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.dataset import CLASS_NAMES
from pipeline.params import Section


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


def split(labels: NDArray[np.uint8], params: PreprocessParams) -> Split:
    """Choose `validation_fraction` of each class, rounded, for validation."""
    rng = np.random.default_rng(params.seed)
    in_validation = np.zeros(len(labels), dtype=bool)
    for label in range(len(CLASS_NAMES)):
        members = rng.permutation(np.flatnonzero(labels == label))
        in_validation[members[: round(params.validation_fraction * len(members))]] = True
    return Split(np.flatnonzero(~in_validation), np.flatnonzero(in_validation))
