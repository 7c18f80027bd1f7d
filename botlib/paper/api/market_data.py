"""The operations on market data, which need no API key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import orjson

from botlib.core.errors import UnknownSymbol
from botlib.core.timeframe import DAY
from botlib.paper.api.exchange_info import symbol_info
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.market import klines, quotes, tickers
from botlib.paper.market.feed import Feed
from botlib.paper.market.intervals import KlineInterval, interval, zone_offset
from botlib.paper.market.quotes import Json, eight_decimals
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import invalid_symbol, refusal
from botlib.paper.venue import Venue

STATUSES: Final = ("TRADING", "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY")
"""The statuses of a symbol."""
MAX_SYMBOLS: Final = 100
"""Maximum number of symbols in one request for rolling statistics."""

_LATEST: Final = 2**62
"""An end of trades that lies after all of them."""

_Answer = Callable[[Feed], Json]


class MarketDataHandlers:
    """Handlers of the operations on market data, at the present market time."""

    def __init__(self, venue: Venue, limits: RateLimits) -> None:
        self._venue = venue
        self._limits = limits

    # -- symbols of a request

    def feed(self, params: Params) -> Feed:
        """Return the feed of the mandatory ``symbol``."""
        return self._feed(params.symbol())

    def _feed(self, symbol: str) -> Feed:
        try:
            return self._venue.feed(symbol)
        except UnknownSymbol:
            raise invalid_symbol() from None

    async def _requested_feeds(self, params: Params) -> Feed | list[Feed]:
        """Return the feed of ``symbol``, those of ``symbols``, or all of them."""
        if "symbol" in params:
            if "symbols" in params:
                raise refusal(-1128)
            return self.feed(params)
        names = params.names("symbols")
        if names is None:
            names = [listing.id for listing in self._venue.listings()]
        # Other tasks run meanwhile, as reading the candles of many symbols takes long.
        feeds: list[Feed] = []
        for name in names:
            feeds.append(self._feed(name))
            await asyncio.sleep(0)
        return feeds

    async def _for_each(self, params: Params, answer: _Answer) -> object:
        chosen = await self._requested_feeds(params)
        status = params.choice("symbolStatus", STATUSES, -1122)
        if isinstance(chosen, Feed):
            _check_status(params, chosen)
            return answer(chosen)
        found: list[Json] = []
        for feed in chosen:
            feed.seek(self._venue.market_time)
            if status in (None, _status(feed)):
                found.append(answer(feed))
            await asyncio.sleep(0)
        return found

    # -- the exchange

    async def ping(self, params: Params) -> object:
        """``/ping``."""
        return {}

    async def time(self, params: Params) -> object:
        """``/time``: the wall time, which signed requests carry."""
        return {"serverTime": self._venue.faults.server_time()}

    async def exchange_info(self, params: Params) -> object:
        """``/exchangeInfo``."""
        single = "symbol" in params or "symbols" in params
        status = params.choice("symbolStatus", STATUSES, -1122)
        wanted = _permissions(params)
        if single and (status is not None or wanted is not None):
            raise refusal(-1128)
        chosen = await self._requested_feeds(params)
        sets = params.flag("showPermissionSets", True)
        symbols = []
        for feed in chosen if isinstance(chosen, list) else [chosen]:
            info = symbol_info(feed)
            if status not in (None, info["status"]) or not _permitted(info, wanted):
                continue
            if not sets:
                info["permissionSets"] = []
            symbols.append(info)
            await asyncio.sleep(0)
        return {
            "timezone": "UTC",
            "serverTime": self._venue.faults.server_time(),
            "rateLimits": self._limits.announcement(),
            "exchangeFilters": [],
            "symbols": symbols,
        }

    async def execution_rules(self, params: Params) -> object:
        """``/executionRules``: always empty, because no symbol has any."""
        status = params.choice("symbolStatus", STATUSES, -1122)
        if status is not None and ("symbol" in params or "symbols" in params):
            raise refusal(-1128)
        chosen = await self._requested_feeds(params)
        feeds = [
            feed
            for feed in (chosen if isinstance(chosen, list) else [chosen])
            if status in (None, _status(feed))
        ]
        return {"symbolRules": [{"symbol": feed.id, "rules": []} for feed in feeds]}

    async def reference_price(self, params: Params) -> object:
        """``/referencePrice`` and ``/referencePrice/calculation``: no symbol has one.

        Raises:
            Refusal: always, because execution rules, which use such a price, do not exist here.
        """
        _check_status(params, self.feed(params))
        raise refusal(-2043)

    # -- candles

    async def klines(self, params: Params) -> object:
        """``/klines`` and ``/uiKlines``."""
        feed, kind = self.feed(params), self._interval(params)
        start, end = params.moment("startTime"), params.moment("endTime")
        limit = params.limit(500, 1_000)
        bars = await klines.klines(feed, kind, start, end, limit)
        if bars:
            await feed.tape.prepare_bought(kind, bars[0].timestamp, bars[-1].timestamp)
        return [quotes.kline_row(feed, kind, bar) for bar in bars]

    def _interval(self, params: Params) -> KlineInterval:
        zone = _time_zone(params)
        name = params.need("interval")
        kind = interval(f"{name}@{zone}" if zone is not None else name)
        if "@" in name or kind is None or not self._is_offered(kind):
            raise refusal(-1120)
        return kind

    def _is_offered(self, kind: KlineInterval) -> bool:
        feeds = self._venue.listings()
        return not feeds or klines.offered(self._feed(feeds[0].id), kind)

    # -- statistics

    async def ticker_24h(self, params: Params) -> object:
        """``/ticker/24hr``."""
        if _ticker_type(params) == tickers.MINI:
            return await self._for_each(
                params, lambda feed: tickers.mini(feed, tickers.last_day(feed))
            )
        return await self._for_each(params, tickers.day_full)

    async def ticker_window(self, params: Params) -> object:
        """``/ticker``: a rolling window."""
        text = params.text("windowSize") or "1d"
        length = tickers.window_length(text)
        if length is None:
            raise refusal(-1130, "windowSize")
        form = tickers.mini if _ticker_type(params) == tickers.MINI else tickers.full
        self._need_symbols(params)
        return await self._for_each(params, lambda feed: form(feed, tickers.window(feed, length)))

    async def ticker_day(self, params: Params) -> object:
        """``/ticker/tradingDay``: since midnight in a time zone."""
        zone = _time_zone(params)
        offset = 0 if zone is None else zone_offset(zone) or 0
        form = tickers.mini if _ticker_type(params) == tickers.MINI else tickers.full
        self._need_symbols(params)

        def answer(feed: Feed) -> Json:
            start = feed.time - (feed.time + offset) % DAY
            return form(feed, tickers.since(feed, start), start + DAY - 1)

        return await self._for_each(params, answer)

    @staticmethod
    def _need_symbols(params: Params) -> None:
        names = params.names("symbols")
        if names is None:
            params.need("symbol")
        elif len(names) > MAX_SYMBOLS:
            raise refusal(-1130, "symbols")

    async def ticker_price(self, params: Params) -> object:
        """``/ticker/price``."""
        return await self._for_each(
            params,
            lambda feed: {"symbol": feed.id, "price": eight_decimals(feed.tape.last_price())},
        )

    async def ticker_book(self, params: Params) -> object:
        """``/ticker/bookTicker``."""
        return await self._for_each(params, quotes.book_ticker)

    async def average_price(self, params: Params) -> object:
        """``/avgPrice``."""
        feed = self.feed(params)
        return {"mins": 5, "price": eight_decimals(feed.average()), "closeTime": feed.time}

    # -- book and trades

    async def depth(self, params: Params) -> object:
        """``/depth``."""
        feed, levels = self.feed(params), params.limit(100, 5_000)
        _check_status(params, feed)
        return quotes.depth(feed, levels)

    async def trades(self, params: Params) -> object:
        """``/trades``."""
        feed = self.feed(params)
        found = await feed.tape.trades(0, _LATEST, params.limit(500, 1_000), newest=True)
        return [quotes.trade_row(trade) for trade in found]

    async def block_trades(self, params: Params) -> object:
        """``/historicalBlockTrades``: always empty, because there are no block trades."""
        self.feed(params)
        params.integer("fromId")
        params.limit(500, 1_000)
        return []

    async def historical_trades(self, params: Params) -> object:
        """``/historicalTrades``."""
        first = params.integer("fromId")
        if first is None:
            return await self.trades(params)
        feed, limit = self.feed(params), params.limit(500, 1_000)
        start = feed.tape.time_of(first)
        # Earlier trades may share the step of the first one.
        within = feed.tape.ids(start, start)
        span = within[1] - within[0]
        found = await feed.tape.trades(start, _LATEST, limit + span, newest=False)
        later = [trade for trade in found if trade.id >= first]
        return [quotes.trade_row(trade) for trade in later[:limit]]

    async def aggregated_trades(self, params: Params) -> object:
        """``/aggTrades``."""
        feed, limit = self.feed(params), params.limit(500, 1_000)
        start, end = params.moment("startTime"), params.moment("endTime")
        first = params.integer("fromId")
        if first is not None:
            if start is not None or end is not None:
                raise refusal(-1128)
            start = feed.tape.time_of_aggregate(first)
            # Earlier trades may share the step of the first one.
            within = feed.tape.ids(start, start)
            found = await feed.tape.aggregates(
                start, _LATEST, limit + within[1] - within[0], newest=False
            )
            later = [trade for trade in found if trade.id >= first]
            return [quotes.aggregate_row(trade) for trade in later[:limit]]
        found = await feed.tape.aggregates(
            start or 0,
            _LATEST if end is None else end,
            limit,
            newest=start is None,
        )
        return [quotes.aggregate_row(trade) for trade in found]


def _check_status(params: Params, feed: Feed) -> None:
    """Check that a symbol has the requested status.

    Raises:
        Refusal: it has another one.
    """
    if params.choice("symbolStatus", STATUSES, -1122) not in (None, _status(feed)):
        raise refusal(-1220)


def _status(feed: Feed) -> object:
    return symbol_info(feed)["status"]


def _ticker_type(params: Params) -> str | None:
    return params.choice("type", (tickers.FULL, tickers.MINI), -1139)


def _time_zone(params: Params) -> str | None:
    zone = params.text("timeZone")
    if zone is not None and zone_offset(zone) is None:
        raise refusal(-1130, "timeZone")
    return zone


def _permissions(params: Params) -> frozenset[str] | None:
    """Parse ``permissions``: one name, or a JSON list of names."""
    text = params.text("permissions")
    if text is None:
        return None
    if not text.startswith("["):
        return frozenset({text})
    try:
        names = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise refusal(-1130, "permissions") from None
    if not all(isinstance(name, str) for name in names):
        raise refusal(-1130, "permissions")
    return frozenset(names)


def _permitted(info: Json, wanted: frozenset[str] | None) -> bool:
    sets = info["permissionSets"]
    if wanted is None or not isinstance(sets, Iterable):
        return True
    return all(not wanted.isdisjoint(one) for one in sets)
