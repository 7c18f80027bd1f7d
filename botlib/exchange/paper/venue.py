"""The running market: its time, the step from price to price, and what is sent at each step.

Market time moves in steps along the prices inside a base candle. At a boundary, where base candles
open, every closing frame is sent first (the base timeframe before higher ones), with the new price
already in force; then the opening frames. So whoever acts on a closing frame acts at the next open.
In a halt, where a symbol has no candles, its last candle stays unclosed until trading resumes.

In lockstep the market holds at every boundary until `advance` releases it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from botlib.errors import PaperExchangeError, UnknownSymbol
from botlib.exchange.paper import quotes
from botlib.exchange.paper.faults import Faults
from botlib.exchange.paper.feed import Bar, Feed
from botlib.exchange.paper.market import MIN_STEPS, Listing, Market
from botlib.exchange.paper.matching import Desk
from botlib.exchange.paper.streams import MarketStreams
from botlib.exchange.paper.userstream import UserStreams
from botlib.timeframe import open_time, timeframe_ms

STEP: Final = 2_000
"""Shortest market time between two prices, in ms, as Binance's kline streams."""

_WALL_STEP: Final = 0.05
"""Shortest wall time between two prices, in seconds, where the market follows a speed."""

_REMEMBERED: Final = 10_000
"""Boundaries whose closings are kept for a client that asks again."""


class Closed(NamedTuple):
    """A candle that has closed."""

    symbol: str
    timeframe: str
    timestamp: int

    @property
    def stream(self) -> str:
        """The name of its kline stream."""
        return f"{self.symbol.lower()}@kline_{self.timeframe}"


class Progress(NamedTuple):
    """How far the market has come, and what closed on the way."""

    market_time: int
    closed: list[Closed]
    ended: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """How the market's time passes.

    ``speed`` is in market seconds per second, None for as fast as the clients keep up.
    """

    speed: float | None
    lockstep: bool = False

    def steps(self, length: int) -> int:
        """Return how many prices a base candle of ``length`` ms is walked in."""
        if self.lockstep or self.speed is None:
            return MIN_STEPS
        wall = length / 1_000 / self.speed
        most = max(MIN_STEPS, min(length // STEP, math.floor(wall / _WALL_STEP)))
        # Every step lasts the same whole number of ms.
        return next(n for n in range(most, 0, -1) if length % n == 0)


class Venue:
    """The market at its present time.

    Args:
        market: where candles come from.
        desk: matches orders; asked at every price.
        start: first market time, ms.
        pace: how time passes.
        slippage: fraction by which market orders fill worse than the price.
    """

    def __init__(
        self,
        market: Market,
        desk: Desk,
        *,
        start: int,
        pace: Pace,
        faults: Faults,
        slippage: Decimal = Decimal(0),
    ) -> None:
        self.market = market
        self.desk = desk
        self.pace = pace
        self.slippage = slippage
        self.length = timeframe_ms(market.base)
        self.steps = pace.steps(self.length)
        step = self.length if pace.lockstep else self.length // self.steps
        self.market_time = start - (start - open_time(start, market.base)) % step
        self.ended = False
        self.paused = False
        self.boundaries = 0
        self.users = UserStreams()
        self.streams = MarketStreams(
            faults, opened=self._opened, left=self._left, snapshot=self._snapshot
        )
        self.streams.patient = pace.speed is None
        self._timeframes = frozenset(market.timeframes())
        self._feeds: dict[str, Feed] = {}
        self._active: dict[str, Feed] = {}
        self._watched: dict[str, set[str]] = {}
        self._depths: dict[str, quotes.DepthDiff] = {}
        self._closings: deque[tuple[int, list[Closed]]] = deque(maxlen=_REMEMBERED)
        self._goal: frozenset[str] = frozenset()
        self._released = asyncio.Event()
        self._boundary = asyncio.Condition()
        self._advancing = asyncio.Lock()
        self._anchor: tuple[float, int] | None = None

    # -- symbols

    def feed(self, symbol: str) -> Feed:
        """Return the feed of a symbol or id, at the present.

        Raises:
            UnknownSymbol: the market does not trade it.
        """
        feed = self._feeds.get(symbol)
        if feed is None:
            listing = self.market.listing(symbol)
            feed = self._feeds.get(listing.id)
            if feed is None:
                feed = Feed(self.market, listing, self.steps)
                feed.resting = self.desk.resting(listing.id)
                feed.seek(self.market_time)
                self._feeds[listing.id] = feed
                self._refresh(feed)
        feed.seek(self.market_time)
        return feed

    def listings(self) -> list[Listing]:
        """Return what is traded."""
        return self.market.listings()

    def timeframe(self, name: str) -> bool:
        """Tell whether candles of a timeframe are offered."""
        return name in self._timeframes

    def _refresh(self, feed: Feed) -> None:
        if feed.outputs or feed.resting or feed.id in self._watched:
            if feed.id not in self._active:
                # What ended while nobody listened is not told any more.
                feed.concluded = feed.over
                self._active[feed.id] = feed
        else:
            self._active.pop(feed.id, None)

    def orders_changed(self, feed: Feed) -> None:
        """Note that orders of a symbol came to rest or left the book."""
        feed.resting = self.desk.resting(feed.id)
        self._refresh(feed)

    # -- streams

    def _opened(self, stream: str) -> None:
        parsed = self._parse(stream)
        if parsed is not None:
            feed, kind = parsed
            feed.outputs[kind] = stream
            self._refresh(feed)
        self._released.set()

    def _left(self, stream: str) -> None:
        parsed = self._parse(stream)
        if parsed is not None:
            feed, kind = parsed
            feed.outputs.pop(kind, None)
            self._depths.pop(stream, None)
            self._refresh(feed)

    def _parse(self, stream: str) -> tuple[Feed, str] | None:
        # Like Binance, an unknown stream is accepted and stays silent; names are lower case.
        name, _, kind = stream.partition("@")
        if not name or name.startswith("!") or name != name.lower():
            return None
        known = (
            kind.removeprefix("kline_") in self._timeframes
            if "kline" in kind
            else (kind.removesuffix("@100ms").rstrip("0125") == "depth" or kind in _SIMPLE)
        )
        if not known:
            return None
        try:
            return self.feed(name.upper()), kind
        except UnknownSymbol:
            return None

    def _snapshot(self, stream: str) -> object | None:
        parsed = self._parse(stream)
        if parsed is None or not parsed[1].startswith("kline_") or not parsed[0].trading:
            return None
        feed, kind = parsed
        timeframe = kind.removeprefix("kline_")
        bar = feed.forming(timeframe)
        return None if bar is None else quotes.kline_frame(feed, timeframe, bar, closed=False)

    # -- time

    async def run(self) -> None:
        """Move the market until it ends or the task is cancelled."""
        for feed in tuple(self._feeds.values()):
            feed.seek(self.market_time)
        while not self.ended:
            await self._permission()
            target = self._next_time()
            if target is None:
                await self._end()
                return
            await self._wait_for(target)
            await self._step(target)
            # A market that runs as fast as it can leaves room for requests.
            await asyncio.sleep(0)

    def pause(self) -> None:
        """Hold the market at its present time."""
        self.paused = True
        self._released.clear()

    def resume(self) -> None:
        """Let a paused market go on."""
        self.paused = False
        self._anchor = None
        self._released.set()

    def _held(self) -> bool:
        at_boundary = open_time(self.market_time, self.market.base) == self.market_time
        if self.pace.lockstep:
            return self.paused or (at_boundary and not self._goal)
        # As fast as the clients keep up: without one there is nobody to keep up with.
        return self.paused or (self.pace.speed is None and not self.streams.listened)

    async def _permission(self) -> None:
        while self._held():
            self._released.clear()
            self._anchor = None
            await self._released.wait()

    def _next_time(self) -> int | None:
        opened = open_time(self.market_time, self.market.base)
        step = self.length // self.steps
        within = self.market_time + step
        boundary = opened + self.length
        busy = any(feed.trading for feed in self._active.values())
        if within < boundary and (busy or self.pace.speed is not None):
            return within
        resumes = self._next_open(boundary)
        if resumes is None:
            return None
        return boundary if self._slow() else resumes

    def _slow(self) -> bool:
        # A market at the speed of the clock, or slower, sits its halts out.
        return self.pace.speed is not None and self.pace.speed <= 1 and not self.pace.lockstep

    def _next_open(self, after: int) -> int | None:
        soonest: int | None = None
        for listing in self.market.listings():
            opens = self.market.next_open(listing.symbol, after)
            if opens == after:
                return after
            if opens is not None and (soonest is None or opens < soonest):
                soonest = opens
        return soonest

    async def _wait_for(self, target: int) -> None:
        if self.pace.speed is None:
            return
        now = asyncio.get_running_loop().time()
        if self._anchor is None or target - self.market_time > self.length:
            # Time jumps over a halt: the next candle is due one step from now.
            step = self.length // self.steps
            self._anchor = (now, max(self.market_time, target - step))
        wall, market = self._anchor
        due = wall + (target - market) / 1_000 / self.pace.speed
        if due > now:
            await asyncio.sleep(due - now)

    # -- one step

    async def _step(self, time: int) -> None:
        boundary = open_time(time, self.market.base) == time
        self.market_time = time
        moved: list[tuple[Feed, Bar | None]] = []
        for feed in tuple(self._active.values()):
            before = feed.bar
            feed.seek(time)
            moved.append((feed, before))
        closed: list[Closed] = []
        if boundary:
            closed = await self._close(moved)
        for feed, _ in moved:
            if feed.resting and feed.trading:
                await self.settle(feed)
        await self._publish([feed for feed, _ in moved if feed.trading])
        if boundary:
            for candle in closed:
                await self.streams.publish_late(candle.stream)
            await self._reached(time, closed)

    async def settle(self, feed: Feed) -> None:
        """Fill the resting orders that the present price reaches, and report the fills."""
        events = self.desk.cross(feed, self.market_time)
        if events:
            self.orders_changed(feed)
            await self.users.publish(events)

    async def _close(self, moved: Iterable[tuple[Feed, Bar | None]]) -> list[Closed]:
        closed = [
            (timeframe_ms(timeframe), number, feed, Closed(feed.id, timeframe, timestamp))
            for number, (feed, before) in enumerate(moved)
            if before is not None
            for timeframe, timestamp in self._closings_of(feed, before)
        ]
        closed.sort(key=lambda one: one[:2])
        for _, _, feed, candle in closed:
            if candle.stream not in self.streams:
                continue
            bar = feed.whole(candle.timeframe, candle.timestamp)
            if bar is not None:
                frame = quotes.kline_frame(feed, candle.timeframe, bar, closed=True)
                await self.streams.publish_kline(candle.stream, frame, closing=True)
        return [candle for _, _, _, candle in closed]

    def _closings_of(self, feed: Feed, before: Bar) -> list[tuple[str, int]]:
        bar = feed.bar
        if bar is None:
            return []
        # A symbol's last candle closes although nothing will open after it.
        last = not feed.concluded and feed.over
        if bar.timestamp == before.timestamp and not last:
            return []
        feed.concluded = last
        wanted = {kind.removeprefix("kline_") for kind in feed.outputs if kind.startswith("kline_")}
        wanted |= self._watched.get(feed.id, set())
        return [
            (timeframe, timestamp)
            for timeframe in wanted
            for timestamp in (open_time(before.timestamp, timeframe),)
            if last or open_time(bar.timestamp, timeframe) != timestamp
        ]

    async def _publish(self, feeds: Sequence[Feed]) -> None:
        for feed in feeds:
            for kind, stream in tuple(feed.outputs.items()):
                if kind.startswith("kline_"):
                    timeframe = kind.removeprefix("kline_")
                    bar = feed.forming(timeframe)
                    if bar is not None:
                        frame = quotes.kline_frame(feed, timeframe, bar, closed=False)
                        await self.streams.publish_kline(stream, frame, closing=False)
                else:
                    payload = self._payload(feed, kind, stream)
                    if payload is not None:
                        await self.streams.publish(stream, payload)
        if _ALL_TICKERS in self.streams:
            everything = [self.feed(listing.id) for listing in self.market.listings()]
            trading = [quotes.mini_ticker(feed) for feed in everything if feed.trading]
            await self.streams.publish(_ALL_TICKERS, trading)

    def _payload(self, feed: Feed, kind: str, stream: str) -> object | None:
        match kind:
            case "trade" | "aggTrade":
                return quotes.trade_frame(feed, kind) if feed.traded > 0 else None
            case "miniTicker":
                return quotes.mini_ticker(feed)
            case "ticker":
                return quotes.ticker(feed, self.slippage)
            case "bookTicker":
                return quotes.book_ticker_frame(feed, self.slippage)
            case "depth" | "depth@100ms":
                diff = self._depths.setdefault(stream, quotes.DepthDiff())
                return diff.frame(feed, self.slippage)
        levels = int(kind.removeprefix("depth").removesuffix("@100ms"))
        bids, asks = quotes.book(feed, self.slippage, levels)
        return {"lastUpdateId": feed.time, "bids": bids, "asks": asks}

    async def _end(self) -> None:
        # The last candle closes, and no other opens.
        target = open_time(self.market_time, self.market.base) + self.length
        await self._wait_for(target)
        self.ended = True
        await self._step(target)
        async with self._boundary:
            self._boundary.notify_all()

    async def _reached(self, time: int, closed: list[Closed]) -> None:
        self.boundaries += 1
        if closed:
            self._closings.append((time, closed))
        if not self._goal.isdisjoint(candle.stream for candle in closed) or self.ended:
            self._goal = frozenset()
        async with self._boundary:
            self._boundary.notify_all()

    # -- lockstep

    async def advance(self, streams: Sequence[str], acknowledged: int, timeout: float) -> Progress:
        """Let a market in lockstep run until one of ``streams`` has closed a candle.

        Closings after ``acknowledged`` (the market time of the last answer) that were already
        reached are returned at once, so a call whose answer was lost can be made again.

        Args:
            streams: kline streams, such as ``btcusdt@kline_1m``.
            acknowledged: market time up to which every closed candle was acted on.
            timeout: seconds after which the answer is given without a closed candle.

        Raises:
            PaperExchangeError: the market is not in lockstep, a stream is unknown, or the
                acknowledgement lies in the future.
        """
        wanted = self._watch(streams, acknowledged)
        async with self._advancing:
            closed = self._closed_after(acknowledged, wanted)
            if closed or self.ended:
                return Progress(self.market_time, closed, self.ended)
            self._goal = wanted
            self._released.set()
            try:
                async with asyncio.timeout(timeout), self._boundary:
                    await self._boundary.wait_for(lambda: not self._goal or self.ended)
            except TimeoutError:
                pass
            finally:
                self._goal = frozenset()
            closed = self._closed_after(acknowledged, wanted)
            return Progress(self.market_time, closed, self.ended)

    def _watch(self, streams: Sequence[str], acknowledged: int) -> frozenset[str]:
        if not self.pace.lockstep:
            raise PaperExchangeError(
                "The market does not wait for anybody: it was not started with --lockstep."
            )
        if acknowledged > self.market_time:
            raise PaperExchangeError(
                f"Cannot acknowledge {acknowledged}: the market stands at {self.market_time}. "
                "Acknowledge the market_time of the last answer."
            )
        if not streams:
            raise PaperExchangeError("Cannot advance: no stream was named to wait for.")
        for stream in streams:
            parsed = self._parse(stream)
            if parsed is None or not parsed[1].startswith("kline_"):
                raise PaperExchangeError(
                    f"Cannot wait for {stream!r}: it is no kline stream of this market, such as "
                    f"btcusdt@kline_{self.market.base}."
                )
            feed, kind = parsed
            self._watched.setdefault(feed.id, set()).add(kind.removeprefix("kline_"))
            self._refresh(feed)
        return frozenset(streams)

    def _closed_after(self, time: int, streams: frozenset[str]) -> list[Closed]:
        later = []
        for reached, closed in reversed(self._closings):
            if reached <= time:
                break
            later.append([candle for candle in closed if candle.stream in streams])
        return [candle for closed in reversed(later) for candle in closed]


_SIMPLE: Final = frozenset({"trade", "aggTrade", "miniTicker", "ticker", "bookTicker"})
_ALL_TICKERS: Final = "!miniTicker@arr"
