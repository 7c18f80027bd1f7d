"""`CandleStorage`: candles on disk with their source and first time, revisions and known holes.

All times are open times in ms, UTC, and every range includes both of its ends. Symbols are accepted
in either form and stored as the venue's id.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botlib.core.errors import InvalidInput
from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import is_open_time, timeframe_ms
from botlib.store.cache.candle_cache import (
    CandleCache,
    columns_frame,
    stored_columns,
)
from botlib.store.database import Database
from botlib.store.holes import Hole, Holes, Run
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_END: Final = 2**63 - 1

_STORED: Final = (
    "SELECT closed, open, high, low, close, volume, source FROM candles "
    "WHERE symbol = ? AND timeframe = ? AND timestamp = ?"
)
_ANY: Final = (
    "SELECT EXISTS (SELECT 1 FROM candles "
    "WHERE symbol = ? AND timeframe = ? AND timestamp BETWEEN ? AND ?)"
)
_INSERT: Final = "INSERT INTO candles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)"
_UPDATE: Final = (
    "UPDATE candles SET open = ?, high = ?, low = ?, close = ?, volume = ?, closed = ?, "
    "source = ? WHERE symbol = ? AND timeframe = ? AND timestamp = ?"
)
_REVISE: Final = (
    "UPDATE candles SET open = ?, high = ?, low = ?, close = ?, volume = ?, source = ?, "
    "revised = ? WHERE symbol = ? AND timeframe = ? AND timestamp = ?"
)
_KEEP: Final = "INSERT INTO revisions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_RANGE: Final = (
    "SELECT timestamp, open, high, low, close, volume, source FROM candles "
    "WHERE symbol = ? AND timeframe = ? AND timestamp BETWEEN ? AND ? AND closed = 1 "
    "ORDER BY timestamp {order} LIMIT ?"
)

_REPAIRED: Final = (
    "WITH span AS (SELECT timestamp, source, revised FROM candles WHERE symbol = ?1 "
    "AND timeframe = ?2 AND timestamp BETWEEN ?3 AND ?4 AND closed = 1) "
    "SELECT timestamp FROM span WHERE revised IS NOT NULL OR (source <> 'stream' "
    "AND timestamp > (SELECT min(timestamp) FROM span WHERE source = 'stream')) ORDER BY timestamp"
)


@dataclass(slots=True, kw_only=True)
class WriteReport:
    """The result of one call of `CandleStorage.write`, in candles."""

    inserted: int = 0
    """New rows, open or closed."""
    updated: int = 0
    """Open rows that a later open candle replaced."""
    unchanged: int = 0
    """Candles that are stored already with the same values."""
    revised: int = 0
    """Closed rows that a closed candle corrected; the old values are stored as revisions."""
    late: int = 0
    """Open candles refused because the closed one, or a later state, is stored."""
    flawed: int = 0
    """Candles refused because they are impossible."""
    final: list[Candle] = field(default_factory=list)
    """The candles that became final by this call, in the order of the argument."""

    @property
    def closed(self) -> int:
        """The number of candles that became final by this call."""
        return len(self.final)

    @property
    def refused(self) -> int:
        """The number of candles refused."""
        return self.late + self.flawed


class CandleStorage:
    """The candles of one database. Every write is one transaction; reads do not wait for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holes = Holes(database)
        self._cache = CandleCache(database)

    @property
    def database(self) -> Database:
        """The database that it reads and writes."""
        return self._database

    def write(self, candles: Iterable[Candle], *, now: int, durable: bool = False) -> WriteReport:
        """Store candles, in any order, and return a report.

        A closed candle is final: an open one never replaces it, an equal one changes nothing, a
        different one is a revision. A closed candle inside a known hole is removed from the hole.

        Args:
            candles: of any unified symbols and timeframes.
            now: the time at which they became known, in ms, UTC.
            durable: return only when they are on disk. Otherwise they survive the death of the
                process, but the newest ones may be lost in a power cut.

        Raises:
            StoreError: nothing of the call was stored.
        """
        report = WriteReport()
        sound = [candle for candle in candles if not self._flawed(candle, report)]
        ids = {symbol: self._database.register(symbol) for symbol in {c.symbol for c in sound}}
        if sound:
            with self._database.writing(durable=durable) as connection:
                execute = connection.execute
                if _all_new(execute, ids, sound):
                    connection.executemany(_INSERT, [_row(ids[c.symbol], c, now) for c in sound])
                    report.inserted += len(sound)
                    report.final += [candle for candle in sound if candle.closed]
                else:
                    for candle in sound:
                        self._write(execute, ids[candle.symbol], candle, now, report)
                if self._holes.known(execute):
                    for candle in report.final:
                        key = ids[candle.symbol], candle.timeframe, candle.timestamp
                        self._holes.remove(execute, *key)
        return report

    def frame(
        self,
        symbol: str,
        timeframe: str,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Return closed candles as a candle frame, one row each, oldest first.

        The index ``timestamp`` is the open time, tz-naive UTC, ``datetime64[ms]``; the columns
        ``open high low close volume`` are float64. Holes are absent rows. Long ranges come from
        the columnar cache, which is checked against SQLite. The caller may change the frame.

        Args:
            symbol: in either form.
            timeframe: one of `botlib.core.timeframe.TIMEFRAMES`.
            since: first open time in ms.
            until: last open time in ms.
            limit: most candles returned, the newest ones.
        """
        timeframe_ms(timeframe)
        _check(limit)
        id_ = self._database.id_of(symbol)
        first = -_END if since is None else since
        last = _END if until is None else until
        columns = None
        with self._database.reading() as connection:
            if self._cache.worth(timeframe, first, last, limit):
                columns = self._cache.columns(connection, id_, timeframe, first, last, limit)
            if columns is None:
                columns = stored_columns(connection, id_, timeframe, first, last, limit)
        return columns_frame(columns)

    def candles(
        self,
        symbol: str,
        timeframe: str,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
    ) -> list[Candle]:
        """Return closed candles, oldest first. The arguments are those of `frame`."""
        unified = unified_symbol(symbol)
        query, bindings = self._range(unified, timeframe, since, until, limit)
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(query, bindings).fetchall()
        if limit is not None:
            rows.reverse()
        sources = {source.value: source for source in CandleSource}
        return [
            Candle(
                symbol=unified,
                timeframe=timeframe,
                timestamp=row[0],
                open=row[1],
                high=row[2],
                low=row[3],
                close=row[4],
                volume=row[5],
                closed=True,
                source=sources[row[6]],
            )
            for row in rows
        ]

    def last_closed(self, symbol: str, timeframe: str) -> int | None:
        """Return the open time of the newest closed candle, or None if there is none."""
        timeframe_ms(timeframe)
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT timestamp FROM candles WHERE symbol = ? AND timeframe = ? AND closed = 1 "
                "ORDER BY timestamp DESC LIMIT 1",
                (self._database.id_of(symbol), timeframe),
            ).fetchone()
        return None if row is None else int(row[0])

    def span(self, symbol: str, timeframe: str) -> tuple[int, int] | None:
        """Return the open times of the oldest and the newest closed candle, or None."""
        timeframe_ms(timeframe)
        with self._database.reading() as connection:
            row: Any = connection.execute(
                "SELECT min(timestamp), max(timestamp) FROM candles "
                "WHERE symbol = ? AND timeframe = ? AND closed = 1",
                (self._database.id_of(symbol), timeframe),
            ).fetchone()
        return None if row[0] is None else (row[0], row[1])

    def missing(self, symbol: str, timeframe: str, start: int, end: int) -> list[tuple[int, int]]:
        """Return the runs of open times between two times that are neither stored nor holes.

        Each run is its first and its last missing open time. A candle that is stored but not
        closed is missing.
        """
        return self._holes.missing(symbol, timeframe, start, end)

    def mark_hole(
        self, symbol: str, timeframe: str, start: int, end: int, *, cause: str, now: int
    ) -> int:
        """Record that the venue has no candles between two times; return the number of new ones.

        Stored candles and known holes are left out.

        Args:
            symbol: in either form.
            timeframe: one of `botlib.core.timeframe.TIMEFRAMES`.
            start: first open time in ms.
            end: last open time in ms.
            cause: how it is known, as a text for reports.
            now: the time at which it became known, in ms, UTC.
        """
        return self._holes.mark(symbol, timeframe, start, end, cause, now)

    def holes(self, symbol: str | None = None, timeframe: str | None = None) -> list[Hole]:
        """Return the known holes of one symbol or timeframe, oldest first; None is all of them."""
        return self._holes.all(symbol, timeframe)

    def repaired(self, symbol: str, timeframe: str, since: int, until: int) -> list[Run]:
        """Return the runs of candles between two times that did not come from the stream.

        These are the candles that were fetched or imported after the first streamed candle of the
        span, and those that were revised; each run is its first and last open time. The history
        before streaming began does not count.
        """
        step = timeframe_ms(timeframe)
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                _REPAIRED, (self._database.id_of(symbol), timeframe, since, until)
            ).fetchall()
        runs: list[Run] = []
        for (timestamp,) in rows:
            if runs and timestamp == runs[-1][1] + step:
                runs[-1] = (runs[-1][0], timestamp)
            else:
                runs.append((timestamp, timestamp))
        return runs

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of closed candles by symbol (unified) and timeframe."""
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT symbols.symbol, timeframe, sum(closed) FROM candles "
                "JOIN symbols ON symbols.id = candles.symbol GROUP BY 1, 2 ORDER BY 1, 2"
            ).fetchall()
        by_length = sorted(rows, key=lambda row: (row[0], timeframe_ms(row[1])))
        return {(symbol, timeframe): count for symbol, timeframe, count in by_length if count}

    def _flawed(self, candle: Candle, report: WriteReport) -> bool:
        flaw = candle.flaw()
        if flaw is None and not is_open_time(candle.timestamp, candle.timeframe):
            flaw = "no candle opens at that time"
        if flaw is None:
            return False
        report.flawed += 1
        logger.warning(
            "Refused a candle of %s %s at %s: %s",
            candle.symbol,
            candle.timeframe,
            candle.timestamp,
            flaw,
        )
        return True

    def _write(self, execute: Any, id_: str, candle: Candle, now: int, report: WriteReport) -> None:
        key = (id_, candle.timeframe, candle.timestamp)
        values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        source = candle.source.value
        stored = execute(_STORED, key).fetchone()
        if stored is None:
            execute(_INSERT, _row(id_, candle, now))
            report.inserted += 1
        elif stored[0]:
            if not candle.closed:
                report.late += 1
            elif values == stored[1:6]:
                report.unchanged += 1
            else:
                execute(_KEEP, (*key, now, *stored[1:]))
                execute(_REVISE, (*values, source, now, *key))
                report.revised += 1
                logger.info("%s %s at %s was revised from %s to %s", *key, stored[1:6], values)
            return
        elif candle.closed:
            execute(_UPDATE, (*values, 1, source, *key))
        elif values == stored[1:6]:
            report.unchanged += 1
        elif _younger(stored[1:6], values):
            report.late += 1
        else:
            execute(_UPDATE, (*values, 0, source, *key))
            report.updated += 1
        if candle.closed:
            report.final.append(candle)

    def _range(
        self,
        symbol: str,
        timeframe: str,
        since: int | None,
        until: int | None,
        limit: int | None,
    ) -> tuple[str, tuple[object, ...]]:
        timeframe_ms(timeframe)
        _check(limit)
        order = "ASC" if limit is None else "DESC"
        return _RANGE.format(order=order), (
            self._database.id_of(symbol),
            timeframe,
            -_END if since is None else since,
            _END if until is None else until,
            _END if limit is None else limit,
        )


def _all_new(execute: Any, ids: Mapping[str, str], candles: list[Candle]) -> bool:
    """Return whether they are of one symbol and timeframe, with none stored in their range."""
    keys = {(candle.symbol, candle.timeframe) for candle in candles}
    times = {candle.timestamp for candle in candles}
    if len(keys) > 1 or len(times) < len(candles) or len(times) == 1:
        return False
    ((symbol, timeframe),) = keys
    bindings = (ids[symbol], timeframe, min(times), max(times))
    return not execute(_ANY, bindings).fetchone()[0]


def _row(id_: str, candle: Candle, now: int) -> tuple[object, ...]:
    return (
        id_,
        candle.timeframe,
        candle.timestamp,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        int(candle.closed),
        candle.source.value,
        now,
    )


def _check(limit: int | None) -> None:
    if limit is not None and limit < 0:
        raise InvalidInput(f"Cannot read {limit} candles. Accepted: a limit from 0 up, or None.")


def _younger(stored: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether the stored state of a forming candle is later than another state of it.

    While a candle forms, its volume and range only grow; frames may arrive in any order.
    """
    return stored[4] > other[4] or stored[1] > other[1] or stored[2] < other[2]
