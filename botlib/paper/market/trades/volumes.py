"""What the accounts' trades change about the candles of the market."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from botlib.paper.market.trades.steps import PublicTrade


@dataclass(slots=True)
class AccountVolume:
    """What the accounts' trades add to a candle; what they replaced counts as a negative amount.

    Attributes:
        amount: in base units.
        cost: in quote units.
        bought: part of the amount whose takers bought.
        bought_cost: its cost.
        high: highest price of an account's trade, as is ``low``.
    """

    amount: float = 0.0
    cost: float = 0.0
    bought: float = 0.0
    bought_cost: float = 0.0
    high: float = -inf
    low: float = inf

    def add(self, price: float, amount: float, *, bought: bool) -> None:
        """Add an amount at a price; a negative one was replaced."""
        cost = price * amount
        self.amount += amount
        self.cost += cost
        if bought:
            self.bought += amount
            self.bought_cost += cost

    def trade(self, trade: PublicTrade) -> None:
        """Add a trade."""
        self.add(trade.price, trade.amount, bought=not trade.seller_taker)
        self.high = max(self.high, trade.price)
        self.low = min(self.low, trade.price)

    def join(self, other: AccountVolume) -> None:
        """Add another one."""
        self.amount += other.amount
        self.cost += other.cost
        self.bought += other.bought
        self.bought_cost += other.bought_cost
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)


class AccountVolumes:
    """The accounts' part in the base candles, by their open times (ms)."""

    def __init__(self) -> None:
        self._opens: list[int] = []
        self._volumes: dict[int, AccountVolume] = {}
        self._emptied: set[int] = set()

    def of(self, opened: int) -> AccountVolume:
        """Return the part in a base candle, which trades may be added to."""
        found = self._volumes.get(opened)
        if found is None:
            found = self._volumes[opened] = AccountVolume()
            self._opens.insert(bisect_left(self._opens, opened), opened)
        return found

    def empty(self, opened: int) -> None:
        """Note that accounts have replaced all prints of a step of a base candle."""
        self._emptied.add(opened)

    def emptied(self, start: int, end: int) -> bool:
        """Return whether a base candle that opens between two times has such a step."""
        return bool(self._emptied) and any(
            one in self._emptied for one in self._between(start, end)
        )

    def between(self, start: int, end: int) -> AccountVolume | None:
        """Return the part in all base candles that open between two times, None for none."""
        opens = self._between(start, end)
        if not opens:
            return None
        if len(opens) == 1:
            return self._volumes[opens[0]]
        whole = AccountVolume()
        for opened in opens:
            whole.join(self._volumes[opened])
        return whole

    def _between(self, start: int, end: int) -> list[int]:
        opens = self._opens
        return opens[bisect_left(opens, start) : bisect_right(opens, end)]


def volume_of(trades: Iterable[PublicTrade]) -> AccountVolume:
    """Return the sums of trades."""
    whole = AccountVolume()
    for trade in trades:
        whole.trade(trade)
    return whole
