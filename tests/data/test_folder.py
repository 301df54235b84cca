"""A folder of the user's own becomes the four raw files, or a line says why not."""

import csv
import gzip
import json
import os
import shutil
import sys
import tracemalloc
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.errors import PipelineError
from pipeline.data import dataset, folder, idx, pictures
from pipeline.data.own import FolderParams
from tests.project import Project

PARAMS = FolderParams(
    name="Own",
    licence="CC0-1.0",
    url=None,
    image_size=8,
    channels=1,
    preparation="fit",
    test_fraction=0.25,
    seed=0,
)
PICTURES, IDX = Path("data/own/pictures"), Path("data/own/idx")
KINDS = {"cat": 12, "dog": 8}


def picture(number: int) -> Image.Image:
    """A picture like no other."""
    pixels = np.random.default_rng(number).integers(0, 256, (9 + number % 3, 10, 3), np.uint8)
    return Image.fromarray(pixels)


def save(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number).save(path)
    return path


def fill(root: Path) -> None:
    for label, (kind, count) in enumerate(KINDS.items()):
        for number in range(count):
            save(root / kind / f"{number}.png", 100 * label + number)


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _filled(_here: None) -> None:
    fill(PICTURES)


class Written(NamedTuple):
    description: dataset.Description
    images: dict[str, NDArray[Any]]
    labels: dict[str, NDArray[Any]]
    rows: list[tuple[str, int, str, str]]


def write(**changes: object) -> Written:
    description, rows = folder.write(PARAMS.model_copy(update=changes))
    images, labels = {}, {}
    paths = zip(("train", "test"), folder.IMAGES, folder.LABELS, strict=True)
    for name, images_path, labels_path in paths:
        labels[name] = idx.read_labels(images_path, labels_path, description)
        images[name] = np.concatenate(list(idx.read_parts(images_path)))
    return Written(description, images, labels, rows)


def raw() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(dataset.RAW.iterdir())}


def refusal(**changes: object) -> str:
    """The line that says why not; nothing may have been written."""
    with pytest.raises(PipelineError) as caught:
        folder.write(PARAMS.model_copy(update=changes))
    text = str(caught.value)
    assert all(line.isprintable() for line in text.splitlines())
    assert not dataset.RAW.exists() or not any(dataset.RAW.iterdir())
    return text


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize(
    ("size", "channels", "preparation"), [(8, 1, "fit"), (16, 3, "crop"), (28, 3, "garment")]
)
def test_each_row_is_the_picture_that_the_table_names(
    size: int, channels: int, preparation: str
) -> None:
    written = write(image_size=size, channels=channels, preparation=preparation)
    description = written.description
    assert description.classes == ("cat", "dog")
    assert description.shape == ((size, size) if channels == 1 else (size, size, 3))
    assert (description.name, description.licence) == ("Own", "CC0-1.0")
    for name, row, kind, path in written.rows:
        expected = pictures.read(Path(path), description)
        np.testing.assert_array_equal(written.images[name][row], expected)
        assert description.classes[written.labels[name][row]] == kind == Path(path).parent.name
    assert sorted(row[3] for row in written.rows) == sorted(map(str, PICTURES.rglob("*.png")))
    for name, labels in written.labels.items():
        assert [row[1] for row in written.rows if row[0] == name] == list(range(len(labels)))


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize(
    ("fraction", "cats", "dogs"), [(0.25, 3, 2), (0.01, 1, 1), (0.99, 11, 7), (0.5, 6, 4)]
)
def test_each_class_gives_its_share_to_the_test(fraction: float, cats: int, dogs: int) -> None:
    assert np.bincount(write(test_fraction=fraction).labels["test"]).tolist() == [cats, dogs]


@pytest.mark.usefixtures("_filled")
def test_the_split_depends_on_content_and_seed_and_not_on_names() -> None:
    before = write()
    bytes_before = raw()
    for number, path in enumerate(sorted(PICTURES.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed {number}.png"))
    renamed = write()
    assert raw() == bytes_before
    assert [row[:3] for row in renamed.rows] == [row[:3] for row in before.rows]
    assert all("renamed" in row[3] for row in renamed.rows)
    assert write(seed=1).images["test"].tolist() != before.images["test"].tolist()
    # Another picture leaves the others in their order.
    paths = [path for name, _, _, path in renamed.rows if name == "train"]
    save(PICTURES / "cat" / "new.png", 1000)
    later = [path for name, _, _, path in write().rows if name == "train"]
    both = set(paths) & set(later)
    assert len(both) >= len(paths) - 1
    assert [path for path in paths if path in both] == [path for path in later if path in both]


@pytest.mark.usefixtures("_filled")
def test_copies_stay_on_one_side() -> None:
    for path in list(PICTURES.rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    rows = write().rows
    side = {path: name for name, _, _, path in rows}
    assert len(side) == 2 * sum(KINDS.values())
    for copy, name in side.items():
        assert side[copy.replace("copy of ", "")] == name
    assert Counter(name for name, _, _, _ in rows) == {"train": 30, "test": 10}


@pytest.mark.usefixtures("_here")
def test_a_split_of_the_users_own_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    fill(PICTURES / "train")
    for number, kind in enumerate(KINDS):
        save(PICTURES / "test" / kind / "0.png", 500 + number)
    (PICTURES / "about.txt").touch()
    for name, _, kind, path in write().rows:
        assert Path(path).parts[3:5] == (name, kind)
    assert (
        "ignored, since not a PNG, JPEG, WebP, BMP or TIFF picture in the folder of a class (1): "
        "data/own/pictures/about.txt" in capsys.readouterr().out
    )


@pytest.mark.usefixtures("_here")
def test_classes_may_be_called_train_and_test() -> None:
    for label, kind in enumerate(("train", "test")):
        for number in range(10):
            save(PICTURES / kind / f"{number}.jpg", 100 * label + number)
    assert write().description.classes == ("test", "train")


@pytest.mark.usefixtures("_filled")
def test_what_is_ignored_or_special_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    (PICTURES / "notes.txt").touch()
    for name in ("b.gif", ".hidden.png", "Thumbs.db", "a"):
        (PICTURES / "cat" / name).touch()
    (PICTURES.parent / "archive").mkdir()
    (PICTURES.parent / "README.md").touch()
    picture(900).save(
        PICTURES / "dog" / "moves.webp", save_all=True, append_images=[picture(903)], lossless=True
    )
    written = write()
    assert capsys.readouterr().out.splitlines() == [
        "ignored (1): data/own/archive",
        "ignored, since not a PNG, JPEG, WebP, BMP or TIFF picture in the folder of a class (5): "
        "data/own/pictures/cat/.hidden.png, data/own/pictures/cat/Thumbs.db, "
        "data/own/pictures/cat/a, and 2 more",
        "the first picture is taken of a file with several (1): data/own/pictures/dog/moves.webp",
    ]
    assert len(written.rows) == sum(KINDS.values()) + 1


def test_what_a_source_does_not_use_or_replaces_is_told(project: Project) -> None:
    """Not so what an earlier run has left, of other parameters."""
    project.set_params({"data.synthetic.seed": 1})
    assert "replaced" not in project.ok("dvc", "repro", "download")
    labels = project.path / dataset.TRAIN_LABELS
    labels.write_bytes(b"mine")
    fill(project.path / PICTURES)
    done = project.stage("download")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "not used, since data.source is synthetic, not folder (1): data/own/pictures",
        f"replaced, since not of an earlier run; put your own data into data/own (1): "
        f"{dataset.TRAIN_LABELS}",
    ]
    project.set_params({"data.source": "folder", "data.folder.name": "a\x1b[31m"})
    done = project.stage("download")
    assert done.stderr.startswith("download: params.yaml: data.folder.name is 'a\\x1b[31m'; ")
    project.set_params({"data.folder.name": "A folder"})
    labels.write_bytes(b"mine")
    assert project.stage("download").stdout.startswith("replaced, since not of an earlier run; ")


def nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def link(path: Path, target: str | Path) -> None:
    path.symlink_to(target)


def remove(*paths: Path) -> None:
    for path in paths:
        shutil.rmtree(path)


def write_texts(*paths: Path) -> None:
    for path in paths:
        path.write_text(path.name)


def replace_by_file(path: Path) -> None:
    shutil.rmtree(path)
    path.touch()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def twice(name: str, *paths: str) -> None:
    """The same picture at several places below `pictures`."""
    for path in paths:
        save(PICTURES / path / name, 700)


# How to spoil the folder, and the line that it gives.
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "unreadable": (
        lambda: (PICTURES / "cat/x.jpg").write_text("text"),
        "data/own/pictures/cat/x.jpg is not a PNG, JPEG, WebP, BMP or TIFF picture",
    ),
    "truncated": (
        lambda: truncate(PICTURES / "cat/3.png"),
        "data/own/pictures/cat/3.png cannot be read: image file is truncated",
    ),
    "two that are unreadable": (
        lambda: write_texts(PICTURES / "cat/x.png", PICTURES / "dog/y.tif"),
        "dog/y.tif is not",
    ),
    "pipe": (lambda: os.mkfifo(PICTURES / "cat/p.png"), "cat/p.png is not a regular file"),
    "one picture": (
        lambda: save(PICTURES / "cow/1.png", 800),
        "data/own/pictures/cow has too few pictures that differ: 1, not 2 or more",
    ),
    "no picture": (
        lambda: (PICTURES / "cow").mkdir(),
        "cow has too few pictures that differ: 0, not 2",
    ),
    "copies of one": (
        lambda: [save(PICTURES / f"cow/{number}.png", 800) for number in range(3)],
        "data/own/pictures/cow has too few pictures that differ: 1, not 2 or more",
    ),
    "one class": (
        lambda: shutil.rmtree(PICTURES / "dog"),
        "data/own has 1 classes; allowed are 2 to 1,000",
    ),
    "empty": (
        lambda: remove(*PICTURES.iterdir()),
        "data/own has 0 classes; allowed are 2 to 1,000, where data/own/README.md says",
    ),
    "classes by case": (
        lambda: save(PICTURES / "Cat/1.png", 800),
        "data/own/pictures/Cat and data/own/pictures/cat have names that differ by case",
    ),
    "classes by Unicode form": (
        lambda: [save(PICTURES / f"{form}/1.png", 800) for form in ("k\xe4fer", nfd("k\xe4fer"))],
        "k\xe4fer have names that differ by case or Unicode form alone",
    ),
    "files by case": (lambda: save(PICTURES / "cat/1.PNG", 800), "cat/1.PNG and "),
    "two classes": (
        lambda: twice("x.png", "cat", "dog"),
        "data/own/pictures/cat/x.png and data/own/pictures/dog/x.png are the same, "
        "but of two classes",
    ),
    "unprintable class": (lambda: save(PICTURES / "c\now/1.png", 800), "c\\now has a name that"),
    "unprintable file": (lambda: save(PICTURES / "cat/\x1b.png", 800), "\\x1b.png has a name"),
    "not Unicode": (
        lambda: shutil.copy(PICTURES / "cat/1.png", PICTURES / os.fsdecode(b"cat/\xff.png")),
        "cat/\\udcff.png has a name",
    ),
    "link out": (
        lambda: link(PICTURES / "cat/l.png", save(Path("out.png"), 800).resolve()),
        "data/own/pictures/cat/l.png is a link that leads out of data/own",
    ),
    "linked class": (
        lambda: link(PICTURES / "cow", Path("/")),
        "data/own/pictures/cow is a link that leads out of data/own",
    ),
    "all linked": (
        lambda: link(PICTURES, PICTURES.rename("elsewhere").resolve()),
        "data/own/pictures is a link that leads out of data/own",
    ),
    "broken link": (
        lambda: link(PICTURES / "cat/l.png", "nowhere"),
        "data/own/pictures/cat/l.png is a link that leads nowhere",
    ),
    "circle": (lambda: link(PICTURES / "cat/l.png", "l.png"), "cat/l.png is a link that leads now"),
    "linked up": (lambda: link(PICTURES / "cat/l", ".."), "cat/l is a folder in that of a class"),
    "folder in a class": (
        lambda: save(PICTURES / "cat/kitten/1.png", 800),
        "data/own/pictures/cat/kitten is a folder in that of a class",
    ),
    "too few": (lambda: (PICTURES / "cat/1.png").unlink(), "has 19 images; allowed are 20 to"),
    "both": (lambda: IDX.mkdir(), "both data/own/pictures and data/own/idx; keep one"),
    "neither": (lambda: shutil.rmtree(PICTURES), "data/own has no data: put pictures into"),
    "nothing at all": (lambda: shutil.rmtree("data"), "data/own has no data: put pictures into"),
    "not checked out": (
        lambda: PICTURES.rename(f"{PICTURES}.dvc"),
        "data/own/pictures is missing; run `dvc checkout data/own/pictures.dvc`",
    ),
    "a file": (
        lambda: replace_by_file(PICTURES),
        "data/own/pictures is not a folder",
    ),
}


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_gets_a_line(case: str) -> None:
    spoil, reason = BAD[case]
    spoil()
    text = refusal()
    assert reason in text
    assert len(text.splitlines()) == (2 if case.startswith("two that") else 1)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda: shutil.rmtree(PICTURES / "test"), "train/cat is a folder in that of a class"),
        (lambda: shutil.rmtree(PICTURES / "train"), "test/cat is a folder in that of a class"),
        (lambda: shutil.rmtree(PICTURES / "test/cat"), "the test set has no image of class cat"),
        (
            lambda: save(PICTURES / "test/cow/1.png", 600),
            "the training set has no image of class cow",
        ),
        (
            lambda: (PICTURES / "test/cow").mkdir(),
            "test/cow has too few pictures that differ: 0, not 1 or",
        ),
        (
            lambda: (PICTURES / "test/dog").rename(PICTURES / "test/Dog"),
            "pictures/train/dog and data/own/pictures/test/Dog have names that differ by case",
        ),
        (
            lambda: twice("x.png", "train/cat", "test/cat"),
            "data/own/pictures/train/cat/x.png and data/own/pictures/test/cat/x.png are the same, "
            "but of both sets",
        ),
        (lambda: twice("x.png", "train/cat", "test/dog"), "are the same, but of two classes"),
        (lambda: save(PICTURES / "cow/1.png", 1), "cat is a folder in that of a class"),
    ],
)
def test_what_is_wrong_with_a_split_gets_a_line(spoil: Callable[[], object], reason: str) -> None:
    fill(PICTURES / "train")
    for number, kind in enumerate(KINDS):
        save(PICTURES / "test" / kind / "0.png", 500 + number)
    spoil()
    assert reason in refusal()


@pytest.mark.usefixtures("_filled")
def test_links_within_the_folder_are_followed() -> None:
    save(PICTURES.parent / "archive/1.png", 800)
    link(PICTURES / "cat/l.png", "../../archive/1.png")
    assert str(PICTURES / "cat/l.png") in {row[3] for row in write().rows}


@pytest.mark.usefixtures("_filled")
def test_a_full_disk_is_noticed_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_000_000))
    write(image_size=98)  # 20 pictures take 1.92 MB
    shutil.rmtree(dataset.RAW)
    text = refusal(image_size=256, channels=3)
    assert text == "data/own takes about 39.3 MB of disk when prepared, but 2.0 MB are free"


def put_idx(
    train: NDArray[Any],
    test: NDArray[Any],
    labels: tuple[NDArray[Any], NDArray[Any]],
    *,
    prefix: str = "",
    test_name: str = "t10k",
    ending: str = "-idx3-ubyte.gz",
) -> None:
    for name, images, numbers in (("train", train, labels[0]), (test_name, test, labels[1])):
        idx.write(IDX / f"{prefix}{name}-images{ending}", images)
        idx.write(IDX / f"{prefix}{name}-labels{ending.replace('3', '1')}", numbers)


def images_of(count: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


def cycle(count: int, classes: int, first: int = 0) -> NDArray[np.uint8]:
    return (np.arange(count) % classes + first).astype(np.uint8)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("shape", [(28, 28), (8, 256), (20, 10, 3)])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_taken_as_they_are(shape: tuple[int, ...], packed: bool) -> None:
    train, test = images_of(30, *shape), images_of(12, *shape)
    put_idx(train, test, (cycle(30, 3), cycle(12, 3)))
    if not packed:
        for path in IDX.iterdir():
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    written = write()
    np.testing.assert_array_equal(written.images["train"], train)
    np.testing.assert_array_equal(written.images["test"], test)
    assert written.labels["train"].tolist() == cycle(30, 3).tolist()
    assert written.description.classes == ("0", "1", "2")
    assert written.description.shape == shape
    assert written.rows == []


@pytest.mark.usefixtures("_here")
def test_labels_from_1_are_told_and_mapped(capsys: pytest.CaptureFixture[str]) -> None:
    """As those of EMNIST letters, under their names."""
    train, test = images_of(52, 28, 28), images_of(26, 28, 28)
    put_idx(
        train,
        test,
        (cycle(52, 26, first=1), cycle(26, 26, first=1)),
        prefix="emnist-letters-",
        test_name="test",
    )
    (IDX / "emnist-letters-mapping.txt").touch()
    written = write()
    assert written.labels["test"].tolist() == list(range(26))
    assert written.description.classes[::25] == ("1", "26")
    assert capsys.readouterr().out.splitlines() == [
        "ignored, since not an IDX file of images or labels (1): "
        "data/own/idx/emnist-letters-mapping.txt",
        "data/own/idx: labels start at 1, and become those from 0",
    ]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    (IDX / "classes.txt").write_bytes("\r\n".join(["\ufeffa", *letters[1:], "", ""]).encode())
    assert write().description.classes == tuple(letters)


@pytest.mark.usefixtures("_here")
def test_labels_above_255() -> None:
    labels = np.arange(300, dtype=np.uint16)
    put_idx(images_of(300, 8, 8), images_of(300, 8, 8), (labels, labels[::-1]))
    written = write()
    assert written.labels["train"].dtype == np.uint16
    assert written.labels["test"].tolist() == labels[::-1].tolist()
    assert idx.read_header(dataset.TEST_LABELS)[0].name == "int16"


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(("first", "classes"), [(0, 256), (1, 255)])
def test_labels_up_to_255(first: int, classes: int) -> None:
    labels = cycle(classes, classes, first)
    put_idx(images_of(classes, 8, 8), images_of(classes, 8, 8), (labels, labels[::-1]))
    written = write()
    assert written.description.classes == tuple(map(str, range(first, 256)))
    assert written.labels["train"].dtype == np.uint8
    assert written.labels["test"].tolist() == list(range(classes))[::-1]


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (20, "has 16777216 labels for 20 images"),
        (2**24, "data/own has 16,777,228 images; allowed are 20 to 200,000"),
    ],
)
def test_labels_beyond_the_images_or_the_limit_are_not_unpacked(images: int, reason: str) -> None:
    put_idx(images_of(20, 8, 8), images_of(12, 8, 8), (cycle(20, 3), cycle(12, 3)))
    idx.write(IDX / "train-labels-idx1-ubyte.gz", np.zeros(2**24, np.uint8))
    if images > 20:
        with idx.writing(IDX / "train-images-idx3-ubyte.gz", (images, 8, 8)):
            pass
    tracemalloc.start()
    assert reason in refusal()
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


def put_labels(name: str, values: list[int]) -> None:
    idx.write(IDX / f"{name}-labels-idx1-ubyte.gz", np.array(values, np.uint16))


def name_classes(*names: str) -> None:
    (IDX / "classes.txt").write_text("\n".join(names))


BAD_IDX: dict[str, tuple[Callable[[], object], str]] = {
    "missing": (
        lambda: (IDX / "t10k-labels-idx1-ubyte.gz").unlink(),
        "data/own/idx has no file test-labels",
    ),
    "twice": (
        lambda: shutil.copy(IDX / "train-images-idx3-ubyte.gz", IDX / "x-train-images-idx3-ubyte"),
        "idx/train-images-idx3-ubyte.gz and data/own/idx/x-train-images-idx3-ubyte have the same",
    ),
    "sizes": (
        lambda: idx.write(IDX / "t10k-images-idx3-ubyte.gz", images_of(12, 28, 29)),
        "has images of [28, 28, 1], but data/own/idx/t10k-images-idx3-ubyte.gz [28, 29, 1]",
    ),
    "too large": (
        lambda: idx.write(IDX / "train-images-idx3-ubyte.gz", images_of(30, 8, 257)),
        "train-images-idx3-ubyte.gz holds uint8 [30, 8, 257]; allowed are uint8 [N, H, W] and",
    ),
    "two channels": (
        lambda: idx.write(IDX / "train-images-idx3-ubyte.gz", images_of(30, 28, 28, 2)),
        "holds uint8 [30, 28, 28, 2]; allowed",
    ),
    "flat": (
        lambda: idx.write(IDX / "train-images-idx3-ubyte.gz", images_of(30, 784)),
        "holds uint8 [30, 784]; allowed",
    ),
    "short": (
        lambda: truncate(IDX / "train-images-idx3-ubyte.gz"),
        "data/own/idx/train-images-idx3-ubyte.gz cannot be used: EOFError: Compressed file ended",
    ),
    "labels": (lambda: put_labels("train", [0, 1, 2]), "has 3 labels for 30 images"),
    "negative": (lambda: put_labels("train", [65535] * 30), "has a label -1; allowed are those"),
    "absent": (
        lambda: put_labels("t10k", [0] * 12),
        "data/own: the test set has no image of class 1",
    ),
    "one class": (
        lambda: put_idx(images_of(20, 8, 8), images_of(20, 8, 8), (cycle(20, 1), cycle(20, 1))),
        "data/own has 1 classes; allowed are 2 to 1,000",
    ),
    "1,001 classes": (
        lambda: put_labels("train", [*range(29), 1000]),
        "data/own has 1,001 classes; allowed are 2 to 1,000",
    ),
    "200,001 images": (
        lambda: put_idx(
            np.zeros((200_000, 8, 8), np.uint8),
            images_of(1, 8, 8),
            (cycle(200_000, 3), cycle(1, 3)),
        ),
        "data/own has 200,001 images; allowed are 20 to 200,000",
    ),
    "names": (lambda: name_classes("a", "b"), "classes.txt has 2 names, but labels are 0 to 2"),
    "same names": (
        lambda: name_classes("a", "b", "a"),
        "classes.txt: line 3 names a class again: 'a'",
    ),
    "no name": (lambda: name_classes("a", "", "b"), "classes.txt: line 2 is not printable: ''"),
    "unprintable": (
        lambda: name_classes("a", "\x07", "b"),
        "line 2 is not printable: '\\x07'",
    ),
}


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("case", BAD_IDX)
def test_what_is_wrong_with_idx_files_gets_a_line(case: str) -> None:
    put_idx(images_of(30, 28, 28), images_of(12, 28, 28), (cycle(30, 3), cycle(12, 3)))
    spoil, reason = BAD_IDX[case]
    spoil()
    text = refusal()
    assert reason in text


def add_a_picture_meanwhile() -> None:
    """In the process of the stage, once it writes the images."""
    late = Path("data/own/pictures/cat/late.png")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and "images-idx3" in str(arguments[0]) and not late.exists():
            late.write_bytes(late.with_name("1.png").read_bytes())

    sys.addaudithook(note)


@pytest.mark.exhaustive
def test_dvc_follows_the_folder(fresh: Project, tmp_path: Path) -> None:
    """A clone has it after `dvc checkout`; what changes in it makes `download` run again."""

    def stale(project: Project) -> bool:
        return bool(json.loads(project.ok("dvc", "status", "--json", "download")))

    params = {"data.source": "folder", "data.folder.image_size": 8}
    fresh.set_params(params)
    done = fresh.stage("download")
    assert done.returncode == 1
    assert done.stderr.startswith("download: data/own has no data: put pictures into")
    fill(fresh.path / PICTURES)
    fresh.ok("dvc", "add", "--quiet", str(PICTURES))
    fresh.ok("dvc", "repro", "--quiet", "download")
    fresh.commit("Pictures")
    assert not stale(fresh)
    with (fresh.path / dataset.RAW_FILES).open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 20
    assert list(table[0]) == list(dataset.FILES_HEADER)

    clone = Project(tmp_path / "clone")
    fresh.ok("git", "clone", "--quiet", ".", str(clone.path))
    clone.ok("dvc", "cache", "dir", "--local", str(fresh.path / ".dvc/cache"))
    clone.ok("dvc", "config", "--local", "cache.type", "symlink")
    clone.ok("dvc", "checkout", "--quiet", "download", f"{PICTURES}.dvc")
    assert (clone.path / PICTURES / "cat/1.png").is_symlink()
    assert not stale(clone)
    assert clone.stage("download").returncode == 0, "links into DVC's cache are no way out"
    assert not stale(clone)

    cats = fresh.path / PICTURES / "cat"
    (cats / "2.png").rename(cats / "renamed.png")
    assert stale(fresh), "renamed"
    fresh.ok("dvc", "repro", "--quiet", "download")
    assert "renamed.png" in (fresh.path / dataset.RAW_FILES).read_text()
    added = save(cats / "added.png", 1000)
    assert stale(fresh), "added"
    added.unlink()
    removed = (cats / "1.png").rename(tmp_path / "1.png")
    assert stale(fresh), "removed"
    shutil.copy(cats / "3.png", cats / "1.png")
    assert stale(fresh), "changed"
    removed.replace(cats / "1.png")
    assert not stale(fresh)
    done = fresh.stage("download", before=add_a_picture_meanwhile)
    assert done.returncode == 1
    late = "download: data/own/pictures/cat/late.png changed while the stage ran"
    assert done.stderr.startswith(late)
