"""A market replayed from recorded candles: those of files, or a stretch of stored ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from botlib.core.clock import iso
from botlib.core.errors import RecordingError, UnknownSymbol, UnknownTimeframe, did_you_mean
from botlib.core.symbol import symbol_id
from botlib.core.timeframe import timeframe_ms
from botlib.paper.market.market import (
    Bars,
    SymbolListing,
    aggregate,
    known_decimals,
    make_listing,
    multiples,
)
from botlib.store.files import Recording, read_recording
from botlib.store.stretch import StoredStretch, StretchCandles, read_stretch
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.market import Market

MAX_DECIMALS: Final = 8
"""Most decimals of a price or an amount on Binance."""


class ReplayMarket:
    """A market of recorded candles, all of the same timeframe. Gaps stay gaps.

    Several files of one symbol, such as monthly dumps, are joined.
    """

    recordings: tuple[Recording, ...] = ()
    """The files; none for stored candles."""
    opening: int | None = None
    """The first open time (ms) of a stored stretch; earlier candles are history."""

    def __init__(self, files: Sequence[str | Path | Recording]) -> None:
        """Read the files.

        Raises:
            RecordingError: no file is given, one is refused, or their timeframes differ.
        """
        recordings = [
            file if isinstance(file, Recording) else read_recording(file) for file in files
        ]
        if not recordings:
            raise RecordingError("A replay needs at least one candle file; none is given.")
        found = {recording.timeframe for recording in recordings}
        if len(found) > 1:
            raise RecordingError(
                f"The candle files have different timeframes ({', '.join(sorted(found))}). "
                "Give files of one timeframe; the higher ones are made from it."
            )
        # The identity of the market does not depend on the order of the files.
        recordings.sort(key=lambda item: (item.symbol, int(item.timestamp[0]), item.sha256))
        self.recordings = tuple(recordings)
        bars = {
            symbol: _join([_bars(item) for item in recordings if item.symbol == symbol])
            for symbol in sorted({recording.symbol for recording in recordings})
        }
        listings = {symbol: _infer_listing(symbol, of) for symbol, of in bars.items()}
        self._hold(_venue(recordings), recordings[0].timeframe, bars, listings)

    @classmethod
    def of_stretch(cls, stretch: StoredStretch) -> Self:
        """Return the market of a stretch of stored candles, with the lots of its venue.

        Raises:
            InvalidInput: a symbol is not stored, or candles are missing.
        """
        found = read_stretch(stretch)
        bars = {symbol: _frame_bars(found.frames[symbol]) for symbol in sorted(found.frames)}
        listings = {
            symbol: _stored_listing(symbol, of, found.markets.get(symbol))
            for symbol, of in bars.items()
        }
        market = cls.__new__(cls)
        market.opening = found.since
        market._hold(_stretch_venue(stretch, found, bars), found.timeframe, bars, listings)
        return market

    def _hold(
        self, venue: str, base: str, bars: dict[str, Bars], listings: dict[str, SymbolListing]
    ) -> None:
        self._venue, self._base, self._listings = venue, base, listings
        self._bars = {(symbol, base): of for symbol, of in bars.items()}

    @property
    def venue(self) -> str:
        """Identity: ``paper:recording:<stem>:<first 8 digits of the content's SHA-256>``."""
        return self._venue

    @property
    def base(self) -> str:
        """The timeframe of the recordings."""
        return self._base

    def listings(self) -> list[SymbolListing]:
        """Return the recorded symbols in alphabetical order."""
        return list(self._listings.values())

    def listing(self, symbol_or_id: str) -> SymbolListing:
        """Return one listing; tick and step are Binance's if known, else those of the data.

        Raises:
            UnknownSymbol: it cannot be read, or is not in the recording.
        """
        for listing in self._listings.values():
            if symbol_or_id.strip().upper() in (listing.symbol, listing.id):
                return listing
        symbol = unified_symbol(symbol_or_id)
        raise UnknownSymbol(
            f"{symbol!r} is not in the recording. It holds: {', '.join(self._listings)}."
            f"{did_you_mean(symbol, self._listings)}"
        )

    def timeframes(self) -> list[str]:
        """Return the recordings' timeframe and its multiples, the finest first."""
        return multiples(self._base)

    def span(self, symbol: str) -> tuple[int, int | None]:
        """Return the open times of the first and the last recorded candle."""
        times = self._series(symbol, self._base).timestamp
        return int(times[0]), int(times[-1])

    def bars(self, symbol: str, timeframe: str, start: int, end: int) -> Bars:
        """Return the candles whose open time lies in ``start`` to ``end`` (ms, both included).

        A higher candle at an edge of the recording, or around a gap, covers what is recorded.

        Raises:
            UnknownSymbol: it is not in the recording.
            UnknownTimeframe: it is not a multiple of the recordings'.
        """
        return self._series(symbol, timeframe).between(start, end)

    def next_open(self, symbol: str, after: int) -> int | None:
        """Return the first recorded open time at or after ``after``, None past the end."""
        times = self._series(symbol, self._base).timestamp
        index = int(np.searchsorted(times, after, side="left"))
        return int(times[index]) if index < len(times) else None

    def _series(self, symbol: str, timeframe: str) -> Bars:
        symbol = self.listing(symbol).symbol
        if (symbol, timeframe) not in self._bars:
            timeframe_ms(timeframe)
            if timeframe not in self.timeframes():
                raise UnknownTimeframe(
                    f"{timeframe!r} cannot be made from a recording of {self._base} candles. "
                    f"Accepted: {', '.join(self.timeframes())}."
                )
            self._bars[symbol, timeframe] = aggregate(self._bars[symbol, self._base], timeframe)
        return self._bars[symbol, timeframe]


def _venue(recordings: list[Recording]) -> str:
    first = Path(recordings[0].report.path).name.partition(".")[0]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", first)
    digest = recordings[0].sha256
    if len(recordings) > 1:
        stem += f"+{len(recordings) - 1}"
        digest = hashlib.sha256("".join(item.sha256 for item in recordings).encode()).hexdigest()
    return f"paper:recording:{stem}:{digest[:8]}"


def _stretch_venue(stretch: StoredStretch, found: StretchCandles, bars: Mapping[str, Bars]) -> str:
    digest = hashlib.sha256(f"{found.timeframe} {found.since}".encode())
    for symbol, of in bars.items():
        digest.update(symbol.encode())
        for name in Bars.__slots__:
            digest.update(np.ascontiguousarray(getattr(of, name)).tobytes())
    name = symbol_id(next(iter(bars)))
    more = f"+{len(bars) - 1}" if len(bars) > 1 else ""
    span = f"{iso(found.since)[:10]}-{iso(found.until)[:10]}"
    stem = f"{stretch.venue}-{name}{more}-{found.timeframe}-{span}"
    return f"paper:recording:{stem}:{digest.hexdigest()[:8]}"


def _frame_bars(frame: pd.DataFrame) -> Bars:
    return Bars(
        frame.index.to_numpy().astype("datetime64[ms]").astype(np.int64),
        *(frame[name].to_numpy(np.float64) for name in Bars.__slots__[1:]),
    )


def _bars(recording: Recording) -> Bars:
    return Bars(
        recording.timestamp,
        recording.open,
        recording.high,
        recording.low,
        recording.close,
        recording.volume,
    )


def _join(parts: list[Bars]) -> Bars:
    """Join the candles of several files; of the same candle in two files the later one stays."""
    if len(parts) == 1:
        return parts[0]
    times = np.concatenate([part.timestamp for part in parts])
    order = np.argsort(times, kind="stable")
    order = order[np.append(np.diff(times[order]) > 0, True)]
    return Bars(
        times[order],
        *(
            np.concatenate([getattr(part, name) for part in parts])[order]
            for name in ("open", "high", "low", "close", "volume")
        ),
    )


def _infer_listing(symbol: str, bars: Bars) -> SymbolListing:
    price = max(_decimals(values) for values in (bars.open, bars.high, bars.low, bars.close))
    amount = _decimals(bars.volume)
    # Binance made ticks coarser over the years, and recorded prices must lie on the ticks.
    known = known_decimals(symbol) or (price, amount)
    return make_listing(symbol, max(price, known[0]), max(amount, known[1]))


def _stored_listing(symbol: str, bars: Bars, market: Market | None) -> SymbolListing:
    """Return the listing of the venue, with a finer tick or step if the candles have one."""
    seen = _infer_listing(symbol, bars)
    if market is None:
        return seen
    price = max(_decimals(values) for values in (bars.open, bars.high, bars.low, bars.close))
    return replace(
        seen,
        tick=min(market.tick, Decimal(1).scaleb(-price)),
        step=market.step,
        min_amount=market.min_amount,
        min_cost=market.min_cost,
    )


def _decimals(values: NDArray[np.float64]) -> int:
    for digits in range(MAX_DECIMALS):
        if np.array_equal(np.rint(values * 10.0**digits) / 10.0**digits, values):
            return digits
    return MAX_DECIMALS
