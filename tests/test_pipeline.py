"""The whole pipeline, through DVC: what it leaves behind, and the ways to run it."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.fashion_mnist import DESCRIPTION
from tests.project import Project, read_csv, read_json


def test_a_finished_run_is_up_to_date(finished: Project) -> None:
    assert "up to date" in finished.ok("dvc", "status")
    assert "Running" not in finished.ok("dvc", "repro")
    assert finished.ok("git", "status", "--porcelain") == ""


def test_processed_data_is_as_promised(finished: Project) -> None:
    counts = {}
    for name in ("train", "validation", "test"):
        with np.load(finished.path / f"data/processed/{name}.npz", allow_pickle=False) as arrays:
            assert set(arrays) == {"images", "labels"}
            images, labels = arrays["images"], arrays["labels"]
        assert images.dtype == np.float32
        assert images.shape == (len(labels), 28, 28)
        assert images.min() == 0
        assert 0.9 < images.max() <= 1
        assert np.issubdtype(labels.dtype, np.integer)
        counts[name] = np.bincount(labels, minlength=10).tolist()
    assert counts == {"train": [90] * 10, "validation": [10] * 10, "test": [30] * 10}


def test_metrics_agree_with_the_predictions(finished: Project) -> None:
    metrics = read_json(finished.path / "metrics/evaluate.json")
    rows = read_csv(finished.path / "plots/predictions.csv")
    with np.load(finished.path / "data/processed/test.npz", allow_pickle=False) as arrays:
        assert [row["actual"] for row in rows] == [
            DESCRIPTION.classes[label] for label in arrays["labels"]
        ]
    with np.load(finished.path / "data/predictions/test.npz", allow_pickle=False) as arrays:
        chosen = arrays["probabilities"].argmax(axis=1)
        np.testing.assert_allclose(arrays["probabilities"].sum(axis=1), 1, rtol=1e-5)
    assert [row["predicted"] for row in rows] == [DESCRIPTION.classes[index] for index in chosen]
    right = np.mean([row["actual"] == row["predicted"] for row in rows])
    test = metrics["test"]
    assert test["accuracy"] == pytest.approx(right, abs=1e-6)
    assert test["accuracy_low"] < right < test["accuracy_high"]
    assert test["accuracy"] <= test["top_2_accuracy"]
    gap = metrics["train"]["accuracy"] - test["accuracy"]
    assert metrics["generalization_gap"] == pytest.approx(gap, abs=2e-6)


def test_the_validation_set_is_measured_like_the_test_set(finished: Project) -> None:
    metrics = read_json(finished.path / "metrics/evaluate.json")
    assert list(metrics["validation"]) == list(metrics["test"])
    rows = read_csv(finished.path / "plots/validation.csv")
    with np.load(finished.path / "data/processed/validation.npz", allow_pickle=False) as arrays:
        assert [row["actual"] for row in rows] == [
            DESCRIPTION.classes[label] for label in arrays["labels"]
        ]
    right = np.mean([row["actual"] == row["predicted"] for row in rows])
    assert metrics["validation"]["accuracy"] == pytest.approx(right, abs=1e-6)
    trained = read_json(finished.path / "metrics/train.json")
    assert metrics["validation"]["accuracy"] == pytest.approx(trained["val_accuracy"], abs=1e-6)


def test_training_leaves_a_row_for_each_epoch(finished: Project) -> None:
    rows = read_csv(finished.path / "plots/history.csv")
    names = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"]
    assert [list(row) for row in rows] == [names, names]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    summary = read_json(finished.path / "metrics/train.json")
    assert summary["epochs"] == 2
    assert summary["running_accuracy"] == float(rows[-1]["accuracy"])


def test_the_model_says_nothing_of_its_making(finished: Project) -> None:
    with zipfile.ZipFile(finished.path / "models/model.keras") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for name in ("config.json", "metadata.json"):
            content = archive.read(name)
            assert b"date_saved" not in content
            assert b"shared_object_id" not in content


def test_pictures_are_pictures(finished: Project) -> None:
    names = ("samples", "history", "calibration", "confusion_matrix", "predictions", "mistakes")
    for name in names:
        content = (finished.path / f"plots/{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        assert b"Software" not in content


def test_dvc_draws_the_plots(finished: Project, tmp_path: Path) -> None:
    finished.ok("dvc", "plots", "show", "--out", str(tmp_path))
    page = (tmp_path / "index.html").read_text()
    for title in (
        "Accuracy by epoch",
        "Loss by epoch",
        "Accuracy by confidence",
        "Test images by class",
        "F1 by class",
    ):
        assert title in page
    assert "Ankle boot" in page


@pytest.mark.exhaustive  # the walk through the README goes three of them
def test_four_ways_of_running_give_the_same(project: Project, tmp_path: Path) -> None:
    """`dvc repro`, `dvc exp run`, `dvc exp run --temp` and the queue: the same bytes."""
    change = "model.hidden_units=[32,16]"
    plain = project.clone(tmp_path / "plain")
    plain.set_params({"model.hidden_units": [32, 16]})
    plain.ok("dvc", "repro", "train")
    # Experiments must do the work, not find it done.
    project.ok("dvc", "exp", "run", "--name", "in-place", "-S", change, "train")
    assert project.lock() == plain.lock()
    project.ok("git", "reset", "--hard", "--quiet")
    for name, arguments in {"temp": ["--temp"], "queued": ["--queue"]}.items():
        shutil.rmtree(project.path / ".dvc/cache/runs")
        project.ok("dvc", "exp", "run", "--name", name, *arguments, "-S", change, "train")
        if name == "queued":
            project.ok("dvc", "queue", "start")
            project.ok("dvc", "queue", "logs", "--follow", name)
        assert project.in_experiment(name, "dvc.lock") == plain.lock()


def test_the_committed_results_can_be_compared_without_a_remote(fresh: Project) -> None:
    fresh.ok("git", "checkout", "--quiet", "-b", "other")
    metrics = fresh.path / "metrics/evaluate.json"
    metrics.write_text(metrics.read_text().replace('"accuracy": 0.8', '"accuracy": 0.7', 1))
    fresh.commit("Other metrics")
    difference = json.loads(fresh.ok("dvc", "metrics", "diff", "main", "other", "--json"))
    assert difference["metrics/evaluate.json"]["test.accuracy"]["diff"] == pytest.approx(-0.1)


def test_stages_label_synthetic_results_and_do_not_chatter(project: Project) -> None:
    for name in ("train", "evaluate"):
        done = project.run("python", "-m", f"stages.{name}")
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert lines
        assert all(line.endswith("(synthetic data)") for line in lines)
        assert read_json(project.path / f"metrics/{name}.json")["source"] == "synthetic"


def run_stages(project: Project) -> float:
    """Run all but the figures, and return the test accuracy."""
    for name in ("download", "preprocess", "train", "evaluate"):
        done = project.stage(name)
        assert done.returncode == 0, done.stderr
    accuracy: float = read_json(project.path / "metrics/evaluate.json")["test"]["accuracy"]
    return accuracy


def test_the_default_parameters_on_real_data(fresh: Project, real_data: Path) -> None:
    beside = fresh.path.with_name("shared")
    beside.mkdir()
    (beside / "fashion-mnist").symlink_to(real_data)
    assert run_stages(fresh) >= 0.86
    assert len(read_csv(fresh.path / "plots/predictions.csv")) == 10_000


def test_the_synthetic_source_is_learnable_but_not_trivial(fresh: Project) -> None:
    fresh.set_params({"data.source": "synthetic"})
    assert 0.8 <= run_stages(fresh) <= 0.99
