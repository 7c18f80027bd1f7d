"""Small tables for people: plain text in a terminal, compact HTML in a notebook.

The HTML carries its own style, follows light and dark themes through ``currentColor``, and escapes
every cell.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from tabulate import tabulate

Cell = object
"""Anything with a readable ``str``; None is shown as an empty cell."""

_STYLE = "font:12px/1.5 ui-monospace,monospace;border-collapse:collapse;margin:.3em 0"
_CELL = "text-align:left;padding:.1em .8em .1em 0;white-space:nowrap"


def text_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table as aligned plain text."""
    return tabulate(_texts(rows), headers=list(headers), tablefmt="simple", disable_numparse=True)


def html_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], *, title: str = "") -> str:
    """Return a table as self-contained HTML, under a bold title where one is given."""
    head = "".join(f'<th style="{_CELL};opacity:.6">{escape(name)}</th>' for name in headers)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in _texts(rows)
    )
    caption = f"<div><b>{escape(title)}</b></div>" if title else ""
    return (
        f'<div class="botlib">{caption}<table style="{_STYLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _texts(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    return [["" if cell is None else str(cell) for cell in row] for row in rows]


def html_picture(svg: str, alt: str) -> str:
    """Return an SVG drawing as an image that stands in the page itself.

    JupyterLab strips drawings from notebooks it does not trust yet, but shows images. An image
    inherits no colour, so ``currentColor`` becomes a grey that light and dark themes both show.
    """
    drawn = svg.replace("currentColor", "#8a8f98")
    data = b64encode(drawn.encode()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'
