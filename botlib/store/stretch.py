"""`read_stretch`: reads a stretch of stored candles of several symbols, to be replayed in step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botlib.core.clock import iso
from botlib.core.errors import InvalidInput, OutdatedStore, did_you_mean
from botlib.core.text import formats
from botlib.core.timeframe import open_time, parse_since, timeframe_ms
from botlib.store.candles import CandleStorage
from botlib.store.database import Database
from botlib.store.inventory import StoredCandles, inventory
from botlib.store.market_lists import load_market_list
from botlib.store.paths import database_path

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.market import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStretch:
    """Which stored candles are replayed.

    Attributes:
        directory: the data directory.
        venue: the venue whose candles they are.
        symbols: unified symbols.
        since: the first open time, as `parse_since` reads it; a span such as ``"30d"`` counts back
            from the close of the newest candle that all symbols have. None is the first such one.
        until: the last open time; None is that of the newest candle that all symbols have.
        timeframe: of the candles; None is the shortest that all symbols have.
        lead: how far before ``since`` stored candles are read as history, ms.
    """

    directory: Path
    venue: str
    symbols: tuple[str, ...]
    since: int | str | None = None
    until: int | str | None = None
    timeframe: str | None = None
    lead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchCandles:
    """The candles of a stretch: one frame per symbol, without candles that are missing.

    Attributes:
        timeframe: of the candles.
        since: the first open time that is replayed, ms; earlier candles are history.
        until: the last open time, ms.
        frames: by unified symbol.
        markets: how the venue trades the symbols, as far as it is known.
    """

    timeframe: str
    since: int
    until: int
    frames: dict[str, pd.DataFrame]
    markets: dict[str, Market]


def read_stretch(stretch: StoredStretch) -> StretchCandles:
    """Read the candles of a stretch.

    Holes of the venue stay holes.

    Raises:
        InvalidInput: a symbol is not stored, or candles of the stretch are missing; the message
            says what is stored, and what downloads the rest.
    """
    path = database_path(stretch.directory, stretch.venue)
    if not path.exists():
        raise InvalidInput(
            f"There is nothing to replay: {str(path)!r} does not exist. "
            f"{_advice(stretch, stretch.symbols[0])}"
        )
    with _opened(path, stretch.venue) as database:
        storage = CandleStorage(database)
        stored = {symbol: inventory(storage, symbol) for symbol in stretch.symbols}
        for symbol, found in stored.items():
            if not found:
                raise _absent(stretch, symbol, sorted(database.symbols().values()))
        timeframe = _timeframe(stretch, stored)
        since, until = _bounds(stretch, timeframe, stored)
        for symbol in stretch.symbols:
            _check(stretch, storage, symbol, timeframe, (since, until))
        frames = {
            symbol: storage.frame(
                symbol, timeframe, _lead(storage, symbol, timeframe, since, stretch.lead), until
            )
            for symbol in stretch.symbols
        }
    listed = load_market_list(path, stretch.venue)
    return StretchCandles(
        timeframe=timeframe,
        since=since,
        until=until,
        frames=frames,
        markets={} if listed is None else {s: m for s, m in listed.markets.items() if s in frames},
    )


def _opened(path: Path, venue: str) -> Database:
    try:
        return Database.open(path, venue, readonly=True)
    except OutdatedStore:
        Database.open(path, venue).close()
        return Database.open(path, venue, readonly=True)


def _timeframe(stretch: StoredStretch, stored: dict[str, list[StoredCandles]]) -> str:
    """Return the shortest timeframe of all symbols; if it can be, one that covers the stretch."""
    names = [{one.timeframe for one in found} for found in stored.values()]
    shared = sorted(set.intersection(*names), key=timeframe_ms)
    if stretch.timeframe is not None:
        shared = [name for name in shared if name == stretch.timeframe]
    if not shared:
        wanted = f"are no {stretch.timeframe} candles" if stretch.timeframe else "is no timeframe"
        lacking = next(
            (s for s, found in zip(stored, names, strict=True) if stretch.timeframe not in found),
            stretch.symbols[0],
        )
        there = ". ".join(f"Stored of {symbol}: {_spans(stored[symbol])}" for symbol in stored)
        raise InvalidInput(
            f"There {wanted} of all of {', '.join(stored)}. {there}. {_advice(stretch, lacking)}"
        )
    for name in shared:
        since, until = _bounds(stretch, name, stored)
        if all(one.first <= since and until <= one.last for one in _of(stored, name)):
            return name
    return shared[0]


def _of(stored: dict[str, list[StoredCandles]], timeframe: str) -> list[StoredCandles]:
    return [one for found in stored.values() for one in found if one.timeframe == timeframe]


def _bounds(
    stretch: StoredStretch, timeframe: str, stored: dict[str, list[StoredCandles]]
) -> tuple[int, int]:
    """Return the first and the last open time, ms."""
    chosen, length = _of(stored, timeframe), timeframe_ms(timeframe)
    newest = min(one.last for one in chosen)
    since, until = max(one.first for one in chosen), newest
    if stretch.since is not None:
        since = parse_since(stretch.since, newest + length)
        # The first candle that opens at or after it.
        since = open_time(since + length - 1, timeframe)
    if stretch.until is not None:
        until = open_time(parse_since(stretch.until, newest + length), timeframe)
    if until < since:
        raise InvalidInput(
            f"The stretch from {iso(since)} to {iso(until)} has no candle of {timeframe}. Pass a "
            f"later until. Stored of {chosen[0].symbol}: {_spans(stored[chosen[0].symbol])}."
        )
    return since, until


def _check(
    stretch: StoredStretch,
    storage: CandleStorage,
    symbol: str,
    timeframe: str,
    bounds: tuple[int, int],
) -> None:
    """Raise an error if candles are missing that are no holes of the venue."""
    runs = storage.missing(symbol, timeframe, *bounds)
    if not runs:
        return
    length = timeframe_ms(timeframe)
    count = sum((last - first) // length + 1 for first, last in runs)
    shown = ", ".join(
        iso(first) if first == last else f"{iso(first)} to {iso(last)}" for first, last in runs[:3]
    )
    more = f" and {len(runs) - 3} more gaps" if len(runs) > 3 else ""
    raise InvalidInput(
        f"{formats.count(count)} of the {timeframe} candles of {symbol} from {iso(bounds[0])} to "
        f"{iso(bounds[1])} are not stored ({shown}{more}). "
        f"Stored of it: {_spans(inventory(storage, symbol))}. "
        f"{_advice(stretch, symbol, timeframe, bounds)}"
    )


def _lead(storage: CandleStorage, symbol: str, timeframe: str, since: int, lead: int) -> int:
    """Return the first open time of the history: from there on no candle is missing."""
    first = open_time(max(0, since - lead), timeframe)
    runs = storage.missing(symbol, timeframe, first, since - 1) if first < since else []
    return runs[-1][1] + 1 if runs else first


def _absent(stretch: StoredStretch, symbol: str, names: Sequence[str]) -> InvalidInput:
    return InvalidInput(
        f"No candles of {symbol} are stored. Stored symbols: {', '.join(names) or 'none'}."
        f"{did_you_mean(symbol, names)} {_advice(stretch, symbol)}"
    )


def _advice(
    stretch: StoredStretch,
    symbol: str,
    timeframe: str | None = None,
    bounds: tuple[int, int] | None = None,
) -> str:
    """Return what downloads the candles of a symbol."""
    name = timeframe or stretch.timeframe or "1m"
    since = stretch.since if bounds is None else iso(bounds[0]).removesuffix(" 00:00:00")
    if isinstance(since, int):
        since = iso(since).removesuffix(" 00:00:00")
    since = (since or "30d").replace(" ", "T")
    return (
        f"bl.research().download({symbol!r}, {name!r}, since={since!r}) fetches them without a "
        f"key, as does `botlib download {symbol} {name} --since {since}`, and import_files reads "
        "files."
    )


def _spans(found: Sequence[StoredCandles]) -> str:
    return "; ".join(f"{one.timeframe} from {iso(one.first)} to {iso(one.last)}" for one in found)
