"""The parameters that a notebook declares, and the kind of value that each accepts.

A parameter accepts the kind of its default, or what its annotation says: the text ``"False"`` for
a parameter that is ``False`` by default would count as true. An annotation comes before a default,
and a default of None accepts anything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from botlib.core.errors import RunError

TAG: Final = "parameters"
"""Tag of the notebook cell that assigns the defaults."""

Kinds = frozenset[str] | None
"""Kinds of values that are accepted, by the names of `_WORDS`; None accepts every value."""

_WORDS: Final = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping",
    "NoneType": "null",
}
_SAME: Final = {"tuple": "list", "set": "list", "Sequence": "list", "Mapping": "dict"}


def declared_parameters(notebook: Any, path: Path) -> dict[str, Kinds] | None:
    """Return the names assigned in the cell tagged ``parameters``, with what each accepts.

    Args:
        path: of the notebook, for messages.

    Returns:
        Them in their order, or None without such a cell.

    Raises:
        RunError: the cell is not valid Python.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code" and TAG in cell.metadata.get("tags", []):
            return dict(_assigned(cell.source, path))
    return None


def kind_of(value: object) -> str:
    """Return the kind of a value that a notebook can be given."""
    name = type(value).__name__
    return _SAME.get(name, name)


def accepts(kinds: Kinds, value: object) -> bool:
    """Return whether a parameter accepts a value; a whole number is a number as well."""
    kind = kind_of(value)
    return kinds is None or kind in kinds or (kind == "int" and "float" in kinds)


def words(kinds: Kinds) -> str:
    """Return the kinds of values in words."""
    named = [text for kind, text in _WORDS.items() if kinds is None or kind in kinds]
    return " or ".join(named) if len(named) < 3 else f"{', '.join(named[:-1])} or {named[-1]}"


def _assigned(source: str, path: Path) -> Iterator[tuple[str, Kinds]]:
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        plain = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
        body = ast.parse(plain).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RunError(
            f"The {TAG!r} cell of {path} is not valid Python: {error}. Write NAME = value lines."
        ) from None
    for statement in body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from _targets(target, statement.value)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kinds = _annotated(statement.annotation)
            if kinds is None and statement.value is not None:
                kinds = _default(statement.value)
            yield statement.target.id, kinds


def _targets(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, Kinds]]:
    if isinstance(target, ast.Name):
        yield target.id, None if value is None else _default(value)
    elif isinstance(target, ast.Starred):
        yield from _targets(target.value, None)
    elif isinstance(target, ast.Tuple | ast.List):
        parts: list[ast.expr | None] = [None] * len(target.elts)
        fits = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
        if fits and not any(isinstance(one, ast.Starred) for one in target.elts):
            assert isinstance(value, ast.Tuple | ast.List)
            parts = list(value.elts)
        for one, part in zip(target.elts, parts, strict=True):
            yield from _targets(one, part)


def _default(value: ast.expr) -> Kinds:
    """Return what a default accepts; None if its kind can not be told from the cell."""
    kind = _kind(value)
    return None if kind in (None, "NoneType") else frozenset({kind})


def _kind(value: ast.expr) -> str | None:
    if isinstance(value, ast.Constant):
        kind = kind_of(value.value)
        return kind if kind in _WORDS else None
    if isinstance(value, ast.List | ast.Tuple | ast.Set | ast.ListComp):
        return "list"
    if isinstance(value, ast.Dict | ast.DictComp):
        return "dict"
    if isinstance(value, ast.JoinedStr):
        return "str"
    if isinstance(value, ast.Compare):
        return "bool"
    if isinstance(value, ast.UnaryOp):
        return "bool" if isinstance(value.op, ast.Not) else _kind(value.operand)
    if isinstance(value, ast.BinOp):
        found = {_kind(value.left), _kind(value.right)}
        if found <= {"int", "float"}:
            return "float" if "float" in found or isinstance(value.op, ast.Div) else "int"
    return None


def _annotated(annotation: ast.expr) -> Kinds:
    """Return what an annotation accepts; None if it can not be told."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _annotated(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            return None
    if isinstance(annotation, ast.Constant):
        return frozenset({"NoneType"}) if annotation.value is None else None
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _either(annotation.left, annotation.right)
    if isinstance(annotation, ast.Subscript):
        name, inside = _name(annotation.value), annotation.slice
        parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        if name == "Optional":
            return _either(*parts, ast.Constant(None))
        if name == "Union":
            return _either(*parts)
        if name == "Literal":
            found = {_kind(part) for part in parts}
            return None if None in found else frozenset(filter(None, found))
        return _named(name)
    return _named(_name(annotation))


def _either(*annotations: ast.expr) -> Kinds:
    kinds = [_annotated(one) for one in annotations]
    return None if None in kinds else frozenset().union(*filter(None, kinds))


def _name(annotation: ast.expr) -> str:
    return annotation.attr if isinstance(annotation, ast.Attribute) else ast.unparse(annotation)


def _named(name: str) -> Kinds:
    kind = _SAME.get(name, name)
    return frozenset({kind}) if kind in _WORDS else None
