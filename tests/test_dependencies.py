"""`dvc.yaml` is true: each stage depends on what it really uses, and on nothing else."""

import json
from typing import Any

import pytest
import yaml

from pipeline.core.params_file import select
from tests.project import ROOT, Project

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# Runs a stage as `python -m` would, then names the project's files that the interpreter loaded,
# and those that the stage opened to read, not counting the hashing of its dependencies.
PROBE = """
import json, runpy, sys
from pathlib import Path
from pipeline.core import guard

opened, hashing = set(), False
def note(event, arguments):
    if event == "open" and not hashing and isinstance(arguments[0], (str, Path)):
        if arguments[1] in ("r", "rb"):
            opened.add(str(arguments[0]))
sys.addaudithook(note)

take = guard.observe
def quietly(stage):
    global hashing
    hashing = True
    try:
        return take(stage)
    finally:
        hashing = False
guard.observe = quietly

runpy.run_module(f"stages.{sys.argv[1]}", run_name="__main__")
loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
loaded.add(f"stages/{sys.argv[1]}.py")
root = Path.cwd()
def inside(files):
    paths = [Path(file).resolve() for file in files if file]
    return sorted(str(p.relative_to(root)) for p in paths if p.is_relative_to(root))
print(json.dumps([inside(loaded), inside(opened)]))
"""
NOT_DATA = (".py", ".pyc", "params.yaml", "requirements.txt")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_exactly_what_it_uses(project: Project, name: str) -> None:
    """Run it with nothing else there: no other parameter, none of the other stages' outputs."""
    params, deps = STAGES[name]["params"], STAGES[name]["deps"]
    (project.path / "params.yaml").write_text(yaml.safe_dump(select(project.params(), params)))
    for file in project.outputs():
        if str(file.relative_to(project.path)) not in deps:
            file.unlink()
    (project.path / "probe.py").write_text(PROBE)
    done = project.module("probe", name)
    assert done.returncode == 0, done.stderr
    loaded, opened = json.loads(done.stdout.splitlines()[-1])
    loaded.remove("probe.py")
    assert loaded == [dep for dep in deps if dep.endswith(".py")]
    read = {file for file in opened if not file.endswith(NOT_DATA) and ".tmp" not in file}
    read -= {"models/checkpoint.npz"}  # held to its inputs by its fingerprint
    written = {str(file.relative_to(project.path)) for file in project.outputs()}
    # What is in data/own is read with `data.source: folder` alone: tests/data/test_folder.py.
    assert read - written | (read & set(deps)) == {
        dep for dep in deps if not dep.endswith(NOT_DATA) and dep != "data/own"
    }


# Which stages a change of each parameter concerns first; DVC finds what follows from there. The
# report lists all that can change a result.
AFFECTED = {
    "seed": {"train", "plot"},
    "data.source": {"download", "plot"},
    "data.mirrors": {"download"},
    "data.synthetic": {"download", "plot"},
    "data.folder": {"download", "plot"},
    "preprocess": {"preprocess", "plot"},
    "model": {"train", "plot"},
    "train": {"train", "plot"},
    "evaluate": {"evaluate", "plot"},
    "plot": {"plot"},
}


def leaves(content: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        leaf
        for key, value in content.items()
        for leaf in (
            leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
        )
    ]


def test_a_parameter_concerns_exactly_its_stages() -> None:
    def within(leaf: str, name: str) -> bool:
        return f"{leaf}.".startswith(f"{name}.")

    for leaf in leaves(yaml.safe_load((ROOT / "params.yaml").read_text())):
        key = max((key for key in AFFECTED if within(leaf, key)), key=len)
        declared = {
            name
            for name, stage in STAGES.items()
            if any(within(leaf, param) for param in stage["params"])
        }
        assert declared == AFFECTED[key], leaf


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        ({"plot.mistakes": 4}, ["plot"]),
        ({"evaluate.calibration_bins": 10}, ["evaluate", "plot"]),
    ],
)
def test_only_the_affected_stages_run(
    project: Project, change: dict[str, object], ran: list[str]
) -> None:
    project.set_params(change)
    printed = project.ok("dvc", "repro")
    assert [name for name in STAGES if f"Running stage '{name}'" in printed] == ran
    project.ok("git", "checkout", "params.yaml")
    assert "Running" not in project.ok("dvc", "repro"), "the run-cache has the former results"


def test_every_module_of_the_stages_rooms_belongs_to_a_stage() -> None:
    """Except what is for commands alone: `data` and `predict`."""
    reached = {dep for stage in STAGES.values() for dep in stage["deps"] if dep.endswith(".py")}
    modules = {
        str(path.relative_to(ROOT))
        for room in ("core", "data", "training", "evaluation", "report")
        for path in (ROOT / "pipeline" / room).glob("*.py")
    } | {str(path.relative_to(ROOT)) for path in (ROOT / "stages").glob("*.py")}
    assert modules | {"pipeline/__init__.py"} == reached | {
        "pipeline/data/summary.py",
        "pipeline/evaluation/novelty.py",
    }
    assert all("requirements.txt" in stage["deps"] for stage in STAGES.values())
