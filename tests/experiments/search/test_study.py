"""What is proposed: a function of the search and of what the batches before have given."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from pipeline.experiments.search.space import Search
from pipeline.experiments.search.study import propose
from tests.search_project import SEARCH

RATE = {"type": "float", "low": 0.0003, "high": 0.03, "scale": "log"}
UNITS = {"type": "choice", "choices": [[64], [128], [256, 128]]}
SHIFT = {"type": "int", "low": 0, "high": 9}
NUMBERS = {"mlp": {"train.learning_rate": RATE, "train.augmentation.shift": SHIFT}}
GRID = {
    "mlp": {"model.hidden_units": UNITS, "model.dropout": {"type": "choice", "choices": [0, 0.1]}}
}
SEVERAL = {"mlp": SEARCH["space"]["mlp"], "cnn": {"train.learning_rate": RATE}}
SEARCHES = [("tpe", SEARCH["space"]), ("tpe", SEVERAL), ("random", NUMBERS), ("cma-es", NUMBERS)]


def described(**changes: Any) -> Search:
    return Search.model_validate(SEARCH | {"trials": 24, "batch": 6} | changes)


def tell(study: optuna.Study, trial: FrozenTrial) -> None:
    """One in five fails; the others have a value for what they are."""
    if trial.number % 5 == 1:
        study.tell(trial.number, state=TrialState.FAIL)
    else:
        rate = next(value for name, value in trial.params.items() if "rate" in name)
        study.tell(trial.number, -abs(rate - 0.002))


def proposals(description: Search, storage: str | None = None) -> list[dict[str, Any]]:
    """All trials of a search, its record opened anew for each batch where it is on disk."""
    study = optuna.create_study(direction="maximize", storage=storage, study_name="s")
    while len(study.trials) < description.trials:
        if storage:
            study = optuna.load_study(storage=storage, study_name="s")
        told: Sequence[FrozenTrial] = study.trials
        study.add_trials(propose(description, told))
        for trial in study.trials[len(told) :]:
            tell(study, trial)
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize(("sampler", "space"), SEARCHES)
@pytest.mark.filterwarnings("error")
def test_trials_are_the_same_after_every_stop(
    tmp_path: Path, sampler: str, space: dict[str, Any]
) -> None:
    description = described(sampler=sampler, space=space)
    proposed = proposals(description)
    assert proposals(description, f"sqlite:///{tmp_path}/studies.db") == proposed
    assert proposals(described(sampler=sampler, space=space, seed=1)) != proposed
    assert proposals(described(sampler=sampler, space=space, trials=12)) == proposed[:12]
    assert len({str(trial) for trial in proposed}) > 20
    for trial in proposed:
        preset, values = description.chosen(trial)
        assert values.keys() == space[preset].keys()
        assert 0.0003 <= values["train.learning_rate"] <= 0.03
        assert len(f"{values['train.learning_rate']:.15g}".lstrip("0.")) <= 4
    assert {description.chosen(trial)[0] for trial in proposed} == set(space)


@pytest.mark.parametrize("sampler", ["tpe", "cma-es"])
def test_a_sampler_learns(sampler: str) -> None:
    """Its later trials are nearer to the best learning rate, 0.002, than those of chance."""

    def last(sampler: str) -> float:
        found = proposals(described(sampler=sampler, trials=96, space=NUMBERS))[-12:]
        return float(sum(abs(trial["train.learning_rate"] - 0.002) for trial in found))

    assert last(sampler) < 0.3 * last("random")


def test_a_grid_is_gone_through_once() -> None:
    description = described(sampler="grid", space=GRID, trials=6, batch=2)
    study = optuna.create_study()
    for _ in range(3):
        study.add_trials(propose(description, study.trials))
        for trial in study.trials[-2:]:
            study.tell(trial.number, 0.5)
    found = [description.chosen(trial.params)[1] for trial in study.trials]
    assert sorted(map(str, found)) == sorted(
        str({"model.hidden_units": units, "model.dropout": dropout})
        for units in ([64], [128], [256, 128])
        for dropout in (0, 0.1)
    )
