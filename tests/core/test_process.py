"""A stage gives the same in whatever process it is started."""

import hashlib
import shutil
import signal
import time
from signal import SIGHUP, SIGTERM

import pytest

from tests.project import ANYBODY, Project


def outputs(project: Project, stage: str) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in project.outputs(stage)
    }


@pytest.fixture(scope="module")
def done(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project of this module's own; what is run in it gives what is there already."""
    return finished.clone(tmp_path_factory.mktemp("done") / "project")


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("plot", {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}),
        *(
            pytest.param(stage, settings, marks=pytest.mark.exhaustive)
            for stage, settings in (
                ("plot", {"FREETYPE_PROPERTIES": "truetype:interpreter-version=35"}),
                ("plot", {"MATPLOTLIBRC": "params.yaml"}),
                ("plot", {"NPY_ENABLE_CPU_FEATURES": "AVX2", "NPY_DISABLE_CPU_FEATURES": "AVX2"}),
                ("download", {"TQDM_MININTERVAL": "often"}),
            )
        ),
        ("evaluate", {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "cpp", "HDF5_DRIVER": "nonsense"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_settings_for_other_programs_change_nothing(
    done: Project, stage: str, settings: dict[str, str]
) -> None:
    before = outputs(done, stage)
    run = done.run("python", "-m", f"stages.{stage}", env=settings)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert outputs(done, stage) == before


@pytest.mark.parametrize(
    "closed", [pytest.param("2>&-", marks=pytest.mark.exhaustive), "<&- >&- 2>&-"]
)
def test_closed_streams_change_nothing(done: Project, closed: str) -> None:
    before = outputs(done, "evaluate")
    run = done.run("sh", "-c", f"exec python -m stages.evaluate {closed}")
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert outputs(done, "evaluate") == before


def test_an_error_without_streams_is_a_status(done: Project) -> None:
    code = "import stages; from pipeline.core import stage"
    run = done.run("sh", "-c", f"exec python -c \"{code}; stage.active('no', 1).__enter__()\" 2>&-")
    assert run.returncode == 1
    assert run.stdout == ""


def test_what_the_encoding_does_not_hold_is_escaped(done: Project) -> None:
    code = "import stages; print('from /data/\\u6570\\udcff')"
    printed = done.ok("python", "-c", code, env={"PYTHONIOENCODING": "ascii"})
    assert printed == "from /data/\\u6570\\udcff\n"


def test_a_reader_that_has_gone_is_one_line(done: Project) -> None:
    run = done.run("sh", "-c", "python -m stages.evaluate | true")
    assert run.stderr == "evaluate: what read its output has ended, so that it failed\n"
    run = done.run("sh", "-c", "python -m stages.evaluate >/dev/full")
    message = "evaluate: standard output cannot be written: No space left on device\n"
    assert (run.returncode, run.stderr) == (1, message)


def test_python_that_looks_nowhere_says_so(done: Project) -> None:
    run = done.run("python", "-m", "stages.plot", env={"PYTHONSAFEPATH": "1"})
    assert run.returncode == 1
    assert "No module named 'stages'" in run.stderr
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "home",
    [
        pytest.param("", id="none", marks=pytest.mark.exhaustive),
        pytest.param("HOME=/proc", id="not to be written"),
    ],
)
def test_a_user_without_name_or_home(done: Project, home: str) -> None:
    """As in a container that runs under any number."""
    if not shutil.which("setpriv") or done.run(*ANYBODY, "true").returncode:
        pytest.skip("only root can become another user")
    unset = ["env", "-u", "KERAS_HOME", *(["-u", "HOME"] if not home else [home])]
    for stage in ("download", "evaluate", "plot"):
        before = outputs(done, stage)
        run = done.run(*ANYBODY, *unset, "python", "-m", f"stages.{stage}")
        assert run.returncode == 0, run.stderr
        assert "Traceback" not in run.stderr
        assert outputs(done, stage) == before


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (SIGHUP, SIGTERM))],
)
def test_a_signal_leaves_nothing_behind(project: Project, number: signal.Signals) -> None:
    process = project.start("python", "-m", "stages.plot")
    while not list(project.path.glob("plots/.*.tmp*")):
        assert process.poll() is None
    process.send_signal(number)
    printed, _ = process.communicate(timeout=60)
    assert (process.returncode, printed) == (128 + number, "")
    assert not list(project.path.glob("plots/.*.tmp*"))
    assert project.stage("plot").returncode == 0


def test_a_signal_in_a_finalizer_is_not_lost(done: Project) -> None:
    """Python ignores its exception there: DVC's libraries have many."""
    code = (
        "import signal, time\nfrom pipeline.core import process\n"
        "class Signalled:\n    def __del__(self): signal.raise_signal(signal.SIGTERM)\n"
        "with process.tidied_up():\n    Signalled()\n    time.sleep(60)\n"
    )
    run = done.run("python", "-c", code)
    assert (run.returncode, run.stderr) == (128 + signal.SIGTERM, "")


@pytest.mark.parametrize("name", ["stages.train", "pipeline"])
def test_an_interrupt_before_the_work_is_silent(done: Project, name: str) -> None:
    """While libraries are imported, which takes most of a second."""
    arguments = ["predict", "--test-index", "0"] if name == "pipeline" else []
    for delay in (0.1, 0.2, 0.4):
        process = done.start("python", "-m", name, *arguments)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
        assert printed == ""
