"""The same bytes on another processor: an emulated one, of another make and without AVX-512."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import Project


@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64 (qemu-user)")
@pytest.mark.parametrize(
    ("stages", "changes"),
    [
        (("download", "preprocess", "train", "evaluate", "plot"), {"model.dropout": 0.2}),
        (("train",), {"model.hidden_units": [512, 64], "train.batch_size": 256}),
        (
            ("train",),
            {
                "train.optimizer": "sgd",
                "train.momentum": 0.9,
                "train.weight_decay": 0.001,
                "train.schedule": "cosine",
                "train.label_smoothing": 0.1,
                "train.augmentation": {"flip": True, "shift": 2, "erase": 0.5},
            },
        ),
    ],
    ids=["all stages", "wide layers, large batches", "sgd, cosine, smoothed, augmented"],
)
def test_a_haswell_gives_the_same_bytes(
    project: Project, stages: tuple[str, ...], changes: dict[str, object]
) -> None:
    project.set_params({"train.epochs": 1} | changes)
    emulator = ["qemu-x86_64", "-cpu", "Haswell", str(Path(sys.executable).resolve())]
    # The emulator starts the interpreter itself: let it find the environment's packages.
    packages = {"PYTHONPATH": str(next(p for p in sys.path if p.endswith("site-packages")))}
    for name in stages:
        native = project.stage(name)
        assert native.returncode == 0, native.stderr
        before = {file: file.read_bytes() for file in project.outputs(name)}
        project.ok(*emulator, "-m", f"stages.{name}", env=packages, timeout=600)
        for file, content in before.items():
            assert file.read_bytes() == content, file
