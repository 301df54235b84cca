"""Running a stage: alone, on checked parameters, with proof that its inputs stayed as they were."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from pipeline.core import guard, outputs, process
from pipeline.core.errors import PipelineError, printable
from pipeline.core.lock import alone
from pipeline.core.params_file import Schema, check_params


@dataclass(frozen=True)
class ActiveStage(Generic[Schema]):
    """A stage at work."""

    params: Schema  # what it declares, checked
    inputs: guard.Inputs  # what it runs on, as it was at the start


@contextmanager
def active(
    name: str, schema: type[Schema], scratch: Collection[Path] = ()
) -> Iterator[ActiveStage[Schema]]:
    """Do the work of stage `name` in this block; it may leave the `scratch` files behind.

    Exits with status 1 and a line on standard error where the user can fix what is wrong, so that
    DVC records nothing.
    """
    try:
        with process.tidied_up(), alone("stage"):
            inputs = guard.observe(name)
            written = outputs.watch()
            yield ActiveStage(check_params(schema, inputs.params), inputs)
            inputs.check()
            outputs.check(inputs.outputs, written, scratch)
            process.flush()
    except (PipelineError, OSError) as error:
        process.drop_unwritten()
        if isinstance(error, BrokenPipeError):
            error = PipelineError("what read its output has ended, so that it failed")
        for line in str(error).splitlines():
            print(f"{name}: {printable(line)}", file=sys.stderr)
        sys.exit(1)
