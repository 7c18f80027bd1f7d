"""Times in microseconds, for clients that ask for them.

The venue itself uses milliseconds. A time that is the end of an interval, such as the close of a
candle, is converted to its last microsecond.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from botlib.paper.protocol.refusals import refusal

HEADER: Final = "X-MBX-TIME-UNIT"
"""The header that chooses the unit of a REST answer."""
PARAMETER: Final = "timeUnit"
"""The parameter of a socket's URL that chooses the unit of all times in it."""

UNITS: Final = {
    unit: micro
    for name, micro in (("MILLISECOND", False), ("MICROSECOND", True))
    for unit in (name, name.lower())
}
"""The units a client may choose, and whether they are microseconds."""

_LAST: Final = 999
"""Last microsecond of a millisecond."""
_KLINES: Final = frozenset({"klines", "uiKlines"})
_OPENED, _CLOSED = 0, 6
"""Positions of the times in a kline."""
_ANSWERED: Final = frozenset(
    {
        *("time", "serverTime", "updateTime", "workingTime", "transactTime", "transactionTime"),
        *("trailingTime", "openTime", "closeTime", "timestamp", "retryAfter", "T"),
        *("authorizedSince", "connectedSince"),
    }
)
"""The fields of answers that are times."""
_TICKERS: Final = {f"{size}Ticker": "EOC" for size in ("24hr", "1h", "4h", "1d")}
_SENT: Final = {
    **_TICKERS,
    "trade": "ET",
    "aggTrade": "ET",
    "avgPrice": "ET",
    "executionReport": "ETOWD",
    "listStatus": "ET",
    "balanceUpdate": "ET",
    "outboundAccountPosition": "Eu",
}
"""The fields of events that are times, by type of event; of all other types only ``E``."""


def wants_microseconds(sent: str | None) -> bool:
    """Return whether a client chose microseconds; the default is milliseconds.

    Raises:
        Refusal: there is no such unit.
    """
    if not sent:
        return False
    if sent not in UNITS:
        raise refusal(-1194)
    return UNITS[sent]


def answer_in_microseconds(path: str, answer: Any) -> Any:
    """Return an answer of the operation at ``path`` with its times in microseconds."""
    if path in _KLINES and isinstance(answer, list):
        return [_kline(row) for row in answer]
    # A trading day's close is the end of the day, any other ticker's the present.
    return _answer(answer, _LAST if path == "ticker/tradingDay" else 0)


def _kline(row: list[Any]) -> list[Any]:
    found = list(row)
    found[_OPENED], found[_CLOSED] = _micro(row[_OPENED]), _micro(row[_CLOSED]) + _LAST
    return found


def _answer(answer: Any, close: int) -> Any:
    if isinstance(answer, list | tuple):
        return [_answer(one, close) for one in answer]
    if not isinstance(answer, dict):
        return answer
    return {
        name: (
            _micro(value) + (close if name == "closeTime" else 0)
            if name in _ANSWERED and isinstance(value, int)
            else _answer(value, close)
        )
        for name, value in answer.items()
    }


def event_in_microseconds(event: Any) -> Any:
    """Return an event, or a list of them, with its times in microseconds."""
    if isinstance(event, list):
        return [event_in_microseconds(one) for one in event]
    if not isinstance(event, dict):
        return event
    kind = event.get("e")
    found = dict(event)
    for name in _SENT.get(str(kind), "E"):
        if isinstance(found.get(name), int):
            found[name] = _micro(found[name])
    candle = found.get("k")
    if kind == "kline" and isinstance(candle, dict):
        times = {"t": _micro(candle["t"]), "T": _micro(candle["T"]) + _LAST}
        found["k"] = {**candle, **times}
    return found


def frame_in_microseconds(raw: bytes) -> bytes:
    """Return the payload of a frame with its times in microseconds, a damaged one unchanged."""
    try:
        return orjson.dumps(event_in_microseconds(orjson.loads(raw)))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return raw


def _micro(moment: int) -> int:
    # -1 stands for no time at all.
    return moment * 1_000 if moment > 0 else moment
