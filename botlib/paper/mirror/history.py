"""The closed candles of the mirrored venue, as it answered and streamed them, in a file.

Rows are kept as the venue sent them. What is known without a hole is written down as stretches of
open times: only a request that lies within one is answered from here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from botlib.core.errors import PaperExchangeError
from botlib.core.files import make_private, private_directory
from botlib.paper.market.intervals import KlineInterval
from botlib.paper.market.market import Bars

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS klines (
    symbol TEXT, interval TEXT, open INTEGER, row BLOB NOT NULL,
    PRIMARY KEY (symbol, interval, open)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known (
    symbol TEXT, interval TEXT, first INTEGER, last INTEGER,
    PRIMARY KEY (symbol, interval, first)
) WITHOUT ROWID;
"""
_APPLICATION: Final = 0x626C6D72
_CLOSE_TIME: Final = 6

Row = list[object]
"""A row of the answer of ``/klines``."""


class KlineHistory:
    """The closed candles that are known.

    Args:
        path: the file; None for a cache in memory.

    Raises:
        PaperExchangeError: the file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        try:
            if path is not None:
                private_directory(path.parent)
                make_private(path)
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=2.0)
            stamp = self._db.execute("PRAGMA application_id").fetchone()[0]
            empty = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if not empty and stamp != _APPLICATION:
                raise sqlite3.DatabaseError("it holds something else")
            self._db.execute(f"PRAGMA application_id={_APPLICATION}")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise PaperExchangeError(
                f"The candles of the mirror cannot be stored in {path}: {error}. Move the file "
                "away; it is a cache, and is fetched again."
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- writing

    def put(
        self, symbol: str, kind: KlineInterval, rows: Sequence[Row], first: int, last: int
    ) -> None:
        """Store closed candles.

        Args:
            symbol: its id.
            kind: the interval.
            rows: all candles that the venue has between the two times.
            first: open time from which on they are all of them, ms.
            last: last open time of which that is true, ms.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                "INSERT OR REPLACE INTO klines VALUES (?, ?, ?, ?)",
                [(symbol, kind.code, row[0], orjson.dumps(row)) for row in rows],
            )
            self._join(symbol, kind, first, last)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _join(self, symbol: str, kind: KlineInterval, first: int, last: int) -> None:
        key = (symbol, kind.code)
        touching = [
            (begin, end)
            for begin, end in self._db.execute(
                "SELECT first, last FROM known WHERE symbol = ? AND interval = ?", key
            )
            if begin <= kind.next(last) and first <= kind.next(end)
        ]
        for begin, _ in touching:
            self._db.execute(
                "DELETE FROM known WHERE symbol = ? AND interval = ? AND first = ?", (*key, begin)
            )
        begins, ends = [first, *(one for one, _ in touching)], [last, *(one for _, one in touching)]
        self._db.execute("INSERT INTO known VALUES (?, ?, ?, ?)", (*key, min(begins), max(ends)))

    def learn(
        self,
        symbol: str,
        kind: KlineInterval,
        rows: Sequence[Row],
        *,
        start: int | None,
        now: int,
    ) -> None:
        """Store what an answer of the venue says about closed candles.

        Args:
            symbol: its id.
            kind: the interval.
            rows: the rows of the answer, without a gap between them that is not the venue's.
            start: first time that was asked for (ms), None if the newest were.
            now: the venue's market time, ms; later candles are not closed.

        Raises:
            ValueError: a row is no candle.
            TypeError, LookupError: as well.
        """
        closed = [row for row in rows if int(str(row[_CLOSE_TIME])) < now]
        if not closed:
            return
        # What is stored once is read for ever.
        for row in closed:
            if not isinstance(row[0], int) or not all(isfinite(float(str(v))) for v in row[1:6]):
                raise ValueError(f"{row!r} is no candle")
        begin = int(str(closed[0][0]))
        if start is not None:
            opened = kind.open(start)
            begin = min(begin, opened if opened == start else kind.next(opened))
        self.put(symbol, kind, closed, begin, int(str(closed[-1][0])))

    # -- reading

    def last(self, symbol: str, kind: KlineInterval) -> int | None:
        """Return the open time (ms) of the newest candle that is known, None without any."""
        found = self._db.execute(
            "SELECT max(last) FROM known WHERE symbol = ? AND interval = ?", (symbol, kind.code)
        ).fetchone()
        return None if found[0] is None else int(found[0])

    def answer(
        self, symbol: str, kind: KlineInterval, start: int | None, end: int | None, limit: int
    ) -> bytes | None:
        """Return the answer to a request for candles as JSON, None if it is not known whole.

        Args:
            symbol: its id.
            kind: the interval.
            start: first open time, ms; None for the newest candles up to ``end``.
            end: last open time, ms; None for the present.
            limit: most candles.
        """
        if start is None and end is None:
            return None
        last = None if end is None else kind.open(end)
        if start is None:
            assert last is not None
            begin = self._stretch(symbol, kind, last)
            if begin is None:
                return None
            rows = self._rows(symbol, kind, begin[0], last, limit, newest=True)
            return _list(rows) if len(rows) == limit else None
        opened = kind.open(start)
        first = opened if opened == start else kind.next(opened)
        stretch = self._stretch(symbol, kind, first)
        if stretch is None:
            return None
        until = stretch[1] if last is None else min(last, stretch[1])
        rows = self._rows(symbol, kind, first, until, limit, newest=False)
        whole = len(rows) == limit or (last is not None and last <= stretch[1])
        return _list(rows) if whole else None

    def _stretch(self, symbol: str, kind: KlineInterval, opened: int) -> tuple[int, int] | None:
        found = self._db.execute(
            "SELECT first, last FROM known WHERE symbol = ? AND interval = ? AND first <= ? "
            "AND last >= ?",
            (symbol, kind.code, opened, opened),
        ).fetchone()
        return None if found is None else (int(found[0]), int(found[1]))

    def _rows(
        self, symbol: str, kind: KlineInterval, first: int, last: int, limit: int, *, newest: bool
    ) -> list[bytes]:
        order = "DESC" if newest else "ASC"
        found = self._db.execute(
            "SELECT row FROM klines WHERE symbol = ? AND interval = ? AND open BETWEEN ? AND ? "
            f"ORDER BY open {order} LIMIT ?",
            (symbol, kind.code, first, last, limit),
        ).fetchall()
        rows = [bytes(row[0]) for row in found]
        return rows[::-1] if newest else rows

    def bars(self, symbol: str, interval: str, first: int, last: int) -> Bars:
        """Return the known candles that open between two times (ms, both included)."""
        found = self._db.execute(
            "SELECT row FROM klines WHERE symbol = ? AND interval = ? AND open BETWEEN ? AND ? "
            "ORDER BY open",
            (symbol, interval, first, last),
        )
        rows = [orjson.loads(row[0])[:6] for row in found]
        if not rows:
            return Bars.empty()
        table = np.array([[float(value) for value in row[1:]] for row in rows], np.float64)
        times = np.array([row[0] for row in rows], np.int64)
        return Bars(times, *(table[:, column] for column in range(5)))


def kline_row(frame: bytes) -> Row:
    """Return the kline of a stream's payload as a row of the answer of ``/klines``."""
    one = orjson.loads(frame)["k"]
    return [one[name] for name in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]


def _list(rows: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(rows)
