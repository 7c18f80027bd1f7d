"""A bot that only watches a venue: strategies are asked and signals shown, nothing is ordered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from botlib.core.model import Signal
from botlib.trading.books import BookKey
from botlib.trading.stops import StopRules

ORDERS_NOTHING: Final = (
    "This bot only watches the market (mode: watch), and orders nothing. To trade play money on "
    "this computer, leave market= and mode out: bl.connect(). To trade play money of the venue, "
    "write 'mode: live' and 'exchange: {environment: testnet}' into a file and pass live=True; for "
    "a real account leave the environment out. To see the signals of a strategy here, "
    "bot.follow(strategy, symbol)."
)


KEPT_SIGNALS: Final = 1_000
"""Most signals that are kept to be shown, the newest ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSignal:
    """A signal as it is shown.

    ``ordered`` is False for one of a strategy that is only followed, ``live`` is False for one on a
    candle that had closed before the strategy was followed.
    """

    signal: Signal
    ordered: bool
    live: bool


class SignalHistory:
    """The newest signals of all strategies, also of those that were stopped."""

    def __init__(self) -> None:
        self._signals: deque[RecordedSignal] = deque(maxlen=KEPT_SIGNALS)
        self.revision = 0
        """It changes whenever the signals do."""

    def all(self) -> list[RecordedSignal]:
        """Return the signals in the order of their candles."""
        return sorted(self._signals, key=lambda one: one.signal.timestamp)

    def followed(self, symbol: str) -> list[Signal]:
        """Return the signals on a symbol that were not ordered."""
        mine = (one.signal for one in self._signals if not one.ordered)
        return [signal for signal in mine if signal.symbol == symbol]

    def add(self, signals: Iterable[Signal], *, ordered: bool, live: bool) -> None:
        """Add signals."""
        for signal in signals:
            self._signals.append(RecordedSignal(signal=signal, ordered=ordered, live=live))
            self.revision += 1

    def forget(self, strategy: str) -> None:
        """Drop the signals of an earlier strategy of this name that was followed."""
        kept = [one for one in self._signals if one.ordered or one.signal.strategy != strategy]
        self._signals = deque(kept, maxlen=KEPT_SIGNALS)
        self.revision += 1


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
