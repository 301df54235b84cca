"""`python -m pipeline <command>`: what DVC itself does not do."""

import argparse
import signal
import sys

from pipeline.commands import (
    compare,
    data,
    predict,
    preset,
    results,
    run,
    search,
    seeds,
    start,
    verify,
)
from pipeline.core import process
from pipeline.core.errors import PipelineError, printable


def main() -> int:
    """Run the command that the user names and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for module in (run, data, preset, predict, compare, seeds, search, results, verify, start):
        name = module.__name__.rsplit(".", 1)[-1]
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.configure(command)
        command.set_defaults(execute=module.execute)
    arguments = parser.parse_args()
    process.open_standard_streams()
    process.name_user()
    try:
        with process.tidied_up():
            status = int(arguments.execute(arguments))
            process.flush()
        return status
    except (PipelineError, OSError) as error:
        process.drop_unwritten()
        if isinstance(error, BrokenPipeError):  # what reads the output, such as `head`, has ended
            return 128 + signal.SIGPIPE
        print("\n".join(map(printable, f"error: {error}".splitlines())), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
