"""A hash of the code that trains: of what it means, not of how it is written or where it lies."""

import ast
import hashlib
import json
from collections.abc import Callable
from typing import Any

Reader = Callable[[str], str]  # returns the text of a file of one commit, by its path
OWN = ("pipeline", "stages")


def code_hash(paths: list[str], read: Reader) -> str:
    """Return a hash of the files of these paths.

    Comments, docstrings, layout, and from where the project's own names are imported do not count;
    of `requirements.txt`, only names and versions do.
    """
    meanings = sorted(_meaning(path, read(path)) for path in paths)
    return short_hash(meanings)


def short_hash(content: Any) -> str:
    """Return 12 digits of the SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _meaning(path: str, text: str) -> str:
    if path.endswith(".py"):
        names = _OwnImports()
        tree = names.visit(ast.parse(text))
        return f"{ast.unparse(tree)}\n{sorted(names.found)}"
    if path.endswith("requirements.txt"):
        return "\n".join(sorted(line.split()[0] for line in text.splitlines() if "==" in line))
    return text


class _OwnImports(ast.NodeTransformer):
    """Takes docstrings and the imports of the project's own names out of a syntax tree."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if (node.module or "").split(".")[0] not in OWN:
            return node
        self.found += [alias.asname or alias.name for alias in node.names]
        return None

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body.pop(0)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node
