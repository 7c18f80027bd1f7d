"""`ExperimentBook`: every run of research on a data directory, and every combination it tried.

It is one SQLite file for all markets, which any number of processes write: a write takes
milliseconds, and others wait for it. The file is opened for each read or write and closed again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
import numpy as np
import numpy.typing as npt

from botlib.core.errors import NotAStore, StoreError
from botlib.core.files import make_private, private_directory
from botlib.core.text.masking import masked
from botlib.store import library_guard
from botlib.store.experiment_schema import prepare
from botlib.store.paths import experiments_path

BUSY_TIMEOUT: Final = 5_000
"""Longest wait in ms for the write of another process."""

_COLUMNS: Final = (
    "id", "recorded", "kind", "strategy", "code", "data", "venue", "symbol", "timeframe", "first",
    "last", "candles", "metric", "trials", "independent", "cash", "parameters", "terms", "figures",
    "times", "equity",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One run of research: a backtest, a sweep or a walk forward.

    Attributes:
        id: its number in the book, 0 before it is there.
        recorded: when it ended, wall time, ms UTC.
        kind: ``backtest``, ``sweep`` or ``walk_forward``.
        strategy: name of the class.
        code: hash of the source of the strategy.
        data: hash of the candles that were traded.
        venue: stamp of the market, empty if the candles came without one.
        first, last: open times of the traded candles, ms UTC.
        metric: the figure by which the parameters were chosen, empty for a backtest.
        trials: combinations that were tried.
        independent: the number of independent trials that they are worth.
        cash: quote units at the start.
        parameters: those of the best combination, or of the newest window of a walk forward.
        terms: of trade.
        figures: by name; those of the best combination.
        times, equity: the equity curve, in quote units, of at most some hundred points.
    """

    id: int = 0
    recorded: int
    kind: str
    strategy: str
    code: str
    data: str
    venue: str = ""
    symbol: str
    timeframe: str
    first: int
    last: int
    candles: int
    metric: str = ""
    trials: int = 1
    independent: float = 1.0
    cash: float
    parameters: Mapping[str, object]
    terms: Mapping[str, object]
    figures: Mapping[str, float]
    times: npt.NDArray[np.int64]
    equity: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierTrials:
    """The combinations of a strategy that earlier runs tried on a stretch of candles.

    Attributes:
        count: how many different ones.
        independent: the number of independent trials that they are worth.
        sharpes: their Sharpe ratios per year, without those that have none.
    """

    count: int
    independent: float
    sharpes: npt.NDArray[np.float64]


class ExperimentBook:
    """The experiment book of a data directory.

    Args:
        data_directory: the data directory; directories and file are made at the first write.
        venue: stamp of the market whose runs are written.
    """

    def __init__(self, data_directory: str | os.PathLike[str], venue: str = "") -> None:
        self.path: Final = experiments_path(Path(data_directory))
        self.venue: Final = venue

    def __repr__(self) -> str:
        return f"<ExperimentBook {str(self.path)!r}>"

    def add(self, run: Experiment, trials: Mapping[bytes, float]) -> int:
        """Store a run with the combinations it tried; return its number.

        Args:
            trials: key of each combination → its Sharpe ratio per year, NaN if it has none.

        Raises:
            StoreError: the file is damaged, locked for too long, or cannot be written.
        """
        with self._open(create=True) as connection, _transaction(connection):
            number = self._add_run(connection, run)
            stretch = self._stretch(connection, run)
            connection.executemany(
                "INSERT OR IGNORE INTO trials VALUES (?, ?, ?, ?)",
                [
                    (stretch, key, number, sharpe if math.isfinite(sharpe) else None)
                    for key, sharpe in trials.items()
                ],
            )
        return number

    def runs(self) -> list[Experiment]:
        """Return every run, the newest first.

        Raises:
            StoreError: the file is damaged, locked for too long, or cannot be read.
        """
        if not self.path.exists():
            return []
        with self._open() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM runs ORDER BY id DESC"
            ).fetchall()
        return [_run(row) for row in rows]

    def earlier(
        self,
        *,
        strategy: str,
        code: str,
        data: str,
        symbol: str,
        first: int,
        last: int,
        without: Collection[bytes],
    ) -> EarlierTrials:
        """Return the combinations of a strategy that were tried on a stretch of candles.

        Those of a class of the same name count, since editing a strategy is another try, and so do
        those on candles of the same market that overlap with the stretch.

        Args:
            strategy: name of the class.
            code, data: hashes of the strategy and of the candles.
            first, last: open times of the candles, ms UTC.
            without: keys of combinations of this code that are not counted.

        Raises:
            StoreError: the file is damaged, locked for too long, or cannot be read.
        """
        found: dict[tuple[str, bytes], tuple[int, float | None]] = {}
        worth: dict[int, float] = {}
        if self.path.exists():
            with self._open() as connection:
                rows: list[Any] = connection.execute(
                    _EARLIER,
                    (masked(strategy), code, data, symbol, symbol, self.venue, last, first),
                ).fetchall()
            own = set(without)
            for other, key, run, sharpe, each in rows:
                if other != code or key not in own:
                    found.setdefault((other, key), (run, sharpe))
                    worth[run] = each
        return EarlierTrials(
            count=len(found),
            independent=sum(worth[run] for run, _ in found.values()),
            sharpes=np.array([value for _, value in found.values() if value is not None]),
        )

    @contextmanager
    def _open(self, *, create: bool = False) -> Iterator[apsw.Connection]:
        try:
            if create:
                private_directory(self.path.parent)
                make_private(self.path)
            key = library_guard.enter(self.path)
        except OSError as error:
            raise StoreError(f"Cannot open {str(self.path)!r}: {error.strerror}.") from error
        try:
            with _explained(self.path):
                # Also to read: another process may just have made the file, without its tables.
                connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
                try:
                    connection.set_busy_timeout(BUSY_TIMEOUT)
                    prepare(connection, self.path)
                    yield connection
                finally:
                    connection.close()
        finally:
            library_guard.leave(key)

    def _add_run(self, connection: apsw.Connection, run: Experiment) -> int:
        values = {name: getattr(run, name) for name in _COLUMNS}
        values |= {
            "id": None,
            "venue": run.venue or self.venue,
            # What a user calls a class, or gives it, may be a key.
            "strategy": masked(run.strategy),
            "parameters": masked(_json(run.parameters)),
            "terms": _json(run.terms),
            "figures": _json({k: float(v) for k, v in run.figures.items() if math.isfinite(v)}),
            "times": np.ascontiguousarray(run.times, dtype="<i8").tobytes(),
            "equity": np.ascontiguousarray(run.equity, dtype="<f8").tobytes(),
        }
        marks = ", ".join("?" * len(_COLUMNS))
        connection.execute(
            f"INSERT INTO runs ({', '.join(_COLUMNS)}) VALUES ({marks})", tuple(values.values())
        )
        return connection.last_insert_rowid()

    def _stretch(self, connection: apsw.Connection, run: Experiment) -> int:
        venue = run.venue or self.venue
        connection.execute(
            "INSERT OR IGNORE INTO stretches VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
            (masked(run.strategy), run.code, run.data, venue, run.symbol, run.first, run.last),
        )
        row: Any = connection.execute(
            "SELECT id FROM stretches WHERE code = ? AND data = ? AND venue = ? AND symbol = ?",
            (run.code, run.data, venue, run.symbol),
        ).fetchone()
        return int(row[0])


_EARLIER: Final = """
SELECT stretches.code, trials.key, trials.run, trials.sharpe, runs.independent / runs.trials
FROM stretches JOIN trials ON trials.stretch = stretches.id JOIN runs ON runs.id = trials.run
WHERE (stretches.strategy = ? OR stretches.code = ?)
  AND (stretches.data = ? OR (
    ? != '' AND stretches.symbol = ? AND stretches.venue = ?
    AND stretches.first <= ? AND stretches.last >= ?))
ORDER BY trials.run
"""


def _run(row: tuple[Any, ...]) -> Experiment:
    values = dict(zip(_COLUMNS, row, strict=True))
    values |= {name: json.loads(values[name]) for name in ("parameters", "terms", "figures")}
    values["times"] = np.frombuffer(values["times"], dtype="<i8")
    values["equity"] = np.frombuffer(values["equity"], dtype="<f8")
    return Experiment(**values)


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(dict(values), default=repr)


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Convert errors of SQLite into errors of botlib."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise NotAStore(
            f"{str(path)!r} is damaged ({error}). It was left as it is. Restore a copy, or move it "
            "away: a new experiment book then begins."
        ) from error
    except apsw.BusyError as error:
        raise StoreError(f"{str(path)!r} is held by another program for too long.") from error
    except apsw.Error as error:
        raise StoreError(f"{str(path)!r}: {error}. Nothing of this run was stored.") from error
