"""`Sequencer`: puts the closed candles of one subscription in order, once each.

Pure: it neither waits nor sends requests. Frames enter as they arrive, even if some were dropped,
doubled or reordered on the way; the next candles leave in order, or the gap is returned that has to
be requested from the venue before a later candle may leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from botlib.core.model import Candle
from botlib.core.timeframe import timeframe_ms

MAX_PENDING: Final = 5_000
"""Most candles kept behind a gap. Later ones are found again as another gap."""


@dataclass(slots=True)
class SettledGap:
    """The result of settling a gap: candles in order, and holes as (first, last) open times."""

    candles: list[Candle] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)


class Sequencer:
    """The sequence of one subscription's closed candles. Timestamps are open times in ms."""

    def __init__(self, timeframe: str) -> None:
        self.length = timeframe_ms(timeframe)
        self.last: int | None = None
        """Newest candle that came out, or hole that was settled; None before `start`."""
        self.forming: int | None = None
        """Newest candle seen to have opened."""
        self._pending: dict[int, Candle] = {}

    def start(self, last: int) -> list[Candle]:
        """Start the sequence after ``last``; return the candles that follow directly."""
        self.last = last
        for timestamp in [known for known in self._pending if known <= last]:
            del self._pending[timestamp]
        return self._drain()

    def opened(self, timestamp: int) -> bool:
        """Record a forming candle; return False if it is no longer the newest."""
        if self.knows(timestamp) or (self.forming is not None and timestamp < self.forming):
            return False
        self.forming = timestamp
        return True

    def knows(self, timestamp: int) -> bool:
        """Return whether this candle's close is settled or waits behind a gap."""
        return timestamp in self._pending or (self.last is not None and timestamp <= self.last)

    def closed(self, candle: Candle) -> list[Candle]:
        """Add a closed candle that is not known yet; return the candles due now, in order."""
        timestamp = candle.timestamp
        if self.forming is None or timestamp > self.forming:
            self.forming = timestamp
        if self.last is not None and timestamp == self.last + self.length and not self._pending:
            self.last = timestamp
            return [candle]
        if len(self._pending) < MAX_PENDING:
            self._pending[timestamp] = candle
        return self._drain()

    def gap(self) -> tuple[int, int] | None:
        """Return the first and last missing open time before the next known candle, or None."""
        if self.last is None:
            return None
        known = min(self._pending) if self._pending else self.forming
        first = self.last + self.length
        if known is None or known <= first:
            return None
        return first, known - self.length

    def settle(self, candles: Iterable[Candle], until: int) -> SettledGap:
        """Settle a gap by the venue's answer, which is complete up to ``until``.

        Candles that are absent up to there do not exist at the venue: they are holes.

        Args:
            candles: closed candles of the answer.
            until: open time in ms.
        """
        settled = SettledGap()
        if self.last is None or until <= self.last:
            return settled
        # A candle that came by stream meanwhile is kept: it is final.
        found = {candle.timestamp: candle for candle in candles}
        found.update(self._pending)
        expected = self.last + self.length
        for timestamp in sorted(known for known in found if expected <= known <= until):
            if timestamp > expected:
                settled.holes.append((expected, timestamp - self.length))
            settled.candles.append(found[timestamp])
            expected = timestamp + self.length
        if expected <= until:
            settled.holes.append((expected, until))
        self.last = until
        for timestamp in [known for known in self._pending if known <= until]:
            del self._pending[timestamp]
        settled.candles += self._drain()
        return settled

    def caught_up(self) -> bool:
        """Return whether every candle that is known to have closed has come out."""
        return self.last is not None and not self._pending and self.gap() is None

    def _drain(self) -> list[Candle]:
        ready: list[Candle] = []
        while self.last is not None and self._pending:
            candle = self._pending.pop(self.last + self.length, None)
            if candle is None:
                break
            self.last = candle.timestamp
            ready.append(candle)
        return ready
