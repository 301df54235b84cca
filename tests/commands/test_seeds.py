"""`python -m pipeline seeds` where it refuses; tests/test_queue.py has what it queues."""

from pathlib import Path

import pytest
import yaml

from pipeline.experiments import presets
from tests.project import Project


def test_families_in_one_queue(project: Project) -> None:
    """Another family has other keys, so each comes with all of its own."""
    project.ok(
        *("python", "-m", "pipeline", "seeds", "2", "--preset", "mlp,cnn,mlp", "--name", "both"),
        *("-S", "train.learning_rate=0.002"),
    )
    queued = project.ok("git", "reflog", "--format=%H", "refs/exps/celery/stash").split()
    assert len(queued) == 4
    found = {}
    for commit in queued:
        params = yaml.safe_load(project.ok("git", "show", f"{commit}:params.yaml"))
        message = project.ok("git", "log", "-1", "--format=%B", commit)
        found[message.strip().rpartition(":")[2]] = params
    assert sorted(found) == ["both-cnn-0", "both-cnn-1", "both-mlp-0", "both-mlp-1"]
    for name, params in found.items():
        _, family, seed = name.split("-")
        preset = presets.find(family)
        assert params["model"] == preset.model
        assert params["train"] == preset.train | {"learning_rate": 0.002}
        assert params["seed"] == int(seed)
    assert project.ok("git", "status", "--porcelain") == ""


@pytest.mark.exhaustive
def test_run_at_once_they_are_what_a_plain_run_gives(project: Project, finished: Project) -> None:
    project.ok("python", "-m", "pipeline", "seeds", "3", "--name", "three", "--run")
    assert project.ok("git", "status", "--porcelain") == ""
    assert project.in_experiment("three-0", "dvc.lock") == project.lock()
    plain = finished.clone(project.path.with_name("plain"))  # its cache has nothing of theirs
    for seed in (1, 2):
        plain.set_params({"seed": seed})
        plain.ok("dvc", "repro")
        assert plain.lock() == project.in_experiment(f"three-{seed}", "dvc.lock")
    done = project.run("python", "-m", "pipeline", "seeds", "2", "--name", "again", "--run")
    assert "again-1: validation accuracy" in done.stdout
    assert done.stdout.count("(it was run before)") == 2
    assert project.ok("git", "for-each-ref", "refs/exps/*/*/again-*") == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0"], "N is 0; it has to be 1 to 1,000"),
        (["2", "-S", "seed=1"], "seed=1: seeds are set by their number alone"),
        (["2", "-S", "train.epochs=1,2"], "train.epochs=1,2 has several values"),
        (["2", "-S", "trian.epochs=1"], "trian.epochs is not a parameter"),
        (["2", "-S", "train.epochs=0"], "params.yaml: train.epochs is 0; input should be greater"),
        (["2", "--preset", "mlp,cn"], "'cn' is not a preset; allowed are cnn, mlp, resnet"),
        (
            ["2", "--preset", "mlp,cnn", "-S", "train.epochs=1"],
            "preset cnn: params.yaml: train.skip_easy has no effect on 1 epoch: ",
        ),
        (
            ["2", "-S", "~train.target_accuracy"],
            "~train.target_accuracy: a parameter cannot be removed",
        ),
        (["2", "-S", "train.epochs"], "Error parsing override 'train.epochs'"),
        (["2", "--preset", "mlp,"], "'' is not a preset; allowed are cnn, mlp, resnet"),
        (["2", "--preset", ""], "'' is not a preset; allowed are cnn, mlp, resnet"),
        (["2", "-S", f"train.epochs={'9' * 5_000}"], "Exceeds the limit (4300 digits)"),
        (["2", "--workers", "2"], "--workers: no effect without --run"),
        (["2", "--scheduler", "tls://head:8786"], "--scheduler: no effect without --run"),
        (["2", "--name", "a/b"], "DVC: Invalid exp name a/b-0"),
    ],
)
def test_what_cannot_be_queued_is_one_line(
    project: Project, arguments: list[str], message: str
) -> None:
    done = project.run("python", "-m", "pipeline", "seeds", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert project.ok("git", "for-each-ref", "refs/exps") == ""
    assert project.ok("git", "status", "--porcelain") == ""


def test_where_dvc_would_lose_them_nothing_is_queued(finished: Project, tmp_path: Path) -> None:
    source = f"file://{finished.path}"
    finished.ok("git", "clone", "--quiet", "--depth", "1", source, str(tmp_path / "shallow"))
    done = Project(tmp_path / "shallow").run("python", "-m", "pipeline", "seeds", "2")
    assert done.returncode == 1
    assert "this is a shallow clone, in which DVC loses experiments" in done.stderr
    assert "git fetch --unshallow" in done.stderr


def test_a_stage_of_the_users_own_does_not_matter(project: Project) -> None:
    declared = yaml.safe_load((project.path / "dvc.yaml").read_text())
    declared["stages"]["export"] = {"cmd": "cp models/model.keras exported", "outs": ["exported"]}
    (project.path / "dvc.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    project.commit("Export")
    assert "Queued own-0." in project.ok("python", "-m", "pipeline", "seeds", "1", "--name", "own")
