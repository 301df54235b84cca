"""`python -m pipeline`, whatever becomes of its standard streams."""

import os
import shutil
import subprocess

import pytest

from tests.project import ANYBODY, Project, environment

COMPARE = "python -m pipeline compare HEAD HEAD"
VERIFY = "python -m pipeline verify --stage preprocess"
COMMANDS = [COMPARE, pytest.param(VERIFY, marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_ended_is_no_error(finished: Project, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command.split(),
        cwd=finished.path,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", COMMANDS)
def test_standard_streams_may_be_closed(finished: Project, command: str) -> None:
    done = finished.run("bash", "-c", f"{command} <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = finished.run("bash", "-c", f"{command} >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_encoding_does_not_hold_is_escaped(project: Project) -> None:
    project.ok("git", "branch", "caf\u00e9")
    command = ("python", "-m", "pipeline", "compare", "caf\u00e9")
    printed = project.ok(*command, env={"PYTHONIOENCODING": "ascii"})
    assert "workspace is identical to caf\\xe9" in printed


def test_what_dvc_itself_would_print_may_have_no_place(finished: Project) -> None:
    done = finished.run("bash", "-c", "python -m pipeline compare HEAD 2>&-")
    assert done.returncode == 0
    assert "workspace is identical to HEAD" in done.stdout


@pytest.mark.parametrize(
    "home",
    [
        pytest.param(["-u", "HOME"], id="none", marks=pytest.mark.exhaustive),
        pytest.param(["HOME=/proc"], id="not to be written", marks=pytest.mark.exhaustive),
        pytest.param(["HOME=/dev/null"], id="no folder"),
    ],
)
def test_a_user_without_name_or_home(project: Project, home: list[str]) -> None:
    """DVC itself would end in a traceback."""
    if not shutil.which("setpriv") or project.run(*ANYBODY, "true").returncode:
        pytest.skip("only root can become another user")
    project.ok("chown", "--recursive", "54321", ".")  # or git would not read it
    for folder in list(project.path.parents)[:4]:
        folder.chmod(0o755)
    unset = ["env", "-u", "USER", "-u", "LOGNAME", *home]
    done = project.run(*ANYBODY, *unset, "python", "-m", "pipeline", "compare", "HEAD")
    assert done.returncode == 0, done.stderr
    assert "workspace is identical to HEAD" in done.stdout


@pytest.mark.parametrize("command", ["predict --test-index 0", "data", "compare HEAD"])
def test_where_nothing_was_run_one_line_says_so(project: Project, command: str) -> None:
    (project.path / "dvc.lock").unlink()
    done = project.run("python", "-m", "pipeline", *command.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert "run `dvc repro`" in done.stderr
    assert len(done.stderr) < 120
    assert len(done.stderr.splitlines()) == 1


def test_an_error_controls_no_terminal(finished: Project) -> None:
    done = finished.run("python", "-m", "pipeline", "compare", "\x1b[31m")
    assert done.stderr == "error: \\x1b[31m is not a branch, tag, commit or experiment\n"
