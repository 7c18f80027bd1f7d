"""The state of the venue: all accounts, and the venue's own side of every asset.

Whatever an account trades with the market goes to or comes from the venue's clearing balance, and
so do commissions. The sum of an asset over all accounts, the market and the commissions is
therefore always the amount that was deposited.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """The venue's own side of one asset.

    Attributes:
        market: amount the market received from accounts, negative if it gave more.
        fees: amount collected as commissions.
        deposited: deposits minus withdrawals of all accounts.
    """

    market: Decimal = _NOTHING
    fees: Decimal = _NOTHING
    deposited: Decimal = _NOTHING


@dataclass(slots=True, kw_only=True)
class IdCounters:
    """The last assigned id of every kind of record."""

    order: int = 0
    trade: int = 0
    execution: int = 0
    list: int = 0
    prevented: int = 0

    def copy(self) -> IdCounters:
        """Return a copy."""
        return replace(self)

    def dump(self) -> str:
        """Return the counters as JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps(values).decode()


class VenueState:
    """All accounts, order lists, prevented matches and symbol states.

    Args:
        reader: reads the records that are not in memory.

    Attributes:
        symbols: what the operator changed about symbols, by symbol id.
        groups: the trade group of an account. Accounts of one group do not trade with each other.
        open_by_symbol: open orders of all accounts by symbol id and order id, oldest first.
    """

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self.accounts: dict[str, PaperAccount] = {}
        self.lists = RecordCache(reader, "lists", OrderList.load, lambda found: found.done)
        self.prevented = RecordCache(reader, "prevented", PreventedMatch.load)
        self.clearing: dict[str, ClearingBalance] = {}
        self.symbols: dict[str, SymbolState] = {}
        self.groups: dict[str, int] = {}
        self.counters = IdCounters()
        self.open_by_symbol: dict[str, dict[int, PaperOrder]] = {}
        self.account(DEFAULT_ACCOUNT)

    def account(self, name: str) -> PaperAccount:
        """Return an account, an empty one for a name that was not used before."""
        found = self.accounts.get(name)
        if found is None:
            orders, trades = OrderArchive(self._reader, name), TradeArchive(self._reader, name)
            found = self.accounts[name] = PaperAccount(name, orders, trades, {})
        return found

    def group_members(self, name: str) -> frozenset[str]:
        """Return the accounts that an account must not trade with, including itself."""
        group = self.groups.get(name)
        if group is None:
            return frozenset((name,))
        return frozenset(one for one, number in self.groups.items() if number == group)

    def symbol(self, name: str) -> SymbolState:
        """Return what the operator changed about a symbol (by id)."""
        return self.symbols.get(name) or SymbolState(symbol=name)

    def open_orders(self, symbol: str) -> list[PaperOrder]:
        """Return the open orders of a symbol (by id) of all accounts, oldest first."""
        return list(self.open_by_symbol.get(symbol, {}).values())

    def put_order(self, order: PaperOrder) -> None:
        """Store the present state of an order."""
        self.account(order.account).orders.put(order)
        waiting = self.open_by_symbol.setdefault(order.symbol, {})
        if order.open:
            waiting[order.order_id] = order
        else:
            waiting.pop(order.order_id, None)

    def put_trade(self, trade: PaperTrade) -> None:
        """Count a trade. The trade itself is read from the ledger when it is needed."""
        self.account(trade.account).trades.count += 1

    def evict(self) -> None:
        """Drop finished records from memory, which must be on disk by now."""
        for account in self.accounts.values():
            account.orders.evict()
        self.lists.evict()
        self.prevented.evict()

    def open_lists(self, account: str) -> list[OrderList]:
        """Return the order lists of an account that are not done."""
        return [one for one in self.lists.active() if one.account == account]

    def imbalance(self) -> dict[str, Decimal]:
        """Return by asset what exists beyond the deposits; 0 for every asset if all adds up."""
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
    """Return a text about the first inconsistency of the balances, "" if there is none."""
    for asset, amount in state.imbalance().items():
        if amount:
            return f"{amount} {asset} came from nowhere"
    held: dict[tuple[str, str], Decimal] = {}
    for orders in state.open_by_symbol.values():
        for order in orders.values():
            key = (order.account, order.locked_asset)
            held[key] = held.get(key, _NOTHING) + order.locked
    for account in state.accounts.values():
        for asset, balance in account.balances.items():
            if balance.locked != held.get((account.name, asset), _NOTHING):
                return f"account {account.name} locks another amount of {asset} than its orders"
            if balance.free < 0:
                return f"account {account.name} has {balance.free} {asset}"
    return ""
