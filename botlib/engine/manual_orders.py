"""`ManualOrders`: sales that a person asks for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from botlib.core.model import Order, OrderRole

if TYPE_CHECKING:
    from botlib.execution import OrderPath
    from botlib.venues.base import Exchange

PATIENCE: Final = 15.0
"""Seconds a call waits for its sale; the wish itself persists until it is done."""


class ManualOrders:
    """Sells positions at the market price on request."""

    def __init__(self, *, exchange: Exchange, orders: OrderPath) -> None:
        self._exchange = exchange
        self._orders = orders

    async def sell(self, symbol: str, strategy: str | None = None) -> Order | None:
        """Sell the position in a symbol at the market; its stop gives way at the same time.

        The wish is written down: it is done after a restart as well.

        Args:
            strategy: whose part of it; None sells all.

        Returns:
            The newest sale, or None if nothing is held that can be sold.
        """
        name = self._exchange.market(symbol).symbol
        before = self._sales(name)
        if not self._orders.leave(name, strategy=strategy):
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                await self._orders.settled(name)
        except TimeoutError:
            pass
        new = [order for order in self._sales(name) if order not in before]
        return self._orders.ledger.order(new[-1]) if new else None

    def _sales(self, symbol: str) -> list[str]:
        return [
            one.id
            for one in self._orders.ledger.of_symbol(symbol)
            if one.role in (OrderRole.EXIT, OrderRole.MANUAL)
        ]

    async def sell_everything(self) -> list[str]:
        """Sell every position at the market; return one sentence for each symbol.

        All wishes are stored before the first is carried out, and an entry that is under way is
        sold again as soon as it is filled.
        """
        before = {symbol: self._sales(symbol) for symbol in self._orders.desks}
        symbols = list(self._orders.leave_everything())
        try:
            async with asyncio.timeout(PATIENCE):
                for symbol in symbols:
                    await self._orders.settled(symbol)
        except TimeoutError:
            pass
        return [self._outcome(symbol, before[symbol]) for symbol in symbols]

    def _outcome(self, symbol: str, before: list[str]) -> str:
        sold = [name for name in self._sales(symbol) if name not in before]
        order = self._orders.ledger.order(sold[-1]) if sold else None
        if any(book.want is not None for book in self._orders.desk(symbol).books):
            return f"{symbol} is not sold yet: it is tried until it is, also after a restart."
        if order is None:
            return f"{symbol} was not sold: nothing that can be sold is held."
        return f"{order.side} {order.amount} {order.symbol}: {order.status}."
