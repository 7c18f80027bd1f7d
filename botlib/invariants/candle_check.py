"""`CandleCheck`: I4 over any number of days, with a day of candles in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from botlib.core.model import Candle
from botlib.core.timeframe import timeframe_ms
from botlib.invariants import rules
from botlib.invariants.bot_record import BotRecord, Stream
from botlib.invariants.report import Violation
from botlib.store import CandleStorage, Database, Hole

if TYPE_CHECKING:
    from hashlib import _Hash

PART: Final = 1_440
"""Candles that are compared with the venue's at a time."""

STRETCH: Final = 20_000
"""Candles that are read at a time for a digest."""


class VenueCandles(Protocol):
    """The part of `PaperControl` that has the venue's candles."""

    async def candles(
        self, symbol: str, timeframe: str, start: int, end: int
    ) -> list[tuple[int, float, float, float, float, float]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """The candles of a stream that equal the venue's, as a digest; times are open times (ms)."""

    first: int
    last: int
    count: int
    digest: bytes


class CandleCheck:
    """The comparison of all stored candles with the venue's.

    Candles that were compared before are not asked for again while their digest is the same. When
    it is another one, the whole stream is compared again, from the candle that was once the first.

    Args:
        control: of the paper exchange.
        database: file of the bot.
        venue: the market that the database is stamped with.
        streams: (symbol, timeframe) pairs that the bot collects.
    """

    def __init__(
        self, control: VenueCandles, database: Path, venue: str, streams: Sequence[Stream]
    ) -> None:
        self._control = control
        self._database = database
        self._venue = venue
        self._streams = tuple(streams)
        self._compared: dict[Stream, _Compared] = {}

    @property
    def count(self) -> int:
        """The number of candles that equal the venue's."""
        return sum(one.count for one in self._compared.values())

    async def violations(self) -> list[Violation]:
        """Return the violations of I4.

        Raises:
            BotlibError: the exchange does not answer, or the database cannot be read.
        """
        database = Database.open(self._database, self._venue, readonly=True)
        try:
            storage = CandleStorage(database)
            return [one for key in self._streams for one in await self._stream(storage, key)]
        finally:
            database.close()

    async def _stream(self, storage: CandleStorage, stream: Stream) -> list[Violation]:
        before, stored = self._compared.get(stream), storage.span(*stream)
        if before is None and stored is None:
            return []
        found: list[Violation] = []
        spans = [(one.first, one.last) for one in [before] if one is not None]
        spans += [one for one in [stored] if one is not None]
        first, last = min(span[0] for span in spans), max(span[1] for span in spans)
        digest, count, start = hashlib.sha256(), 0, first
        if before is not None and first == before.first:
            count = _add(digest, storage, stream, first, before.last)
            if digest.digest() == before.digest:
                start = before.last + timeframe_ms(stream[1])
            else:
                digest, count = hashlib.sha256(), 0
        for part in _parts(stream, start, last, PART):
            candles = storage.candles(*stream, *part)
            digest.update(_bytes_of(candles))
            count += len(candles)
            holes = [hole for hole in storage.holes(*stream) if _overlaps(hole, *part)]
            record = BotRecord(
                candles={stream: candles}, holes={stream: holes}, spans={stream: part}
            )
            rows = await self._control.candles(*stream, *part)
            bars = {stream: {row[0]: row[1:] for row in rows}}
            found += rules.candles_are_the_venues(record, bars)
        if not found:
            self._compared[stream] = _Compared(
                first=first, last=last, count=count, digest=digest.digest()
            )
        return found


def _parts(stream: Stream, start: int, last: int, candles: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last open times of parts of a span, in their order."""
    length = timeframe_ms(stream[1])
    while start <= last:
        end = min(last, start + (candles - 1) * length)
        yield start, end
        start = end + length


def _add(digest: _Hash, storage: CandleStorage, stream: Stream, first: int, last: int) -> int:
    """Add stored candles to a digest, and return their number."""
    count = 0
    for start, end in _parts(stream, first, last, STRETCH):
        frame = storage.frame(*stream, start, end)
        times = frame.index.to_numpy().astype(np.int64).astype(np.float64)
        digest.update(np.column_stack((times, frame.to_numpy())).tobytes())
        count += len(frame)
    return count


def _bytes_of(candles: Sequence[Candle]) -> bytes:
    """Return what `_add` adds to a digest for the same candles."""
    rows = [(one.timestamp, one.open, one.high, one.low, one.close, one.volume) for one in candles]
    return np.array(rows, dtype=np.float64).tobytes()


def _overlaps(hole: Hole, first: int, last: int) -> bool:
    return hole.start <= last and hole.end >= first
