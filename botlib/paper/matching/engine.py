"""The matching engine: it accepts and fills orders, and updates the accounts.

In a book without a depth every order that trades is filled completely, at one price. Market orders,
and limit orders that cross, take the present price; resting orders fill at their own price, as
maker, when the market reaches it.

In a book with a depth an incoming order trades with the book, level by level. A resting order that
the price reaches or passes trades with the volume that the market trades at that step of its path:
the better price first, then the order that came first, each after the amount ahead of it in the
queue. An order that the volume does not fill waits for the next step; while it rests, the market
shows no level on the other side that would trade with it.

An order with a stop price waits outside the book until the market reaches that price. Inside a
candle the price moves from one step to the next without a gap, so the order is triggered at its
stop price; if a candle opens beyond the stop price, it is triggered at the open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts.account import PaperAccount
from botlib.paper.accounts.client_ids import generated_client_id
from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.orders import OrderList, PaperOrder, PaperTrade, PreventedMatch
from botlib.paper.accounts.snapshots import AccountChange, AccountHistory
from botlib.paper.accounts.transaction import Transaction, UserEvent
from botlib.paper.market.book import DisplayedOrder
from botlib.paper.market.feed import Feed
from botlib.paper.market.halts import SymbolState
from botlib.paper.market.trades.steps import AccountTrade
from botlib.paper.matching import amendments
from botlib.paper.matching.execution import OrderExecution, queue_position
from botlib.paper.matching.order_entry import OrderEntry
from botlib.paper.matching.order_lists import OrderListExecution
from botlib.paper.matching.pegging import peg_request
from botlib.paper.matching.requests import OrderListRequest, OrderRequest
from botlib.paper.matching.stops import is_met, is_passed, is_triggered, update_trailing_stop
from botlib.paper.matching.triggers import StopTriggers
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.refusals import Refusal, refusal


class PlacedOrder(NamedTuple):
    """A new order, its immediate trades and prevented matches, and the user events."""

    order: PaperOrder
    trades: list[PaperTrade]
    prevented: list[PreventedMatch]
    user_events: list[UserEvent]


class CancelledOrders(NamedTuple):
    """Cancelled orders with the ids of their cancel requests, their lists, and the user events."""

    orders: list[tuple[PaperOrder, str]]
    lists: list[OrderList]
    user_events: list[UserEvent]


class MatchingEngine:
    """The orders of all accounts: placed, filled, amended and cancelled.

    Args:
        ledger: writes every change before it is applied, and holds the initial state.
        commission: rates of the venue.

    Attributes:
        state: state of the venue.
        history: earlier states of the accounts.
        first_fill: called when an order trades for the first time, with its account and whether it
            was the maker.
        turn: held by whoever makes a change. Other tasks run during a long one, and none of them
            may change anything, or the price of a feed, until it is made.
    """

    def __init__(self, ledger: Ledger, commission: Commission) -> None:
        self.ledger = ledger
        self.commission = commission
        self.turn = asyncio.Lock()
        self.first_fill: Callable[[str, bool], object] = lambda account, maker: None
        ledger.on_failed_flush = self._load
        ledger.on_flush = lambda: self.state.evict()
        self._load()

    def _load(self) -> None:
        self.state = self.ledger.load()
        self.history = AccountHistory()
        self._execution = OrderExecution(self.state, self.commission)
        self._order_entry = OrderEntry(self._execution)
        self._lists = OrderListExecution(self._execution, self._order_entry)
        self._triggers = StopTriggers(self.state, self._execution, self._lists)

    @property
    def account(self) -> PaperAccount:
        """The default account."""
        return self.state.account(DEFAULT_ACCOUNT)

    def open_count(self, symbol: str) -> int:
        """Return the number of open orders of a symbol (by id), of all accounts."""
        return len(self.state.open_by_symbol.get(symbol, ()))

    def traded_symbols(self) -> list[str]:
        """Return the ids of the symbols that accounts have traded, and that are not delisted."""
        found = set().union(*(account.trades for account in self.state.accounts.values()))
        return sorted(one for one in found if not self.state.symbol(one).delisted)

    def displayed_orders(self, symbol: str) -> Iterator[DisplayedOrder]:
        """Yield the visible part of the accounts' orders in the book of a symbol (by id)."""
        for order in self.state.open_by_symbol.get(symbol, {}).values():
            if order.working:
                yield DisplayedOrder(order.buys, order.price, order.visible)

    def account_trades(self, symbol: str) -> list[AccountTrade]:
        """Return the accounts' trades of a symbol (by id) on the public tape, oldest first."""
        trades: dict[int, PaperTrade] = {}
        for account in self.state.accounts.values():
            for one in account.trades.get(symbol, ()):
                # If both sides are accounts, the taker's record tells which side was the taker.
                if one.taped and (one.trade_id not in trades or not one.maker):
                    trades[one.trade_id] = one
        return [
            AccountTrade(
                one.time,
                float(one.price),
                float(one.amount),
                (one.side == "BUY") == one.maker,
                float(one.replaced),
            )
            for one in sorted(trades.values(), key=lambda trade: (trade.time, trade.trade_id))
        ]

    async def durable(self) -> None:
        """Wait until all changes so far are on disk.

        Raises:
            PaperExchangeError: they cannot be written, and were undone.
        """
        await self.ledger.durable()

    # -- orders

    async def check(
        self, feed: Feed, request: OrderRequest, time: int, account: str = DEFAULT_ACCOUNT
    ) -> None:
        """Check an order without placing it.

        Raises:
            Refusal: it would not be accepted.
        """
        await self._place(Transaction(self.state, time), feed, request, account)

    def check_filters(self, feed: Feed, request: OrderRequest) -> None:
        """Check an order against the filters of its symbol, whatever the account.

        Raises:
            Refusal: a filter fails.
        """
        self._order_entry.check_filters(feed, peg_request(feed, request))

    async def place(
        self, feed: Feed, request: OrderRequest, time: int, account: str = DEFAULT_ACCOUNT
    ) -> PlacedOrder:
        """Place an order.

        Raises:
            Refusal: it is not accepted; nothing has changed.
        """
        transaction = Transaction(self.state, time)
        number = await self._place(transaction, feed, request, account)
        self._commit(transaction, feed)
        trades = [trade for trade in transaction.trades if trade.order_id == number]
        return PlacedOrder(
            transaction.orders[number], trades, transaction.prevented, transaction.user_events()
        )

    async def _place(
        self, transaction: Transaction, feed: Feed, request: OrderRequest, account: str
    ) -> int:
        request = peg_request(feed, request)
        self._order_entry.check(feed, account, [request])
        order = self._order_entry.create(transaction, feed, account, request)
        await self._order_entry.admit(transaction, feed, order)
        await self._triggers.apply(transaction, feed)
        return order.order_id

    async def place_list(
        self, feed: Feed, request: OrderListRequest, time: int, account: str = DEFAULT_ACCOUNT
    ) -> tuple[OrderList, list[PaperOrder], Transaction]:
        """Place an order list.

        Returns:
            The list and its orders as they were when it was placed, and the transaction.

        Raises:
            Refusal: it is not accepted; nothing has changed.
        """
        transaction = Transaction(self.state, time)
        found = await self._lists.place(transaction, feed, account, request)
        orders = [transaction.orders[number] for number in found.order_ids]
        await self._triggers.apply(transaction, feed)
        self._commit(transaction, feed)
        return found, orders, transaction

    async def cancel(
        self,
        feed: Feed,
        order: PaperOrder,
        cancel_id: str | None,
        time: int,
        restriction: str | None = None,
    ) -> CancelledOrders:
        """Cancel an order, and the others of its list.

        Args:
            feed: feed of the symbol.
            order: order to cancel.
            cancel_id: client id of the cancel request, None for a generated one.
            time: market time, ms.
            restriction: status that the order must have, None for any.

        Raises:
            Refusal: the order is not open, or has another status.
        """
        if not order.open:
            raise refusal(-2011)
        if restriction is not None and order.status != restriction:
            raise Refusal(-2011, "Order was not canceled due to cancel restrictions.")
        return await self._cancel(feed, [order], cancel_id, time)

    async def cancel_all(
        self, feed: Feed, time: int, account: str = DEFAULT_ACCOUNT
    ) -> CancelledOrders:
        """Cancel all open orders of an account and a symbol, in one transaction."""
        return await self._cancel(
            feed, self.state.account(account).open_orders(feed.id), None, time
        )

    async def _cancel(
        self, feed: Feed, orders: Sequence[PaperOrder], cancel_id: str | None, time: int
    ) -> CancelledOrders:
        transaction = Transaction(self.state, time)
        done: list[tuple[PaperOrder, str]] = []
        lists: list[int] = []
        for order in orders:
            found = transaction.list_of(order)
            members = [order]
            if found is not None:
                if found.list_id not in lists:
                    lists.append(found.list_id)
                members = [
                    transaction.find_order(order.account, number) for number in found.order_ids
                ]
            for member in members:
                if transaction.order(member).open:
                    number = cancel_id or generated_client_id("cancel", member.order_id)
                    done.append((self._execution.cancel(transaction, member, number), number))
        await self._lists.update(transaction, feed)
        self._commit(transaction, feed)
        ended = [transaction.lists[number] for number in lists]
        return CancelledOrders(done, ended, transaction.user_events())

    def amend(
        self, feed: Feed, order: PaperOrder, amount: Decimal, client_id: str | None, time: int
    ) -> tuple[PaperOrder, Transaction]:
        """Reduce the amount of an open order, which keeps its place in the queue.

        Args:
            feed: feed of the symbol.
            order: order to amend.
            amount: new total amount, in base units.
            client_id: new client id of the order, None for a generated one.
            time: market time, ms.

        Returns:
            The order after the amendment, and the transaction.

        Raises:
            Refusal: the order is not open, or the new amount is not accepted.
        """
        transaction = Transaction(self.state, time)
        changed = amendments.amend(transaction, self.state, feed, order, amount, client_id)
        self._commit(transaction, feed)
        return changed, transaction

    # -- price steps of the market

    async def match(self, feed: Feed, time: int) -> list[UserEvent]:
        """Trigger and fill the orders that the present price reaches, and return the user events.

        Args:
            feed: feed of the symbol, at its present price.
            time: market time, ms.
        """
        transaction = Transaction(self.state, time)
        if feed.tapes_accounts:
            met = [order for order in self.state.open_orders(feed.id) if is_met(feed, order)]
            rest = await self._execution.fill_from_takers(transaction, feed, met)
            # A price at which only orders of accounts would trade is not traded.
            traded = [feed.last_price] if rest or not feed.traded else []
            await self._triggers.apply(transaction, feed, traded)
        else:
            await self._match_apart(transaction, feed)
            await self._lists.update(transaction, feed)
        if not transaction.orders:
            return []
        self._commit(transaction, feed)
        return transaction.user_events()

    async def _match_apart(self, transaction: Transaction, feed: Feed) -> None:
        """Match orders with a market whose tape does not show the accounts' trades."""
        price, waiting = feed.last_price, self.state.open_orders(feed.id)
        for order in waiting:
            if order.trailing_delta and order.dormant and not order.pending:
                update_trailing_stop(transaction, order, price)
        hit = [
            order
            for order in map(transaction.order, waiting)
            if is_met(feed, order) or is_triggered(feed, order, price)
        ]
        volume = Decimal(repr(feed.traded))
        for order in hit if feed.book.deep else sorted(hit, key=queue_position):
            order = transaction.order(order)
            if not order.open:
                continue
            if order.dormant:
                await self._execution.trigger(transaction, feed, order)
            elif feed.book.deep or is_passed(feed, order):
                self._execution.fill_resting(transaction, feed, order, order.remaining)
            else:
                volume = self._execution.fill_from_volume(transaction, feed, order, volume)

    # -- actions of the operator

    def deposit(self, account: str, asset: str, amount: Decimal, time: int) -> list[UserEvent]:
        """Deposit an amount into an account; a negative amount is a withdrawal.

        Raises:
            PaperExchangeError: the free balance is smaller than the withdrawal.
        """
        transaction = Transaction(self.state, time)
        have = transaction.balance(account, asset).free
        if have + amount < 0:
            raise PaperExchangeError(
                f"Cannot withdraw {-amount} {asset} from account {account!r}: {have} are free. "
                "Withdraw less, or cancel orders that lock some."
            )
        transaction.deposit(account, asset, amount)
        self._commit(transaction, None)
        return transaction.user_events()

    def burn_bnb(self, account: str, burns: bool, time: int) -> None:
        """Set whether an account pays commissions in BNB at a discount, or in what it receives."""
        transaction = Transaction(self.state, time)
        transaction.burns[account] = burns
        self._commit(transaction, None)

    def join(self, account: str, group: int, time: int) -> None:
        """Put an account into a trade group, whose members do not trade with each other.

        Args:
            account: name of the account.
            group: number of the group, -1 for none.
            time: market time, ms.
        """
        transaction = Transaction(self.state, time)
        transaction.groups[account] = group
        self._commit(transaction, None)

    def change_symbol(self, state: SymbolState, time: int) -> None:
        """Change the status, rules or halts of a symbol, which is on disk when this returns."""
        transaction = Transaction(self.state, time)
        transaction.symbols[state.symbol] = state
        self._commit(transaction, None)
        self.ledger.flush()

    async def delist(self, feed: Feed, time: int) -> list[UserEvent]:
        """Delist a symbol, expire its open orders of all accounts, and return the user events."""
        transaction = Transaction(self.state, time)
        transaction.symbols[feed.id] = replace(self.state.symbol(feed.id), delisted=True)
        for order in self.state.open_orders(feed.id):
            if transaction.order(order).open:
                self._execution.expire(transaction, transaction.order(order), "EXCHANGE_CANCELED")
        await self._lists.update(transaction, feed)
        self._commit(transaction, feed)
        return transaction.user_events()

    # -- commit

    def _commit(self, transaction: Transaction, feed: Feed | None) -> None:
        if transaction.state is not self.state:
            raise PaperExchangeError("The accounts were read again while the change was made.")
        # From here on the ledger's connection reads the new records, so the previous values are
        # collected first.
        previous = transaction.previous_values()
        self.ledger.write(transaction)
        self._report_first_fills(transaction, previous)
        self.history.add(previous)
        transaction.apply()
        if feed is None:
            return
        for price, amount in transaction.taken.items():
            feed.book.take(price, amount)
        transaction.write_tape(feed.tape)
        feed.book.orders_changed()

    def _report_first_fills(self, transaction: Transaction, previous: AccountChange) -> None:
        reported: set[int] = set()
        for trade in transaction.trades:
            before = previous.orders[trade.account, trade.order_id]
            if trade.order_id not in reported and (before is None or not before.executed):
                reported.add(trade.order_id)
                self.first_fill(trade.account, trade.maker)
