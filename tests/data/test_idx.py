"""The IDX reader takes what is right and says what is wrong with everything else."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.data import fashion_mnist, idx
from tests.conftest import Project

IMAGES = np.arange(3 * 28 * 28, dtype=np.int64).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([0, 9, 5], np.uint8)


def header(*dimensions: int, zero: int = 0, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(dimensions)}I", zero, kind, len(dimensions), *dimensions)


def packed(*parts: bytes) -> bytes:
    # Without the clock: two workers have to find the same tests under the same names.
    return gzip.compress(b"".join(parts), mtime=0)


RIGHT_IMAGES = packed(header(3, 28, 28), IMAGES.tobytes())
RIGHT_LABELS = packed(header(3), LABELS.tobytes())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    images, labels = tmp_path / "images.gz", tmp_path / "labels.gz"
    idx.write(images, IMAGES)
    idx.write(labels, LABELS)
    np.testing.assert_array_equal(idx.read(images, dimensions=3), IMAGES, strict=True)
    read = idx.read_labels(images, labels, fashion_mnist.DESCRIPTION)
    np.testing.assert_array_equal(read, LABELS, strict=True)


@pytest.mark.parametrize("size", [1, 1000, 2**18])
def test_part_by_part_it_is_the_same(size: int, tmp_path: Path) -> None:
    """Written and read, in fewer rows or in more than are in memory at a time; packed or not."""
    array = np.random.default_rng(0).integers(0, 4, (100, size), np.uint8)
    with idx.writing(tmp_path / "parts", array.shape) as file:
        for row in array:
            file.write(row.tobytes())
    content = (tmp_path / "parts").read_bytes()
    idx.write(tmp_path / "whole", array)
    assert content == (tmp_path / "whole").read_bytes()
    (tmp_path / "unpacked").write_bytes(gzip.decompress(content))
    for name in ("parts", "unpacked"):
        parts = list(idx.read_parts(tmp_path / name))
        assert max(part.nbytes for part in parts) <= idx.PART
        np.testing.assert_array_equal(np.concatenate(parts), array)
    assert idx.read_header(tmp_path / "unpacked") == (np.uint8, (100, size))


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        idx.writing(tmp_path / "array", (2, 2)) as file,
    ):
        file.write(b"12")
        _ = 1 / 0
    assert not list(tmp_path.iterdir())


def test_labels_above_255_are_shorts(tmp_path: Path) -> None:
    labels = np.array([0, 256, 999], np.uint16)
    idx.write(tmp_path / "labels", labels)
    content = gzip.decompress((tmp_path / "labels").read_bytes())
    assert content == header(3, kind=11) + bytes([0, 0, 1, 0, 3, 0xE7])
    assert idx.read(tmp_path / "labels", dimensions=1).tolist() == [0, 256, 999]


@pytest.mark.parametrize(
    ("images", "labels", "file", "reason"),
    [
        (b"no array", RIGHT_LABELS, "images", "starts with 6e6f, not with 0000"),
        (b"\x1f\x8b no gzip", RIGHT_LABELS, "images", "Unknown compression method"),
        (RIGHT_IMAGES[:-9], RIGHT_LABELS, "images", "ended before the end-of-stream"),
        (packed(b"\0\0"), RIGHT_LABELS, "images", "it ends in its header, after 2 bytes"),
        (
            packed(header(3, 28, 28, zero=7), bytes(2352)),
            RIGHT_LABELS,
            "images",
            "starts with 0007",
        ),
        (packed(header(3, 28, 28, kind=9), bytes(2352)), RIGHT_LABELS, "images", "of type 0x09"),
        (
            packed(header(2352), bytes(2352)),
            RIGHT_LABELS,
            "images",
            "holds uint8 [2352], not uint8 [2352, 28, 28]",
        ),
        (packed(header()), RIGHT_LABELS, "images", "has no dimensions"),
        (packed(header(2**31, 2**31)), RIGHT_LABELS, "images", "bytes of 68,719,476,736 allowed"),
        (RIGHT_IMAGES, RIGHT_IMAGES, "labels", "has 3 dimensions, not 1"),
        (
            RIGHT_IMAGES,
            packed(header(3, kind=11), b"\0\1\xff\xff\0\2"),
            "labels",
            "a label -1; allowed are 0 to 9",
        ),
        (
            packed(header(3, 28, 28, kind=11), bytes(4704)),
            RIGHT_LABELS,
            "images",
            "holds int16 [3, 28, 28], not uint8",
        ),
        (
            packed(header(3, 28, 28), bytes(2351)),
            RIGHT_LABELS,
            "images",
            "but it has fewer",
        ),
        (
            packed(header(3, 28, 28), bytes(2353)),
            RIGHT_LABELS,
            "images",
            "but it has more",
        ),
        (
            packed(header(3, 14, 56), bytes(2352)),
            RIGHT_LABELS,
            "images",
            "holds uint8 [3, 14, 56], not",
        ),
        (packed(header(2, 28, 28), bytes(1568)), RIGHT_LABELS, "images", "2 images"),
        (RIGHT_IMAGES, packed(header(3), b"\0\1\12"), "labels", "a label 10; allowed are 0 to 9"),
        (packed(header(0, 28, 28)), packed(header(0)), "labels", "is empty"),
        (None, RIGHT_LABELS, "images", "is missing"),
    ],
)
def test_anything_else_is_named(
    tmp_path: Path, images: bytes | None, labels: bytes, file: str, reason: str
) -> None:
    paths = tmp_path / "images.gz", tmp_path / "labels.gz"
    for path, content in zip(paths, (images, labels), strict=True):
        if content is not None:
            path.write_bytes(content)
    with pytest.raises(PipelineError) as error:
        idx.read_labels(*paths, fashion_mnist.DESCRIPTION)
        list(idx.read_parts(paths[0]))
    assert file in str(error.value)
    assert reason in str(error.value)


def test_the_stage_puts_it_in_a_line(project: Project) -> None:
    (project.path / "data/raw/train-labels-idx1-ubyte.gz").write_bytes(RIGHT_LABELS)
    done = project.stage("preprocess")
    assert done.returncode == 1
    assert done.stderr == (
        "preprocess: data/raw/train-images-idx3-ubyte.gz has 1000 images, "
        "but data/raw/train-labels-idx1-ubyte.gz has 3 labels\n"
    )
