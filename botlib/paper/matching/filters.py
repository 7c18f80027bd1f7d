"""The filters an order has to pass, and how exchangeInfo tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.orders import CONDITIONAL, LIMITED, STOPS, PaperOrder
from botlib.paper.market.feed import Feed
from botlib.paper.market.rules import Rules
from botlib.paper.protocol.refusals import filter_failure, rejected

ORDER_TYPES: Final = ("LIMIT", "LIMIT_MAKER", "MARKET", *sorted(CONDITIONAL))

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """What a new order asks for. ``amount`` in base units, prices 0 where there is none."""

    type: str
    price: Decimal
    stop_price: Decimal
    amount: Decimal
    iceberg: Decimal
    trailing_delta: int

    @classmethod
    def of(cls, order: PaperOrder) -> OrderTerms:
        """Return what an order asks for that is there already."""
        return cls(
            type=order.type,
            price=order.price,
            stop_price=order.stop_price,
            amount=order.amount,
            iceberg=order.iceberg,
            trailing_delta=order.trailing_delta,
        )


def check_order(feed: Feed, wish: OrderTerms) -> None:
    """Refuse an order that breaks a filter of its symbol."""
    rules = feed.rules
    market = wish.type not in LIMITED
    for price in (wish.price, wish.stop_price):
        if price:
            _check_grid(rules, price)
    average = feed.average()
    if wish.price and average and not average * rules.down <= wish.price <= average * rules.up:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")
    _check_amount(rules, wish.amount, market=market)
    if wish.iceberg:
        _check_iceberg(rules, wish)
    if wish.trailing_delta and not rules.min_trailing <= wish.trailing_delta <= rules.max_trailing:
        raise filter_failure("TRAILING_DELTA")
    _check_cost(feed, wish.amount, wish.price or wish.stop_price, market=market)


def check_size(feed: Feed, amount: Decimal, price: Decimal, *, market: bool) -> None:
    """Refuse an amount that the symbol's filters do not allow.

    Args:
        amount: in base units.
        price: at which it is valued, 0 for the market's average.
        market: whether it may trade at any price.
    """
    _check_amount(feed.rules, amount, market=market)
    _check_cost(feed, amount, price, market=market)


def _check_cost(feed: Feed, amount: Decimal, price: Decimal, *, market: bool) -> None:
    rules = feed.rules
    cost = amount * (price or feed.average() or feed.last_price)
    if cost < rules.min_cost and (not market or rules.min_cost_of_market):
        raise filter_failure("NOTIONAL")
    if 0 < rules.max_cost < cost and (not market or rules.max_cost_of_market):
        raise filter_failure("NOTIONAL")


def _check_grid(rules: Rules, price: Decimal) -> None:
    too_high = rules.max_price and price > rules.max_price
    off_grid = rules.tick and price % rules.tick
    if price < rules.min_price or too_high or off_grid:
        raise filter_failure("PRICE_FILTER")


def _check_amount(rules: Rules, amount: Decimal, *, market: bool) -> None:
    off_grid = rules.step and amount % rules.step
    too_much = rules.max_amount and amount > rules.max_amount and not market
    if amount < rules.min_amount or off_grid or too_much:
        raise filter_failure("LOT_SIZE")
    if not market:
        return
    off_grid = rules.market_step and amount % rules.market_step
    too_much = rules.market_max_amount and amount > rules.market_max_amount
    if amount < rules.market_min_amount or off_grid or too_much:
        raise filter_failure("MARKET_LOT_SIZE")


def _check_iceberg(rules: Rules, wish: OrderTerms) -> None:
    if wish.iceberg > wish.amount:
        raise rejected("IcebergQty exceeds QTY.")
    if wish.iceberg < rules.min_amount or (rules.step and wish.iceberg % rules.step):
        raise filter_failure("LOT_SIZE")
    if rules.iceberg_parts and -(-wish.amount // wish.iceberg) > rules.iceberg_parts:
        raise filter_failure("ICEBERG_PARTS")


def check_numbers(rules: Rules, waiting: Sequence[PaperOrder], new: int, conditional: int) -> None:
    """Refuse too many open orders.

    Args:
        waiting: the account's open orders of the symbol.
        new: how many are to come.
        conditional: how many of those wait for a stop price.
    """
    if len(waiting) + new > rules.max_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    if conditional:
        conditional += sum(order.conditional for order in waiting)
        if conditional > rules.max_algo_orders:
            raise filter_failure("MAX_NUM_ALGO_ORDERS")


def check_position(
    rules: Rules, owned: Decimal, waiting: Sequence[PaperOrder], amount: Decimal
) -> None:
    """Refuse a purchase beyond the largest position; ``owned`` and ``amount`` in base units."""
    if not rules.max_position:
        return
    coming = sum((one.remaining for one in waiting if one.side == "BUY"), _NOTHING)
    if owned + coming + amount > rules.max_position:
        raise filter_failure("MAX_POSITION")


def beyond(kind: str, side: str, price: Decimal, stop: Decimal) -> bool:
    """Tell whether a price has reached a stop price, from the side the order waits on."""
    rising = (kind in STOPS) == (side == "BUY")
    return price >= stop if rising else price <= stop
