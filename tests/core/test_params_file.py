"""`params.yaml` is checked before any work, in words that say what to fix."""

import datetime

import pytest

from tests.project import Project
from tests.training.test_models import RESNET, TRANSFER


@pytest.mark.parametrize(
    ("stage", "change", "expected"),
    [
        ("download", {"data.source": "mnist"}, ["data.source", "'mnist'", "'synthetic'"]),
        ("download", {"data.mirrors": []}, ["data.mirrors", "at least 1"]),
        ("download", {"data.synthetic.train_images": 5}, ["train_images is 5", "equal to 10"]),
        (
            "download",
            {"data.synthetic.sead": 1},
            ["data.synthetic.sead is unknown", "synthetic.seed?"],
        ),
        ("preprocess", {"preprocess.validation_fraction": 1.0}, ["is 1.0", "less than 1"]),
        ("preprocess", {"preprocess.validation_fraction": "a"}, ["is 'a'", "valid number"]),
        ("preprocess", {"trian": {}}, ["trian is unknown", "did you mean train?"]),
        ("train", {"train.epoch": 3}, ["train.epoch is unknown", "did you mean train.epochs?"]),
        ("train", {"train.epochs": 0}, ["train.epochs is 0", "greater than or equal to 1"]),
        ("train", {"train.epochs": 2.5}, ["train.epochs is 2.5", "valid integer"]),
        ("train", {"train.epochs": True}, ["train.epochs is True", "valid integer"]),
        ("train", {"train.learning_rate": float("nan")}, ["learning_rate is nan", "finite"]),
        ("train", {"model.hidden_units": [128, -1]}, ["hidden_units.1 is -1"]),
        ("train", {"model.name": "mpl"}, ["model.name", "'mpl'", "'mlp'"]),
        ("train", {"model": 7}, ["model is 7"]),
        ("plot", {"model": {"dropout": 0.0}}, ["model.name is missing"]),
        (
            "train",
            {"model.width": 64},
            ["model.width is unknown", "allowed here: dropout, l2, name, hidden_units"],
        ),
        (
            "train",
            {"model": RESNET | {"blocks": []}},
            ["model.blocks is []", "at least 1"],
        ),
        (
            "train",
            {"model.hidden_units": [], "model.l2": 0.1},
            ["model.l2 must be 0 without model.hidden_units"],
        ),
        ("train", {"train.momentum": 0.9}, ["train.momentum has no effect on adam"]),
        (
            "train",
            {"train.skip_easy": 0.5, "train.epochs": 2},
            ["train.skip_easy has no effect on 2 epochs"],
        ),
        (
            "train",
            {"train.skip_easy": 0.5, "train.epochs": 3, "train.target_accuracy": 0.9},
            ["train.target_accuracy must be empty where train.skip_easy is not"],
        ),
        ("train", {"train.skip_easy": 0.8}, ["train.skip_easy is 0.8"]),
        (
            "train",
            {"model": TRANSFER | {"fine_tuning_rate": 0.1}},
            ["model.fine_tuning_rate is 0.1, but model.frozen_epochs is 0"],
        ),
        (
            "train",
            {"model": TRANSFER | {"frozen_epochs": 1, "fine_tuning_rate": 0.1}},
            ["model.frozen_epochs must be 0 where model.weights is none"],
        ),
        (
            "train",
            {"train.optimizer": "sgd", "train.momentum": 0.9},
            ["train.weight_decay is empty; sgd needs a number"],
        ),
        ("train", {"train.warmup_epochs": 2}, ["warmup_epochs is 2", "below the 2 epochs"]),
        ("train", {"train.jit_compile": "yes"}, ["jit_compile is 'yes'", "'auto', True or False"]),
        (
            "train",
            {"train.augmentation.flop": True},
            ["train.augmentation.flop is unknown", "did you mean train.augmentation.flip?"],
        ),
        ("evaluate", {"evaluate.calibration_bins": 0}, ["calibration_bins is 0"]),
        (
            "preprocess",
            {"preprocess.seed": datetime.date(2024, 1, 2)},
            ["preprocess.seed: 2024-01-02 needs quotes to be text"],
        ),
        ("plot", {"plot.mistakes": 1000}, ["plot.mistakes is 1000", "less than or equal to 100"]),
    ],
)
def test_a_wrong_value_is_one_line_and_nothing_is_written(
    finished: Project, stage: str, change: dict[str, object], expected: list[str]
) -> None:
    params = (finished.path / "params.yaml").read_text()
    outputs = {file: file.stat().st_mtime_ns for file in finished.outputs()}
    try:
        finished.set_params(change)
        done = finished.stage(stage)
    finally:
        (finished.path / "params.yaml").write_text(params)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    for part in ["params.yaml", *expected]:
        assert part in done.stderr
    assert {file: file.stat().st_mtime_ns for file in finished.outputs()} == outputs


def test_another_family_needs_other_parameters(finished: Project) -> None:
    params = (finished.path / "params.yaml").read_text()
    try:
        finished.set_params({"model.name": "cnn"})
        done = finished.stage("train")
    finally:
        (finished.path / "params.yaml").write_text(params)
    assert done.returncode == 1
    assert done.stderr == (
        "train: params.yaml: model.filters is missing; "
        "`python -m pipeline preset cnn` sets all that cnn needs\n"
        "train: params.yaml: model.views is missing; "
        "`python -m pipeline preset cnn` sets all that cnn needs\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: [", "not valid YAML"),
        ("seed: 2024-13-45", "not valid YAML: month must be in 1..12"),
        ("", "holds NoneType, not a mapping"),
        ("- seed", "holds list, not a mapping"),
        ("seed: 0", "preprocess is missing"),
    ],
)
def test_a_broken_file_is_one_line(finished: Project, text: str, expected: str) -> None:
    params = (finished.path / "params.yaml").read_text()
    try:
        (finished.path / "params.yaml").write_text(text)
        done = finished.stage("preprocess")
    finally:
        (finished.path / "params.yaml").write_text(params)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr


def test_small_numbers_are_read_as_dvc_writes_them(project: Project) -> None:
    project.ok("dvc", "exp", "run", "--set-param", "train.learning_rate=1e-5", "train")
    assert "learning_rate: 1e-05" in (project.path / "params.yaml").read_text()
    assert (project.path / "plots/history.csv").read_text().splitlines()[1].endswith(",1e-05")
