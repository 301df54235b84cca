"""What training and evaluation wrote about a run, read and checked for the report."""

import csv
import io
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, FiniteFloat

from pipeline.core.errors import PipelineError
from pipeline.core.params_file import Section
from pipeline.core.reading import reading
from pipeline.data.dataset import Source, read_files

METRICS, TRAINING = Path("metrics/evaluate.json"), Path("metrics/train.json")
SUMMARY = Path("models/summary.json")
HISTORY, CALIBRATION = Path("plots/history.csv"), Path("plots/calibration.csv")

Share = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(ge=0, le=1e30)]  # a number that can be drawn
Count = Annotated[int, Field(ge=1, le=10**12)]


class _Scores(Section):
    accuracy: Share
    loss: Loss


class _MoreScores(_Scores):
    # A metric that somebody adds is no fault; the page shows it once its template does.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FiniteFloat]

    accuracy_low: Share
    accuracy_high: Share
    top_2_accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share
    expected_calibration_error: Share


class _Metrics(Section):
    source: Source
    test: _MoreScores
    validation: _MoreScores | None = None
    train: _Scores
    generalization_gap: float = Field(ge=-1, le=1)


class _Training(Section):
    source: Source
    epochs: Count
    kept_epoch: Count
    parameters: Count
    operations: int = Field(ge=1, le=10**24)
    running_accuracy: Share
    running_loss: Loss
    val_accuracy: Share | None = None
    val_loss: Loss | None = None


class _Layer(Section):
    name: str
    kind: str
    output_shape: tuple[Count, ...]
    weights: int = Field(ge=0, le=10**12)


class _Summary(Section):
    ending: str
    layers: tuple[_Layer, ...]


class _Epoch(Section):
    epoch: Count
    accuracy: Share
    loss: Loss
    val_accuracy: Share | Literal[""]
    val_loss: Loss | Literal[""]
    learning_rate: Loss


class _Bin(Section):
    low: Share
    high: Share
    images: Count
    confidence: Share
    accuracy: Share


def read(images: int) -> dict[str, Any]:
    """Return the results of a run with so many test images.

    Returns:
        The mappings `metrics` and `training`, the rows of `history` and `calibration`, whose values
        are text, why training ended (`ending`), the `layers` of the model, and the `files` of the
        test images, by row, where they are from files.

    Raises:
        PipelineError: a file is missing or is not what its stage writes, or two do not fit.
    """
    metrics, training = _mapping(METRICS, _Metrics), _mapping(TRAINING, _Training)
    history, calibration = load_history(HISTORY), _table(CALIBRATION, _Bin)
    if len(history) != training["epochs"]:
        raise PipelineError(f"{HISTORY} is about other epochs than {TRAINING}; run `dvc repro`")
    if sum(int(row["images"]) for row in calibration) != images:
        raise PipelineError(f"{CALIBRATION} is not about {images} images; run `dvc repro`")
    return {
        "metrics": metrics,
        "training": training,
        "history": history,
        "calibration": calibration,
        "files": {row: path for (name, row), path in read_files().items() if name == "test"},
        **_mapping(SUMMARY, _Summary),
    }


def load_history(path: Path, name: str = "") -> list[dict[str, str]]:
    """Return the rows of a `plots/history.csv`, whose values are text; errors call it `name`."""
    return _table(path, _Epoch, name)


def _mapping(path: Path, schema: type[Section]) -> dict[str, Any]:
    with reading(path) as file:
        return schema.model_validate_json(file.read()).model_dump()


def _table(path: Path, schema: type[Section], name: str = "") -> list[dict[str, str]]:
    with reading(path, name) as file:
        lines = csv.DictReader(io.StringIO(file.read().decode(), newline=""), strict=True)
        checked = [schema.model_validate_strings(line) for line in lines]
        rows = [{name: str(value) for name, value in row} for row in checked]
        if len({tuple(map(bool, row.values())) for row in rows}) != 1:
            raise ValueError("it has no rows, or a column that is empty only in some")
        return rows
