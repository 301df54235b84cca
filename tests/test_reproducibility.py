"""Same inputs, same bytes: whatever the machine's set-up, and wherever a run was killed."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.project import Project, keep_checkpoints, kill, read_json, wait_for

STAGES = ("download", "preprocess", "train", "evaluate", "plot")


FOREIGN_SETTINGS = {
    "TZ": "Asia/Kolkata",
    "LC_ALL": "C",
    "PYTHONHASHSEED": "1",
    "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    "TF_XLA_FLAGS": "--of_another_version",  # TensorFlow aborts if it gets to see this
    "KERAS_BACKEND": "jax",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "7",
    "MPLBACKEND": "svg",
}


def test_the_environment_makes_no_difference(project: Project, tmp_path: Path) -> None:
    """Another place and time, one core, settings for other projects, and nobody else may read."""
    prefix = ("taskset", "-c", "0", "sh", "-c", 'umask 077; exec "$@"', "-")
    before = project.lock()
    elsewhere = project.clone(tmp_path / "else where")
    elsewhere.forget(*STAGES)
    configured = tmp_path / "configured"
    configured.mkdir()
    (configured / "matplotlibrc").write_text("savefig.dpi: 50\nfont.size: 20\n")
    (configured / "keras.json").write_text('{"floatx": "float64", "epsilon": 0.1}')
    folders = {"MPLCONFIGDIR": str(configured), "KERAS_HOME": str(configured)}
    elsewhere.ok(*prefix, "dvc", "repro", "--force", env=folders | FOREIGN_SETTINGS)
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
    """A copy with a training that nothing interrupted, and the checkpoint of each of its epochs."""
    project = finished.clone(tmp_path_factory.mktemp("undisturbed") / "project")
    project.set_params(CHANGES)
    done = project.stage("train", before=keep_checkpoints)
    assert done.returncode == 0, done.stderr
    summary = read_json(project.path / "metrics/train.json")
    assert 4 < summary["epochs"] == summary["kept_epoch"] + 2 < 40
    project.forget("train", outputs=False)
    return project


def epochs(project: Project) -> int:
    count: int = read_json(project.path / "metrics/train.json")["epochs"]
    return count


# At the end nothing is left to train, but the best weights are to be kept.
@pytest.mark.parametrize("left", [4, 1, 0])
def test_training_goes_on_to_the_same_end(undisturbed: Project, tmp_path: Path, left: int) -> None:
    """With dropout, and where early stopping waits already."""
    project = undisturbed.clone(tmp_path / "project")
    epoch = epochs(project) - left
    assert f"going on after epoch {epoch} of" in project.resume(epoch).stdout
    assert project.contents("train") == undisturbed.contents("train")
    assert not (project.path / "models/checkpoint.npz").exists()


def test_a_checkpoint_of_other_inputs_is_passed_over(
    undisturbed: Project, project: Project
) -> None:
    before = project.contents("train")
    done = project.resume(1, undisturbed.path / "checkpoints")
    assert "belongs to other inputs: starting over" in done.stdout
    assert project.contents("train") == before


def exit_at(count: int) -> None:
    """In a stage's process: die at the `count`-th file that is moved to its place, half written."""
    moves = itertools.count(1)

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and ".tmp" in Path(arguments[0]).name and next(moves) == count:
            os.truncate(arguments[0], Path(arguments[0]).stat().st_size // 2)
            os._exit(9)

    sys.addaudithook(note)


def unfinished(project: Project) -> list[Path]:
    """Files in the making."""
    return [p for p in project.path.rglob(".*.tmp*") if p.parent.name != "tmp"]


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(name, marks=() if name == "preprocess" else pytest.mark.exhaustive)
        for name in STAGES
    ],
)
def test_a_stage_that_dies_at_any_file_is_made_good(project: Project, stage: str) -> None:
    project.set_params({"train.epochs": 1})
    done = project.stage(stage)
    assert done.returncode == 0, done.stderr
    expected = project.contents(stage)
    for count in itertools.count(1):
        for file in project.outputs(stage):
            file.unlink()
        done = project.stage(stage, before=partial(exit_at, count))
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr
        assert unfinished(project)
        done = project.stage(stage)
        assert done.returncode == 0, done.stderr
        assert project.contents(stage) == expected
        assert not unfinished(project)
    assert count > len(expected)


def seeds(quick: int) -> list[Any]:
    """Of draws: the first ones, and as many as make twenty for a thorough check."""
    return [
        *range(quick),
        *(pytest.param(n, marks=pytest.mark.exhaustive) for n in range(quick, 20)),
    ]


@pytest.mark.parametrize("seed", seeds(quick=1))
def test_training_that_was_killed_goes_on(undisturbed: Project, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    project = undisturbed.clone(tmp_path / "killed")
    epoch = rng.randint(1, epochs(project))
    whole_group = seed % 4 != 1
    process = project.start("dvc", "repro", "train")
    wait_for(process, f"epoch {epoch} of")
    time.sleep(rng.uniform(0, 0.03))
    kill(process, whole_group=whole_group)
    assert project.recorded("train") is None
    printed = project.ok("dvc", "repro", "train")
    assert project.recorded("train")
    assert project.contents("train") == undisturbed.contents("train")
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


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(20))
def test_a_stage_killed_while_it_writes_is_made_good(project: Project, seed: int) -> None:
    rng = random.Random(seed)
    stage, last = (("download", 4), ("preprocess", 3), ("train", 5), ("plot", 7))[seed % 4]
    expected = project.contents(stage)
    project.forget(stage)
    process = project.start("dvc", "repro", "--single-item", stage)

    def act() -> None:
        time.sleep(rng.uniform(0, 0.004))
        kill(process)

    watcher = threading.Thread(target=when_writing, args=(project, rng.randint(1, last - 1), act))
    watcher.start()
    process.communicate()
    watcher.join()
    assert process.returncode in (-signal.SIGKILL, 0)  # on a busy machine, the stage may end first
    project.ok("dvc", "repro", "--single-item", stage)
    assert project.contents(stage) == expected
    assert not unfinished(project)


def put_pictures(project: Project) -> None:
    """Make the data a folder, of pictures so large that they take a while to read."""
    for label, kind in enumerate(("cat", "dog")):
        folder = project.path / "data/own/pictures" / kind
        folder.mkdir(parents=True)
        for number in range(12):
            image = Image.new("RGB", (1500, 1500), (20 * number, 200 * label, 90))
            image.save(folder / f"{number}.png")
    project.set_params({"data.source": "folder", "data.folder.image_size": 8})
    project.set_params({"train.epochs": 40, "train.batch_size": 8})
    project.ok("dvc", "add", "--quiet", "data/own/pictures")


def interrupted(project: Project, act: Callable[[subprocess.Popen[str]], object]) -> str:
    """Run `dvc repro download`, and act as soon as its first file is in the making."""
    process = project.start("dvc", "repro", "download")
    watcher = threading.Thread(target=when_writing, args=(project, 1, lambda: act(process)))
    watcher.start()
    printed, _ = process.communicate()
    watcher.join()
    assert process.returncode != 0
    return printed


def test_a_folder_survives_a_kill_and_an_edit_while_it_is_read(
    project: Project, tmp_path: Path
) -> None:
    put_pictures(project)
    before = project.recorded("download")
    undisturbed = project.clone(tmp_path / "undisturbed")
    undisturbed.ok("dvc", "repro", "download")
    picture = project.path / "data/own/pictures/cat/7.png"
    printed = interrupted(project, lambda _: picture.write_bytes(picture.read_bytes()))
    assert "download: data/own/pictures/cat/7.png changed while the stage ran" in printed
    interrupted(project, kill)
    assert project.recorded("download") == before
    project.ok("dvc", "repro", "download")
    assert project.contents("download") == undisturbed.contents("download")
    assert project.recorded("download") == undisturbed.recorded("download")
    assert not unfinished(project)


@pytest.mark.exhaustive
def test_a_run_on_a_folder_that_is_killed_in_each_stage_is_made_good(
    project: Project, tmp_path: Path
) -> None:
    put_pictures(project)
    undisturbed = project.clone(tmp_path / "undisturbed")
    undisturbed.ok("dvc", "repro")
    interrupted(project, kill)
    for line in ("epoch 7 of", "> python -m stages.evaluate", "> python -m stages.plot"):
        process = project.start("dvc", "repro")
        wait_for(process, line)
        kill(process)
    project.ok("dvc", "repro")
    assert project.contents() == undisturbed.contents()
    assert project.lock() == undisturbed.lock()


@pytest.mark.exhaustive
def test_an_experiment_that_was_killed_goes_on(undisturbed: Project, tmp_path: Path) -> None:
    project = undisturbed.clone(tmp_path / "project")
    project.commit("Undisturbed")
    command = ("dvc", "exp", "run", "train")
    process = project.start(*command)
    wait_for(process, "epoch 3 of")
    kill(process)
    assert "going on after epoch" in project.ok(*command)
    assert project.contents("train") == undisturbed.contents("train")
