"""The IDX reader takes what is right and says what is wrong with everything else."""

import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.data import fashion_mnist, idx
from tests.project import Project

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
    array = np.tile(np.arange(100, dtype=np.uint8)[:, None], size)
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
    assert idx.read_header(tmp_path / "unpacked") == (np.dtype(np.uint8), (100, size))


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError), idx.writing(tmp_path / "array", (2, 2)) as file:
        file.write("text")  # type: ignore[arg-type]
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
        (b"no IDX array", RIGHT_LABELS, "images", "starts with 6e6f, not with 0000"),
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
        (None, RIGHT_LABELS, "images", "is missing; run `dvc repro`"),
        (
            packed(header(3, 2**31, 2**31)),
            RIGHT_LABELS,
            "images",
            "take 4,611,686,018,427,387,904 bytes of 8,388,608 allowed",
        ),
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
        (idx.read_labels(*paths, fashion_mnist.DESCRIPTION), *idx.read_parts(paths[0]))
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


def test_labels_without_images_are_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "images.gz").write_bytes(RIGHT_IMAGES)
    idx.write(tmp_path / "labels.gz", np.zeros(2**24, np.uint8))
    tracemalloc.start()
    with pytest.raises(PipelineError, match=r"has 3 images, but .* has 16777216 labels"):
        idx.read_labels(tmp_path / "images.gz", tmp_path / "labels.gz", fashion_mnist.DESCRIPTION)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


def test_shape_and_classes_are_those_of_the_data(tmp_path: Path) -> None:
    images, labels = np.zeros((2, 4, 6, 3), np.uint8), np.array([0, 200], np.uint8)
    paths = tmp_path / "images.gz", tmp_path / "labels.gz"
    idx.write(paths[0], images)
    idx.write(paths[1], labels)
    names = tuple(map(str, range(201)))
    colour = {"height": 4, "width": 6, "channels": 3, "classes": names}
    description = fashion_mnist.DESCRIPTION.model_copy(update=colour)
    np.testing.assert_array_equal(idx.read_labels(*paths, description), labels, strict=True)
    taller = description.model_copy(update={"height": 6, "width": 4})
    with pytest.raises(
        PipelineError, match=r"holds uint8 \[2, 4, 6, 3\], not uint8 \[2, 6, 4, 3\]"
    ):
        idx.read_labels(*paths, taller)
    fewer = description.model_copy(update={"classes": names[:200]})
    with pytest.raises(PipelineError, match="has a label 200; allowed are 0 to 199"):
        idx.read_labels(*paths, fewer)
    more = description.model_copy(update={"classes": (*names, *map(str, range(1000, 1200)))})
    assert idx.read_labels(*paths, more).dtype == np.uint16


def test_the_stage_puts_it_in_a_line(project: Project) -> None:
    (project.path / "data/raw/train-labels-idx1-ubyte.gz").write_bytes(RIGHT_LABELS)
    done = project.stage("preprocess")
    assert done.returncode == 1
    assert done.stderr == (
        "preprocess: data/raw/train-images-idx3-ubyte.gz has 1000 images, "
        "but data/raw/train-labels-idx1-ubyte.gz has 3 labels\n"
    )
