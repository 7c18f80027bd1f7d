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
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

import orjson

from botlib.core.errors import UnknownSymbol
from botlib.core.retry import Backoff
from botlib.paper.faults import Faults
from botlib.paper.market.feed import Feed
from botlib.paper.market.market import SymbolListing
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.mirror.book import LEVELS
from botlib.paper.mirror.candles import KLINE, CandleKeeper
from botlib.paper.mirror.feed import QUEUED, MirrorFeed
from botlib.paper.mirror.hearing import Hearing
from botlib.paper.mirror.market import MirrorMarket
from botlib.paper.mirror.requests import UNREADABLE, UpstreamLost
from botlib.paper.mirror.stream import VenueStream
from botlib.paper.options import EventOrder
from botlib.paper.protocol.mirror_state import MirrorState
from botlib.paper.protocol.refusals import Refusal
from botlib.paper.streams.broadcast import Broadcast
from botlib.paper.streams.mirror_broadcast import MirrorBroadcast
from botlib.paper.venue import Venue

logger = logging.getLogger(__name__)

FOLLOWED: Final = ("aggTrade", "depth20@100ms", "avgPrice")
"""The streams of a symbol with which orders are matched."""
TITLE: Final = "MIRROR: real prices, play money"

_PATIENCE: Final = 5.0
"""Seconds for which an order waits until its symbol is followed."""
_PRESENT: Final = 60_000
"""Distance (ms) of market time from the venue's clock up to which both are one time."""
_ENTRIES_INTERVAL: Final = 60.0
"""Seconds between two requests for the status of the followed symbols, and for the clock."""
_LISTINGS_INTERVAL: Final = 3_600.0
"""Seconds between two requests for everything that the venue lists."""
_ENTRIES: Final = 100
"""Most symbols of one such request."""
_INVALID_SYMBOL: Final = -1121
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
        self.hearing = Hearing(self.source, self.stream)
        self._candles = CandleKeeper(market, self.hearing)
        self._following = asyncio.Event()
        self._followed: dict[str, MirrorFeed] = {}
        self._sinks: dict[bytes, tuple[str, Callable[[bytes], None] | None]] = {}
        self._waiting: dict[MirrorFeed, None] = {}
        self._wake, self._seen = asyncio.Event(), asyncio.Event()
        self._group: asyncio.TaskGroup
        """The tasks of the mirror while it runs."""
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
        last = self.mirror.entries[listing.id]
        return MirrorFeed(
            self.market,
            listing,
            # One that the venue does not list any more cannot trade.
            entry=lambda: self.mirror.entries.get(listing.id) or {**last, "status": "BREAK"},
            awake=lambda: not self.stale,
            walked=self.source.book,
            slippage=self.slippage,
            unreadable=self.stream.unreadable,
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
        """Whether the mirror does not know what happens at the venue, or was paused."""
        return self.paused or self.hearing.stale

    def mirror_state(self) -> MirrorState:
        """Return how well the venue is followed."""
        hearing, stream, requests = self.hearing, self.stream, self.mirror.requests
        losses = hearing.losses
        return MirrorState(
            venue=self.source.venue,
            upstream=self.source.rest,
            stale=self.stale,
            reason="It was paused." if self.paused else hearing.reason,
            connected=stream.connected,
            silent=round(hearing.silent(), 3),
            connections=stream.dials,
            frames=stream.frames,
            malformed=stream.malformed,
            streams=stream.wanted,
            refused_streams=stream.refused,
            followed=tuple(sorted(self._followed)),
            requests=requests.sent,
            weight=requests.used,
            clock_offset=requests.offset,
            staleness=losses.staleness,
            gaps=losses.gaps,
            missed_trades=losses.missed_trades,
            missed_candles=losses.missed_candles,
            resyncs=hearing.resyncs,
        )

    def details(self) -> dict[str, object]:
        """Return the state of the mirror, for the control API."""
        return {"title": TITLE, "mirror": asdict(self.mirror_state())}

    async def prepared(self) -> None:
        """Wait until the venue is followed, `_PATIENCE` seconds at most."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._following.wait()
        except TimeoutError:
            logger.warning("%s is not followed yet: %s", self.source.venue, self.hearing.reason)

    async def catch_up(self, feed: Feed) -> None:
        """Follow a symbol, and wait until its price and its book are known."""
        assert isinstance(feed, MirrorFeed)
        if feed.id not in self._followed:
            self._follow(feed)
            if self.hearing.synced:
                try:
                    await self._fetch(feed)
                except (UpstreamLost, Refusal, *UNREADABLE) as error:
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
            known = (text, self._candles.sink(text) if KLINE in text else None)
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
                self.hearing.hear()
        if sink is not None:
            sink(payload)
        if stream in self.streams:
            self._mirrored.forward(stream, payload)

    def _drained(self) -> None:
        self.streams.push()
        self._seen.set()
        self._stepped.set()

    def _trade(self, feed: MirrorFeed, payload: bytes) -> None:
        if not feed.resting and not feed.trades and self.hearing.synced:
            feed.show_trade(payload)
            return
        if len(feed.trades) >= QUEUED:
            if not feed.overflowing:
                self.hearing.losses.gaps += 1
                logger.warning("%s trades faster than it is matched: trades are lost.", feed.id)
            feed.overflowing = True
            return
        feed.overflowing = False
        feed.trades.append(payload)
        self._waiting[feed] = None
        self._wake.set()

    # -- the state of the connection

    def _opened(self) -> None:
        # An error in it ends the mirror, as one in any other of its tasks does.
        self._resync = self._group.create_task(self._synchronize())

    def _lost(self, reason: str) -> None:
        if self._resync is not None:
            self._resync.cancel()
            self._resync = None
        self.hearing.lose(reason)
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
                    await self._candles.fetch_missed(stream)
                break
            except (UpstreamLost, Refusal, *UNREADABLE) as error:
                self.hearing.lose(f"What was missed cannot be fetched: {error}")
                await backoff.wait()
        self.hearing.follow()
        self._following.set()
        self._waiting.update(dict.fromkeys(self._followed.values()))
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
            self.hearing.losses.missed_trades += len(missed)
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
                feed.apply(orjson.dumps(one))
        self._seen.set()

    # -- matching

    async def _match(self, feed: MirrorFeed) -> None:
        """Match the waiting trades of a symbol with the accounts' orders, in their order."""
        while feed.trades:
            if not feed.apply(feed.trades.popleft()):
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
            self._group = group
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
            while self._waiting and self.hearing.synced:
                feed = next(iter(self._waiting))
                del self._waiting[feed]
                await self._match(feed)
                self.faults.time_changed()

    async def _watch_silence(self) -> None:
        """Dial again if the venue is silent although the connection stands."""
        while True:
            await asyncio.sleep(min(1.0, self.source.stale_after / 4))
            self.users.send_late()
            silence = None if self.paused else self.hearing.mute()
            if silence is not None:
                self._lost(silence)
                await self.stream.cut(silence)

    async def _renew(self) -> None:
        """Read from time to time what the venue lists, and its clock."""
        all_read = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(_ENTRIES_INTERVAL)
            now = asyncio.get_running_loop().time()
            whole = now - all_read >= _LISTINGS_INTERVAL
            try:
                await self.mirror.requests.read_clock()
                whole = not await self._read_followed() or whole
                if whole:
                    await self.mirror.read_listings()
                    all_read = now
            except (UpstreamLost, Refusal) as error:
                logger.warning("What %s lists cannot be read: %s", self.source.venue, error)
                continue
            self.faults.offset = self.mirror.requests.offset
            for feed in self._followed.values():
                self._adopt_rules(feed)

    async def _read_followed(self) -> bool:
        """Read the entries of the followed symbols again; return whether all are still listed."""
        names = sorted(self._followed)
        for first in range(0, len(names), _ENTRIES):
            try:
                await self.mirror.read_listings(names[first : first + _ENTRIES])
            except Refusal as refused:
                if refused.code == _INVALID_SYMBOL:
                    return False
                raise
        return True

    def _adopt_rules(self, feed: MirrorFeed) -> None:
        listing = self.mirror.find(feed.id)
        if listing is None or listing == feed.listing:
            return
        logger.warning("The rules of %s have changed at %s.", feed.id, self.source.venue)
        feed.listing = listing
        self.change(feed, self.engine.state.symbol(feed.id))
