"""Presets: what each sets in `params.yaml`, and what it means for an experiment's parameters."""

import copy
import json
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.core.params_file import (
    PARAMS_FILE,
    Values,
    check_params,
    flat,
    load_yaml,
    parse_yaml,
    read_text,
    select,
)
from pipeline.experiments.dvc_files import DECLARATIONS, parse_stages
from pipeline.experiments.params_text import replace_section, set_values
from pipeline.experiments.revisions import read

FOLDER = Path("presets")
DEFAULTS = FOLDER / "defaults.yaml"
SECTIONS = ("model", "train")  # what a preset sets


@dataclass(frozen=True)
class Preset:
    """A kind of network, and how it is trained.

    Attributes:
        name: of its file in `presets/`, without the ending.
        text: of the file; its first line says what it is.
        model: the section `model`.
        train: the section `train`: the defaults, with what the preset sets.
    """

    name: str
    text: str
    model: dict[str, Any]
    train: dict[str, Any]

    @property
    def about(self) -> str:
        """What it is, in a line."""
        return self.text.splitlines()[0].removeprefix("#").strip()

    @property
    def values(self) -> Values:
        """All that it sets."""
        return flat({"model": self.model, "train": self.train})

    def settings(self) -> list[str]:
        """Return what sets it in `dvc exp run --set-param`: another network has other keys."""
        model = ",".join(f"{key}:{json.dumps(value)}" for key, value in self.model.items())
        return ["~model", f"+model={{{model}}}", *settings(flat({"train": self.train}))]


def settings(values: Values) -> list[str]:
    """Return what sets these values in `dvc exp run --set-param`."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def names() -> list[str]:
    """Return the names of the presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path != DEFAULTS)


def find(name: str) -> Preset:
    """Return a preset.

    Raises:
        PipelineError: there is none of this name, or its file is not as it should be.
    """
    if name not in names():
        raise PipelineError(f"{name!r} is not a preset; allowed are {', '.join(names())}")
    path = FOLDER / f"{name}.yaml"
    text = read_text(str(path))
    content, train = parse_yaml(text, str(path)), load_yaml(str(DEFAULTS)).get("train")
    if not isinstance(train, dict):
        raise PipelineError(f"{DEFAULTS} has no section train; `git restore` it")
    model, changes = content.pop("model", None), content.pop("train", {})
    if content or not isinstance(model, dict) or not isinstance(changes, dict):
        raise PipelineError(f"{path} has to hold a section model, maybe one train, and no others")
    for key, value in flat(changes).items():
        set_value(train, key, value, f"{path}: train.")
    return Preset(name, text, model, train)


def with_settings(
    params: dict[str, Any], preset: str | None, settings: list[str]
) -> dict[str, Any]:
    """Return the parameters of an experiment: `params`, with a preset and `NAME=VALUE` set.

    Raises:
        PipelineError: a setting is not one that `dvc exp run --set-param` takes for one experiment,
            removes a parameter, names none, or the seed, which is not for a preset to say.
    """
    # Slow to import, and not every command needs them.
    from dvc.utils.hydra import to_hydra_overrides
    from hydra.errors import HydraException

    changed = copy.deepcopy(params)
    if preset is not None:
        found = find(preset)
        changed |= {"model": found.model, "train": found.train}
    try:
        overrides = to_hydra_overrides(settings)
    except (HydraException, ValueError) as error:  # Python reads no number of 5,000 digits
        raise PipelineError(str(error).splitlines()[0]) from None
    for override in overrides:
        if override.key_or_group == "seed":
            raise PipelineError(f"{override.input_line}: seeds are set by their number alone")
        if override.is_delete():
            raise PipelineError(f"{override.input_line}: a parameter cannot be removed")
        if override.is_sweep_override():
            raise PipelineError(
                f"{override.input_line} has several values; queue the seeds of each by itself"
            )
        set_value(changed, override.key_or_group, override.value())
    return changed


def check(params: dict[str, Any]) -> None:
    """Check parameters as the stages will.

    Raises:
        PipelineError: a line for each that is unknown, missing, or of a wrong type or range.
    """
    for name, stage in parse_stages(read(DECLARATIONS, None)).items():
        if not find_spec(f"stages.{name}"):
            continue  # a stage of the user's own, which checks what it takes by itself
        check_params(import_module(f"stages.{name}").Params, select(params, stage.params))


def set_value(params: dict[str, Any], name: str, value: Any, where: str = "") -> None:
    """Set the parameter of a dotted name, which must be there.

    Raises:
        PipelineError: it is not.
    """
    *parents, key = name.split(".")
    section: Any = params
    for parent in parents:
        section = section.get(parent) if isinstance(section, dict) else None
    if not isinstance(section, dict) or key not in section:
        raise PipelineError(f"{where}{name} is not a parameter")
    section[key] = value


def applied(preset: Preset, text: str) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """Return the text of `params.yaml` with a preset, and old and new of each value that changes.

    A section that lacks a parameter, or has one of another network, is replaced as a whole.
    """
    before, after = current(text), preset.values
    for section, source in (("model", preset.text), ("train", DEFAULTS.read_text("utf-8"))):
        if any(name.startswith(f"{section}.") for name in before.keys() ^ after.keys()):
            text = replace_section(text, section, source)
    changes = {
        name: (before.get(name), after.get(name))
        for name in before | after
        if before.get(name) != after.get(name)
    }
    return set_values(text, after), changes


def own_values(values: Values) -> Values:
    """Return those of the values that the most similar preset does not have."""
    presets = (find(name).values for name in names())
    differing = (
        {name: value for name, value in values.items() if (name, value) not in preset.items()}
        for preset in presets
    )
    return min(differing, key=len)


def current(text: str) -> Values:
    """Return what the text of `params.yaml` says in the sections that a preset sets.

    Raises:
        PipelineError: it lacks one of them.
    """
    params = parse_yaml(text, PARAMS_FILE)
    for section in SECTIONS:
        if not isinstance(params.get(section), dict):
            raise PipelineError(f"{PARAMS_FILE}: {section} is missing or not a section")
    return flat({section: params[section] for section in SECTIONS})
