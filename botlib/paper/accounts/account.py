"""One account: its balances, and its orders and trades."""

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
    """The balance of one asset.

    Attributes:
        free: available for orders and withdrawals.
        locked: reserved by open orders.
    """

    free: Decimal = _NOTHING
    locked: Decimal = _NOTHING


class PaperAccount:
    """One account.

    Attributes:
        burns_bnb: whether it pays its commissions in BNB while it has enough.
        updated: market time (ms) of the last change.
    """

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
        """Return the balance of an asset, zero if the account never had any."""
        return self.balances.get(asset) or PaperBalance()

    def open_orders(self, symbol: str | None = None) -> list[PaperOrder]:
        """Return the open orders of one symbol (by id) or of all symbols, oldest first."""
        return self.orders.open(symbol)

    def by_client_id(self, symbol: str, client_order_id: str) -> PaperOrder | None:
        """Return the newest order with a client id, None if there is none."""
        return self.orders.by_client_id(symbol, client_order_id)
