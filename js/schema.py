"""Write js/src/dashboard/schema.ts from botlib/widgets/dashboard/schema.py.

The module is parsed, not imported, so that nothing has to be installed:

    python js/schema.py
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "botlib" / "widgets" / "dashboard" / "schema.py"
TARGET = ROOT / "js" / "src" / "dashboard" / "schema.ts"

HEADER = """\
/** The JSON of a dashboard. Written by js/schema.py from botlib/widgets/dashboard/schema.py. */
"""
WIDTH = 100
"""Most characters of a line."""
SCALARS = {"str": "string", "int": "number", "float": "number", "bool": "boolean"}
DERIVED = {
    "DashboardChanges": """\
type SectionChanges<Section> =
  Section extends DashboardTable<infer Row>
    ? { order?: string[]; rows?: Record<string, Partial<Row>> }
    : Partial<Section>;
export type DashboardChanges = {
  [Name in keyof DashboardState]?: SectionChanges<DashboardState[Name]>;
};
"""
}
"""Types that TypeScript can derive from others and Python cannot."""


def typescript(source: str) -> str:
    """Return the TypeScript of a module of TypedDicts and type aliases.

    Raises:
        ValueError: the module has a statement or an annotation that has no counterpart.
    """
    body = ast.parse(source).body
    blocks = [HEADER]
    for index, node in enumerate(body):
        following = body[index + 1] if index + 1 < len(body) else None
        if isinstance(node, ast.ClassDef):
            blocks.append(_interface(node))
        elif isinstance(node, ast.Assign) and not _is_variable(node.value):
            blocks.append(_alias(node, _text(following)))
    return "\n".join(blocks)


def _interface(node: ast.ClassDef) -> str:
    bases = [base for base in node.bases if isinstance(base, ast.Subscript)]
    generic = f"<{ast.unparse(bases[0].slice)}>" if bases else ""
    lines = [_comment(_text(node.body[0]), ""), f"export interface {node.name}{generic} {{\n"]
    for index, field in enumerate(node.body):
        if isinstance(field, ast.AnnAssign):
            following = node.body[index + 1] if index + 1 < len(node.body) else None
            lines.append(_comment(_text(following), "  "))
            lines.append(f"  {ast.unparse(field.target)}: {_type(field.annotation)};\n")
    return "".join([*lines, "}\n"])


def _alias(node: ast.Assign, text: str) -> str:
    name = ast.unparse(node.targets[0])
    if name in DERIVED:
        return _comment(text, "") + DERIVED[name]
    kind = _type(node.value)
    if len(f"export type {name} = {kind};") > WIDTH:  # as biome wraps it
        kind = "".join(f"\n  | {one}" for one in kind.split(" | "))
        return f"{_comment(text, '')}export type {name} ={kind};\n"
    return f"{_comment(text, '')}export type {name} = {kind};\n"


def _is_variable(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "TypeVar"


def _text(node: ast.stmt | None) -> str:
    """Return the text of a statement that is nothing but a string, else an empty one."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).replace("``", "`").split())
    return ""


def _comment(text: str, indent: str) -> str:
    return f"{indent}/** {text} */\n" if text else ""


def _type(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=None):
            return "null"
        case ast.Name(id=name):
            return SCALARS.get(name, name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{_type(left)} | {_type(right)}"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            chosen = values.elts if isinstance(values, ast.Tuple) else [values]
            return " | ".join(json.dumps(ast.literal_eval(value)) for value in chosen)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return f"{_type(item)}[]"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, value])):
            return f"Record<{_type(key)}, {_type(value)}>"
        case ast.Subscript(value=ast.Name(id=name), slice=item):
            return f"{name}<{_type(item)}>"
    raise ValueError(f"{ast.unparse(node)} in line {node.lineno} has no counterpart in TypeScript.")


if __name__ == "__main__":
    TARGET.write_text(typescript(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
