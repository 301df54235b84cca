"""The recorded results: what each experiment gave, and the tables that keep it."""

import csv
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import TypeAdapter

from pipeline.core.artifacts import write_csv
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE, flat, parse_yaml
from pipeline.core.reading import reading
from pipeline.experiments import environment
from pipeline.experiments.code_hash import Reader, code_hash, short_hash
from pipeline.experiments.dvc_files import LOCK, Record, hashes, parse_lock
from pipeline.experiments.results.rows import ResultsSection
from pipeline.experiments.trials.trial import TRAINED

TABLE = Path("results.csv")
PAGE = Path("RESULTS.md")  # which is written from it
HISTORY_TABLE = Path("results-history.csv")  # the epochs of its experiments
TRAINED_BY = ("preprocess", "model", "train")  # the sections that decide on a model, with the data


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
        operations: how many multiplications and additions training took, where it is known.
        unit: what plain Keras took for the default recipe on that machine, in seconds, just before
            and after, where it was measured.
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
    operations: int | None = None
    unit: float | None = None
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
            params=hash_params(params, read),
            code=train_code(read),
            model=hashes(_record("train", read).outs)["models/model.keras"],
            machine=machine or environment.summary(),
            validation_accuracy=evaluated["validation"]["accuracy"],
            test_accuracy=evaluated["test"]["accuracy"],
            epochs=trained["epochs"],
            best_epoch=min(history, key=lambda epoch: epoch.val_loss).epoch,
            parameters=trained["parameters"],
            seconds=float(times[1]) if times else None,
            processor_seconds=float(times[2]) if times else None,
            load=float(times[3]) if times and times[3] else None,
            operations=trained.get("operations"),
            history=history,
        )

    def differences(self, other: Self) -> list[str]:
        """Name the figures in which another run of the same experiment differs, timings aside."""
        aside = {"code", "machine", "seconds", "processor_seconds", "load", "unit", "history"}
        aside |= {name for name in ("model", "operations") if getattr(self, name) is None}
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


def save_table(sections: list[ResultsSection], table: Table) -> None:
    """Write what there is of the rows, and nothing else."""
    wanted = (name for section in sections for row in section.rows for name in row.names())
    rows = [table[name] for name in wanted if name in table]
    # The epochs first: a row that is recorded without them would count as complete.
    epochs = [asdict(epoch).values() for row in rows for epoch in row.history]
    write_csv(HISTORY_TABLE, HISTORY_COLUMNS, [list(values) for values in epochs])
    write_csv(TABLE, COLUMNS, [[getattr(row, name) for name in COLUMNS] for row in rows])


def _load(path: Path, rows: TypeAdapter[list[Loaded]]) -> list[Loaded]:
    """Return the rows of a table; none where there is no such file yet."""
    if not path.exists():
        return []
    with reading(path, str(path)) as file:
        lines = csv.DictReader(file.read().decode().splitlines())
        return rows.validate_python([{k: v or None for k, v in line.items()} for line in lines])


def train_code(read: Reader) -> str:
    """Return a hash of what trains: code and library versions."""
    paths = [file.path for file in _record("train", read).deps]
    return code_hash([path for path in paths if not path.startswith("data/")], read)


def hash_params(params: dict[str, Any], read: Reader) -> str:
    """Return a hash of what is trained on what, the seed aside.

    Of data of your own, the files count too, as `dvc.lock` records them.

    What is empty, false or "cpu" does not count: a parameter that a later version adds leaves the
    rows as they are.
    """
    data = params["data"]
    parts = {"source": data["source"], **{name: params[name] for name in TRAINED_BY}}
    if data["source"] in data:  # the synthetic images, or the folder
        parts[data["source"]] = data[data["source"]]
    if data["source"] == "folder":
        parts["files"] = hashes(_record("download", read).deps)["data/own"]
    counted = {
        name: value
        for name, value in flat(parts).items()
        if value is not None and value is not False and value != "cpu"
    }
    return short_hash(counted)


def _record(stage: str, read: Reader) -> Record:
    lock = parse_lock(read(LOCK))
    if stage not in lock:
        raise PipelineError(f"{LOCK} records no run of the stage {stage}; run `dvc repro`")
    return lock[stage]
