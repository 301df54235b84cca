"""The IDX reader takes what is right and says what is wrong with everything else."""

import gzip
import struct
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
        idx.read_pair(*paths)
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
