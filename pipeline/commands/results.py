"""Write RESULTS.md, and the table it rests on, from the recorded experiments."""

import argparse
import csv
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import mean, median, stdev
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.commands.preset import applied
from pipeline.core.artifacts import write_bytes, write_csv
from pipeline.core.errors import PipelineError
from pipeline.core.params import PARAMS_FILE, load_yaml, parse_yaml
from pipeline.experiments import environment
from pipeline.experiments.revisions import read

SECTIONS = "results.yaml"
TABLE = Path("results.csv")
PAGE = Path("RESULTS.md")
# What the stage `train` prints; a clock is never part of what it writes.
TRAINED = re.compile(r"^trained in ([\d.]+) s, ([\d.]+) s of processor time", re.MULTILINE)
COLUMNS = (
    "experiment",
    "validation accuracy",
    "test accuracy",
    "seeds",
    "epochs",
    "lowest validation loss in epoch",
    "weights",
    "seconds",
    "of processor",
)
FRONTIER = """## Accuracy against time

The experiments above that no other beats in validation accuracy with less processor time.
"""


@dataclass(frozen=True)
class Row:
    """What `results.yaml` says of a row: a preset, what is set beside it, and how many seeds."""

    name: str
    preset: str
    set: list[str]
    seeds: Annotated[int, Field(ge=1)]

    def names(self) -> list[str]:
        """Return the names of its experiments, seed by seed."""
        return [f"{self.name}-{seed}" for seed in range(self.seeds)]

    def command(self) -> str:
        """Return what queues the experiments of the row."""
        settings = "".join(f" -S {shlex.quote(setting)}" for setting in self.set)
        return (
            f"python -m pipeline preset {self.preset} && "
            f"python -m pipeline seeds {self.seeds} --name {self.name}{settings}"
        )

    def params(self) -> dict[str, Any]:
        """Return the parameters of its experiments."""
        text = applied(self.preset, Path(PARAMS_FILE).read_text(encoding="utf-8"))
        params = parse_yaml(text, PARAMS_FILE)
        for setting in self.set:
            name, _, value = setting.partition("=")
            *parents, key = name.split(".")
            section: Any = params
            for parent in parents:
                section = section.get(parent)
                if not isinstance(section, dict):
                    raise PipelineError(f"{SECTIONS}: {name}, set by {self.name}, is unknown")
            section[key] = parse_yaml(f"value: {value}", setting)["value"]
        return params


@dataclass(frozen=True)
class Section:
    """What `results.yaml` says of a section of the page: rows, and what they are about."""

    title: str
    about: str
    rows: list[Row]


@dataclass(frozen=True)
class Result:
    """What one experiment gave.

    Attributes:
        experiment: its name.
        seed: its seed.
        params: a hash of what is trained on what, the seed aside.
        code: a hash of the code that trained it.
        machine: what it ran on.
        val_accuracy: on the validation images.
        test_accuracy: on the test images.
        epochs: how many were trained.
        best_epoch: the one of the lowest validation loss.
        parameters: how many weights the model has.
        seconds: what training took by the clock; None where DVC had the model from before.
        processor_seconds: the same over all cores.
    """

    experiment: str
    seed: int
    params: str
    code: str
    machine: str
    val_accuracy: float
    test_accuracy: float
    epochs: int
    best_epoch: int
    parameters: int
    seconds: float | None
    processor_seconds: float | None


@dataclass(frozen=True)
class Group:
    """What the experiments of a row gave."""

    name: str
    members: list[Result]

    @property
    def val_accuracy(self) -> float:
        """Mean over the seeds."""
        return mean(result.val_accuracy for result in self.members)

    @property
    def seconds(self) -> float | None:
        """Median over the seeds that were timed; None where none was."""
        return _median(result.seconds for result in self.members)

    @property
    def processor_seconds(self) -> float | None:
        """The same over all cores."""
        return _median(result.processor_seconds for result in self.members)

    def cells(self) -> list[str]:
        """Return what `COLUMNS` name."""
        return [
            self.name,
            _spread([result.val_accuracy for result in self.members]),
            _spread([result.test_accuracy for result in self.members]),
            str(len(self.members)),
            _range([result.epochs for result in self.members]),
            _range([result.best_epoch for result in self.members]),
            f"{self.members[0].parameters:,}",
            *("" if t is None else f"{t:.0f}" for t in (self.seconds, self.processor_seconds)),
        ]


def _spread(values: list[float]) -> str:
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def execute(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Bring the table up to date with the experiments that are there, and write the page."""
    sections = _sections()
    wanted = {name for section in sections for row in section.rows for name in row.names()}
    results = _recorded()
    for result in _finished(wanted):
        known = results.get(result.experiment)
        if known is None or replace(known, machine=result.machine) != result:  # else the same run
            results[result.experiment] = result

    groups: list[Group] = []
    text = []
    for section in sections:
        found = [Group(row.name, _of_row(row, results)) for row in section.rows]
        groups += found
        commands = "\n".join(row.command() for row in section.rows)
        text.append(f"## {section.title}\n\n{section.about}\n\n{_table(found)}\n")
        text.append(f"```console\n{commands}\n```\n")
    text.append(f"{FRONTIER}\n{_table(_frontier(groups))}\n")
    members = [result for group in groups for result in group.members]
    text.insert(0, _introduction(members))
    write_csv(
        TABLE, [field.name for field in fields(Result)], [list(asdict(m).values()) for m in members]
    )
    write_bytes(PAGE, "\n".join(text).encode())
    print(f"{TABLE} and {PAGE} are written")
    return 0


def _sections() -> list[Section]:
    """Return what the page is to have.

    Raises:
        PipelineError: `results.yaml` does not say it as it should.
    """
    try:
        return TypeAdapter(list[Section]).validate_python(load_yaml(SECTIONS).get("sections"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("sections", *first["loc"])))
        raise PipelineError(f"{SECTIONS}: {place}: {first['msg'].lower()}") from None


def _recorded() -> dict[str, Result]:
    """Return the results that the table holds, by experiment."""
    if not TABLE.exists():
        return {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]
    results = TypeAdapter(list[Result]).validate_python(rows)
    return {result.experiment: result for result in results}


def _finished(wanted: set[str]) -> Iterator[Result]:
    """Yield the result of each of the `wanted` experiments that DVC's queue has run here."""
    from dvc.repo import Repo  # slow to import

    with Repo() as repo:
        queue = repo.experiments.celery_queue
        for entry, done in queue.iter_success():
            if entry.name in wanted and done is not None:
                log = Path(queue.proc[entry.stash_rev].stdout).read_text(encoding="utf-8")
                yield _result(entry.name, str(done.ref_info), TRAINED.search(log))


def _result(name: str, commit: str, trained: re.Match[str] | None) -> Result:
    params = parse_yaml(read(PARAMS_FILE, commit), PARAMS_FILE)
    summary = json.loads(read("metrics/train.json", commit))
    history = list(csv.DictReader(read("plots/history.csv", commit).splitlines()))
    if "val_accuracy" not in summary:
        raise PipelineError(f"experiment {name} has no validation images, by which {PAGE} judges")
    best = min(history, key=lambda row: float(row["val_loss"]))
    return Result(
        experiment=name,
        seed=params["seed"],
        params=_hash_params(params),
        code=_hash_code(read("dvc.lock", commit)),
        machine=_machine(),
        val_accuracy=summary["val_accuracy"],
        test_accuracy=json.loads(read("metrics/evaluate.json", commit))["test"]["accuracy"],
        epochs=summary["epochs"],
        best_epoch=int(best["epoch"]),
        parameters=summary["parameters"],
        seconds=float(trained[1]) if trained else None,
        processor_seconds=float(trained[2]) if trained else None,
    )


def _machine() -> str:
    machine = environment.describe()
    packages = machine["packages"]
    return (
        f"{machine['cores']} cores of an {machine['processor']}, Python {machine['python']}, "
        f"TensorFlow {packages['tensorflow']}, Keras {packages['keras']}"
    )


def _hash_params(params: dict[str, Any]) -> str:
    source = params["data"]["source"]
    drawn = params["data"]["synthetic"] if source == "synthetic" else None
    return _hash([source, drawn, *(params[name] for name in ("preprocess", "model", "train"))])


def _hash_code(lock: str) -> str:
    deps = parse_yaml(lock, "dvc.lock")["stages"]["train"]["deps"]
    return _hash([[dep["path"], dep["md5"]] for dep in deps if not dep["path"].startswith("data/")])


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _of_row(row: Row, results: dict[str, Result]) -> list[Result]:
    """Return the results of a row, by seed.

    Raises:
        PipelineError: one is missing, or is of other parameters.
    """
    expected = _hash_params(row.params())
    for seed, name in enumerate(row.names()):
        if name not in results:
            raise PipelineError(f"there is no experiment {name}; to queue it: {row.command()}")
        if (results[name].params, results[name].seed) != (expected, seed):
            raise PipelineError(
                f"experiment {name} was run with other parameters; to queue it anew, "
                f"`dvc exp remove` it first: {row.command()}"
            )
    return [results[name] for name in row.names()]


def _introduction(results: list[Result]) -> str:
    machines = "; ".join(sorted({result.machine for result in results}))
    code = _hash_code(read("dvc.lock", None))
    older = sorted(
        {result.experiment.rpartition("-")[0] for result in results if result.code != code}
    )
    note = (
        f"\nRecorded with earlier code of the stage `train`: {', '.join(older)}.\n" if older else ""
    )
    return f"""# Results

Written by `python -m pipeline results` from recorded experiments, listed one by one in
[{TABLE}]({TABLE}). All choices were made by validation accuracy; test accuracy, on the 10,000 test
images of Fashion-MNIST, is only reported. Values are means over the seeds from 0 on, with the
standard deviation over the seeds after the sign ±.

Seconds are those of training alone, compilation included, as medians over the seeds: on the clock,
with other work going on beside it, and of processor time, over all cores. Machine: {machines}.
{note}
The commands under a table queue its experiments and leave the preset in `params.yaml`;
`dvc queue start` runs them. Once they have run, `python -m pipeline compare --seeds neurons-128-0
neurons-512-0` tells two rows apart.
"""


def _frontier(groups: list[Group]) -> list[Group]:
    """Return those that no other beats in validation accuracy with less time, the fastest first."""
    frontier: list[Group] = []
    timed = [group for group in groups if group.processor_seconds is not None]
    for group in sorted(timed, key=lambda group: group.processor_seconds or 0.0):
        if not frontier or group.val_accuracy > frontier[-1].val_accuracy:
            frontier.append(group)
    return frontier


def _table(groups: Iterable[Group]) -> str:
    rows = [group.cells() for group in groups]
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
