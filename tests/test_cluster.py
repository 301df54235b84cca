"""docs/cluster.md works as it stands, on three machines, whatever dies meanwhile."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.experiments.trials.test_executor import EXPERIMENTS
from tests.hosts import Host, network, plug, start_sshd
from tests.project import ROOT, Project, copy_project, read_csv

TRIALS = 24
NOTICED = 120  # seconds in which a machine without a network has ended all that it was at

# Writes the outputs of a stage: a function of its inputs and the seed, where that is one of them.
STAGE = """
import hashlib, json, sys
from pathlib import Path
import yaml

stage = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][sys.argv[1]]
seed = yaml.safe_load(Path("params.yaml").read_text())["seed"] if "seed" in stage["params"] else ""
given = b"".join(Path(path).read_bytes() for path in stage["deps"] if Path(path).is_file())
digest = hashlib.sha256(f"{seed} {sys.argv[1]} ".encode() + given).hexdigest()
content = {"digest": digest, "validation": {"accuracy": int(digest[:4], 16) / 0x10000}}
for kind in ("outs", "metrics", "plots"):
    for out in stage.get(kind, []):
        path = Path(out if isinstance(out, str) else next(iter(out)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content | {"path": str(path)}))
"""


def obstacle() -> str:
    """Why there can be no machines here; empty if there can."""
    tools = ("ip", "sshd", "ssh", "scp", "openssl", "unshare")
    if missing := [tool for tool in tools if not shutil.which(tool)]:
        return f"not installed: {', '.join(missing)}"
    made = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return "this user may not make network namespaces" if made.returncode else ""


def blocks() -> dict[str, str]:
    """The commands of the guide, by what the first line of each block says of them."""
    page = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh\n# (.*?)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return {where: re.sub(r"^make .*\n", "", commands, flags=re.M) for where, commands in found}


@pytest.mark.exhaustive
def test_three_machines_one_cut_off_and_processes_killed(tmp_path: Path) -> None:
    if reason := obstacle():
        pytest.skip(reason)
    guide = blocks()
    with network(tmp_path, "head", "ada", "bob") as machines:
        head, ada, bob = machines
        project = make_project(head)
        let_in(guide["on every machine"], *machines)
        head.ok(guide["on the head"])
        head.ok(guide["on the head, certificates"])
        services = [head.start(guide["on the head, as a service"], "scheduler.log")]
        for worker in (ada, bob):
            worker.ok(guide["on each worker"])
            (worker.home / "project/.venv").symlink_to(sys.prefix)
            services.append(worker.start(guide["on each worker, as a service"], "worker.log"))

        origin = Project(head.home / "project.git")
        driver = head.start(guide["on the head, to run"], "driver.log")
        wait(lambda: recorded(origin) >= 3, head)
        plug(head, bob, "down")
        cut_off = bob.processes().keys() - {service.pid for service in services}
        wait(lambda: recorded(origin) >= 6, head)
        os.kill(worker_process(ada), signal.SIGKILL)
        wait(lambda: recorded(origin) >= 10, head)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        driver = head.start(guide["on the head, to run"], "driver.log")
        wait(partial(idle, bob, cut_off), bob, NOTICED)
        plug(head, bob, "up")
        assert driver.wait(300) == 0, (head.home / "driver.log").read_text()

        for service in services:
            os.killpg(service.pid, signal.SIGTERM)
            service.wait()
        for machine in machines:
            wait(partial(nothing_left, machine), machine)
            assert not [*machine.home.glob("project/.dvc/tmp/trials/dask-scratch-space/*/*")]
        head.ok(guide["on the head, at the end"])
        names = sorted(f"night-{seed}" for seed in range(TRIALS))
        shown = [row["Experiment"] for row in read_csv(project.path / "night.csv")]
        assert sorted(filter(None, shown)) == names
        assert sorted(origin.ok(*EXPERIMENTS).split()) == names
        assert sorted(project.ok(*EXPERIMENTS).split()) == names
        locks = {name: origin.in_experiment(name, "dvc.lock") for name in names}
        assert locks == plain(project, tmp_path / "plain")
        assert nothing_half_pushed(head, locks)


def make_project(head: Host) -> Project:
    """A user's checkout on the head, with two stages that take no time."""
    project = copy_project(head.home / "project")
    declared = yaml.safe_load((project.path / "dvc.yaml").read_text())
    stages = {name: declared["stages"][name] for name in ("train", "evaluate")}
    for name, stage in stages.items():
        stage["cmd"] = f"python stage.py {name}"
        stage["deps"] = [path for path in stage["deps"] if not path.startswith("data/")]
    (project.path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (project.path / "stage.py").write_text(STAGE)
    (project.path / "dvc.lock").unlink()
    project.commit("Stages that take no time")
    (project.path / ".venv").symlink_to(sys.prefix)
    return project


def let_in(commands: str, head: Host, *others: Host) -> None:
    """What `ssh-copy-id` does, which asks for a password."""
    start_sshd(head)
    public = (head.home / "etc/host_key.pub").read_text()
    for host in (head, *others):
        host.ok(commands)
        (host.home / ".ssh/known_hosts").write_text(f"head {public}")
        with (head.home / ".ssh/authorized_keys").open("a") as keys:
            keys.write((host.home / ".ssh/id_ed25519.pub").read_text())


def recorded(origin: Project) -> int:
    return len(origin.ok(*EXPERIMENTS).split())


def wait(done: Callable[[], bool], host: Host, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        logs = "\n".join(log.read_text()[-5000:] for log in host.home.glob("*.log"))
        assert time.monotonic() < deadline, f"{host.processes()}\n{logs}"
        time.sleep(0.2)


def idle(host: Host, gone: Iterable[int]) -> bool:
    """Whether no trial runs there, nor any of these processes."""
    running = host.processes()
    trials = [c for c in running.values() if re.search(r"\bdvc |\bgit |stage\.py", c)]
    return not trials and not running.keys() & set(gone)


def nothing_left(host: Host) -> bool:
    return all("sshd" in command for command in host.processes().values())


def worker_process(host: Host) -> int:
    return next(n for n, command in host.processes().items() if "spawn_main" in command)


def plain(project: Project, folder: Path) -> dict[str, str]:
    """What `dvc repro` records of the same parameters, in two clones without a cache."""

    def repro(first: int) -> dict[str, str]:
        clone = Project(folder / str(first))
        project.ok("git", "clone", "--quiet", ".", str(clone.path))
        locks = {}
        for seed in range(first, TRIALS, 2):
            clone.set_params({"seed": seed})
            clone.ok("dvc", "repro", "--quiet")
            locks[f"night-{seed}"] = clone.lock()
        return locks

    with ThreadPoolExecutor(2) as threads:
        even, odd = threads.map(repro, (0, 1))
    return even | odd


def nothing_half_pushed(head: Host, locks: dict[str, str]) -> bool:
    """Whether outputs are whole, and those of the experiments; and git left no lock or pack."""
    outputs = head.home / "project-outputs/files/md5"
    kept = {file for file in outputs.rglob("*") if file.is_file()}
    for file in kept:
        content = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
        assert content == file.parent.name + file.name
    of_experiments = {
        md5
        for lock in locks.values()
        for stage in yaml.safe_load(lock)["stages"].values()
        for path, md5 in ((out["path"], out["md5"]) for out in stage["outs"])
        if not path.startswith(("metrics", "plots"))
    }
    assert {file.parent.name + file.name for file in kept} == of_experiments
    git = head.home / "project.git"
    assert not [*git.rglob("*.lock"), *git.rglob("tmp_*")]
    subprocess.run(["git", "-C", git, "fsck", "--strict"], check=True, capture_output=True)
    return True
