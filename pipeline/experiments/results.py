"""The published results: what `results.yaml` asks for, and what was recorded of it."""

import csv
import json
import re
import shlex
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, TypeAdapter

from pipeline.core.artifacts import write_csv, write_json
from pipeline.core.errors import PipelineError
from pipeline.core.params import PARAMS_FILE, load_yaml, parse_yaml
from pipeline.core.reading import reading
from pipeline.experiments import environment, presets
from pipeline.experiments.code_hash import Reader, code_hash, short_hash
from pipeline.experiments.copies import checkout, data_in_reach
from pipeline.experiments.dvc_files import LOCK, Record, hashes, parse_lock, validate
from pipeline.experiments.revisions import read, resolve
from pipeline.experiments.subprocesses import call
from pipeline.experiments.trials import Outcome, Trial
from pipeline.experiments.workspace import open_repo

ROWS = "results.yaml"
TABLE = Path("results.csv")
RUN = "`python -m pipeline results --run` runs it"
HISTORY_TABLE = Path("results-history.csv")  # the epochs of its experiments
TRAINED_BY = ("preprocess", "model", "train")  # the sections that decide on a model, with the data
# What the stage `train` prints; a clock is never part of what it writes.
TRAINED = re.compile(
    r"^trained in ([\d.]+) s, ([\d.]+) s of processor time(?:, load ([\d.]+))?", re.MULTILINE
)


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

    def trials(self) -> list[Trial]:
        """Return what to run, seed by seed."""
        settings = [*presets.find(self.preset).settings(), *self.set]
        names = enumerate(self.names())
        return [Trial(name, (*settings, f"seed={seed}")) for seed, name in names]

    def command(self) -> str:
        """Return what queues the experiments of the row."""
        settings = "".join(f" -S {shlex.quote(setting)}" for setting in self.set)
        return (
            f"python -m pipeline seeds {self.seeds} --preset {self.preset} "
            f"--name {self.name}{settings}"
        )

    def params(self) -> dict[str, Any]:
        """Return the parameters of its experiments, except the seed."""
        params: dict[str, Any] = load_yaml(PARAMS_FILE)
        try:
            return presets.with_settings(params, self.preset, self.set)
        except PipelineError as error:
            raise PipelineError(f"{ROWS}: row {self.name}: {error}") from None


@dataclass(frozen=True)
class Section:
    """What `results.yaml` says of a section of the page: rows, and what they are about.

    Attributes:
        reference: the row, of any section, that the rows are compared with.
        chart: what kind of picture shows them; None for no picture.
        beside: rows of other sections that the picture shows as well, besides the reference.
    """

    title: str
    about: str
    reference: str
    rows: Annotated[list[Row], Field(min_length=1)]
    chart: Literal["points", "curves", "heat map"] | None = None
    beside: list[str] = field(default_factory=list)


class _Page(BaseModel):
    sections: Annotated[list[Section], Field(min_length=1)]


@dataclass(frozen=True)
class Epoch:
    """What one epoch of an experiment gave, as `plots/history.csv` has it."""

    experiment: str
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class Result:
    """What one experiment gave.

    Attributes:
        params: a hash of what is trained on what, the seed aside.
        code: a hash of the code that trained it.
        model: the MD5 of the model, as `dvc.lock` records it; None in rows recorded before this
            was stored.
        best_epoch: the one of the lowest validation loss.
        parameters: how many weights the model has.
        seconds: what training took by the clock; None where DVC had the model from before.
        processor_seconds: the same over all cores.
        load: the machine's load average over the last minute of training, where it is known.
        history: what each epoch gave; empty in rows recorded before this was stored.
    """

    experiment: str
    seed: int
    params: str
    code: str
    model: str | None
    machine: str
    validation_accuracy: float
    test_accuracy: float
    epochs: int
    best_epoch: int
    parameters: int
    seconds: float | None
    processor_seconds: float | None
    load: float | None
    history: tuple[Epoch, ...] = ()

    @classmethod
    def of(cls, name: str, read: Reader, log: str = "", machine: str = "") -> Self:
        """Return what an experiment gave, by its files and by what it printed, here or elsewhere.

        Raises:
            PipelineError: it has no validation images.
        """
        params = parse_yaml(read(PARAMS_FILE), PARAMS_FILE)
        evaluated = json.loads(read("metrics/evaluate.json"))
        trained = json.loads(read("metrics/train.json"))
        if "validation" not in evaluated:
            raise PipelineError(f"experiment {name} has no validation images to judge it by")
        rows = csv.DictReader(read("plots/history.csv").splitlines())
        epochs = [row | {"experiment": name} for row in rows]
        history = TypeAdapter(tuple[Epoch, ...]).validate_python(epochs)
        times = TRAINED.search(log)
        return cls(
            experiment=name,
            seed=params["seed"],
            params=hash_params(params),
            code=train_code(read),
            model=hashes(_train_record(read).outs)["models/model.keras"],
            machine=machine or environment.summary(),
            validation_accuracy=evaluated["validation"]["accuracy"],
            test_accuracy=evaluated["test"]["accuracy"],
            epochs=trained["epochs"],
            best_epoch=min(history, key=lambda epoch: epoch.val_loss).epoch,
            parameters=trained["parameters"],
            seconds=float(times[1]) if times else None,
            processor_seconds=float(times[2]) if times else None,
            load=float(times[3]) if times and times[3] else None,
            history=history,
        )

    def differences(self, other: Self) -> list[str]:
        """Name the figures in which another run of the same experiment differs, timings aside."""
        aside = {"code", "machine", "seconds", "processor_seconds", "load", "history"}
        aside |= {"model"} if self.model is None else set()
        mine, others = asdict(self), asdict(other)
        return [
            f"{name} {mine[name]}, now {others[name]}"
            for name in mine
            if name not in aside and mine[name] != others[name]
        ]


Table = dict[str, Result]  # by experiment
Loaded = TypeVar("Loaded", Epoch, Result)
COLUMNS = [column.name for column in fields(Result) if column.name != "history"]
HISTORY_COLUMNS = [column.name for column in fields(Epoch)]


def load_sections() -> list[Section]:
    """Return what the page is to have.

    Raises:
        PipelineError: `results.yaml` does not say it as it should.
    """
    sections = validate(_Page, load_yaml(ROWS), ROWS).sections
    names = {row.name for section in sections for row in section.rows}
    for section in sections:
        for name in (section.reference, *section.beside):
            if name not in names:
                raise PipelineError(
                    f"{ROWS}: section {section.title}: {name} is not a row; "
                    f"there are {', '.join(sorted(names))}"
                )
    return sections


def load_table() -> Table:
    """Return the recorded results.

    Raises:
        PipelineError: a table is not one that `save_table` writes.
    """
    histories: dict[str, tuple[Epoch, ...]] = {}
    for epoch in _load(HISTORY_TABLE, TypeAdapter(list[Epoch])):
        histories[epoch.experiment] = (*histories.get(epoch.experiment, ()), epoch)
    return {
        result.experiment: replace(result, history=histories.get(result.experiment, ()))
        for result in _load(TABLE, TypeAdapter(list[Result]))
    }


def save_table(sections: list[Section], table: Table) -> None:
    """Write what there is of the rows, and nothing else."""
    wanted = (name for section in sections for row in section.rows for name in row.names())
    rows = [table[name] for name in wanted if name in table]
    write_csv(TABLE, COLUMNS, [[getattr(row, name) for name in COLUMNS] for row in rows])
    epochs = [asdict(epoch).values() for row in rows for epoch in row.history]
    write_csv(HISTORY_TABLE, HISTORY_COLUMNS, [list(values) for values in epochs])


def _load(path: Path, rows: TypeAdapter[list[Loaded]]) -> list[Loaded]:
    """Return the rows of a table; none where there is no such file yet."""
    if not path.exists():
        return []
    with reading(path, str(path)) as file:
        lines = csv.DictReader(file.read().decode().splitlines())
        return rows.validate_python([{k: v or None for k, v in line.items()} for line in lines])


def add_finished(sections: list[Section], table: Table) -> None:
    """Add what DVC's queue has run here to the table."""
    wanted = {name for section in sections for row in section.rows for name in row.names()}
    with open_repo() as repo:
        queue = repo.experiments.celery_queue
        for entry, done in queue.iter_success():
            if entry.name not in wanted or done is None:
                continue
            log = Path(queue.proc[entry.stash_rev].stdout).read_text(encoding="utf-8")
            result = Result.of(entry.name, partial(read, commit=str(done.ref_info)), log)
            known = table.get(entry.name)
            if known is None or replace(known, machine=result.machine) != result:  # else the same
                table[entry.name] = result


def due(sections: list[Section], table: Table) -> list[Trial]:
    """Return what is not recorded yet, or with other parameters or code than the last commit's."""
    code = train_code(partial(read, commit="HEAD"))
    trials = []
    for row in (row for section in sections for row in section.rows):
        params = hash_params(row.params())
        for seed, trial in enumerate(row.trials()):
            known = table.get(trial.name)
            if known is None or (known.params, known.seed, known.code) != (params, seed, code):
                trials.append(trial)
    return trials


def add(outcome: Outcome, table: Table) -> None:
    """Add what a trial gave to the table."""
    name, files = outcome.trial.name, partial(read, commit=outcome.commit)
    table[name] = Result.of(name, files, outcome.log, outcome.machine)


def check(row: Row, table: Table) -> list[str]:
    """Run seed 0 of a row again, by the last commit, and update the row if it agrees.

    Returns:
        The figures that differ, other than timings; none where the row was updated: it then
        counts as recorded with the code of that commit.
    """
    recorded = of(row, table)
    with checkout(resolve("HEAD")) as folder:
        write_json(folder / PARAMS_FILE, row.params() | {"seed": recorded[0].seed})  # it is YAML
        command = [sys.executable, "-m", "dvc", "repro", "evaluate"]
        if call(command, folder, data_in_reach()):
            raise PipelineError(f"{recorded[0].experiment} fails with the code of the last commit")
        again = Result.of(recorded[0].experiment, lambda path: (folder / path).read_text("utf-8"))
    differences = recorded[0].differences(again)
    if not differences:
        for result in recorded:
            table[result.experiment] = replace(result, code=again.code)
        first = table[again.experiment]
        table[again.experiment] = replace(first, model=again.model, history=again.history)
    return differences


def of(row: Row, table: Table) -> list[Result]:
    """Return the results of a row, by seed.

    Raises:
        PipelineError: one is missing, or is of other parameters.
    """
    expected = hash_params(row.params())
    for seed, name in enumerate(row.names()):
        if name not in table:
            raise PipelineError(f"{name} is not recorded; {RUN}")
        if (table[name].params, table[name].seed) != (expected, seed):
            raise PipelineError(
                f"experiment {name} was run with other parameters; `dvc exp remove` it, then {RUN}"
            )
    return [table[name] for name in row.names()]


def how_to_get(experiment: str) -> str:
    """Say, after a semicolon, how to get a row's experiment; nothing of any other name."""
    if not Path(ROWS).is_file():
        return ""
    rows = [row for section in load_sections() for row in section.rows]
    for row in rows:
        if experiment in row.names():
            return (
                f"; it is made by `{row.command()}` and `dvc queue start`, or fetched by "
                f"`dvc exp pull REMOTE {experiment}` from where somebody has pushed it"
            )
    return ""


def train_code(read: Reader) -> str:
    """Return a hash of what trains: code and library versions."""
    paths = [file.path for file in _train_record(read).deps]
    return code_hash([path for path in paths if not path.startswith("data/")], read)


def hash_params(params: dict[str, Any]) -> str:
    """Return a hash of what is trained on what, the seed aside.

    Empty parameters do not count: one that a later version adds leaves the rows as they are.
    """
    data = params["data"]
    parts = {"source": data["source"], **{name: params[name] for name in TRAINED_BY}}
    if data["source"] in data:  # the synthetic images, or the folder
        parts[data["source"]] = data[data["source"]]
    return short_hash({name: v for name, v in presets.flat(parts).items() if v is not None})


def _train_record(read: Reader) -> Record:
    lock = parse_lock(read(LOCK))
    if "train" not in lock:
        raise PipelineError(f"{LOCK} records no run of the stage train; run `dvc repro`")
    return lock["train"]
