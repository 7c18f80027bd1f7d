"""Cards: the common look of all objects shown in a notebook.

A card is a piece of HTML with its own style. It needs no stylesheet, script or network, and is
readable on light and dark backgrounds: text takes the colour of the page, and the few signal
colours have contrast on both. All texts are escaped, except HTML built here or in
`botlib.core.text.tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from botlib.core.text.masking import masked
from botlib.core.text.tables import Tone, Toned, html_picture

__all__ = [
    "FONT", "Tone", "Toned", "card", "figures", "html_badge", "lines", "section", "spark",
]  # fmt: skip

FONT: Final = "font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
_FRAME: Final = (
    f"{FONT};font-variant-numeric:tabular-nums;max-width:100%;overflow-x:auto;"
    "border:1px solid rgba(138,143,152,.35);border-radius:6px;padding:.5em .8em"
)
BADGE_COLOURS: Final = {
    "REPLAY": "#56677d",
    "MIRROR": "#6b4fb3",
    "WATCH": "#0d7f86",
    "TESTNET": "#9a5b00",
    "DEMO": "#a2418a",
    "LIVE": Tone.BAD.value,
}
"""Backgrounds of badges by their first word, readable with white text in light and dark; others
have a frame. The pages of chart and dashboard have the same (``js/src/base.css``)."""

_SPARK: Final = (260, 44)


def card(
    title: str, *blocks: str, notes: str = "", tone: Tone = Tone.PLAIN, badge: str = ""
) -> str:
    """Return a framed card: a headline, with blocks of HTML below it.

    Args:
        title: the headline.
        blocks: HTML built by this module or `botlib.core.text.tables`.
        notes: text in a fainter colour beside the title.
        tone: tone of the dot before the title; PLAIN draws none.
        badge: a short word before the title, such as ``PAPER``.
    """
    dot = f"{_coloured('●', tone)} " if tone is not Tone.PLAIN else ""
    mark = f"{html_badge(badge)} " if badge else ""
    small = f' <span style="opacity:.65">{_escaped(notes)}</span>' if notes else ""
    # A bar in the colour of the state, visible at a glance.
    edge = f";border-left:3px solid {tone.value}" if tone is not Tone.PLAIN else ""
    return (
        f'<div class="botlib" style="{_FRAME}{edge}">'
        f"<div>{mark}{dot}<b>{_escaped(title)}</b>{small}</div>{''.join(blocks)}</div>"
    )


def figures(items: Iterable[tuple[str, object]]) -> str:
    """Return labelled figures side by side; a `Toned` value is drawn in its colour."""
    cells = "".join(
        '<div style="min-width:6.5em">'
        f'<div style="opacity:.65">{_escaped(label)}</div><div>{_bold(value)}</div></div>'
        for label, value in items
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:.3em 1.4em;margin:.3em 0">{cells}</div>'


def lines(texts: Iterable[object], tone: Tone = Tone.PLAIN) -> str:
    """Return texts one below the other; unlike the cells of a table, they wrap."""
    return "".join(f"<div>{_coloured(text, tone)}</div>" for text in texts)


def section(title: str, *blocks: str) -> str:
    """Return blocks of HTML under a small heading inside a card."""
    return (
        f'<div style="margin-top:.5em;opacity:.65;letter-spacing:.04em">{_escaped(title)}</div>'
        f"{''.join(blocks)}"
    )


def html_badge(text: str) -> str:
    """Return a short word in a frame; the name of a kind of market has a colour of its own."""
    colour = BADGE_COLOURS.get(text.upper().partition(" ")[0])
    if colour is not None:
        paint = f"background:{colour};border:1px solid {colour};color:#fff"
    else:
        paint = f"border:1px solid {Tone.INFO.value};color:{Tone.INFO.value}"
    return (
        f'<span style="{paint};border-radius:3px;padding:0 .5em;font-weight:600">'
        f"{_escaped(text)}</span>"
    )


def spark(values: Sequence[float], *, level: float | None = None, alt: str = "equity") -> str:
    """Return a small line chart of values as an image.

    Args:
        values: values at equal steps; NaN values are skipped.
        level: value of a dashed horizontal line, such as the first one.
        alt: alternative text of the image.

    Returns:
        HTML, or an empty text if there are fewer than two values.
    """
    width, height = _SPARK
    known = [value for value in values if value == value]
    if len(known) < 2:
        return ""
    step = max(1, len(known) // width)
    shown = [*known[:-1:step], known[-1]]
    ends = [*shown, *([level] if level is not None else [])]
    low, high = min(ends), max(ends)
    scale = (height - 6) / (high - low) if high > low else 0.0

    def y(value: float) -> float:
        return height - 3 - (value - low) * scale if scale else height / 2

    points = " ".join(
        f"{index * width / (len(shown) - 1):.1f},{y(value):.1f}"
        for index, value in enumerate(shown)
    )
    base = (
        ""
        if level is None
        else f'<line x1="0" x2="{width}" y1="{y(level):.1f}" y2="{y(level):.1f}" '
        'stroke="currentColor" stroke-opacity=".5" stroke-dasharray="3 3"/>'
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{base}<polyline points="{points}" fill="none" '
        f'stroke="{Tone.INFO.value}" stroke-width="1.5"/></svg>'
    )
    return html_picture(svg, alt)


def _bold(value: object) -> str:
    tone = value.tone if isinstance(value, Toned) else Tone.PLAIN
    return f"<b>{_coloured('–' if value is None else value, tone)}</b>"


def _coloured(text: object, tone: Tone) -> str:
    plain = _escaped(text)
    return plain if tone is Tone.PLAIN else f'<span style="color:{tone.value}">{plain}</span>'


def _escaped(text: object) -> str:
    return escape(masked(str(text)))
