"""`python -m pipeline verify` agrees with a true record, and finds what is wrong with another."""

import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import Project


def verify(project: Project, *arguments: str) -> tuple[int, str]:
    done = project.run("python", "-m", "pipeline", "verify", *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_true_record_is_confirmed_and_the_checkout_left_alone(
    project: Project, tmp_path: Path
) -> None:
    project.set_params({"train.epochs": 3})  # not committed, so not what is verified
    before = project.ok("git", "status", "--porcelain", "--ignored")
    status, printed = verify(project, "--report", str(tmp_path / "report.json"))
    assert status == 0, printed
    assert "Everything agrees with dvc.lock." in printed
    assert "[3/5] train" in printed
    assert project.ok("git", "status", "--porcelain", "--ignored") == before
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["same"] is True
    outputs = {c["name"] for c in report["comparisons"] if c["kind"] == "output"}
    assert {project.path / name for name in outputs} == set(project.outputs())
    assert report["environment"]["packages"]["tensorflow"]
    assert report["environment"]["processor"]


@pytest.mark.parametrize(
    ("file", "old", "new", "first"),
    [
        ("metrics/train.json", None, None, "stage train: output metrics/train.json"),
        (
            "pipeline/data/idx.py",
            '"""The',
            '"""An',
            "stage download: dependency pipeline/data/idx.py",
        ),
        (
            "dvc.lock",
            "validation_fraction: 0.1",
            "validation_fraction: 0.2",
            "stage preprocess: parameter preprocess",
        ),
    ],
)
def test_a_false_record_is_found(
    project: Project, file: str, old: str | None, new: str | None, first: str
) -> None:
    path = project.path / file
    if old is None or new is None:
        # Another hash for an output, in the lock.
        lock = project.lock()
        position = lock.index("md5: ", lock.index(file)) + len("md5: ")
        path = project.path / "dvc.lock"
        path.write_text(lock[:position] + "0" * 32 + lock[position + 32 :])
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    project.commit("A false record")
    status, printed = verify(project)
    assert status == 1
    assert f"The first difference is in {first}" in printed
    assert "DIFFERENT" in printed


def test_what_is_recorded_and_not_there_is_found(project: Project) -> None:
    lock = yaml.safe_load(project.lock())
    lock["stages"]["gone"] = lock["stages"]["plot"]
    lock["stages"]["plot"]["outs"].append({"path": "plots/gone.png", "md5": "0" * 32})
    lock["stages"]["train"]["params"]["params.yaml"]["bogus"] = 1
    (project.path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    # What DVC takes for the same is the same.
    params = project.path / "params.yaml"
    params.write_text(params.read_text().replace("dropout: 0.0", "dropout: 0"))
    project.commit("More in the lock than there is")
    status, printed = verify(project)
    assert status == 1
    different = [line for line in printed.splitlines() if "DIFFERENT" in line]
    assert [line.split()[:2] for line in different] == [
        ["train", "bogus"],
        ["plot", "plots/gone.png"],
        ["gone", "cmd"],
    ]


def test_one_stage_from_its_recorded_inputs(project: Project) -> None:
    status, printed = verify(project, "HEAD", "--stage", "preprocess")
    assert status == 0, printed
    assert "[1/1] preprocess" in printed
    project.ok("dvc", "exp", "run", "--name", "other", "-S", "plot.mistakes=3")
    status, printed = verify(project, "other", "--stage", "plot")
    assert status == 0, printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is no branch, tag, commit or experiment"),
        (["--stage", "trian"], "there is no stage trian; there are download, preprocess"),
    ],
)
def test_a_wrong_name_is_one_line(finished: Project, arguments: list[str], message: str) -> None:
    status, printed = verify(finished, *arguments)
    assert status == 1
    assert message in printed
