"""Pegged orders: they take their price from the book when they enter it, and keep that price.

``PRIMARY_PEG`` takes the best price of the order's own side, ``MARKET_PEG`` that of the other side.
An offset counts price levels from there, away from the middle.
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
    """Return the price of a pegged order that enters the book now.

    Raises:
        Refusal: the book has too few levels.
    """
    bids = buys == (peg.type == "PRIMARY_PEG")
    levels = (feed.book.bids if bids else feed.book.asks)(peg.level + 1)
    if len(levels) <= peg.level:
        raise rejected(NO_LEVEL)
    return levels[peg.level][0]


def peg_request(feed: Feed, request: OrderRequest, *, pending: bool = False) -> OrderRequest:
    """Return a new order with its pegged price, if it is pegged and enters the book at once.

    Args:
        feed: feed of the symbol.
        request: order as sent.
        pending: whether it waits for the working order of its list.

    Raises:
        Refusal: the symbol has no pegged orders, or the book too few levels.
    """
    if request.peg is None:
        return request
    if not feed.rules.pegs_allowed:
        raise rejected("Pegged orders are not supported for this symbol.")
    if request.conditional or pending:
        return request
    price = pegged_price(feed, request.peg, buys=request.side == "BUY")
    return replace(request, price=price)


def peg_now(feed: Feed, order: PaperOrder) -> PaperOrder:
    """Return a triggered or released order with its pegged price, if it is pegged.

    Raises:
        Refusal: the book has too few levels, or a filter fails at the price.
    """
    if order.peg is None or order.price or (order.conditional and not order.triggered):
        return order
    found = replace(order, price=pegged_price(feed, order.peg, buys=order.buys))
    check_order(feed, OrderTerms.of(found))
    return found
