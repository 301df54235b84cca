"""Damaged and made-up files of every kind: read to the same result, or refused in one line.

A sealed file, damaged anywhere, is refused or was not changed in what it means. What has no seal,
or was sealed again, may be accepted where it is what a stage could have written.
"""

import csv
import io
import json
import selectors
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.data import idx
from pipeline.data.preprocessing import write_scaled
from pipeline.training import checkpoint
from pipeline.training.checkpoint import Checkpoint
from tests.project import ROOT, Project, environment

FEW, MANY = 15, 150  # files for each kind and way of damage
PATIENCE = 20.0  # seconds

# Reads the files that it is asked to, one after the other, and describes what it gets: a digest of
# the result and whether that is what a stage could have written.
READER = """
import hashlib, json, logging, shutil, sys
from pathlib import Path
import numpy as np
from pipeline.core.errors import PipelineError
from pipeline.data import dataset, idx, pictures
from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.evaluation import prediction
from pipeline.report import figures, results
from pipeline.training import checkpoint

def digest(*arrays):
    parts = [(a.dtype.str, a.shape, a.tobytes().hex()) for a in map(np.asarray, arrays)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

def shares(array):
    return bool(((0 <= array) & (array <= 1)).all())

def images(path):
    idx.read_labels(path, Path("labels.gz"), DESCRIPTION)
    return digest(*idx.read_parts(path)), True

def labels(path):
    read = idx.read_labels(Path("images.gz"), path, DESCRIPTION)
    return digest(read), bool((read < 10).all())

def processed(path):
    data = dataset.load(path, DESCRIPTION)
    valid = data.images.shape[1:] == (28, 28) and len(data.images) == len(data.labels)
    return digest(*data), valid and shares(data.images) and bool((data.labels < 10).all())

def probabilities(path):
    read = dataset.load_probabilities(path, 3, 10)
    return digest(read), bool(np.allclose(read.sum(axis=1), 1, atol=1e-3)) and shares(read)

def model(path):
    pixels = np.linspace(0, 1, 3 * 784, dtype=np.float32).reshape(3, 28, 28)
    read = prediction.predict(prediction.load_model(path, DESCRIPTION), pixels)
    return digest(read), read.shape == (3, 10) and bool(np.isfinite(read).all())

def saved(path):
    path.replace(checkpoint.PATH)
    read = checkpoint.load("right")
    assert (read is None) != checkpoint.PATH.exists()
    if read is None:
        raise PipelineError("starting over")
    checkpoint.discard()
    return digest(*read.weights, *read.optimizer, json.dumps(read.history)), True

def table(path):
    for whole in ("metrics", "plots"):
        shutil.copytree(Path("right") / whole, whole, dirs_exist_ok=True)
    path.replace(TABLES[kind])
    read = results.read(10_000)
    figures.history(read["history"], ""), figures.calibration(read["calibration"], "")
    text = json.dumps(read, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest(), not set(text) & set("<>&")

def picture(path):
    read = pictures.read(path, DESCRIPTION)
    return digest(read), read.shape == (28, 28) and read.dtype == np.uint8

TABLES = {
    "metrics": results.METRICS, "training": results.TRAINING,
    "history": results.HISTORY, "calibration": results.CALIBRATION,
}
READERS = {
    "images": images, "labels": labels, "processed": processed, "probabilities": probabilities,
    "model": model, "checkpoint": saved, **dict.fromkeys(TABLES, table),
    **dict.fromkeys(("png", "jpg", "webp", "bmp", "tiff"), picture),
}
logging.getLogger("tensorflow").setLevel("ERROR")  # it warns of many models in one process
said = sys.stdout
sys.stdout = open("printed", "w")
for line in sys.stdin:
    kind, path = line.split()
    try:
        outcome = list(READERS[kind](Path(path)))
    except PipelineError as error:
        outcome = str(error)
    print(json.dumps(outcome), file=said, flush=True)
"""


class Reader:
    """A process that reads one file after the other in a folder of its own."""

    def __init__(self, folder: Path, right: dict[str, bytes]) -> None:
        self.folder = folder
        self.errors = folder / "errors"
        self.selector = selectors.DefaultSelector()
        for whole in ("right/metrics", "right/plots", "models"):
            (folder / whole).mkdir(parents=True)
        for name, path in TABLES.items():
            (folder / "right" / path).write_bytes(right[name])
        for name in ("images", "labels"):
            (folder / f"{name}.gz").write_bytes(right[name])
        self.start()
        self.whole = {kind: self.read(kind, content, 100) for kind, content in right.items()}

    def start(self) -> None:
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", READER],
                cwd=self.folder,
                env=environment() | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def stop(self) -> None:
        assert self.process.stdout is not None
        self.selector.unregister(self.process.stdout)
        self.process.kill()
        self.process.communicate()

    def read(self, kind: str, content: bytes, patience: float = PATIENCE) -> Any:
        """Return the line of an error, or the digest of the result and whether it is valid."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        path = self.folder / ("file.keras" if kind == "model" else "file")
        path.write_bytes(content)
        print(kind, path.name, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline() if self.selector.select(patience) else ""
        errors = self.errors.read_text()
        if not line or errors:
            self.stop()
            self.start()
        assert line, f"no answer within {patience} s, or a crash: {errors}"
        assert errors == ""
        assert not list(self.folder.rglob(".*.tmp*"))
        return json.loads(line)


class Content(bytes):
    """The content of a file, too long to be shown."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes"


@pytest.fixture(scope="module")
def right(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A good file of each kind."""
    folder = tmp_path_factory.mktemp("right")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 28, 28), np.uint8)
    labels = np.array([0, 9, 5], np.uint8)
    idx.write(folder / "images", pixels)
    idx.write(folder / "labels", labels)
    write_scaled(folder / "processed", [pixels], (28, 28), labels)
    with (folder / "probabilities").open("wb") as file:
        np.savez(file, probabilities=np.full((3, 10), 0.1, np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arrays: list[NDArray[Any]] = [rng.random((4, 3), np.float32), np.arange(3)]
        checkpoint.save(Checkpoint("right", [{"loss": 0.1}], arrays, arrays))
        checkpoint.PATH.replace("checkpoint")
    picture = Image.fromarray(rng.integers(0, 256, (40, 30, 4), np.uint8), "RGBA")
    for kind in PICTURES:
        shown = picture.convert("RGB") if kind == "jpg" else picture
        shown.save(folder / kind, "jpeg" if kind == "jpg" else kind)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return files | {
        "model": (finished.path / "models/model.keras").read_bytes(),
        "metrics": (ROOT / "metrics/evaluate.json").read_bytes(),
        "training": (ROOT / "metrics/train.json").read_bytes(),
        "history": (ROOT / "plots/history.csv").read_bytes(),
        "calibration": (ROOT / "plots/calibration.csv").read_bytes(),
    }


@pytest.fixture(scope="module")
def reader(right: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    running = Reader(tmp_path_factory.mktemp("reader"), right)
    yield running
    running.stop()


TABLES = {
    "metrics": "metrics/evaluate.json",
    "training": "metrics/train.json",
    "history": "plots/history.csv",
    "calibration": "plots/calibration.csv",
}
SEALED = ("images", "labels", "processed", "probabilities", "model", "checkpoint")
PICTURES = ("png", "jpg", "webp", "bmp", "tiff")
NASTY = (
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\x80\x3f",
    b"PK\3\4",
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut, overwrite, insert or repeat something, most often near the beginning or the end."""
    for _ in range(draw(st.integers(1, 3))):
        size = len(content)
        near = st.integers(0, min(size, 200))
        place = draw(st.integers(0, size) | near)
        if draw(st.booleans()):
            place = size - place
        length = draw(st.integers(1, 8))
        value = draw(st.binary(min_size=length, max_size=length) | st.sampled_from(NASTY))
        match draw(st.sampled_from(("overwrite", "insert", "cut", "end", "repeat"))):
            case "overwrite":
                content = content[:place] + value + content[place + len(value) :]
            case "insert":
                content = content[:place] + value + content[place:]
            case "cut":
                content = content[:place] + content[place + length :]
            case "end":
                content = content[:place]
            case "repeat":
                content = content[:place] + content[max(0, place - 16 * length) :]
    return content


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["<script>", 10**30, -1, 0, "keras", "os.system", "float16"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def other_json(draw: st.DrawFn, content: bytes) -> bytes:
    """Replace, remove or nest some value."""
    whole = [json.loads(content)]
    places = list(_places(whole))
    parent, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(("replace", "remove", "nest"))):
        case "replace":
            parent[key] = draw(VALUES)
        case "remove":
            del parent[key]
        case "nest":
            parent[key] = [parent[key]]
    return json.dumps(whole[0] if whole else None).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(pairs):
        yield content, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


NUMBERS = (
    st.floats().map(str) | st.integers().map(str) | st.sampled_from(["", "nan", "1_0", "1e400"])
)


@st.composite
def other_table(draw: st.DrawFn, content: bytes) -> bytes:
    """Replace a cell, or repeat, drop or exchange rows or columns."""
    rows = list(csv.reader(io.StringIO(content.decode())))
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, len(rows[0]) - 1))
    match draw(st.sampled_from(("cell", "row", "no row", "column", "no column"))):
        case "cell":
            rows[row][column] = draw(NUMBERS | st.text(max_size=5))
        case "row":
            rows.insert(row, rows[draw(st.integers(0, len(rows) - 1))])
        case "no row":
            del rows[row]
        case "column":
            rows = [[*cells, cells[column]] for cells in rows]
        case "no column":
            rows = [cells[:column] + cells[column + 1 :] for cells in rows]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


@st.composite
def sealed_again(draw: st.DrawFn, content: bytes) -> bytes:
    """Change a file in an archive, so that all checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(members)))
    change = other_json if name == "config.json" and draw(st.integers(0, 3)) else damaged
    members[name] = draw(change(members[name]))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, part in members.items():
            archive.writestr(member, part)
    return buffer.getvalue()


ATTACKS: dict[str, Callable[[bytes], st.SearchStrategy[bytes]]] = {
    **{f"{kind}, damaged": damaged for kind in (*SEALED, *PICTURES, *TABLES)},
    **{f"{kind}, sealed again": sealed_again for kind in ("processed", "probabilities", "model")},
    **{f"{kind}, other values": other_json for kind in ("metrics", "training")},
    **{f"{kind}, other values": other_table for kind in ("history", "calibration")},
}


def attack(name: str, count: int, right: dict[str, bytes], reader: Reader) -> None:
    kind, way = name.split(", ")
    assert reader.whole[kind][1], reader.whole[kind]

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(ATTACKS[name](right[kind]).map(Content))
    def each(content: Content) -> None:
        outcome = reader.read(kind, content)
        if isinstance(outcome, str):
            assert outcome.isprintable()
            assert "\n" not in outcome
            return
        digest, valid = outcome
        assert valid
        if kind in SEALED and way == "damaged":
            assert digest == reader.whole[kind][0]

    each()


@pytest.mark.parametrize("name", ATTACKS)
def test_a_damaged_file_is_refused_or_means_the_same(
    name: str, right: dict[str, bytes], reader: Reader
) -> None:
    attack(name, FEW, right, reader)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ATTACKS)
def test_many_damaged_files(name: str, right: dict[str, bytes], reader: Reader) -> None:
    attack(name, MANY, right, reader)


def test_there_are_thousands() -> None:
    assert MANY * len(ATTACKS) >= 2_000
