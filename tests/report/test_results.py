"""What the report reads is what training and evaluation write, or one line says why not."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import PipelineError
from pipeline.data.dataset import RAW_FILES
from pipeline.report import results
from pipeline.report.results import CALIBRATION, HISTORY, METRICS, SUMMARY, TRAINING
from tests.project import ROOT, Project

IMAGES = 10_000  # of which the committed results are
FILES = (METRICS, TRAINING, HISTORY, CALIBRATION)
SCRIPT = "<script>alert(1)</script>"
LAYER = {"name": "dense", "kind": "Dense", "output_shape": [128], "weights": 100_480}


@pytest.fixture(autouse=True)
def _committed_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in FILES:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, path)
    SUMMARY.parent.mkdir()
    SUMMARY.write_text(json.dumps({"ending": "trained for all 5 epochs", "layers": [LAYER]}))
    RAW_FILES.parent.mkdir(parents=True)
    RAW_FILES.write_text("set,row,class,path\n")


def refused(path: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        results.read(IMAGES)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert message.endswith("run `dvc repro`")
    assert message.isprintable()
    return message


@pytest.mark.filterwarnings("error")  # such as that of a file that is left open
def test_the_rows_are_those_of_the_files() -> None:
    read = results.read(IMAGES)
    for name, path in (("history", HISTORY), ("calibration", CALIBRATION)):
        with path.open(newline="") as file:
            assert read[name] == list(csv.DictReader(file))
    assert read["metrics"] == json.loads(METRICS.read_text())
    training = json.loads(TRAINING.read_text())
    assert {key: value for key, value in read["training"].items() if key in training} == training


def test_files_are_those_of_the_test_images() -> None:
    assert results.read(IMAGES)["files"] == {}
    RAW_FILES.write_text('set,row,class,path\ntrain,0,a,one.png\ntest,0,a,"two, three.png"\n')
    assert results.read(IMAGES)["files"] == {0: "two, three.png"}


@pytest.mark.parametrize(
    "content", ["", "set,row\n", "set,row,class,path\ntest,x,a,b\n", "set,row,class,path\ntest\n"]
)
def test_another_list_of_files_is_refused(content: str) -> None:
    RAW_FILES.write_text(content)
    refused(RAW_FILES)


def test_without_validation_images_there_are_no_figures_of_them() -> None:
    content = json.loads(METRICS.read_text())
    del content["validation"]
    METRICS.write_text(json.dumps(content))
    assert results.read(IMAGES)["metrics"]["validation"] is None


def test_a_training_without_validation_has_empty_columns() -> None:
    text = "epoch,accuracy,loss,val_accuracy,val_loss,learning_rate\n"
    HISTORY.write_text(text + "".join(f"{epoch},0.5,1.0,,,0.001\n" for epoch in range(1, 6)))
    assert results.read(IMAGES)["history"][4]["val_loss"] == ""
    HISTORY.write_text(text + "".join(f"{epoch},0.5,1.0,0.5,1.0,0.001\n" for epoch in range(1, 6)))
    HISTORY.write_text(HISTORY.read_text().replace("5,0.5,1.0,0.5", "5,0.5,1.0,"))
    assert "empty only in some" in refused(HISTORY)


@pytest.mark.parametrize("path", [*FILES, SUMMARY], ids=str)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"a\0b",
        b'{"a":' * 10_000,
        b'"\n' * 9,
        SCRIPT.encode(),
    ],
    ids=repr,
)
def test_another_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path)


def test_what_is_missing_or_no_file_is_refused() -> None:
    for path in FILES:
        kept = path.read_bytes()
        path.unlink()
        assert refused(path) == f"{path} is missing; run `dvc repro`"
        path.mkdir()
        assert "it is not a regular file" in refused(path)
        path.rmdir()
        path.write_bytes(kept)


def leaves(content: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Each value of nested mappings, by its mapping and its key."""
    return [
        leaf
        for key, value in content.items()
        for leaf in (leaves(value) if isinstance(value, dict) else [(content, key)])
    ]


WRONG: tuple[Any, ...] = (
    SCRIPT,
    "0.5",
    None,
    [],
    {},
    True,
    float("nan"),
    float("inf"),
    1e400,
    -2,
    10**400,
)


@pytest.mark.parametrize("path", [METRICS, TRAINING], ids=str)
def test_any_other_value_of_a_mapping_is_refused(path: Path) -> None:
    count = len(leaves(json.loads(path.read_text())))
    for place in range(count):
        for wrong in WRONG:
            content = json.loads((ROOT / path).read_text())
            mapping, key = leaves(content)[place]
            if wrong is None and key.startswith("val_"):
                continue  # as without a validation set
            mapping[key] = wrong
            path.write_text(json.dumps(content))
            assert key in refused(path), wrong
        content = json.loads((ROOT / path).read_text())
        mapping, key = leaves(content)[place]
        del mapping[key]
        path.write_text(json.dumps(content))
        if not key.startswith("val_"):
            assert f"{key}: field required" in refused(path)


CHANGES: dict[str, Callable[[list[list[str]]], object]] = {
    "no rows": lambda rows: rows.__delitem__(slice(1, None)),
    "a row less": lambda rows: rows.pop(),
    "a row more": lambda rows: rows.append(rows[-1]),
    "a short row": lambda rows: rows[1].pop(),
    "a long row": lambda rows: rows[1].append("1"),
    "a column less": lambda rows: [row.pop(0) for row in rows],
    "a column more": lambda rows: rows.__setitem__(slice(None), [[*row, "1"] for row in rows]),
    "another column": lambda rows: rows[0].__setitem__(1, "other"),
    "a column twice": lambda rows: rows[0].__setitem__(1, rows[0][0]),
}


@pytest.mark.parametrize("path", [HISTORY, CALIBRATION], ids=str)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_table_is_refused(path: Path, change: Callable[[list[list[str]]], object]) -> None:
    rows = list(csv.reader(io.StringIO(path.read_text())))
    change(rows)
    path.write_text("\n".join(map(",".join, rows)))
    refused(path)


@pytest.mark.parametrize("path", [HISTORY, CALIBRATION], ids=str)
def test_any_other_value_of_a_table_is_refused(path: Path) -> None:
    rows = list(csv.reader(io.StringIO(path.read_text())))
    for column, name in enumerate(rows[0]):
        for wrong in (SCRIPT, "", "nan", "inf", "1e400", "-2", "0x1", "9" * 5000, "ⅷ", "\x1b[2J"):
            changed = [list(row) for row in rows]
            changed[2][column] = wrong
            path.write_text("\n".join(map(",".join, changed)))
            assert path.name in refused(path), name


def test_nothing_of_them_reaches_the_page_unescaped(project: Project) -> None:
    """Texts of the parameters and of the model are shown as they are."""
    path = project.path / SUMMARY
    path.unlink()  # a link into DVC's cache, perhaps
    texts = {"ending": f"{SCRIPT} ending", "layers": [LAYER | {"name": f"{SCRIPT} layer"}]}
    path.write_text(json.dumps(texts))
    project.set_params({"data.synthetic.train_images": 1000, "model.name": SCRIPT})
    done = project.stage("plot")
    assert done.returncode == 0, done.stderr
    html = (project.path / "plots/report.html").read_text()
    assert SCRIPT not in html
    for name in ("#34;", " ending", " layer"):
        assert f"&lt;script&gt;alert(1)&lt;/script&gt;{name}" in html.replace("&#34;", "#34;")
    for path in FILES:
        kept = (project.path / path).read_text()
        written = html.encode()
        (project.path / path).write_text(kept.replace("0.", f"{SCRIPT}0.", 1))
        done = project.stage("plot")
        assert done.returncode == 1
        assert done.stderr.startswith(f"plot: {path} cannot be used: ")
        assert done.stderr.count("\n") == 1
        assert (project.path / "plots/report.html").read_bytes() == written
        (project.path / path).write_text(kept)
