"""An account: its balances, and its orders and trades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.archive import OrderArchive, TradeArchive
from botlib.paper.accounts.orders import PaperOrder

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class PaperBalance:
    """What is owned of one asset; ``locked`` is held back by open orders."""

    free: Decimal = _NOTHING
    locked: Decimal = _NOTHING


class PaperAccount:
    """One account. ``burns_bnb`` tells whether it pays its fees in BNB where it has some."""

    def __init__(
        self,
        name: str,
        orders: OrderArchive,
        trades: TradeArchive,
        balances: Mapping[str, PaperBalance],
    ) -> None:
        self.name = name
        self.balances: dict[str, PaperBalance] = dict(balances)
        self.orders = orders
        self.trades = trades
        self.burns_bnb = False
        self.updated = 0

    def balance(self, asset: str) -> PaperBalance:
        """Return what is owned of an asset."""
        return self.balances.get(asset) or PaperBalance()

    def open_orders(self, symbol: str | None = None) -> list[PaperOrder]:
        """Return the open orders, of one symbol (by id) or all, the oldest first."""
        return self.orders.open(symbol)

    def by_client_id(self, symbol: str, client_order_id: str) -> PaperOrder | None:
        """Return the newest order with a client id."""
        return self.orders.named(symbol, client_order_id)
