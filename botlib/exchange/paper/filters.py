"""Symbols as exchangeInfo describes them, and the filters an order has to pass."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from botlib.exchange.paper.market import Listing
from botlib.exchange.paper.quotes import Json, eight
from botlib.exchange.paper.refusals import filter_failure

STOPS: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})
TARGETS: Final = frozenset({"TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
CONDITIONAL: Final = STOPS | TARGETS
"""Types that wait for a stop price outside the book."""

LIMITED: Final = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
"""Types that name a price of their own."""

ORDER_TYPES: Final = ("LIMIT", "LIMIT_MAKER", "MARKET", *sorted(CONDITIONAL))
MAX_ORDERS: Final = 200
MAX_ALGO_ORDERS: Final = 5

_MAX_PRICE: Final = Decimal("1000000")
_MAX_AMOUNT_STEPS: Final = Decimal("900000000")
_MAX_COST: Final = Decimal("9000000")
_AWAY_UP: Final = Decimal(5)
_AWAY_DOWN: Final = Decimal("0.2")
_AVERAGE_MINUTES: Final = 5


def max_amount(listing: Listing) -> Decimal:
    """Return the largest amount of a limit order, in base units."""
    return listing.step * _MAX_AMOUNT_STEPS


def symbol_info(listing: Listing, *, trading: bool) -> Json:
    """Return a symbol's entry in exchangeInfo."""
    largest = eight(max_amount(listing))
    filters: list[Json] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": eight(listing.tick),
            "maxPrice": eight(_MAX_PRICE),
            "tickSize": eight(listing.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": eight(listing.min_amount),
            "maxQty": largest,
            "stepSize": eight(listing.step),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": eight(0),
            "maxQty": largest,
            "stepSize": eight(0),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(_AWAY_UP),
            "bidMultiplierDown": str(_AWAY_DOWN),
            "askMultiplierUp": str(_AWAY_UP),
            "askMultiplierDown": str(_AWAY_DOWN),
            "avgPriceMins": _AVERAGE_MINUTES,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": eight(listing.min_cost),
            "applyMinToMarket": True,
            "maxNotional": eight(_MAX_COST),
            "applyMaxToMarket": False,
            "avgPriceMins": _AVERAGE_MINUTES,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": MAX_ORDERS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": MAX_ALGO_ORDERS},
    ]
    return {
        "symbol": listing.id,
        "status": "TRADING" if trading else "BREAK",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }


def check_grid(listing: Listing, price: Decimal) -> None:
    """Refuse a price, or a stop price, off the grid."""
    if not listing.tick <= price <= _MAX_PRICE or price % listing.tick:
        raise filter_failure("PRICE_FILTER")


def check_price(listing: Listing, side: str, price: Decimal, average: Decimal) -> None:
    """Refuse a limit price off the grid, or too far from the average price."""
    check_grid(listing, price)
    if average and not average * _AWAY_DOWN <= price <= average * _AWAY_UP:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def check_amount(listing: Listing, amount: Decimal, *, market: bool) -> None:
    """Refuse an amount off the grid or outside its bounds."""
    if amount < listing.min_amount or amount % listing.step:
        raise filter_failure("LOT_SIZE")
    if amount > max_amount(listing):
        raise filter_failure("MARKET_LOT_SIZE" if market else "LOT_SIZE")


def check_cost(listing: Listing, cost: Decimal, *, market: bool) -> None:
    """Refuse an order that is worth too little or too much."""
    if cost < listing.min_cost or (cost > _MAX_COST and not market):
        raise filter_failure("NOTIONAL")


def check_open_orders(count: int, conditional: int) -> None:
    """Refuse one open order too many; ``conditional`` counts the new one and those like it."""
    if count >= MAX_ORDERS:
        raise filter_failure("MAX_NUM_ORDERS")
    if conditional > MAX_ALGO_ORDERS:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")
