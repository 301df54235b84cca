"""Many trials at once: each is recorded once, whatever dies, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.commands.test_verify import working_in
from tests.project import Project, kill

# Runs a trial for each argument: its name, and after a colon what is set.
DRIVER = """
import sys
from pipeline.__main__ import main
from pipeline.experiments.trials import executor
from pipeline.experiments.trials.executor import Cluster
from pipeline.experiments.trials.trial import Trial
from pipeline.commands import seeds

def configure(parser):
    parser.add_argument("trials", nargs="*")
    executor_arguments(parser)

def execute(arguments):
    trials = [Trial(name, tuple(settings.split(";"))) for name, _, settings in
              (trial.partition(":") for trial in arguments.trials)]
    for outcome in executor.run(trials, "HEAD", cluster(arguments)):
        print(outcome.trial.name, outcome.commit, outcome.new, len(outcome.log), flush=True)
    return 0

from pipeline.commands._cluster import cluster, configure as executor_arguments
seeds.configure, seeds.execute = configure, execute
sys.argv[1:1] = ["seeds"]
sys.exit(main())
"""

# A pipeline of one stage, which takes no time, fails, breaks its clone, or waits to be killed.
STAGES = {
    "stages": {
        "evaluate": {
            "cmd": "python stage.py",
            "deps": ["stage.py", "data/own"],
            "params": ["seed", "train.epochs"],
            "outs": ["models/model.keras"],
            "metrics": [{"metrics/evaluate.json": {"cache": False}}],
        }
    }
}
STAGE = """
import json, os, shutil, signal, sys, time, yaml
from pathlib import Path
params = yaml.safe_load(open("params.yaml"))
seed, epochs = params["seed"], params["train"]["epochs"]
assert Path("data/own/pictures/shoe/1.png").read_text() == "tracked by DVC"
if epochs == 13:
    sys.exit("evaluate: 13 epochs bring no luck")
if epochs == 9:
    shutil.rmtree(".git")
mark = Path(FOLDER, f"started-{seed}")
if epochs in (7, 8) and not mark.exists():
    if epochs == 8:
        signal.signal(signal.SIGINT, lambda *_: (time.sleep(4), sys.exit(3)))
    mark.write_text(f"{os.getpid()} {os.getpgrp()}")
    time.sleep(600)
Path("models").mkdir(exist_ok=True)
Path("models/model.keras").write_text(f"{seed}")
Path("metrics/evaluate.json").write_text(json.dumps({"validation": {"accuracy": seed / 10}}))
"""
EXPERIMENTS = ("git", "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps/*/*/*")


@pytest.fixture
def small(fresh: Project) -> Project:
    stage = STAGE.replace("FOLDER", repr(str(fresh.path.parent)))
    (fresh.path / "dvc.yaml").write_text(yaml.safe_dump(STAGES))
    (fresh.path / "stage.py").write_text(stage)
    picture = fresh.path / "data/own/pictures/shoe/1.png"
    picture.parent.mkdir(parents=True)
    picture.write_text("tracked by DVC")
    fresh.ok("dvc", "add", "--quiet", "data/own/pictures")
    for path in ("dvc.lock", "metrics/evaluate.json"):
        (fresh.path / path).unlink()
    fresh.commit("One stage")
    return fresh


def run(project: Project, *trials: str) -> subprocess.CompletedProcess[str]:
    return project.run(sys.executable, "-c", DRIVER, *trials)


def start(project: Project, *trials: str) -> subprocess.Popen[str]:
    return project.start(sys.executable, "-c", DRIVER, *trials)


def stage_at_work(project: Project, seed: int) -> list[int]:
    """Wait for a stage that waits, and return its process and DVC's, which leads its group."""
    mark = project.path.parent / f"started-{seed}"
    deadline = time.monotonic() + 60
    while not mark.exists() or not mark.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [int(number) for number in mark.read_text().split()]


def assert_nothing_is_left(project: Project) -> None:
    deadline = time.monotonic() + 20
    while left := working_in(project.path):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    clones = project.path.glob(".dvc/tmp/trials/dask-scratch-space/*/*")
    assert list(clones) == []


def test_each_trial_is_recorded_and_none_stops_the_others(small: Project) -> None:
    head = small.ok("git", "rev-parse", "HEAD")
    (small.path / "README.md").write_text("not committed\n")
    state = small.ok("git", "status", "--porcelain", "--branch")
    # The clone of `gone` loses its git: what is around it is not taken for the repository.
    trials = ("gone:train.epochs=9", "one:seed=1", "bad:train.epochs=13", "two:seed=2")
    done = run(small, *trials, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert small.ok(*EXPERIMENTS).split() == ["one", "two"]
    assert (
        small.in_experiment("two", "metrics/evaluate.json") == '{"validation": {"accuracy": 0.2}}'
    )
    assert "one: validation accuracy 0.1\n" in done.stdout
    assert "evaluate: 13 epochs bring no luck\n" in done.stdout.partition("bad failed: ")[2]
    assert "gone failed: " in done.stdout
    assert small.ok("git", "rev-parse", "HEAD") == head
    assert small.ok("git", "status", "--porcelain", "--branch") == state
    assert (small.path / "README.md").read_text() == "not committed\n"
    for name in ("one", "two"):  # the outputs are in the cache of the user
        small.ok("dvc", "exp", "apply", name)
        assert (small.path / "models/model.keras").read_text() == {"one": "1", "two": "2"}[name]
    small.ok("git", "restore", ".")
    assert_nothing_is_left(small)


@pytest.mark.parametrize(
    "killed",
    ["worker", *(pytest.param(one, marks=pytest.mark.exhaustive) for one in ("dvc", "stage"))],
)
def test_what_is_killed_costs_nothing_but_time(small: Project, killed: str) -> None:
    """With -9, in the middle of a trial: what it had started ends, and the trial runs again."""
    with start(small, "slow:seed=1;train.epochs=8", "other:seed=2", "--workers", "2") as driver:
        stage, dvc = stage_at_work(small, 1)
        os.kill({"worker": worker_of(dvc), "dvc": dvc, "stage": stage}[killed], signal.SIGKILL)
        printed, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, printed
    assert small.ok(*EXPERIMENTS).split() == ["other", "slow"], printed
    assert not Path(f"/proc/{stage}").exists()
    assert_nothing_is_left(small)


def worker_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_is_interrupted_goes_on(small: Project, number: signal.Signals) -> None:
    """Ctrl-C reaches the whole group, as in a terminal; the others the driver alone."""
    trials = ("first:seed=2", "slow:seed=1;train.epochs=7", "third:seed=3", "--workers", "1")
    with start(small, *trials) as driver:
        stage_at_work(small, 1)
        (os.killpg if number == signal.SIGINT else os.kill)(driver.pid, number)
        printed, _ = driver.communicate(timeout=60)
    assert driver.returncode == (-9 if number == signal.SIGKILL else 128 + number), printed
    assert "Traceback" not in printed
    assert small.ok(*EXPERIMENTS).split() == ["first"]
    if number != signal.SIGKILL:  # which leaves the clones to the next that runs
        assert_nothing_is_left(small)
    done = run(small, *trials)
    assert done.returncode == 0, done.stderr
    assert "first: validation accuracy 0.2 (it was run before)\n" in done.stdout
    assert small.ok(*EXPERIMENTS).split() == ["first", "slow", "third"]
    assert_nothing_is_left(small)


def test_what_is_refused_before_anything_runs(small: Project) -> None:
    def refused(*arguments: str) -> str:
        done = run(small, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        return line

    assert "a: the name of several trials" in refused("a:seed=1", "a:seed=2")
    assert "train.epoch=3: Could not override 'train.epoch'" in refused("a:train.epoch=3")
    for address in ("tcp://192.0.2.1:8786", "192.0.2.1:8786", "tcp://head:8786"):
        message = refused("a:seed=1", "--scheduler", address)
        assert f"{address} is on another machine and without TLS: whoever reaches it can" in message
    assert "No such remote 'origin'" in refused("a:seed=1", "--scheduler", "127.0.0.1:8786")
    assert "tcp://[head is not an address" in refused("a:seed=1", "--scheduler", "tcp://[head")
    for number in ("0", "-1"):
        message = refused("a:seed=1", "--workers", number)
        assert message == f"error: --workers is {number}; it has to be at least 1"
    assert "--scheduler is empty" in refused("a:seed=1", "--scheduler", "")
    both = refused("a:seed=1", "--scheduler", "127.0.0.1:8786", "--workers", "2")
    assert both.startswith("error: --workers is for this machine")
    message = refused("a:seed=1", "--tls-key", "key.pem", "--insecure")
    assert message == "error: --tls-key, --insecure: no effect without --scheduler"
    small.set_params({"seed": 5})
    (small.path / "data/own/new").touch()
    (small.path / "notes.txt").touch()
    message = refused("a:seed=1")
    assert "params.yaml, data/own/new: not as in the last commit" in message


@pytest.mark.exhaustive
def test_over_tls_on_another_machine(small: Project, tmp_path: Path) -> None:
    """The worker has a checkout and a cache of its own, and reaches the git and the DVC remote."""
    certificates = make_certificates(tmp_path)
    small.ok(
        "git", "init", "--quiet", "--bare", "--initial-branch", "main", str(tmp_path / "origin.git")
    )
    small.ok("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    tls = [
        *("--scheduler", "tls://127.0.0.1:18786", "--tls-ca-file", str(tmp_path / "ca.pem")),
        *("--tls-cert", str(tmp_path / "host.pem"), "--tls-key", str(tmp_path / "host.key")),
    ]
    assert "origin does not have commit" in run(small, "one:seed=1", *tls).stderr
    small.ok("git", "push", "--quiet", "origin", "main")
    assert "`dvc remote add --default` names one" in run(small, "one:seed=1", *tls).stderr
    small.ok("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    small.ok("dvc", "push")  # what `dvc add` tracks
    small.commit("A place for outputs")
    small.ok("git", "push", "--quiet", "origin", "main")
    small.ok("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(tmp_path / "host"))
    host = Project(tmp_path / "host")
    dask = (sys.executable, "-m")
    scheduling = ("--protocol", "tls", "--host", "127.0.0.1", "--port", "18786", "--no-dashboard")
    working = ("tls://127.0.0.1:18786", "--nthreads", "1", "--no-dashboard")
    scratch = ("--local-directory", str(tmp_path / "scratch"))
    with (
        host.start(
            *dask, "distributed.cli.dask_scheduler", *scheduling, *certificates
        ) as scheduler,
        host.start(
            *dask, "distributed.cli.dask_worker", *working, *scratch, *certificates
        ) as worker,
    ):
        try:
            printed = small.ok(sys.executable, "-c", DRIVER, "one:seed=1", "two:seed=2", *tls)
            # Without certificates there is nothing to be had.
            done = run(small, "three:seed=3", "--scheduler", "tls://127.0.0.1:18786")
            assert "tls://127.0.0.1:18786 cannot be reached: " in done.stderr

            base = small.ok("git", "rev-parse", "HEAD").strip()
            one = f"refs/exps/{base[:2]}/{base[2:]}/one"
            recorded = small.ok("git", "rev-parse", one).strip()
            small.ok("git", "update-ref", one, base)
            done = run(small, "three:seed=3", *tls)
            assert "error: one: origin has another experiment of this name" in done.stderr
            small.ok("git", "update-ref", one, recorded)

            with start(small, "slow:seed=4;train.epochs=7", *tls) as driver:
                stage_at_work(small, 4)
                kill(scheduler)
                said, _ = driver.communicate(timeout=60)
            assert driver.returncode == 1
            assert "error: the scheduler is gone; run this again to go on\n" in said
            assert "Traceback" not in said
        finally:
            for process in (worker, scheduler):
                if process.poll() is None:
                    kill(process)
    assert "two: validation accuracy 0.2" in printed
    assert (
        small.ok(*EXPERIMENTS).split()
        == host.ok("git", "--git-dir", str(tmp_path / "origin.git"), *EXPERIMENTS[1:]).split()
        == ["one", "two"]
    )
    (small.path / "dvc.lock").write_text(small.in_experiment("two", "dvc.lock"))
    small.ok("dvc", "pull")
    assert (small.path / "models/model.keras").read_text() == "2"


def make_certificates(folder: Path) -> list[str]:
    """An authority and a certificate of this machine; Dask's arguments for them."""
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=trials -days 2",
        "req -newkey rsa:2048 -nodes -keyout host.key -out host.csr -subj /CN=host",
        "x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out host.pem -days 2",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    files = {"ca-file": "ca.pem", "cert": "host.pem", "key": "host.key"}
    return [part for name, file in files.items() for part in (f"--tls-{name}", str(folder / file))]
