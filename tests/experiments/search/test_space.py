"""Search files: what is taken, and the line that says what is wrong with one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.errors import PipelineError
from pipeline.experiments.search import space
from tests.project import ROOT
from tests.search_project import SEARCH

RATE = {"type": "float", "low": 0.001, "high": 0.1, "scale": "log"}
DROPOUT = {"type": "float", "low": 0.0, "high": 0.5}


@pytest.fixture(autouse=True)
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def load(folder: Path, changes: dict[str, Any]) -> space.Search:
    file = folder / "search.yaml"
    file.write_text(yaml.safe_dump(SEARCH | changes))
    return space.load(file)


@pytest.mark.parametrize("file", ["search.yaml", "searches/mlp.yaml", "searches/cnn.yaml"])
def test_the_search_files_here_are_right(file: str) -> None:
    assert space.load(Path(file)).metric == "validation.accuracy"


def mlp(**space: Any) -> dict[str, Any]:
    return {"space": {"mlp": {name.replace("__", "."): found for name, found in space.items()}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "gp"}, "sampler: input should be 'tpe', 'random', 'grid' or 'cma-es'"),
        ({"trails": 4}, "trails: extra inputs are not permitted"),
        ({"batch": 3}, "trials is 4; it has to be a multiple of batch, 3"),
        ({"metric": "validation.f1"}, "metric: validation.f1 is not a metric; allowed are valida"),
        ({"metric": "test.accuracy"}, "metric: test.accuracy is no measure for choosing: the best"),
        ({"space": {"lstm": {"train.epochs": RATE}}}, "space.lstm: 'lstm' is not a preset"),
        (mlp(train__rate=RATE), "space.mlp: train.rate is not a parameter"),
        (mlp(model__filters=RATE), "space.mlp: model.filters is not a parameter"),
        (mlp(seed=RATE), "space.mlp: seed is not for a search; it may set what is in model and tr"),
        (
            mlp(model__dropout=DROPOUT | {"high": 1.0}),
            "space.mlp: model.dropout is 1.0; input should be less than 1",
        ),
        (
            mlp(train__epochs=RATE),
            "space.mlp: train.epochs is 0.001; input should be a valid integer",
        ),
        (
            mlp(train__optimizer={"type": "choice", "choices": ["adam", "sgd"]}),
            "space.mlp: train.momentum is empty; sgd needs a number",
        ),
        (
            mlp(train__learning_rate=RATE | {"low": 0.0}),
            "space.mlp.train.learning_rate.float: low is 0.0; scale log needs a number above 0",
        ),
        (
            mlp(train__learning_rate=RATE | {"low": 0.1}),
            "space.mlp.train.learning_rate.float: high is 0.1; it has to be above low, 0.1",
        ),
        (
            {"pruning": {"epochs": [3, 2], "reduction_factor": 2}},
            "space.mlp: pruning.epochs is [3, 2]; each has to be above the one before, "
            "and the last below the 5 epochs in full",
        ),
        (
            {"pruning": {"epochs": [1], "reduction_factor": 2}}
            | mlp(train__warmup_epochs={"type": "int", "low": 0, "high": 1}),
            "space.mlp: train.warmup_epochs is 1; it must be below the 1 epochs that follow one sc",
        ),
        (
            {"pruning": {"epochs": [2], "reduction_factor": 2}}
            | mlp(train__epochs={"type": "int", "low": 3, "high": 9}),
            "space.mlp: pruning sets train.epochs; give it one value, or none",
        ),
        *(
            (
                {"pruning": {"epochs": [1], "reduction_factor": 2}}
                | mlp(train__epochs={"type": "choice", "choices": [epochs]}),
                f"space.mlp: train.epochs is {found}; input should be a valid integer",
            )
            for epochs, found in (("5", "'5'"), ([5], "[5]"), (None, "None"))
        ),
        (
            mlp(train__augmentation={"type": "choice", "choices": [{"shift": 1}]}),
            "space.mlp: train.augmentation is a section; search its parameters one by one",
        ),
        ({"sampler": "grid"}, "grid takes choices alone; list the values of each range"),
        (
            {"sampler": "grid"} | mlp(model__dropout={"type": "choice", "choices": [0.0, 0.1]}),
            "trials is 4, but the grid has 2 points",
        ),
        ({"sampler": "cma-es"}, "cma-es takes ranges of numbers alone, at least two"),
        (
            {"sampler": "cma-es", "space": SEARCH["space"] | {"cnn": {"model.dropout": DROPOUT}}},
            "cma-es searches one preset; tpe and random search several",
        ),
    ],
)
def test_a_file_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError) as error:
        load(tmp_path, changes)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'search.yaml'}: {message}")
