"""DVC's record cannot be wrong: what changes while a stage runs makes it fail."""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core import guard
from pipeline.core.errors import PipelineError
from tests.project import ROOT, Project, wait_for

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# Runs a stage, and edits everything that it depends on when its work is done.
EDIT_MEANWHILE = """
import sys
from pathlib import Path
import yaml
from pipeline.core import stage
name = sys.argv[1]
module = __import__(f"stages.{name}", fromlist=[name])
with stage.active(name, module.Params) as this:
    arguments = [this.params] + ([this.inputs] if name == "train" else [])
    getattr(module, name)(*arguments)
    for dep in yaml.safe_load(Path("dvc.yaml").read_text())["stages"][name]["deps"]:
        with open(dep if Path(dep).is_file() else f"{dep}/README.md", "ab") as file:
            file.write(b"\\n")
    params = Path("params.yaml")
    text = params.read_text().replace("seed: 0", "seed: 1").replace("mistakes: 12", "mistakes: 9")
    params.write_text(text.replace("calibration_bins: 15", "calibration_bins: 9"))
"""


@pytest.mark.parametrize("name", STAGES)
def test_an_edit_of_any_dependency_during_a_run_fails_it(project: Project, name: str) -> None:
    script = project.path / "edit_meanwhile.py"
    script.write_text(EDIT_MEANWHILE)
    done = project.module("edit_meanwhile", name)
    assert done.returncode == 1
    changed = [line.split(" changed while the stage ran")[0] for line in done.stderr.splitlines()]
    params = [p for p in STAGES[name]["params"] if p != "data.source"]
    params = [p for p in params if p not in ("model", "train")]  # nothing was changed in there
    deps = [f"{dep}/README.md" if dep == "data/own" else dep for dep in STAGES[name]["deps"]]
    expected = [*deps, *(f"params.yaml: {p}" for p in params)]
    assert [line.removeprefix(f"{name}: ") for line in changed] == expected


def test_dvc_records_nothing_of_an_edit_that_was_taken_back(project: Project) -> None:
    project.set_params({"train.epochs": 60})
    before = project.lock()
    process = project.start("dvc", "repro")
    source = project.path / "pipeline/training/models.py"
    text = source.read_text()
    wait_for(process, "epoch 1 of")
    source.write_text(text + "\n")
    source.write_text(text)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "train: pipeline/training/models.py changed while the stage ran" in printed
    assert project.lock() == before
    assert "train" in project.ok("dvc", "status", "--json")


def test_an_edit_while_the_stage_waits_fails_it(project: Project) -> None:
    """Its code is in memory already, as it was before the edit."""
    with (project.path / ".dvc/tmp/stage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = project.start("python", "-m", "stages.evaluate")
        assert process.stdout is not None
        assert "waiting for another stage" in process.stdout.readline()
        source = project.path / "pipeline/evaluation/metrics.py"
        source.write_text(source.read_text().replace("macro_f1", "MACRO_F1"))
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert printed == (
        "evaluate: pipeline/evaluation/metrics.py changed after the stage was started; "
        "run it again\n"
    )


def edit_when_data_is_read() -> None:
    """In the process of the stage `train`, before it imports its models."""
    source = Path("pipeline/training/models.py")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "import" and arguments[0] == "pipeline.training.fit":
            source.write_text(source.read_text().replace("relu", "tanh"))

    sys.addaudithook(note)


def test_nothing_of_a_training_on_edited_code_is_kept(project: Project) -> None:
    """Its checkpoint would belong to the code of before, once that is back."""
    before = project.contents("train")
    source = project.path / "pipeline/training/models.py"
    text = source.read_text()
    done = project.stage("train", before=edit_when_data_is_read)
    assert done.returncode == 1
    assert "pipeline/training/models.py changed while the stage ran" in done.stderr
    assert source.read_text() != text
    source.write_text(text)
    done = project.stage("train")
    assert "going on" not in done.stdout
    assert project.contents("train") == before


def test_another_version_of_a_library_is_not_passed_off(project: Project) -> None:
    requirements = project.path / "requirements.txt"
    text = requirements.read_text()
    requirements.write_text(text.replace("\nnumpy==", "\nnumpy==0."))
    done = project.stage("preprocess")
    assert done.returncode == 1
    assert "numpy" in done.stderr
    assert "but requirements.txt pins 0." in done.stderr


def test_a_missing_dependency_is_named(project: Project) -> None:
    Path(project.path / "data/processed/train.npz").unlink()
    done = project.stage("train")
    assert done.returncode == 1
    assert done.stderr == (
        "train: data/processed/train.npz is missing or not a file; restore it, or run `dvc repro` "
        "if a stage writes it\n"
    )


def test_files_ahead_of_the_clock_are_no_later_change(project: Project) -> None:
    """As where the clock was set back, or a server keeps the files whose clock is ahead.

    No program can set the time of a file's last change, so the clock goes back.
    """
    code = "import time; time.time_ns = lambda: 0; import runpy; "
    done = project.run(
        "python", "-c", f"{code}runpy.run_module('stages.preprocess', {{}}, '__main__')"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "kind", ["FIFO", *(pytest.param(k, marks=pytest.mark.exhaustive) for k in ("device", "folder"))]
)
@pytest.mark.parametrize("path", ["data/processed/test.npz", "params.yaml", "dvc.yaml"])
def test_what_is_no_file_is_named(project: Project, path: str, kind: str) -> None:
    file = project.path / path
    file.unlink()
    if kind == "FIFO":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    done = project.run("python", "-m", "stages.plot", timeout=60)
    assert done.returncode == 1
    if kind == "folder" and path.endswith(".npz"):  # as a folder of data may be
        assert len(done.stderr.splitlines()) == 1
    else:
        assert done.stderr.startswith(f"plot: {path} is missing or not a file; ")


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "stages: 1",
        "stages: {plot: {cmd: x}}",
        "stages: {plot: {cmd: x, deps: [stages], params: [plot], outs: 5}}",
        "stages: {plot: {cmd: x, deps: [stages], params: [plot], outs: [{}]}}",
        "stages: {plot: {cmd: x, deps: [stages], params: [{a: b}]}}",
        "stages: {plot: {cmd: x, deps: [{a: b}], params: [plot]}}",
    ],
)
def test_a_stage_that_is_not_declared_is_one_line(finished: Project, content: str) -> None:
    file = finished.path / "dvc.yaml"
    text = file.read_text()
    try:
        file.write_text(content)
        done = finished.stage("plot")
    finally:
        file.write_text(text)
    assert done.stderr == "plot: dvc.yaml does not declare the stage plot in full\n"


CHANGES: dict[str, Callable[[Path], object]] = {
    "added": lambda folder: (folder / "a/new").write_text("new"),
    "edited": lambda folder: (folder / "a/one").write_text("ONE"),
    "renamed": lambda folder: (folder / "a/one").rename(folder / "a/three"),
    "moved": lambda folder: (folder / "a/one").rename(folder / "one"),
    "removed": lambda folder: (folder / "two").unlink(),
    "all removed": shutil.rmtree,
}


@pytest.fixture
def with_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one stage that depends on a folder."""
    folder = tmp_path / "data/own"
    (folder / "a").mkdir(parents=True)
    (folder / "a/one").write_text("one")
    (folder / "two").write_text("two")
    (tmp_path / "dvc.yaml").write_text("stages: {read: {cmd: x, deps: [data/own], params: [seed]}}")
    (tmp_path / "params.yaml").write_text("seed: 0")
    (tmp_path / "requirements.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_may_be_a_dependency(with_folder: Path, change: str) -> None:
    inputs = guard.observe("read")
    assert list(inputs.files) == ["data/own/a/one", "data/own/two"]
    inputs.check()
    CHANGES[change](with_folder)
    with pytest.raises(PipelineError, match=r"data/own.* changed while the stage ran"):
        inputs.check()
    with_folder.mkdir(exist_ok=True)
    (with_folder / "kept").touch()
    assert guard.observe("read").fingerprint() != inputs.fingerprint()


def test_bytecode_of_before_an_edit_is_not_run(project: Project) -> None:
    """Python itself would run it: the source has the same size, and the same time of writing."""
    run = ("python", "-c", "from pipeline.report.formats import percent; print(percent(0.5))")
    kept = {"PYTHONDONTWRITEBYTECODE": ""}
    assert project.ok(*run, env=kept) == "50.0%\n"
    source = project.path / "pipeline/report/formats.py"
    before = source.stat()
    source.write_text(source.read_text().replace("share:.1%", "share:.3%"))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert list(source.parent.glob("__pycache__/formats.*.pyc"))
    assert project.ok(*run, env=kept) == "50.000%\n"


def test_code_of_another_folder_is_not_run(finished: Project) -> None:
    elsewhere = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT)}
    done = finished.run("python", "-m", "stages.preprocess", env=elsewhere)
    assert done.returncode == 1
    assert done.stderr == (
        f"preprocess: the code that runs is {ROOT / 'pipeline'}, not that of this folder; "
        "unset PYTHONPATH and PYTHONSAFEPATH\n"
    )


def test_code_that_was_put_back_with_its_time_counts_as_changed(project: Project) -> None:
    """It may have been imported in between; a file of data that DVC links may not."""
    code = (
        "import os, stages\nfrom pathlib import Path\nfrom pipeline.core import guard\n"
        "inputs = guard.observe('plot')\n"
        "for path in ('plots/history.csv', 'pipeline/report/cases.py'):\n"
        "    path = Path(path); text, before = path.read_bytes(), path.stat()\n"
        "    path.write_bytes(b'#' + text[1:]); path.write_bytes(text)\n"
        "    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))\n"
        "    try: inputs.check()\n"
        "    except Exception as error: print(error)\n"
    )
    printed = project.ok("python", "-c", code).splitlines()
    assert [line.split()[0] for line in printed] == ["pipeline/report/cases.py"]
