"""`CandleSubscription`: one symbol and timeframe of the stream, from raw frame to closed candle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from botlib.core.clock import MarketClock, iso
from botlib.core.model import Candle
from botlib.core.timeframe import is_open_time
from botlib.market_data.sequencer import Sequencer
from botlib.venues.base import Exchange, RawKline

EARLY: Final = 1_000
"""How long before its end a venue may call a candle closed, in ms: clocks of servers differ."""

LATE: Final = 10_000
"""How long after its end a candle may still be updated, in ms."""

LONGEST_HALT: Final = 92 * 86_400_000
"""Furthest one frame may move the market's time, in ms: further is a damaged frame."""

SANE: Final = 1.25
"""How many times the last close a price may be, or a part of it, to be taken from one frame alone;
what lies beyond is asked of the venue again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStatus:
    """What is known about one subscription. Times are market time in ms."""

    symbol: str
    timeframe: str
    ready: bool
    """Whether history is complete up to now; False from a disconnection until it is repaired."""
    last_event: int | None
    last_closed: int | None
    """Open time of the newest closed candle."""
    age: int | None
    """Market time since that candle closed."""
    frames: int
    closed: int
    duplicates: int
    late: int
    bad_frames: int
    gaps: int
    backfilled: int
    holes: int
    failures: int
    """How often the venue could not be asked for missing candles."""


class ClosedSink(Protocol):
    """Who is told what a subscription found out."""

    def on_closed(self, subscription: CandleSubscription, candles: list[Candle]) -> None:
        """Take candles that closed, in order."""

    def on_again(self, candle: Candle) -> None:
        """Take a closed candle that came out before: the venue may have revised it."""

    def on_gap(self, subscription: CandleSubscription) -> None:
        """Take note that candles are missing."""


class CandleSubscription:
    """Counters, the forming candle and the order of the closed ones."""

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        history: int,
        exchange: Exchange,
        clock: MarketClock,
        sink: ClosedSink,
    ) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.history = history
        self.loaded = 0
        """How many candles of history were asked for already."""
        self.sequence = Sequencer(timeframe)
        self.connected = False
        """Whether a live connection carries it."""
        self.complete = False
        """Whether nothing is known to be missing."""
        self.repairing = False
        self.recheck = False
        """Whether the newest candles are to be asked for again."""
        self.check_until: int | None = None
        """Open time up to which the venue is to be asked whether candles were missed."""
        self.frames = self.closed = self.duplicates = self.late = self.bad_frames = 0
        self.gaps = self.backfilled = self.holes = self.failures = 0
        self.last_closed: int | None = None
        self._exchange = exchange
        self._advance = clock.advance
        self._clock = clock
        self._sink = sink
        self._close_before: float | None = None
        self._raw: RawKline | None = None
        self._shown: RawKline | None = None
        self._open = -1
        self._seen = 0
        self._horizon = -1

    @property
    def key(self) -> tuple[str, str]:
        """Symbol and timeframe."""
        return self.symbol, self.timeframe

    @property
    def ready(self) -> bool:
        """Whether it is complete up to now."""
        return self.connected and self.complete

    def on_frame(self, timestamp: int, event_time: int, closed: bool, raw: RawKline) -> None:
        """Take one frame of the stream.

        Raises:
            InvalidInput: the frame cannot be used; nothing was changed.
        """
        # The usual case first, in as few steps as possible: one more update of a forming candle.
        if timestamp == self._open and closed is False and self._seen <= event_time < self._horizon:
            self._seen = event_time
            self._raw = raw
            self.frames += 1
            self._advance(event_time)
            return
        self._turn(timestamp, event_time, closed, raw)

    def forming(self) -> Candle | None:
        """Return the forming candle if it changed since the last call.

        Raises:
            InvalidInput: the newest update cannot be used.
        """
        raw = self._raw
        if raw is None or raw is self._shown:
            return None
        self._shown = raw
        return self._exchange.candle(self.symbol, self.timeframe, raw, closed=False)

    @property
    def last_event(self) -> int | None:
        """Event time of the newest frame, ms."""
        return self._seen or None

    def status(self) -> SubscriptionStatus:
        """Return what is known now."""
        last, length = self.last_closed, self.sequence.length
        return SubscriptionStatus(
            symbol=self.symbol,
            timeframe=self.timeframe,
            ready=self.ready,
            last_event=self.last_event,
            last_closed=last,
            age=None if last is None else max(0, self._clock.now() - last - length),
            frames=self.frames,
            closed=self.closed,
            duplicates=self.duplicates,
            late=self.late,
            bad_frames=self.bad_frames,
            gaps=self.gaps,
            backfilled=self.backfilled,
            holes=self.holes,
            failures=self.failures,
        )

    def _turn(self, timestamp: int, event_time: int, closed: bool, raw: RawKline) -> None:
        """Take a frame that opens or closes a candle, or comes late or twice."""
        try:
            self._check(timestamp, event_time, closed)
            candle = self._exchange.candle(self.symbol, self.timeframe, raw, closed=closed)
            if closed:
                self._check_price(candle)
        except (TypeError, ValueError):
            self.bad_frames += 1
            raise
        self.frames += 1
        self._advance(event_time)
        self._seen = max(self._seen, event_time)
        if closed:
            self._close(candle)
        elif self.sequence.opened(timestamp):
            self._open = timestamp
            self._horizon = timestamp + self.sequence.length + LATE
            self._raw = raw
        else:
            self.late += 1
            return
        if self.sequence.gap() is not None:
            self._sink.on_gap(self)

    def _close(self, candle: Candle) -> None:
        if self.sequence.knows(candle.timestamp):
            self.duplicates += 1
            self._sink.on_again(candle)
            return
        if candle.timestamp == self._open:
            self._open, self._raw = -1, None
        ready = self.sequence.closed(candle)
        if ready:
            self._sink.on_closed(self, ready)

    def settled(self, candle: Candle) -> None:
        """Take note of the newest candle that came out: later prices are held against its close."""
        self._close_before = candle.close

    def _check_price(self, candle: Candle) -> None:
        before = self._close_before
        if before is not None and (candle.high > before * SANE or candle.low < before / SANE):
            raise ValueError(
                f"prices {candle.low} to {candle.high} are far from the last close {before}"
            )

    def _check(self, timestamp: int, event_time: int, closed: bool) -> None:
        if type(timestamp) is not int or type(event_time) is not int or type(closed) is not bool:
            raise TypeError(f"times {timestamp!r}, {event_time!r} or flag {closed!r} of no use")
        if not is_open_time(timestamp, self.timeframe):
            raise ValueError(f"no {self.timeframe} candle opens at {timestamp}")
        end = timestamp + self.sequence.length
        now = self._clock.now()
        if closed:
            possible = end - EARLY <= event_time
        else:
            possible = timestamp <= event_time < end + LATE
        if not possible or (now and event_time > now + LONGEST_HALT):
            raise ValueError(
                f"event time {event_time} cannot be that of the candle of {iso(timestamp)}"
            )
