"""Put the sections of a preset into params.yaml."""

import argparse
import re
from pathlib import Path

from pipeline.core.artifacts import write_bytes
from pipeline.core.errors import PipelineError
from pipeline.core.params import PARAMS_FILE

PRESETS = Path("presets")
HEADER = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the name of a preset."""
    parser.add_argument("name", help=f"a file of {PRESETS}/, without its ending")


def execute(arguments: argparse.Namespace) -> int:
    """Replace each section that the preset holds, and leave the others as they are."""
    params = Path(PARAMS_FILE)
    write_bytes(params, applied(arguments.name, params.read_text(encoding="utf-8")).encode())
    print(f"{params} now has the sections of {_path(arguments.name)}")
    return 0


def applied(name: str, params: str) -> str:
    """Return the text of `params.yaml` with the sections of preset `name` in the place of its own.

    It is text, not YAML, that is put together, so that the order and the other comments stay.

    Raises:
        PipelineError: there is no such preset.
    """
    if not _path(name).exists():
        available = sorted(path.stem for path in PRESETS.glob("*.yaml"))
        raise PipelineError(f"there is no preset {name}; there are {', '.join(available)}")
    preset = _sections(_path(name).read_text(encoding="utf-8"))
    preset.pop(HEADER)
    return "\n\n".join(filter(None, (_sections(params) | preset).values())) + "\n"


def _path(name: str) -> Path:
    return PRESETS / f"{name}.yaml"


def _sections(text: str) -> dict[str, str]:
    """Return each top-level section by its key, comments included, and what precedes them."""
    header, *sections = re.split(r"^(?=\w)", text, flags=re.MULTILINE)
    return {HEADER: header.strip()} | {s.partition(":")[0]: s.strip() for s in sections}
