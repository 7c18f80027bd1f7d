"""Market data on request: what needs no key."""

from __future__ import annotations

from collections.abc import Callable

from botlib.errors import UnknownSymbol
from botlib.exchange.paper import quotes
from botlib.exchange.paper.auth import wall_time
from botlib.exchange.paper.feed import Feed
from botlib.exchange.paper.filters import symbol_info
from botlib.exchange.paper.limits import RATE_LIMITS
from botlib.exchange.paper.params import Params
from botlib.exchange.paper.quotes import Json, eight
from botlib.exchange.paper.refusals import Refusal, invalid_symbol
from botlib.exchange.paper.venue import Venue


class MarketData:
    """Answers about the market, at its present time."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def _feed(self, symbol: str) -> Feed:
        try:
            if symbol != symbol.upper() or "/" in symbol:
                raise invalid_symbol()
            return self._venue.feed(symbol)
        except UnknownSymbol:
            raise invalid_symbol() from None

    def feed(self, params: Params) -> Feed:
        """Return the feed of the mandatory ``symbol``."""
        return self._feed(params.need("symbol"))

    def _each(self, params: Params, answer: Callable[[Feed], Json]) -> object:
        if "symbol" in params:
            return answer(self.feed(params))
        names = params.names("symbols")
        if names is None:
            names = [listing.id for listing in self._venue.listings()]
        return [answer(self._feed(name)) for name in names]

    async def ping(self, params: Params) -> object:
        """``/ping``."""
        return {}

    async def time(self, params: Params) -> object:
        """``/time``: wall time, since requests are signed with it."""
        return {"serverTime": wall_time()}

    async def exchange_info(self, params: Params) -> object:
        """``/exchangeInfo``."""
        found = self._each(params, lambda feed: symbol_info(feed.listing, trading=feed.trading))
        return {
            "timezone": "UTC",
            "serverTime": wall_time(),
            "rateLimits": RATE_LIMITS,
            "exchangeFilters": [],
            "symbols": found if isinstance(found, list) else [found],
        }

    async def klines(self, params: Params) -> object:
        """``/klines`` and ``/uiKlines``."""
        feed, timeframe = self.feed(params), params.need("interval")
        if timeframe not in self._venue.market.timeframes():
            raise Refusal(-1120, "Invalid interval.")
        bars = feed.candles(
            timeframe,
            params.integer("startTime"),
            params.integer("endTime"),
            params.limit(500, 1_000),
        )
        return [quotes.kline_row(timeframe, bar, feed.time) for bar in bars]

    async def ticker_24h(self, params: Params) -> object:
        """``/ticker/24hr``."""
        return self._each(params, lambda feed: quotes.ticker_24h(feed, self._venue.slippage))

    async def ticker_price(self, params: Params) -> object:
        """``/ticker/price``."""
        return self._each(params, lambda feed: {"symbol": feed.id, "price": eight(feed.price)})

    async def ticker_book(self, params: Params) -> object:
        """``/ticker/bookTicker``."""
        return self._each(params, lambda feed: quotes.book_ticker(feed, self._venue.slippage))

    async def average_price(self, params: Params) -> object:
        """``/avgPrice``."""
        feed = self.feed(params)
        return {"mins": 5, "price": eight(feed.average()), "closeTime": feed.time}

    async def depth(self, params: Params) -> object:
        """``/depth``."""
        feed, levels = self.feed(params), params.limit(100, 5_000)
        return quotes.depth(feed, levels)

    async def trades(self, params: Params) -> object:
        """``/trades`` and ``/historicalTrades``."""
        feed = self.feed(params)
        found = feed.tape.trades(0, feed.time, params.limit(500, 1_000), newest=True)
        return [
            {
                "id": trade.id,
                "price": eight(trade.price),
                "qty": eight(trade.amount),
                "quoteQty": eight(trade.price * trade.amount),
                "time": trade.timestamp,
                "isBuyerMaker": trade.seller_taker,
                "isBestMatch": True,
            }
            for trade in found
        ]

    async def aggregated_trades(self, params: Params) -> object:
        """``/aggTrades``."""
        feed, limit = self.feed(params), params.limit(500, 1_000)
        start, end = params.integer("startTime"), params.integer("endTime")
        first = params.integer("fromId")
        if first is not None:
            start = feed.tape.time_of_aggregate(first)
        found = feed.tape.aggregates(
            start or 0,
            feed.time if end is None else end,
            limit,
            newest=start is None,
        )
        return [
            {
                "a": trade.id,
                "p": eight(trade.price),
                "q": eight(trade.amount),
                "f": trade.first,
                "l": trade.last,
                "T": trade.timestamp,
                "m": trade.seller_taker,
                "M": True,
            }
            for trade in found
        ]
