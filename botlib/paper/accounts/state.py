"""The state of the venue: accounts with their balances, orders and trades, and the house's own.

Whatever is traded with the market goes to and comes from the house, and so do the fees. So the sum
of an asset over all accounts, the market and the fees is always what was deposited of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import orjson

from botlib.paper.accounts.account import PaperAccount
from botlib.paper.accounts.archive import LedgerReader, OrderArchive, TradeArchive
from botlib.paper.accounts.orders import OrderList, PaperOrder, PaperTrade, PreventedMatch
from botlib.paper.accounts.record_cache import RecordCache
from botlib.paper.market.halts import SymbolState
from botlib.paper.protocol.params import DEFAULT_ACCOUNT

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class ClearingBalance:
    """What the venue itself has of one asset.

    ``market`` is what the market gave (less than 0) or took, ``fees`` what was paid as commission,
    ``deposited`` what the accounts brought in, less what was withdrawn.
    """

    market: Decimal = _NOTHING
    fees: Decimal = _NOTHING
    deposited: Decimal = _NOTHING


@dataclass(slots=True, kw_only=True)
class IdCounters:
    """The last ids that were given out."""

    order: int = 0
    trade: int = 0
    execution: int = 0
    list: int = 0
    prevented: int = 0

    def copy(self) -> IdCounters:
        """Return a copy."""
        return IdCounters(
            order=self.order,
            trade=self.trade,
            execution=self.execution,
            list=self.list,
            prevented=self.prevented,
        )

    def dump(self) -> str:
        """Return the counters as JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps(values).decode()


class VenueState:
    """All accounts, as the ledger holds them.

    Args:
        archive: where that is which is not in memory.
    """

    def __init__(self, archive: LedgerReader) -> None:
        self._archive = archive
        self.accounts: dict[str, PaperAccount] = {}
        self.lists = RecordCache(archive, "lists", OrderList.load, lambda found: found.done)
        self.prevented = RecordCache(archive, "prevented", PreventedMatch.load)
        self.clearing: dict[str, ClearingBalance] = {}
        self.symbols: dict[str, SymbolState] = {}
        """What the operator has made of symbols, by their ids."""
        self.groups: dict[str, int] = {}
        """Accounts that are kept from trading with each other: name → number of their group."""
        self.counters = IdCounters()
        self.working: dict[str, dict[int, PaperOrder]] = {}
        """Open orders of all accounts by symbol, the oldest first."""
        self.account(DEFAULT_ACCOUNT)

    def account(self, name: str) -> PaperAccount:
        """Return an account; one that was never heard of is empty."""
        found = self.accounts.get(name)
        if found is None:
            orders, trades = OrderArchive(self._archive, name), TradeArchive(self._archive, name)
            found = self.accounts[name] = PaperAccount(name, orders, trades, {})
        return found

    def linked(self, name: str) -> frozenset[str]:
        """Return the accounts that an account is kept from trading with, itself among them."""
        group = self.groups.get(name)
        if group is None:
            return frozenset((name,))
        return frozenset(one for one, number in self.groups.items() if number == group)

    def symbol(self, name: str) -> SymbolState:
        """Return what the operator has made of a symbol (by id)."""
        return self.symbols.get(name) or SymbolState(symbol=name)

    def orders(self, symbol: str) -> list[PaperOrder]:
        """Return the open orders of a symbol, of all accounts, the oldest first."""
        return list(self.working.get(symbol, {}).values())

    def put_order(self, order: PaperOrder) -> None:
        """Keep the state of an order."""
        self.account(order.account).orders.put(order)
        waiting = self.working.setdefault(order.symbol, {})
        if order.open:
            waiting[order.order_id] = order
        else:
            waiting.pop(order.order_id, None)

    def put_trade(self, trade: PaperTrade) -> None:
        """Count a trade, which the ledger was given before."""
        self.account(trade.account).trades.count += 1

    def trim(self) -> None:
        """Let go of what memory need not keep; the disk has all of it."""
        for account in self.accounts.values():
            account.orders.trim()
        self.lists.trim()
        self.prevented.trim()

    def open_lists(self, account: str) -> list[OrderList]:
        """Return an account's order lists that are not done."""
        return [one for one in self.lists.under_way() if one.account == account]

    def imbalance(self) -> dict[str, Decimal]:
        """Return by asset what is there beyond what was deposited; always 0 where all is well."""
        assets = set(self.clearing)
        for account in self.accounts.values():
            assets |= account.balances.keys()
        return {asset: self._imbalance(asset) for asset in sorted(assets)}

    def _imbalance(self, asset: str) -> Decimal:
        clearing = self.clearing.get(asset) or ClearingBalance()
        owned = (account.balance(asset) for account in self.accounts.values())
        total = sum((one.free + one.locked for one in owned), _NOTHING)
        return total + clearing.market + clearing.fees - clearing.deposited


def audit(state: VenueState) -> str:
    """Return what does not add up in a register, nothing where all does."""
    for asset, amount in state.imbalance().items():
        if amount:
            return f"{amount} {asset} came from nowhere"
    held: dict[tuple[str, str], Decimal] = {}
    for orders in state.working.values():
        for order in orders.values():
            key = (order.account, order.locked_asset)
            held[key] = held.get(key, _NOTHING) + order.locked
    for account in state.accounts.values():
        for asset, balance in account.balances.items():
            if balance.locked != held.get((account.name, asset), _NOTHING):
                return f"account {account.name} holds back other {asset} than its orders do"
            if balance.free < 0:
                return f"account {account.name} has {balance.free} {asset}"
    return ""
