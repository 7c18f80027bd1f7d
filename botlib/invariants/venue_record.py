"""The record of the venue, read from its ledger: orders, trades and balances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from botlib.core.symbol import split_symbol
from botlib.venues.symbols import unified_symbol

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order at the venue; times are market time (ms), symbols the venue's ids."""

    order_id: int
    client_order_id: str
    symbol: str
    side: str
    type: str
    status: str
    amount: Decimal
    executed: Decimal
    cost: Decimal
    stop_price: Decimal
    created: int

    @property
    def open(self) -> bool:
        """Whether the order can trade now."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def finished(self) -> bool:
        """Whether the order will never trade again; one that waits for another is not."""
        return not self.open and self.status != "PENDING_NEW"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueTrade:
    """A trade at the venue; symbols are the venue's ids."""

    trade_id: int
    order_id: int
    symbol: str
    side: str
    price: Decimal
    amount: Decimal
    commission: Decimal
    commission_asset: str
    time: int

    def change(self, asset: str) -> Decimal:
        """Return the change of the account's balance of an asset by this trade."""
        base, quote = split_symbol(unified_symbol(self.symbol))
        sign = 1 if self.side == "BUY" else -1
        changed = sign * self.amount if asset == base else ZERO
        if asset == quote:
            changed -= sign * self.price * self.amount
        if asset == self.commission_asset:
            changed -= self.commission
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRecord:
    """The ledger of the venue at one moment of market time (ms), or what is new in it.

    It has all trades of its orders.
    """

    market_time: int
    orders: tuple[VenueOrder, ...]
    trades: tuple[VenueTrade, ...]
    balances: Mapping[str, Decimal]
    """Amounts by asset, free and locked together."""
    repeated: Mapping[str, int] = field(default_factory=dict)
    """The client order ids of several orders, with their number, since the ledger was created."""

    @classmethod
    def read(cls, ledger: Mapping[str, Any]) -> VenueRecord:
        """Parse an answer of `PaperControl.ledger`."""
        return cls(
            market_time=ledger["market_time"],
            orders=tuple(
                VenueOrder(
                    order_id=one["order_id"],
                    client_order_id=one["client_order_id"],
                    symbol=one["symbol"],
                    side=one["side"],
                    type=one["type"],
                    status=one["status"],
                    amount=Decimal(one["amount"]),
                    executed=Decimal(one["executed"]),
                    cost=Decimal(one["cost"]),
                    stop_price=Decimal(one.get("stop_price", "0")),
                    created=one["created"],
                )
                for one in ledger["orders"]
            ),
            trades=tuple(
                VenueTrade(
                    trade_id=one["trade_id"],
                    order_id=one["order_id"],
                    symbol=one["symbol"],
                    side=one["side"],
                    price=Decimal(one["price"]),
                    amount=Decimal(one["amount"]),
                    commission=Decimal(one["commission"]),
                    commission_asset=one["commission_asset"],
                    time=one["time"],
                )
                for one in ledger["trades"]
            ),
            repeated=ledger.get("repeated", {}),
            balances={
                asset: Decimal(one["free"]) + Decimal(one["locked"])
                for asset, one in ledger["balances"].items()
            },
        )

    def balance(self, asset: str) -> Decimal:
        """Return the account's amount of an asset."""
        return self.balances.get(asset, ZERO)

    def ours(self, known: Mapping[str, object]) -> dict[int, VenueOrder]:
        """Return the orders whose client order ids are known, by their ids at the venue."""
        return {one.order_id: one for one in self.orders if one.client_order_id in known}
