"""`python -m pipeline run`, the job of `make run`: Fashion-MNIST, or loudly something else."""

from pathlib import Path

import pytest

from tests.conftest import Project
from tests.test_pipeline import read_json

OFFLINE = {"data.mirrors": ["http://127.0.0.1:9"]}
SMALL_SYNTHETIC = {
    "data.synthetic.train_images": 1000,
    "data.synthetic.test_images": 300,
    "train.epochs": 2,
}


def test_offline_it_runs_on_synthetic_data_and_leaves_no_trace(fresh: Project) -> None:
    fresh.set_params(OFFLINE | SMALL_SYNTHETIC)
    params = (fresh.path / "params.yaml").read_text()
    done = fresh.run("python", "-m", "pipeline", "run")
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:9: cannot be reached" in done.stderr
    assert "SYNTHETIC" in done.stdout
    results = [line for line in done.stdout.splitlines() if "accuracy" in line.lower()]
    assert len(results) == 2 + 2 + 1  # epochs, evaluation, summary
    assert all("(synthetic data)" in line for line in results)
    assert read_json(fresh.path / "metrics/evaluate.json")["source"] == "synthetic"
    assert (fresh.path / "params.yaml").read_text() == params
    assert "changed" in fresh.ok("dvc", "status")


def test_when_a_mirror_is_back_so_is_fashion_mnist(project: Project, real_data: Path) -> None:
    """The shared project has synthetic results; its parameters ask for the real thing again."""
    project.set_params({"data.source": "fashion-mnist", "train.epochs": 1} | OFFLINE)
    real = {"FASHION_MNIST_MIRROR": str(real_data)}
    printed = project.ok("python", "-m", "pipeline", "run", env=real)
    assert "synthetic" not in printed.lower()
    assert read_json(project.path / "metrics/evaluate.json")["source"] == "fashion-mnist"
    assert "up to date" in project.ok("dvc", "status")


def test_what_a_killed_run_leaves_is_put_right(project: Project) -> None:
    (project.path / ".dvc/tmp/synthetic-stands-in").touch()
    project.set_params(OFFLINE)
    done = project.run("python", "-m", "pipeline", "run")
    assert done.returncode == 0
    assert "SYNTHETIC" in done.stdout, "it asked for Fashion-MNIST again, in vain"
    assert project.params()["data"]["source"] == "fashion-mnist"
    assert not (project.path / ".dvc/tmp/synthetic-stands-in").exists()


@pytest.mark.parametrize("change", [{"train.epochs": 0}, {"trian": {}}])
def test_other_failures_are_not_papered_over(
    fresh: Project, real_data: Path, change: dict[str, object]
) -> None:
    fresh.set_params(change)
    real = {"FASHION_MNIST_MIRROR": str(real_data)}
    done = fresh.run("python", "-m", "pipeline", "run", env=real)
    assert done.returncode != 0
    assert f"{next(iter(change))} is" in done.stderr
    assert "SYNTHETIC" not in done.stdout
