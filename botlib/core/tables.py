"""Small tables: plain text for a terminal, compact HTML for a notebook.

The HTML has its own style, follows light and dark themes through ``currentColor``, and escapes
every cell.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from enum import StrEnum
from html import escape
from typing import NamedTuple

from tabulate import tabulate

from botlib.core.masking import masked

Cell = object
"""A value with a readable ``str``; None is an empty cell, a `Toned` is shown in its colour."""


class Tone(StrEnum):
    """The meaning of a shown value; its text is a colour readable on light and dark pages."""

    PLAIN = "inherit"
    GOOD = "#21904e"
    BAD = "#d9434a"
    WARN = "#b07508"
    INFO = "#3b82d0"

    @classmethod
    def of(cls, number: float) -> Tone:
        """Return the tone of a gain or a loss; zero is plain."""
        return cls.GOOD if number > 0 else cls.BAD if number < 0 else cls.PLAIN


class Toned(NamedTuple):
    """A value with its tone."""

    value: object
    tone: Tone

    def __str__(self) -> str:
        return "" if self.value is None else str(self.value)


_STYLE = "font:12px/1.5 ui-monospace,monospace;border-collapse:collapse;margin:.3em 0"
_CELL = "text-align:left;padding:.1em .8em .1em 0;white-space:nowrap"


def text_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table as aligned plain text."""
    return tabulate(_texts(rows), headers=list(headers), tablefmt="simple", disable_numparse=True)


def html_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table as self-contained HTML, alone or for a card."""
    head = "".join(
        f'<th style="{_CELL};opacity:.65">{escape(masked(name))}</th>' for name in headers
    )
    body = "".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in rows)
    return (
        f'<table class="botlib" style="{_STYLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _td(cell: Cell) -> str:
    tone = cell.tone if isinstance(cell, Toned) else Tone.PLAIN
    colour = "" if tone is Tone.PLAIN else f";color:{tone.value}"
    return f'<td style="{_CELL}{colour}">{escape(_text(cell))}</td>'


def _texts(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    return [[_text(cell) for cell in row] for row in rows]


def _text(cell: Cell) -> str:
    return "" if cell is None else masked(str(cell))


def html_picture(svg: str, alt: str) -> str:
    """Return an SVG drawing as an image embedded in the page.

    JupyterLab removes SVG from notebooks it does not trust yet, but shows images. An image inherits
    no colour, so ``currentColor`` is replaced by a grey that is readable on light and dark themes.
    """
    drawn = svg.replace("currentColor", "#8a8f98")
    data = b64encode(masked(drawn).encode()).decode()
    return f'<img alt="{escape(masked(alt))}" src="data:image/svg+xml;base64,{data}">'
