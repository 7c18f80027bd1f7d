"""The sales of a book: those under way, and those that are to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType, Side
from botlib.trading.books import ZERO, Book, BookKey
from botlib.trading.orders import TrackedOrder
from botlib.trading.sizing import tradable
from botlib.trading.state import EXIT_ROLES, Cancel, Step, TradingState, Wait

ID_PREFIX: Final = "bl"
"""Begins the client order ids of all bots; the id of the bot follows."""


def open_sales(state: TradingState, book: Book) -> list[TrackedOrder]:
    """Return the orders of a book that sell and have not ended."""
    return [one for one in state.of(book.key) if one.sells and not one.ended]


def unsure(state: TradingState, book: Book) -> bool:
    """Return whether more of a book may be sold than is known."""
    return any(
        one.sells and (one.unclear or state.owes(one) or (one.role in EXIT_ROLES and not one.ended))
        for one in state.of(book.key)
    )


def running(order: TrackedOrder) -> bool:
    """Return whether an order is a stop that has begun to sell: it is left to run."""
    return order.role is OrderRole.STOP and order.status is OrderStatus.PARTIALLY_FILLED


def can_sell(state: TradingState, book: Book, amount: Decimal) -> bool:
    """Return whether the venue takes a sale of an amount of a book, as far as a price is known."""
    want = book.want.price if book.want is not None else ZERO
    price = state.price or book.protection.entry_price or want
    if not price:
        # Without a price only the amount can be judged; the venue judges the rest.
        return amount > 0 and amount >= state.market.min_amount
    return tradable(amount, price, state.market)


def excess(state: TradingState, book: Book, amount: Decimal) -> Iterator[Step]:
    """Yield the cancellation of what rests for a book and would sell more than an amount of it.

    What covers no more than is held stays, even while the price is too low for a new order.
    """
    for order in open_sales(state, book):
        if order.remaining > amount and not running(order):
            yield from cancel_if_allowed(state, order, "it would sell more than is held")
            return


def market_sale(
    state: TradingState, book: Book, amount: Decimal, role: OrderRole, reason: str
) -> OrderIntent:
    return sell_order(state, book, role, OrderType.MARKET, amount, reason, None)


def sell_order(
    state: TradingState,
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


def cancel_if_allowed(state: TradingState, order: TrackedOrder, why: str) -> Iterator[Step]:
    if state.send_at > state.wall:
        yield Wait(why="the venue asks to wait", wall=state.send_at)
    else:
        yield Cancel(order=order, why=why)


def client_order_id(bot: str, key: BookKey, *parts: object) -> str:
    """Return the client order id of a decision: the same decision always gets the same id.

    It names the bot and does not depend on clocks. Venues allow 36 characters.
    """
    text = "|".join(map(str, (bot, *key, *parts)))
    return f"{ID_PREFIX}{bot}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
