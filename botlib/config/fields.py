"""The types of single values of the configuration: how they are written, read and limited."""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from botlib.core.timeframe import parse_duration, parse_since, timeframe_ms
from botlib.venues.symbols import unified_symbol


def _listed(value: Any) -> Any:
    """Return one name as a list of it."""
    return [value] if isinstance(value, str) else value


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _timeframe(value: Any) -> str:
    timeframe_ms(value)
    return str(value)


def _positive_duration(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("a duration of 0 is not accepted here; write for example '30s'")
    return seconds


def _number(value: Any) -> Any:
    # Pydantic would read true as 1.
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    return value


def _speed(value: Any) -> float | str:
    if value == "max":
        return "max"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # Compared before the conversion, as an int may be too large for a float.
        if 0 < value <= sys.float_info.max:
            return float(value)
    raise ValueError(f"cannot use {value!r} as a speed; accepted: a number above 0, or 'max'")


def _start(value: Any) -> str | int | None:
    if value is None or value == "now":
        return value  # type: ignore[no-any-return]
    moment: datetime | None = None
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    elif isinstance(value, int) and not isinstance(value, bool) and 10**11 < value < 10**14:
        return value
    if moment is None:
        raise ValueError(
            f"cannot use {value!r} as a start; accepted: now, null, or a UTC time such as "
            "'2026-01-05' or '2026-01-05T12:00:00'"
        )
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000)


def _stretch_end(value: Any) -> int | str | None:
    """Return a point in time in ms, or a span such as ``"30d"`` as it is."""
    if value is None:
        return None
    early, late = (parse_since(value, now) for now in (10**13, 2 * 10**13))
    return early if early == late else str(value).strip()


def _paths(value: Any) -> Any:
    return [value] if isinstance(value, (str, Path)) else value


def _loopback_url(value: Any) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(str(value))
        port, host = parts.port, parts.hostname
    except ValueError:
        parts, port, host = urlsplit(""), None, None
    bare = parts.path in ("", "/") and not parts.query and "@" not in parts.netloc
    if parts.scheme != "http" or not port or not bare or host not in ("127.0.0.1", "localhost"):
        raise ValueError(
            "the paper exchange is reached on this computer only; "
            "accepted: null, or an address of the form 'http://127.0.0.1:8123'"
        )
    return f"http://127.0.0.1:{port}"


def _assets(balances: dict[str, Decimal]) -> dict[str, Decimal]:
    if not balances:
        raise ValueError("at least one balance is needed, for example {USDT: 10000}")
    for asset in balances:
        if not re.fullmatch(r"[A-Z0-9]{1,20}", asset):
            raise ValueError(f"cannot read {asset!r} as an asset; accepted: a name such as 'USDT'")
    return balances


Symbol = Annotated[str, PlainValidator(unified_symbol)]
Timeframe = Annotated[str, PlainValidator(_timeframe)]
Duration = Annotated[float, PlainValidator(_positive_duration)]
Money = Annotated[Decimal, BeforeValidator(_number), Field(ge=0)]
PositiveMoney = Annotated[Decimal, BeforeValidator(_number), Field(gt=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Switch = Annotated[bool, Field(strict=True)]

Symbols = Annotated[
    tuple[Symbol, ...], BeforeValidator(_listed), Field(min_length=1), AfterValidator(_unique)
]
Timeframes = Annotated[
    tuple[Timeframe, ...], BeforeValidator(_listed), Field(min_length=1), AfterValidator(_unique)
]

Start = Annotated[Literal["now"] | int | None, PlainValidator(_start)]
Moment = Annotated[int | str | None, PlainValidator(_stretch_end)]
Speed = Annotated[float | Literal["max"], PlainValidator(_speed)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_paths)]
Balances = Annotated[dict[str, Money], AfterValidator(_assets)]
Fraction = Annotated[Decimal, BeforeValidator(_number), Field(ge=0, lt=1)]
SignedFraction = Annotated[Decimal, BeforeValidator(_number), Field(gt=-1, lt=1)]
PositiveFraction = Annotated[Decimal, BeforeValidator(_number), Field(gt=0, lt=1)]
LoopbackUrl = Annotated[str | None, PlainValidator(_loopback_url)]
