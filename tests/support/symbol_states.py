"""Generated states of a symbol, and a venue without faults that carries steps out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from hypothesis import strategies as st

from botlib.core.market import Market
from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.trading.books import Book, BookKey, Protection, Want
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from botlib.trading.state import (
    Cancel,
    Drop,
    Halt,
    Nothing,
    Place,
    Query,
    Replace,
    Step,
    Sweep,
    TradingState,
)
from botlib.trading.steps import next_step
from botlib.trading.stops import StopRules

D = Decimal
SYMBOL: Final = "BTC/USDT"
NOW: Final = 1_767_571_200_000
MINUTE: Final = 60_000
STRATEGIES: Final = ("trend", "swing")
STOP_TYPES: Final = frozenset({"LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"})
ENDED: Final = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED)


def market(*, replaces: bool = True, lists: bool = True, stops: bool = True) -> Market:
    """Return a market with small steps."""
    return Market(
        symbol=SYMBOL,
        id="BTCUSDT",
        base="BTC",
        quote="USDT",
        tick=D("0.01"),
        step=D("0.001"),
        min_amount=D("0.001"),
        min_cost=D(5),
        order_types=STOP_TYPES if stops else frozenset({"LIMIT", "MARKET"}),
        replaces=replaces,
        lists=lists,
    )


MARKETS = st.builds(market, replaces=st.booleans(), lists=st.booleans(), stops=st.booleans())
AMOUNTS = st.sampled_from([D(0), D("0.0004"), D("0.02"), D(1), D("4.9953")])


def wants() -> st.SearchStrategy[Want | None]:
    """Return wants to enter, to leave and none."""
    entries = st.builds(
        Want,
        target=st.sampled_from([D("0.001"), D(1), D("5.0005")]),
        reason=st.just("entry"),
        decided=st.just(NOW - MINUTE),
        timeframe=st.just("1m"),
        price=st.sampled_from([D(100), D(0)]),
        valid_until=st.sampled_from([NOW + MINUTE, NOW, NOW - MINUTE]),
        limit=st.sampled_from([None, None, D(99)]),
    )
    exits = st.builds(
        Want,
        target=st.just(D(0)),
        reason=st.just("exit"),
        decided=st.just(NOW - MINUTE),
        price=st.sampled_from([D(100), D(0)]),
    )
    return st.none() | entries | exits


def protections() -> st.SearchStrategy[Protection]:
    """Return what protects a position: every kind of rule, priced and not."""
    return st.builds(
        lambda rules, high, priced: (
            Protection(rules=rules, entry="bl-e", entry_price=D(100), high=high).priced(D("0.01"))
            if priced
            else Protection(rules=rules)
        ),
        rules=st.builds(
            StopRules,
            stop_loss=st.sampled_from([None, 0.05]),
            take_profit=st.sampled_from([None, 0.1]),
            trailing_stop=st.sampled_from([None, 0.1]),
        ),
        high=st.sampled_from([None, 120.0]),
        priced=st.booleans(),
    )


@st.composite
def orders(draw: st.DrawFn, number: int, strategy: str) -> TrackedOrder:
    """Return an order of a strategy in any status, whatever it is for."""
    role = draw(st.sampled_from(OrderRole))
    kind = {OrderRole.STOP: OrderType.STOP_LOSS, OrderRole.TARGET: OrderType.LIMIT}.get(
        role, OrderType.MARKET
    )
    if role is OrderRole.ENTRY and draw(st.booleans()):
        kind = OrderType.LIMIT
    amount = draw(st.sampled_from([D(1), D("4.995"), D("0.02")]))
    levels = st.sampled_from([D(95), D(108), D(90)])
    intent = OrderIntent(
        client_order_id=f"bl-{number}",
        strategy=strategy,
        symbol=SYMBOL,
        side=Side.BUY if role is OrderRole.ENTRY else Side.SELL,
        type=kind,
        amount=amount,
        price=draw(levels) if kind is OrderType.LIMIT else None,
        stop_price=draw(levels) if kind is OrderType.STOP_LOSS else None,
        signal_timestamp=NOW - MINUTE if role in (OrderRole.ENTRY, OrderRole.EXIT) else None,
        role=role,
        entry=None if role is OrderRole.ENTRY else "bl-e",
        list_id=draw(st.sampled_from([None, "list"])),
    )
    found = TrackedOrder(intent=intent, created=NOW, sent=True)
    for event in draw(st.lists(_events(amount), max_size=3)):
        found = transition(found, event)
    return found


def _events(amount: Decimal) -> st.SearchStrategy[OrderEvent]:
    return st.builds(
        OrderEvent,
        kind=st.sampled_from([*EventKind, EventKind.REPORTED, EventKind.REPORTED]),
        status=st.sampled_from([OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, *ENDED]),
        filled=st.sampled_from([D(0), amount / 2, amount]),
        venue_order_id=st.just("v"),
        number=st.integers(1, 2),
        retry=st.booleans(),
    )


@st.composite
def states(draw: st.DrawFn) -> TradingState:
    """Return a state of a symbol with one or two books, likely or not.

    Every other one is calm: no outcome, fill or pause is awaited.
    """
    calm = draw(st.booleans())
    names = STRATEGIES[: draw(st.integers(1, 2))]
    found: list[TrackedOrder] = []
    for name in names:
        for _ in range(draw(st.integers(0, 2 if calm else 3))):
            found.append(draw(orders(len(found), name)))
    if calm:
        found = [one for one in found if not one.unclear]
    books = [
        Book(
            key=BookKey(name, SYMBOL),
            amount=draw(AMOUNTS),
            want=draw(wants()),
            protection=draw(protections()),
            orphaned=draw(st.booleans()),
            sent={role: draw(st.integers(0, 2)) for role in OrderRole},
        )
        for name in names
    ]
    state = TradingState(
        bot="0000aa",
        market=draw(MARKETS),
        now=NOW,
        wall=NOW,
        price=draw(st.sampled_from([D(100), D(200), None, D("0.01")])),
        books=tuple(books),
        orders=tuple(found),
        booked={one.id: one.filled for one in found},
    )
    if calm:
        return state
    moments = st.sampled_from([0, NOW - 1, NOW + 5_000])
    return replace(
        state,
        booked={one.id: draw(st.sampled_from([one.filled, D(0)])) for one in found},
        ask_at={one.id: draw(moments) for one in found},
        sweep_at=draw(moments),
        sweep_wanted=draw(st.booleans()),
        send_at=draw(moments),
        check=frozenset(one.id for one in found if draw(st.booleans())),
        retry_at={book.key: draw(moments) for book in books},
        held_back=draw(st.sampled_from([None, "the loop is late"])),
        halts=draw(st.sampled_from([(), ("a person stopped it",)])),
    )


@dataclass(slots=True)
class Model:
    """A symbol whose venue has no faults: steps are carried out, and time passes.

    An order of unknown outcome exists at the venue with ``arrived``: a query tells.
    """

    state: TradingState
    arrived: bool = True
    look: Callable[[TradingState, Step], None] = lambda state, step: None
    """Is called with every state and the step that follows."""
    steps: list[Step] = field(default_factory=list)

    def run(self, most: int = 200) -> Step:
        """Take steps until nothing is left to do; return the last one."""
        for _ in range(most):
            step = next_step(self.state)
            self.steps.append(step)
            self.look(self.state, step)
            if isinstance(step, Nothing):
                return step
            if isinstance(step, Halt):
                self.state = replace(self.state, halts=(*self.state.halts, step.reason))
            elif not self._do(step):
                self._sell_on()
                moment = min(step.wall, step.market)  # type: ignore[union-attr]
                if moment > NOW + 10 * MINUTE:
                    return step
                moment = max(moment, self.state.wall + 1)
                self.state = replace(self.state, wall=moment, now=max(self.state.now, moment))
        raise AssertionError(f"no end after {most} steps: {self.steps[-6:]}")

    def _sell_on(self) -> None:
        """Fill the stops that have begun to sell."""
        for order in self.state.orders:
            if order.role is OrderRole.STOP and order.status is OrderStatus.PARTIALLY_FILLED:
                self._end(order, OrderStatus.FILLED, order.intent.amount)

    def _do(self, step: Step) -> bool:
        if isinstance(step, Query):
            self._answer(step.order)
        elif isinstance(step, Sweep):
            for order in self.state.orders:
                self._book(order)
            self.state = replace(self.state, sweep_wanted=False)
        elif isinstance(step, Place):
            for intent in step.intents:
                self._place(intent)
        elif isinstance(step, Cancel):
            self._cancel(step.order)
        elif isinstance(step, Replace):
            self._cancel(step.order)
            self._place(step.intent)
        elif isinstance(step, Drop):
            self._change(replace(self._book_of(step.book.key), want=None))
        else:
            return False
        return True

    def _answer(self, order: TrackedOrder) -> None:
        self.state = replace(self.state, check=self.state.check - {order.id})
        if order.rests:
            return
        if not (self.arrived or order.acknowledged):
            self._happened(order, OrderEvent(kind=EventKind.ABSENT))
        elif order.cancels_sent > order.cancels_refused and order.acknowledged:
            self._end(order, OrderStatus.CANCELED, order.filled)
        elif order.intent.type is OrderType.MARKET:
            self._end(order, OrderStatus.FILLED, order.intent.amount)
        else:
            self._report(order, OrderStatus.OPEN, order.filled)

    def _place(self, intent: OrderIntent) -> None:
        assert all(one.id != intent.client_order_id for one in self.state.orders), (
            f"{intent.client_order_id} is sent again"
        )
        order = TrackedOrder(intent=intent, created=NOW, sent=True)
        book = self._book_of(BookKey(intent.strategy, intent.symbol))
        sent = {**book.sent, intent.role: max(book.sent.get(intent.role, 0), intent.sequence + 1)}
        self._change(replace(book, sent=sent))
        self.state = replace(self.state, orders=(*self.state.orders, order))
        if intent.type is OrderType.MARKET:
            self._end(order, OrderStatus.FILLED, intent.amount)
            self._book(self._order(order.id))
        else:
            self._report(order, OrderStatus.OPEN, D(0))

    def _cancel(self, order: TrackedOrder) -> None:
        legs = [order.intent.list_id] if order.intent.list_id else []
        for one in self.state.orders:
            if one.id == order.id or (one.intent.list_id in legs and one.rests):
                self._end(one, OrderStatus.CANCELED, one.filled)

    def _book(self, order: TrackedOrder) -> None:
        """Book what is owed of an order; the first fill of an entry prices the protection."""
        owed = order.filled - self.state.booked.get(order.id, D(0))
        if owed <= 0:
            return
        book = self._book_of(BookKey(order.intent.strategy, order.intent.symbol))
        amount = max(D(0), book.amount - owed) if order.sells else book.amount + owed
        if order.role is OrderRole.ENTRY:
            protection = Protection(
                rules=book.protection.rules, entry=order.id, entry_price=D(100)
            ).priced(self.state.market.tick)
            book = replace(book, protection=protection, sent={})
        self._change(replace(book, amount=amount))
        self.state = replace(self.state, booked={**self.state.booked, order.id: order.filled})

    def _order(self, name: str) -> TrackedOrder:
        return next(one for one in self.state.orders if one.id == name)

    def _book_of(self, key: BookKey) -> Book:
        return next(one for one in self.state.books if one.key == key)

    def _change(self, book: Book) -> None:
        books = tuple(book if one.key == book.key else one for one in self.state.books)
        self.state = replace(self.state, books=books)

    def _end(self, order: TrackedOrder, status: OrderStatus, filled: Decimal) -> None:
        self._report(order, status, filled)

    def _report(self, order: TrackedOrder, status: OrderStatus, filled: Decimal) -> None:
        event = OrderEvent(
            kind=EventKind.REPORTED, status=status, filled=filled, venue_order_id="v"
        )
        self._happened(self._order(order.id), event)

    def _happened(self, order: TrackedOrder, event: OrderEvent) -> None:
        changed = transition(order, event)
        found = tuple(changed if one.id == order.id else one for one in self.state.orders)
        self.state = replace(self.state, orders=found)
