"""A stage writes what dvc.yaml declares, and nothing beside it."""

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.core import outputs
from pipeline.core.errors import PipelineError
from tests.project import Project

UNDECLARED = "{} was written, but dvc.yaml does not declare it"
# Each leaves a file in a folder of results that dvc.yaml does not name.
WAYS = {
    "opened": 'open("plots/new.png", "w").close()',
    "appended to": 'Path("plots/new.png").open("ab").close()',
    "opened low": 'import os; os.close(os.open("plots/new.png", os.O_CREAT))',
    "moved": 'Path("new").touch(); Path("new").replace("plots/new.png")',
    "copied": 'import shutil; shutil.copy("params.yaml", "plots/new.png")',
    "linked": 'Path("plots/new.png").symlink_to("history.png")',
    "elsewhere": 'Path("plots/a/b").mkdir(parents=True); Path("plots/a/b/c").write_text("")',
    "by its whole path": '(Path.cwd() / "plots" / ".." / "plots" / "new.png").write_text("")',
    "by an array": 'import numpy as np; np.save("plots/new.npy", np.zeros(3))',
    "by a figure": "from matplotlib.figure import Figure; Figure().savefig('plots/new.png')",
}


def edit_stage(project: Project, name: str, code: str) -> None:
    """Let the stage do something more, after its own work."""
    source = project.path / "stages" / f"{name}.py"
    text = source.read_text()
    call = f"        {name}(this.params)\n"
    assert call in text
    source.write_text(text.replace(call, f"{call}        from pathlib import Path; {code}\n"))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_declared_is_named(finished: Project, way: str) -> None:
    """Nothing of the project is changed, so that this can share it."""
    command = [
        "python",
        "-c",
        "from pathlib import Path\nfrom pipeline.core import outputs\nwritten = outputs.watch()\n"
        f"{WAYS[way]}\noutputs.check(['plots/history.png'], written, [])",
    ]
    try:
        done = finished.run(*command)
    finally:
        for path in (finished.path / "plots").glob("new*"):
            path.unlink()
        shutil.rmtree(finished.path / "plots/a", ignore_errors=True)
    new = {"elsewhere": "plots/a/b/c", "by an array": "plots/new.npy"}.get(way, "plots/new.png")
    last = done.stderr.splitlines()[-1]
    assert last == f"pipeline.core.errors.PipelineError: {UNDECLARED.format(new)}"


def test_a_forgotten_figure_fails_its_stage(project: Project) -> None:
    before = project.lock()
    edit_stage(project, "plot", 'Path("plots/new.png").write_text("")')
    done = project.run("dvc", "repro")
    assert done.returncode != 0
    assert f"plot: {UNDECLARED.format('plots/new.png')}\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert project.lock() == before


def test_a_forgotten_output_fails_its_stage(project: Project) -> None:
    edit_stage(project, "plot", 'Path("plots/samples.png").unlink()')
    done = project.stage("plot")
    assert done.returncode == 1
    assert done.stderr == "plot: plots/samples.png was not written, though dvc.yaml declares it\n"


def test_one_stage_may_not_write_what_another_declares(project: Project) -> None:
    edit_stage(project, "evaluate", 'Path("plots/history.csv").write_text("")')
    done = project.stage("evaluate")
    assert done.returncode == 1
    assert done.stderr == f"evaluate: {UNDECLARED.format('plots/history.csv')}\n"


def test_what_somebody_else_writes_is_no_matter(project: Project) -> None:
    """An editor saves notes in the same folder, through another process."""
    code = "import subprocess; subprocess.run(['cp', 'params.yaml', 'plots/notes.txt'], check=True)"
    edit_stage(project, "plot", code)
    (project.path / "plots/older.txt").write_text("mine")
    assert "plot" in project.ok("dvc", "repro")
    assert (project.path / "plots/notes.txt").exists()


def test_temporary_files_and_scratch_are_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written = outputs.watch()
    Path("models").mkdir()
    for name in ("model.keras", "checkpoint.npz", "temporary"):
        Path("models", name).write_text("")
    Path("models/temporary").unlink()
    Path("beside").write_text("")
    declared, scratch = ["models/model.keras"], Path("models/checkpoint.npz")
    outputs.check(declared, written, [scratch])
    with pytest.raises(PipelineError, match=UNDECLARED.format(scratch)):
        outputs.check(declared, written, [])


def test_an_output_may_be_a_link_to_the_cache(project: Project) -> None:
    project.ok("dvc", "config", "--local", "cache.type", "symlink")
    for folder in ("raw", "processed"):
        shutil.rmtree(project.path / "data" / folder)
    project.ok("dvc", "checkout")
    assert (project.path / "data/raw/train-labels-idx1-ubyte.gz").is_symlink()
    project.set_params({"data.synthetic.seed": 5})
    project.ok("dvc", "repro", "preprocess")


def test_every_declared_output_is_known(finished: Project) -> None:
    content = yaml.safe_load((finished.path / "dvc.yaml").read_text())
    code = "from pipeline.core import guard; print(*guard.observe({!r}).outputs, sep='\\n')"
    for name in content["stages"]:
        printed = finished.ok("python", "-c", code.format(name)).splitlines()
        assert [finished.path / path for path in printed] == finished.outputs(name)
