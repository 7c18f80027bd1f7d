"""A change of the venue's state: all that one action does, made true in one piece or not at all."""

from __future__ import annotations

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
from botlib.paper.market.tape import AccountTrade, Tape
from botlib.paper.protocol.refusals import rejected

_NOTHING: Final = Decimal(0)

UserEvent = tuple[str, Json]
"""A user event and the name of the account it is for."""


class Transaction:
    """A change at one market time (ms), with the events that tell of it."""

    def __init__(self, state: VenueState, time: int) -> None:
        self.time = time
        self.balances: dict[tuple[str, str], PaperBalance] = {}
        """What accounts own afterwards, by account and asset."""
        self.orders: dict[int, PaperOrder] = {}
        self.lists: dict[int, OrderList] = {}
        self.trades: list[PaperTrade] = []
        self.prevented: list[PreventedMatch] = []
        self.clearing: dict[str, ClearingBalance] = {}
        self.burns: dict[str, bool] = {}
        """Accounts that changed how they pay their fees."""
        self.groups: dict[str, int] = {}
        """Accounts that joined a group; -1 leaves it."""
        self.symbols: dict[str, SymbolState] = {}
        self.counters = state.counters.copy()
        self.filled: list[PaperOrder] = []
        """Orders that were filled whole, for whoever waits for them."""
        self.taken: list[tuple[Decimal, Decimal]] = []
        """What the market gave of its levels: price and amount."""
        self.deals: list[AccountTrade] = []
        """Trades for the public tape."""
        self._state = state
        self._notices: list[UserEvent] = []

    # -- what is there

    def order(self, order: PaperOrder) -> PaperOrder:
        """Return an order as the draft leaves it."""
        return self.orders.get(order.order_id, order)

    def find(self, account: str, number: int) -> PaperOrder:
        """Return an account's order by its id, as the draft leaves it."""
        return self.orders.get(number) or self._state.account(account).orders[number]

    def list_of(self, order: PaperOrder) -> OrderList | None:
        """Return the list an order belongs to, as the draft leaves it."""
        if order.list_id < 0:
            return None
        return self.lists.get(order.list_id) or self._state.lists[order.list_id]

    def balance(self, account: str, asset: str) -> PaperBalance:
        """Return what an account owns of an asset, as the draft leaves it."""
        found = self.balances.get((account, asset))
        return found if found is not None else self._state.account(account).balance(asset)

    # -- money

    def lock(self, account: str, asset: str, amount: Decimal) -> None:
        """Hold back ``amount`` for an order.

        Raises:
            Refusal: there is not enough.
        """
        have = self.balance(account, asset)
        if have.free < amount:
            raise rejected("Account has insufficient balance for requested action.")
        self.balances[account, asset] = PaperBalance(have.free - amount, have.locked + amount)

    def unlock(self, account: str, asset: str, amount: Decimal) -> None:
        """Give back what an order held."""
        have = self.balance(account, asset)
        self.balances[account, asset] = PaperBalance(have.free + amount, have.locked - amount)

    def spend(self, account: str, asset: str, amount: Decimal) -> None:
        """Take away what an order held."""
        have = self.balance(account, asset)
        self.balances[account, asset] = PaperBalance(have.free, have.locked - amount)

    def receive(self, account: str, asset: str, amount: Decimal) -> None:
        """Add to what is free, or take from it."""
        have = self.balance(account, asset)
        self.balances[account, asset] = PaperBalance(have.free + amount, have.locked)

    def to_market(self, asset: str, amount: Decimal) -> None:
        """Give the market ``amount`` of an asset; less than 0 takes it."""
        clearing = self._clearing(asset)
        self.clearing[asset] = replace(clearing, market=clearing.market + amount)

    def to_fees(self, asset: str, amount: Decimal) -> None:
        """Collect a commission."""
        clearing = self._clearing(asset)
        self.clearing[asset] = replace(clearing, fees=clearing.fees + amount)

    def deposit(self, account: str, asset: str, amount: Decimal) -> None:
        """Bring in ``amount``, or take it out where it is less than 0."""
        clearing = self._clearing(asset)
        self.clearing[asset] = replace(clearing, deposited=clearing.deposited + amount)
        self.receive(account, asset, amount)
        event = {"e": "balanceUpdate", "E": self.time, "a": asset, "d": eight_decimals(amount)}
        self._notices.append((account, {**event, "T": self.time}))

    def _clearing(self, asset: str) -> ClearingBalance:
        return self.clearing.get(asset) or self._state.clearing.get(asset) or ClearingBalance()

    # -- orders

    def next_order_id(self) -> int:
        """Return a new order id."""
        self.counters.order += 1
        return self.counters.order

    def next_trade_id(self) -> int:
        """Return a new trade id."""
        self.counters.trade += 1
        return self.counters.trade

    def tape(self, tape: Tape, price: Decimal, amount: Decimal, *, seller_taker: bool) -> int:
        """Put a trade on the public tape; return its id there."""
        number = tape.next_id(self.time, len(self.deals))
        self.deals.append(AccountTrade(self.time, float(price), float(amount), seller_taker))
        self.counters.trade = max(self.counters.trade, number)
        return number

    def next_list_id(self) -> int:
        """Return a new id of an order list."""
        self.counters.list += 1
        return self.counters.list

    def keep(self, order: PaperOrder) -> PaperOrder:
        """Record the state of an order without telling anybody."""
        self.orders[order.order_id] = order
        return order

    def report(
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
        """Record the state of an order, and the event that tells of it."""
        self.orders[order.order_id] = order
        if trade is not None:
            self.trades.append(trade)
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
        self._notices.append((order.account, event))
        if order.status == "FILLED":
            self.filled.append(order)
        return order

    def report_list(self, found: OrderList, *, kind: str = "") -> OrderList:
        """Record the state of an order list, and the event that tells of it.

        Args:
            kind: why it is told, where that is neither its beginning nor its end.
        """
        self.lists[found.list_id] = found
        orders = [self.find(found.account, number) for number in found.order_ids]
        event = list_status(found, orders, kind=kind)
        self._notices.append((found.account, event))
        return found

    def user_events(self) -> list[UserEvent]:
        """Return the user events of the change, every account's new balances last."""
        return [*self._notices, *self._positions()]

    def _positions(self) -> list[UserEvent]:
        owned: dict[str, list[Json]] = {account: [] for account, _ in self._notices}
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

    def replaced(self) -> AccountChange:
        """Return what the draft is going to replace."""
        account, lists = self._state.account, self._state.lists
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
        """Make the draft true."""
        state = self._state
        for (name, asset), balance in self.balances.items():
            state.account(name).balances[asset] = balance
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
