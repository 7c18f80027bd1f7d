"""Protection of a position: the stop and the target that have to rest at the venue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.core.market import Market
from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType
from botlib.trading.books import Book, Protection
from botlib.trading.orders import TrackedOrder
from botlib.trading.sales import (
    can_sell,
    client_order_id,
    excess,
    market_sale,
    open_sales,
    running,
    sell_order,
    unsure,
)
from botlib.trading.sizing import sellable, tradable
from botlib.trading.state import Cancel, Halt, Place, Replace, Step, TradingState, Wait
from botlib.trading.stops import ceil_to_tick, floor_to_tick

STOP_LIMIT_ROOM: Final = Decimal("0.02")
"""How far below its trigger a stop with a limit may sell, a fraction."""


def protect(state: TradingState, book: Book) -> Iterator[Step]:
    """Yield the step that brings a book's stop and target to the venue, or to their place."""
    resting = open_sales(state, book)
    if unsure(state, book) or _leaving(state, book):
        return
    amount = sellable(book.amount, state.market)
    protection = book.protection
    if not can_sell(state, book, amount):
        yield from excess(state, book, amount)
        return
    if not protection.any:
        return
    gapped = next((one for one in resting if _gapped(state, one)), None)
    if gapped is None and any(map(running, resting)):
        return
    if _list_refused(state, book, amount):
        # A target that the venue does not take must not cost the position its stop.
        protection = replace(protection, target=None)
    wanted = _protecting(state, book, amount, protection)
    if gapped is None and resting and _alike(resting, wanted):
        return
    if not state.market.active:
        yield Wait(why=f"{state.market.symbol} is not traded now", wall=state.wall + 1_000)
    elif state.sends_from(book) > state.wall:
        yield Wait(why="the venue asks to wait", wall=state.sends_from(book))
    elif gapped is not None:
        yield Cancel(order=gapped, why="the price has fallen through its limit")
    elif not resting:
        yield from _place_protection(state, book, amount, wanted)
    elif len(resting) == len(wanted) == 1 and state.market.replaces:
        yield Replace(book=book, order=resting[0], intent=wanted[0])
    else:
        yield Cancel(order=resting[0], why="it is moved")


def _gapped(state: TradingState, order: TrackedOrder) -> bool:
    """Return whether the price has fallen through the limit of a stop, which cannot fill then."""
    return order.rests and _below_limit(state, order.intent)


def _below_limit(state: TradingState, intent: OrderIntent) -> bool:
    price, limit = state.price, intent.price
    stops = intent.role is OrderRole.STOP
    return stops and limit is not None and price is not None and price < limit


def _leaving(state: TradingState, book: Book) -> bool:
    want = book.want
    return want is not None and want.target < book.amount and want.target <= 0


def _refused(state: TradingState, book: Book, amount: Decimal) -> list[TrackedOrder]:
    """Return the stops and targets of a position that the venue refused for good."""
    return [
        one
        for one in state.of(book.key)
        if one.intent.entry == book.protection.entry
        and one.role in (OrderRole.STOP, OrderRole.TARGET)
        and one.status is OrderStatus.REJECTED
        and not one.retry
        and one.intent.amount == amount
    ]


def _list_refused(state: TradingState, book: Book, amount: Decimal) -> bool:
    protection = book.protection
    if protection.stop is None or protection.target is None:
        return False
    return any(one.intent.list_id is not None for one in _refused(state, book, amount))


def _place_protection(
    state: TradingState, book: Book, amount: Decimal, wanted: tuple[OrderIntent, ...]
) -> Iterator[Step]:
    entry = book.protection.entry
    lists = len(wanted) > 1
    refused = [
        one for one in _refused(state, book, amount) if (one.intent.list_id is not None) is lists
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
    possible = not small and not any(_below_limit(state, one) for one in wanted)
    if not wanted:
        yield from _halt(state, f"{book.key}: the venue lists no order type that protects it")
    elif possible and not refused:
        yield Place(book=book, intents=wanted)
    elif stop is None:
        # No limit of the loss is missing: the position is kept.
        why = next((one.message for one in refused), "")
        yield from _again(state, book, wanted, f"the target of {book.key} is refused: {why}")
    elif not tried:
        sale = market_sale(state, book, amount, OrderRole.EMERGENCY, "stop_loss")
        yield Place(book=book, intents=(sale,))
    else:
        why = tried[-1].message or next((one.message for one in refused), "")
        reason = f"{amount} {state.market.base} of {book.key} can neither be protected nor be sold"
        reason += f": {why}" if why else ""
        yield from _again(state, book, wanted if possible else (), reason)


def _again(
    state: TradingState, book: Book, wanted: tuple[OrderIntent, ...], reason: str
) -> Iterator[Step]:
    """Halt entries for a reason, then try again what was refused; the desk pauses in between."""
    if wanted and reason in state.halts:
        yield Place(book=book, intents=wanted)
    else:
        yield from _halt(state, reason)


def _halt(state: TradingState, reason: str) -> Iterator[Step]:
    if reason in state.halts:
        yield Wait(why=reason, wall=state.wall + 10_000)
    else:
        yield Halt(reason=reason)


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


def _protecting(
    state: TradingState, book: Book, amount: Decimal, protection: Protection
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
            sell_order(
                state, book, OrderRole.TARGET, OrderType.LIMIT, amount, "take_profit", list_id
            )
        )
        found[-1] = replace(found[-1], price=ceil_to_tick(protection.target, market.tick))
    if protection.stop is not None:
        if kind is None:
            return ()
        stop = sell_order(state, book, OrderRole.STOP, kind, amount, "stop", list_id)
        limit = None
        if kind is OrderType.STOP_LOSS_LIMIT:
            limit = floor_to_tick(protection.stop * (1 - STOP_LIMIT_ROOM), market.tick)
        # The tick may have changed since the position was opened.
        trigger = floor_to_tick(protection.stop, market.tick)
        found.append(replace(stop, stop_price=trigger, price=limit))
    return tuple(found)


def _alike(resting: list[TrackedOrder], wanted: tuple[OrderIntent, ...]) -> bool:
    """Return whether what rests is what is wanted, whatever the ids."""
    have = {_shape(one.intent, one.remaining) for one in resting}
    return len(resting) == len(wanted) and have == {_shape(one, one.amount) for one in wanted}


def _shape(intent: OrderIntent, amount: Decimal) -> tuple[OrderRole, Decimal, Decimal | None]:
    level = intent.price if intent.stop_price is None else intent.stop_price
    return intent.role, amount, level
