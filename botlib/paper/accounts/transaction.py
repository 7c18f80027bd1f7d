"""A change of the venue's state: all effects of one action, which are applied together or not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.account import PaperBalance
from botlib.paper.accounts.orders import OrderList, PaperOrder, PaperTrade, PreventedMatch
from botlib.paper.accounts.snapshots import AccountChange
from botlib.paper.accounts.state import ClearingBalance, VenueState
from botlib.paper.accounts.user_events import execution_report, list_status
from botlib.paper.market.halts import SymbolState
from botlib.paper.market.quotes import Json, eight_decimals
from botlib.paper.market.trades.steps import AccountTrade, PublicTrade, StepTrades
from botlib.paper.market.trades.tape import Tape
from botlib.paper.protocol.refusals import rejected

_NOTHING: Final = Decimal(0)
_WORK: Final = 100
"""Trades of a change that are made in one go, before other tasks may run."""

UserEvent = tuple[str, Json]
"""The name of an account and an event for its user data stream."""


class Transaction:
    """A change of the venue's state at one market time, with its user events.

    Args:
        state: the state before the change, which is not touched before `apply`.
        time: market time, ms.

    Attributes:
        state: the state before the change.
        balances: new balances by account and asset.
        orders: new states of orders by id.
        lists: new states of order lists by id.
        trades: new trades, and how the ledger stores each.
        prevented: new prevented matches.
        clearing: new clearing balances by asset.
        burns: accounts that changed whether they pay commissions in BNB.
        groups: new trade groups by account, -1 for none.
        symbols: new symbol states by symbol id.
        filled: orders that were filled completely and may release other orders of their list.
        taken: amount that was traded with the market's own levels, by price.
        account_trades: trades for the public tape.
    """

    def __init__(self, state: VenueState, time: int) -> None:
        self.state = state
        self.time = time
        self.balances: dict[tuple[str, str], PaperBalance] = {}
        self.orders: dict[int, PaperOrder] = {}
        self.lists: dict[int, OrderList] = {}
        self.trades: list[PaperTrade] = []
        self.stored_trades: list[str] = []
        self.prevented: list[PreventedMatch] = []
        self.clearing: dict[str, ClearingBalance] = {}
        self.burns: dict[str, bool] = {}
        self.groups: dict[str, int] = {}
        self.symbols: dict[str, SymbolState] = {}
        self.counters = state.counters.copy()
        self.filled: list[PaperOrder] = []
        self.taken: dict[Decimal, Decimal] = {}
        self.account_trades: list[AccountTrade] = []
        self._step: StepTrades | None = None
        self._taped: list[PublicTrade] = []
        self._work = 0
        self._events: list[UserEvent] = []

    # -- reading

    def order(self, order: PaperOrder) -> PaperOrder:
        """Return the state of an order after this change."""
        return self.orders.get(order.order_id, order)

    def find_order(self, account: str, number: int) -> PaperOrder:
        """Return the state of an account's order, by its id, after this change."""
        return self.orders.get(number) or self.state.account(account).orders[number]

    def list_of(self, order: PaperOrder) -> OrderList | None:
        """Return the list of an order after this change, None if it belongs to none."""
        if order.list_id < 0:
            return None
        return self.lists.get(order.list_id) or self.state.lists[order.list_id]

    def balance(self, account: str, asset: str) -> PaperBalance:
        """Return an account's balance of an asset after this change."""
        found = self.balances.get((account, asset))
        return found if found is not None else self.state.account(account).balance(asset)

    # -- balances

    def lock(self, account: str, asset: str, amount: Decimal) -> None:
        """Reserve ``amount`` of the free balance for an order.

        Raises:
            Refusal: the free balance is smaller.
        """
        have = self.balance(account, asset)
        if have.free < amount:
            raise rejected("Account has insufficient balance for requested action.")
        self.balances[account, asset] = PaperBalance(have.free - amount, have.locked + amount)

    def unlock(self, account: str, asset: str, amount: Decimal) -> None:
        """Return a reserved amount to the free balance."""
        have = self.balance(account, asset)
        self.balances[account, asset] = PaperBalance(have.free + amount, have.locked - amount)

    def spend(self, account: str, asset: str, amount: Decimal) -> None:
        """Remove an amount that an order reserved, because it was traded."""
        have = self.balance(account, asset)
        self.balances[account, asset] = PaperBalance(have.free, have.locked - amount)

    def receive(self, account: str, asset: str, amount: Decimal) -> None:
        """Add an amount to the free balance; a negative amount reduces it."""
        have = self.balance(account, asset)
        self.balances[account, asset] = PaperBalance(have.free + amount, have.locked)

    def to_market(self, asset: str, amount: Decimal) -> None:
        """Add to what the market received of an asset; a negative amount reduces it."""
        clearing = self._clearing(asset)
        self.clearing[asset] = replace(clearing, market=clearing.market + amount)

    def to_fees(self, asset: str, amount: Decimal) -> None:
        """Add a commission to the collected fees."""
        clearing = self._clearing(asset)
        self.clearing[asset] = replace(clearing, fees=clearing.fees + amount)

    def deposit(self, account: str, asset: str, amount: Decimal) -> None:
        """Deposit ``amount`` of an asset; a negative amount is a withdrawal."""
        clearing = self._clearing(asset)
        self.clearing[asset] = replace(clearing, deposited=clearing.deposited + amount)
        self.receive(account, asset, amount)
        event = {"e": "balanceUpdate", "E": self.time, "a": asset, "d": eight_decimals(amount)}
        self._events.append((account, {**event, "T": self.time}))

    def _clearing(self, asset: str) -> ClearingBalance:
        return self.clearing.get(asset) or self.state.clearing.get(asset) or ClearingBalance()

    # -- orders

    def next_order_id(self) -> int:
        """Return the next order id."""
        self.counters.order += 1
        return self.counters.order

    def next_trade_id(self, least: int) -> int:
        """Return the id of a trade that is not on the public tape, ``least`` or the next one."""
        self.counters.trade = max(self.counters.trade + 1, least)
        return self.counters.trade

    def take(self, price: Decimal, amount: Decimal) -> None:
        """Note an amount that was traded with a level of the market."""
        self.taken[price] = self.taken.get(price, _NOTHING) + amount

    def add_to_tape(
        self,
        tape: Tape,
        price: Decimal,
        amount: Decimal,
        *,
        seller_taker: bool,
        replaced: Decimal = _NOTHING,
    ) -> int:
        """Add a trade to the public tape and return its id there."""
        self._step = self._step or tape.at(self.time)
        trade = AccountTrade(self.time, float(price), float(amount), seller_taker, float(replaced))
        self.account_trades.append(trade)
        added = self._step.add(trade)
        self._taped.append(added)
        self.counters.trade = max(self.counters.trade, added.id)
        return added.id

    def write_tape(self, tape: Tape) -> None:
        """Put the trades of the change on the public tape."""
        if self._step is not None:
            tape.adopt(self._step, self._taped)

    async def pause(self) -> None:
        """Yield to other tasks, if much was done since they last could run."""
        self._work += 1
        if self._work % _WORK == 0:
            await asyncio.sleep(0)

    def next_list_id(self) -> int:
        """Return the next id of an order list."""
        self.counters.list += 1
        return self.counters.list

    def put_order(self, order: PaperOrder) -> PaperOrder:
        """Store the state of an order without a user event, and return it."""
        self.orders[order.order_id] = order
        return order

    def report_order(
        self,
        order: PaperOrder,
        execution: str,
        trade: PaperTrade | None = None,
        *,
        cancel_id: str = "",
        original_id: str = "",
        reason: str = "NONE",
        prevented: PreventedMatch | None = None,
    ) -> PaperOrder:
        """Store the state of an order with an ``executionReport``, and return it.

        Arguments are those of `execution_report`.
        """
        self.orders[order.order_id] = order
        if trade is not None:
            self.trades.append(trade)
            self.stored_trades.append(trade.dump().decode())
        self.counters.execution += 1
        event = execution_report(
            order,
            execution,
            number=self.counters.execution,
            trade=trade,
            cancel_id=cancel_id,
            original_id=original_id,
            reason=reason,
            prevented=prevented,
        )
        self._events.append((order.account, event))
        if order.status == "FILLED":
            self.filled.append(order)
        return order

    def report_list(self, found: OrderList, *, kind: str = "") -> OrderList:
        """Store the state of an order list with a ``listStatus`` event, and return it.

        Args:
            kind: type of the status, if it is neither the start nor the end of the list.
        """
        self.lists[found.list_id] = found
        orders = [self.find_order(found.account, number) for number in found.order_ids]
        event = list_status(found, orders, kind=kind)
        self._events.append((found.account, event))
        return found

    def user_events(self) -> list[UserEvent]:
        """Return the user events of the change; new balances come last."""
        return [*self._events, *self._balance_events()]

    def _balance_events(self) -> list[UserEvent]:
        owned: dict[str, list[Json]] = {account: [] for account, _ in self._events}
        for (account, asset), balance in self.balances.items():
            row: Json = {
                "a": asset,
                "f": eight_decimals(balance.free),
                "l": eight_decimals(balance.locked),
            }
            owned.setdefault(account, []).append(row)
        return [
            (
                account,
                {"e": "outboundAccountPosition", "E": self.time, "u": self.time, "B": rows},
            )
            for account, rows in owned.items()
            if rows
        ]

    def previous_values(self) -> AccountChange:
        """Return the values that this change is going to replace."""
        account, lists = self.state.account, self.state.lists
        return AccountChange(
            self.time,
            {
                (order.account, number): account(order.account).orders.get(number)
                for number, order in self.orders.items()
            },
            {key: account(key[0]).balances.get(key[1]) for key in self.balances},
            {number: lists.get(number) for number in self.lists},
        )

    def apply(self) -> None:
        """Apply the change to the state."""
        state = self.state
        for (name, asset), balance in self.balances.items():
            account = state.account(name)
            account.balances[asset] = balance
            account.updated = self.time
        for name, burns in self.burns.items():
            state.account(name).burns_bnb = burns
        for order in self.orders.values():
            state.put_order(order)
            state.account(order.account).updated = self.time
        for trade in self.trades:
            state.put_trade(trade)
        for found in self.lists.values():
            state.lists.put(found.list_id, found)
        for match in self.prevented:
            state.prevented.put(match.match_id, match)
        state.clearing.update(self.clearing)
        state.symbols.update(self.symbols)
        for name, group in self.groups.items():
            state.account(name)
            if group < 0:
                state.groups.pop(name, None)
            else:
                state.groups[name] = group
        state.counters = self.counters
