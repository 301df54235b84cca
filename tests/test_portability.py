"""The same bytes on another processor: an emulated one, of another make and without AVX-512."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64 (qemu-user)"
)

# The emulator takes half a minute to start TensorFlow: all stages are forked from one start.
RUN_STAGES = """
import os, runpy, sys
import keras, tensorflow
for folder, stage in zip(sys.argv[1::2], sys.argv[2::2]):
    child = os.fork()
    if not child:
        os.chdir(folder)
        sys.path[0] = folder
        runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
        sys.exit()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{stage} in {folder} failed")
"""
Case = tuple[Project, str]  # where to run which stage

WIDE = {"model.hidden_units": [512, 64], "train.batch_size": 256}
SGD = {
    "train.optimizer": "sgd",
    "train.momentum": 0.9,
    "train.weight_decay": 0.001,
    "train.schedule": "cosine",
    "train.label_smoothing": 0.1,
    "train.augmentation": {"flip": True, "shift": 2, "erase": 0.5},
}


def check_on_a_haswell(*cases: Case) -> None:
    """Run the stages natively, then on the emulated processor, and compare what they wrote."""
    native = []
    for project, name in cases:
        done = project.stage(name)
        assert done.returncode == 0, done.stderr
        native.append(project.contents(name))
    emulator = ["qemu-x86_64", "-cpu", "Haswell", str(Path(sys.executable).resolve())]
    # The emulator starts the interpreter itself: let it find the environment's packages.
    packages = {"PYTHONPATH": str(next(p for p in sys.path if p.endswith("site-packages")))}
    arguments = [text for project, name in cases for text in (str(project.path), name)]
    cases[0][0].ok(*emulator, "-c", RUN_STAGES, *arguments, env=packages, timeout=1200)
    for (project, name), before in zip(cases, native, strict=True):
        assert project.contents(name) == before


def prepared(project: Project, changes: dict[str, object]) -> Project:
    project.set_params({"train.epochs": 1} | changes)
    return project


def test_a_haswell_trains_the_same_bytes(project: Project) -> None:
    """With the largest batches of the promise: smaller products hide oneDNN's own kernel."""
    check_on_a_haswell((prepared(project, {"train.batch_size": 256}), "train"))


@pytest.mark.exhaustive
def test_a_haswell_gives_the_same_bytes(project: Project, tmp_path: Path) -> None:
    wide = prepared(project.clone(tmp_path / "wide"), WIDE)
    sgd = prepared(project.clone(tmp_path / "sgd"), SGD)
    prepared(project, {"model.dropout": 0.2})
    stages = ("download", "preprocess", "train", "evaluate", "plot")
    check_on_a_haswell(*((project, name) for name in stages), (wide, "train"), (sgd, "train"))
