"""Running a stage: alone, on checked parameters, with proof that its inputs stayed as they were."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from pipeline.core import guard
from pipeline.core.errors import PipelineError
from pipeline.core.lock import alone
from pipeline.core.params import Schema, check_params


@dataclass(frozen=True)
class ActiveStage(Generic[Schema]):
    """A stage at work.

    Attributes:
        params: what it declares, checked.
        inputs: what it runs on, as it was at the start.
    """

    params: Schema
    inputs: guard.Inputs


@contextmanager
def active(name: str, schema: type[Schema]) -> Iterator[ActiveStage[Schema]]:
    """Do the work of stage `name` in this block.

    Exits with status 1 and a line on standard error where the user can fix what is wrong, so that
    DVC records nothing.
    """
    try:
        with alone("stage"):
            inputs = guard.observe(name)
            yield ActiveStage(check_params(schema, inputs.params), inputs)
            inputs.check()
    except (PipelineError, OSError) as error:
        for line in str(error).splitlines():
            print(f"{name}: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted")
