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


def update_trailing_stop(transaction: Transaction, order: PaperOrder, price: Decimal) -> PaperOrder:
    """Activate a trailing stop, or move it with a price, and return the order after it."""
    if not order.trailing_since:
        if order.stop_price and not stop_reached(order.type, order.side, price, order.stop_price):
            return order
        return transaction.put_order(replace(order, trailed=price, trailing_since=transaction.time))
    better = price < order.trailed if order.buys else price > order.trailed
    return transaction.put_order(replace(order, trailed=price)) if better else order


def last_trade(transaction: Transaction, feed: Feed) -> Decimal:
    """Return the price of the last trade, which may be one of the change itself."""
    if transaction.account_trades:
        return Decimal(repr(transaction.account_trades[-1].price))
    return feed.last_trade


def is_passed(feed: Feed, order: PaperOrder) -> bool:
    """Return whether the market trades at a price that is worse than that of a resting order."""
    price = feed.last_price
    return price < order.price if order.buys else price > order.price


def is_met(feed: Feed, order: PaperOrder) -> bool:
    """Return whether the market trades at the price of a resting order, or has passed it."""
    return order.working and (is_passed(feed, order) or feed.last_price == order.price)


def is_triggered(feed: Feed, order: PaperOrder, price: Decimal) -> bool:
    """Return whether a price triggers an order that waits for its stop price."""
    if order.pending or not order.dormant:
        return False
    if not order.trailing_delta:
        return stop_reached(order.type, order.side, price, order.stop_price)
    if not order.trailing_since:
        return False
    stop = present_stop_price(feed, order)
    return price >= stop if order.buys else price <= stop
