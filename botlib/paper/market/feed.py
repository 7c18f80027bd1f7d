"""The feed of one symbol: its candle at the present, and the prices inside it up to now.

`seek` moves a feed in time; everything else is as of that time and shows nothing later. The prices
inside a candle are those of `market.walk`, so a candle has the same path however the feed came
there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np

from botlib.core.timeframe import DAY, open_time, timeframe_ms
from botlib.paper.market.book import PaperBook
from botlib.paper.market.depth import Depth
from botlib.paper.market.market import Bars, PaperMarket, SymbolListing
from botlib.paper.market.rules import rules_of
from botlib.paper.market.trades.path import TapeStep, path
from botlib.paper.market.trades.tape import Tape

_CHUNK: Final = 720
"""Base candles that are read from the market together."""

_ZERO: Final = Decimal(0)
_AVERAGE_TIME: Final = 300_000
"""Time that an average price covers, ms."""


class Bar(NamedTuple):
    """A candle, closed or still forming."""

    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class DayStatistics(NamedTuple):
    """The statistics of the last 24 hours; volumes in base and in quote units."""

    start: int
    open: float
    high: float
    low: float
    volume: float
    quote_volume: float


def rows(bars: Bars) -> Iterator[Bar]:
    """Yield the rows of candle arrays as `Bar`."""
    columns = (bars.timestamp, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return map(Bar._make, zip(*(column.tolist() for column in columns), strict=True))


class Feed:
    """A symbol of the market at one time.

    Args:
        market: source of the candles.
        listing: the symbol.
        steps: prices inside a base candle.
        depth: the synthetic orders around the price; None for a market that fills any amount.
        slippage: fraction by which takers fill worse than the price, without a depth.
    """

    mirrored = False
    """Whether the prices are those of a real market, in which the accounts do not trade."""
    book: PaperBook

    @property
    def entry(self) -> Mapping[str, Any]:
        """The symbol's entry in the exchangeInfo of a mirrored venue, empty without one."""
        return {}

    def __init__(
        self,
        market: PaperMarket,
        listing: SymbolListing,
        steps: int,
        *,
        depth: Depth | None = None,
        slippage: Decimal = _ZERO,
    ) -> None:
        self.listing = listing
        self.id = listing.id
        self.rules = rules_of(listing)
        """The rules for orders; the operator may change them."""
        self.market = market
        self.base = market.base
        self.length = timeframe_ms(market.base)
        self.steps = steps
        self.outputs: dict[str, str] = {}
        """Subscribed streams: kind → name (``kline_1m`` → ``btcusdt@kline_1m``)."""
        self.resting = 0
        """Number of orders in the book."""
        self.closing_sent = False
        """Whether the closing of the symbol's last candle was sent."""
        self.bar: Bar | None = None
        """The complete base candle that opened last; it is not shown before it has closed."""
        self.time = -1
        self.price = 0.0
        self.traded = 0.0
        """Amount traded at the current price."""
        self.bought = 0.0
        """Amount that takers have bought in the forming base candle."""
        self._step = -1
        self._high = self._low = self._volume = 0.0
        self._path: list[TapeStep] = []
        self._opens: list[int] = []
        self._bars: list[Bar] = []
        self._covered = (0, -1)
        self._earlier: dict[str, Bar | None] = {}
        self._day: tuple[int, DayStatistics] | None = None
        self._average: tuple[int, Decimal] | None = None
        self.book = PaperBook(self, depth, slippage)
        self.tape = Tape(self)

    @property
    def tapes_accounts(self) -> bool:
        """Whether the trades of the accounts are on the public tape."""
        return not self.book.deep and not self.mirrored

    # -- time

    def seek(self, time: int) -> None:
        """Move to ``time`` (ms)."""
        if time == self.time:
            return
        bar = self._bar_at(time)
        if bar is None:
            self.bar, self.time = None, time
            return
        if self.bar is None or bar.timestamp != self.bar.timestamp or time < self.time:
            self._enter(bar)
        self.time = time
        self._advance(min((time - bar.timestamp) * self.steps // self.length, self.steps - 1))

    def reload(self) -> None:
        """Read the candles again, after halts have changed them."""
        self._covered = (0, -1)
        self._earlier.clear()
        self._day = self._average = None

    @property
    def trading(self) -> bool:
        """Whether the symbol trades: it is not halted, and a candle of it is open."""
        if self.rules.status != "TRADING" or self.bar is None:
            return False
        return self.time < self.bar.timestamp + self.length

    @property
    def status(self) -> str:
        """The symbol's status in exchangeInfo; ``BREAK`` in a gap between candles."""
        if self.rules.status != "TRADING":
            return self.rules.status
        return "TRADING" if self.trading else "BREAK"

    @property
    def over(self) -> bool:
        """Whether the symbol's last candle has ended."""
        if self.bar is None or self.trading:
            return False
        return self.market.next_open(self.listing.symbol, self.bar.timestamp + 1) is None

    @property
    def opening(self) -> bool:
        """Whether the current price is the open of its base candle, to which the market jumped."""
        return self._step == 0

    @property
    def path(self) -> list[TapeStep]:
        """The path of the base candle that opened last, the future part of it included."""
        return self._path

    @property
    def step_time(self) -> int:
        """Start of the present step, ms."""
        opened = self.bar.timestamp if self.bar is not None else 0
        return opened + self._step * (self.length // self.steps)

    def trade_number(self, time: int) -> int:
        """Return the id of the first public trade at a time (ms)."""
        return self.tape.ids(time, time)[0]

    def at_step(self, time: int) -> bool:
        """Return whether a time (ms) is that of the present step, and not of a later one."""
        return self.step_time <= time < self.step_time + self.tape.interval

    @property
    def falling(self) -> bool:
        """Whether the price is below that of the previous step."""
        before = self._path[max(0, self._step - 1)]
        return self.price < before.price

    @property
    def last_price(self) -> Decimal:
        """The current price as an exact decimal."""
        return Decimal(repr(self.price))

    @property
    def last_trade(self) -> Decimal:
        """The price of the last trade, of the market or of an account on its tape."""
        if not self.tapes_accounts:
            return self.last_price
        return Decimal(repr(self.tape.last_price()))

    def _bar_at(self, time: int) -> Bar | None:
        first, last = self._covered
        if not first <= time <= last:
            self._load(time)
        index = bisect_right(self._opens, time) - 1
        return self._bars[index] if index >= 0 else None

    def _load(self, time: int) -> None:
        # It ends at an open time, so that coverage ends with the last candle that is loaded.
        symbol, ahead = self.listing.symbol, open_time(time, self.base) + _CHUNK * self.length
        begin, end = self.market.span(symbol)
        behind = open_time(time, self.base) - 2 * self.length
        loaded = list(rows(self.market.bars(symbol, self.base, behind, ahead)))
        width = _CHUNK
        # In a gap the newest candle is further back.
        while (not loaded or loaded[0].timestamp > time) and behind > begin:
            before = behind - 1
            behind -= width * self.length
            width *= 4
            loaded = list(rows(self.market.bars(symbol, self.base, behind, before))) + loaded
        self._bars = loaded
        self._opens = [bar.timestamp for bar in loaded]
        first = behind if behind <= begin or not loaded else loaded[0].timestamp
        self._covered = (first, ahead + self.length - 1 if end is None or end > ahead else 2**62)

    def _enter(self, bar: Bar) -> None:
        before = self.bar
        if before is not None and self._follows(before, bar):
            for timeframe, earlier in self._earlier.items():
                same = open_time(before.timestamp, timeframe) == open_time(bar.timestamp, timeframe)
                self._earlier[timeframe] = _joined(earlier, before) if same else None
        else:
            self._earlier.clear()
        self.bar = bar
        self._path = path(bar, self.steps)
        self._step = -1
        self._high = self._low = bar.open
        self._volume = self.bought = 0.0

    def _follows(self, before: Bar, after: Bar) -> bool:
        index = bisect_right(self._opens, before.timestamp)
        return index < len(self._opens) and self._opens[index] == after.timestamp

    def _advance(self, step: int) -> None:
        while self._step < step:
            self._step += 1
            now = self._path[self._step]
            self.price, self.traded = now.price, now.amount
            self._high = max(self._high, self.price)
            self._low = min(self._low, self.price)
            self._volume += self.traded
            if not self.falling:
                self.bought += self.traded
            if self._step == self.steps - 1 and self.bar is not None:
                self.tape.remember_bought(self.bar.timestamp, self.bought)

    # -- candles

    def base_bar(self) -> Bar | None:
        """Return the forming base candle up to the present, None before the first candle."""
        bar = self.bar
        if bar is None:
            return None
        if self._step >= self.steps - 1:
            return bar
        return Bar(bar.timestamp, bar.open, self._high, self._low, self.price, self._volume)

    def forming(self, timeframe: str) -> Bar | None:
        """Return the forming candle of any timeframe, None before the first candle."""
        now = self.base_bar()
        if now is None or timeframe == self.base:
            return now
        if timeframe not in self._earlier:
            self._earlier[timeframe] = self._before(now.timestamp, timeframe)
        earlier = self._earlier[timeframe]
        start = open_time(now.timestamp, timeframe)
        return _joined(earlier, now)._replace(timestamp=start)

    def whole(self, timeframe: str, timestamp: int) -> Bar | None:
        """Return a closed candle by its open time (ms), None if there is none."""
        first, last = self._covered
        if timeframe == self.base and first <= timestamp <= last:
            bar = self._bar_at(timestamp)
            return bar if bar is not None and bar.timestamp == timestamp else None
        found = self.market.bars(self.listing.symbol, timeframe, timestamp, timestamp)
        return next(rows(found), None)

    def _before(self, timestamp: int, timeframe: str) -> Bar | None:
        start = open_time(timestamp, timeframe)
        if timestamp == start:
            return None
        bars = self.market.bars(self.listing.symbol, self.base, start, timestamp - 1)
        result: Bar | None = None
        for bar in rows(bars):
            result = _joined(result, bar)
        return result

    def candles(self, timeframe: str, start: int | None, end: int | None, limit: int) -> list[Bar]:
        """Return ``limit`` candles at most: from ``start`` on, or the newest up to ``end`` (ms)."""
        now = self.forming(timeframe)
        if now is None:
            return []
        length = timeframe_ms(timeframe)
        last = now.timestamp if end is None else min(now.timestamp, end)
        closed_until = min(last, now.timestamp - 1)
        symbol = self.listing.symbol
        begin = self.market.span(symbol)[0] - length
        found: list[Bar] = []
        if start is not None:
            cursor = max(start, begin)
            while cursor <= closed_until and len(found) < limit:
                stop = min(closed_until, cursor + (limit + 1) * length)
                found += rows(self.market.bars(symbol, timeframe, cursor, stop))
                cursor = stop + 1
            if last == now.timestamp >= start and len(found) < limit:
                found.append(now)
            return found[:limit]
        cursor, width = closed_until, limit + 1
        while cursor >= begin and len(found) < limit:
            first = max(begin, cursor - width * length)
            found = [*rows(self.market.bars(symbol, timeframe, first, cursor)), *found]
            cursor, width = first - 1, width * 2
        if last == now.timestamp:
            found.append(now)
        return found[-limit:]

    # -- statistics

    def day(self) -> DayStatistics:
        """Return the statistics of the last 24 hours, all zero before the first candle."""
        now = self.base_bar()
        if now is None:
            return DayStatistics(self.time - DAY, 0.0, 0.0, 0.0, 0.0, 0.0)
        if self._day is None or self._day[0] != now.timestamp:
            self._day = (now.timestamp, self._day_before(now))
        past = self._day[1]
        return DayStatistics(
            past.start,
            past.open,
            max(past.high, now.high),
            min(past.low, now.low),
            past.volume + now.volume,
            past.quote_volume + now.volume * now.close,
        )

    def _day_before(self, now: Bar) -> DayStatistics:
        start = now.timestamp - DAY + self.length
        bars = self.market.bars(self.listing.symbol, self.base, start, now.timestamp - 1)
        if not len(bars):
            return DayStatistics(now.timestamp, now.open, now.open, now.open, 0.0, 0.0)
        return DayStatistics(
            int(bars.timestamp[0]),
            float(bars.open[0]),
            float(bars.high.max()),
            float(bars.low.min()),
            float(bars.volume.sum()),
            float(np.dot(bars.volume, bars.close)),
        )

    def average(self) -> Decimal:
        """Return the volume-weighted price of the last five minutes, with eight decimals."""
        if self._average is None or self._average[0] != self.time:
            self._average = (self.time, self._averaged())
        return self._average[1]

    def _averaged(self) -> Decimal:
        now = self.base_bar()
        if now is None:
            return Decimal(0)
        start = self.time - _AVERAGE_TIME
        bars = self.market.bars(self.listing.symbol, self.base, start, now.timestamp - 1)
        volume = float(bars.volume.sum()) + now.volume
        if volume <= 0:
            return self.last_price
        cost = float(np.dot(bars.volume, bars.close)) + now.volume * now.close
        return Decimal(f"{cost / volume:.8f}")

    def bars_between(self, start: int, end: int) -> Iterator[Bar]:
        """Return the complete base candles that open between two times (ms, both included)."""
        return rows(self.market.bars(self.listing.symbol, self.base, start, end))


def _joined(earlier: Bar | None, bar: Bar) -> Bar:
    if earlier is None:
        return bar
    return Bar(
        earlier.timestamp,
        earlier.open,
        max(earlier.high, bar.high),
        min(earlier.low, bar.low),
        bar.close,
        earlier.volume + bar.volume,
    )
