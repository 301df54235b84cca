"""The IDX reader takes what is right and says what is wrong with everything else."""

import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.data import idx
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
    idx.write(tmp_path / "images.gz", IMAGES)
    idx.write(tmp_path / "labels.gz", LABELS)
    images, labels = idx.read_pair(tmp_path / "images.gz", tmp_path / "labels.gz")
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("images", "labels", "file", "reason"),
    [
        (b"no gzip", RIGHT_LABELS, "images", "Not a gzipped file"),
        (RIGHT_IMAGES[:-9], RIGHT_LABELS, "images", "ended before the end-of-stream"),
        (packed(b"\0\0"), RIGHT_LABELS, "images", "it ends in its header, after 2 bytes"),
        (
            packed(header(3, 28, 28, zero=7), bytes(2352)),
            RIGHT_LABELS,
            "images",
            "starts with 0007",
        ),
        (packed(header(3, 28, 28, kind=9), bytes(2352)), RIGHT_LABELS, "images", "of type 0x09"),
        (packed(header(2352), bytes(2352)), RIGHT_LABELS, "images", "has 1 dimensions, not 3"),
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
        (packed(header(3, 14, 56), bytes(2352)), RIGHT_LABELS, "images", "14 by 56 pixels"),
        (packed(header(2, 28, 28), bytes(1568)), RIGHT_LABELS, "images", "2 images"),
        (RIGHT_IMAGES, packed(header(3), b"\0\1\12"), "labels", "a label 10; allowed are 0 to 9"),
        (packed(header(0, 28, 28)), packed(header(0)), "labels", "is empty"),
        (None, RIGHT_LABELS, "images", "is missing; run `dvc repro`"),
        # The product of these is 0 to a computer of 64 bits.
        (
            packed(header(2**31, 2**31, 4)),
            RIGHT_LABELS,
            "images",
            "take 18,446,744,073,709,551,616",
        ),
        (packed(header(5_500_000, 28, 28)), RIGHT_LABELS, "images", "of 4,294,967,296 allowed"),
        (packed(header(5_400_000, 28, 28)), RIGHT_LABELS, "images", "but it has fewer"),
        (RIGHT_IMAGES, packed(header(3, kind=9), bytes(3)), "labels", "of type 0x09, not 0x08"),
        (RIGHT_IMAGES, packed(header(3, kind=12), bytes(12)), "labels", "of type 0x0c, not 0x08"),
        (RIGHT_IMAGES + b"more", RIGHT_LABELS, "images", "Not a gzipped file"),
        (RIGHT_IMAGES + packed(b"more"), RIGHT_LABELS, "images", "but it has more"),
        (RIGHT_IMAGES[:-8] + bytes(8), RIGHT_LABELS, "images", "CRC check failed"),
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
        idx.read_pair(*paths)
    assert str(error.value).startswith(f"{tmp_path / file}.gz ")
    assert reason in str(error.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A gigabyte of zeros in a megabyte, behind a header that speaks of three images."""
    packer, megabyte = zlib.compressobj(wbits=31), bytes(2**20)
    content = packer.compress(header(3, 28, 28))
    content += b"".join(packer.compress(megabyte) for _ in range(1024)) + packer.flush()
    (tmp_path / "images.gz").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(PipelineError, match="take 2352 bytes, but it has more"):
        idx.read(tmp_path / "images.gz", dimensions=3)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


def test_shape_and_classes_are_those_of_the_data(tmp_path: Path) -> None:
    images, labels = np.zeros((2, 4, 6, 3), np.uint8), np.array([0, 200], np.uint8)
    paths = tmp_path / "images.gz", tmp_path / "labels.gz"
    idx.write(paths[0], images)
    idx.write(paths[1], labels)
    read = idx.read_pair(*paths, shape=(4, 6, 3), classes=201)
    np.testing.assert_array_equal(read[0], images, strict=True)
    np.testing.assert_array_equal(read[1], labels, strict=True)
    with pytest.raises(PipelineError, match="has images of 4 by 6 by 3 pixels, not 6 by 4 by 3"):
        idx.read_pair(*paths, shape=(6, 4, 3), classes=201)
    with pytest.raises(PipelineError, match="has a label 200; allowed are 0 to 199"):
        idx.read_pair(*paths, shape=(4, 6, 3), classes=200)


def test_the_stage_puts_it_in_a_line(project: Project) -> None:
    (project.path / "data/raw/train-labels-idx1-ubyte.gz").write_bytes(RIGHT_LABELS)
    done = project.stage("preprocess")
    assert done.returncode == 1
    assert done.stderr == (
        "preprocess: data/raw/train-images-idx3-ubyte.gz has 1000 images, "
        "but data/raw/train-labels-idx1-ubyte.gz has 3 labels\n"
    )
