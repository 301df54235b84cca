"""A data set of the user's own, in `data/own`: its parameters, and listing it with care."""

import functools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.dvc_cache import open_repo
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import Section
from pipeline.data.dataset import Channels, Description, Edge, Preparation, Text
from pipeline.data.idx import Labels

OWN = Path("data/own")
LIMITS = {"classes": (2, 1_000), "images": (20, 200_000)}  # the fewest and the most
SHOWN = 10  # of many faults


class FolderParams(Section):
    """`data.folder`: what is not in the files themselves."""

    name: Text
    licence: Text | None
    url: Text | None
    image_size: Edge
    channels: Channels
    preparation: Preparation
    test_fraction: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


Files = list[tuple[str, int, str, str]]  # rows of `files.csv`


class Own(NamedTuple):
    """What was found; of pairs, the first is for training and the second for the test."""

    description: Description
    labels: tuple[Labels, Labels]
    # uint8, in parts of any size: read, and prepared, as they are asked for.
    images: tuple[Iterator[NDArray[Any]], Iterator[NDArray[Any]]]
    faults: list[str]  # what could not be read, once the images were asked for
    files: Files  # where each image is from, if from a file of its own


def described(
    params: FolderParams,
    classes: Sequence[str],
    height: int,
    width: int,
    channels: Any,
) -> Description:
    """Describe a data set.

    Raises:
        PipelineError: it has too few classes, or too many.
    """
    check_count("classes", len(classes))
    return Description(
        source="folder",
        classes=tuple(classes),
        height=height,
        width=width,
        channels=channels,
        references=(),
        **params.model_dump(include={"name", "preparation", "licence", "url"}),
    )


def check_count(what: str, count: int) -> None:
    """Check that a data set may have so many `classes` or `images`.

    Raises:
        PipelineError: they are too few, or too many.
    """
    least, most = LIMITS[what]
    if not least <= count <= most:
        raise PipelineError(
            f"{OWN} has {count:,} {what}; allowed are {least} to {most:,}, "
            f"where {OWN}/README.md says"
        )


def listed(folder: Path) -> list[Path]:
    """Return what lies in a folder, by name.

    Raises:
        PipelineError: it is not a folder, or something in it has a name that does not print, or one
            that some systems take for another's, or is a link that leads out of `data/own`.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder} is not a folder")
    paths = sorted(folder.iterdir())
    for path in paths:
        if not path.name.isprintable():
            raise PipelineError(f"{ascii(str(path))[1:-1]} has a name that cannot be printed")
        if path.is_symlink() and not path.exists():
            raise PipelineError(f"{path} is a link that leads nowhere")
        if path.is_symlink() and not _inside(path):
            raise PipelineError(
                f"{path} is a link that leads out of {OWN}; put a copy in its place"
            )
    distinct(paths)
    return paths


def distinct(paths: Iterable[Path]) -> None:
    """Check that all systems tell apart what these paths end with.

    Raises:
        PipelineError: the names of two differ by case or by Unicode form alone.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(normal(path.name).casefold(), path)
        if other.name != path.name:
            raise PipelineError(
                f"{other} and {path} have names that differ by case or Unicode form alone, "
                "which some systems take for the same; rename one"
            )


def normal(name: str) -> str:
    """Return a name as it is on every system: macOS takes letters apart from their accents."""
    return unicodedata.normalize("NFC", name)


def tell(what: str, paths: Sequence[Path]) -> None:
    """Print a line on these files; nothing where there are none."""
    if paths:
        print(f"{what} ({len(paths):,}): {', '.join(_first(map(str, paths), 3))}", flush=True)


def refuse(faults: Sequence[str]) -> None:
    """Raise a `PipelineError` with a line for each fault; return where there are none."""
    if faults:
        raise PipelineError("\n".join(_first(faults, SHOWN)))


def _first(texts: Iterable[str], count: int) -> list[str]:
    texts = list(texts)
    more = [f"and {len(texts) - count:,} more"] if len(texts) > count else []
    return texts[:count] + more


def _inside(link: Path) -> bool:
    """Tell whether a link stays in `data/own`, or in the cache: DVC can be told to make links."""
    own, target = OWN.resolve(), link.resolve()
    return target.is_relative_to(own) or target.is_relative_to(_cache(own))


@functools.cache
def _cache(own: Path) -> Path:
    try:
        with open_repo(own) as repo:
            return Path(repo.cache.local.path).resolve()
    except PipelineError:
        return own
