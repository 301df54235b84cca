"""What a search file says: which parameters to search, where, and how."""

import copy
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE, Section, check_params, load_yaml
from pipeline.experiments import presets
from pipeline.experiments.dvc_files import validate
from pipeline.training.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from optuna import Trial

# What `evaluate` measures on the validation set, and where to it gets better.
METRICS: dict[str, Literal["maximize", "minimize"]] = {
    "validation.accuracy": "maximize",
    "validation.balanced_accuracy": "maximize",
    "validation.top_2_accuracy": "maximize",
    "validation.macro_f1": "maximize",
    "validation.loss": "minimize",
    "validation.expected_calibration_error": "minimize",
}


class _Range(Section):
    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"high is {self.high}; it has to be above low, {self.low}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low is {self.low}; scale log needs a number above 0")
        return self

    def ends(self) -> list[Any]:
        """Return both bounds, which belong to the range."""
        return [self.low, self.high]


class IntRange(_Range):
    """Whole numbers."""

    type: Literal["int"]
    low: int
    high: int

    def suggest(self, trial: "Trial", name: str) -> None:
        """Let `trial` propose a value."""
        trial.suggest_int(name, self.low, self.high, log=self.scale == "log")


class FloatRange(_Range):
    """Numbers."""

    type: Literal["float"]

    def suggest(self, trial: "Trial", name: str) -> None:
        """Let `trial` propose a value."""
        trial.suggest_float(name, self.low, self.high, log=self.scale == "log")


class Choice(Section):
    """Any of some values; with a single one, a parameter is set and not searched."""

    type: Literal["choice"]
    choices: list[JsonValue] = Field(min_length=1)

    def ends(self) -> list[Any]:
        """Return all values."""
        return self.choices

    def suggest(self, trial: "Trial", name: str) -> None:
        """Let `trial` propose a value, as JSON: Optuna has no lists."""
        trial.suggest_categorical(name, self.texts())

    def texts(self) -> list[str]:
        """Return the values as JSON."""
        return [json.dumps(choice) for choice in self.choices]


Range = Annotated[IntRange | FloatRange | Choice, Field(discriminator="type")]
Space = Annotated[dict[str, Range], Field(min_length=1)]  # by the dotted names of parameters


class Pruning(Section):
    """Successive halving: the best of a batch by a short training go on to a longer one.

    Source: Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter
    Optimization, 2016.

    Attributes:
        epochs: of the short trainings, each a plain experiment. The last is in full.
        reduction_factor: one in so many goes on.
    """

    epochs: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    reduction_factor: int = Field(ge=2)


class Search(Section):
    """A search file.

    Attributes:
        sampler: what proposes the trials, by Optuna's names.
        trials: how many; a multiple of `batch`.
        batch: how many are proposed at once, each knowing nothing of the others' results.
        seed: of the sampler.
        metric: by which trials are judged.
        pruning: None for none.
        confirmation_seeds: how many other seeds the best trial is run under at the end.
        space: what is searched, by preset.
    """

    sampler: Literal["tpe", "random", "grid", "cma-es"]
    trials: int = Field(ge=1, le=100_000)
    batch: int = Field(ge=1, le=10_000)
    seed: int = Field(ge=0, lt=2**32)
    metric: str = "validation.accuracy"
    pruning: Pruning | None = None
    confirmation_seeds: int = Field(ge=2, le=1_000)
    space: dict[str, Space] = Field(min_length=1)

    @field_validator("metric")
    @classmethod
    def _metric_is_not_for_the_last_word(cls, metric: str) -> str:
        if metric.startswith("test."):
            raise ValueError(
                f"{metric} is no measure for choosing: the best of many trials by test images is "
                "lucky on them, and they could not say how good it is; take validation.accuracy"
            )
        if metric not in METRICS:
            raise ValueError(f"{metric} is not a metric; allowed are {', '.join(METRICS)}")
        return metric

    @model_validator(mode="after")
    def _sampler_can_do_it(self) -> Self:
        if self.trials % self.batch:
            raise ValueError(
                f"trials is {self.trials}; it has to be a multiple of batch, {self.batch}"
            )
        ranges = [found for space in self.space.values() for found in space.values()]
        if self.sampler in ("grid", "cma-es") and len(self.space) > 1:
            raise ValueError(f"{self.sampler} searches one preset; tpe and random search several")
        if self.sampler == "grid":
            if any(not isinstance(found, Choice) for found in ranges):
                raise ValueError("grid takes choices alone; list the values of each range")
            points = math.prod(len(found.ends()) for found in ranges)
            if self.trials > points:
                raise ValueError(f"trials is {self.trials}, but the grid has {points} points")
        if self.sampler == "cma-es" and (
            len(ranges) < 2 or any(isinstance(found, Choice) for found in ranges)
        ):
            raise ValueError("cma-es takes ranges of numbers alone, at least two")
        return self

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Where to the metric gets better."""
        return METRICS[self.metric]

    def key(self, preset: str, name: str) -> str:
        """Return what Optuna calls a parameter."""
        return name if len(self.space) == 1 else f"{preset}: {name}"

    def suggest(self, trial: "Trial") -> None:
        """Let `trial` propose a preset, where there are several, and values for its parameters."""
        preset, *others = self.space
        if others:
            preset = trial.suggest_categorical("preset", [preset, *others])
        for name, found in self.space[preset].items():
            found.suggest(trial, self.key(preset, name))

    def chosen(self, proposed: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the preset, and the values of its parameters, of what `suggest` proposed."""
        preset = proposed.get("preset", next(iter(self.space)))
        values = {}
        for name, found in self.space[preset].items():
            value = proposed[self.key(preset, name)]
            values[name] = json.loads(value) if isinstance(found, Choice) else value
        return preset, values


def load(path: Path) -> Search:
    """Return what a search file says.

    Raises:
        PipelineError: it is not as it should be, or a range holds what its parameter may not be.
    """
    search = validate(Search, load_yaml(str(path)), str(path))
    for preset, space in search.space.items():
        try:
            _check(preset, space, search.pruning)
        except PipelineError as error:
            fault = str(error).splitlines()[0].removeprefix(f"{PARAMS_FILE}: ")
            raise PipelineError(f"{path}: space.{preset}: {fault}") from None
    return search


def _check(name: str, space: Space, pruning: Pruning | None) -> None:
    """Check each value of each range, beside the first values of the others."""
    preset = presets.find(name)
    for parameter in space:
        if not parameter.startswith(tuple(f"{section}." for section in presets.SECTIONS)):
            raise PipelineError(
                f"{parameter} is not for a search; it may set what is in "
                f"{' and '.join(presets.SECTIONS)}, on the same data under the same seed"
            )
    ranges = dict(space)
    if pruning:
        full = space["train.epochs"].ends() if "train.epochs" in space else [preset.train["epochs"]]
        if len(full) > 1:
            raise PipelineError("pruning sets train.epochs; give it one value, or none")
        ranges["train.epochs"] = Choice(type="choice", choices=[*pruning.epochs, *full])
    first = {parameter: found.ends()[0] for parameter, found in ranges.items()}
    for parameter, found in ranges.items():
        for value in found.ends():
            if isinstance(value, dict):
                raise PipelineError(f"{parameter} is a section; search its parameters one by one")
            point = {"seed": 0, "model": copy.deepcopy(preset.model)}
            point["train"] = copy.deepcopy(preset.train)
            for key, chosen in (first | {parameter: value}).items():
                presets.set_value(point, key, chosen)
            check_params(Hyperparameters, point)
    if pruning and (rungs := ranges["train.epochs"].ends()) != sorted(set(rungs)):
        raise PipelineError(
            f"pruning.epochs is {pruning.epochs}; each has to be above the one before, "
            f"and the last below the {rungs[-1]} epochs in full"
        )
