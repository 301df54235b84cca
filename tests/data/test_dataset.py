"""The processed files and the probabilities: exactly what the stages write, or one line."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError
from pipeline.data.dataset import Description, load, load_probabilities
from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.data.preprocessing import write_scaled

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
IMAGES = (PIXELS / np.float32(255)).astype(np.float32)
LABELS = np.array([0, 9, 5], np.uint8)
PROBABILITIES = np.full((3, 10), 0.1, np.float32)


def like(shape: tuple[int, ...], classes: int) -> Description:
    height, width, *colours = shape
    changes = {"height": height, "width": width, "channels": 3 if colours else 1}
    return DESCRIPTION.model_copy(update={**changes, "classes": tuple(map(str, range(classes)))})


def npy(array: NDArray[Any], header: bytes | None = None) -> bytes:
    """The bytes of an `.npy` file, with another header than NumPy would write."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    content = buffer.getvalue()
    return content if header is None else content[:10] + header.ljust(117) + b"\n" + content[128:]


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def pair(images: NDArray[Any] = IMAGES, labels: NDArray[Any] = LABELS) -> bytes:
    return archive({"images.npy": npy(images), "labels.npy": npy(labels)})


def with_header(text: str) -> bytes:
    return archive({"images.npy": npy(IMAGES, text.encode()), "labels.npy": npy(LABELS)})


def shaped(shape: str, kind: str = "<f4") -> bytes:
    return with_header(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")


def with_value(value: float) -> bytes:
    images = IMAGES.copy()
    images[1, 2, 3] = value
    return pair(images)


def patched(content: bytes, place: int, value: bytes) -> bytes:
    return content[:place] + value + content[place + len(value) :]


GOOD = pair()
DIRECTORY = GOOD.index(b"PK\1\2")  # of the archive; its first entry is that of the images


def overlapping() -> bytes:
    """Both names lead to the same bytes."""
    entry = struct.calcsize("<4s6H3L5H2L") + len("images.npy")
    return patched(GOOD, DIRECTORY + 2 * entry - len("labels.npy") - 4, struct.pack("<L", 0))


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cannot mmap an empty file"),
    "no archive": (b"no archive" * 100, "not a zip file"),
    "truncated": (GOOD[:-30], "not a zip file"),
    "changed": (patched(GOOD, 1000, b"\0\1"), "images.npy is damaged: its checksum is wrong"),
    "something before": (b"?" + GOOD, "images.npy is not stored as it was written"),
    "overlapping": (overlapping(), "labels.npy is not stored as it was written"),
    "compressed": (
        archive({"images.npy": npy(IMAGES), "labels.npy": npy(LABELS)}, zipfile.ZIP_DEFLATED),
        "images.npy is not stored as it was written",
    ),
    "without labels": (archive({"images.npy": npy(IMAGES)}), "it does not hold images and labels"),
    "other order": (
        archive({"labels.npy": npy(LABELS), "images.npy": npy(IMAGES)}),
        "it does not hold images and labels",
    ),
    "more": (
        archive({"images.npy": npy(IMAGES), "labels.npy": npy(LABELS), "more.npy": b""}),
        "it does not hold images and labels",
    ),
    "no array": (archive({"images.npy": b"?", "labels.npy": b"?"}), "reading magic string"),
    "objects": (pair(IMAGES.astype(object)), "OBJECT array"),
    "pointers": (
        shaped("(3, 14, 28)", "|O"),
        "OBJECT array",
    ),
    "Fortran's order": (pair(np.asfortranarray(IMAGES)), "not stored as it was written"),
    "a negative size": (
        shaped("(-1, 28, 28)"),
        "not stored as it was written",
    ),
    "more than there is": (
        shaped("(4, 28, 28)"),
        "cannot reshape",
    ),
    "less than there is": (
        shaped("(2, 28, 28)"),
        "cannot reshape",
    ),
    "a product that wraps to 0": (
        with_header(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }"
        ),
        "cannot reshape",
    ),
    "no elements": (
        shaped("(0, 28, 28)"),
        "cannot reshape",
    ),
    "nothing": (with_header(""), "Cannot parse header"),
    "nested": (with_header("(" * 117), "EOF in multi-line statement"),
    "float64": (pair(IMAGES.astype(np.float64)), "its images are float64 [3, 28, 28], not float32"),
    "big-endian": (pair(IMAGES.astype(">f4")), "its images are >f4 [3, 28, 28], not float32"),
    "bytes": (pair(PIXELS), "its images are uint8"),
    "a channel": (pair(IMAGES[..., None]), "[3, 28, 28, 1], not float32 [3, 28, 28]"),
    "smaller": (pair(IMAGES[:, 1:]), "[3, 27, 28], not float32 [3, 28, 28]"),
    "one number": (pair(np.array(0.5, np.float32)), "len() of unsized object"),
    "255": (with_value(255), "its images are not all from 0 to 1"),
    "a little over 1": (with_value(1 + 2**-23), "its images are not all from 0 to 1"),
    "negative": (with_value(-(2**-149)), "its images are not all from 0 to 1"),
    "NaN": (with_value(np.nan), "its images are not all from 0 to 1"),
    "infinite": (with_value(np.inf), "its images are not all from 0 to 1"),
    "int64 labels": (pair(labels=LABELS.astype(np.int64)), "its labels are int64 [3], not uint8"),
    "fewer labels": (pair(labels=LABELS[:2]), "its labels are uint8 [2], not uint8 [3]"),
    "columns of labels": (pair(labels=LABELS[:, None]), "its labels are uint8 [3, 1], not"),
    "label 10": (pair(labels=LABELS + np.uint8(1)), "it has a label 10; allowed are 0 to 9"),
}


def line(read: Callable[[], object], path: Path) -> str:
    """What a reader says is wrong with the file, without its name."""
    with pytest.raises(PipelineError) as caught:
        read()
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{path} ")
    return message.removeprefix(f"{path} ")


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_what_preprocess_does_not_write_is_refused(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.npz"
    path.write_bytes(content)
    said = line(lambda: load(path, DESCRIPTION), path)
    assert said.startswith("cannot be used: ")
    assert reason in said
    assert said.endswith("; remove it and run `dvc repro`")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "a"
    assert line(lambda: load(missing, DESCRIPTION), missing) == "is missing; run `dvc repro`"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        assert "it is not a regular file" in line(partial(load, path, DESCRIPTION), path)


@pytest.mark.parametrize("shape", [(28, 28), (3, 5), (4, 6, 3)])
@pytest.mark.parametrize("classes", [2, 10, 256])
def test_shape_and_classes_are_those_of_the_data(
    shape: tuple[int, ...], classes: int, tmp_path: Path
) -> None:
    """Read as they were written, by NumPy or by us, and never to be written to."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, *shape), np.uint8)
    labels = np.array([0, 1, classes - 1, 0, 0, 0, 0], np.uint8)
    ours, theirs = tmp_path / "ours.npz", tmp_path / "numpy.npz"
    write_scaled(ours, [pixels], shape, labels)
    np.savez(theirs, images=(pixels / np.float32(255)).astype(np.float32), labels=labels)
    for path in (ours, theirs):
        data = load(path, like(shape, classes))
        with np.load(path) as expected:
            np.testing.assert_array_equal(data.images, expected["images"], strict=True)
            np.testing.assert_array_equal(data.labels, expected["labels"], strict=True)
        assert not data.images.flags.writeable
        assert "not float32 [7, 9, 9]" in line(partial(load, path, like((9, 9), classes)), path)
        if classes > 2:
            assert "allowed are 0 to 1" in line(partial(load, path, like(shape, 2)), path)


def probabilities(array: NDArray[Any]) -> bytes:
    return archive({"probabilities.npy": npy(array)})


def changed(value: float) -> NDArray[np.float32]:
    array = PROBABILITIES.copy()
    array[1, 2] = value
    return array


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (probabilities(PROBABILITIES.astype(object)), "OBJECT array"),
        (probabilities(PROBABILITIES.astype(np.float64)), "float64 [3, 10], not float32 [3, 10]"),
        (probabilities(PROBABILITIES[:2]), "are float32 [2, 10], not float32 [3, 10]"),
        (
            probabilities(PROBABILITIES[:, :7]),
            "are float32 [3, 7], not float32 [3, 10]",
        ),
        (probabilities(PROBABILITIES[0]), "are float32 [10], not float32 [3, 10]"),
        (probabilities(changed(np.nan)), "are negative, NaN or do not add up to 1"),
        (probabilities(changed(np.inf)), "are negative, NaN or do not add up to 1"),
        (probabilities(changed(0.2)), "are negative, NaN or do not add up to 1"),
        (probabilities(changed(-0.1)), "are negative, NaN or do not add up to 1"),
        (pair(), "it does not hold probabilities, and nothing else"),
        (b"no archive", "not a zip file"),
    ],
)
def test_probabilities_are_distributions_over_the_classes_for_each_image(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "test.npz"
    path.write_bytes(probabilities(PROBABILITIES))
    np.testing.assert_array_equal(load_probabilities(path, 3, 10), PROBABILITIES, strict=True)
    path.write_bytes(content)
    assert reason in line(lambda: load_probabilities(path, 3, 10), path)


def test_no_probabilities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "test.npz"
    path.write_bytes(probabilities(PROBABILITIES[:0]))
    assert "there are no images" in line(lambda: load_probabilities(path, 0, 10), path)
