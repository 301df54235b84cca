"""Data sets of a user's own, through the whole pipeline: nothing speaks of garments."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pipeline.data import idx
from pipeline.data.fashion_mnist import DESCRIPTION
from tests.project import ROOT, Project, compare, read_csv, read_json

GARMENTS = "|".join([*DESCRIPTION.classes, "fashion", "garment", "cloth"])


def glyph(text: str, size: int, rng: np.random.Generator) -> Image.Image:
    """A character, dark on light, somewhere in a noisy picture."""
    image = Image.new("L", (size, size), 235)
    place = tuple(rng.integers(size // 8, size // 3, 2))
    font = ImageFont.load_default(size // 2)
    ImageDraw.Draw(image).text(place, text, int(rng.integers(0, 60)), font)
    noisy = np.asarray(image, int) + rng.integers(-15, 16, (size, size))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def digits(own: Path) -> list[str]:
    """Ten folders of rendered digits."""
    rng = np.random.default_rng(0)
    for digit in map(str, range(10)):
        folder = own / "pictures" / digit
        folder.mkdir(parents=True)
        for number in range(30):
            glyph(digit, 40, rng).save(folder / f"{number}.png")
        shutil.copy(folder / "3.png", folder / "the same.png")
    return [str(digit) for digit in range(10)]


def colours(own: Path) -> list[str]:
    """Three classes of very different sizes, in colour."""
    rng = np.random.default_rng(0)
    for channel, (name, count) in enumerate((("blue sky", 16), ("green leaf", 40), ("red", 160))):
        folder = own / "pictures" / name
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 120, (50, 70, 3), np.uint8)
            pixels[..., 2 - channel] += 100
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return ["blue sky", "green leaf", "red"]


def letters(own: Path) -> list[str]:
    """IDX files of 26 classes, whose labels start at 1."""
    rng = np.random.default_rng(0)
    names = [chr(ord("a") + index) for index in range(26)]
    (own / "idx").mkdir()
    for part, copies in (("train", 12), ("test", 4)):
        images = [np.asarray(glyph(name, 28, rng)) for name in names for _ in range(copies)]
        labels = np.repeat(np.arange(1, 27, dtype=np.uint8), copies)
        idx.write(own / f"idx/letters-{part}-images-idx3-ubyte.gz", 255 - np.stack(images))
        idx.write(own / f"idx/letters-{part}-labels-idx1-ubyte.gz", labels)
    (own / "idx/classes.txt").write_text("\n".join(names))
    return names


CASES: dict[str, tuple[Any, dict[str, Any], tuple[int, ...]]] = {
    "colours": (
        colours,
        {
            "data.folder.image_size": 48,
            "data.folder.channels": 3,
            "data.folder.preparation": "crop",
            "train.class_weight": "balanced",
        },
        (48, 48, 3),
    ),
    "digits": (digits, {"data.folder.preparation": "garment"}, (28, 28)),
    "letters": (letters, {}, (28, 28)),
}


@pytest.mark.parametrize(
    "name",
    CASES,
)
@pytest.mark.exhaustive  # the walk through the README goes one folder's way
def test_from_a_folder_to_the_report(fresh: Project, name: str) -> None:
    fill, changes, shape = CASES[name]
    own = fresh.path / "data/own"
    classes = fill(own)
    (folder,) = (path.name for path in own.iterdir() if path.is_dir())
    fresh.ok("dvc", "add", f"data/own/{folder}")
    fresh.set_params({"data.source": "folder", "data.folder.name": f"My {name}"} | changes)
    fresh.set_params({"train.epochs": 3, "train.batch_size": 16})
    fresh.ok("dvc", "repro")
    fresh.commit(f"My {name}")

    description = read_json(fresh.path / "models/dataset.json")
    assert description["classes"] == classes
    with np.load(fresh.path / "data/processed/train.npz") as arrays:
        assert arrays["images"].shape[1:] == shape
    metrics = read_json(fresh.path / "metrics/evaluate.json")
    assert metrics["test"]["accuracy"] > 2 / len(classes)
    report = (fresh.path / "plots/report.html").read_text()
    assert f"My {name}" in report
    assert all(cls in report for cls in classes)
    for text in (report, *(file.read_text() for file in (fresh.path / "plots").glob("*.csv"))):
        # The table of parameters names the default of data.source, and a kind of preparation.
        visible = re.sub(r"data:image/\w+;base64,[\w+/=]+|fashion-mnist|#34;garment", "", text)
        assert not re.findall(rf"\b({GARMENTS})\b", visible, re.IGNORECASE)
    assert set(classes) >= {row["actual"] for row in read_csv(fresh.path / "plots/predictions.csv")}

    examples = json.loads(fresh.ok("python", "-m", "pipeline", "data", "--json"))["copies"]
    for first, row, _, copy, *files in examples["examples"]:
        assert (files == [None, None]) == (name == "letters"), (first, row, copy)

    status, printed = compare(fresh, "HEAD", "--html")
    assert status == 0
    assert "identical" in printed
    assert "There is no such image." in (fresh.path / "pages/compare.html").read_text()
    picture = next(own.rglob("*.[jp][pn]g"), fresh.path / "docs/report.png")
    printed = fresh.ok("python", "-m", "pipeline", "predict", str(picture))
    named = [line.split("%")[1].strip() for line in printed.splitlines()[1:4]]
    assert len(named) == 3
    assert set(named) <= set(classes)
    fresh.ok("dvc", "plots", "show", "--out", "shown")
    status = fresh.run("python", "-m", "pipeline", "verify").returncode
    assert status == 0


def test_no_code_outside_the_data_room_knows_of_garments() -> None:
    """Ten classes, 28 pixels and clothes belong to two data sets, and to their modules alone."""
    rooms = ("core", "training", "evaluation", "report", "experiments", "commands")
    files = [p for room in rooms for p in (ROOT / "pipeline" / room).rglob("*") if p.is_file()]
    files += [ROOT / "pipeline/data/dataset.py", ROOT / "pipeline/data/preprocessing.py"]
    for file in (*files, *(ROOT / "stages").glob("*.py")):
        if file.name == "plain_keras.py":  # the tutorial's own training, as a unit of time
            continue
        if file.suffix in (".py", ".html", ".js", ".css"):
            text = file.read_text(encoding="utf-8")
            names = "|".join(map(re.escape, DESCRIPTION.classes))
            found = re.findall(rf"\b({names}|CLASS_NAMES)\b|\(28, 28\)|\b(?:, 10\)|== 10)\b", text)
            assert not found, f"{file}: {found}"
