"""`python -m pipeline <command>`: what DVC itself does not do."""

import argparse
import sys

from pipeline.commands import compare, predict, preset, results, run, seeds, verify
from pipeline.core.errors import PipelineError


def main() -> int:
    """Run the command that the user names and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for module in (run, preset, predict, compare, seeds, results, verify):
        name = module.__name__.rsplit(".", 1)[-1]
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.configure(command)
        command.set_defaults(execute=module.execute)
    arguments = parser.parse_args()
    try:
        return int(arguments.execute(arguments))
    except (PipelineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
