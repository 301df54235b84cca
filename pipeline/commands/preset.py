"""Put a preset into params.yaml, or list the presets."""

import argparse
import json
from pathlib import Path

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE, read_text
from pipeline.experiments import presets


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the name of a preset."""
    parser.add_argument("name", nargs="?", help="of the preset; without it, they are listed")
    parser.add_argument(
        "--force", action="store_true", help="also replace values of your own that no preset has"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Set what the preset sets, and leave the rest of the file as it is."""
    if arguments.name is None:
        names = presets.names()
        width = max(map(len, names))
        for name in names:
            print(f"  {name:<{width}}  {presets.find(name).about}")
        return 0
    preset = presets.find(arguments.name)
    text = read_text(PARAMS_FILE)
    changed, replaced = presets.applied(preset, text)
    own = presets.own_values(presets.current(text))
    if own and not arguments.force:
        values = ", ".join(f"{name}: {value}" for name, value in own.items())
        raise PipelineError(
            f"{PARAMS_FILE} has values that no preset has ({values}); --force replaces them"
        )
    write_bytes(Path(PARAMS_FILE), changed.encode())
    for name, (old, new) in replaced.items():
        print(f"{name}: {json.dumps(old)} -> {json.dumps(new)}")
    print(f"{PARAMS_FILE} now has the preset {preset.name}")
    return 0
