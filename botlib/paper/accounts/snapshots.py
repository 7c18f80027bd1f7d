"""Earlier states of the accounts, for answers of a venue whose reads lag behind.

Only the last changes since the ledger was opened are stored. A snapshot from before them shows the
state before the oldest stored change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from botlib.paper.accounts.account import PaperAccount, PaperBalance
from botlib.paper.accounts.orders import OrderList, PaperOrder

MAX_CHANGES: Final = 256
"""Number of stored changes."""


class AccountChange(NamedTuple):
    """The values that a change replaced at a market time (ms), None for values that were new.

    Attributes:
        orders: by account and order id.
        balances: by account and asset.
        lists: by list id.
    """

    time: int
    orders: Mapping[tuple[str, int], PaperOrder | None]
    balances: Mapping[tuple[str, str], PaperBalance | None]
    lists: Mapping[int, OrderList | None]


class AccountHistory:
    """The last changes of the accounts, from which earlier states are rebuilt."""

    def __init__(self) -> None:
        self._changes: deque[AccountChange] = deque(maxlen=MAX_CHANGES)

    def add(self, change: AccountChange) -> None:
        """Store the values that a change is about to replace."""
        self._changes.append(change)

    def account(self, now: PaperAccount, then: int) -> PaperAccount:
        """Return a snapshot of an account at an earlier market time.

        Args:
            now: the account at present.
            then: market time, ms.
        """
        orders: dict[int, PaperOrder | None] = {}
        balances: dict[str, PaperBalance | None] = dict(now.balances)
        for change in self._since(then):
            orders.update((n, old) for (name, n), old in change.orders.items() if name == now.name)
            for (name, asset), balance in change.balances.items():
                if name == now.name:
                    balances[asset] = balance
        owned = {asset: one for asset, one in balances.items() if one is not None}
        found = PaperAccount(now.name, now.orders.before(orders), now.trades.before(then), owned)
        found.updated = found.orders.updated
        found.burns_bnb = now.burns_bnb
        return found

    def lists(self, now: Iterable[OrderList], then: int) -> list[OrderList]:
        """Return order lists as they were at an earlier market time (ms)."""
        found: dict[int, OrderList | None] = {one.list_id: one for one in now}
        for change in self._since(then):
            found.update((n, old) for n, old in change.lists.items() if n in found)
        return [one for one in found.values() if one is not None]

    def _since(self, then: int) -> Iterator[AccountChange]:
        """Yield the changes after a market time, newest first."""
        for change in reversed(self._changes):
            if change.time <= then:
                return
            yield change
