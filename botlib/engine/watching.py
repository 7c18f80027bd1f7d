"""A bot that only watches a venue: strategies are asked and signals shown, nothing is ordered."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Protocol

from botlib.core.model import Signal
from botlib.trading.books import BookKey
from botlib.trading.stops import StopRules

ORDERS_NOTHING: Final = (
    "This bot only watches the market (mode: watch), and orders nothing. To trade play money on "
    "this computer, leave market= and mode out: bl.connect(). To trade play money of the venue, "
    "write 'mode: live' and 'exchange: {environment: testnet}' into a file and pass live=True; for "
    "a real account leave the environment out. To see the signals of a strategy here, list it "
    "under 'strategies'."
)


class SignalReceiver(Protocol):
    """What a `SignalGenerator` hands signals to: the order path, or nobody."""

    def register(self, strategy: str, symbol: str, rules: StopRules) -> None:
        """Note that a strategy trades a symbol."""

    def unregister(self, strategy: str, symbol: str) -> None:
        """Note that it no longer does."""

    def signal(self, signal: Signal, order_cost: Decimal) -> None:
        """Act on a signal."""

    def opened(self, key: BookKey) -> int | None:
        """Return when the entry of a book was first filled, None if it is flat."""

    def candle(self, strategy: str, symbol: str, high: float | None) -> None:
        """Note the highest high since the entry."""

    async def settled(self, symbol: str) -> None:
        """Wait until every signal was acted on."""


class NoOrders:
    """The receiver of signals in a bot that only watches; they are shown and go no further."""

    def register(self, strategy: str, symbol: str, rules: StopRules) -> None:
        """Do nothing."""

    def unregister(self, strategy: str, symbol: str) -> None:
        """Do nothing."""

    def signal(self, signal: Signal, order_cost: Decimal) -> None:
        """Do nothing."""

    def opened(self, key: BookKey) -> int | None:
        """Return None: nothing is held."""
        return None

    def candle(self, strategy: str, symbol: str, high: float | None) -> None:
        """Do nothing."""

    async def settled(self, symbol: str) -> None:
        """Do nothing."""
