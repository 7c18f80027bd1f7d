"""Small tables: plain text for a terminal, compact HTML for a notebook.

Numbers are written by `botlib.core.text.formats`: those of one column with the same decimals,
aligned on the right as texts that are figures are. The HTML has its own style, follows light and
dark themes through ``currentColor``, and escapes every cell.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Sequence
from enum import StrEnum
from html import escape
from typing import Final, NamedTuple

from tabulate import tabulate

from botlib.core.text.formats import MINUS, NONE, THIN, column, exact, is_number
from botlib.core.text.masking import masked

Cell = object
"""A number, a truth value, or a value with a readable ``str``; None is an empty cell, a `Toned` is
shown in its colour."""

_FIGURE: Final = re.compile(
    rf"[+{MINUS}<-]?\d[\d{THIN} .,]*({THIN}?%| ?(ms|s|min|h|h \d+ min|d|bp|[KMBT]))?|{NONE}"
)
"""A text that is a number with its unit."""


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
_CELL = "padding:.1em .8em .1em 0;vertical-align:top;text-align:"
_WRAPS = ";white-space:normal;min-width:{}em"
_ONE_LINE = ";white-space:nowrap"


class _Column(NamedTuple):
    """The texts of a column, and how they are aligned."""

    texts: list[str]
    align: str
    space: str = _ONE_LINE


def text_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table as aligned plain text."""
    columns = _columns(headers, rows)
    return tabulate(
        list(zip(*(one.texts for one in columns), strict=True)),
        headers=list(headers),
        tablefmt="simple",
        disable_numparse=True,
        colalign=[one.align for one in columns] if rows else None,
    )


def html_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    wrapped: Collection[str] = (),
    least: float = 6.5,
) -> str:
    """Return a table as self-contained HTML, alone or for a card.

    Args:
        wrapped: the headers of columns of sentences, which wrap.
        least: their least width in em.
    """
    columns = [
        one._replace(space=_WRAPS.format(least)) if name in wrapped else one
        for name, one in zip(headers, _columns(headers, rows), strict=True)
    ]
    head = "".join(
        f'<th style="{_CELL}{one.align}{one.space};opacity:.65">{escape(masked(name))}</th>'
        for name, one in zip(headers, columns, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(map(_td, row, columns, [place] * len(row)))}</tr>"
        for place, row in enumerate(rows)
    )
    return (
        f'<table class="botlib" style="{_STYLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _columns(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[_Column]:
    return [_column([row[place] for row in rows]) for place in range(len(headers))]


def _column(cells: Sequence[Cell]) -> _Column:
    values = [cell.value if isinstance(cell, Toned) else cell for cell in cells]
    known = [value for value in values if value is not None]
    numbers = [value for value in known if is_number(value)]
    if numbers and len(numbers) == len(known):
        texts = iter(column(numbers))
        return _Column(["" if value is None else next(texts) for value in values], "right")
    shown = [_text(value) for value in values]
    figures = [text for text in shown if text]
    right = bool(figures) and all(_FIGURE.fullmatch(text) for text in figures)
    return _Column(shown, "right" if right else "left")


def _td(cell: Cell, shown: _Column, place: int) -> str:
    tone = cell.tone if isinstance(cell, Toned) else Tone.PLAIN
    colour = "" if tone is Tone.PLAIN else f";color:{tone.value}"
    return (
        f'<td style="{_CELL}{shown.align}{shown.space}{colour}">{escape(shown.texts[place])}</td>'
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return exact(value) if is_number(value) else masked(str(value))


def html_picture(svg: str, alt: str) -> str:
    """Return an SVG drawing as an image embedded in the page.

    JupyterLab removes SVG from notebooks it does not trust yet, but shows images. An image inherits
    no colour, so ``currentColor`` is replaced by a grey that is readable on light and dark themes.
    """
    drawn = svg.replace("currentColor", "#8a8f98")
    data = b64encode(masked(drawn).encode()).decode()
    return f'<img alt="{escape(masked(alt))}" src="data:image/svg+xml;base64,{data}">'
