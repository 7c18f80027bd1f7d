"""Strict checks of the answers that Binance's own SDK parses: every type and every field."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.constants import TimeUnit
from binance_common.errors import Error
from binance_sdk_spot.spot import Spot
from pydantic import BaseModel
from session import Session, snake

NUMBERS = ("quantity", "qty", "price", "delta")

CONDITIONAL = {"icebergQty", "stopPrice", "trailingDelta", "trailingTime"}
CONDITIONAL |= {"selfTradePreventionMode", "pegPriceType", "pegOffsetType", "pegOffsetValue"}
CONDITIONAL |= {"peggedPrice"}
"""Fields of orders that only some models of the SDK have."""


NEWER = frozenset({"expiryReason"})
"""Fields that Binance sends since 2026-03-26, and this version of its SDK does not know."""


class Complaints(logging.Handler):
    """A log handler that collects answers which do not match the models of the SDK."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    def none(self) -> None:
        texts, self.texts = self.texts, []
        assert not texts, texts


COMPLAINTS = Complaints()


def models(value: object) -> Iterator[BaseModel]:
    """Yield every model inside an answer."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            if name not in ("one_of_schemas", "any_of_schemas"):
                yield from models(getattr(value, name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from models(one)


def known(value: Any) -> Any:
    """Return an answer after checking that the SDK knows its fields and types."""
    COMPLAINTS.none()
    for model in models(value):
        extra = {*getattr(model, "additional_properties", ())} - CONDITIONAL - NEWER
        assert not extra, f"{type(model).__name__} does not know {sorted(extra)}"
    return value


def whole(value: Any, *optional: str) -> Any:
    """Return an answer after checking that it also has all fields of its model.

    Args:
        optional: fields that may be missing.
    """
    for model in models(known(value)):
        absent = {name for name in type(model).model_fields if getattr(model, name) is None}
        absent -= {*optional, "actual_instance"}
        absent = {
            name
            for name in absent
            if not name.startswith(("oneof_", "anyof_")) and not name.endswith("_exponent")
        }
        assert not absent, f"{type(model).__name__} lacks {sorted(absent)}"
    return value


def wished(params: dict[str, str]) -> dict[str, Any]:
    """Return parameters as users of the SDK write them: in snake case, with numbers as numbers."""
    return {
        name: (int(value) if name.endswith("delta") else float(value))
        if name.endswith(NUMBERS)
        else value
        for name, value in snake(params).items()
    }


def refused(call: Callable[..., Any], kind: type[Error], code: int, **params: Any) -> None:
    try:
        answer = call(**params)
    except Error as error:
        assert isinstance(error, kind), repr(error)
        assert error.status_code == code, error
    else:
        raise AssertionError(f"not refused: {answer.data()}")


def spot(
    session: Session,
    key: str,
    secret: str | None,
    private_key: str | None = None,
    unit: str | None = None,
) -> Spot:
    """Return the SDK's client of the paper exchange; ``unit`` is the time unit."""
    patient = {"api_key": key, "api_secret": secret, "private_key": private_key}
    # REST needs the time unit as text, sockets need the enumeration of the SDK.
    told = TimeUnit(unit) if unit is not None else None
    return Spot(
        ConfigurationRestAPI(
            **patient, base_path=session.url, timeout=30_000, retries=0, time_unit=unit
        ),
        ConfigurationWebSocketAPI(
            **patient, stream_url=f"{session.ws}/ws-api/v3", timeout=30_000, time_unit=told
        ),
        ConfigurationWebSocketStreams(stream_url=session.ws, time_unit=told),
    )
