"""Books: what one strategy holds of one symbol, what it wants to hold, and what protects it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, NamedTuple, Self

from botlib.core.model import OrderRole
from botlib.core.timeframe import timeframe_ms
from botlib.trading.stops import StopRules

ZERO: Final = Decimal(0)


class BookKey(NamedTuple):
    """Whose position it is: the name a strategy trades under, and a symbol."""

    strategy: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.strategy} {self.symbol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What a book is to hold, written down before anything is done about it.

    Attributes:
        target: base units, signed; 0 is an exit.
        reason: what the orders are journaled as, such as ``entry`` or ``exit``.
        decided: open time (ms) of the candle it was decided on, or the market's time.
        timeframe: of that candle.
        price: what a unit was worth then, quote units: a reference, not a limit.
        valid_until: market time (ms) from which nothing is begun any more; None is for ever.
        limit: the price of a limit entry, None for one at the market.
    """

    target: Decimal
    reason: str
    decided: int
    timeframe: str = ""
    price: Decimal = ZERO
    valid_until: int | None = None
    limit: Decimal | None = None

    @property
    def closed(self) -> int | None:
        """Market time (ms) at which its candle closed, None if it was not decided on a candle."""
        return self.decided + timeframe_ms(self.timeframe) if self.timeframe else None

    def to_dict(self) -> dict[str, Any]:
        """Return the want as JSON values."""
        return {
            "target": str(self.target),
            "reason": self.reason,
            "decided": self.decided,
            "timeframe": self.timeframe,
            "price": str(self.price),
            "valid_until": self.valid_until,
            "limit": None if self.limit is None else str(self.limit),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the want that `to_dict` described."""
        limit = values.get("limit")
        return cls(
            target=Decimal(values["target"]),
            reason=values["reason"],
            decided=values["decided"],
            timeframe=values["timeframe"],
            price=Decimal(values["price"]),
            valid_until=values["valid_until"],
            limit=None if limit is None else Decimal(limit),
        )


def flaw_of(want: Want) -> str | None:
    """Return why a want cannot be carried out on any market, None if it can."""
    if not want.target.is_finite() or want.target < 0:
        return f"{want.target} is no amount to hold; accepted are numbers from 0 up"
    for name, price in (("price", want.price), ("limit", want.limit)):
        if price is not None and (not price.is_finite() or price < 0):
            return f"{price} is no {name}; accepted are numbers from 0 up"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What limits the position of a book: rules, and the prices they have come to.

    Attributes:
        entry: client order id of the entry that is protected.
        entry_price: average price of the entry, without fees, quote units.
        high: highest high of the candles that closed since the entry, None before the first.
        stop: where the stop lies; it never falls while the position is held.
        target: where the profit is taken.
        opened: market time (ms) of the first fill of the entry, None if it is not known.
    """

    rules: StopRules = StopRules()  # noqa: RUF009  # frozen
    entry: str = ""
    entry_price: Decimal = ZERO
    high: float | None = None
    stop: Decimal | None = None
    target: Decimal | None = None
    opened: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything has to rest at the venue for the position."""
        return self.stop is not None or self.target is not None

    def priced(self, tick: Decimal) -> Protection:
        """Return the protection with its prices as the rules give them."""
        stop, target = self.stop, self.target
        if self.rules.stops:
            level = self.rules.stop_price(float(self.entry_price), self.high, tick)
            stop = level if stop is None else max(stop, level)
        if self.rules.take_profit is not None:
            target = self.rules.target_price(float(self.entry_price), tick)
        return replace(self, stop=stop, target=target)

    def to_dict(self) -> dict[str, Any]:
        """Return the protection as JSON values."""
        return {
            "rules": {
                "stop_loss": self.rules.stop_loss,
                "take_profit": self.rules.take_profit,
                "trailing_stop": self.rules.trailing_stop,
            },
            "entry": self.entry,
            "entry_price": str(self.entry_price),
            "high": self.high,
            "stop": None if self.stop is None else str(self.stop),
            "target": None if self.target is None else str(self.target),
            "opened": self.opened,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the protection that `to_dict` described."""
        stop, target = values.get("stop"), values.get("target")
        return cls(
            rules=StopRules(**values["rules"]),
            entry=values["entry"],
            entry_price=Decimal(values["entry_price"]),
            high=values["high"],
            stop=None if stop is None else Decimal(stop),
            target=None if target is None else Decimal(target),
            opened=values.get("opened"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One book as it stands.

    Attributes:
        amount: base units held, net of fees taken in the base asset.
        want: what it is to hold; None wants nothing changed.
        protection: what limits the position.
        orphaned: the strategy it belongs to has not been registered since the start.
        released: market time (ms) of the last fill of a stop or target, -1 before the first.
        sent: how many orders of each role were sent for the present entry.
    """

    key: BookKey
    amount: Decimal = ZERO
    want: Want | None = None
    protection: Protection = Protection()  # frozen
    orphaned: bool = False
    released: int = -1
    sent: Mapping[OrderRole, int] = field(default_factory=dict)
