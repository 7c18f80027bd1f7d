"""The schema of the dashboard's JSON, and the TypeScript that is written from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = ROOT / "js" / "schema.py"
    if not path.is_file():
        pytest.skip("no TypeScript sources: not a checkout")
    spec = importlib.util.spec_from_file_location("js_schema", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_typescript_types_are_those_of_the_python_schema(generator: ModuleType) -> None:
    written = generator.TARGET.read_text(encoding="utf-8")
    expected = generator.typescript(generator.SOURCE.read_text(encoding="utf-8"))
    assert written == expected, "run `python js/schema.py` and commit js/src/dashboard/schema.ts"


def test_every_kind_of_annotation_has_a_counterpart(generator: ModuleType) -> None:
    source = '''
Kind = Literal["a", "b"]
"""What it is."""

class Row(TypedDict):
    """One row.

    In two lines.
    """

    name: str
    """Its ``name``."""
    price: float | None
    kinds: list[Kind]
    table: Table[Row]
    by_key: dict[str, int]
'''
    assert generator.typescript(source).split("\n\n", 1)[1] == (
        "/** What it is. */\n"
        'export type Kind = "a" | "b";\n'
        "\n"
        "/** One row. In two lines. */\n"
        "export interface Row {\n"
        "  /** Its `name`. */\n"
        "  name: string;\n"
        "  price: number | null;\n"
        "  kinds: Kind[];\n"
        "  table: Table<Row>;\n"
        "  by_key: Record<string, number>;\n"
        "}\n"
    )


def test_an_annotation_without_counterpart_is_refused(generator: ModuleType) -> None:
    with pytest.raises(ValueError, match="no counterpart"):
        generator.typescript("class Row(TypedDict):\n    pair: tuple[int, int]\n")
