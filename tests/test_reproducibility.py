"""Same inputs, same bytes: whatever the machine's set-up, and wherever a run was killed."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project, environment
from tests.test_pipeline import read_json

LATER_STAGES = ("train", "evaluate", "plot")


def forget(project: Project, *stages: str) -> None:
    """Leave the project as if these stages had never run."""
    lock = yaml.safe_load(project.lock())
    for name in stages:
        del lock["stages"][name]
    (project.path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    for file in project.outputs(*stages):
        file.unlink()
    shutil.rmtree(project.path / ".dvc/cache/runs", ignore_errors=True)


def recorded(project: Project, stage: str) -> Any:
    return yaml.safe_load(project.lock())["stages"].get(stage)


FOREIGN_SETTINGS = {
    "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    "TF_XLA_FLAGS": "--of_another_version",  # TensorFlow aborts if it gets to see this
    "KERAS_BACKEND": "jax",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "7",
    "MPLBACKEND": "svg",
}


@pytest.mark.parametrize(
    ("prefix", "settings"),
    [
        ([], {}),
        (["taskset", "-c", "0"], {"TZ": "Asia/Kolkata", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
        (["sh", "-c", 'umask 077; exec "$@"', "-"], FOREIGN_SETTINGS),
    ],
    ids=["again", "one core, other place and time", "other settings"],
)
def test_the_environment_makes_no_difference(
    project: Project, tmp_path: Path, prefix: list[str], settings: dict[str, str]
) -> None:
    before = project.lock()
    elsewhere = project.clone(tmp_path / "else where")
    forget(elsewhere, "download", "preprocess", *LATER_STAGES)
    configured = tmp_path / "configured"
    configured.mkdir()
    (configured / "matplotlibrc").write_text("savefig.dpi: 50\nfont.size: 20\n")
    (configured / "keras.json").write_text('{"floatx": "float64", "epsilon": 0.1}')
    folders = {"MPLCONFIGDIR": str(configured), "KERAS_HOME": str(configured)}
    elsewhere.ok(*prefix, "dvc", "repro", "--force", env=folders | settings)
    assert elsewhere.lock() == before


# Dropout, L2 and an early stop: everything that training must take up again.
CHANGES: dict[str, Any] = {
    "train.epochs": 40,
    "train.early_stopping": 2,
    "train.learning_rate": 0.01,
    "model.dropout": 0.1,
    "model.l2": 0.0001,
}


@pytest.fixture(scope="module")
def undisturbed(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = finished.clone(tmp_path_factory.mktemp("undisturbed") / "project")
    project.set_params(CHANGES)
    project.ok("dvc", "repro")
    summary = read_json(project.path / "metrics/train.json")
    assert 4 < summary["epochs"] == summary["kept_epoch"] + 2 < 40
    return project


def start(project: Project, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=project.path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str], whole_group: bool) -> None:
    """Kill DVC, and the stage as well or not: then it goes on without its parent."""
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("seed", range(20))
def test_training_that_was_killed_goes_on_to_the_same_end(
    undisturbed: Project, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    project = undisturbed.clone(tmp_path / "killed")
    # Up to the last epoch: nothing is left to train then, but the best weights are to be kept.
    epoch = rng.randint(1, read_json(project.path / "metrics/train.json")["epochs"])
    forget(project, *LATER_STAGES)
    process = start(project, "dvc", "repro", "train")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"epoch {epoch} of"):
            break
    time.sleep(rng.uniform(0, 0.03))
    whole_group = rng.random() < 0.8
    kill(process, whole_group)
    assert recorded(project, "train") is None
    printed = project.ok("dvc", "repro", "train")
    assert recorded(project, "train") == recorded(undisturbed, "train")
    if whole_group:  # otherwise the stage may have come to its end alone
        assert "going on after epoch" in printed
    assert not (project.path / "models/checkpoint.npz").exists()


def when_writing(project: Project, count: int, act: Callable[[], None]) -> None:
    """Act as soon as the `count`-th file in the making is seen."""
    folders = [
        project.path / f for f in ("data/raw", "data/processed", "plots", "models", "metrics")
    ]
    seen: set[str] = set()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for folder in folders:
            seen.update(path.name for path in folder.glob(".*.tmp*"))
        if len(seen) >= count:
            act()
            return


@pytest.mark.parametrize("seed", range(20))
def test_a_stage_killed_while_it_writes_is_made_good(
    undisturbed: Project, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    stage, last = (("download", 4), ("preprocess", 3), ("train", 5), ("plot", 7))[seed % 4]
    project = undisturbed.clone(tmp_path / "killed")
    forget(project, stage)
    process = start(project, "dvc", "repro", "--single-item", stage)

    def act() -> None:
        time.sleep(rng.uniform(0, 0.004))
        kill(process, whole_group=True)

    watcher = threading.Thread(target=when_writing, args=(project, rng.randint(1, last - 1), act))
    watcher.start()
    process.communicate()
    watcher.join()
    assert process.returncode == -signal.SIGKILL
    project.ok("dvc", "repro", "--single-item", stage)
    assert recorded(project, stage) == recorded(undisturbed, stage)
    assert not [p for p in project.path.rglob(".*.tmp*") if p.parent.name != "tmp"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[: len(content) // 2], "is damaged: starting over"),
        (lambda content: content[:0], "is damaged: starting over"),
        (lambda content: content[:3000] + b"?" * 50 + content[3050:], "is damaged: starting over"),
        (None, "belongs to other inputs: starting over"),
    ],
    ids=["truncated", "empty", "altered", "foreign"],
)
def test_a_wrong_checkpoint_is_passed_over(
    undisturbed: Project,
    tmp_path: Path,
    damage: Callable[[bytes], bytes] | None,
    message: str,
) -> None:
    project = undisturbed.clone(tmp_path / "project")
    forget(project, *LATER_STAGES)
    if damage is None:
        project.set_params({"seed": 5})
    process = start(project, "dvc", "repro", "train")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2 of"):
            break
    kill(process, whole_group=True)
    checkpoint = project.path / "models/checkpoint.npz"
    if damage is None:
        project.set_params({"seed": 0})
    else:
        checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    printed = project.ok("dvc", "repro", "train")
    assert message in printed
    assert "epoch 1 of" in printed
    assert recorded(project, "train") == recorded(undisturbed, "train")
    assert not checkpoint.exists()


def test_an_experiment_that_was_killed_goes_on(undisturbed: Project, tmp_path: Path) -> None:
    project = undisturbed.clone(tmp_path / "project")
    project.commit("Undisturbed")
    expected = project.clone(tmp_path / "expected")
    expected.ok("dvc", "exp", "run", "-S", "seed=3")
    process = start(project, "dvc", "exp", "run", "-S", "seed=3")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 3 of"):
            break
    kill(process, whole_group=True)
    assert "going on after epoch" in project.ok("dvc", "exp", "run", "-S", "seed=3")
    assert project.lock() == expected.lock()
