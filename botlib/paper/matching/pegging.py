"""Pegged orders: their price is found in the book at the moment they come into it, and then stays.

``PRIMARY_PEG`` takes the best price of the order's own side, ``MARKET_PEG`` that of the other one;
an offset counts price levels from there, away from the middle.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.orders import PaperOrder, Peg
from botlib.paper.market.feed import Feed
from botlib.paper.matching.filters import OrderTerms, check_order
from botlib.paper.matching.requests import OrderRequest
from botlib.paper.protocol.refusals import rejected

NO_LEVEL: Final = "Order book liquidity is too low for this pegged order."


def pegged_price(feed: Feed, peg: Peg, *, buys: bool) -> Decimal:
    """Return the price of a pegged order that comes into the book now.

    Raises:
        Refusal: the book has no such level.
    """
    bids = buys == (peg.type == "PRIMARY_PEG")
    levels = (feed.book.bids if bids else feed.book.asks)(peg.level + 1)
    if len(levels) <= peg.level:
        raise rejected(NO_LEVEL)
    return levels[peg.level][0]


def priced(feed: Feed, request: OrderRequest, *, waits: bool = False) -> OrderRequest:
    """Return an order with its price, where it is pegged and comes into the book at once.

    Args:
        waits: whether it waits for another order first.

    Raises:
        Refusal: the symbol has no pegged orders, or its book no such level.
    """
    if request.peg is None:
        return request
    if not feed.rules.pegs_allowed:
        raise rejected("Pegged orders are not supported for this symbol.")
    if request.conditional or waits:
        return request
    price = pegged_price(feed, request.peg, buys=request.side == "BUY")
    return replace(request, price=price)


def priced_now(feed: Feed, order: PaperOrder) -> PaperOrder:
    """Return an order that waited, with its price where it is pegged and comes into the book now.

    Raises:
        Refusal: the book has no such level, or the price breaks a filter.
    """
    if order.peg is None or order.price or (order.conditional and not order.triggered):
        return order
    found = replace(order, price=pegged_price(feed, order.peg, buys=order.buys))
    check_order(feed, OrderTerms.of(found))
    return found
