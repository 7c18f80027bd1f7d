"""The kinds of faults, and the details that each accepts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from botlib.core.errors import BotlibError, PaperExchangeError, did_you_mean
from botlib.core.timeframe import parse_duration

Check = Callable[[object], str | None]
"""Returns the accepted values if a value is not accepted, else None."""


def _text(value: object) -> str | None:
    return None if isinstance(value, str) else "a text"


def _number(value: object) -> str | None:
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    return None if sound and math.isfinite(value) and value >= 0 else "a number from 0 up"  # type: ignore[arg-type, operator]


def _whole(value: object) -> str | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if sound else "a whole number from 0 up"


def _integer(value: object) -> str | None:
    sound = isinstance(value, int) and not isinstance(value, bool)
    return None if sound else "a whole number of ms"


def _fraction(value: object) -> str | None:
    if _number(value) is None and value <= 1:  # type: ignore[operator]
        return None
    return "a fraction from 0 to 1"


def _duration(value: object) -> str | None:
    try:
        parse_duration(value)  # type: ignore[arg-type]
    except BotlibError:
        return "seconds, or a text such as '30s'"
    return None


def _one_of(*accepted: object) -> Check:
    def check(value: object) -> str | None:
        return None if value in accepted else " or ".join(map(str, accepted))

    return check


def _mapping(value: object) -> str | None:
    return None if isinstance(value, Mapping) and value else "names with their values"


_COUNTED: Final[dict[str, Check]] = {
    "count": _whole,
    "skip": _whole,
    "probability": _fraction,
    "match": _text,
    "symbol": _text,
    "for": _duration,
}
_TARGET: Final[dict[str, Check]] = {"target": _one_of("streams", "user", "all")}
_LASTING: Final[dict[str, Check]] = {"for": _duration}
_REPLY: Final[dict[str, Check]] = {**_COUNTED, "reply": _one_of("drop", "hang", "timeout")}
_DELAYED: Final[dict[str, Check]] = {**_COUNTED, "seconds": _duration}

FRAMES: Final[dict[str, dict[str, Check]]] = {
    "drop": _COUNTED,
    "duplicate": _COUNTED,
    "delay": _DELAYED,
    "reorder": _COUNTED,
    "corrupt": {**_COUNTED, "text": _text, "values": _mapping},
    "drop_closing": _COUNTED,
    "late": _COUNTED,
}
"""Faults of frames: they are dropped, repeated, delayed, swapped with the next one, or damaged.
``drop_closing`` drops the closing frame of a kline, ``late`` sends a frame of a candle after it."""

CRASHES: Final[dict[str, dict[str, Check]]] = {
    "crash_before_accept": _COUNTED,
    "crash_after_accept": _COUNTED,
}
"""The process of the exchange is killed at an order, as by a power cut."""

REQUESTS: Final[dict[str, dict[str, Check]]] = {
    "http_status": {**_COUNTED, "status": _whole, "retry_after": _whole},
    "slow": _DELAYED,
    "read_lag": _DELAYED,
    "before_accept": _REPLY,
    "after_accept": _REPLY,
    **CRASHES,
}
"""Faults of requests: an error, a late answer, an answer from a replica that lags behind in market
time (candles, and all data of an account), an order that is lost, and an order that is accepted but
not answered."""

SOCKET: Final[dict[str, dict[str, Check]]] = {
    "reset": _TARGET,
    "close": {**_TARGET, "code": _whole},
    "stall": {**_TARGET, **_LASTING},
    "blackhole": {**_TARGET, **_LASTING},
    "malformed": {**_TARGET, "text": _text},
    "shutdown": {**_TARGET, "notice": _duration},
    "expire": _TARGET,
}
"""Faults of the open sockets, at once: aborted, closed, silent except for pongs, silent, sent a
malformed frame, closed after the notice of a shutdown, and aged by 24 hours."""

VENUE: Final[dict[str, dict[str, Check]]] = {
    "clock": {"skew": _integer, **_LASTING},
    "restart": {"away": _duration},
    "pause": _LASTING,
    "halt": {"symbol": _text, "status": _text, **_LASTING},
    "rules": {"symbol": _text, "changes": _mapping},
    "limits": {"weight": _whole, "orders_10s": _whole, "orders_1d": _whole},
    "delist": {"symbol": _text},
    "deposit": {"account": _text, "asset": _text, "amount": _number},
    "withdraw": {"account": _text, "asset": _text, "amount": _number},
    "clear": {},
}
"""Faults and changes of the venue: its clock, a restart, a paused market, a symbol that is halted,
changed or delisted, its limits of requests, deposits and withdrawals; ``clear`` cancels all faults
that wait."""

KINDS: Final = {**FRAMES, **REQUESTS, **SOCKET, **VENUE}

_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "clock": ("skew",),
    "halt": ("symbol",),
    "rules": ("symbol", "changes"),
    "delist": ("symbol",),
    "deposit": ("asset", "amount"),
    "withdraw": ("asset", "amount"),
}


def check_details(kind: object, details: Mapping[str, object]) -> None:
    """Check the kind and the details of a fault.

    Raises:
        PaperExchangeError: the kind or a detail is unknown, missing, or not accepted.
    """
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise PaperExchangeError(
            f"Unknown fault {kind!r}. Accepted: {', '.join(KINDS)}."
            f"{did_you_mean(str(kind), tuple(KINDS))}"
        )
    for name, value in details.items():
        if name not in known:
            raise PaperExchangeError(
                f"Unknown detail {name!r} of the fault {kind}. "
                f"Accepted: {', '.join(known) or 'none'}.{did_you_mean(name, tuple(known))}"
            )
        accepted = known[name](value)
        if accepted is not None:
            raise PaperExchangeError(
                f"{name} of the fault {kind} is {value!r}. Accepted: {accepted}."
            )
    for name in _NEEDED.get(str(kind), ()):
        if name not in details:
            raise PaperExchangeError(f"The fault {kind} needs {name!r}.")
