"""The entries of symbols and filters in the answer of ``exchangeInfo``."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from botlib.paper.market.feed import Feed
from botlib.paper.market.quotes import Json, eight_decimals
from botlib.paper.market.rules import DEFAULT_SELF_TRADE, SELF_TRADE_MODES, Rules, rules_of
from botlib.paper.matching.filters import ORDER_TYPES


def filter_rows(rules: Rules) -> list[Json]:
    """Return the filters of a symbol."""
    found: list[Json] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": eight_decimals(rules.min_price),
            "maxPrice": eight_decimals(rules.max_price),
            "tickSize": eight_decimals(rules.tick),
        },
        _lot_size("LOT_SIZE", rules.min_amount, rules.max_amount, rules.step),
        {"filterType": "ICEBERG_PARTS", "limit": rules.iceberg_parts},
        _lot_size(
            "MARKET_LOT_SIZE", rules.market_min_amount, rules.market_max_amount, rules.market_step
        ),
        _trailing_delta(rules),
        _price_band(rules),
        _cost_bounds(rules),
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.max_orders},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": rules.max_order_lists},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": rules.max_algo_orders},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": rules.max_amends},
    ]
    if rules.max_position:
        found.append(
            {"filterType": "MAX_POSITION", "maxPosition": eight_decimals(rules.max_position)}
        )
    return found


def _lot_size(kind: str, least: Decimal, most: Decimal, step: Decimal) -> Json:
    return {
        "filterType": kind,
        "minQty": eight_decimals(least),
        "maxQty": eight_decimals(most),
        "stepSize": eight_decimals(step),
    }


def _trailing_delta(rules: Rules) -> Json:
    return {
        "filterType": "TRAILING_DELTA",
        "minTrailingAboveDelta": rules.min_trailing,
        "maxTrailingAboveDelta": rules.max_trailing,
        "minTrailingBelowDelta": rules.min_trailing,
        "maxTrailingBelowDelta": rules.max_trailing,
    }


def _price_band(rules: Rules) -> Json:
    return {
        "filterType": "PERCENT_PRICE_BY_SIDE",
        "bidMultiplierUp": str(rules.up),
        "bidMultiplierDown": str(rules.down),
        "askMultiplierUp": str(rules.up),
        "askMultiplierDown": str(rules.down),
        "avgPriceMins": rules.average_minutes,
    }


def _cost_bounds(rules: Rules) -> Json:
    return {
        "filterType": "NOTIONAL",
        "minNotional": eight_decimals(rules.min_cost),
        "applyMinToMarket": rules.min_cost_of_market,
        "maxNotional": eight_decimals(rules.max_cost),
        "applyMaxToMarket": rules.max_cost_of_market,
        "avgPriceMins": rules.average_minutes,
    }


def symbol_info(feed: Feed) -> Json:
    """Return the entry of a symbol."""
    listing = feed.listing
    if feed.entry:
        changed = feed.rules != replace(rules_of(listing), status=feed.rules.status)
        filters = filter_rows(feed.rules) if changed else feed.entry["filters"]
        return {**feed.entry, "status": feed.status, "filters": filters}
    return {
        "symbol": listing.id,
        "status": feed.status,
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": feed.rules.paying_lists_allowed,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": feed.rules.amends_allowed,
        "pegInstructionsAllowed": feed.rules.pegs_allowed,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filter_rows(feed.rules),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": DEFAULT_SELF_TRADE,
        "allowedSelfTradePreventionModes": list(SELF_TRADE_MODES),
    }
