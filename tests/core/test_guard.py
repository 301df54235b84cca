"""DVC's record cannot be wrong: what changes while a stage runs makes it fail."""

import fcntl
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

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
        with open(dep, "ab") as file:
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
    expected = [*STAGES[name]["deps"], *(f"params.yaml: {p}" for p in params)]
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
    assert done.stderr == "train: data/processed/train.npz is missing; run `dvc repro`\n"
