"""The rules of an OCO pair: the types of its two orders, and the relation of their prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from botlib.paper.matching.requests import OrderRequest
from botlib.paper.protocol.refusals import Refusal, rejected

_SELL_ABOVE: Final = "sell OCO must be above"
_SELL_BELOW: Final = "sell OCO must be below"
_WRONG_PRICES: Final = "The relationship of the prices for the orders is not correct."


def check_pair(above: OrderRequest, below: OrderRequest, last: Decimal | None) -> None:
    """Check the types and prices of a pair.

    Args:
        above: order with the higher price.
        below: order with the lower price.
        last: present price, None if the pair waits for a working order.

    Raises:
        Refusal: they are not accepted together.
    """
    for leg, upper in ((above, True), (below, False)):
        _check_leg(leg, upper=upper)
    if not above.conditional and not below.conditional:
        raise Refusal(-1168, "At least one OCO order must be contingent.")
    high, low = _trigger_or_limit(above), _trigger_or_limit(below)
    if high is not None and low is not None and high <= low:
        raise rejected(_WRONG_PRICES)
    if last is not None:
        wrong_high = high is not None and high <= last
        if wrong_high or (low is not None and low >= last):
            raise rejected(_WRONG_PRICES)


def _trigger_or_limit(leg: OrderRequest) -> Decimal | None:
    return leg.stop_price if leg.conditional else leg.price


def _check_leg(leg: OrderRequest, *, upper: bool) -> None:
    kind = leg.type
    if kind not in ("LIMIT_MAKER", "LIMIT") and not leg.conditional:
        raise Refusal(-1158, "Order type not supported in OCO.")
    buys = leg.side == "BUY"
    limit = not leg.conditional
    if limit and buys and upper:
        raise Refusal(-1165, "A limit order in a buy OCO must be below.")
    if limit and not buys and not upper:
        raise Refusal(-1166, "A limit order in a sell OCO must be above.")
    stop = kind.startswith("STOP_LOSS")
    if stop and buys != upper:
        code, where = (-1196, "buy OCO must be above") if buys else (-1197, _SELL_BELOW)
        raise Refusal(code, f"A stop loss order in a {where}.")
    if leg.conditional and not stop and buys == upper:
        code, where = (-1198, "buy OCO must be below") if buys else (-1199, _SELL_ABOVE)
        raise Refusal(code, f"A take profit order in a {where}.")
