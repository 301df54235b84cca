"""Reading `params.yaml`: only what a stage declares, checked before any work."""

import difflib
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import PipelineError, one_line

PARAMS_FILE = "params.yaml"
SECTIONS = ("seed", "data", "preprocess", "model", "train", "evaluate", "plot")


class Section(BaseModel):
    """A group of parameters: no unknown keys, no silent conversions, never changed once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Schema = TypeVar("Schema", bound=Section)

Values = dict[str, Any]  # by dotted names

MOST_BYTES = 2**20  # of a file that a user writes
DEEPEST = 100  # levels of nesting in YAML
# What JSON can hold: no dates, and no keys other than text.
_DOCUMENT = TypeAdapter(dict[str, JsonValue])


def load_yaml(path: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds, as DVC reads it.

    Raises:
        PipelineError: the file is missing, cannot be read, or `parse_yaml` refuses it.
    """
    return parse_yaml(read_text(path), path)


def read_text(path: str) -> str:
    """Return the text of a file of the user's.

    Raises:
        PipelineError: it is missing, not a file, too large, or not encoded in UTF-8.
    """
    if not Path(path).is_file():  # anything else may block for ever
        raise PipelineError(f"{path} is missing or not a file; run from the project's root")
    if (size := Path(path).stat().st_size) > MOST_BYTES:
        raise PipelineError(f"{path} has {size:,} bytes; allowed are {MOST_BYTES:,}")
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PipelineError(f"{path} is not encoded in UTF-8") from None


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Return the mapping that YAML text holds, as DVC reads it; errors call it `name`.

    Raises:
        PipelineError: it is not YAML, holds no mapping, or what has no place in parameters.
    """
    try:
        _check_events(text, name)
        content = YAML(typ="safe").load(text)  # YAML 1.2; PyYAML's loaders take `032` for 26
        str(content)  # an error where a number has thousands of digits
    except (yaml.YAMLError, YAMLError, ValueError) as error:
        raise PipelineError(f"{name} is not valid YAML: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{name} holds {type(content).__name__}, not a mapping of parameters")
    try:
        return _DOCUMENT.validate_python(content)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"][::2]))  # between the keys are their types
        raise PipelineError(f"{name}: {place}: {fault['input']} needs quotes to be text") from None


def _check_events(text: str, name: str) -> None:
    """Refuse what makes a short text large in memory, or a deep one overflow the stack."""
    level = 0
    event: Any
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        level += isinstance(event, yaml.CollectionStartEvent)
        level -= isinstance(event, yaml.CollectionEndEvent)
        line = f"{name}, line {event.start_mark.line + 1}"
        if any(getattr(event, kind, None) for kind in ("anchor", "tag", "tags", "version")):
            reason = "anchors (&), aliases (*), tags (!) and directives (%) are not supported"
            raise PipelineError(f"{line}: {reason}")
        if level > DEEPEST:
            raise PipelineError(f"{line}: more than {DEEPEST} levels of nesting are not supported")


def check_params(schema: type[Schema], params: dict[str, Any]) -> Schema:
    """Return `params`, as `select` gives them, in the form of `schema`.

    Raises:
        PipelineError: a line for each key that is unknown, missing, or of a wrong type or range.
    """
    try:
        return schema.model_validate(params)
    except ValidationError as error:
        lines = [_describe(detail, schema) for detail in error.errors()]
        raise PipelineError("\n".join(lines)) from None


def read_declared(declared: list[str]) -> dict[str, Any]:
    """Return the `declared` parameters (`section` or `section.key`) of `params.yaml`.

    What a stage does not declare in `dvc.yaml` it does not get to see, so that no result can
    depend on a parameter that DVC does not watch.

    Raises:
        PipelineError: the file cannot be read, or has a section that does not exist.
    """
    content = load_yaml(PARAMS_FILE)
    unknown = [_unknown((str(key),), SECTIONS) for key in content if key not in SECTIONS]
    if unknown:
        raise PipelineError("\n".join(unknown))
    return select(content, declared)


def select(content: dict[str, Any], declared: list[str]) -> dict[str, Any]:
    """Return the part of nested `content` that the dotted `declared` keys name."""
    selected: dict[str, Any] = {}
    for name in declared:
        *parents, key = name.split(".")
        source, target = content, selected
        for parent in parents:
            inner = source.get(parent)
            source = inner if isinstance(inner, dict) else {}
            target = target.setdefault(parent, {})
        if key in source:
            target[key] = source[key]
    return selected


def flat(content: dict[str, Any], prefix: str = "") -> Values:
    """Return nested parameters under their dotted names."""
    values: Values = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        values |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return values


def _unknown(location: tuple[str, ...], allowed: tuple[str, ...]) -> str:
    *parents, key = location
    near = difflib.get_close_matches(str(key), allowed, n=1)
    hint = f"did you mean {'.'.join([*parents, near[0]])}? " if near else ""
    return (
        f"{PARAMS_FILE}: {'.'.join(map(str, location))} is unknown; "
        f"{hint}allowed here: {', '.join(allowed)}"
    )


def _describe(detail: ErrorDetails, schema: type[Section]) -> str:
    location, section = _locate(schema, detail["loc"])
    name = ".".join(location)
    message = detail["msg"]
    match detail["type"]:
        case "extra_forbidden":
            return _unknown(location, tuple(section.model_fields))
        case "missing":
            return f"{PARAMS_FILE}: {name} is missing{_preset_hint(detail['loc'], location)}"
        case "union_tag_not_found":
            return f"{PARAMS_FILE}: {name}.name is missing"
        case "union_tag_invalid":
            context = detail["ctx"]
            allowed = f"allowed are {context['expected_tags']}"
            return f"{PARAMS_FILE}: {name}.name is {context['tag']!r}; {allowed}"
        case "value_error":  # of a validator, whose text says it all
            return f"{PARAMS_FILE}: {detail['ctx']['error']}"
    return f"{PARAMS_FILE}: {name} is {detail['input']!r}; {message[0].lower()}{message[1:]}"


def _preset_hint(path: tuple[str | int, ...], location: tuple[str, ...]) -> str:
    """Say what sets all that a chosen variant needs; nothing where there is no choice."""
    chosen = [str(part) for part in path if part not in location]
    if not chosen:
        return ""
    return f"; `python -m pipeline preset {chosen[0]}` sets all that {chosen[0]} needs"


def _locate(
    schema: type[Section], path: tuple[str | int, ...]
) -> tuple[tuple[str, ...], type[Section]]:
    """Return the keys that lead to `path`, and the innermost section on the way.

    Where several sections are possible, their `name` is a part of the path, but no key.
    """
    keys: list[str] = []
    section, found = schema, cast(Any, schema)
    for part in path:
        if variants := [v for v in get_args(found) if part in get_args(_name_of(v))]:
            found = variants[0]
        else:
            keys.append(str(part))
            field = section.model_fields.get(str(part)) if found is section else None
            found = field.annotation if field else None
        if isinstance(found, type) and issubclass(found, Section):
            section = found
    return tuple(keys), section


def _name_of(variant: Any) -> Any:
    """Return the type of a section's `name`; None of anything else."""
    fields = getattr(variant, "model_fields", {})
    return fields["name"].annotation if "name" in fields else None
