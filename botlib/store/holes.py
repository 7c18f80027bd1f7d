"""`Holes`: candles that the venue itself does not have. They are recorded, never invented."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from botlib.core.errors import InvalidInput
from botlib.core.timeframe import open_time, timeframe_ms
from botlib.store.database import Database

_COVERING: Final = (
    "SELECT start, finish, cause, marked FROM holes "
    "WHERE symbol = ? AND timeframe = ? AND start <= ? ORDER BY start DESC LIMIT 1"
)
_ANY: Final = "SELECT EXISTS (SELECT 1 FROM holes)"
_DELETE: Final = "DELETE FROM holes WHERE symbol = ? AND timeframe = ? AND start = ?"
_INSERT: Final = "INSERT INTO holes VALUES (?, ?, ?, ?, ?, ?)"
_BETWEEN: Final = (
    "FROM candles WHERE symbol = ? AND timeframe = ? AND closed = 1 AND timestamp BETWEEN ? AND ?"
)
_SPAN: Final = f"SELECT count(*), min(timestamp), max(timestamp) {_BETWEEN}"
_STEPS: Final = (
    "SELECT before, timestamp FROM (SELECT timestamp, "
    f"lag(timestamp) OVER (ORDER BY timestamp) AS before {_BETWEEN}) "
    "WHERE timestamp - before > ? ORDER BY timestamp"
)
_OVERLAPPING: Final = (
    "SELECT start, finish FROM holes WHERE symbol = ? AND timeframe = ? "
    "AND start <= ? AND finish >= ? ORDER BY start"
)

Run = tuple[int, int]
"""The first and last open time of consecutive candles, in ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Consecutive candles that the venue does not have; ``start`` and ``end`` are open times."""

    symbol: str
    timeframe: str
    start: int
    end: int
    cause: str
    marked: int
    """When it became known, in ms, UTC."""

    @property
    def candles(self) -> int:
        """The number of absent candles."""
        return (self.end - self.start) // timeframe_ms(self.timeframe) + 1


class Holes:
    """The holes of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def missing(self, symbol: str, timeframe: str, start: int, end: int) -> list[Run]:
        """Return the runs of candles that are neither stored closed nor known holes."""
        with self._database.reading() as connection:
            return _missing(connection.execute, self._database.id_of(symbol), timeframe, start, end)

    def mark(self, symbol: str, timeframe: str, start: int, end: int, cause: str, now: int) -> int:
        """Record missing candles between two times as holes; return their number."""
        step = timeframe_ms(timeframe)
        if end < start:
            raise InvalidInput(f"A hole cannot end at {end}, before it starts at {start}.")
        id_ = self._database.register(symbol)
        marked = 0
        with self._database.writing() as connection:
            execute = connection.execute
            for first, last in _missing(execute, id_, timeframe, start, end):
                marked += (last - first) // step + 1
                _insert(execute, id_, timeframe, (first, last), cause, now)
        return marked

    def known(self, execute: Any) -> bool:
        """Return whether there is any hole: most markets have none."""
        return bool(execute(_ANY).fetchone()[0])

    def remove(self, execute: Any, id_: str, timeframe: str, timestamp: int) -> None:
        """Remove one candle from the hole that contains it, if any."""
        hole = execute(_COVERING, (id_, timeframe, timestamp)).fetchone()
        if hole is None or hole[1] < timestamp:
            return
        start, finish, cause, marked = hole
        step = timeframe_ms(timeframe)
        execute(_DELETE, (id_, timeframe, start))
        for first, last in ((start, timestamp - step), (timestamp + step, finish)):
            if first <= last:
                execute(_INSERT, (id_, timeframe, first, last, cause, marked))

    def all(self, symbol: str | None, timeframe: str | None) -> list[Hole]:
        """Return the holes of a symbol and a timeframe; None is all of them."""
        id_ = None if symbol is None else self._database.id_of(symbol)
        with self._database.reading() as connection:
            rows: list[Any] = connection.execute(
                "SELECT symbols.symbol, timeframe, start, finish, cause, marked FROM holes "
                "JOIN symbols ON symbols.id = holes.symbol "
                "WHERE (?1 IS NULL OR holes.symbol = ?1) AND (?2 IS NULL OR timeframe = ?2) "
                "ORDER BY start, 1, 2",
                (id_, timeframe),
            ).fetchall()
        return [
            Hole(
                symbol=row[0],
                timeframe=row[1],
                start=row[2],
                end=row[3],
                cause=row[4],
                marked=row[5],
            )
            for row in rows
        ]


def _missing(execute: Any, id_: str, timeframe: str, start: int, end: int) -> list[Run]:
    step = timeframe_ms(timeframe)
    first = open_time(start, timeframe)
    first += step if first < start else 0
    last = open_time(end, timeframe)
    if first > last:
        return []
    count, lowest, highest = execute(_SPAN, (id_, timeframe, first, last)).fetchone()
    if count == (last - first) // step + 1:
        return []
    if count == 0:
        runs = [(first, last)]
    else:
        runs = [(first, lowest - step)]
        runs += [
            (before + step, after - step)
            for before, after in execute(_STEPS, (id_, timeframe, first, last, step))
        ]
        runs.append((highest + step, last))
    holes = execute(_OVERLAPPING, (id_, timeframe, last, first)).fetchall()
    return list(_without(runs, holes, step))


def _without(runs: Iterable[Run], holes: list[Run], step: int) -> Iterator[Run]:
    """Yield the parts of ``runs`` outside ``holes``; both are ascending and do not overlap."""
    for first, last in runs:
        for start, finish in holes:
            if finish < first or start > last:
                continue
            if first < start:
                yield first, start - step
            first = finish + step
        if first <= last:
            yield first, last


def _insert(execute: Any, id_: str, timeframe: str, run: Run, cause: str, now: int) -> None:
    """Insert a hole, joined with adjacent holes of the same cause."""
    step = timeframe_ms(timeframe)
    first, last = run
    before = execute(_COVERING, (id_, timeframe, first - step)).fetchone()
    if before is not None and before[1] == first - step and before[2] == cause:
        execute(_DELETE, (id_, timeframe, before[0]))
        first, now = before[0], before[3]
    after = execute(_COVERING, (id_, timeframe, last + step)).fetchone()
    if after is not None and after[0] == last + step and after[2] == cause:
        execute(_DELETE, (id_, timeframe, after[0]))
        last = after[1]
    execute(_INSERT, (id_, timeframe, first, last, cause, now))
