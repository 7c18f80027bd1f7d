"""The running market: its time, and the events of each step.

Market time moves in steps along the prices inside a base candle. At a boundary, when base candles
open, all closing frames are sent first (the base timeframe before higher ones), with the new price
already in force; then the opening frames. So a client that acts on a closing frame trades at the
next open. In a halt a symbol has no candles, and its last candle closes when trading resumes.

In lockstep the market stops at every boundary until `Venue.advance` releases it. Without lockstep,
a market that runs as fast as it can stops while no stream has a subscriber.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final

from botlib.core.errors import PaperExchangeError, UnknownSymbol
from botlib.core.timeframe import open_time, timeframe_ms
from botlib.paper.accounts.signatures import wall_time
from botlib.paper.accounts.transaction import UserEvent
from botlib.paper.faults import Faults
from botlib.paper.market.depth import Depth
from botlib.paper.market.feed import Bar, Feed
from botlib.paper.market.halts import HaltedMarket, SymbolState
from botlib.paper.market.intervals import KlineInterval, interval
from botlib.paper.market.market import PaperMarket, SymbolListing
from botlib.paper.market.market_clock import MarketPace, MarketTimer
from botlib.paper.market.rules import amended, rules_of
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.options import EventOrder
from botlib.paper.protocol.closings import Advance, ClosedCandle
from botlib.paper.streams.broadcast import Broadcast
from botlib.paper.streams.lockstep import MarketLockstep
from botlib.paper.streams.user_streams import UserStreams

logger = logging.getLogger(__name__)

MAX_SYMBOLS: Final = 1_000
"""Most symbols of a venue, since a synthetic market would list any number of them."""

_FEEDS: Final = 50
"""Feeds that move to a new price in one go, before other tasks may run."""

_PATIENCE: Final = 0.2
"""Seconds for which a request waits for a step of the market that is late."""


class Venue:
    """The market at the present, with its feeds, streams and orders.

    Args:
        market: source of the candles.
        engine: matches orders, at every price.
        start: first market time in ms; rounded down to a price, in lockstep to a candle's open.
        pace: speed of market time.
        faults: the faults that are ordered.
        slippage: fraction by which market orders fill worse than the price.
        depth: the synthetic orders around the price; None for a market that fills any amount.
        events: whether the events of a request are sent before its answer, after it, or either.
        seed: seed of that choice, if it is ``either``.
    """

    def __init__(
        self,
        market: PaperMarket,
        engine: MatchingEngine,
        *,
        start: int,
        pace: MarketPace,
        faults: Faults,
        slippage: Decimal = Decimal(0),
        depth: Depth | None = None,
        events: EventOrder = "first",
        seed: int = 0,
    ) -> None:
        self.market = HaltedMarket(market, lambda symbol: engine.state.symbol(symbol).halts)
        self.engine = engine
        self.pace = pace
        self.slippage = slippage
        self.depth = depth
        self.length = timeframe_ms(market.base)
        self.steps = pace.steps(self.length)
        step = self.length if pace.lockstep else self.length // self.steps
        self.market_time = start - (start - open_time(start, market.base)) % step
        self.ended = False
        self.paused = False
        self.faults = faults
        # A market that waits for its clients waits for nothing else.
        timed = pace.speed is not None and not pace.lockstep
        self.users = UserStreams(faults, order=events, seed=seed, wait=timed)
        self.broadcast = self._new_broadcast()
        self.streams = self.broadcast.streams
        self.streams.waits_for_clients = pace.speed is None
        self.streams.batches = pace.speed is None and not pace.lockstep
        self._released = asyncio.Event()
        self.lockstep = MarketLockstep(self._released.set, kept=pace.lockstep)
        self._keeps_wall_time = (
            pace.speed == 1
            and not pace.lockstep
            and abs(wall_time() - self.market_time) <= self.length
        )
        self._timer = MarketTimer(pace, self.length, wall_time if self._keeps_wall_time else None)
        self._last_event = 0
        self._stepped = asyncio.Event()
        self._feeds: dict[str, Feed] = {}
        self._active: dict[str, Feed] = {}
        self._watched: dict[str, set[str]] = {}

    def event_time(self) -> int:
        """Return the time (ms) of an event that happens now, never before that of an earlier one.

        It is the wall time if market time is the wall time: then no event of a request is older
        than the request. Otherwise it is the market time.
        """
        time = wall_time() if self.is_wall_time else self.market_time
        self._last_event = max(self._last_event, self.market_time, time)
        return self._last_event

    @property
    def is_wall_time(self) -> bool:
        """Whether market time is the wall time: at speed 1, unless it was paused or starts late."""
        late = wall_time() - self.market_time
        return self._keeps_wall_time and not self.paused and 0 <= late <= self.length

    @asynccontextmanager
    async def turn(self, feed: Feed | None = None) -> AsyncIterator[int]:
        """Wait until no other change is under way, and yield the time (ms) of the next one.

        Args:
            feed: the symbol that is changed, which is moved to the present.
        """
        async with self.engine.turn:
            if feed is not None:
                feed.seek(self.market_time)
            yield self.event_time()

    async def prepared(self) -> None:
        """Wait until orders can be placed, which they can be at once."""

    def details(self) -> dict[str, object]:
        """Return what the state of the control API adds about this kind of market."""
        return {}

    async def catch_up(self, feed: Feed) -> None:
        """Wait for a step of the market that is due already, `_PATIENCE` seconds at most.

        Args:
            feed: the symbol that needs it.
        """
        step = self.length // self.steps
        try:
            async with asyncio.timeout(_PATIENCE):
                while self.is_wall_time and not self.ended:
                    if wall_time() < self.market_time + step:
                        return
                    self._stepped.clear()
                    await self._stepped.wait()
        except TimeoutError:
            return

    # -- symbols

    def feed(self, symbol: str) -> Feed:
        """Return the feed of a symbol or id at the present.

        Raises:
            UnknownSymbol: the market does not trade it.
        """
        feed = self._feeds.get(symbol)
        if feed is None:
            self._check_room(symbol)
            listing = self.market.listing(symbol)
            state = self.engine.state.symbol(listing.id)
            if state.delisted:
                raise UnknownSymbol(f"{symbol} is no longer traded: it was delisted.")
            feed = self._feeds.get(listing.id)
        if feed is None:
            feed = self._new_feed(listing)
            feed.rules = replace(amended(feed.rules, state.rules), status=state.status)
            feed.book.displayed_orders = partial(self.engine.displayed_orders, feed.id)
            feed.resting = self.engine.open_count(listing.id)
            for deal in self.engine.account_trades(listing.id):
                feed.tape.add(deal)
            feed.tape.unpublished()
            feed.seek(self.market_time)
            self._feeds[listing.id] = feed
            self._refresh(feed)
        feed.seek(self.market_time)
        return feed

    def _new_broadcast(self) -> Broadcast:
        return Broadcast(self.feed, self._listeners_changed, self.faults)

    def _new_feed(self, listing: SymbolListing) -> Feed:
        return Feed(self.market, listing, self.steps, depth=self.depth, slippage=self.slippage)

    def _check_room(self, symbol: str) -> None:
        listed = self.market.listings()
        if len(listed) >= MAX_SYMBOLS and all(symbol not in (one.id, one.symbol) for one in listed):
            raise UnknownSymbol(
                f"{symbol!r} is not listed: {len(listed)} symbols are. "
                "Start another exchange to trade it."
            )

    def listings(self) -> list[SymbolListing]:
        """Return what is listed."""
        known = self.engine.state.symbols
        return [
            one
            for one in self.market.listings()
            if one.id not in known or not known[one.id].delisted
        ]

    def change(self, feed: Feed, state: SymbolState) -> None:
        """Apply a change that the operator made to a symbol, now and after a restart."""
        self.engine.change_symbol(state, self.event_time())
        feed.rules = replace(amended(rules_of(feed.listing), state.rules), status=state.status)
        feed.reload()

    def delist(self, feed: Feed) -> None:
        """Remove a symbol for ever; its orders have ended before."""
        for known in (self._feeds, self._active, self._watched):
            known.pop(feed.id, None)

    def bnb_price(self, asset: str) -> Decimal | None:
        """Return the price of a BNB in an asset, None if the pair is not listed."""
        symbol = f"BNB/{asset}"
        if all(listing.symbol != symbol for listing in self.listings()):
            return None
        return self.feed(symbol).last_price or None

    def _refresh(self, feed: Feed) -> None:
        if not (feed.outputs or feed.resting or feed.id in self._watched):
            self._active.pop(feed.id, None)
        elif feed.id not in self._active:
            # A candle that ended before there was a subscriber is not sent.
            feed.closing_sent = feed.over
            self._active[feed.id] = feed

    def _listeners_changed(self, feed: Feed) -> None:
        self._refresh(feed)
        self._released.set()

    def orders_changed(self, feed: Feed) -> None:
        """Update a feed after orders were added to its book or removed from it."""
        feed.resting = self.engine.open_count(feed.id)
        self._refresh(feed)

    # -- time

    async def run(self) -> None:
        """Run the market until it ends or the task is cancelled."""
        while not self.ended:
            await self._wait_until_released()
            target = self._next_time()
            if target is None:
                # The last candles close, and no new ones open.
                target = open_time(self.market_time, self.market.base) + self.length
                await self._timer.wait(self.market_time, target)
                self.ended = True
            else:
                await self._timer.wait(self.market_time, target)
            await self._step(target)
            # A market that runs as fast as it can lets requests be served between steps.
            await asyncio.sleep(0)
        await self.streams.flush()

    def pause(self) -> None:
        """Stop the market at its present time."""
        self.paused = True

    def resume(self) -> None:
        """Run a paused market again."""
        self.paused = False
        self._released.set()

    def _held(self) -> bool:
        if self.paused:
            return True
        if self.pace.lockstep:
            at_boundary = open_time(self.market_time, self.market.base) == self.market_time
            return at_boundary and not self.lockstep.running
        return self.pace.speed is None and not self.streams.has_listeners

    async def _wait_until_released(self) -> None:
        while self._held():
            self._released.clear()
            self._timer.reset()
            await self.streams.flush()
            await self._released.wait()

    def _next_time(self) -> int | None:
        within = self.market_time + self.length // self.steps
        boundary = open_time(self.market_time, self.market.base) + self.length
        if within < boundary:
            trading = any(feed.trading for feed in self._active.values())
            if trading or self.pace.speed is not None:
                return within
        resumes = self._next_open(boundary)
        return boundary if resumes is not None and self.pace.waits_through_halts else resumes

    def _next_open(self, after: int) -> int | None:
        soonest: int | None = None
        for listing in self.market.listings():
            opens = self.market.next_open(listing.symbol, after)
            if opens == after:
                return after
            if opens is not None and (soonest is None or opens < soonest):
                soonest = opens
        return soonest

    # -- one step

    async def _step(self, time: int) -> None:
        self.users.send_late()
        async with self.engine.turn:
            moved = [(feed, feed.bar) for feed in self._active.values()]
            self.market_time = time
            if self.faults.time_changed():
                # A fault that is due at this time strikes before any frame of it is sent.
                await asyncio.sleep(0)
            for number, (feed, _) in enumerate(moved, 1):
                feed.seek(time)
                if number % _FEEDS == 0:
                    await asyncio.sleep(0)
        boundary = open_time(time, self.market.base) == time
        closed = self._closings(moved) if boundary else []
        await self.broadcast.close(closed)
        trading = [feed for feed, _ in moved if feed.trading]
        for feed in trading:
            if feed.resting:
                await self._settle(feed)
        await self.broadcast.publish(trading, lambda: [one.id for one in self.listings()])
        for feed in trading:
            await self.broadcast.account_trades(feed)
        self._stepped.set()
        if boundary:
            await self.broadcast.late(closed)
            candles = [candle for _, candle in closed]
            self.lockstep.boundary(time, candles, ended=self.ended)

    async def _settle(self, feed: Feed) -> None:
        try:
            async with self.engine.turn:
                self._last_event = max(self._last_event, self.market_time)
                user_events = await self.engine.match(feed, self._last_event)
            await self.engine.durable()
        except PaperExchangeError as error:
            # Nothing was filled: the orders stay in the book until the next price.
            logger.error("No order of %s was filled: %s", feed.id, error)
            return
        if user_events:
            self.orders_changed(feed)
            await self.send_user_events(user_events)

    async def send_user_events(self, user_events: Iterable[UserEvent]) -> None:
        """Send user events to the subscribers of their accounts."""
        for account, event in user_events:
            self.users.publish([event], account)

    def answer(self, user_events: Iterable[UserEvent]) -> None:
        """Send the user events of a request before its answer or shortly after it."""
        self.users.send_with_answer(user_events, self.engine.state.counters.execution)

    def _closings(
        self, moved: Iterable[tuple[Feed, Bar | None]]
    ) -> list[tuple[Feed, ClosedCandle]]:
        found = [
            (kind.length, feed, ClosedCandle(feed.id, kind.name, timestamp))
            for feed, before in moved
            if before is not None
            for kind, timestamp in self._closings_of(feed, before)
        ]
        found.sort(key=lambda one: one[0])
        return [(feed, candle) for _, feed, candle in found]

    def _closings_of(self, feed: Feed, before: Bar) -> list[tuple[KlineInterval, int]]:
        bar = feed.bar
        if bar is None:
            return []
        # A symbol's last candle closes although no other opens; a longer candle that contains it
        # and is not over by then never closes.
        last = not feed.closing_sent and feed.over
        if bar.timestamp == before.timestamp and not last:
            return []
        feed.closing_sent = feed.closing_sent or last
        wanted = self.broadcast.subscribed_intervals(feed) | self._watched.get(feed.id, set())
        kinds = [kind for kind in map(interval, sorted(wanted)) if kind is not None]
        opened = ((kind, kind.open(before.timestamp)) for kind in kinds)
        return [
            (kind, timestamp)
            for kind, timestamp in opened
            if (
                kind.next(timestamp) <= self.market_time
                if last
                else kind.open(bar.timestamp) != timestamp
            )
        ]

    # -- lockstep

    async def advance(self, streams: Sequence[str], acknowledged: int, timeout: float) -> Advance:
        """Run a market in lockstep until a candle of one of ``streams`` has closed.

        Candles that have closed after ``acknowledged`` already are returned at once, so a call
        whose answer was lost can be repeated.

        Args:
            streams: kline streams, such as ``btcusdt@kline_1m``.
            acknowledged: market time (ms) up to which the client has handled all closed candles:
                that of the last answer.
            timeout: seconds after which the answer comes without a closed candle.

        Raises:
            PaperExchangeError: the market is not in lockstep, a stream is unknown, or the
                acknowledgement lies in the future.
        """
        if not self.pace.lockstep:
            raise PaperExchangeError(
                "The market does not wait for a client: it was not started with --lockstep."
            )
        if acknowledged > self.market_time:
            raise PaperExchangeError(
                f"Cannot acknowledge {acknowledged}: the market stands at {self.market_time}. "
                "Acknowledge the market_time of the last answer."
            )
        if not streams:
            raise PaperExchangeError(
                "Cannot advance without a stream. Name one, such as "
                f"btcusdt@kline_{self.market.base}."
            )
        self.users.send_late()
        for stream in streams:
            self._watch(stream)
        closed = await self.lockstep.advance(streams, acknowledged, timeout, lambda: self.ended)
        return Advance(self.market_time, closed, self.ended)

    def _watch(self, stream: str) -> None:
        found = self.broadcast.kline(stream)
        if found is None:
            raise PaperExchangeError(
                f"Cannot wait for {stream!r}: it is not a kline stream of this market. Accepted: "
                f"names such as btcusdt@kline_{self.market.base}."
            )
        feed, kind = found
        self._watched.setdefault(feed.id, set()).add(kind.name)
        self._refresh(feed)
