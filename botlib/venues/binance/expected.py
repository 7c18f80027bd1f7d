"""What the kit expects of the real venue's public answers and frames: names and words.

Nothing here was compared with the live venue; `botlib.venues.binance.first_contact` compares it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

BAD_SYMBOL: Final = (400, -1121)
"""HTTP state and error code of a symbol that does not exist."""

CANDLE_VALUES: Final = 12
"""Length of a row of ``klines``."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one answer, frame or entry.

    Attributes:
        needed: are always there.
        known: may be there.
    """

    needed: frozenset[str]
    known: frozenset[str] = frozenset()


def _fields(needed: str, known: str = "") -> Fields:
    return Fields(frozenset(needed.split()), frozenset(known.split()))


TIME: Final = _fields("serverTime")
EXCHANGE_INFO: Final = _fields("timezone serverTime rateLimits exchangeFilters symbols", "sors")
RATE_LIMIT: Final = _fields("rateLimitType interval intervalNum limit")
SYMBOL: Final = _fields(
    """
    symbol status baseAsset baseAssetPrecision quoteAsset quotePrecision quoteAssetPrecision
    baseCommissionPrecision quoteCommissionPrecision orderTypes icebergAllowed ocoAllowed otoAllowed
    opoAllowed quoteOrderQtyMarketAllowed allowTrailingStop cancelReplaceAllowed amendAllowed
    pegInstructionsAllowed isSpotTradingAllowed isMarginTradingAllowed filters permissions
    permissionSets defaultSelfTradePreventionMode allowedSelfTradePreventionModes
    """
)
TRADE: Final = _fields("id price qty quoteQty time isBuyerMaker isBestMatch")
AGGREGATE: Final = _fields("a p q f l T m M")
DEPTH: Final = _fields("lastUpdateId bids asks")
BOOK_TICKER: Final = _fields("symbol bidPrice bidQty askPrice askQty")
ERROR: Final = _fields("code msg")

FILTERS: Final = MappingProxyType(
    {
        "PRICE_FILTER": _fields("filterType minPrice maxPrice tickSize"),
        "LOT_SIZE": _fields("filterType minQty maxQty stepSize"),
        "MARKET_LOT_SIZE": _fields("filterType minQty maxQty stepSize"),
        "ICEBERG_PARTS": _fields("filterType limit"),
        "TRAILING_DELTA": _fields(
            "filterType minTrailingAboveDelta maxTrailingAboveDelta minTrailingBelowDelta"
            " maxTrailingBelowDelta"
        ),
        "PERCENT_PRICE": _fields("filterType multiplierUp multiplierDown avgPriceMins"),
        "PERCENT_PRICE_BY_SIDE": _fields(
            "filterType bidMultiplierUp bidMultiplierDown askMultiplierUp askMultiplierDown"
            " avgPriceMins"
        ),
        "MIN_NOTIONAL": _fields("filterType minNotional applyToMarket avgPriceMins"),
        "NOTIONAL": _fields(
            "filterType minNotional applyMinToMarket maxNotional applyMaxToMarket avgPriceMins"
        ),
        "MAX_NUM_ORDERS": _fields("filterType maxNumOrders"),
        "MAX_NUM_ORDER_LISTS": _fields("filterType maxNumOrderLists"),
        "MAX_NUM_ALGO_ORDERS": _fields("filterType maxNumAlgoOrders"),
        "MAX_NUM_ICEBERG_ORDERS": _fields("filterType maxNumIcebergOrders"),
        "MAX_NUM_ORDER_AMENDS": _fields("filterType maxNumOrderAmends"),
        "MAX_POSITION": _fields("filterType maxPosition"),
    }
)
"""The fields of each filter by its type."""

WORDS: Final = MappingProxyType(
    {
        "status": frozenset("TRADING END_OF_DAY HALT BREAK CANCEL_ONLY".split()),
        "order type": frozenset(
            """
            LIMIT LIMIT_MAKER MARKET STOP_LOSS STOP_LOSS_LIMIT TAKE_PROFIT TAKE_PROFIT_LIMIT
            """.split()
        ),
        "self-trade mode": frozenset(
            "NONE EXPIRE_TAKER EXPIRE_MAKER EXPIRE_BOTH DECREMENT TRANSFER".split()
        ),
        "rate limit": frozenset("REQUEST_WEIGHT ORDERS RAW_REQUESTS".split()),
    }
)
"""The words of ``exchangeInfo`` by what they name."""

STREAMS: Final = MappingProxyType(
    {
        "kline_1m": _fields("e E s k"),
        "depth@100ms": _fields("e E s U u b a"),
        "trade": _fields("e E s t p q T m M"),
        "aggTrade": _fields("e E s a p q f l T m M"),
        "bookTicker": _fields("u s b B a A"),
    }
)
"""The fields of the frames of each stream, by the part of its name behind the ``@``."""

EVENTS: Final = MappingProxyType(
    {
        "kline": "kline_1m",
        "depthUpdate": "depth@100ms",
        "trade": "trade",
        "aggTrade": "aggTrade",
    }
)
"""The stream of each event; frames of ``bookTicker`` have no event."""

KLINE: Final = _fields("t T s i f L o c h l v n x q V Q B")
