"""The databases of a data directory: which markets have candles, and of which symbols."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from botlib.core.clock import iso
from botlib.core.errors import (
    BotlibError,
    InvalidInput,
    OutdatedStore,
    UnknownSymbol,
    did_you_mean,
)
from botlib.core.timeframe import TIMEFRAMES
from botlib.store import CandleStorage, Database, database_path
from botlib.store.database import stamped_venue
from botlib.venues.registry import DEFAULT_VENUE, PAPER_PREFIX, VENUES

logger = logging.getLogger(__name__)


class StoredSpan(NamedTuple):
    """The stored candles of one timeframe: open times of the first and the last, ms."""

    timeframe: str
    first: int
    last: int

    def cells(self) -> list[str]:
        """Return timeframe, first and last time as cells of a table."""
        return [self.timeframe, iso(self.first)[:16], iso(self.last)[:16]]

    def __str__(self) -> str:
        return f"{self.timeframe} from {iso(self.first)[:16]} to {iso(self.last)[:16]}"


def open_reader(path: Path, venue: str) -> Database:
    """Open a database for reads, beside any writer; one of an earlier version is upgraded first.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    try:
        return Database.open(path, venue, readonly=True)
    except OutdatedStore:
        Database.open(path, venue).close()
        return Database.open(path, venue, readonly=True)


def paper_databases(directory: Path) -> dict[str, Path]:
    """Return the databases of paper markets in a data directory by name: ``synthetic-42``."""
    found = sorted((directory / "paper").glob("*.db"))
    # A ledger of the paper exchange has another file beside the database of the bot.
    return {path.stem: path for path in found if not path.stem.endswith(".ledger")}


def find_venue(directory: Path, name: str) -> str:
    """Return the stamp of the market that is meant by a name.

    Args:
        directory: the data directory.
        name: a venue, the stamp of a paper market, or the name of a paper market's database.

    Raises:
        InvalidInput: there is no such market.
    """
    if name in VENUES:
        return name
    papers = paper_databases(directory)
    if name in papers:
        return stamped_venue(papers[name])
    if isinstance(name, str) and name.startswith(PAPER_PREFIX):
        database_path(directory, name)
        return name
    known = [*VENUES, *papers]
    raise InvalidInput(
        f"There is no market {name!r} to research. Accepted: "
        f"{', '.join(repr(one) for one in known)}, or a stamp such as 'paper:synthetic:seed=42'. "
        f"Paper markets are those of {str(directory / 'paper')!r}."
        f"{did_you_mean(str(name), known)}"
    )


def spans(storage: CandleStorage, symbol: str) -> list[StoredSpan]:
    """Return the stored candles of a symbol, one span per timeframe, the shortest first."""
    found = []
    id_ = storage.database.id_of(symbol)
    with storage.database.reading() as connection:
        for timeframe in TIMEFRAMES:
            first, last = (
                connection.execute(
                    "SELECT timestamp FROM candles WHERE symbol = ? AND timeframe = ? "
                    f"AND closed = 1 ORDER BY timestamp {order} LIMIT 1",
                    (id_, timeframe),
                ).fetchone()
                for order in ("ASC", "DESC")
            )
            if first is not None and last is not None:
                found.append(StoredSpan(timeframe, first[0], last[0]))
    return found


def stored_elsewhere(
    directory: Path, venue: str, symbol: str, *, real_only: bool = False
) -> Iterator[str]:
    """Yield where other databases of a data directory have candles of a symbol, in sentences.

    Args:
        directory: the data directory.
        venue: the market that was asked, which is left out.
        symbol: in either form.
        real_only: look at the databases of venues only, not at those of paper markets.
    """
    places = {
        name: database_path(directory, name)
        for name, venue in VENUES.items()
        if not (real_only and venue.capabilities.play_money)
    }
    if not real_only:
        places |= paper_databases(directory)
    for name, path in places.items():
        try:
            if not path.is_file():
                continue
            stamp = stamped_venue(path)
            if stamp == venue:
                continue
            with Database.open(path, stamp, readonly=True) as database:
                found = spans(CandleStorage(database), symbol)
        except UnknownSymbol:
            return
        except BotlibError as error:
            logger.debug("%s was not searched for candles: %s", path, error)
            continue
        if found:
            kind = _kind(stamp)
            call = "bl.research()" if name == DEFAULT_VENUE else f"bl.research({name!r})"
            yield (
                f"{str(path)!r} has {kind} of {symbol} ({'; '.join(map(str, found))}): use {call}."
            )


def _kind(stamp: str) -> str:
    if stamp.startswith(PAPER_PREFIX):
        return "candles of a paper market"
    record = VENUES[stamp].capabilities
    return f"candles of {record.title}" if record.play_money else "real candles"
