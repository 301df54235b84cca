"""Training: when it stops, what it keeps, and what it refuses."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import zipfile
from pathlib import Path

import pytest

from tests.project import Project, environment, read_csv, read_json

OPERATIONS = 32 * 2 * 3 * (784 * 128 + 128 * 10)  # of a batch; 28 are an epoch


def train(project: Project, changes: dict[str, object]) -> list[dict[str, str]]:
    project.set_params(changes)
    done = project.stage("train")
    assert done.returncode == 0, done.stderr
    ending = read_json(project.path / "models/summary.json")["ending"]
    assert f"\n{ending} (synthetic data)\ntrained in " in done.stdout
    return read_csv(project.path / "plots/history.csv")


def test_training_stops_at_the_target_accuracy(project: Project) -> None:
    rows = train(project, {"train.epochs": 20, "train.target_accuracy": 0.85})
    assert 1 < len(rows) < 20
    reached = [float(row["accuracy"]) >= 0.85 for row in rows]
    assert reached == [False] * (len(rows) - 1) + [True]


def test_early_stopping_keeps_the_best_weights(project: Project) -> None:
    # So large a learning rate that validation loss soon gets worse.
    rows = train(
        project, {"train.epochs": 40, "train.early_stopping": 2, "train.learning_rate": 0.02}
    )
    losses = [float(row["val_loss"]) for row in rows]
    best = losses.index(min(losses))
    assert len(rows) == best + 3 < 40
    summary = read_json(project.path / "metrics/train.json")
    assert summary["kept_epoch"] == best + 1
    assert summary["operations"] == len(rows) * 28 * OPERATIONS
    assert read_json(project.path / "models/summary.json")["ending"] == (
        f"no lower validation loss for 2 epochs (best: epoch {best + 1}, restored)"
    )
    assert summary["val_loss"] == losses[best]
    # The kept model is the one of that epoch: train just so long, and compare the weights.
    kept = weights(project)
    train(project, {"train.epochs": best + 1, "train.early_stopping": None})
    assert weights(project) == kept


def test_the_operations_of_skipped_images_are_not_counted(project: Project) -> None:
    train(project, {"train.epochs": 3, "train.skip_easy": 0.5})
    steps = 28 + 14 + 28  # half of 900 images are 14 batches
    assert read_json(project.path / "metrics/train.json")["operations"] == steps * OPERATIONS


def weights(project: Project) -> bytes:
    with zipfile.ZipFile(project.path / "models/model.keras") as archive:
        return archive.read("model.weights.h5")


def test_without_validation_the_columns_stay_empty(project: Project) -> None:
    project.set_params({"preprocess.validation_fraction": 0, "train.epochs": 1})
    for name in ("preprocess", "train", "evaluate", "plot"):
        done = project.stage(name)
        assert done.returncode == 0, done.stderr
    (row,) = read_csv(project.path / "plots/history.csv")
    assert row["val_accuracy"] == row["val_loss"] == ""
    assert "val_loss" not in read_json(project.path / "metrics/train.json")
    assert "validation" not in read_json(project.path / "metrics/evaluate.json")
    assert (project.path / "plots/validation.csv").read_text() == "actual,predicted\n"


def test_the_learning_rate_is_that_of_an_epochs_last_batch(project: Project) -> None:
    changes = {"train.warmup_epochs": 1, "train.schedule": "one-cycle", "train.learning_rate": 0.1}
    rows = train(project, changes)
    # Of 28 in an epoch: up to the peak in the first, down to a step before 0 in the second.
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == pytest.approx([0.1, 0.1 / 28], rel=1e-5)


def test_hidden_layers_dropout_and_l2_are_built(project: Project) -> None:
    train(
        project,
        {
            "model.hidden_units": [24, 12],
            "model.dropout": 0.25,
            "model.l2": 0.001,
            "train.epochs": 1,
        },
    )
    with zipfile.ZipFile(project.path / "models/model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    layers = [(layer["class_name"], layer["config"]) for layer in config["config"]["layers"]]
    assert [name for name, _ in layers] == [
        "InputLayer",
        "Flatten",
        *["Dense", "Dropout"] * 2,
        "Dense",
    ]
    hidden = layers[2][1]
    assert hidden["units"] == 24
    assert hidden["activation"] == "relu"
    assert hidden["kernel_regularizer"]["config"]["l2"] == pytest.approx(0.001)
    assert layers[3][1]["rate"] == 0.25
    assert layers[-1][1]["activation"] == "softmax"


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(project: Project) -> None:
    lines = project.stage("train").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all(line.isprintable() for line in lines)

    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        ["python", "-m", "stages.train"], cwd=project.path, env=environment(), stderr=inner
    )
    os.close(inner)
    shown = b""
    with contextlib.suppress(OSError):  # what Linux gives for a terminal that was closed
        while part := os.read(terminal, 65_536):
            shown += part
    os.close(terminal)
    assert process.wait() == 0
    assert re.search(rb"\repoch 2 of 2 \S* *\d+ %, \d\d:\d\d to go", shown)


def test_results_can_be_watched_while_training(project: Project) -> None:
    project.set_params({"train.epochs": 200})
    (project.path / "plots/history.csv").unlink()
    process = subprocess.Popen(
        ["python", "-m", "stages.train"],
        cwd=project.path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("epoch 3 of"):
        pass
    rows = read_csv(project.path / "plots/history.csv")
    summary = read_json(project.path / "metrics/train.json")
    process.kill()
    process.wait()
    assert 3 <= len(rows) < 200
    assert 3 <= summary["epochs"] < 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train.batch_size": 901},
            "train.batch_size is 901, but there are only 900 training images",
        ),
        (
            {"train.epochs": 3, "train.batch_size": 500, "train.skip_easy": 0.5},
            "there are only 900 training images, and train.skip_easy is 0.5",
        ),
        ({"train.early_stopping": 2}, "train.early_stopping is 2, but there are no validation"),
    ],
)
def test_data_that_cannot_serve_is_an_error(
    project: Project, changes: dict[str, object], message: str
) -> None:
    if "train.early_stopping" in changes:
        project.set_params({"preprocess.validation_fraction": 0})
        assert project.stage("preprocess").returncode == 0
    project.set_params(changes)
    done = project.stage("train")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(project: Project) -> None:
    project.set_params({"train.device": "gpu"})
    done = project.stage("train")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("train: train.device is gpu, but TensorFlow finds none; it needs one by")


def test_a_diverging_training_is_an_error_and_writes_nothing(project: Project) -> None:
    outputs = {file: file.stat().st_mtime_ns for file in project.outputs()}
    project.set_params({"train.learning_rate": 1e30})
    done = project.stage("train")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "training diverged in epoch 1: its loss is nan" in line
    assert {file: file.stat().st_mtime_ns for file in project.outputs()} == outputs
