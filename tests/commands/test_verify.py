"""`python -m pipeline verify` agrees with a true record, and finds what is wrong with another."""

import json
import signal
import subprocess
from pathlib import Path
from signal import SIGHUP, SIGINT

import pytest
import yaml

from tests.project import Project, environment

COMMAND = ("python", "-m", "pipeline", "verify")
PREDICTIONS = "plots/predictions.csv"
STATE = ("git", "status", "--porcelain", "--ignored", "--branch", "--", ":(exclude)*__pycache__*")


def verify(project: Project, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    done = project.run(*COMMAND, *arguments, env=env)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def different(printed: str) -> list[list[str]]:
    """The stage and the name in each row that says so, and of what kind the difference is."""
    rows = [line.split() for line in printed.splitlines() if " DIFFERENT" in line]
    return [[*row[:2], " ".join(row[row.index("DIFFERENT") + 1 :])] for row in rows]


def test_a_true_record_is_confirmed_and_the_checkout_left_alone(
    project: Project, tmp_path: Path
) -> None:
    project.set_params({"model.dropout": 0})  # what DVC takes for 0.0
    project.commit("The same")
    project.set_params({"train.epochs": 3})  # not committed, so not what is verified
    before = project.ok(*STATE)
    status, printed = verify(project, "--report", str(tmp_path / "report.json"))
    assert status == 0, printed
    assert printed.splitlines()[0].startswith("Running the code of HEAD, commit ")
    assert "Everything agrees with dvc.lock." in printed
    assert "[3/5] train" in printed
    assert project.ok(*STATE) == before
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["same"] is True
    compared = {
        kind: {project.path / c["name"] for c in report["comparisons"] if c["kind"] == kind}
        for kind in ("output", "output size", "committed")
    }
    outputs = set(project.outputs())
    kept = set(map(project.path.joinpath, project.ok("git", "ls-files").split()))
    assert compared == {
        "output": outputs,
        "output size": outputs,
        "committed": outputs & kept,
    }
    assert project.path / "metrics/evaluate.json" in compared["committed"]
    assert report["environment"]["packages"]["tensorflow"]
    assert report["environment"]["processor"]


def test_what_git_holds_is_compared_with_the_record(project: Project) -> None:
    metrics, predictions = (project.path / p for p in ("metrics/evaluate.json", PREDICTIONS))
    content = json.loads(metrics.read_text())
    content["test"]["accuracy"] = 0.9912
    metrics.write_text(json.dumps(content))
    (project.path / "plots/validation.csv").unlink()
    rows = [line.split(",")[0] for line in predictions.read_text().splitlines()[1:]]
    predictions.write_text("\n".join(["actual,predicted", *(f"{row},{row}" for row in rows)]))
    project.commit("Better than it is")
    status, printed = verify(project, "--stage", "evaluate")
    assert status == 1
    assert different(printed) == [
        ["evaluate", "metrics/evaluate.json", "committed"],
        ["evaluate", PREDICTIONS, "committed"],
        ["evaluate", "plots/validation.csv", "committed"],
    ]


def test_a_false_record_is_found(project: Project) -> None:
    """Each kind of thing that the lock records, one of each wrong."""
    lock = yaml.safe_load(project.lock())
    record = lock["stages"]["preprocess"]
    record["cmd"] += " "
    record["params"]["params.yaml"]["preprocess"]["validation_fraction"] = 0.2
    record["params"]["params.yaml"]["bogus"] = 1
    record["params"]["other.yaml"] = {"secret": 7}
    files = {file["path"]: file for kind in ("deps", "outs") for file in record[kind]}
    files["pipeline/data/idx.py"]["md5"] = "0" * 32
    files["stages/preprocess.py"]["size"] += 1
    files["data/processed/test.npz"]["size"] += 1
    files["data/processed/train.npz"]["isexec"] = True
    files["data/processed/validation.npz"] |= {"hash": "etag", "nfiles": 3}
    record["outs"].append({"path": "data/processed/gone.npz", "md5": "0" * 32})
    (project.path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    project.commit("A false record")
    status, printed = verify(project, "--stage", "preprocess")
    assert status == 1
    assert sorted(different(printed)) == sorted(
        [
            ["preprocess", "cmd", "command"],
            ["preprocess", "preprocess.validation_fraction", "parameter"],
            ["preprocess", "bogus", "parameter"],
            ["preprocess", "other.yaml", "parameter"],
            ["preprocess", "pipeline/data/idx.py", "dependency"],
            ["preprocess", "stages/preprocess.py", "dependency size"],
            ["preprocess", "data/processed/test.npz", "output size"],
            ["preprocess", "data/processed/train.npz", "output isexec"],
            ["preprocess", "data/processed/validation.npz", "output hash"],
            ["preprocess", "data/processed/validation.npz", "output nfiles"],
            ["preprocess", "data/processed/gone.npz", ""],
        ]
    )
    assert "The first difference is in stage preprocess: command cmd." in printed


def test_another_output_and_a_stage_that_is_gone_are_found(project: Project) -> None:
    lock, declared = (
        yaml.safe_load(project.lock()),
        yaml.safe_load((project.path / "dvc.yaml").read_text()),
    )
    lock["stages"]["download"]["outs"][0]["md5"] = "0" * 32
    declared["stages"] = {"download": declared["stages"]["download"]}
    (project.path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    (project.path / "dvc.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    project.commit("More in the lock than there is")
    status, printed = verify(project)
    assert status == 1
    assert different(printed) == [
        ["download", lock["stages"]["download"]["outs"][0]["path"], ""],
        *([name, "cmd", "command"] for name in ("evaluate", "plot", "preprocess", "train")),
    ]


def test_one_stage_of_an_experiment_from_its_recorded_inputs(project: Project) -> None:
    project.ok("dvc", "exp", "run", "--name", "other", "-S", "plot.mistakes=3")
    status, printed = verify(project, "other", "--stage", "plot")
    assert status == 0, printed
    assert "[1/1] plot" in printed


def test_a_file_outside_the_project_is_left_alone(project: Project, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.touch()
    declared = yaml.safe_load((project.path / "dvc.yaml").read_text())
    declared["stages"]["download"]["outs"].append({str(mine): {"cache": False}})
    (project.path / "dvc.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    project.commit("An output elsewhere")
    status, printed = verify(project)
    assert status == 1
    assert printed.splitlines()[-1].startswith(f"error: {mine} is not in the project")
    assert mine.exists()


def test_a_commit_from_before_dvc_is_one_line(project: Project) -> None:
    project.ok("git", "rm", "-r", "--quiet", "--cached", ".dvc", "dvc.lock")
    project.ok("git", "commit", "--quiet", "--message", "Without DVC")
    status, printed = verify(project)
    assert status == 1
    assert printed.endswith(" has no dvc.lock: nothing is recorded there\n")


def test_git_s_variables_point_no_process_at_the_user_s_repository(
    project: Project, tmp_path: Path
) -> None:
    """As tools set them, and git itself in a hook: here, of a linked worktree."""
    stage = ("--stage", "preprocess")
    before = project.ok(*STATE)
    git = project.path / ".git"
    variables = {"GIT_DIR": git, "GIT_WORK_TREE": project.path, "GIT_INDEX_FILE": git / "index"}
    status, printed = verify(project, *stage, env={k: str(v) for k, v in variables.items()})
    assert status == 0, printed
    assert project.ok(*STATE) == before

    linked = Project(tmp_path / "linked")
    project.ok("git", "worktree", "add", "--quiet", "-b", "linked", str(linked.path))
    linked.ok("dvc", "cache", "dir", "--local", str(project.path / ".dvc/cache"))
    hook = git / "hooks/pre-commit"
    hook.write_text(f'#!/bin/sh\ntest "$GIT_DIR" && exec {" ".join([*COMMAND, *stage])}\n')
    hook.chmod(0o755)
    done = linked.run("git", "commit", "--allow-empty", "--message", "From the hook")
    assert "Everything agrees with dvc.lock." in done.stdout + done.stderr
    assert linked.ok("git", "log", "-1", "--format=%s", "linked") == "From the hook\n"
    assert linked.ok("git", "status", "--porcelain", "--branch") == "## linked\n"
    assert project.ok(*STATE) == before


def test_a_project_inside_a_larger_repository(project: Project, tmp_path: Path) -> None:
    """Of all that reads a revision: `verify`, `compare` and `predict --rev`."""
    inner = Project(tmp_path / "larger/deep/inner")
    project.clone(inner.path)
    project.ok("rm", "-rf", str(inner.path / ".git"), str(inner.path / ".dvc/tmp"))
    Project(tmp_path / "larger").ok("git", "init", "--quiet")
    inner.commit("All of it")
    status, printed = verify(inner, "HEAD", "--stage", "preprocess")
    assert status == 0, printed
    assert "is identical to HEAD" in inner.ok("python", "-m", "pipeline", "compare", "HEAD")
    predict = ("python", "-m", "pipeline", "predict", "--test-index=0", "--rev=HEAD")
    assert inner.ok(*predict).startswith("test image 0, actually ")


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (SIGHUP, SIGINT))],
)
def test_a_signal_ends_it_and_all_that_it_started(
    finished: Project, tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [*COMMAND, "--stage", "train", "--report", str(tmp_path / "report.json")],
        cwd=finished.path,
        env=environment() | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("[1/1]"):
                break
        while not working_in(tmp_path):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert working_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def working_in(folder: Path) -> list[int]:
    """The processes that have their working directory there or below."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
        except OSError:  # ended, or of another user
            continue
    return found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a branch, tag, commit or experiment"),
        (["--stage", "trian"], "there is no stage trian; there are download, preprocess"),
        (["--report", "docs"], "docs is a folder; --report needs a file"),
    ],
)
def test_a_wrong_name_is_one_line(finished: Project, arguments: list[str], message: str) -> None:
    status, printed = verify(finished, *arguments)
    assert status == 1
    assert message in printed
