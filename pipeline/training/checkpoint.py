"""Where an unfinished training stands, so that it can go on exactly from there."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.artifacts import write_npz

PATH = Path("models/checkpoint.npz")
ARRAYS = ("weights", "optimizer", "best")

Arrays = list[NDArray[Any]]
History = list[dict[str, float]]  # an epoch each: accuracy, loss, their val_ twins, learning_rate


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training at the end of an epoch.

    Attributes:
        fingerprint: what it belongs to: data, parameters, code and library versions.
        progress: what JSON can hold, the history among it.
        weights: of the model, in its own order.
        optimizer: the state of the optimizer, in its own order.
        best: the weights that early stopping would restore; empty without it.
    """

    fingerprint: str
    progress: dict[str, Any]
    weights: Arrays
    optimizer: Arrays
    best: Arrays


def save(checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of an earlier epoch."""
    text = json.dumps({"fingerprint": checkpoint.fingerprint, **checkpoint.progress})
    arrays = {
        f"{name}_{index}": array
        for name in ARRAYS
        for index, array in enumerate(getattr(checkpoint, name))
    }
    write_npz(PATH, progress=np.array(text), **arrays)


def load(fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint that belongs to `fingerprint`; None where there is none.

    One that is damaged or belongs to other inputs is passed over with a line that says so.
    """
    try:
        with np.load(PATH, allow_pickle=False) as archive:
            content = dict(archive)
        progress = json.loads(str(content.pop("progress")))
    except FileNotFoundError:
        return None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        print(f"{PATH} is damaged: starting over", flush=True)
        return None
    if progress.pop("fingerprint") != fingerprint:
        print(f"{PATH} belongs to other inputs: starting over", flush=True)
        return None
    # NumPy keeps the order in which the arrays were saved.
    arrays = {
        name: [array for key, array in content.items() if key.startswith(f"{name}_")]
        for name in ARRAYS
    }
    return Checkpoint(fingerprint, progress, **arrays)


def discard() -> None:
    """Remove the checkpoint of a training whose results are written."""
    PATH.unlink(missing_ok=True)
