"""What to do next about a symbol: `next_step` compares what is wanted with what is known.

The function is pure and total. A step is a proposal: when it fails, is refused or never answers,
the wants are as before, and the next call finds them again.

What holds for every state:

1. No entry while an outcome or a fill of the symbol is not known.
2. A position that can be sold has its protection at the venue, or the step (or one under way) is
   what gives it back. An exit takes the protection away only if the sale can follow at once.
3. A stop or target that is partly filled is left to run.
4. Steps that only lower what is at risk wait for nothing but the venue.
5. From every state, with faults over, the steps end with wants and venue agreeing, or in `Halt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from botlib.core.market import Market
from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.trading.books import ZERO, Book, BookKey, Protection, Want
from botlib.trading.orders import TrackedOrder
from botlib.trading.sizing import sellable, tradable

ID_PREFIX: Final = "bl"
"""Begins the client order ids of all bots; the id of the bot follows."""

NEVER: Final = 1 << 62
"""A moment that does not come by itself."""

EXIT_ROLES: Final = (OrderRole.EXIT, OrderRole.EMERGENCY, OrderRole.MANUAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolState:
    """Everything that decides about the next step of one symbol.

    Attributes:
        now: market time, ms.
        wall: wall time, ms.
        price: the newest price, quote units; None if it is not known.
        orders: the orders that have not ended or have fills that are not booked, and the newest
            ones of every present decision, the oldest first.
        booked: base units of the booked fills of ``orders``, by client order id.
        ask_at: wall time (ms) from which an order may be asked about again, by client order id.
        sweep_at: wall time (ms) from which the trades may be asked for again.
        sweep_wanted: fills may be missing, although no order says so.
        send_at: wall time (ms) from which orders may be sent; the venue said when.
        check: client order ids of orders that rest, and are to be asked about all the same.
        retry_at: wall time (ms) from which a book may send again after a refusal.
        held_back: why nothing may be entered for the moment, which passes by itself.
        halts: why nothing may be entered until a person says so.
        bot: id of the bot, part of every client order id.
    """

    bot: str
    market: Market
    now: int
    wall: int
    price: Decimal | None = None
    books: tuple[Book, ...] = ()
    orders: tuple[TrackedOrder, ...] = ()
    booked: Mapping[str, Decimal] = field(default_factory=dict)
    ask_at: Mapping[str, int] = field(default_factory=dict)
    sweep_at: int = 0
    sweep_wanted: bool = False
    send_at: int = 0
    check: frozenset[str] = frozenset()
    retry_at: Mapping[BookKey, int] = field(default_factory=dict)
    held_back: str | None = None
    halts: tuple[str, ...] = ()

    def of(self, key: BookKey) -> list[TrackedOrder]:
        """Return the orders of a book, the oldest first."""
        return [
            order
            for order in self.orders
            if (order.intent.strategy, order.intent.symbol) == tuple(key)
        ]

    def sends_from(self, book: Book) -> int:
        """Return the wall time (ms) from which a book may send."""
        return max(self.send_at, self.retry_at.get(book.key, 0))

    def owes(self, order: TrackedOrder) -> bool:
        """Return whether the venue knows of fills of an order that are not booked."""
        return self.booked.get(order.id, ZERO) < order.filled


@dataclass(frozen=True, slots=True)
class Nothing:
    """Wants and venue agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be done before a moment: wall time or market time in ms, `NEVER` if neither."""

    why: str
    wall: int = NEVER
    market: int = NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Ask the venue how an order stands."""

    order: TrackedOrder


@dataclass(frozen=True, slots=True)
class Sweep:
    """Ask the venue for the trades of the symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Send one order, or two that cancel each other (the target, then the stop)."""

    book: Book
    intents: tuple[OrderIntent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Cancel an order; one leg of a list takes the other with it."""

    order: TrackedOrder
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Cancel an order and send another in one request; nothing is sent if the first fails."""

    book: Book
    order: TrackedOrder
    intent: OrderIntent


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Forget what a book wants: it was done, came too late, or cannot be done."""

    book: Book
    why: str
    refused: bool = True
    """Whether it was not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Stop entries until a person looks."""

    reason: str


Step = Nothing | Wait | Query | Sweep | Place | Cancel | Replace | Drop | Halt


def next_step(state: SymbolState) -> Step:
    """Return the single next step of a symbol."""
    waits: list[Wait] = []
    for step in _proposals(state):
        if isinstance(step, Wait):
            waits.append(step)
        else:
            return step
    if not waits:
        return Nothing()
    return Wait(
        why=waits[0].why,
        wall=min(wait.wall for wait in waits),
        market=min(wait.market for wait in waits),
    )


def _proposals(state: SymbolState) -> Iterator[Step]:
    """Yield what is due, the most urgent first."""
    yield from _questions(state)
    for book in state.books:
        yield from _leave(state, book)
    for book in state.books:
        yield from _protect(state, book)
    for book in state.books:
        yield from _enter(state, book)


def _questions(state: SymbolState) -> Iterator[Step]:
    for order in state.orders:
        if not order.unclear and order.id not in state.check:
            continue
        due = state.ask_at.get(order.id, 0)
        if due <= state.wall:
            yield Query(order=order)
        else:
            yield Wait(why=f"what became of {order.id} is not known", wall=due)
    if state.sweep_wanted or any(map(state.owes, state.orders)):
        if state.sweep_at <= state.wall:
            yield Sweep()
        else:
            yield Wait(why="fills are not booked yet", wall=state.sweep_at)


def _sales(state: SymbolState, book: Book) -> list[TrackedOrder]:
    """Return the orders of a book that sell and have not ended."""
    return [one for one in state.of(book.key) if one.sells and not one.ended]


def _unsure(state: SymbolState, book: Book) -> bool:
    """Return whether more of a book may be sold than is known."""
    return any(
        one.sells and (one.unclear or state.owes(one) or (one.role in EXIT_ROLES and not one.ended))
        for one in state.of(book.key)
    )


def _running(order: TrackedOrder) -> bool:
    """Return whether an order is a stop that has begun to sell: it is left to run."""
    return order.role is OrderRole.STOP and order.status is OrderStatus.PARTIALLY_FILLED


def _worth(state: SymbolState, book: Book) -> Decimal:
    """Return what a unit is about worth: the newest price that is known of."""
    want = book.want.price if book.want is not None else ZERO
    return state.price or book.protection.entry_price or want


def _leaving(state: SymbolState, book: Book) -> bool:
    want = book.want
    return want is not None and want.target < book.amount and want.target <= 0


def _leave(state: SymbolState, book: Book) -> Iterator[Step]:
    """Yield the step of a book that wants to hold less than it does."""
    want = book.want
    if want is None or want.target > 0:
        return
    if _unsure(state, book):
        return  # A question is under way already.
    amount = sellable(book.amount - want.target, state.market)
    resting = _sales(state, book)
    if not tradable(amount, _worth(state, book), state.market):
        if resting:
            yield from _cancel(state, resting[0], "what it protects is too little to be sold")
        else:
            yield Drop(book=book, why="nothing that can be sold is held", refused=False)
        return
    if any(map(_running, resting)):
        yield Wait(why=f"the stop of {book.key} is selling", wall=state.wall + 1_000)
        return
    if state.sends_from(book) > state.wall:
        # The protection stays until the sale can follow.
        yield Wait(why="the venue asks to wait", wall=state.sends_from(book))
        return
    intent = _sale(state, book, amount, OrderRole.EXIT, want.reason)
    if not resting:
        yield Place(book=book, intents=(intent,))
    elif len(resting) == 1 and resting[0].intent.list_id is None and state.market.replaces:
        yield Replace(book=book, order=resting[0], intent=intent)
    else:
        yield Cancel(order=resting[0], why=want.reason)


def _protect(state: SymbolState, book: Book) -> Iterator[Step]:
    """Yield the step that brings a book's stop and target to the venue, or to their place."""
    resting = _sales(state, book)
    if _unsure(state, book) or _leaving(state, book):
        return
    amount = sellable(book.amount, state.market)
    protection = book.protection
    if not tradable(amount, _worth(state, book), state.market):
        if resting and not any(map(_running, resting)):
            yield from _cancel(state, resting[0], "what it protects is too little to be sold")
        return
    if not protection.any:
        return
    if any(map(_running, resting)):
        return
    wanted = _protecting(state, book, amount, protection)
    if resting and _alike(resting, wanted):
        return
    if state.sends_from(book) > state.wall:
        yield Wait(why="the venue asks to wait", wall=state.sends_from(book))
    elif not resting:
        yield from _place_protection(state, book, amount, wanted)
    elif len(resting) == len(wanted) == 1 and state.market.replaces:
        yield Replace(book=book, order=resting[0], intent=wanted[0])
    else:
        yield Cancel(order=resting[0], why="it is moved")


def _place_protection(
    state: SymbolState, book: Book, amount: Decimal, wanted: tuple[OrderIntent, ...]
) -> Iterator[Step]:
    entry = book.protection.entry
    refused = [
        one
        for one in state.of(book.key)
        if one.intent.entry == entry
        and one.role in (OrderRole.STOP, OrderRole.TARGET)
        and one.status is OrderStatus.REJECTED
        and not one.retry
        and one.intent.amount == amount
    ]
    tried = [
        one
        for one in state.of(book.key)
        if one.intent.entry == entry
        and one.role is OrderRole.EMERGENCY
        and one.status is not OrderStatus.ABSENT
        and not one.retry
    ]
    stop = book.protection.stop
    small = stop is not None and not tradable(amount, stop, state.market)
    if not wanted:
        yield from _halt(state, f"{book.key}: the venue lists no order type that protects it")
    elif not refused and not small:
        yield Place(book=book, intents=wanted)
    elif not tried:
        sale = _sale(state, book, amount, OrderRole.EMERGENCY, "stop_loss")
        yield Place(book=book, intents=(sale,))
    else:
        why = tried[-1].message or next((one.message for one in refused), "")
        yield from _halt(
            state,
            f"{amount} {state.market.base} of {book.key} can neither be protected nor be sold"
            + (f": {why}" if why else ""),
        )


def _halt(state: SymbolState, reason: str) -> Iterator[Step]:
    if reason in state.halts:
        yield Wait(why=reason, wall=state.wall + 10_000)
    else:
        yield Halt(reason=reason)


def _enter(state: SymbolState, book: Book) -> Iterator[Step]:
    """Yield the step of a book that wants to hold more than it does."""
    want = book.want
    if want is None or want.target <= 0:
        return
    placed = _entries(state, book, want)
    if placed and not placed[-1].retry:
        yield from _entered(state, book, want, placed[-1])
        return
    if tradable(sellable(book.amount, state.market), want.price, state.market):
        yield Drop(book=book, why=f"{book.amount} {state.market.base} are held already")
    elif want.valid_until is not None and state.now >= want.valid_until:
        yield Drop(book=book, why=state.held_back or "the candle is old: the next one has closed")
    elif state.halts:
        yield Drop(book=book, why=f"entries are halted: {state.halts[0]}")
    elif any(one.unclear or state.owes(one) for one in state.orders) or state.sweep_wanted:
        yield Wait(why="an outcome of the symbol is not known", market=want.valid_until or NEVER)
    elif any(one.role is OrderRole.ENTRY and not one.ended for one in state.of(book.key)):
        yield Wait(why="an entry is under way", market=want.valid_until or NEVER)
    elif state.held_back is not None or state.sends_from(book) > state.wall:
        yield Wait(
            why=state.held_back or "the venue asks to wait",
            wall=max(state.sends_from(book), state.wall + 500),
            market=want.valid_until or NEVER,
        )
    else:
        yield from _entry(state, book, want)


def _entries(state: SymbolState, book: Book, want: Want) -> list[TrackedOrder]:
    """Return the orders that were sent for a want to enter, the oldest first."""
    return [
        one
        for one in state.of(book.key)
        if one.role is OrderRole.ENTRY and one.intent.signal_timestamp == want.decided
    ]


def _entered(state: SymbolState, book: Book, want: Want, order: TrackedOrder) -> Iterator[Step]:
    if order.ended and not state.owes(order):
        done = order.filled > 0
        yield Drop(book=book, why=order.message or str(order.status), refused=not done)
    elif order.rests and want.valid_until is not None:
        if state.now >= want.valid_until:
            yield from _cancel(state, order, "it is not valid any more")
        else:
            yield Wait(why="a limit entry rests", market=want.valid_until)


def _entry(state: SymbolState, book: Book, want: Want) -> Iterator[Step]:
    market = state.market
    amount = sellable(want.target, market)
    reference = want.limit or want.price
    if not tradable(amount, reference, market):
        yield Drop(
            book=book,
            why=f"{amount} {market.base} is below the venue's least order "
            f"({market.min_amount} {market.base}, {market.min_cost} {market.quote})",
        )
        return
    flaw = unprotectable(amount, reference, book.protection, market)
    if flaw is not None:
        yield Drop(book=book, why=flaw)
        return
    number = len(_entries(state, book, want))
    yield Place(
        book=book,
        intents=(
            OrderIntent(
                client_order_id=client_order_id(
                    state.bot, book.key, want.timeframe, want.decided, "entry", number
                ),
                strategy=book.key.strategy,
                symbol=book.key.symbol,
                side=Side.BUY,
                type=OrderType.MARKET if want.limit is None else OrderType.LIMIT,
                amount=amount,
                price=want.limit,
                signal_timestamp=want.decided,
                reason=want.reason,
                role=OrderRole.ENTRY,
                sequence=number,
            ),
        ),
    )


def unprotectable(
    amount: Decimal, price: Decimal, protection: Protection, market: Market
) -> str | None:
    """Return why a position could not be protected at the venue, None if it can.

    Args:
        amount: base units.
        price: of its entry, quote units.
        protection: its rules; the prices it has come to are not looked at.
    """
    rules = protection.rules
    if not rules.limited:
        return None
    planned = Protection(rules=rules, entry_price=price).priced(market.tick)
    if planned.stop is not None and stop_type(market) is None:
        return f"{market.symbol} lists no stop order, so that the position could not be protected"
    if planned.stop is not None and not tradable(amount, planned.stop, market):
        return (
            f"its stop at {planned.stop} would be worth less than the venue's least order "
            f"({market.min_cost} {market.quote})"
        )
    if planned.stop is not None and planned.target is not None and not market.lists:
        return (
            f"{market.symbol} takes no order lists, so that a stop and a target exclude each other"
        )
    low, high = market.sell_band
    if planned.stop is not None and low and planned.stop < price * low:
        return f"its stop at {planned.stop} is below the venue's least price ({price * low:f})"
    if planned.target is not None and high and planned.target > price * high:
        return f"its target at {planned.target} is above the venue's highest price"
    return None


def stop_type(market: Market) -> OrderType | None:
    """Return the kind of stop that a market lists, the plain one first; None if it lists none."""
    for kind in (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT):
        if kind.value.upper() in market.order_types:
            return kind
    return None


STOP_LIMIT_ROOM: Final = Decimal("0.02")
"""How far below its trigger a stop with a limit may sell, a fraction."""


def _protecting(
    state: SymbolState, book: Book, amount: Decimal, protection: Protection
) -> tuple[OrderIntent, ...]:
    """Return the orders that are to rest for a position: a target, a stop, or both as a list."""
    market, found = state.market, []
    kind = stop_type(market)
    both = protection.stop is not None and protection.target is not None
    list_id = None
    if both:
        entry, number = protection.entry, book.sent.get(OrderRole.STOP, 0)
        list_id = client_order_id(state.bot, book.key, entry, "list", number)
    if protection.target is not None:
        found.append(
            _order(state, book, OrderRole.TARGET, OrderType.LIMIT, amount, "take_profit", list_id)
        )
        found[-1] = replace(found[-1], price=protection.target)
    if protection.stop is not None:
        if kind is None:
            return ()
        stop = _order(state, book, OrderRole.STOP, kind, amount, "stop", list_id)
        limit = None
        if kind is OrderType.STOP_LOSS_LIMIT:
            limit = protection.stop * (1 - STOP_LIMIT_ROOM)
            limit = limit // market.tick * market.tick if market.tick else limit
        found.append(replace(stop, stop_price=protection.stop, price=limit))
    return tuple(found)


def _alike(resting: list[TrackedOrder], wanted: tuple[OrderIntent, ...]) -> bool:
    """Return whether what rests is what is wanted, whatever the ids."""
    have = {_shape(one.intent, one.remaining) for one in resting}
    return len(resting) == len(wanted) and have == {_shape(one, one.amount) for one in wanted}


def _shape(intent: OrderIntent, amount: Decimal) -> tuple[OrderRole, Decimal, Decimal | None]:
    level = intent.price if intent.stop_price is None else intent.stop_price
    return intent.role, amount, level


def _sale(
    state: SymbolState, book: Book, amount: Decimal, role: OrderRole, reason: str
) -> OrderIntent:
    return _order(state, book, role, OrderType.MARKET, amount, reason, None)


def _order(
    state: SymbolState,
    book: Book,
    role: OrderRole,
    kind: OrderType,
    amount: Decimal,
    reason: str,
    list_id: str | None,
) -> OrderIntent:
    number = book.sent.get(role, 0)
    leaves = role is OrderRole.EXIT and book.want is not None
    return OrderIntent(
        client_order_id=client_order_id(
            state.bot, book.key, book.protection.entry, role.value, number
        ),
        strategy=book.key.strategy,
        symbol=book.key.symbol,
        side=Side.SELL,
        type=kind,
        amount=amount,
        signal_timestamp=book.want.decided if leaves and book.want is not None else None,
        reason=reason,
        protects=role.protects,
        role=role,
        entry=book.protection.entry or None,
        sequence=number,
        list_id=list_id,
    )


def _cancel(state: SymbolState, order: TrackedOrder, why: str) -> Iterator[Step]:
    if state.send_at > state.wall:
        yield Wait(why="the venue asks to wait", wall=state.send_at)
    else:
        yield Cancel(order=order, why=why)


def client_order_id(bot: str, key: BookKey, *parts: object) -> str:
    """Return the client order id of a decision: the same decision always gets the same id.

    It names the bot and does not depend on clocks. Binance allows 36 characters.
    """
    text = "|".join(map(str, (bot, *key, *parts)))
    return f"{ID_PREFIX}{bot}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
