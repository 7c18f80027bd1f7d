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
"""Largest step in ms by which one frame may advance the market time; a larger one is damage."""

SANE: Final = 1.25
"""Largest factor between a price and the last close that is accepted from one frame alone.
A candle beyond it is requested from the venue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStatus:
    """The state of one candle subscription. Times are market time in ms."""

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


class CandleSink(Protocol):
    """The receiver of a subscription's candles and gaps."""

    def on_closed(self, subscription: CandleSubscription, candles: list[Candle]) -> None:
        """Receive candles that closed, in order."""

    def on_again(self, candle: Candle) -> None:
        """Receive a closed candle that came out before: the venue may have revised it."""

    def on_gap(self, subscription: CandleSubscription) -> None:
        """Receive the notice that candles are missing."""


class CandleSubscription:
    """The sequence of closed candles of one symbol and timeframe, its forming candle and counters.

    Args:
        symbol: in unified form.
        timeframe: one of `botlib.core.timeframe.TIMEFRAMES`.
        history: closed candles wanted before the first live one.
        exchange: converts raw candles.
        clock: market time; the event times of the frames advance it.
        sink: receives candles and gaps.
    """

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        history: int,
        exchange: Exchange,
        clock: MarketClock,
        sink: CandleSink,
    ) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.sequence = Sequencer(timeframe)
        self._history = history
        self._loaded = 0
        self._connected = self._complete = self._repairing = self._ended = False
        self._recheck = False
        self._check_until: int | None = None
        self._frames = self._closed = self._duplicates = self._late = self._bad_frames = 0
        self._gaps = self._backfilled = self._holes = self._failures = 0
        self._last_closed: int | None = None
        self._exchange = exchange
        self._advance = clock.advance
        self._clock = clock
        self._sink = sink
        self._last_close: float | None = None
        self._raw: RawKline | None = None
        self._published: RawKline | None = None
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
        return self._connected and self._complete

    @property
    def connected(self) -> bool:
        """Whether a live connection carries it."""
        return self._connected

    @property
    def complete(self) -> bool:
        """Whether no candle is known to be missing."""
        return self._complete

    @property
    def history(self) -> int:
        """Closed candles wanted before the first live one."""
        return self._history

    @property
    def history_due(self) -> bool:
        """Whether more history is wanted than was requested so far."""
        return self._history > self._loaded

    @property
    def last_event(self) -> int | None:
        """Event time of the newest frame, ms."""
        return self._seen or None

    # Frames

    def on_frame(self, timestamp: int, event_time: int, closed: bool, raw: RawKline) -> None:
        """Process one frame of the stream.

        Args:
            timestamp: open time of its candle, ms.
            event_time: the venue's time of the frame, ms.
            closed: whether the candle is final.
            raw: the candle as the venue writes it.

        Raises:
            InvalidInput: the frame cannot be used; nothing was changed.
        """
        # The usual case first, in as few steps as possible: one more update of a forming candle.
        if timestamp == self._open and closed is False and self._seen <= event_time < self._horizon:
            self._seen = event_time
            self._raw = raw
            self._frames += 1
            self._advance(event_time)
            return
        self._turn(timestamp, event_time, closed, raw)

    def forming(self) -> Candle | None:
        """Return the forming candle if it changed since the last call.

        Raises:
            InvalidInput: the newest update cannot be used; it is counted as a bad frame.
        """
        raw = self._raw
        if raw is None or raw is self._published:
            return None
        self._published = raw
        try:
            return self._exchange.candle(self.symbol, self.timeframe, raw, closed=False)
        except ValueError:
            self._bad_frames += 1
            raise

    def price(self) -> float | None:
        """Return the newest price of the forming candle, None if none forms or it is unusable."""
        raw = self._raw
        if raw is None:
            return None
        try:
            return self._exchange.candle(self.symbol, self.timeframe, raw, closed=False).close
        except ValueError:
            return None

    # Changes of state, by connections and repairs

    def connect(self) -> None:
        """Record that a live connection carries it; what was missed before is not known yet."""
        self._connected, self._complete = True, False

    def disconnect(self) -> None:
        """Record that no connection carries it."""
        self._connected = False

    def stop(self) -> None:
        """Record that the stream was stopped, with its connections and repairs."""
        self._connected = self._complete = self._repairing = False

    def end(self) -> None:
        """Record that nobody wants it any more, so that no repair goes on."""
        self.stop()
        self._ended = True

    @property
    def ended(self) -> bool:
        """Whether nobody wants it any more."""
        return self._ended

    def want_history(self, history: int) -> bool:
        """Return whether more history is wanted than before, and remember how much."""
        more = history > self._history
        self._history = max(self._history, history)
        return more

    def check(self, until: int) -> None:
        """Require a check with the venue whether candles were missed.

        Args:
            until: open time in ms of the newest candle that has closed.
        """
        self._recheck = self._closed > 0
        self._check_until = until

    def end_check(self) -> None:
        """Record that the venue has no later candle: it may have halted."""
        self._check_until = None

    def missing(self) -> tuple[int, int] | None:
        """Return the first and last open time to request, from frames or from a check."""
        if (gap := self.sequence.gap()) is not None:
            return gap
        until, last = self._check_until, self.sequence.last
        if until is not None and last is not None and until > last:
            return last + self.sequence.length, until
        self._check_until = None
        return None

    def start_repair(self) -> bool:
        """Record that a repair starts; return False if one is under way already."""
        started, self._repairing = not self._repairing, True
        return started

    def end_repair(self) -> None:
        """Record that the repair has ended, with or without success."""
        self._repairing = False

    def lose(self) -> None:
        """Record that candles are missing."""
        self._complete = False

    def complete_up_to_now(self) -> None:
        """Record that no candle is known to be missing."""
        self._complete = True

    def take_recheck(self) -> bool:
        """Return, once, whether the newest candles are to be requested again."""
        due, self._recheck = self._recheck, False
        return due

    def history_requested(self, history: int) -> None:
        """Record how many candles of history have been requested."""
        self._loaded = history

    def history_loaded(self, newest: int | None) -> None:
        """Record the open time in ms of the newest candle of history, None if there is none."""
        if newest is not None:
            self._last_closed = max(self._last_closed or 0, newest)

    def candles_out(self, candles: list[Candle]) -> None:
        """Record closed candles that came out: later prices are compared with the last close."""
        newest = candles[-1]
        self._last_close = newest.close
        self._closed += len(candles)
        self._last_closed = max(self._last_closed or 0, newest.timestamp)

    def count_backfilled(self, candles: int) -> None:
        """Count candles that were fetched because the stream had not brought them."""
        self._backfilled += candles

    def count_holes(self, candles: int) -> None:
        """Count candles that the venue proved not to have."""
        self._holes += candles

    def count_gap(self) -> None:
        """Count a gap that was settled."""
        self._gaps += 1

    def count_failure(self) -> None:
        """Count a request for missing candles that failed."""
        self._failures += 1

    def status(self) -> SubscriptionStatus:
        """Return the present state."""
        last, length = self._last_closed, self.sequence.length
        return SubscriptionStatus(
            symbol=self.symbol,
            timeframe=self.timeframe,
            ready=self.ready,
            last_event=self.last_event,
            last_closed=last,
            age=None if last is None else max(0, self._clock.now() - last - length),
            frames=self._frames,
            closed=self._closed,
            duplicates=self._duplicates,
            late=self._late,
            bad_frames=self._bad_frames,
            gaps=self._gaps,
            backfilled=self._backfilled,
            holes=self._holes,
            failures=self._failures,
        )

    def _turn(self, timestamp: int, event_time: int, closed: bool, raw: RawKline) -> None:
        """Process a frame that opens or closes a candle, or comes late or twice."""
        try:
            self._check_times(timestamp, event_time, closed)
            candle = self._exchange.candle(self.symbol, self.timeframe, raw, closed=closed)
            if closed:
                self._check_price(candle)
        except (TypeError, ValueError):
            self._bad_frames += 1
            raise
        self._frames += 1
        self._advance(event_time)
        self._seen = max(self._seen, event_time)
        if closed:
            self._close(candle)
        elif self.sequence.opened(timestamp):
            self._open = timestamp
            self._horizon = timestamp + self.sequence.length + LATE
            self._raw = raw
        else:
            self._late += 1
            return
        if self.sequence.gap() is not None:
            self._sink.on_gap(self)

    def _close(self, candle: Candle) -> None:
        if self.sequence.knows(candle.timestamp):
            self._duplicates += 1
            self._sink.on_again(candle)
            return
        if candle.timestamp == self._open:
            self._open, self._raw = -1, None
        ready = self.sequence.closed(candle)
        if ready:
            self._sink.on_closed(self, ready)

    def _check_price(self, candle: Candle) -> None:
        last = self._last_close
        if last is not None and (candle.high > last * SANE or candle.low < last / SANE):
            raise ValueError(
                f"prices {candle.low} to {candle.high} are far from the last close {last}"
            )

    def _check_times(self, timestamp: int, event_time: int, closed: bool) -> None:
        if type(timestamp) is not int or type(event_time) is not int or type(closed) is not bool:
            raise TypeError(
                f"times {timestamp!r}, {event_time!r} or flag {closed!r} cannot be used"
            )
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
