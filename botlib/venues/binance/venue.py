"""`BinanceExchange`: Binance spot as an `Exchange`, live and paper alike."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

from botlib.core.asynctools import first_of
from botlib.core.errors import (
    ExchangeError,
    ExchangeUnavailable,
    InvalidInput,
    UnknownSymbol,
    did_you_mean,
)
from botlib.core.model import Candle, Fill, OrderIntent
from botlib.core.retry import Backoff, retry
from botlib.core.timeframe import timeframe_ms
from botlib.venues.base import (
    BadFrameSink,
    Balance,
    DepthSnapshot,
    KeyPermissions,
    Market,
    MarketTime,
    OrderReport,
    RawKline,
    ReplaceReport,
    ReportSink,
    VenueKeys,
)
from botlib.venues.binance import order_requests, parse
from botlib.venues.binance.api import (
    Connector,
    SpotBinance,
    Unreachable,
    VenueError,
    make_api,
    require_loopback,
)
from botlib.venues.binance.capabilities import BINANCE
from botlib.venues.binance.requests import VenueRequests, certain
from botlib.venues.binance.socket import (
    DepthSocket,
    KlineSocket,
    Socket,
    UserSocket,
    kline_stream,
)
from botlib.venues.binance.weights import weight_of
from botlib.venues.budget import Purpose
from botlib.venues.capabilities import VenueCapabilities
from botlib.venues.obstacles import connection_advice

logger = logging.getLogger(__name__)

NO_SUCH_ORDER: Final = -2013
NOT_FOUND: Final = 404
INVALID_SYMBOL: Final = -1121


CONNECT_WITHIN: Final = 20.0
"""Longest time in seconds that a venue may take to be connected to, pauses it asks for left out."""

RETRY_FIRST: Final = 0.5
RETRY_LONGEST: Final = 30.0

T = TypeVar("T")
Opened = TypeVar("Opened", bound=Socket)


class BinanceExchange(VenueRequests):
    """Binance spot, or a paper exchange that speaks its protocol on this computer.

    Args:
        venue: the stamp of the market: ``binance``, or a paper market's.
        rest_url: address of a paper exchange, loopback only; None is the real venue.
        ws_url: its stream address; by default that of ``rest_url``.
        keys: API key and secret; without them only market data can be read. Those of a paper
            exchange may be a pair of plain texts, since they are worthless.
        market_time: returns the market's time of a paper exchange; None reads the server's clock.
        max_wait: longest wait in seconds that a "slow down" answer may impose on a read.
        capabilities: its limits; a test may lower them.
        connector: makes the connector to a paper exchange; by default one to this computer.
        rng: source of the jitter of retries and reconnections.
    """

    def __init__(
        self,
        *,
        venue: str,
        rest_url: str | None = None,
        ws_url: str | None = None,
        keys: VenueKeys | tuple[str, str] | None = None,
        market_time: MarketTime | None = None,
        max_wait: float = 60.0,
        capabilities: VenueCapabilities = BINANCE,
        connector: Connector | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if ws_url is not None and rest_url is None:
            raise InvalidInput("ws_url is given without rest_url; give both, or rest_url alone.")
        if connector is not None and rest_url is None:
            raise InvalidInput("A connector is for paper exchanges only; give rest_url as well.")
        if rest_url is None and isinstance(keys, tuple):
            raise InvalidInput(
                "Keys of the real venue are not given as texts. Set them in the environment and "
                "use ApiKeys.from_environment()."
            )
        if rest_url is not None:
            ws_url = ws_url or urlunsplit(("ws", *urlsplit(rest_url)[1:]))
            require_loopback(rest_url)
            require_loopback(ws_url)
        # An address in place of the real venue's is armed as the real venue is.
        paper = rest_url is not None and venue != capabilities.name
        super().__init__(venue, max_wait=max_wait, armed=paper, limits=capabilities.request_limits)
        self.capabilities = capabilities
        self._urls = (rest_url, ws_url)
        self._keys = keys
        self._market_time = market_time
        self._connector = connector
        self._rng = rng or random.Random()
        self._connecting = asyncio.Lock()
        self._symbols: dict[str, str] = {}
        self._markets: dict[str, Market] = {}
        self.on_barred: Callable[[str], None] = lambda reason: None
        """Is called with the reason if the venue bars this computer or refuses the key."""

    async def connect(self) -> None:
        """Load the venue's markets; a second call does nothing.

        A venue that is unreachable for a moment only delays it, and one that stalls for
        `CONNECT_WITHIN` seconds ends it.
        """
        async with self._connecting:
            if self._symbols:
                return
            if self._api_made is None:
                self._api_made = api = self._make_api()
                api.gate.on_barred = lambda reason: self.on_barred(reason)
            try:
                async with asyncio.timeout(CONNECT_WITHIN) as self._until:
                    # If nothing listens at the address, a moment later nothing will.
                    await retry(self._load_markets, rng=self._rng, hopeless=_never_sent)
            except TimeoutError as error:
                raise ExchangeUnavailable(
                    f"{self.capabilities.title} cannot be connected to. "
                    f"{connection_advice(error, CONNECT_WITHIN)}"
                ) from None
            finally:
                self._until = None
            markets = self._api.markets
            self._symbols = {market["id"]: name for name, market in markets.items()}

    def _make_api(self) -> SpotBinance:
        # A method of its own, so that no frame that waits for the venue holds the keys.
        rest_url, ws_url = self._urls
        key, secret = _texts(self._keys)
        return make_api(
            rest_url=rest_url,
            ws_url=ws_url,
            key=key,
            secret=secret,
            connector=self._connector,
            recv_window=self.capabilities.order_recv_window,
            budget=self.budget,
            environment=self.capabilities.environment,
        )

    def market(self, symbol: str) -> Market:
        """Return how a symbol (either form) is traded."""
        name = self._symbols.get(symbol.upper()) if isinstance(symbol, str) else None
        name = name or self.capabilities.unified_symbol(symbol)
        if name not in self._markets:
            api = self._api
            if name not in api.markets:
                gone = ""
                if self.venue == self.capabilities.name:
                    gone = (
                        " One that was delisted can still be researched: bl.research() reads what "
                        "is stored of it, and import_files the venue's public files."
                    )
                raise UnknownSymbol(
                    f"{self.venue} does not list {symbol!r}.{did_you_mean(name, api.markets)}{gone}"
                )
            self._markets[name] = parse.market(name, api.markets[name]["info"])
        return self._markets[name]

    def markets(self) -> list[Market]:
        """Return everything that the venue lists, as it was read when it connected."""
        found = []
        for name, raw in self._api.markets.items():
            try:
                found.append(parse.market(name, raw["info"]))
            except (ExchangeError, KeyError, TypeError, ValueError) as error:
                # One odd entry among thousands must not hide the others.
                logger.debug("%s is left out of the markets: %r", name, error)
        return found

    async def reload_market(self, symbol: str, *, purpose: Purpose = Purpose.READ) -> Market:
        """Read again how a symbol is traded; one that is not listed any more is not active."""
        before = self.market(symbol)
        try:
            params = {"symbol": before.id}
            answer = await self._read("publicGetExchangeInfo", params, purpose)
            self._markets[before.symbol] = parse.market(before.symbol, answer["symbols"][0])
        except VenueError as error:
            if error.code != INVALID_SYMBOL:
                raise
            self._markets[before.symbol] = replace(before, active=False)
        return self._markets[before.symbol]

    def candle_stream(self, symbol: str, timeframe: str) -> str:
        """Return the name of a candle stream, such as ``btcusdt@kline_1m``."""
        return kline_stream(self.market(symbol).id, timeframe)

    async def market_time(self) -> int:
        """Return the market's time in ms."""
        if self._market_time is not None:
            return await self._market_time()
        return int((await self._read("publicGetTime"))["serverTime"])

    def candle(self, symbol: str, timeframe: str, raw: RawKline, *, closed: bool) -> Candle:
        """Convert a streamed candle."""
        return parse.streamed_candle(symbol, timeframe, raw, closed=closed)

    async def fetch_candles(
        self,
        symbol: str,
        timeframe: str,
        start: int,
        end: int,
        *,
        now: int,
        limit: int | None = None,
        forming: bool = False,
    ) -> list[Candle]:
        """Fetch the candles with open times ``start`` to ``end`` (ms, both included)."""
        market, length = self.market(symbol), timeframe_ms(timeframe)
        found: list[Candle] = []
        page = self.capabilities.candles_per_page
        while start <= end and (limit is None or len(found) < limit):
            size = page if limit is None else min(page, limit - len(found))
            rows = await self._read(
                "publicGetKlines",
                {
                    "symbol": market.id,
                    "interval": timeframe,
                    "startTime": start,
                    "endTime": end,
                    "limit": size,
                },
            )
            for row in rows:
                try:
                    candle = parse.fetched_candle(market.symbol, timeframe, row, now=now)
                except InvalidInput as error:
                    logger.warning("%s %s: %s", market.symbol, timeframe, error)
                    continue
                if candle.closed or forming:
                    found.append(candle)
            if len(rows) < size:
                break
            start = int(rows[-1][0]) + length
        return found

    async def place_order(self, intent: OrderIntent) -> OrderReport:
        """Send an order once; it is never sent again, whatever the outcome."""
        market = self.market(intent.symbol)
        params = order_requests.order_params(market, intent)
        what = f"{intent.side.value} {intent.amount} {intent.symbol} ({intent.client_order_id})"
        raw = await self._send("privatePostOrder", params, what)
        return certain(what, lambda: parse.order(market.symbol, raw))

    async def place_list(self, intents: Sequence[OrderIntent]) -> list[OrderReport]:
        """Send a target and a stop that cancel each other, once."""
        target, stop = order_requests.in_order(intents)
        market = self.market(target.symbol)
        params = order_requests.list_params(market, target, stop)
        what = f"OCO {target.amount} {target.symbol} ({target.list_id})"
        raw = await self._send("privatePostOrderListOco", params, what)
        return certain(what, lambda: order_requests.list_reports(market.symbol, raw))

    async def replace_order(self, client_order_id: str, intent: OrderIntent) -> ReplaceReport:
        """Cancel an order and send another in one request; nothing is sent if the first fails."""
        market = self.market(intent.symbol)
        params = order_requests.order_params(market, intent)
        params |= {
            "cancelReplaceMode": "STOP_ON_FAILURE",
            "cancelOrigClientOrderId": client_order_id,
        }
        what = f"replace {client_order_id} by {intent.client_order_id} of {intent.symbol}"
        try:
            raw = await self._send("privatePostOrderCancelReplace", params, what, parts=True)
        except VenueError as error:
            raw = error.data
        return certain(what, lambda: order_requests.replace_report(market.symbol, raw))

    async def fetch_order(
        self, symbol: str, client_order_id: str, *, purpose: Purpose = Purpose.READ
    ) -> OrderReport | None:
        """Return an order, or None if the venue does not know it (yet)."""
        market = self.market(symbol)
        params = {"symbol": market.id, "origClientOrderId": client_order_id}
        try:
            raw = await self._read("privateGetOrder", params, purpose)
        except VenueError as error:
            if error.code == NO_SUCH_ORDER:
                return None
            raise
        return parse.order(market.symbol, raw)

    async def cancel_order(self, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an open order."""
        market = self.market(symbol)
        params = {"symbol": market.id, "origClientOrderId": client_order_id}
        what = f"cancel {market.symbol} ({client_order_id})"
        raw = await self._send("privateDeleteOrder", params, what)
        return certain(what, lambda: parse.cancelled(market.symbol, client_order_id, raw))

    async def open_orders(self, symbol: str | None = None) -> list[OrderReport]:
        """Return the open orders of one symbol, or of all."""
        params = {} if symbol is None else {"symbol": self.market(symbol).id}
        rows = await self._read("privateGetOpenOrders", params)
        return [parse.order(self._symbols[str(row["symbol"])], row) for row in rows]

    async def fetch_fills(
        self, symbol: str, from_id: int = 0, *, purpose: Purpose = Purpose.READ
    ) -> list[Fill]:
        """Return our executions of a symbol with trade ids from ``from_id`` up, oldest first."""
        market = self.market(symbol)
        fills: list[Fill] = []
        most = self.capabilities.trades_per_page
        while True:
            params = {"symbol": market.id, "fromId": from_id, "limit": most}
            page = [
                parse.trade(market.symbol, row)
                for row in await self._read("privateGetMyTrades", params, purpose)
            ]
            fills += page
            if len(page) < most:
                return sorted(fills, key=lambda fill: fill.trade_id)
            from_id = max(fill.trade_id for fill in page) + 1

    async def balances(self, *, purpose: Purpose = Purpose.READ) -> dict[str, Balance]:
        """Return the balances of the account by asset."""
        params = {"omitZeroBalances": "true"}
        return parse.balances(await self._read("privateGetAccount", params, purpose))

    async def permissions(self) -> KeyPermissions:
        """Return what the API key may do, and what its account pays.

        ``canTrade`` and ``canWithdraw`` of an account say what the account may do. What the key may
        do is in its restrictions; a venue that lacks them, such as a test network, is believed by
        its account.
        """
        account = await self._read("privateGetAccount", {"omitZeroBalances": "true"})
        try:
            key = await self._read("sapiGetAccountApiRestrictions")
        except VenueError as error:
            if error.status != NOT_FOUND:
                raise
            key = None
        found = parse.permissions(account, key)
        if self.capabilities.play_money:
            return replace(found, withdraw=False, source="its venue, since it is play money")
        return found

    def arm(self) -> None:
        """Allow orders at the real venue."""
        self._armed = True

    async def watch_executions(
        self,
        sink: ReportSink,
        *,
        on_connect: Callable[[], None] | None = None,
        on_loss: Callable[[str], None] | None = None,
    ) -> None:
        """Deliver every report of the user-data stream to ``sink``, for ever, reconnecting."""
        backoff = Backoff(RETRY_FIRST, RETRY_LONGEST, rng=self._rng)
        while True:
            socket = UserSocket(self._api, lambda event: self._report(event, sink), _log_bad)
            try:
                await socket.open()
                await self._synced(socket.subscribe)
                if on_connect is not None:
                    on_connect()
                backoff.reset()
                reason = await first_of(socket.ended(), socket.retiring())
                logger.info("The account's event stream ended: %s", reason)
            except ExchangeError as error:
                if isinstance(error, VenueError):
                    self._api.gate.refused(error.status, error.code, error.message, None)
                reason = str(error)
                logger.warning("The account's event stream is down: %s", error)
            finally:
                await socket.close()
            if on_loss is not None:
                on_loss(reason)
            await backoff.wait()
            await asyncio.sleep(self._api.gate.pause(signed=True))

    async def open_klines(self, on_bad: BadFrameSink) -> KlineSocket:
        """Open a connection for candle streams."""
        return await _opened(KlineSocket(self._api, on_bad))

    async def open_depth(self, on_bad: BadFrameSink) -> DepthSocket:
        """Open a connection for changes of order books."""
        return await _opened(DepthSocket(self._api, on_bad))

    async def fetch_depth(self, symbol: str, levels: int) -> DepthSnapshot:
        """Fetch the order book, ``levels`` a side."""
        params = {"symbol": self.market(symbol).id, "limit": levels}
        return parse.depth_snapshot(await self._read("publicGetDepth", params))

    async def close(self) -> None:
        """Close every connection; closing twice is harmless."""
        api, self._api_made, self._symbols = self._api_made, None, {}
        if api is None:
            return
        session = None if api.own_session else api.session
        await api.close()
        if session is not None:
            await session.close()

    def _report(self, event: Mapping[str, Any], sink: ReportSink) -> None:
        if event.get("e") != "executionReport":
            return
        symbol = self._symbols.get(str(event["s"]))
        if symbol is None:
            logger.warning("An execution of an unknown symbol was reported: %r", event["s"])
            return
        sink(parse.execution(symbol, event))

    async def _load_markets(self) -> None:
        await self._read("publicGetPing")
        await self._patient(self._compare_clocks, weight_of("publicGetTime"))
        await self._patient(self._api.load, weight_of("publicGetExchangeInfo"))


async def _opened(socket: Opened) -> Opened:
    try:
        await socket.open()
    except BaseException:
        await socket.close()
        raise
    return socket


def _never_sent(error: ExchangeUnavailable) -> bool:
    return isinstance(error, Unreachable) and not error.sent


def _texts(keys: VenueKeys | tuple[str, str] | None) -> tuple[str | None, str | None]:
    if keys is None:
        return None, None
    return keys if isinstance(keys, tuple) else (keys.key.reveal(), keys.secret.reveal())


def _log_bad(text: str, reason: str) -> None:
    logger.warning("A frame of the account's stream cannot be used (%s): %.200s", reason, text)
