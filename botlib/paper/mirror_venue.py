"""The running mirror: it follows the venue, passes its frames on, and matches the accounts' orders.

Frames of the venue's streams go to the clients as they are. Orders are matched with its trades: a
trade at the price of a resting order fills it after the amount that stood there when it was placed
has traded, a trade beyond the price fills it whole; stops are triggered by trades; market orders
walk the best levels of the mirrored book.

The mirror is *stale* while its connection is lost, while the venue is silent for longer than
`MirrorSource.stale_after`, and until missed trades are fetched after that. A stale mirror fills
nothing, and answers as Binance does in a halt: the status of the symbols is ``BREAK``, a new order
is refused with -2010, ``Market is closed.``
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from botlib.core.errors import UnknownSymbol
from botlib.core.retry import Backoff
from botlib.paper.faults import Faults
from botlib.paper.market.feed import Feed
from botlib.paper.market.intervals import interval
from botlib.paper.market.market import SymbolListing
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.mirror.book import LEVELS
from botlib.paper.mirror.feed import QUEUED, MirrorFeed
from botlib.paper.mirror.history import kline_row
from botlib.paper.mirror.market import MirrorMarket
from botlib.paper.mirror.requests import UpstreamLost
from botlib.paper.mirror.stream import VenueStream
from botlib.paper.options import EventOrder
from botlib.paper.protocol.refusals import Refusal
from botlib.paper.streams.broadcast import Broadcast
from botlib.paper.streams.mirror_broadcast import CLOSED, KLINE, MirrorBroadcast
from botlib.paper.venue import Venue

logger = logging.getLogger(__name__)

FOLLOWED: Final = ("aggTrade", "depth20@100ms", "avgPrice")
"""The streams of a symbol with which orders are matched."""
TITLE: Final = "MIRROR: real prices, play money"

_PATIENCE: Final = 5.0
"""Seconds for which an order waits until its symbol is followed."""
_PRESENT: Final = 60_000
"""Distance (ms) of market time from the venue's clock up to which both are one time."""
_LISTINGS_INTERVAL: Final = 600.0
"""Seconds between two requests for what the venue lists, and for its clock."""
_PAGE: Final = 1_000
_EVENT: Final = b'"E":'


class MirrorVenue(Venue):
    """The venue as the mirror shows it, with the accounts' orders.

    Args:
        market: the mirrored market, which is open.
        engine: matches orders, at every trade.
        faults: the faults that are ordered.
        slippage: fraction by which market orders fill worse than the price, if the book is not
            walked.
        events: whether the events of a request are sent before its answer, after it, or either.
        seed: seed of that choice, if it is ``either``.
        symbols: symbols to follow from the start; others are followed from their first order on.
    """

    def __init__(
        self,
        market: MirrorMarket,
        engine: MatchingEngine,
        *,
        faults: Faults,
        slippage: Decimal = Decimal(0),
        events: EventOrder = "first",
        seed: int = 0,
        symbols: Sequence[str] = (),
    ) -> None:
        self.mirror = market
        self.source = market.source
        self.stream = VenueStream(
            market.requests,
            sink=self._receive,
            drained=self._drained,
            opened=self._opened,
            lost=self._lost,
        )
        self.reason = "It is not connected yet."
        self.counters = dict.fromkeys(
            ("staleness", "gaps", "missed_trades", "missed_candles", "resyncs"), 0
        )
        self._synced = False
        self._heard = 0.0
        # After a silence a new connection proves nothing before something is heard on it.
        self._muted = False
        self._following = asyncio.Event()
        self._followed: dict[str, MirrorFeed] = {}
        self._sinks: dict[bytes, tuple[str, Callable[[bytes], None] | None]] = {}
        self._waiting: dict[MirrorFeed, None] = {}
        self._wake, self._seen = asyncio.Event(), asyncio.Event()
        self._closed_at: dict[str, int] = {}
        self._resync: asyncio.Task[None] | None = None
        self._symbols = symbols
        super().__init__(
            market,
            engine,
            start=market.now,
            pace=MarketPace(1.0),
            faults=faults,
            slippage=slippage,
            events=events,
            seed=seed,
        )
        self.market_time = market.now
        faults.offset = market.requests.offset

    # -- what differs from a market of its own

    def _new_broadcast(self) -> Broadcast:
        self._mirrored = MirrorBroadcast(self.stream.want, self.stream.drop, self.faults)
        return self._mirrored

    def _new_feed(self, listing: SymbolListing) -> Feed:
        entry = self.mirror.entries[listing.id]
        return MirrorFeed(
            self.market,
            listing,
            entry=lambda: self.mirror.entries.get(listing.id, entry),
            awake=lambda: not self.stale,
            walked=self.source.book,
            slippage=self.slippage,
        )

    def _check_room(self, symbol: str) -> None:
        """Do nothing: the venue says what is listed."""

    @property
    def is_wall_time(self) -> bool:
        """Whether market time is the venue's clock, as at a real venue."""
        return abs(self.faults.server_time() - self.market_time) <= _PRESENT

    def event_time(self) -> int:
        """Return the time (ms) of an event that happens now: the venue's clock, if that is live."""
        time = self.faults.server_time() if self.is_wall_time else self.market_time
        self._last_event = max(self._last_event, self.market_time, time)
        return self._last_event

    @property
    def stale(self) -> bool:
        """Whether the mirror does not know what happens at the venue."""
        if self.paused or not self._synced:
            return True
        return self._muted or self._silent() > self.source.stale_after

    def _silent(self) -> float:
        """Return for how many seconds the venue's time has not moved, on this connection."""
        now = asyncio.get_running_loop().time()
        return now - max(self._heard, self.stream.dialled)

    def details(self) -> dict[str, object]:
        """Return the state of the mirror, for the control API."""
        return {
            "title": TITLE,
            "mirror": {
                "venue": self.source.venue,
                "upstream": self.source.upstream or self.source.rest,
                "stale": self.stale,
                "reason": self._reason(),
                "connected": self.stream.connected,
                "silent": round(self._silent(), 3),
                "connections": self.stream.dials,
                "frames": self.stream.frames,
                "malformed": self.stream.malformed,
                "streams": self.stream.wanted,
                "refused_streams": self.stream.refused,
                "followed": sorted(self._followed),
                "requests": self.mirror.requests.sent,
                "weight": self.mirror.requests.used,
                "clock_offset": self.mirror.requests.offset,
                **self.counters,
            },
        }

    async def prepared(self) -> None:
        """Wait until the venue is followed, `_PATIENCE` seconds at most."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._following.wait()
        except TimeoutError:
            logger.warning("%s is not followed yet: %s", self.source.venue, self.reason)

    def _reason(self) -> str:
        """Return why the mirror is stale, empty if it is not."""
        if not self.stale:
            return ""
        if self._synced and not self.paused and not self._muted:
            return f"Nothing was heard for {self._silent():.1f} s."
        return self.reason

    async def catch_up(self, feed: Feed) -> None:
        """Follow a symbol, and wait until its price and its book are known."""
        assert isinstance(feed, MirrorFeed)
        if feed.id not in self._followed:
            self._follow(feed)
            if self._synced:
                try:
                    await self._fetch(feed)
                except (UpstreamLost, Refusal) as error:
                    logger.warning("%s cannot be followed yet: %s", feed.id, error)
        try:
            async with asyncio.timeout(_PATIENCE):
                while not feed.known and self.stream.connected:
                    self._seen.clear()
                    await self._seen.wait()
        except TimeoutError:
            return

    def _follow(self, feed: MirrorFeed) -> None:
        self._followed[feed.id] = feed
        for kind, sink in zip(
            FOLLOWED,
            (lambda raw: self._trade(feed, raw), feed.mirror_book.show, feed.show_average),
            strict=True,
        ):
            name = f"{feed.id.lower()}@{kind}"
            self.stream.want(name)
            self._sinks[name.encode()] = (name, sink)

    # -- frames

    def _receive(self, name: bytes, payload: bytes) -> None:
        known = self._sinks.get(name)
        if known is None:
            text = name.decode(errors="replace")
            known = (text, self._candle_sink(text) if KLINE in text else None)
            if len(self._sinks) > 10_000:
                self._sinks = {
                    one: sink for one, sink in self._sinks.items() if sink[1] is not None
                }
            self._sinks[name] = known
        stream, sink = known
        at = payload.find(_EVENT, 0, 48)
        if at >= 0:
            time = payload[at + 4 : at + 17]
            if time.isdigit() and (now := int(time)) > self.market_time:
                self.market_time = self.mirror.now = now
                self._heard = asyncio.get_running_loop().time()
                self._muted = False
        if sink is not None:
            sink(payload)
        if stream in self.streams:
            self._mirrored.forward(stream, payload)

    def _drained(self) -> None:
        self.streams.push()
        self._seen.set()
        self._stepped.set()

    def _trade(self, feed: MirrorFeed, payload: bytes) -> None:
        if not feed.resting and not feed.trades and self._synced:
            feed.show_trade(payload)
            return
        if len(feed.trades) >= QUEUED:
            self.counters["gaps"] += 1
            return
        feed.trades.append(payload)
        self._waiting[feed] = None
        self._wake.set()

    def _candle_sink(self, stream: str) -> Callable[[bytes], None] | None:
        symbol, _, name = stream.partition(KLINE)
        kind = interval(name)
        if kind is None or "@" in name:
            return None
        known = kind

        def note(payload: bytes) -> None:
            if CLOSED not in payload:
                return
            row = kline_row(payload)
            opened = int(str(row[0]))
            before = self._closed_at.get(stream)
            whole = before is not None and known.next(before) == opened
            if before is not None and not whole and opened > before:
                self.counters["gaps"] += 1
                logger.warning("%s: candles between %d and %d were missed.", stream, before, opened)
            self._closed_at[stream] = max(opened, before or 0)
            self.mirror.history.put(symbol.upper(), known, [row], opened, opened)

        return note

    # -- the state of the connection

    def _opened(self) -> None:
        self._resync = asyncio.create_task(self._synchronize())

    def _lost(self, reason: str) -> None:
        if self._resync is not None:
            self._resync.cancel()
            self._resync = None
        if self._synced or self.reason != reason:
            logger.warning("The mirror of %s is stale: %s", self.source.venue, reason)
        if self._synced:
            self.counters["staleness"] += 1
        self._synced, self.reason = False, reason
        for feed in self._followed.values():
            feed.mirror_book.forget()

    async def _synchronize(self) -> None:
        """Fetch what was missed, and let orders be filled again."""
        backoff = Backoff(1.0, 30.0)
        while True:
            try:
                for feed in tuple(self._followed.values()):
                    await self._fetch(feed)
                for stream in self._mirrored.klines():
                    await self._fetch_candles(stream)
                break
            except (UpstreamLost, Refusal) as error:
                self.reason = str(error)
                logger.warning("The mirror cannot fetch what it missed: %s", self.reason)
                await backoff.wait()
        self.counters["resyncs"] += 1
        self._synced = True
        self._following.set()
        self._waiting.update(dict.fromkeys(self._followed.values()))
        logger.info("The mirror follows %s.", self.source.venue)
        self._wake.set()

    async def _fetch(self, feed: MirrorFeed) -> None:
        """Fetch a symbol's book, average price and the trades since the last one that is known."""
        requests, number = self.mirror.requests, feed.trade_id
        missed: list[dict[str, Any]] = []
        if number and feed.resting:
            while True:
                page = await requests.json(
                    "aggTrades", symbol=feed.id, fromId=number + 1, limit=_PAGE
                )
                missed += page
                if len(page) < _PAGE:
                    break
                number = int(page[-1]["a"])
            self.counters["missed_trades"] += len(missed)
        else:
            missed = await requests.json("aggTrades", symbol=feed.id, limit=1)
        # The book may have been sent meanwhile.
        book = await requests.get("depth", {"symbol": feed.id, "limit": str(LEVELS)})
        if not feed.mirror_book.known:
            feed.mirror_book.show(book)
        feed.show_average(await requests.get("avgPrice", {"symbol": feed.id}))
        if feed.resting:
            # They come before those that the new connection has sent meanwhile.
            feed.trades.extendleft(orjson.dumps(one) for one in reversed(missed))
        else:
            for one in missed:
                feed.apply(one)
        self._seen.set()

    async def _fetch_candles(self, stream: str) -> None:
        """Fetch the candles of a stream that closed while nothing was heard."""
        symbol, _, name = stream.partition(KLINE)
        kind, since = interval(name), self._closed_at.get(stream)
        if kind is None or since is None or "@" in name:
            return
        feed_id = symbol.upper()
        while True:
            start = kind.next(since)
            rows = await self.mirror.requests.json(
                "klines", symbol=feed_id, interval=kind.code, startTime=start, limit=_PAGE
            )
            now = self.market_time
            self.mirror.history.learn(feed_id, kind, rows, start=start, now=now)
            closed = [int(row[0]) for row in rows if int(row[6]) < now]
            if closed:
                self.counters["missed_candles"] += len(closed)
                self._closed_at[stream] = since = max(closed[-1], self._closed_at[stream])
            if len(closed) < _PAGE:
                return

    # -- matching

    async def _match(self, feed: MirrorFeed) -> None:
        """Match the waiting trades of a symbol with the accounts' orders, in their order."""
        while feed.trades:
            payload = feed.trades.popleft()
            trade: dict[str, Any] = orjson.loads(payload)
            if not feed.apply(trade):
                continue
            if feed.resting and feed.rules.status == "TRADING" and not self.paused:
                self.event_time()
                await self._settle(feed)

    # -- running

    async def run(self) -> None:
        """Follow the venue until cancelled."""
        self.broadcast.streams.waits_for_clients = False
        for symbol in dict.fromkeys([*self._symbols, *self.engine.state.open_by_symbol]):
            self._start_following(symbol)
        if not self._followed:
            # Something must be heard, or silence would tell nothing.
            first = next(iter(self.mirror.entries), "")
            self.stream.want(f"{first.lower()}@kline_1m")
        async with asyncio.TaskGroup() as group:
            group.create_task(self.stream.run())
            group.create_task(self._run_matching())
            group.create_task(self._watch_silence())
            group.create_task(self._renew())

    def _start_following(self, symbol: str) -> None:
        try:
            feed = self.feed(symbol)
        except UnknownSymbol as error:
            logger.warning("%s", error)
            return
        assert isinstance(feed, MirrorFeed)
        if feed.id not in self._followed:
            self._follow(feed)

    async def _run_matching(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.users.send_late()
            while self._waiting and self._synced:
                feed = next(iter(self._waiting))
                del self._waiting[feed]
                await self._match(feed)
                self.faults.time_changed()

    async def _watch_silence(self) -> None:
        """Dial again if the venue is silent although the connection stands."""
        while True:
            await asyncio.sleep(min(1.0, self.source.stale_after / 4))
            self.users.send_late()
            silent = self._silent()
            if self.stream.connected and silent > self.source.stale_after and not self.paused:
                self._muted = True
                self._lost(f"Nothing was heard for {silent:.1f} s.")
                await self.stream.cut()

    async def _renew(self) -> None:
        """Read from time to time what the venue lists, and its clock."""
        while True:
            await asyncio.sleep(_LISTINGS_INTERVAL)
            try:
                await self.mirror.requests.read_clock()
                await self.mirror.read_listings()
            except (UpstreamLost, Refusal) as error:
                logger.warning("What %s lists cannot be read: %s", self.source.venue, error)
            self.faults.offset = self.mirror.requests.offset

    def pause(self) -> None:
        """Fill nothing, as in a halt, until `resume`."""
        super().pause()
        self.reason = "It was paused."
