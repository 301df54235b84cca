"""Editing `params.yaml` as text, so that the user's comments, order and other values stay."""

from typing import Any

import yaml

from pipeline.core.errors import PipelineError
from pipeline.core.params_file import PARAMS_FILE

GAP = 2  # spaces, at least, from a value to its comment


def set_values(text: str, values: dict[str, Any]) -> str:
    """Return YAML text in which each parameter, by its dotted name, has the value given.

    A comment behind a value stays in its column where there is room.

    Raises:
        PipelineError: a parameter is not there.
    """
    nodes = _nodes(yaml.compose(text))
    for name in sorted(values.keys() - nodes.keys()):
        line = f"{name.rpartition('.')[2]}: {_dump(values[name])}"
        raise PipelineError(f"{PARAMS_FILE}: {name} is missing; add `{line}` there")
    # From the end of the text on, so that the places of those before stay right.
    for name in sorted(values, key=lambda name: -nodes[name][0].start_mark.index):
        key, value, in_flow = nodes[name]
        start, end = text.index(":", key.end_mark.index) + 1, _end(value)
        new = _dump(values[name]) if values[name] is not None or in_flow else ""
        new = f" {new}".rstrip()
        rest = text[end:]
        comment = rest.lstrip(" ")
        if comment.startswith("#"):
            room = len(rest) - len(comment) - (len(new) - (end - start))
            rest = " " * max(room, GAP) + comment
        text = text[:start] + new + rest
    return text


def replace_section(text: str, key: str, source: str) -> str:
    """Return YAML text with the top-level section `key` as it stands in the text `source`."""
    text = text.rstrip("\n") + "\n"
    return text.replace(section(text, key), section(source, key), 1)


def section(text: str, key: str) -> str:
    """Return the lines of a top-level section, without comments before and after it.

    Raises:
        PipelineError: it is not there.
    """
    nodes = _nodes(yaml.compose(text))
    if key not in nodes:
        raise PipelineError(f"{PARAMS_FILE}: {key} is missing")
    key_node, value, _ = nodes[key]
    last = text.count("\n", 0, _end(value)) + 1
    lines = text.splitlines(keepends=True)[key_node.start_mark.line : last]
    return "".join(lines).rstrip("\n") + "\n"


def _nodes(root: Any, prefix: str = "") -> dict[str, tuple[yaml.Node, yaml.Node, bool]]:
    """Return key and value of each parameter and section, and whether they stand in braces."""
    nodes = {}
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        name = f"{prefix}{key.value}"
        nodes[name] = key, value, bool(root.flow_style)
        nodes |= _nodes(value, f"{name}.")
    return nodes


def _end(node: yaml.Node) -> int:
    """Return where the last value of a node ends; PyYAML's own mark is after the comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _dump(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return str(text).removesuffix("...\n").strip()
