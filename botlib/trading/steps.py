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

from collections.abc import Iterable, Iterator
from typing import Final

from botlib.core.model import OrderIntent, OrderRole, OrderType, Side
from botlib.core.timeframe import timeframe_ms
from botlib.trading.books import Book, BookKey, Want
from botlib.trading.orders import TrackedOrder
from botlib.trading.protecting import protect, unprotectable
from botlib.trading.sales import (
    can_sell,
    cancel_if_allowed,
    client_order_id,
    excess,
    market_sale,
    open_sales,
    running,
    unsure,
)
from botlib.trading.sizing import sellable, tradable
from botlib.trading.state import (
    NEVER,
    Cancel,
    Drop,
    Nothing,
    Place,
    Query,
    Replace,
    Step,
    Sweep,
    TradingState,
    Wait,
)

HELD_THEN: Final = "the position was held when the candle closed"
"""Why an entry is dropped that another position, sold meanwhile, came before."""


def next_step(state: TradingState) -> Step:
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


def _proposals(state: TradingState) -> Iterator[Step]:
    """Yield what is due, the most urgent first."""
    owing = any(map(state.owes, state.orders))
    urgent = [one for one in state.orders if one.unclear or one.id in state.doubted]
    yield from _queries(state, urgent)
    if owing:
        yield from _sweep(state)
    yield from _withdraw(state)
    for book in state.books:
        yield from _leave(state, book)
    for book in state.books:
        yield from protect(state, book)
    # Routine questions do not stand before exits and stops.
    routine = [one for one in state.orders if one.id in state.check and one not in urgent]
    sweeps = state.sweep_wanted and not owing
    if (routine or sweeps) and state.check_at > state.wall:
        yield Wait(why="routine questions wait for the venue's limits", wall=state.check_at)
    else:
        yield from _queries(state, routine)
        if sweeps:
            yield from _sweep(state)
    for book in state.books:
        yield from _enter(state, book)


def _queries(state: TradingState, orders: Iterable[TrackedOrder]) -> Iterator[Step]:
    for order in orders:
        due = state.ask_at.get(order.id, 0)
        if due <= state.wall:
            yield Query(order=order)
        else:
            yield Wait(why=f"what became of {order.id} is not known", wall=due)


def _sweep(state: TradingState) -> Iterator[Step]:
    if state.sweep_at <= state.wall:
        yield Sweep()
    else:
        yield Wait(why="fills are not booked yet", wall=state.sweep_at)


def _withdraw(state: TradingState) -> Iterator[Step]:
    """Yield the cancellation of entries that rest, and that no book wants or a halt forbids."""
    wants = {book.key: book.want for book in state.books}
    for order in state.orders:
        if order.role is not OrderRole.ENTRY or not order.rests:
            continue
        want = wants.get(BookKey(order.intent.strategy, order.intent.symbol))
        wanted = (
            want is not None and want.target > 0 and want.decided == order.intent.signal_timestamp
        )
        if state.halts:
            yield from cancel_if_allowed(state, order, f"entries are halted: {state.halts[0]}")
        elif not wanted:
            yield from cancel_if_allowed(state, order, "it is not wanted any more")


def _leave(state: TradingState, book: Book) -> Iterator[Step]:
    """Yield the step of a book that wants to hold less than it does."""
    want = book.want
    if want is None or want.target > 0:
        return
    if unsure(state, book):
        return  # A question is under way already.
    amount = sellable(book.amount - want.target, state.market)
    resting = open_sales(state, book)
    if not can_sell(state, book, amount):
        yield from excess(state, book, amount)
        if any(_may_buy(state, one) for one in state.of(book.key)):
            yield Wait(why=f"an entry of {book.key} may still be filled")
        else:
            yield Drop(book=book, why="nothing that can be sold is held", refused=False)
        return
    if any(map(running, resting)):
        yield Wait(why=f"the stop of {book.key} is selling", wall=state.wall + 1_000)
        return
    if state.sends_from(book) > state.wall:
        # The protection stays until the sale can follow.
        yield Wait(why="the venue asks to wait", wall=state.sends_from(book))
        return
    if not state.market.active:
        yield Wait(why=f"{state.market.symbol} is not traded now", wall=state.wall + 1_000)
        return
    intent = market_sale(state, book, amount, OrderRole.EXIT, want.reason)
    if not resting:
        yield Place(book=book, intents=(intent,))
    elif len(resting) == 1 and resting[0].intent.list_id is None and state.market.replaces:
        yield Replace(book=book, order=resting[0], intent=intent)
    else:
        yield Cancel(order=resting[0], why=want.reason)


def _enter(state: TradingState, book: Book) -> Iterator[Step]:
    """Yield the step of a book that wants to hold more than it does."""
    want = book.want
    if want is None or want.target <= 0:
        return
    placed = _entries(state, book, want)
    if placed and not placed[-1].retry:
        yield from _entered(state, book, want, placed[-1])
        return
    if tradable(sellable(book.amount, state.market), want.price, state.market):
        why = f"{book.amount} {state.market.base} are held already"
        yield Drop(book=book, why=why, harmless=True)
    elif want.closed is not None and book.released >= want.closed:
        # The stop sold at the open that followed the candle, as one sees only now.
        yield Drop(book=book, why=HELD_THEN, harmless=True)
    elif want.valid_until is not None and state.now >= want.valid_until:
        yield Drop(book=book, why=state.held_back or "the candle is old: the next one has closed")
    elif want.timeframe and book.released >= want.decided + timeframe_ms(want.timeframe):
        # Its stop was sold after the candle had closed, and before this was looked at.
        yield Drop(book=book, why=HELD_THEN, harmless=True)
    elif state.halts:
        yield Drop(book=book, why=f"entries are halted: {state.halts[0]}")
    elif not state.market.active:
        yield Drop(book=book, why=f"the venue does not trade {state.market.symbol} now")
    elif any(one.unclear or state.owes(one) for one in state.orders) or state.sweep_wanted:
        yield Wait(why="an outcome of the symbol is not known", market=want.valid_until or NEVER)
    elif any(one.role is OrderRole.ENTRY and not one.ended for one in state.of(book.key)):
        yield Wait(why="an entry is under way", market=want.valid_until or NEVER)
    elif state.held_back is not None or state.enters_from(book) > state.wall:
        wall = state.enters_from(book)
        yield Wait(
            why=state.held_back or "entries wait for the venue's limits",
            wall=wall if state.held_back is None else max(wall, state.wall + 500),
            market=want.valid_until or NEVER,
        )
    else:
        yield from _entry(state, book, want)


def _may_buy(state: TradingState, order: TrackedOrder) -> bool:
    """Return whether an order may still add to its book."""
    return order.role is OrderRole.ENTRY and (not order.ended or state.owes(order))


def _entries(state: TradingState, book: Book, want: Want) -> list[TrackedOrder]:
    """Return the orders that were sent for a want to enter, the oldest first."""
    return [
        one
        for one in state.of(book.key)
        if one.role is OrderRole.ENTRY and one.intent.signal_timestamp == want.decided
    ]


def _entered(state: TradingState, book: Book, want: Want, order: TrackedOrder) -> Iterator[Step]:
    if order.ended and not state.owes(order):
        done = order.filled > 0
        yield Drop(book=book, why=order.message or str(order.status), refused=not done)
    elif order.rests and want.valid_until is not None:
        if state.now >= want.valid_until:
            yield from cancel_if_allowed(state, order, "it is not valid any more")
        else:
            yield Wait(why="a limit entry rests", market=want.valid_until)


def _entry(state: TradingState, book: Book, want: Want) -> Iterator[Step]:
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
