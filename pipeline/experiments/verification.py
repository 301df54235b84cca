"""Running a revision from scratch, and comparing all that it gives with its `dvc.lock`."""

import json
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.dvc_cache import find, md5_of
from pipeline.core.errors import PipelineError
from pipeline.core.guard import Declaration
from pipeline.core.params_file import PARAMS_FILE, flat, load_yaml, select
from pipeline.experiments.copies import checkout, data_in_reach
from pipeline.experiments.dvc_files import (
    DECLARATIONS,
    LOCK,
    File,
    Record,
    hashes,
    parse_lock,
    parse_stages,
)
from pipeline.experiments.subprocesses import call


@dataclass(frozen=True)
class Comparison:
    """One thing that `dvc.lock` records, and what was found; None where there is nothing.

    Attributes:
        stage: the stage that it belongs to.
        kind: committed (an output that git holds), command, parameter, dependency, status, or
            output; for what is recorded of a file beside its hash, such as `output size`.
        name: a path, or the name of a parameter.
        recorded: what `dvc.lock` has.
        reproduced: what was found.
    """

    stage: str
    kind: str
    name: str
    recorded: Any
    reproduced: Any

    @property
    def same(self) -> bool:
        """Tell whether the record holds."""
        return bool(self.recorded == self.reproduced)


def verify(commit: str, stage: str | None) -> list[Comparison]:
    """Run `commit`, or one stage of it from its recorded inputs, in a temporary clone.

    Raises:
        PipelineError: nothing is recorded there, or not this stage.
    """
    with checkout(commit) as folder:
        if not (folder / LOCK).is_file():
            raise PipelineError(f"{commit} has no {LOCK}: nothing is recorded there")
        stages = parse_stages((folder / DECLARATIONS).read_text(encoding="utf-8"))
        lock = parse_lock((folder / LOCK).read_text(encoding="utf-8"))
        for path in (Path(path) for declared in stages.values() for path in declared.outputs()):
            if path.is_absolute() or ".." in path.parts:
                raise PipelineError(f"{path} is not in the project: a clone would overwrite yours")
        if stage is None:
            gone = sorted(lock.keys() - stages.keys())
            return [
                *_run(folder, stages, lock),
                *(Comparison(name, "command", "cmd", lock[name].cmd, None) for name in gone),
            ]
        if stage not in stages:
            raise PipelineError(f"there is no stage {stage}; there are {', '.join(stages)}")
        if stage not in lock:
            raise PipelineError(f"{LOCK} records no run of stage {stage}")
        _bring_inputs(folder, stages, lock[stage])
        return list(_run(folder, {stage: stages[stage]}, lock))


def _bring_inputs(folder: Path, stages: dict[str, Declaration], record: Record) -> None:
    """Take the recorded inputs of a stage that others make out of DVC's cache."""
    made = {path for stage in stages.values() for path in stage.outputs()}
    for path, md5 in hashes(record.deps).items():
        if path in made and not (folder / path).exists():
            try:
                content = find(md5, Path.cwd())
            except FileNotFoundError:
                reason = f"{path} as recorded is not in DVC's cache; try `dvc pull`"
                raise PipelineError(reason) from None
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(content)


def _run(
    folder: Path, stages: dict[str, Declaration], lock: dict[str, Record]
) -> Iterator[Comparison]:
    """Run the stages in `folder`, comparing as they end, up to the first that fails."""
    records = {name: lock.get(name, Record(cmd="")) for name in stages}
    for name, stage in stages.items():
        committed = _describe(folder, stage.outputs())
        expected = committed.keys() | _kept_by_git(stage)
        recorded = [file for file in records[name].outs if file.path in expected]
        yield from _compare_files(name, "committed", recorded, committed)
        for path in committed:  # none may pass for reproduced
            (folder / path).unlink()
    for number, (name, stage) in enumerate(stages.items(), start=1):
        record = records[name]
        print(f"[{number}/{len(stages)}] {name}", flush=True)
        yield from _compare_inputs(folder, name, stage, record)
        started = time.monotonic()
        status = call(stage.cmd, folder, data_in_reach())
        print(f"[{number}/{len(stages)}] {name}: {time.monotonic() - started:.1f} s", flush=True)
        yield Comparison(name, "status", "exit", 0, status)
        yield from _compare_files(name, "output", record.outs, _describe(folder, stage.outputs()))
        if status:
            return


def _kept_by_git(stage: Declaration) -> set[str]:
    """Return the outputs that are declared `cache: false`."""
    entries = [*stage.outs, *stage.metrics, *stage.plots]
    return {
        path
        for entry in entries
        if isinstance(entry, dict)
        for path, settings in entry.items()
        if isinstance(settings, dict) and settings.get("cache") is False
    }


def _compare_inputs(
    folder: Path, name: str, stage: Declaration, record: Record
) -> Iterator[Comparison]:
    """Compare what the stage is run on."""
    yield Comparison(name, "command", "cmd", record.cmd or None, stage.cmd)
    params = load_yaml(str(folder / PARAMS_FILE))
    recorded = flat(record.params.get(PARAMS_FILE, {}))
    found = flat(select(params, stage.params))
    for key in found | recorded:
        yield Comparison(name, "parameter", key, recorded.get(key), found.get(key))
    for file in record.params.keys() - {PARAMS_FILE}:  # no stage declares any
        yield Comparison(name, "parameter", file, record.params[file], None)
    yield from _compare_files(name, "dependency", record.deps, _describe(folder, stage.deps))


def _compare_files(
    stage: str, kind: str, recorded: list[File], found: dict[str, dict[str, Any]]
) -> Iterator[Comparison]:
    """Compare the hashes of files, and where they are the same, all else that is recorded."""
    records = {file.path: file.model_dump(exclude={"path"}) for file in recorded}
    for path in found | records:
        before, after = records.get(path, {}), found.get(path, {})
        yield Comparison(stage, kind, path, before.get("md5"), after.get("md5"))
        if before.get("md5") == after.get("md5"):
            for key in (before | after).keys() - {"md5"}:
                yield Comparison(stage, f"{kind} {key}", path, before.get(key), after.get(key))


def _describe(folder: Path, paths: list[str]) -> dict[str, dict[str, Any]]:
    """Return what DVC would record of each of the files and folders that exists."""
    described = {}
    for path in (path for path in paths if (folder / path).exists()):
        if (folder / path).is_file():
            described[path] = _describe_file(folder / path)
            continue
        inside = (p for p in (folder / path).rglob("*") if p.is_file())
        inner = sorted(str(p.relative_to(folder / path)) for p in inside)
        files = _describe(folder / path, inner)
        listed = [{"md5": file["md5"], "relpath": name} for name, file in files.items()]
        described[path] = {
            "hash": "md5",
            "md5": f"{md5_of(json.dumps(listed, sort_keys=True).encode())}.dir",
            "size": sum(file["size"] for file in files.values()),
            "nfiles": len(files),
        }
    return described


def _describe_file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    described: dict[str, Any] = {"hash": "md5", "md5": md5_of(content), "size": len(content)}
    if path.stat().st_mode & stat.S_IXUSR:
        described["isexec"] = True
    return described
