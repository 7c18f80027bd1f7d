"""The accounts' trades at one step of the market, in their order among its prints.

Takers of the market who meet an order of an account before all others trade with it instead: those
trades come first, and replace prints of the same amount. Trades in which an account was the taker
come after the prints. Every trade has a number, and so has every aggregate trade.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from botlib.paper.market.trades.path import PRINTS, TapeStep


class PublicTrade(NamedTuple):
    """A public trade of the market."""

    id: int
    timestamp: int
    price: float
    amount: float
    seller_taker: bool
    aggregate: int
    """The id of its aggregate trade."""


class AccountTrade(NamedTuple):
    """A trade of an account.

    Attributes:
        time: market time, ms.
        seller_taker: whether the seller was the taker.
        replaced: amount of the prints that it replaces, 0 if an account was the taker.
    """

    time: int
    price: float
    amount: float
    seller_taker: bool
    replaced: float = 0.0


@dataclass(slots=True)
class StepTrades:
    """The trades at one step.

    Attributes:
        step: number of the step, which is its time in steps.
        made: the price of the step and the amounts of its prints, without the accounts.
        falling: whether the takers of the prints were sellers.
        before: by how much the accounts have changed the number of trades before this step.
        aggregates_before: the same for aggregate trades.
        replaced: amount of the prints that trades of accounts replace.
        counted: part of it that the volume of the candle is without already.
        first: trades that replace prints.
        after: trades in which an account was the taker.
    """

    step: int
    made: TapeStep
    falling: bool
    before: int = 0
    aggregates_before: int = 0
    replaced: float = 0.0
    counted: float = 0.0
    first: list[PublicTrade] = field(default_factory=list)
    after: list[PublicTrade] = field(default_factory=list)

    # -- numbers

    @property
    def number(self) -> int:
        """Id of the first trade."""
        return self.step * PRINTS + self.before

    @property
    def aggregate(self) -> int:
        """Id of the first aggregate trade."""
        return self.step + self.aggregates_before

    @property
    def count(self) -> int:
        """Number of the trades; a print without an amount has a number too."""
        return len(self.first) + len(self._left()) + len(self.after)

    @property
    def aggregates(self) -> int:
        """Number of the aggregate trades."""
        return len(self.first) + bool(self._left()) + len(self.after)

    @property
    def change(self) -> int:
        """By how much the accounts have changed the number of trades up to the next step."""
        return self.before + self.count - PRINTS

    @property
    def aggregates_change(self) -> int:
        """The same for aggregate trades."""
        return self.aggregates_before + self.aggregates - 1

    # -- trades

    @property
    def printed(self) -> bool:
        """Whether the market trades at the price of the step at all, beside the accounts."""
        return any(self._left())

    @property
    def emptied(self) -> bool:
        """Whether trades of accounts have replaced all prints."""
        return self.replaced > 0 and not self.printed

    @property
    def last_price(self) -> float:
        """Price of the last trade."""
        if self.after:
            return self.after[-1].price
        return self.first[-1].price if self.emptied and self.first else self.made.price

    def prints(self, interval: int) -> Iterator[PublicTrade]:
        """Yield the prints that are left; ``interval`` is the time between two steps, ms."""
        number, aggregate = self.number + len(self.first), self.aggregate + len(self.first)
        time = self.step * interval
        for position, amount in enumerate(self._left(), number):
            if amount > 0:
                yield PublicTrade(position, time, self.made.price, amount, self.falling, aggregate)

    def _left(self) -> tuple[float, ...]:
        """Return the amounts of the prints that are left; those that were replaced are gone."""
        if not self.replaced:
            return self.made.prints
        left, rest = [], self.replaced
        for amount in self.made.prints:
            taken = min(amount, rest)
            rest = round(rest - taken, 8)
            amount = round(amount - taken, 8)
            if amount > 0 or not taken:
                left.append(amount)
        return tuple(left)

    def add(self, trade: AccountTrade) -> PublicTrade:
        """Add a trade of an account after those that were added before, and return it."""
        if trade.replaced and not self.after:
            self.replaced = round(self.replaced + trade.replaced, 8)
            numbers = (len(self.first), len(self.first))
            found = self._public(trade, *numbers)
            self.first.append(found)
            return found
        found = self._public(trade, self.count, self.aggregates)
        self.after.append(found)
        return found

    def _public(self, trade: AccountTrade, number: int, aggregate: int) -> PublicTrade:
        return PublicTrade(
            self.number + number,
            trade.time,
            trade.price,
            trade.amount,
            trade.seller_taker,
            self.aggregate + aggregate,
        )

    def copy(self) -> StepTrades:
        """Return a copy to which trades can be added without changing this one."""
        return replace(self, first=self.first.copy(), after=self.after.copy())
