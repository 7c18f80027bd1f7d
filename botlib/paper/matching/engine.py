"""The matching engine: takes orders, fills them at the market's prices, and keeps the accounts.

Without a `Depth` the market is deep: an order that trades is filled whole, at one price. Market
orders and limit orders that cross take the present price; resting orders fill at their own price,
as maker, when the market reaches it.

With a depth, an order that comes in trades with what stands in the book, level by level. A resting
order that the price reaches, or passes, trades with what the market trades at that step of the
path: the better price first, then whoever came first, each after what stands before it in the
queue. What the step's volume does not fill waits for the next one; as long as it stands there, the
market shows nothing on the other side that would trade with it.

An order with a stop price waits outside the book until the market reaches that price. Inside a
candle the price moves from one step to the next without a gap, so the order is triggered at its
stop price; where a candle opens beyond the stop price, it is triggered at the open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final, NamedTuple

from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts.account import PaperAccount
from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.orders import OrderList, PaperOrder, PaperTrade, PreventedMatch
from botlib.paper.accounts.snapshots import AccountChange, AccountHistory
from botlib.paper.accounts.transaction import Transaction, UserEvent
from botlib.paper.market.book import DisplayedOrder
from botlib.paper.market.feed import Feed
from botlib.paper.market.halts import SymbolState
from botlib.paper.market.tape import AccountTrade
from botlib.paper.matching.amendments import OrderAmender
from botlib.paper.matching.execution import OrderExecution, reached
from botlib.paper.matching.order_entry import OrderEntry
from botlib.paper.matching.order_lists import OrderListExecution
from botlib.paper.matching.pegging import priced
from botlib.paper.matching.requests import OrderRequest
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.refusals import Refusal, refusal

_NOTHING: Final = Decimal(0)


class PlacedOrder(NamedTuple):
    """A new order, what it traded at once, and the events that tell of it."""

    order: PaperOrder
    trades: list[PaperTrade]
    prevented: list[PreventedMatch]
    user_events: list[UserEvent]


class CancelledOrders(NamedTuple):
    """What was taken out of the book: orders with the ids of their cancellations, and lists."""

    orders: list[tuple[PaperOrder, str]]
    lists: list[OrderList]
    user_events: list[UserEvent]


class MatchingEngine:
    """Takes, fills and cancels the orders of all accounts.

    Args:
        ledger: written before anything becomes true; what it holds is the state to begin with.
        commission: what trades cost.

    Attributes:
        past: what the accounts were a while ago.
    """

    def __init__(self, ledger: Ledger, commission: Commission) -> None:
        self.ledger = ledger
        self.commission = commission
        self.first_fill: Callable[[str, bool], object] = _nobody
        """Called when an order trades for the first time: its account, and whether as maker."""
        ledger.lost = self._load
        ledger.kept = lambda: self.state.trim()
        self._load()

    def _load(self) -> None:
        state = self.state = self.ledger.load()
        self.history = AccountHistory()
        self._execution = OrderExecution(state, self.commission)
        self._order_entry = OrderEntry(self._execution)
        self._lists = OrderListExecution(self._execution, self._order_entry)
        self._amender = OrderAmender(self._execution)

    @property
    def account(self) -> PaperAccount:
        """The account of the exchange's own keys."""
        return self.state.account(DEFAULT_ACCOUNT)

    def resting(self, symbol: str) -> int:
        """Return how many orders of a symbol (by id) are open, in all accounts."""
        return len(self.state.working.get(symbol, ()))

    def standing(self, symbol: str) -> Iterator[DisplayedOrder]:
        """Yield what the book of a symbol shows of the accounts' orders."""
        for order in self.state.working.get(symbol, {}).values():
            if order.working:
                yield DisplayedOrder(order.buys, order.price, order.visible)

    def deals(self, symbol: str) -> list[AccountTrade]:
        """Return the accounts' trades of a symbol that stand on the public tape, in order."""
        trades: dict[int, PaperTrade] = {}
        for account in self.state.accounts.values():
            for one in account.trades.get(symbol, ()):
                # Where both sides are accounts, the taker's tells who it was.
                if one.taped and (one.trade_id not in trades or not one.maker):
                    trades[one.trade_id] = one
        return [
            AccountTrade(
                one.time, float(one.price), float(one.amount), (one.side == "BUY") == one.maker
            )
            for one in sorted(trades.values(), key=lambda trade: (trade.time, trade.trade_id))
        ]

    async def durable(self) -> None:
        """Return when the disk has all that became true so far.

        Raises:
            PaperExchangeError: it does not take it; nothing of it is true any more.
        """
        await self.ledger.durable()

    # -- orders

    def check(
        self, feed: Feed, request: OrderRequest, time: int, account: str = DEFAULT_ACCOUNT
    ) -> None:
        """Weigh an order without taking it.

        Raises:
            Refusal: it would not be taken.
        """
        self._build_order(Transaction(self.state, time), feed, request, account)

    def weigh(self, feed: Feed, request: OrderRequest) -> None:
        """Refuse an order that breaks a filter of its symbol, whoever sends it.

        Raises:
            Refusal: it does.
        """
        self._order_entry.filter(feed, priced(feed, request))

    def place(
        self, feed: Feed, request: OrderRequest, time: int, account: str = DEFAULT_ACCOUNT
    ) -> PlacedOrder:
        """Take an order.

        Raises:
            Refusal: it is not accepted; nothing has changed.
        """
        transaction = Transaction(self.state, time)
        number = self._build_order(transaction, feed, request, account)
        self._make_true(transaction, feed)
        trades = [trade for trade in transaction.trades if trade.order_id == number]
        return PlacedOrder(
            transaction.orders[number], trades, transaction.prevented, transaction.user_events()
        )

    def _build_order(
        self, transaction: Transaction, feed: Feed, request: OrderRequest, account: str
    ) -> int:
        request = priced(feed, request)
        self._order_entry.weigh(feed, account, [request])
        order = self._order_entry.make(transaction, feed, account, request)
        self._order_entry.accept(transaction, feed, order)
        self._lists.finish(transaction, feed)
        return order.order_id

    def place_list(
        self,
        feed: Feed,
        time: int,
        account: str,
        *,
        working: OrderRequest | None,
        others: Sequence[OrderRequest],
        client_id: str | None = None,
        pays: bool = False,
    ) -> tuple[OrderList, list[PaperOrder], Transaction]:
        """Take an order list; returns it and its orders, as they were when it was placed.

        Raises:
            Refusal: it is not accepted; nothing has changed.
        """
        transaction = Transaction(self.state, time)
        found = self._lists.place(
            transaction,
            feed,
            account,
            working=working,
            others=others,
            client_id=client_id,
            pays=pays,
        )
        orders = [transaction.orders[number] for number in found.order_ids]
        self._lists.finish(transaction, feed)
        self._make_true(transaction, feed)
        return found, orders, transaction

    def cancel(
        self,
        feed: Feed,
        order: PaperOrder,
        cancel_id: str | None,
        time: int,
        restriction: str | None = None,
    ) -> CancelledOrders:
        """Take an order out of the book, and the others of its list with it.

        Args:
            restriction: the status an order must have, None for any.

        Raises:
            Refusal: it is not open, or not as it must be.
        """
        if not order.open:
            raise refusal(-2011)
        if restriction is not None and order.status != restriction:
            raise Refusal(-2011, "Order was not canceled due to cancel restrictions.")
        return self._cancel(feed, [order], cancel_id, time)

    def cancel_all(self, feed: Feed, time: int, account: str = DEFAULT_ACCOUNT) -> CancelledOrders:
        """Take every order of an account and a symbol out of the book, in one piece."""
        return self._cancel(feed, self.state.account(account).open_orders(feed.id), None, time)

    def _cancel(
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
                members = [transaction.find(order.account, number) for number in found.order_ids]
            for member in members:
                if transaction.order(member).open:
                    number = cancel_id or f"cancel{member.order_id}"
                    done.append((self._execution.cancel(transaction, member, number), number))
        self._lists.finish(transaction, feed)
        self._make_true(transaction, feed)
        return CancelledOrders(
            done, [transaction.lists[number] for number in lists], transaction.user_events()
        )

    def amend(
        self, feed: Feed, order: PaperOrder, amount: Decimal, client_id: str | None, time: int
    ) -> tuple[PaperOrder, Transaction]:
        """Make an open order smaller; it keeps its place in the queue.

        Raises:
            Refusal: it is not open, or the new amount is not accepted.
        """
        transaction = Transaction(self.state, time)
        changed = self._amender.amend(transaction, feed, order, amount, client_id)
        self._make_true(transaction, feed)
        return changed, transaction

    # -- the market moves

    def cross(self, feed: Feed, time: int) -> list[UserEvent]:
        """Trigger and fill the orders that the present price reaches; returns the user events."""
        transaction = Transaction(self.state, time)
        waiting = self.state.orders(feed.id)
        for order in waiting:
            if order.trailing_delta and order.dormant and not order.pending:
                self._execution.follow(transaction, feed, order)
        hit = [order for order in waiting if reached(feed, transaction.order(order))]
        volume = Decimal(repr(feed.traded))
        for order in hit if feed.book.depth is None else sorted(hit, key=_turn):
            order = transaction.order(order)
            if not order.open:
                continue
            if order.dormant:
                self._execution.trigger(transaction, feed, order)
            elif feed.book.depth is None:
                self._fill(transaction, feed, order, order.remaining)
            else:
                volume = self._queue(transaction, feed, order, volume)
        self._lists.finish(transaction, feed)
        if not transaction.orders:
            return []
        self._make_true(transaction, feed)
        return transaction.user_events()

    def _fill(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, amount: Decimal
    ) -> PaperOrder:
        order = self._execution.claim(transaction, order)
        number = self._execution.number(
            transaction, feed, order.price, amount, seller_taker=order.buys
        )
        return self._execution.trade(
            transaction, feed, order, order.price, amount, number, maker=True
        )

    def _queue(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, volume: Decimal
    ) -> Decimal:
        """Fill an order that the price has reached out of a volume; return what is left of it."""
        if not volume:
            return volume
        before = min(volume, order.ahead)
        if before:
            order = transaction.keep(replace(order, ahead=order.ahead - before))
        # What stood before this order stood before those behind it as well, and traded once.
        for other in self.state.orders(feed.id):
            behind = transaction.order(other)
            same = behind.working and behind.buys == order.buys and behind.price == order.price
            if before and same and behind.order_id != order.order_id:
                transaction.keep(replace(behind, ahead=max(_NOTHING, behind.ahead - before)))
        volume -= before
        amount = min(volume, order.visible) // feed.rules.step * feed.rules.step
        if amount:
            order = self._fill(transaction, feed, order, amount)
            if order.open and order.iceberg and order.visible == order.iceberg:
                self._execution.queue_again(transaction, feed, order)
        return volume - amount

    # -- the operator

    def deposit(self, account: str, asset: str, amount: Decimal, time: int) -> list[UserEvent]:
        """Bring an amount into an account; less than 0 takes it out.

        Raises:
            PaperExchangeError: there is not so much that is free.
        """
        transaction = Transaction(self.state, time)
        have = transaction.balance(account, asset).free
        if have + amount < 0:
            raise PaperExchangeError(
                f"Cannot withdraw {-amount} {asset} from account {account!r}: {have} are free. "
                "Withdraw less, or cancel orders that hold some back."
            )
        transaction.deposit(account, asset, amount)
        self._make_true(transaction, None)
        return transaction.user_events()

    def burn_bnb(self, account: str, burns: bool, time: int) -> None:
        """Let an account pay its fees in BNB, at a discount, or in what its trades receive."""
        transaction = Transaction(self.state, time)
        transaction.burns[account] = burns
        self._make_true(transaction, None)

    def join(self, account: str, group: int, time: int) -> None:
        """Keep an account from trading with the others of a group; -1 lets it leave its own."""
        transaction = Transaction(self.state, time)
        transaction.groups[account] = group
        self._make_true(transaction, None)

    def change_symbol(self, state: SymbolState, time: int) -> None:
        """Change the status, the rules or the halts of a symbol; the disk has it at once."""
        transaction = Transaction(self.state, time)
        transaction.symbols[state.symbol] = state
        self._make_true(transaction, None)
        self.ledger.flush()

    def delist(self, feed: Feed, time: int) -> list[UserEvent]:
        """End a symbol for good, and all orders of it, of all accounts."""
        transaction = Transaction(self.state, time)
        transaction.symbols[feed.id] = replace(self.state.symbol(feed.id), delisted=True)
        for order in self.state.orders(feed.id):
            if transaction.order(order).open:
                self._execution.expire(transaction, transaction.order(order))
        self._lists.finish(transaction, feed)
        self._make_true(transaction, feed)
        return transaction.user_events()

    # -- one change

    def _tell_first_fills(self, transaction: Transaction, replaced: AccountChange) -> None:
        told: set[int] = set()
        for trade in transaction.trades:
            before = replaced.orders[trade.account, trade.order_id]
            if trade.order_id not in told and (before is None or not before.executed):
                told.add(trade.order_id)
                self.first_fill(trade.account, trade.maker)

    def _make_true(self, transaction: Transaction, feed: Feed | None) -> None:
        # Once the ledger has the draft, it answers as the draft leaves things.
        replaced = transaction.replaced()
        self.ledger.write(transaction)
        self._tell_first_fills(transaction, replaced)
        self.history.note(replaced)
        transaction.apply()
        if feed is None:
            return
        for price, amount in transaction.taken:
            feed.book.take(price, amount)
        for deal in transaction.deals:
            feed.tape.add(deal)
        feed.book.orders_changed()


def _nobody(account: str, maker: bool) -> None:
    """Tell nobody."""


def _turn(order: PaperOrder) -> tuple[bool, Decimal, int, int]:
    """Return whose turn it is: the best price, then who came into the book first."""
    worse = -order.price if order.buys else order.price
    return order.dormant, worse, order.priority, order.order_id
