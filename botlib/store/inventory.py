"""`inventory`: the stored candles of every symbol and timeframe, by source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from botlib.core.timeframe import timeframe_ms
from botlib.store.candles import CandleStorage

_CANDLES: Final = (
    "SELECT symbol, timeframe, source, count(*), min(timestamp), max(timestamp), count(revised) "
    "FROM candles WHERE closed = 1{only} GROUP BY symbol, timeframe, source"
)
_REVISIONS: Final = (
    "SELECT symbol, timeframe, count(*), max(revised) FROM revisions "
    "WHERE true{only} GROUP BY symbol, timeframe"
)


@dataclass(slots=True, kw_only=True)
class StoredCandles:
    """The closed candles of one symbol and timeframe."""

    symbol: str
    timeframe: str
    first: int
    """Open time of the oldest one, ms."""
    last: int
    sources: dict[str, int] = field(default_factory=dict)
    """Candles by source."""
    revised: int = 0
    """Candles whose values were corrected after they had closed."""
    revisions: int = 0
    """Number of corrections; the values before each are stored."""
    last_revision: int | None = None
    """Time of the newest correction, ms."""

    @property
    def candles(self) -> int:
        """The number of candles."""
        return sum(self.sources.values())


def inventory(
    storage: CandleStorage, symbol: str | None = None, timeframe: str | None = None
) -> list[StoredCandles]:
    """Return the stored candles of one symbol or timeframe, or of all, ordered by both.

    Args:
        storage: of any venue.
        symbol: in either form.
        timeframe: one of `botlib.core.timeframe.TIMEFRAMES`.
    """
    database = storage.database
    bindings: list[str] = []
    only = ""
    if symbol is not None:
        only += " AND symbol = ?"
        bindings.append(database.id_of(symbol))
    if timeframe is not None:
        timeframe_ms(timeframe)
        only += " AND timeframe = ?"
        bindings.append(timeframe)
    names = database.symbols()
    with database.reading() as connection:
        candles: list[Any] = connection.execute(_CANDLES.format(only=only), bindings).fetchall()
        changes: list[Any] = connection.execute(_REVISIONS.format(only=only), bindings).fetchall()
    found: dict[tuple[str, str], StoredCandles] = {}
    for id_, name, source, count, first, last, revised in candles:
        stock = found.setdefault(
            (id_, name), StoredCandles(symbol=names[id_], timeframe=name, first=first, last=last)
        )
        stock.first, stock.last = min(stock.first, first), max(stock.last, last)
        stock.sources[source] = count
        stock.revised += revised
    for id_, name, count, newest in changes:
        if (id_, name) in found:
            found[id_, name].revisions, found[id_, name].last_revision = count, newest
    return sorted(found.values(), key=lambda stock: (stock.symbol, timeframe_ms(stock.timeframe)))
