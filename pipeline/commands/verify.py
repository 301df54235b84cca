"""Run a revision from scratch and compare every output with its dvc.lock."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from pipeline.core import dvc_cache
from pipeline.core.artifacts import write_json
from pipeline.core.errors import PipelineError
from pipeline.core.params import PARAMS_FILE, load_yaml
from pipeline.data import fashion_mnist
from pipeline.experiments import environment
from pipeline.experiments.revisions import git, resolve

Stages = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """One thing that `dvc.lock` records, and what was found; None where there is nothing."""

    stage: str
    kind: str  # command, parameter, dependency, status, or output
    name: str
    recorded: Any
    reproduced: Any

    @property
    def same(self) -> bool:
        """Tell whether the record holds."""
        return bool(self.recorded == self.reproduced)


def configure(parser: argparse.ArgumentParser) -> None:
    """Take a revision, and what to do with it."""
    parser.add_argument(
        "revision", nargs="?", default="HEAD", help="branch, tag, commit or experiment (HEAD)"
    )
    parser.add_argument("--stage", help="verify this stage alone, from its recorded inputs")
    parser.add_argument(
        "--report",
        type=Path,
        default=Path(".dvc/tmp/verify.json"),
        help="where to write the JSON report (%(default)s)",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Verify in a temporary clone; exit status 0 only if everything agrees."""
    commit = resolve(arguments.revision)
    report = arguments.report.resolve()
    report.unlink(missing_ok=True)  # one of an earlier run must not pass for this one's
    root = Path.cwd()
    variables = os.environ | _variables()
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        git("clone", "--quiet", "--shared", "--no-checkout", str(root), folder)
        git("-C", folder, "checkout", "--quiet", "--detach", commit)
        if not Path(folder, "dvc.lock").exists():
            raise PipelineError(f"{arguments.revision} has no dvc.lock: nothing is recorded there")
        os.chdir(folder)
        try:
            stages, lock = load_yaml("dvc.yaml")["stages"], load_yaml("dvc.lock")["stages"]
            names = _order(stages)
            if arguments.stage:
                _check_known(arguments.stage, names, lock)
                names = [arguments.stage]
                _bring_inputs(root, stages, lock[arguments.stage])
            comparisons = list(_verify(names, stages, lock, variables))
            if not arguments.stage:
                for name in lock.keys() - stages.keys():
                    comparisons += _compare(name, "command", {"cmd": lock[name]["cmd"]}, {})
        finally:
            os.chdir(root)
    _print(comparisons)
    write_json(
        report,
        {
            "revision": arguments.revision,
            "commit": commit,
            "same": all(comparison.same for comparison in comparisons),
            "environment": environment.describe(),
            "comparisons": [asdict(c) | {"same": c.same} for c in comparisons],
        },
    )
    print(f"Report: {report}")
    return 0 if all(comparison.same for comparison in comparisons) else 1


def _verify(
    names: list[str], stages: Stages, lock: Stages, variables: dict[str, str]
) -> Iterator[Comparison]:
    """Run the stages in the current folder, comparing as they end."""
    for path in (path for name in names for path in _outputs(stages[name])):
        Path(path).unlink(missing_ok=True)  # git has put some there; none may pass for reproduced
    for number, name in enumerate(names, start=1):
        stage, recorded = stages[name], lock.get(name, {})
        print(f"[{number}/{len(names)}] {name}", flush=True)
        yield from _compare_inputs(name, stage, recorded)
        started = time.monotonic()
        done = subprocess.run(stage["cmd"], shell=True, env=variables, check=False)  # noqa: S602 (as DVC does)
        print(f"[{number}/{len(names)}] {name}: {time.monotonic() - started:.1f} s", flush=True)
        yield from _compare(name, "status", {"exit": 0}, {"exit": done.returncode})
        yield from _compare(name, "output", _hashes(recorded, "outs"), _md5s(_outputs(stage)))
        if done.returncode:
            return


def _compare_inputs(
    name: str, stage: dict[str, Any], recorded: dict[str, Any]
) -> Iterator[Comparison]:
    params, declared = load_yaml(PARAMS_FILE), stage.get("params", [])
    yield from _compare(name, "command", {"cmd": recorded.get("cmd")}, {"cmd": stage["cmd"]})
    yield from _compare(
        name,
        "parameter",
        recorded.get("params", {}).get(PARAMS_FILE, {}),
        {key: _value(params, key) for key in declared},
    )
    yield from _compare(name, "dependency", _hashes(recorded, "deps"), _md5s(stage.get("deps", [])))


def _compare(
    stage: str, kind: str, recorded: dict[str, Any], found: dict[str, Any]
) -> Iterator[Comparison]:
    """Compare what is on either side, by name."""
    for name in found | recorded:
        yield Comparison(stage, kind, name, recorded.get(name), found.get(name))


def _value(params: dict[str, Any], key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _hashes(recorded: dict[str, Any], kind: str) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in recorded.get(kind, [])}


def _md5s(paths: list[str]) -> dict[str, str]:
    """Return the hash that DVC gives each file that exists."""
    hashes = {}
    for path in filter(os.path.isfile, paths):
        with Path(path).open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        hashes[path] = md5.hexdigest()
    return hashes


def _print(comparisons: list[Comparison]) -> None:
    """Print a row for each output, and for each input that differs."""
    rows = [c for c in comparisons if c.kind == "output" or not c.same]
    width = max(len(c.name) for c in rows)
    print(f"\n{'stage':<12}{'output':<{width + 2}}{'recorded':<34}{'reproduced':<34}")
    for c in rows:
        verdict = "same" if c.same else "DIFFERENT" if c.kind == "output" else f"DIFFERENT {c.kind}"
        recorded, reproduced = (_short(value) for value in (c.recorded, c.reproduced))
        print(f"{c.stage:<12}{c.name:<{width + 2}}{recorded:<34}{reproduced:<34}{verdict}")
    first = next((c for c in comparisons if not c.same), None)
    if first is None:
        print("\nEverything agrees with dvc.lock.")
    else:
        print(f"\nThe first difference is in stage {first.stage}: {first.kind} {first.name}.")


def _short(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 32 else f"{text[:29]}..."


def _variables() -> dict[str, str]:
    """Let the clone find this Python, and the data that is in reach from here."""
    places = list(fashion_mnist.local_places())
    variables = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if places and not places[0].startswith(("http://", "https://")):
        variables[fashion_mnist.MIRROR_VARIABLE] = str(Path(places[0]).resolve())
    return variables


def _order(stages: Stages) -> list[str]:
    """Return the names of the stages, each after those whose outputs it needs."""
    makers = {path: name for name, stage in stages.items() for path in _outputs(stage)}
    return list(
        TopologicalSorter(
            {
                name: {makers[d] for d in stage.get("deps", []) if d in makers}
                for name, stage in stages.items()
            }
        ).static_order()
    )


def _check_known(stage: str, names: list[str], lock: Stages) -> None:
    if stage not in names:
        raise PipelineError(f"there is no stage {stage}; there are {', '.join(names)}")
    if stage not in lock:
        raise PipelineError(f"dvc.lock records no run of stage {stage}")


def _bring_inputs(root: Path, stages: Stages, recorded: dict[str, Any]) -> None:
    """Take the recorded inputs of a stage that others make out of DVC's cache."""
    made = {path for stage in stages.values() for path in _outputs(stage)}
    for path, md5 in _hashes(recorded, "deps").items():
        if path in made and not Path(path).exists():
            try:
                content = dvc_cache.find(md5, root)
            except FileNotFoundError:
                raise PipelineError(
                    f"{path} as recorded is not in DVC's cache; try `dvc pull`"
                ) from None
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).symlink_to(content)


def _outputs(stage: dict[str, Any]) -> list[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
