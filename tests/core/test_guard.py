"""DVC's record cannot be wrong: what changes while a stage runs makes it fail."""

import fcntl
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, Project
from tests.test_reproducibility import start

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
        with open(dep, "ab") as file:
            file.write(b"\\n")
    params = Path("params.yaml")
    text = params.read_text().replace("seed: 0", "seed: 1").replace("mistakes: 12", "mistakes: 9")
    params.write_text(text.replace("calibration_bins: 15", "calibration_bins: 9"))
"""


@pytest.mark.parametrize("name", STAGES)
def test_an_edit_of_any_dependency_during_a_run_fails_it(project: Project, name: str) -> None:
    done = project.run("python", "-c", EDIT_MEANWHILE, name)
    assert done.returncode == 1
    changed = [line.split(" changed while the stage ran")[0] for line in done.stderr.splitlines()]
    params = [p for p in STAGES[name]["params"] if p != "data.source"]
    params = [p for p in params if p not in ("model", "train")]  # nothing was changed in there
    expected = [*STAGES[name]["deps"], *(f"params.yaml: {p}" for p in params)]
    assert [line.removeprefix(f"{name}: ") for line in changed] == expected


@pytest.mark.parametrize("restore", [False, True], ids=["edited", "edited and edited back"])
def test_dvc_records_nothing_of_it(project: Project, restore: bool) -> None:
    project.set_params({"train.epochs": 60})
    before = project.lock()
    process = start(project, "dvc", "repro")
    assert process.stdout is not None
    source = project.path / "pipeline/training/models.py"
    text = source.read_text()
    for line in process.stdout:
        if line.startswith("epoch 1 of"):
            break
    source.write_text(text + "\n")
    if restore:
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
        process = start(project, "python", "-m", "stages.evaluate")
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


def test_nothing_of_a_training_on_edited_code_is_kept(project: Project, tmp_path: Path) -> None:
    project.set_params({"train.epochs": 6})
    expected = project.clone(tmp_path / "expected")
    expected.ok("dvc", "repro", "train")
    process = start(project, "dvc", "repro", "train")
    assert process.stdout is not None
    for line in process.stdout:
        if "Running stage 'train'" in line:
            break
    while not record_is_taken(project):
        time.sleep(0.01)
    source = project.path / "pipeline/training/models.py"
    text = source.read_text()
    assert "relu" in text
    source.write_text(text.replace("relu", "tanh"))  # before TensorFlow has even been imported
    printed, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "pipeline/training/models.py changed while the stage ran" in printed
    source.write_text(text)
    project.ok("dvc", "repro", "train")
    assert project.lock() == expected.lock()


def record_is_taken(project: Project) -> bool:
    """Tell whether the stage has come to importing TensorFlow, which it does after that."""
    maps = [path for path in Path("/proc").glob("[0-9]*/maps") if stage_at(path.parent, project)]
    return any("tensorflow" in path.read_text() for path in maps)


def stage_at(process: Path, project: Project) -> bool:
    try:
        here = (process / "cwd").readlink() == project.path
        return here and b"stages.train" in (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return False


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
    assert done.stderr == "train: data/processed/train.npz is missing; run `dvc repro`\n"
