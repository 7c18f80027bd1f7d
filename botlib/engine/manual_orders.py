"""`ManualOrders`: sales that a person asks for."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.errors import BotlibError
from botlib.core.model import Order, Signal, SignalAction

if TYPE_CHECKING:
    from botlib.core.clock import MarketClock
    from botlib.execution import OrderExecutor
    from botlib.frames import MultiTimeframeEngine
    from botlib.trading.positions import PositionManager
    from botlib.venues.base import Exchange

MANUAL: Final = "by-hand"
"""Journaled in place of a strategy's name."""


class ManualOrders:
    """Sells positions at the market price on request.

    Args:
        timeframe: journaled with the signal of the sale.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        orders: OrderExecutor,
        positions: PositionManager,
        frames: MultiTimeframeEngine,
        clock: MarketClock,
        timeframe: str,
    ) -> None:
        self._exchange = exchange
        self._orders = orders
        self._positions = positions
        self._frames = frames
        self._clock = clock
        self._timeframe = timeframe

    async def sell(self, symbol: str) -> Order | None:
        """Sell the position in a symbol at the market, after cancelling its stop.

        Returns:
            The order, or None if nothing is held that can be sold.
        """
        name = self._exchange.market(symbol).symbol
        signal = Signal(
            strategy=MANUAL,
            symbol=name,
            timeframe=self._timeframe,
            timestamp=self._clock.now(),
            action=SignalAction.EXIT,
            price=self._frames.last_close(name) or 0.0,
        )
        return await self._orders.execute(signal, Decimal(0))

    async def sell_everything(self) -> list[str]:
        """Sell every position at the market; return one sentence for each."""
        sentences = []
        for position in self._positions.all():
            if position.flat:
                continue
            try:
                order = await self.sell(position.symbol)
            except BotlibError as error:
                # The other positions are sold all the same.
                sentences.append(f"{position.symbol} was not sold: {error}")
                continue
            if order is None:
                why = self._orders.refused.get(MANUAL, "nothing that can be sold is held")
                sentences.append(f"{position.symbol} was not sold: {why}.")
            else:
                sentences.append(f"{order.side} {order.amount} {order.symbol}: {order.status}.")
        return sentences
