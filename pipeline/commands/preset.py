"""Put a preset into params.yaml, or list the presets."""

import argparse
import json
from pathlib import Path

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.core.params import PARAMS_FILE
from pipeline.experiments import presets


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the name of a preset."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"presets:\n{_listed()}"
    parser.add_argument("name", nargs="?", help="of the preset; without it, they are listed")
    parser.add_argument(
        "--force", action="store_true", help="replace values of your own, which no preset has"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Set what the preset sets, and leave the rest of the file as it is."""
    if arguments.name is None:
        print(_listed())
        return 0
    preset = presets.find(arguments.name)
    params = Path(PARAMS_FILE)
    if not params.is_file():
        raise PipelineError(f"{params} is missing; run from the project's root folder")
    text = params.read_text(encoding="utf-8")
    changed, replaced = presets.applied(preset, text)
    own = presets.own_values(presets.current(text))
    if own and not arguments.force:
        values = ", ".join(f"{name}: {value}" for name, value in own.items())
        raise PipelineError(
            f"{params} has values that no preset has ({values}); --force replaces them"
        )
    write_bytes(params, changed.encode())
    for name, (old, new) in replaced.items():
        print(f"{name}: {json.dumps(old)} -> {json.dumps(new)}")
    print(f"{params} now has the preset {preset.name}")
    return 0


def _listed() -> str:
    found = [presets.find(name) for name in presets.names()]
    return "\n".join(f"  {preset.name:<10}{preset.about}" for preset in found)
