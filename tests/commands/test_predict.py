"""`python -m pipeline predict` gives what the pipeline gave, on pictures and from any revision."""

import csv
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.data.fashion_mnist import DESCRIPTION
from pipeline.report.formats import percent
from tests.project import Finished, Project, read_json

COUNT = 50
# In the last bits, a result depends on how many images are classified at once.
TOLERANCE = 1e-6
SYNTHETIC = "warning: the model was trained on synthetic images\n"

# As the command, then says on standard output whether TensorFlow was started.
PROBE = """
import sys
from pipeline.__main__ import main
sys.argv[0] = "pipeline"
status = main()
print("started" if "tensorflow" in sys.modules else "not started")
sys.exit(status)
"""


def predict(project: Project, *arguments: str | Path) -> Finished:
    done = project.module("pipeline", "predict", *map(str, arguments))
    assert "Traceback" not in done.stderr, done.stderr
    return done


def predict_json(project: Project, *arguments: str | Path) -> list[dict[str, Any]]:
    done = predict(project, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == SYNTHETIC
    content: list[dict[str, Any]] = json.loads(done.stdout)["images"]
    return content


def model_line(project: Project, name: str = "workspace") -> str:
    accuracy = read_json(project.path / "metrics/evaluate.json")["validation"]["accuracy"]
    data_set = read_json(project.path / "models/dataset.json")["name"]
    return f"model: {name}, trained on {data_set}, validation accuracy {percent(accuracy)}"


def probabilities(predictions: list[dict[str, Any]]) -> NDArray[np.float64]:
    assert all(list(p["probabilities"]) == list(DESCRIPTION.classes) for p in predictions)
    return np.array([list(p["probabilities"].values()) for p in predictions])


def images_of_the_test_set(project: Project) -> NDArray[np.uint8]:
    with np.load(project.path / "data/processed/test.npz") as arrays:
        return np.asarray((arrays["images"] * 255).round(), np.uint8)


def evaluated(project: Project) -> NDArray[np.float64]:
    """What the stage `evaluate` gave for the test set."""
    with np.load(project.path / "data/predictions/test.npz") as arrays:
        return np.asarray(arrays["probabilities"], np.float64)


@pytest.fixture(scope="module")
def exported(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The first test images as PNG files."""
    folder = tmp_path_factory.mktemp("exported")
    paths = [folder / f"{row}.png" for row in range(COUNT)]
    for path, pixels in zip(paths, images_of_the_test_set(finished), strict=False):
        Image.fromarray(pixels).save(path)
    return paths


def test_it_agrees_with_the_pipeline(
    finished: Project, exported: list[Path], tmp_path: Path
) -> None:
    """On test images saved as PNG, on white as on black, and on one taken by its number."""
    on_white, large = [], []
    for path in exported:
        image = Image.open(path).point(lambda value: 255 - value)
        on_white.append(tmp_path / f"white {path.name}")
        image.save(on_white[-1])
        canvas = Image.new("RGB", (350, 400), "white")
        canvas.paste(image.resize((280, 280)), (30, 60))
        large.append(tmp_path / f"large {path.stem}.jpg")
        canvas.save(large[-1], quality=95)
    files = [*exported, *on_white, *large]
    predictions = predict_json(finished, *files, "--test-index", "7")
    with (finished.path / "plots/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [p["image"] for p in predictions] == [*map(str, files), "test image 7"]
    assert [p["actual"] for p in predictions] == [None] * len(files) + [rows[7]["actual"]]
    expected = [row["predicted"] for row in rows[:COUNT]]
    predicted = [p["predicted"] for p in predictions]
    assert predicted[:COUNT] == expected
    assert predicted[COUNT : 2 * COUNT] == expected
    assert predicted[-1] == expected[7]
    given, wanted = probabilities(predictions), evaluated(finished)
    np.testing.assert_allclose(given[:COUNT], wanted[:COUNT], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(given[COUNT : 2 * COUNT], wanted[:COUNT], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(given[-1], wanted[7], rtol=0, atol=TOLERANCE)
    # The synthetic garments are smaller than their frame, and trimming enlarges them.
    agree = [a == b for a, b in zip(predicted[2 * COUNT : -1], expected, strict=True)]
    assert np.mean(agree) > 0.4, "by chance it would be 0.1"


def test_a_picture_has_its_likeliest_classes(finished: Project, exported: list[Path]) -> None:
    done = predict(finished, exported[0])
    assert done.returncode == 0
    wanted = evaluated(finished)[0]
    likeliest = np.argsort(-wanted)[:3].tolist()
    assert done.stdout.splitlines() == [
        str(exported[0]),
        *(f"{percent(wanted[i]):>8}  {DESCRIPTION.classes[i]}" for i in likeliest),
        model_line(finished),
    ]
    assert done.stderr == SYNTHETIC


def test_a_picture_unlike_the_data_gets_a_hint(
    finished: Project, exported: list[Path], tmp_path: Path
) -> None:
    """A chessboard, which is in a file whose name is partly not UTF-8."""
    board = np.kron(np.indices((7, 7)).sum(axis=0) % 2 * 255, np.ones((4, 4))).astype(np.uint8)
    path = tmp_path / os.fsdecode(b"schach-\xc3\xa9-\xff.png")
    Image.fromarray(board).save(path)
    done = predict(finished, path)
    assert done.stdout.splitlines()[4:] == [
        "    none of these? It is less like the validation images than 95% of them are",
        model_line(finished),
    ]
    done = predict(finished, *exported, path)
    assert done.stdout.splitlines()[0].endswith("probability            hint")
    told = [line.endswith("  none of these?") for line in done.stdout.splitlines()[1:-1]]
    assert np.mean(told[:-1]) <= 0.2
    assert told[-1]

    done = predict(finished, *exported, path, "--json")
    assert "schach-é-\\udcff.png" in done.stdout
    content = json.loads(done.stdout)
    assert [prediction["none_of_these"] for prediction in content["images"]] == told
    assert content["images"][-1]["image"] == str(path)
    assert content["model"] == {
        "revision": "workspace",
        "commit": None,
        "data_set": read_json(finished.path / "models/dataset.json")["name"],
        "source": "synthetic",
        "validation_accuracy": read_json(finished.path / "metrics/evaluate.json")["validation"][
            "accuracy"
        ],
    }


def test_what_is_not_known_is_told(project: Project, exported: list[Path]) -> None:
    """A model that was not evaluated, and whose validation images are not there."""
    project.forget("evaluate")
    (project.path / "data/processed/validation.npz").unlink()
    done = predict(project, exported[0])
    assert done.returncode == 0
    assert done.stderr == (
        "note: whether a picture is none of these is not known: "
        f"data/processed/validation.npz is missing; run `dvc repro`\n{SYNTHETIC}"
    )
    assert done.stdout.splitlines()[-1].endswith(", validation accuracy not recorded")
    done = predict(project, exported[0], "--json")
    assert json.loads(done.stdout)["images"][0]["none_of_these"] is None
    assert json.loads(done.stdout)["model"]["validation_accuracy"] is None


def test_several_have_a_table_and_what_cannot_be_read_a_line_each(
    finished: Project, exported: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "short.png").write_bytes(exported[0].read_bytes()[:-30])
    Image.new("1", (14_000, 14_000)).save(tmp_path / "bomb.png")
    awkward = tmp_path / "two\nlines.png"
    awkward.write_bytes(exported[1].read_bytes())
    Image.new("L", (28, 28), 7).save(tmp_path / "grey.png")
    Image.new("RGB", (99, 50), "red").save(tmp_path / "red.png")
    bad = ["nowhere.png", "text.png", "short.png", "bomb.png", "no\nwhere.png", ""]
    bad += ["grey.png", "red.png"]
    good = [exported[0], awkward]
    done = predict(finished, good[0], *(tmp_path / name for name in bad), good[1], "--test-index=2")

    assert done.returncode == 1
    wanted = evaluated(finished)
    header, *lines, last = done.stdout.splitlines()
    assert last == model_line(finished)
    assert header.split() == ["image", "predicted", "probability", "hint"]
    names = (str(exported[0]), str(awkward).replace("\n", "\\n"), "test image 2, actually ")
    for line, name, row in zip(lines, names, wanted[:3], strict=True):
        assert line.startswith(name)
        line = line.removesuffix("none of these?").rstrip()
        assert line.endswith(f"{DESCRIPTION.classes[row.argmax()]:<11}  {percent(row.max()):>11}")

    reasons = (
        "missing",
        "is not a PNG",
        "cannot be read",
        "89,478,485 pixels",
        "missing",
        "a folder",
        "the same colour everywhere",
        "nothing but its background",
    )
    *errors, warning = done.stderr.splitlines()
    assert f"{warning}\n" == SYNTHETIC
    for line, name, reason in zip(errors, bad, reasons, strict=True):
        assert line.startswith("error: ")
        assert str(tmp_path / name).replace("\n", "\\n") in line
        assert reason in line


def test_tensorflow_waits_for_a_picture_that_can_be_read(finished: Project) -> None:
    for arguments, message in (
        (["nowhere.png"], "nowhere.png is missing"),
        (["--test-index", "300"], "--test-index is 300; allowed are 0 to 299"),
        (["--test-index", "-1"], "--test-index is -1; allowed are 0 to 299"),
        ([], "name a picture, or a row of the test set with --test-index"),
        (["--test-index", "0", "--rev", "nowhere"], "nowhere is not a branch, tag, commit or exp"),
    ):
        done = finished.run("python", "-c", PROBE, "predict", *arguments)
        assert done.returncode == 1
        assert done.stdout == "not started\n"
        assert done.stderr.startswith(f"error: {message}")
        assert done.stderr.count("\n") == 1
    done = finished.run("python", "-c", PROBE, "predict", "nowhere.png", "--json")
    content, _, rest = done.stdout.rpartition("}\n")
    assert json.loads(content + "}")["images"] == []
    assert rest == "not started\n"


def test_what_is_not_there_is_told(project: Project, exported: list[Path]) -> None:
    model = project.path / "models/model.keras"
    damaged = model.read_bytes().replace(b"Dense", b"Dance")
    foreign = io.BytesIO()
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(foreign, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b'"keras.layers"', b'"elsewhere"'))
    for content in (damaged, foreign.getvalue()):
        model.unlink()  # a link into DVC's cache, perhaps
        model.write_bytes(content)
        done = predict(project, exported[0])
        assert done.returncode == 1
        stale, error = done.stderr.splitlines()
        assert stale == (
            "models/model.keras is stale; run `dvc repro`. Changed since: "
            "train (models/model.keras)"
        )
        assert error.startswith("error: models/model.keras cannot be used: ")
    model.unlink()
    done = predict(project, exported[0])
    assert done.returncode == 1
    assert done.stderr == "error: models/model.keras is missing; run `dvc repro`\n"
    (project.path / "data/processed/test.npz").unlink()
    done = predict(project, "--test-index", "0")
    assert done.returncode == 1
    assert done.stderr == "error: data/processed/test.npz is missing; run `dvc repro`\n"


@pytest.mark.exhaustive
def test_the_model_of_another_revision(
    project: Project, exported: list[Path], tmp_path: Path
) -> None:
    """A tag, an experiment, and a branch whose model is elsewhere; nothing is checked out."""
    project.ok("dvc", "exp", "run", "--name", "other", "--set-param", "seed=1", "train")
    other = predict_json(project, exported[0])
    project.ok("git", "restore", ".")
    project.ok("dvc", "checkout")
    project.ok("git", "tag", "recorded")
    before = project.ok("git", "status", "--porcelain", "--ignored", "--branch")
    model = (project.path / "models/model.keras").read_bytes()

    current = predict_json(project, exported[0], "--rev", "recorded")
    np.testing.assert_allclose(
        probabilities(current), evaluated(project)[:1], rtol=0, atol=TOLERANCE
    )
    assert not np.allclose(probabilities(other), probabilities(current), atol=1e-3)
    assert predict_json(project, exported[0], "--rev", "other") == other
    assert project.ok("git", "status", "--porcelain", "--ignored", "--branch") == before
    assert (project.path / "models/model.keras").read_bytes() == model

    # A clone has no cache. Its model comes from the remote, once it is there.
    project.ok("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    project.commit("Say where results are stored")
    project.ok("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    done = predict(clone, exported[0], "--rev", "main")
    assert done.returncode == 1
    assert done.stderr == (
        "error: models/model.keras of main is neither in git, nor in DVC's cache or remote; "
        "try `dvc fetch --all-commits`\n"
    )
    clone.ok("git", "switch", "--quiet", "--detach", "recorded")  # where no remote is configured
    done = predict(clone, exported[0], "--rev", "main")
    assert done.returncode == 1
    assert done.stderr == (
        "error: models/model.keras of main is neither in git, nor in DVC's cache; "
        "`dvc repro` on main makes it\n"
    )
    clone.ok("git", "switch", "--quiet", "main")
    project.ok("dvc", "push", "train", "preprocess")
    assert predict_json(clone, exported[0], "--rev", "main") == current
    # The test images, too, are those of the revision: the clone has none checked out.
    test_image = predict_json(project, "--test-index", "0", "--rev", "recorded")
    assert predict_json(clone, "--test-index", "0", "--rev", "main") == test_image


def test_a_model_that_is_not_current_or_not_the_recorded_one_is_told(
    project: Project, exported: list[Path]
) -> None:
    project.set_params({"train.epochs": 9})
    done = predict(project, exported[0])
    assert done.returncode == 0
    assert done.stdout.startswith(str(exported[0]))
    stale = "models/model.keras is stale; run `dvc repro`. Changed since: train (params.yaml)\n"
    assert done.stderr == stale + SYNTHETIC
    model = (project.path / "models/model.keras").read_bytes()
    (kept,) = (f for f in (project.path / ".dvc/cache").rglob("*") if is_copy(f, model))
    kept.chmod(0o644)
    kept.write_bytes(model[:-1])
    done = predict(project, exported[0], "--rev", "HEAD")
    assert done.returncode == 1
    reason = "models/model.keras of HEAD is not the file that dvc.lock records there"
    assert done.stderr.startswith(f"error: {reason}")


def is_copy(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content
