"""`Listing`: a frame of orders, fills, positions or streams, shown as a card in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from botlib.core.text.cards import Tone, Toned, card, lines
from botlib.core.text.formats import count, is_number
from botlib.core.text.tables import Cell, html_table
from botlib.engine.strategies.condition import TONES, StrategyState

SHOWN: Final = 20
"""Newest rows that the card shows."""

_GOOD: Final = frozenset({"buy", "filled"})
_BAD: Final = frozenset({"sell", "rejected", "expired", "unknown"})
_FLAGS: Final = frozenset({"ready"})
"""Columns in which True is shown as good and False as bad."""

_AMOUNTS: Final = frozenset({"amount", "filled", "fee", "held", "dust", "wants"})
_MONEY: Final = frozenset({"profit", "today"})
_SENTENCES: Final = ("detail", "parameters", "message", "doing", "text")
_LONGEST: Final = 240
"""Characters of a text that are shown."""

_CLOCKS: Final = {
    **dict.fromkeys(("created", "recorded", "since", "began"), "wall time"),
    **dict.fromkeys(
        ("timestamp", "opened", "candle", "last_asked", "signalled", "last_closed"), "market time"
    ),
}
"""The clock of columns whose names do not say it."""


class Listing(pd.DataFrame):
    """A frame with a title; frames computed from it are plain ones.

    Its ``repr`` is one line, its ``str`` the table.
    """

    _metadata: Final = ["title", "remarks"]
    title: str
    remarks: tuple[tuple[str, Tone], ...]
    """Lines above the table of the card, such as why entries are stopped."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        return f"<{self.title}: {len(self)} rows · {', '.join(map(str, self.columns))}>"

    def __str__(self) -> str:
        return str(pd.DataFrame(self))

    def _repr_html_(self) -> str:
        newest = pd.DataFrame(self).tail(SHOWN)
        names = [str(name) for name in newest.columns]
        headers = [f"{name} ({_CLOCKS[name]})" if name in _CLOCKS else name for name in names]
        rows = [
            [_cell(name, value) for name, value in zip(names, row, strict=True)]
            for row in newest.itertuples(index=False)
        ]
        more = len(self) - len(newest)
        return card(
            self.title,
            *(lines([text], tone) for text, tone in self.remarks),
            html_table(headers, rows, wrapped=_SENTENCES, least=16) if rows else "",
            lines([f"… and {count(more)} before"] if more else []),
            notes=count(len(self)) if len(self) else "none",
        )


def listing(frame: pd.DataFrame, title: str, remarks: Iterable[tuple[str, Tone]] = ()) -> Listing:
    """Return a frame as a listing under a title, with remarks above its table."""
    made = Listing(frame)
    made.title = title
    made.remarks = tuple(remarks)
    return made


def _cell(name: str, value: Any) -> Cell:
    if value is None or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if name in _MONEY:
        return round(value, 2)
    if is_number(value) and not name.endswith("_id"):
        # The venue's amounts keep their digits, beside a larger one too.
        return Decimal(str(value)) if name in _AMOUNTS else value
    text = str(value)
    if isinstance(value, bool):
        tone = Tone.PLAIN if name not in _FLAGS else Tone.GOOD if value else Tone.BAD
        return Toned(value, tone)
    if name == "state" and text in TONES:
        return Toned(text, TONES[StrategyState(text)])
    if text in _GOOD or text in _BAD:
        return Toned(text, Tone.GOOD if text in _GOOD else Tone.BAD)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
