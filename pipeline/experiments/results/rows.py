"""The rows and sections of the published results, as `results.yaml` asks for them."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE, load_yaml
from pipeline.experiments import presets
from pipeline.experiments.dvc_files import validate
from pipeline.experiments.trials.trial import Trial

ROWS = "results.yaml"


@dataclass(frozen=True)
class Row:
    """What `results.yaml` says of a row: a preset, what is set beside it, and how many seeds."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    preset: str
    set: list[str]
    seeds: Annotated[int, Field(ge=1, strict=True)]

    def names(self) -> list[str]:
        """Return the names of its experiments, seed by seed."""
        return [f"{self.name}-{seed}" for seed in range(self.seeds)]

    def trials(self) -> list[Trial]:
        """Return what to run, seed by seed."""
        settings = [*presets.find(self.preset).settings(), *self.set]
        names = enumerate(self.names())
        return [Trial(name, (*settings, f"seed={seed}")) for seed, name in names]

    def command(self) -> str:
        """Return what runs the experiments of the row."""
        settings = "".join(f" -S {shlex.quote(setting)}" for setting in self.set)
        return (
            f"python -m pipeline seeds {self.seeds} --preset {self.preset} "
            f"--name {self.name}{settings} --run"
        )

    def params(self) -> dict[str, Any]:
        """Return the parameters of its experiments, except the seed."""
        params: dict[str, Any] = load_yaml(PARAMS_FILE)
        try:
            return presets.with_settings(params, self.preset, self.set)
        except PipelineError as error:
            raise PipelineError(f"{ROWS}: row {self.name}: {error}") from None


@dataclass(frozen=True)
class ResultsSection:
    """What `results.yaml` says of a section of the page: rows, and what they are about.

    Attributes:
        reference: the row, of any section, that the rows are compared with.
        chart: what kind of picture shows them; None for no picture.
        beside: rows of other sections that the picture shows as well, besides the reference.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    about: str
    reference: str
    rows: Annotated[list[Row], Field(min_length=1)]
    chart: Literal["points", "curves", "heat map"] | None = None
    beside: list[str] = field(default_factory=list)


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sections: Annotated[list[ResultsSection], Field(min_length=1)]


def load_sections() -> list[ResultsSection]:
    """Return what the page is to have.

    Raises:
        PipelineError: `results.yaml` does not say it as it should.
    """
    sections = validate(_Page, load_yaml(ROWS), ROWS).sections
    names = [row.name for section in sections for row in section.rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PipelineError(f"{ROWS}: {', '.join(twice)}: the name of several rows")
    for section in sections:
        for name in (section.reference, *section.beside):
            if name not in names:
                raise PipelineError(
                    f"{ROWS}: section {section.title}: {name} is not a row; "
                    f"there are {', '.join(sorted(names))}"
                )
    return sections


def how_to_get(experiment: str) -> str:
    """Say, after a semicolon, how to get a row's experiment; nothing of any other name."""
    if not Path(ROWS).is_file():
        return ""
    rows = [row for section in load_sections() for row in section.rows]
    for row in rows:
        if experiment in row.names():
            return (
                f"; it is made by `{row.command()}`, or fetched by "
                f"`dvc exp pull REMOTE {experiment}` from where somebody has pushed it"
            )
    return ""
