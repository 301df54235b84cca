"""Reading `dvc.yaml` and `dvc.lock`: what stages declare, and what is recorded of them."""

from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.core.errors import PipelineError
from pipeline.core.guard import Declaration
from pipeline.core.params_file import parse_yaml
from pipeline.core.reading import first_fault

DECLARATIONS = "dvc.yaml"
LOCK = "dvc.lock"

Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class File(_Strict):
    """What `dvc.lock` says of a file: its hash, and `size`, `hash`, and the like as they are."""

    model_config = ConfigDict(extra="allow")

    path: str
    md5: str


class Record(_Strict):
    """What `dvc.lock` says of the last run of a stage."""

    model_config = ConfigDict(extra="forbid")  # or `verify` would agree with what it does not read

    cmd: str
    deps: list[File] = []
    params: dict[str, dict[str, Any]] = {}
    outs: list[File] = []


class _Declarations(_Strict):
    stages: dict[str, Declaration]


class _Lock(_Strict):
    stages: dict[str, Record]


def parse_stages(text: str, name: str = DECLARATIONS) -> dict[str, Declaration]:
    """Return the stages that the text of `dvc.yaml` declares, each after those it depends on.

    Raises:
        PipelineError: it is not as DVC takes it, or stages depend on each other in a circle.
    """
    stages = validate(_Declarations, parse_yaml(text, name), name).stages
    makers = {path: stage for stage, declared in stages.items() for path in declared.outputs()}
    graph = {
        stage: {makers[path] for path in declared.deps if path in makers}
        for stage, declared in stages.items()
    }
    try:
        return {stage: stages[stage] for stage in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        raise PipelineError(f"{name}: stages in a circle: {', '.join(error.args[1])}") from None


def parse_lock(text: str, name: str = LOCK) -> dict[str, Record]:
    """Return what the text of `dvc.lock` records, by stage.

    Raises:
        PipelineError: it is not as DVC writes it.
    """
    return validate(_Lock, parse_yaml(text, name), name).stages


def hashes(files: list[File]) -> dict[str, str]:
    """Return the MD5 of each file, by path."""
    return {file.path: file.md5 for file in files}


def validate(model: type[Model], content: dict[str, Any], name: str) -> Model:
    """Return the content of a file in the form of a model; errors call the file `name`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise PipelineError(f"{name}: {first_fault(error)}") from None
