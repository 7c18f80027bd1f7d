"""The operations on market data of a mirror: answers of the venue, passed on as they are.

Closed candles are kept: a request that lies within what is known does not reach the venue.
"""

from __future__ import annotations

import logging
from typing import Final

import orjson

from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.parameters import SIGNED_PARAMETERS
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.market.intervals import KlineInterval, interval
from botlib.paper.mirror.requests import UNREADABLE, UpstreamLost
from botlib.paper.mirror_venue import MirrorVenue
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import invalid_symbol, refusal
from botlib.venues.obstacles import foreign_answer

logger = logging.getLogger(__name__)

_FULL: Final = 1_000


class MirrorDataHandlers(MarketDataHandlers):
    """Handlers of the operations on market data, answered by the mirrored venue."""

    def __init__(self, venue: MirrorVenue, limits: RateLimits) -> None:
        super().__init__(venue, limits)
        self._mirror = venue.mirror

    async def _passed_on(self, path: str, params: Params) -> object:
        """Return the venue's answer to the same request, which is sent without a signature.

        Raises:
            Refusal: the venue refuses it, or does not answer.
        """
        self._check_symbol(params)
        sent = {
            name: params.text(name) or ""
            for name in params.names_sent
            if name not in SIGNED_PARAMETERS
        }
        return orjson.Fragment(await self._ask(path, sent))

    def _check_symbol(self, params: Params) -> None:
        symbol = params.text("symbol")
        if symbol is not None and symbol not in self._mirror.entries:
            raise invalid_symbol()

    async def _ask(self, path: str, params: dict[str, str]) -> bytes:
        try:
            return await self._mirror.requests.get(path, params)
        except UpstreamLost as error:
            logger.warning("%s", error)
            raise refusal(-1001) from None

    # -- candles

    async def klines(self, params: Params) -> object:
        """``/klines`` and ``/uiKlines``."""
        symbol = params.symbol()
        self._check_symbol(params)
        kind = self._interval(params)
        if "timeZone" in params:
            return await self._passed_on("klines", params)
        start, end = params.moment("startTime"), params.moment("endTime")
        limit = params.limit(500, _FULL)
        history = self._mirror.history
        known = history.answer(symbol, kind, start, end, limit)
        if known is not None:
            return orjson.Fragment(known)
        sent = {"symbol": symbol, "interval": kind.code, "limit": str(limit)}
        for name, time in (("startTime", start), ("endTime", end)):
            if time is not None:
                sent[name] = str(time)
        answer = await self._ask("klines", sent)
        try:
            history.learn(symbol, kind, orjson.loads(answer), start=start, now=self._mirror.now)
        except UNREADABLE:
            logger.warning("%s", foreign_answer(answer.decode(errors="replace")))
            raise refusal(-1001) from None
        return orjson.Fragment(answer)

    def _interval(self, params: Params) -> KlineInterval:
        name = params.need("interval")
        kind = interval(name)
        if kind is None or "@" in name:
            raise refusal(-1120)
        return kind

    # -- statistics

    async def ticker_24h(self, params: Params) -> object:
        """``/ticker/24hr``."""
        return await self._passed_on("ticker/24hr", params)

    async def ticker_window(self, params: Params) -> object:
        """``/ticker``: a rolling window."""
        return await self._passed_on("ticker", params)

    async def ticker_day(self, params: Params) -> object:
        """``/ticker/tradingDay``: since midnight in a time zone."""
        return await self._passed_on("ticker/tradingDay", params)

    async def ticker_price(self, params: Params) -> object:
        """``/ticker/price``."""
        return await self._passed_on("ticker/price", params)

    async def ticker_book(self, params: Params) -> object:
        """``/ticker/bookTicker``."""
        return await self._passed_on("ticker/bookTicker", params)

    async def average_price(self, params: Params) -> object:
        """``/avgPrice``."""
        return await self._passed_on("avgPrice", params)

    # -- rules, book and trades

    async def execution_rules(self, params: Params) -> object:
        """``/executionRules``."""
        return await self._passed_on("executionRules", params)

    async def reference_price(self, params: Params) -> object:
        """``/referencePrice``; its calculation is not passed on."""
        return await self._passed_on("referencePrice", params)

    async def depth(self, params: Params) -> object:
        """``/depth``: the venue's own book, in which orders of the accounts do not stand."""
        return await self._passed_on("depth", params)

    async def trades(self, params: Params) -> object:
        """``/trades``."""
        return await self._passed_on("trades", params)

    async def block_trades(self, params: Params) -> object:
        """``/historicalBlockTrades``."""
        return await self._passed_on("historicalBlockTrades", params)

    async def historical_trades(self, params: Params) -> object:
        """``/historicalTrades``."""
        return await self._passed_on("historicalTrades", params)

    async def aggregated_trades(self, params: Params) -> object:
        """``/aggTrades``."""
        return await self._passed_on("aggTrades", params)
