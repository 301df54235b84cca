"""Where an unfinished training stands, so that it can go on exactly from there."""

import hashlib
import io
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.artifacts import replacing
from pipeline.core.errors import PipelineError
from pipeline.core.reading import reading

PATH = Path("models/checkpoint.npz")
ARRAYS = ("weights", "optimizer", "best", "label_probabilities")
DIGEST_SIZE = hashlib.sha256().digest_size  # bytes

Arrays = list[NDArray[Any]]
History = list[dict[str, float]]  # an epoch each: accuracy, loss, their val_ twins, learning_rate


@dataclass
class Checkpoint:
    """The state of a training at the end of an epoch."""

    fingerprint: str  # of what it belongs to: data, parameters, code and library versions
    history: History = field(default_factory=list)
    weights: Arrays = field(default_factory=list)  # of the model, in its own order
    optimizer: Arrays = field(default_factory=list)  # its state, in its own order
    # The weights that early stopping would restore; empty without it.
    best: Arrays = field(default_factory=list)
    # One array, of TrainingBatches; empty where no images are skipped.
    label_probabilities: Arrays = field(default_factory=list)


def save(checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of an earlier epoch.

    A digest of all of it follows the archive, where what reads such archives ignores it.
    """
    text = json.dumps({"fingerprint": checkpoint.fingerprint, "history": checkpoint.history})
    arrays = {
        f"{name}_{index}": array
        for name in ARRAYS
        for index, array in enumerate(getattr(checkpoint, name))
    }
    with replacing(PATH) as temporary:
        np.savez(temporary, allow_pickle=False, progress=np.array(text), **arrays)
        with temporary.open("r+b") as file:
            file.write(hashlib.file_digest(file, "sha256").digest())


def load(fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint that belongs to `fingerprint`; None where there is none.

    A damaged one is removed; one of other inputs is ignored. A line says so.
    """
    if not os.path.lexists(PATH):
        return None
    try:
        found = _read()
    except PipelineError:
        print(f"{PATH} is damaged: starting over", flush=True)
        discard()
        return None
    if found.fingerprint != fingerprint:
        print(f"{PATH} belongs to other inputs: starting over", flush=True)
        return None
    return found


def discard() -> None:
    """Remove the checkpoint of a training whose results are written, or whatever has its name."""
    if PATH.is_dir() and not PATH.is_symlink():
        shutil.rmtree(PATH)
    PATH.unlink(missing_ok=True)


def _read() -> Checkpoint:
    with reading(PATH) as file:
        content = file.read()
        if hashlib.sha256(content[:-DIGEST_SIZE]).digest() != content[-DIGEST_SIZE:]:
            raise ValueError("its digest is wrong")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            saved = dict(archive)
        progress = json.loads(str(saved.pop("progress")))
        # NumPy keeps the order in which the arrays were saved.
        arrays = {
            name: [array for key, array in saved.items() if key.startswith(f"{name}_")]
            for name in ARRAYS
        }
        return Checkpoint(progress["fingerprint"], progress["history"], **arrays)
