"""Writing outputs: the same content gives the same bytes, and a reader never sees half a file.

Every writer fills a file beside its target and renames it once it is whole and on disk.
"""

import csv
import fcntl
import json
import os
import re
import secrets
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

# The earliest time that a zip entry can hold, for archives whose writer would put the clock there.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and move it to `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    # The ending stays last: some writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.tmp{secrets.token_hex(8)}{path.suffix}")
    try:
        with temporary.open("xb") as file:  # never through a link that somebody put there
            fcntl.flock(file, fcntl.LOCK_EX)  # held until the block, or this process, ends
            yield temporary
            os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files of writers of `path` that were killed."""
    stem, suffix = re.escape(path.stem), re.escape(path.suffix)
    name = re.compile(rf"\.{stem}\.tmp[0-9a-f]{{16}}(\.saved)?{suffix}")
    for found in path.parent.iterdir():
        if name.fullmatch(found.name) and found.is_file():
            # The errors of a file that somebody is writing, or has just finished.
            with suppress(BlockingIOError, FileNotFoundError), found.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` as it is."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` with its keys in the order given; NaN and infinity are errors."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values to 6 significant digits: all that anyone reads, and short in a diff."""
    return {name: float(f"{value:.6g}") for name, value in values.items()}


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under `header`; None becomes an empty cell."""
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_npz(path: Path, **arrays: np.ndarray[Any, Any]) -> None:
    """Write `arrays` uncompressed; NumPy gives the entries of the archive a fixed date."""
    with replacing(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def write_figure(path: Path, figure: "Figure") -> None:
    """Write a Matplotlib figure as PNG, without the version stamp that Matplotlib adds."""
    with replacing(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})


def write_model(path: Path, model: "keras.Model") -> None:
    """Write `model` as a `.keras` archive, without what differs from one saving to the next.

    Left out are the time of each entry, the date in the metadata, and `shared_object_id`: an
    address in memory by which Keras recognises an object that several layers share. None here does.
    """
    with replacing(path) as temporary:
        saved = temporary.with_stem(f"{temporary.stem}.saved")
        try:
            model.save(saved)
            with zipfile.ZipFile(saved) as source, zipfile.ZipFile(temporary, "w") as target:
                for name in sorted(source.namelist()):
                    content = source.read(name)
                    if name.endswith(".json"):
                        content = json.dumps(
                            json.loads(content, object_hook=_without_varying)
                        ).encode()
                    target.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), content)
        finally:
            saved.unlink(missing_ok=True)


def _without_varying(config: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k not in ("date_saved", "shared_object_id")}
