"""Reading `params.yaml`: only what a stage declares, checked before any work."""

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from pipeline.core.errors import PipelineError

PARAMS_FILE = "params.yaml"
SECTIONS = ("seed", "data", "preprocess", "model", "train", "evaluate", "plot")


class Section(BaseModel):
    """A group of parameters: no unknown keys, no silent conversions, never changed once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Schema = TypeVar("Schema", bound=Section)


# Which unquoted scalars are not text: the rules of ruamel.yaml for YAML 1.2, in its order.
_NOT_TEXT = re.compile(
    r"""
      (?P<bool>true|True|TRUE|false|False|FALSE)
    | (?P<float>[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?
              | [-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
              | [-+]?\.[0-9_]+([eE][-+][0-9]+)?
              | [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN))
    | (?P<int>(?!_)([-+]?0b[01_]+ | [-+]?0o?[0-7_]+ | [-+]?[0-9_]+ | [-+]?0x[0-9a-fA-F_]+))
    | (?P<null>~|null|Null|NULL|)
    | (?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt\ \t].*)?)
    | (?P<merge><<) | (?P<value>=)
    """,
    re.VERBOSE,
)
_BASES = {"0b": 2, "0o": 8, "0x": 16}
_CONVERTERS: dict[str, Callable[[str], bool | int | float | None]] = {
    "bool": lambda text: text == "true",
    "int": lambda text: int(text, _BASES.get(text.lstrip("-+")[:2], 10)),
    "float": lambda text: float(text.replace(".inf", "inf").replace(".nan", "nan")),
    "null": lambda _: None,
}
_LONGEST_NUMBER = 400  # characters
_DEEPEST = 100  # levels of nesting


class _Reader:
    """Reads a YAML document as DVC does, that is as ruamel.yaml does, with PyYAML's parser in C.

    PyYAML's own loaders follow YAML 1.1, in which `032` is 26 and `yes` is true. What the two
    libraries may still read differently is refused: tags, anchors, dates, keys that are not text.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)

    def document(self) -> Any:
        """Return what the text holds; None if it is empty."""
        next(self.events)
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            return None
        if start.version or start.tags:
            raise self.error(start, "directives (%) are not supported")
        content = self.value(next(self.events))
        next(self.events)
        if not isinstance(after := next(self.events), yaml.StreamEndEvent):
            raise self.error(after, "a second document is not supported")
        return content

    def value(self, event: Any, level: int = 0, in_flow: bool = False) -> Any:
        """Return what begins with `event`, inside [] or {} or not."""
        if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
            raise self.error(event, "anchors (&), aliases (*) and tags (!) are not supported")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, in_flow)
        if level == _DEEPEST:
            raise self.error(event, f"more than {_DEEPEST} levels of nesting are not supported")
        inside = level + 1, event.flow_style
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                items.append(self.value(item, *inside))
            return items
        content: dict[str, Any] = {}
        while not isinstance(item := next(self.events), yaml.MappingEndEvent):
            key = self.value(item, *inside)
            if not isinstance(key, str):
                raise self.error(item, f"the key {key!r} is not text; put it in quotes")
            if key in content:
                raise self.error(item, f"the key {key} is there twice")
            content[key] = self.value(next(self.events), *inside)
        return content

    def scalar(self, event: Any, in_flow: bool) -> Any:
        """Return the text, the number or the like that a scalar stands for."""
        text: str = event.value
        if not event.implicit[0]:  # quoted
            return text
        if in_flow and (":" in text or "?" in text):
            raise self.error(event, f"{text[:40]} needs quotes, for its : or ? inside [] or {{}}")
        kind = _NOT_TEXT.fullmatch(text)
        if kind is None:
            return text
        convert = _CONVERTERS.get(str(kind.lastgroup))
        try:
            if convert and len(text) <= _LONGEST_NUMBER:
                return convert(text.replace("_", "").lower())
        except ValueError:  # such as `0x_`
            pass
        raise self.error(event, f"{text[:40]} is neither a number nor text; put text in quotes")

    def error(self, event: Any, reason: str) -> PipelineError:
        return PipelineError(f"{self.name}, line {event.start_mark.line + 1}: {reason}")


def load_yaml(path: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds, as DVC reads it.

    Raises:
        PipelineError: the file is missing, cannot be read, or `parse_yaml` refuses it.
    """
    if not Path(path).is_file():  # anything else may block for ever
        raise PipelineError(f"{path} is missing or not a file; run from the project's root")
    try:
        return parse_yaml(Path(path).read_text(encoding="utf-8"), path)
    except UnicodeDecodeError:
        raise PipelineError(f"{path} is not encoded in UTF-8") from None


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Return the mapping that YAML text holds, as DVC reads it; errors call it `name`.

    Raises:
        PipelineError: it is not YAML, holds no mapping, or what DVC might read differently.
    """
    try:
        content = _Reader(text, name).document()
    except yaml.YAMLError as error:
        raise PipelineError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{name} holds {type(content).__name__}, not a mapping of parameters")
    return content


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
