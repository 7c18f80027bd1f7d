"""Stop prices: when a conditional order is triggered, and how a trailing stop follows the price."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

from botlib.paper.accounts.orders import STOPS, PaperOrder
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed

_BASIS_POINTS: Final = 10_000


def stop_reached(kind: str, side: str, price: Decimal, stop: Decimal) -> bool:
    """Return whether a price has reached a stop price.

    Args:
        kind: type of the order. A stop loss waits on the losing side of the price, a take profit
            on the winning side.
        side: ``BUY`` or ``SELL``.
        price: present price.
        stop: stop price.
    """
    rising = (kind in STOPS) == (side == "BUY")
    return price >= stop if rising else price <= stop


def present_stop_price(feed: Feed, order: PaperOrder) -> Decimal:
    """Return the price at which a dormant order is triggered at present."""
    if not order.trailing_delta:
        return order.stop_price
    sign, rounding = (1, ROUND_UP) if order.buys else (-1, ROUND_DOWN)
    price = order.trailed * (_BASIS_POINTS + sign * order.trailing_delta) / _BASIS_POINTS
    return (price / feed.rules.tick).to_integral_value(rounding) * feed.rules.tick


def update_trailing_stop(transaction: Transaction, feed: Feed, order: PaperOrder) -> PaperOrder:
    """Activate a trailing stop, or move it with the price, and return the order after it."""
    price = feed.last_price
    if not order.trailing_since:
        if order.stop_price and not stop_reached(order.type, order.side, price, order.stop_price):
            return order
        return transaction.put_order(replace(order, trailed=price, trailing_since=transaction.time))
    better = price < order.trailed if order.buys else price > order.trailed
    return transaction.put_order(replace(order, trailed=price)) if better else order


def is_best(feed: Feed, order: PaperOrder) -> bool:
    """Return whether the takers of the market meet an order before all orders of others.

    In a book with a depth a taker who sells meets the best bid, and one who buys the best ask. The
    takers of a mirrored market have traded already, and meet no order of an account.
    """
    if feed.book.deep or feed.mirrored or not order.working or order.buys != feed.falling:
        return False
    best = next(feed.book.levels(up=not order.buys), None)
    if best is None:
        return True
    return order.price > best[0] if order.buys else order.price < best[0]


def is_passed(feed: Feed, order: PaperOrder) -> bool:
    """Return whether the market trades at a price that is worse than that of a resting order."""
    price = feed.last_price
    return price < order.price if order.buys else price > order.price


def is_reached(feed: Feed, order: PaperOrder) -> bool:
    """Return whether the present price triggers an order or trades with it."""
    price = feed.last_price
    if order.pending:
        return False
    if not order.dormant:
        return price <= order.price if order.buys else price >= order.price
    if not order.trailing_delta:
        return stop_reached(order.type, order.side, price, order.stop_price)
    if not order.trailing_since:
        return False
    stop = present_stop_price(feed, order)
    return price >= stop if order.buys else price <= stop
