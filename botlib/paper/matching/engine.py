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
from botlib.paper.accounts.account import Account
from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.orders import OrderList, PaperOrder, PaperTrade, PreventedMatch
from botlib.paper.accounts.snapshots import Change, Past
from botlib.paper.accounts.transaction import Draft, Notice
from botlib.paper.market.book import DisplayedOrder
from botlib.paper.market.feed import Feed
from botlib.paper.market.halts import SymbolState
from botlib.paper.market.tape import AccountTrade
from botlib.paper.matching.amendments import Amending
from botlib.paper.matching.execution import Execution, reached
from botlib.paper.matching.order_entry import Intake
from botlib.paper.matching.order_lists import OrderLists
from botlib.paper.matching.pegging import priced
from botlib.paper.matching.requests import OrderRequest
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.refusals import Refusal, refusal

_NOTHING: Final = Decimal(0)


class Placed(NamedTuple):
    """A new order, what it traded at once, and the events that tell of it."""

    order: PaperOrder
    trades: list[PaperTrade]
    prevented: list[PreventedMatch]
    notices: list[Notice]


class Cancelled(NamedTuple):
    """What was taken out of the book: orders with the ids of their cancellations, and lists."""

    orders: list[tuple[PaperOrder, str]]
    lists: list[OrderList]
    notices: list[Notice]


class Desk:
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
        ledger.kept = lambda: self.register.trim()
        self._load()

    def _load(self) -> None:
        register = self.register = self.ledger.load()
        self.past = Past()
        self._execution = Execution(register, self.commission)
        self._intake = Intake(self._execution)
        self._lists = OrderLists(self._execution, self._intake)
        self._amending = Amending(self._execution)

    @property
    def account(self) -> Account:
        """The account of the exchange's own keys."""
        return self.register.account(DEFAULT_ACCOUNT)

    def resting(self, symbol: str) -> int:
        """Return how many orders of a symbol (by id) are open, in all accounts."""
        return len(self.register.working.get(symbol, ()))

    def standing(self, symbol: str) -> Iterator[DisplayedOrder]:
        """Yield what the book of a symbol shows of the accounts' orders."""
        for order in self.register.working.get(symbol, {}).values():
            if order.working:
                yield DisplayedOrder(order.buys, order.price, order.visible)

    def deals(self, symbol: str) -> list[AccountTrade]:
        """Return the accounts' trades of a symbol that stand on the public tape, in order."""
        trades: dict[int, PaperTrade] = {}
        for account in self.register.accounts.values():
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
        self._draft_order(Draft(self.register, time), feed, request, account)

    def weigh(self, feed: Feed, request: OrderRequest) -> None:
        """Refuse an order that breaks a filter of its symbol, whoever sends it.

        Raises:
            Refusal: it does.
        """
        self._intake.filter(feed, priced(feed, request))

    def place(
        self, feed: Feed, request: OrderRequest, time: int, account: str = DEFAULT_ACCOUNT
    ) -> Placed:
        """Take an order.

        Raises:
            Refusal: it is not accepted; nothing has changed.
        """
        draft = Draft(self.register, time)
        number = self._draft_order(draft, feed, request, account)
        self._make_true(draft, feed)
        trades = [trade for trade in draft.trades if trade.order_id == number]
        return Placed(draft.orders[number], trades, draft.prevented, draft.notices())

    def _draft_order(self, draft: Draft, feed: Feed, request: OrderRequest, account: str) -> int:
        request = priced(feed, request)
        self._intake.weigh(feed, account, [request])
        order = self._intake.make(draft, feed, account, request)
        self._intake.accept(draft, feed, order)
        self._lists.finish(draft, feed)
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
    ) -> tuple[OrderList, list[PaperOrder], Draft]:
        """Take an order list; returns it and its orders, as they were when it was placed.

        Raises:
            Refusal: it is not accepted; nothing has changed.
        """
        draft = Draft(self.register, time)
        found = self._lists.place(
            draft,
            feed,
            account,
            working=working,
            others=others,
            client_id=client_id,
            pays=pays,
        )
        orders = [draft.orders[number] for number in found.order_ids]
        self._lists.finish(draft, feed)
        self._make_true(draft, feed)
        return found, orders, draft

    def cancel(
        self,
        feed: Feed,
        order: PaperOrder,
        cancel_id: str | None,
        time: int,
        restriction: str | None = None,
    ) -> Cancelled:
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

    def cancel_all(self, feed: Feed, time: int, account: str = DEFAULT_ACCOUNT) -> Cancelled:
        """Take every order of an account and a symbol out of the book, in one piece."""
        return self._cancel(feed, self.register.account(account).open_orders(feed.id), None, time)

    def _cancel(
        self, feed: Feed, orders: Sequence[PaperOrder], cancel_id: str | None, time: int
    ) -> Cancelled:
        draft = Draft(self.register, time)
        done: list[tuple[PaperOrder, str]] = []
        lists: list[int] = []
        for order in orders:
            found = draft.list_of(order)
            members = [order]
            if found is not None:
                if found.list_id not in lists:
                    lists.append(found.list_id)
                members = [draft.find(order.account, number) for number in found.order_ids]
            for member in members:
                if draft.order(member).open:
                    number = cancel_id or f"cancel{member.order_id}"
                    done.append((self._execution.cancel(draft, member, number), number))
        self._lists.finish(draft, feed)
        self._make_true(draft, feed)
        return Cancelled(done, [draft.lists[number] for number in lists], draft.notices())

    def amend(
        self, feed: Feed, order: PaperOrder, amount: Decimal, client_id: str | None, time: int
    ) -> tuple[PaperOrder, Draft]:
        """Make an open order smaller; it keeps its place in the queue.

        Raises:
            Refusal: it is not open, or the new amount is not accepted.
        """
        draft = Draft(self.register, time)
        changed = self._amending.amend(draft, feed, order, amount, client_id)
        self._make_true(draft, feed)
        return changed, draft

    # -- the market moves

    def cross(self, feed: Feed, time: int) -> list[Notice]:
        """Trigger and fill the orders that the present price reaches; returns the user events."""
        draft = Draft(self.register, time)
        waiting = self.register.orders(feed.id)
        for order in waiting:
            if order.trailing_delta and order.dormant and not order.pending:
                self._execution.follow(draft, feed, order)
        hit = [order for order in waiting if reached(feed, draft.order(order))]
        volume = Decimal(repr(feed.traded))
        for order in hit if feed.book.depth is None else sorted(hit, key=_turn):
            order = draft.order(order)
            if not order.open:
                continue
            if order.dormant:
                self._execution.trigger(draft, feed, order)
            elif feed.book.depth is None:
                self._fill(draft, feed, order, order.remaining)
            else:
                volume = self._queue(draft, feed, order, volume)
        self._lists.finish(draft, feed)
        if not draft.orders:
            return []
        self._make_true(draft, feed)
        return draft.notices()

    def _fill(self, draft: Draft, feed: Feed, order: PaperOrder, amount: Decimal) -> PaperOrder:
        order = self._execution.claim(draft, order)
        number = self._execution.number(draft, feed, order.price, amount, seller_taker=order.buys)
        return self._execution.trade(draft, feed, order, order.price, amount, number, maker=True)

    def _queue(self, draft: Draft, feed: Feed, order: PaperOrder, volume: Decimal) -> Decimal:
        """Fill an order that the price has reached out of a volume; return what is left of it."""
        if not volume:
            return volume
        before = min(volume, order.ahead)
        if before:
            order = draft.keep(replace(order, ahead=order.ahead - before))
        # What stood before this order stood before those behind it as well, and traded once.
        for other in self.register.orders(feed.id):
            behind = draft.order(other)
            same = behind.working and behind.buys == order.buys and behind.price == order.price
            if before and same and behind.order_id != order.order_id:
                draft.keep(replace(behind, ahead=max(_NOTHING, behind.ahead - before)))
        volume -= before
        amount = min(volume, order.visible) // feed.rules.step * feed.rules.step
        if amount:
            order = self._fill(draft, feed, order, amount)
            if order.open and order.iceberg and order.visible == order.iceberg:
                self._execution.queue_again(draft, feed, order)
        return volume - amount

    # -- the operator

    def deposit(self, account: str, asset: str, amount: Decimal, time: int) -> list[Notice]:
        """Bring an amount into an account; less than 0 takes it out.

        Raises:
            PaperExchangeError: there is not so much that is free.
        """
        draft = Draft(self.register, time)
        have = draft.balance(account, asset).free
        if have + amount < 0:
            raise PaperExchangeError(
                f"Cannot withdraw {-amount} {asset} from account {account!r}: {have} are free. "
                "Withdraw less, or cancel orders that hold some back."
            )
        draft.deposit(account, asset, amount)
        self._make_true(draft, None)
        return draft.notices()

    def burn_bnb(self, account: str, burns: bool, time: int) -> None:
        """Let an account pay its fees in BNB, at a discount, or in what its trades receive."""
        draft = Draft(self.register, time)
        draft.burns[account] = burns
        self._make_true(draft, None)

    def join(self, account: str, group: int, time: int) -> None:
        """Keep an account from trading with the others of a group; -1 lets it leave its own."""
        draft = Draft(self.register, time)
        draft.groups[account] = group
        self._make_true(draft, None)

    def change_symbol(self, state: SymbolState, time: int) -> None:
        """Change the status, the rules or the halts of a symbol; the disk has it at once."""
        draft = Draft(self.register, time)
        draft.symbols[state.symbol] = state
        self._make_true(draft, None)
        self.ledger.flush()

    def delist(self, feed: Feed, time: int) -> list[Notice]:
        """End a symbol for good, and all orders of it, of all accounts."""
        draft = Draft(self.register, time)
        draft.symbols[feed.id] = replace(self.register.symbol(feed.id), delisted=True)
        for order in self.register.orders(feed.id):
            if draft.order(order).open:
                self._execution.expire(draft, draft.order(order))
        self._lists.finish(draft, feed)
        self._make_true(draft, feed)
        return draft.notices()

    # -- one change

    def _tell_first_fills(self, draft: Draft, replaced: Change) -> None:
        told: set[int] = set()
        for trade in draft.trades:
            before = replaced.orders[trade.account, trade.order_id]
            if trade.order_id not in told and (before is None or not before.executed):
                told.add(trade.order_id)
                self.first_fill(trade.account, trade.maker)

    def _make_true(self, draft: Draft, feed: Feed | None) -> None:
        # Once the ledger has the draft, it answers as the draft leaves things.
        replaced = draft.replaced()
        self.ledger.write(draft)
        self._tell_first_fills(draft, replaced)
        self.past.note(replaced)
        draft.apply()
        if feed is None:
            return
        for price, amount in draft.taken:
            feed.book.take(price, amount)
        for deal in draft.deals:
            feed.tape.add(deal)
        feed.book.touch()


def _nobody(account: str, maker: bool) -> None:
    """Tell nobody."""


def _turn(order: PaperOrder) -> tuple[bool, Decimal, int, int]:
    """Return whose turn it is: the best price, then who came into the book first."""
    worse = -order.price if order.buys else order.price
    return order.dormant, worse, order.priority, order.order_id
