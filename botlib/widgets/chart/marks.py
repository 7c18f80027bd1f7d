"""Marks over the candles: markers of entries and exits, price lines, shaded ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.text.masking import masked, masked_values
from botlib.core.timeframe import open_time

ENTRY_COLOUR: Final = "#2f6fed"
EXIT_COLOUR: Final = "#f2762e"
STOP_COLOUR: Final = "#ef5350"
TARGET_COLOUR: Final = "#26a69a"
ORDER_COLOUR: Final = "#8b93a1"

_LOOKS: Final[dict[str, dict[str, str]]] = {
    "entry": {"position": "belowBar", "shape": "arrowUp", "color": ENTRY_COLOUR},
    "exit": {"position": "aboveBar", "shape": "arrowDown", "color": EXIT_COLOUR},
    "stop": {"position": "aboveBar", "shape": "arrowDown", "color": STOP_COLOUR},
    "target": {"position": "aboveBar", "shape": "arrowDown", "color": TARGET_COLOUR},
    "entry signal": {"position": "belowBar", "shape": "circle", "color": ENTRY_COLOUR},
    "exit signal": {"position": "aboveBar", "shape": "circle", "color": EXIT_COLOUR},
    "note": {"position": "aboveBar", "shape": "circle", "color": ORDER_COLOUR},
}
_LINES: Final[dict[str, tuple[str, str]]] = {
    "position": (ENTRY_COLOUR, "solid"),
    "stop": (STOP_COLOUR, "dashed"),
    "target": (TARGET_COLOUR, "dashed"),
    "order": (ORDER_COLOUR, "dotted"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """An event at a moment.

    Attributes:
        timestamp: ms, UTC; it is drawn at the candle that contains it.
        kind: ``entry``, ``exit``, ``stop`` or ``target`` (exits by these); ``entry signal`` or
            ``exit signal`` (nothing was ordered); ``note``.
        text: a few characters next to it.
        details: what it was, as labels and values, shown where it is pointed at.
    """

    timestamp: int
    kind: str
    text: str = ""
    details: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _check("marker", self.kind, _LOOKS)

    def wire(self, timeframe: str) -> dict[str, Any]:
        """Return it as JSON values, at the open time of its candle."""
        plain: dict[str, Any] = {
            "time": open_time(self.timestamp, timeframe) / 1_000,
            "at": self.timestamp // 1_000,
            "kind": self.kind,
            **_LOOKS[self.kind],
            "text": masked(self.text),
        }
        if self.details:
            plain["card"] = [list(masked_values(one)) for one in self.details]
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A price, now or over a past range of candles.

    Attributes:
        id: unique among the lines of the chart.
        kind: ``position``, ``stop``, ``target`` or ``order``.
        price: the current or last price.
        title: a few characters at its end; a line over a past range has none.
        steps: for a line over a past range: the open time (ms) of the candle from which it held,
            and the price. Empty for a current line, which is drawn over the full width.
        end: open time of the last candle of the range, ms; None is the newest.
    """

    id: str
    kind: str
    price: float
    title: str = ""
    steps: tuple[tuple[int, float], ...] = ()
    end: int | None = None

    def __post_init__(self) -> None:
        _check("line", self.kind, _LINES)

    def wire(self) -> dict[str, Any]:
        """Return it as JSON values."""
        colour, style = _LINES[self.kind]
        plain: dict[str, Any] = {
            "id": self.id,
            "price": self.price,
            "color": colour,
            "title": self.title,
            "style": style,
        }
        if self.steps:
            plain["steps"] = [[since / 1_000, price] for since, price in self.steps]
            if self.end is not None:
                plain["to"] = self.end / 1_000
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Shade:
    """A range of candles that were ``repaired`` or are ``missing``.

    ``start`` and ``end`` are the open times (ms) of its first and its last candle.
    """

    start: int
    end: int
    kind: str

    def wire(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"from": self.start / 1_000, "to": self.end / 1_000, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class Marks:
    """Everything that is drawn over the candles."""

    markers: tuple[Marker, ...] = ()
    lines: tuple[Line, ...] = ()
    shades: tuple[Shade, ...] = ()

    def wire(self, timeframe: str, start: int) -> dict[str, Any]:
        """Return the marks at or after ``start`` (ms) as JSON values, markers in order of time."""
        markers = sorted(
            (one for one in self.markers if one.timestamp >= start), key=lambda one: one.timestamp
        )
        return {
            "markers": [one.wire(timeframe) for one in markers],
            "lines": [one.wire() for one in self.lines if one.end is None or one.end >= start],
            "shades": [one.wire() for one in self.shades if one.end >= start],
        }


def _check(what: str, kind: str, known: dict[str, Any]) -> None:
    if kind not in known:
        raise InvalidInput(
            f"There is no {what} of the kind {kind!r}. Accepted: {', '.join(known)}."
            f"{did_you_mean(str(kind), known)}"
        )
