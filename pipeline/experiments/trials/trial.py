"""Trials: what is to run as an experiment, what came of it, and what was run before."""

import json
import re
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.core.dvc_cache import md5_of
from pipeline.core.errors import PipelineError
from pipeline.core.guard import Declaration
from pipeline.core.params_file import PARAMS_FILE, flat, load_yaml, parse_yaml, select
from pipeline.experiments.dvc_files import DECLARATIONS, hashes, parse_stages
from pipeline.experiments.revisions import experiments, git, read, read_bytes
from pipeline.experiments.runs import METRICS, Run

# What the stage `train` prints; a clock is never part of what it writes.
TRAINED = re.compile(
    r"^trained in ([\d.]+) s, ([\d.]+) s of processor time(?:, load ([\d.]+))?", re.MULTILINE
)


@dataclass(frozen=True)
class Trial:
    """Parameters to run the pipeline with.

    Attributes:
        name: of the experiment.
        settings: `KEY=VALUE` as for `dvc exp run --set-param`: all that differs from the
            revision's own parameters, a preset's settings included.
    """

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        trial: the trial.
        commit: the experiment's; None if the trial failed.
        error: why it failed: the last lines that it printed; empty if it did not.
        new: False where the repository had the experiment already.
        log: what DVC and the stages printed; empty where it was not run now.
        machine: what it ran on; empty where it was not run now.
    """

    trial: Trial
    commit: str | None = None
    error: str = ""
    new: bool = True
    log: str = ""
    machine: str = ""

    def accuracy(self) -> float | None:
        """Return the validation accuracy; None where it failed or has no validation images."""
        if self.commit is None:
            return None
        measured: dict[str, dict[str, float]] = json.loads(read(METRICS, self.commit))
        return measured.get("validation", {}).get("accuracy")


def find(trials: Collection[Trial], commit: str) -> dict[Trial, str]:
    """Return the experiments that have the parameters, data and code of trials on a commit.

    Names do not count.

    Raises:
        PipelineError: two trials have one name, or one has that of another experiment.
    """
    names = [trial.name for trial in trials]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PipelineError(f"{', '.join(twice)}: the name of several trials")
    known: dict[str, dict[str, str]] = {}
    stages = frozenset(_content(commit)[0])
    for name, experiment in experiments():
        known.setdefault(_recorded(experiment, stages), {})[name] = experiment
    found = {}
    for trial in trials:
        if same := known.get(_wanted(trial, commit)):
            found[trial] = same.get(trial.name) or next(iter(same.values()))
    taken = {name for named in known.values() for name in named}
    if other := [t.name for t in trials if t not in found and t.name in taken]:
        raise PipelineError(
            f"{', '.join(other)}: there already, with other parameters, data or code; "
            "choose another name, or `dvc exp remove` it first"
        )
    return found


def declared(commit: str) -> tuple[dict[str, Declaration], list[str]]:
    """Return the stages of a commit, and the paths that they depend on and do not make."""
    stages = parse_stages(read(DECLARATIONS, commit))
    made = {path for stage in stages.values() for path in stage.outputs()}
    return stages, sorted({path for stage in stages.values() for path in stage.deps} - made)


def _wanted(trial: Trial, commit: str) -> str:
    """Return what `_recorded` gives once the trial has run."""
    stages, content = _content(commit)
    params = _with_settings(read(PARAMS_FILE, commit), trial.settings)
    return json.dumps(
        {
            name: [
                stage.cmd,
                flat(select(params, stage.params)),
                {path: content[path] for path in stage.deps if path in content},
            ]
            for name, stage in stages.items()
        },
        sort_keys=True,
    )


@cache
def _recorded(experiment: str, only: frozenset[str]) -> str:
    """Return command, parameters, and the content of data and code, by stage, as recorded.

    DVC keeps what was recorded of a stage that is no more: `only` are those that there are. An
    experiment that has not run in full gives what no trial has.
    """
    try:
        recorded = Run(experiment, experiment).lock
    except PipelineError:
        return ""
    lock = {name: record for name, record in recorded.items() if name in only}
    made = {path: md5 for record in lock.values() for path, md5 in hashes(record.outs).items()}
    stages = {}
    for name, record in lock.items():
        deps = hashes(record.deps)
        if any(made[path] != md5 for path, md5 in deps.items() if path in made):
            return ""
        given = {path: md5 for path, md5 in deps.items() if path not in made}
        for path in (path for path, md5 in given.items() if md5.endswith(".dir")):
            given[path] = git("rev-parse", f"{experiment}:./{path}").strip()
        stages[name] = [record.cmd, flat(record.params.get(PARAMS_FILE, {})), given]
    return json.dumps(stages, sort_keys=True)


@cache
def _content(commit: str) -> tuple[dict[str, Declaration], dict[str, str]]:
    """Return the stages of a commit, and for what they are given the MD5, or the tree of a folder.

    DVC's hash of a folder is of files that git may not have; git's tree has DVC's `.dvc` files.
    """
    stages, given = declared(commit)
    content = {}
    for line in filter(None, git("ls-tree", "-z", commit, "--", *given).split("\0")):
        (_, kind, tree), path = line.partition("\t")[0].split(), line.partition("\t")[2]
        content[path] = tree if kind == "tree" else md5_of(read_bytes(path, commit))
    return stages, content


def _with_settings(text: str, settings: Collection[str]) -> dict[str, Any]:
    """Return the parameters in the text of `params.yaml` as DVC sets them for an experiment."""
    # Slow to import, and not every command needs them.
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides
    from hydra.errors import HydraException

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.json")  # which DVC writes faster than YAML
        path.write_text(json.dumps(parse_yaml(text, PARAMS_FILE)), encoding="utf-8")
        try:
            apply_overrides(path, list(settings))
        except (DvcException, HydraException) as error:
            cause = str(error.__cause__ or error).splitlines()[0]
            raise PipelineError(f"{' '.join(settings)}: {cause}") from None
        return load_yaml(str(path))
