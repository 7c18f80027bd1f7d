"""The kinds of faults, and what may be said about each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from botlib.core.errors import BotlibError, PaperExchangeError, did_you_mean
from botlib.core.timeframe import parse_duration

Check = Callable[[object], str | None]
"""Returns what is accepted where a value is not."""


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
"""Faults that strike frames on their way: drop, send twice, hold back, swap with the next one, and
damage them. ``drop_closing`` and ``late`` strike klines: the frame that says that a candle is
final, and a frame of a candle that comes after it."""

CRASHES: Final[dict[str, dict[str, Check]]] = {
    "crash_before_accept": _COUNTED,
    "crash_after_accept": _COUNTED,
}
"""The process of the exchange dies as by a power cut, at an order."""

REQUESTS: Final[dict[str, dict[str, Check]]] = {
    "http_status": {**_COUNTED, "status": _whole, "retry_after": _whole},
    "slow": _DELAYED,
    "read_lag": _DELAYED,
    "before_accept": _REPLY,
    "after_accept": _REPLY,
    **CRASHES,
}
"""Faults that strike requests: an error, a late answer, an answer from a copy that lags behind (in
market time: of candles, and of all that an account is told of itself), an order that is lost, and
one that is taken but never answered."""

SOCKET: Final[dict[str, dict[str, Check]]] = {
    "reset": _TARGET,
    "close": {**_TARGET, "code": _whole},
    "stall": {**_TARGET, **_LASTING},
    "blackhole": {**_TARGET, **_LASTING},
    "malformed": {**_TARGET, "text": _text},
    "shutdown": {**_TARGET, "notice": _duration},
    "expire": _TARGET,
}
"""Faults that strike the open sockets at once: cut, closed, silent but for pongs, silent
altogether, sent a broken frame, told of a shutdown before they are closed, and aged 24 hours."""

VENUE: Final[dict[str, dict[str, Check]]] = {
    "clock": {"skew": _integer, **_LASTING},
    "restart": {"away": _duration},
    "pause": _LASTING,
    "halt": {"symbol": _text, "status": _text, **_LASTING},
    "rules": {"symbol": _text, "changes": _mapping},
    "delist": {"symbol": _text},
    "deposit": {"account": _text, "asset": _text, "amount": _number},
    "withdraw": {"account": _text, "asset": _text, "amount": _number},
    "clear": {},
}
"""What happens to the venue itself: its clock, a restart, a market that stands still, a symbol that
is halted, changed or delisted, money that moves; ``clear`` calls off every fault that waits."""

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
    """Check what is said about a fault.

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
