"""`python -m pipeline run`, the job of `make run`: Fashion-MNIST, or loudly something else."""

import fcntl
import signal
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.commands.test_verify import working_in
from tests.project import Project, environment, read_json

COMMAND = ("python", "-m", "pipeline", "run")
OFFLINE = {"data.source": "fashion-mnist", "data.mirrors": ["http://127.0.0.1:9"]}


def state(project: Project) -> dict[str, object]:
    """What a run on synthetic data has to leave as it is."""
    files = [*project.outputs(), project.path / "params.yaml", project.path / "dvc.lock"]
    return {"status": project.ok("git", "status", "--porcelain")} | {
        str(path): path.read_bytes() for path in files
    }


def test_offline_it_runs_on_synthetic_data_in_a_copy(project: Project) -> None:
    """What is neither committed nor tracked is in the copy; all that is here stays."""
    project.set_params(OFFLINE | {"seed": 5})
    (project.path / "notes.txt").touch()
    pictures = project.path / "data/own/pictures"
    pictures.mkdir()
    (pictures / "a.png").touch()
    project.ok("dvc", "add", "--quiet", "data/own/pictures")
    with (project.path / "pipeline/report/cases.py").open("a") as file:
        file.write("# edited\n")
    before = state(project)
    done = project.run(*COMMAND)
    assert done.returncode == 0, done.stderr
    assert state(project) == before
    assert "http://127.0.0.1:9: cannot be reached" in done.stderr
    assert "SYNTHETIC" in done.stdout
    results = [line for line in done.stdout.splitlines() if "accuracy" in line.lower()]
    assert len(results) == 2 + 3 + 1  # epochs, evaluation of three sets, summary
    assert all("(synthetic data)" in line for line in results)
    assert "Stage 'preprocess' is cached" in done.stdout, "the cache is shared"

    copy = Project(project.path / "synthetic-run")
    report = next(word for word in done.stdout.split() if word.startswith("file://"))
    assert Path(unquote(urlsplit(report).path)) == copy.path / "plots/report.html"
    assert all(path.is_file() for path in copy.outputs())
    assert (copy.path / "notes.txt").exists()
    assert not (copy.path / "data/own/pictures.dvc").exists(), "the pictures are not there either"
    assert "# edited" in (copy.path / "pipeline/report/cases.py").read_text()
    assert read_json(copy.path / "metrics/evaluate.json")["source"] == "synthetic"
    changed = project.params()
    changed["data"]["source"] = "synthetic"
    assert copy.params() == changed
    assert "up to date" in copy.ok("dvc", "status")


@pytest.mark.exhaustive  # the stages on real data are in test_pipeline
def test_when_a_mirror_is_back_so_is_fashion_mnist(project: Project, real_data: Path) -> None:
    """The shared project has synthetic results; its parameters ask for the real thing again."""
    project.set_params({"train.epochs": 1} | OFFLINE)
    real = {"FASHION_MNIST_MIRROR": str(real_data)}
    printed = project.ok(*COMMAND, env=real)
    assert "synthetic" not in printed.lower()
    assert read_json(project.path / "metrics/evaluate.json")["source"] == "fashion-mnist"
    assert "up to date" in project.ok("dvc", "status")


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive), signal.SIGKILL]
)
def test_a_killed_run_leaves_nothing_to_repair(project: Project, number: signal.Signals) -> None:
    project.set_params(OFFLINE | {"train.epochs": 5000})
    before = state(project)
    with subprocess.Popen(
        COMMAND, cwd=project.path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert any("Running stage 'train'" in line for line in process.stdout)
        process.send_signal(number)
        assert process.wait(60) == (128 + number if number == signal.SIGTERM else -number)
    assert state(project) == before
    if number == signal.SIGTERM:
        assert working_in(project.path) == []
        return
    # What it has started ends within seconds, and the next run waits for that.
    with (project.path / ".dvc/tmp/run.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
    assert working_in(project.path) == []
    with project.start(*COMMAND) as again:
        assert again.stdout
        # It asks for Fashion-MNIST again, in vain.
        assert any("http://127.0.0.1:9: cannot be reached" in line for line in again.stdout)
        assert any("SYNTHETIC" in line for line in again.stdout)
        again.terminate()


def test_where_it_runs_is_told(project: Project, tmp_path: Path) -> None:
    """A folder in which DVC's queue does not work, and a table of locks that a kill has cut."""
    renamed = project.clone(tmp_path / "no#1")
    (renamed.path / ".dvc/tmp/rwlock").write_text('{"write": {')
    done = renamed.run(*COMMAND)
    assert done.returncode == 1
    assert done.stdout == ""
    note, error = done.stderr.splitlines()
    assert note.startswith("note: DVC's queue and `dvc exp run --temp` do not work in /")
    assert error.startswith("error: .dvc/tmp/rwlock, DVC's table of locks, is damaged")


@pytest.mark.parametrize("change", [{"train.epochs": 0}, {"trian": {}}])
def test_other_failures_are_not_papered_over(
    fresh: Project, real_data: Path, change: dict[str, object]
) -> None:
    fresh.set_params(change)
    real = {"FASHION_MNIST_MIRROR": str(real_data)}
    done = fresh.run(*COMMAND, env=real)
    assert done.returncode != 0
    assert f"{next(iter(change))} is" in done.stderr
    assert "SYNTHETIC" not in done.stdout
