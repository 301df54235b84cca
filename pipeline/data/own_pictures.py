"""Pictures of the user's own: `data/own/pictures/<class>`, or the same below `train` and `test`."""

import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.core.errors import PipelineError
from pipeline.data import own, pictures
from pipeline.data.dataset import Description
from pipeline.data.idx import Labels
from pipeline.data.own import FolderParams, Own

PICTURES = own.OWN / "pictures"
SETS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

STRAY = f"ignored, since not a {pictures.NAMES} picture in the folder of a class"

Folders = dict[Path, list[Path]]  # the pictures of each class's folder


class Picture(NamedTuple):
    """A picture; in their order they are shuffled, whatever their names are."""

    digest: bytes  # of the seed and of what is in the file
    path: str
    label: int


def find(params: FolderParams) -> Own:
    """List the pictures, and split them where they are not split already.

    Which are for the test, and the order of all, depend on the seed and on what is in the files.

    Raises:
        PipelineError: they are not what can be trained and tested on.
    """
    given = _is_split(own.listed(PICTURES))
    parts = [_classes(PICTURES / name) for name in SETS] if given else [_classes(PICTURES)]
    own.distinct(chain(*parts))
    classes = sorted({own.normal(folder.name) for folder in chain(*parts)})
    count = sum(len(files) for part in parts for files in part.values())
    edge = params.image_size
    description = own.described(params, classes, edge, edge, params.channels)
    own.check_count("images", count)
    hashed = [sorted(_hashed(part, classes, params.seed)) for part in parts]
    least = 1 if given else 2  # of each class, for one in each set
    for part, members in zip(parts, hashed, strict=True):
        _check_numbers(part, members, least)
    _check_copies(hashed)
    train, test = hashed if given else _split(hashed[0], params.test_fraction)
    faults: list[str] = []
    return Own(
        description,
        (_labels(train, description), _labels(test, description)),
        (_prepared(train, description, faults), _prepared(test, description, faults)),
        faults,
        [
            (name, row, classes[picture.label], picture.path)
            for name, members in zip(SETS, (train, test), strict=True)
            for row, picture in enumerate(members)
        ],
    )


def _is_split(paths: Sequence[Path]) -> bool:
    """Tell whether the user has split the pictures; classes may have the names of sets, too."""
    folders = {path.name: path for path in paths if _is_folder(path)}
    inner = [
        path for name, folder in folders.items() if name in SETS for path in own.listed(folder)
    ]
    if folders.keys() != {*SETS} or not any(map(_is_folder, inner)):
        return False
    own.tell(STRAY, [path for path in paths if path not in folders.values()])
    return True


def _classes(folder: Path) -> Folders:
    strays: list[Path] = []
    classes: Folders = {}
    for path in own.listed(folder):
        if _is_folder(path):
            classes[path] = list(_pictures(path, strays))
        else:
            strays.append(path)
    own.tell(STRAY, strays)
    return classes


def _pictures(folder: Path, strays: list[Path]) -> Iterator[Path]:
    """Yield the pictures of a class, and put what else lies there with the strays."""
    for path in own.listed(folder):
        if _is_folder(path):
            raise PipelineError(
                f"{path} is a folder in that of a class; allowed are {PICTURES}/<class>/<picture>, "
                f"or {PICTURES}/train/<class>/<picture> and {PICTURES}/test/<class>/<picture>"
            )
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if not path.is_file():  # opening a pipe would wait for its writer
                raise PipelineError(f"{path} is not a regular file")
            yield path
        else:
            strays.append(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _hashed(part: Folders, classes: Sequence[str], seed: int) -> Iterator[Picture]:
    for folder, files in part.items():
        label = classes.index(own.normal(folder.name))
        for path in files:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.sha256(f"{seed}\n".encode()))
            yield Picture(digest.digest(), str(path), label)


def _check_numbers(part: Folders, members: Sequence[Picture], least: int) -> None:
    """Check that there are so many pictures of each class, copies not counted."""
    found = Counter(folder for _, folder in {(p.digest, Path(p.path).parent) for p in members})
    own.refuse(
        [
            f"{folder} has too few pictures that differ: {found[folder]}, not {least} or more"
            for folder in part
            if found[folder] < least
        ]
    )


def _check_copies(sets: Sequence[Sequence[Picture]]) -> None:
    """Check that no picture is of two classes, and none in both sets that the user has made."""
    seen: dict[bytes, tuple[Picture, str]] = {}
    faults = []
    for name, members in zip(SETS, sets, strict=False):
        for picture in members:
            other, its_set = seen.setdefault(picture.digest, (picture, name))
            if other.label != picture.label:
                faults.append(f"{other.path} and {picture.path} are the same, but of two classes")
            elif its_set != name:
                faults.append(f"{other.path} and {picture.path} are the same, but of both sets")
    own.refuse(faults)


def _split(members: Sequence[Picture], fraction: float) -> tuple[list[Picture], list[Picture]]:
    """Choose the `fraction` of each class, rounded, for the test; copies count as one picture."""
    by_class: dict[int, dict[bytes, None]] = defaultdict(dict)  # in their order
    for picture in members:
        by_class[picture.label][picture.digest] = None
    in_test: set[bytes] = set()
    for contents in by_class.values():
        count = min(max(1, round(fraction * len(contents))), len(contents) - 1)
        in_test.update(list(contents)[:count])
    return (
        [picture for picture in members if picture.digest not in in_test],
        [picture for picture in members if picture.digest in in_test],
    )


def _labels(members: Sequence[Picture], description: Description) -> Labels:
    return np.array([picture.label for picture in members], description.label_type)


def _prepared(
    members: Sequence[Picture], description: Description, faults: list[str]
) -> Iterator[NDArray[np.uint8]]:
    """Yield each picture as an image, or put what is wrong with it with the faults."""
    several = []
    for picture in tqdm(members, desc="pictures", disable=not sys.stderr.isatty()):
        path = Path(picture.path)
        try:
            yield pictures.read(path, description)
            if pictures.frames(path) > 1:
                several.append(path)
        except PipelineError as error:
            faults.append(str(error))
    own.tell("the first picture is taken of a file with several", several)
