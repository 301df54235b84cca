"""From `data/own` to the four raw files and what describes them."""

import shutil
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.core import dvc_cache
from pipeline.core.errors import PipelineError
from pipeline.data import dataset, idx, own_idx, own_pictures
from pipeline.data.dataset import Description, Source
from pipeline.data.own import OWN, Files, FolderParams, Own, listed, refuse, tell

# A pixel is a byte in `data/raw` and four in `data/processed`; DVC keeps a copy of both.
BYTES_PER_VALUE = 2 * (1 + 4)
IMAGES, LABELS = (
    (dataset.TRAIN_IMAGES, dataset.TEST_IMAGES),
    (dataset.TRAIN_LABELS, dataset.TEST_LABELS),
)
FORMS = {own_pictures.PICTURES: own_pictures.find, own_idx.IDX: own_idx.find}


def tell_misplaced(source: Source) -> None:
    """Say what the user has put where this source does not look, or writes itself.

    A file in `data/raw` is the user's own if no run has left it in DVC's cache. With Fashion-MNIST,
    those that are right stay, and `fashion_mnist.fetch` says which are not.
    """
    if source != "folder":
        present = [path for path in FORMS if path.exists()]
        tell(f"not used, since data.source is {source}, not folder", present)
    if source != "fashion-mnist":
        present = [path for path in chain(IMAGES, LABELS) if path.is_file()]
        replaced = [path for path in present if not _in_cache(path)]
        tell(f"replaced, since not of an earlier run; put your own data into {OWN}", replaced)


def write(params: FolderParams) -> tuple[Description, Files]:
    """Write the four raw files, and return what they are and the rows of `files.csv`.

    Raises:
        PipelineError: nothing, or something that is not fit for training and testing.
    """
    own = _find(params)
    _check(own)
    with ExitStack() as files:
        for labels, images, path in zip(own.labels, own.images, IMAGES, strict=True):
            shape = (len(labels), *own.description.shape)
            file = files.enter_context(idx.writing(path, shape))
            for part in images:
                file.write(part.tobytes())
        refuse(own.faults)
    for labels, path in zip(own.labels, LABELS, strict=True):
        idx.write(path, labels)
    return own.description, own.files


def _in_cache(path: Path) -> bool:
    try:
        dvc_cache.find(dvc_cache.md5_of(path.read_bytes()))
    except (FileNotFoundError, PipelineError):
        return False
    return True


def _find(params: FolderParams) -> Own:
    present = [path for path in FORMS if path.exists()]
    if len(present) == 1:
        expected = (OWN / "README.md", OWN / ".gitignore", present[0], Path(f"{present[0]}.dvc"))
        tell("ignored", [path for path in listed(OWN) if path not in expected])
        return FORMS[present[0]](params)
    if present:
        raise PipelineError(f"there are both {' and '.join(map(str, present))}; keep one")
    for path in FORMS:
        if Path(f"{path}.dvc").exists():
            raise PipelineError(f"{path} is missing; run `dvc checkout {path}.dvc`, or `dvc pull`")
    raise PipelineError(
        f"{OWN} has no data: put pictures into {own_pictures.PICTURES}/<class>, "
        f"or four IDX files into {own_idx.IDX}, as {OWN}/README.md says"
    )


def _check(own: Own) -> None:
    """Check that each set has images of each class, and that the disk has room for all."""
    description, faults = own.description, []
    for name, labels in zip(("training", "test"), own.labels, strict=True):
        counts = np.bincount(labels, minlength=len(description.classes))
        faults += [
            f"{OWN}: the {name} set has no image of class {description.classes[label]}"
            for label in np.flatnonzero(counts == 0)
        ]
    refuse(faults)
    needed = sum(map(len, own.labels)) * int(np.prod(description.shape)) * BYTES_PER_VALUE
    if needed > (free := shutil.disk_usage(".").free):
        raise PipelineError(
            f"{OWN} takes about {needed / 1e6:,.1f} MB of disk when prepared, "
            f"but {free / 1e6:,.1f} MB are free"
        )
