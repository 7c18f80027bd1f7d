"""The filters of a symbol, which every order has to pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.orders import CONDITIONAL, LIMITED, PaperOrder
from botlib.paper.market.feed import Feed
from botlib.paper.market.rules import Rules
from botlib.paper.protocol.refusals import account_filter_failure, filter_failure, rejected

ORDER_TYPES: Final = ("LIMIT", "LIMIT_MAKER", "MARKET", *sorted(CONDITIONAL))

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """The values of an order that filters look at.

    Attributes:
        price: 0 for none, as is ``stop_price``.
        amount: in base units.
        iceberg: visible part in base units, 0 for none.
        trailing_delta: in basis points, 0 for none.
    """

    type: str
    price: Decimal
    stop_price: Decimal
    amount: Decimal
    iceberg: Decimal
    trailing_delta: int

    @classmethod
    def of(cls, order: PaperOrder) -> OrderTerms:
        """Return the terms of an existing order."""
        return cls(
            type=order.type,
            price=order.price,
            stop_price=order.stop_price,
            amount=order.amount,
            iceberg=order.iceberg,
            trailing_delta=order.trailing_delta,
        )


def check_order(feed: Feed, terms: OrderTerms) -> None:
    """Check an order against the filters of its symbol.

    Raises:
        Refusal: a filter fails.
    """
    rules = feed.rules
    market = terms.type not in LIMITED
    for price in (terms.price, terms.stop_price):
        if price:
            _check_price(rules, price)
    average = feed.average()
    if terms.price and average and not average * rules.down <= terms.price <= average * rules.up:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")
    _check_amount(rules, terms.amount, market=market)
    if terms.iceberg:
        _check_iceberg(rules, terms)
    if (
        terms.trailing_delta
        and not rules.min_trailing <= terms.trailing_delta <= rules.max_trailing
    ):
        raise filter_failure("TRAILING_DELTA")
    _check_cost(feed, terms.amount, terms.price or terms.stop_price, market=market)


def check_size(feed: Feed, amount: Decimal, price: Decimal, *, market: bool) -> None:
    """Check an amount against the filters of its symbol.

    Args:
        feed: feed of the symbol.
        amount: in base units.
        price: price that values the amount, 0 for the average price of the market.
        market: whether the order has no limit price.

    Raises:
        Refusal: a filter fails.
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


def _check_price(rules: Rules, price: Decimal) -> None:
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


def _check_iceberg(rules: Rules, terms: OrderTerms) -> None:
    if terms.iceberg > terms.amount:
        raise rejected("IcebergQty exceeds QTY.")
    if terms.iceberg < rules.min_amount or (rules.step and terms.iceberg % rules.step):
        raise filter_failure("LOT_SIZE")
    if rules.iceberg_parts and -(-terms.amount // terms.iceberg) > rules.iceberg_parts:
        raise filter_failure("ICEBERG_PARTS")


def check_open_orders(
    rules: Rules, waiting: Sequence[PaperOrder], new: int, conditional: int
) -> None:
    """Check the number of open orders of an account.

    Args:
        rules: filters of the symbol.
        waiting: open orders of the account and symbol.
        new: number of new orders that stay open; others, such as a market order, do not count.
        conditional: number of new orders with a stop price.

    Raises:
        Refusal: there are too many.
    """
    if new and len(waiting) + new > rules.max_orders:
        raise account_filter_failure("MAX_NUM_ORDERS")
    if conditional:
        conditional += sum(order.conditional for order in waiting)
        if conditional > rules.max_algo_orders:
            raise account_filter_failure("MAX_NUM_ALGO_ORDERS")


def check_position(
    rules: Rules, owned: Decimal, waiting: Sequence[PaperOrder], amount: Decimal
) -> None:
    """Check the position of an account after a new buy order.

    Args:
        rules: filters of the symbol.
        owned: balance of the base asset.
        waiting: open orders of the account and symbol.
        amount: amount of the new buy order, in base units.

    Raises:
        Refusal: the position would be too large.
    """
    if not rules.max_position:
        return
    coming = sum((one.remaining for one in waiting if one.side == "BUY"), _NOTHING)
    if owned + coming + amount > rules.max_position:
        raise account_filter_failure("MAX_POSITION")
