"""The list of a venue's markets beside its database: written at a connection, read by research.

The file is ``<database>.markets.json``. It is replaced completely, so it needs no lock, and it may
be removed at any time: the next connection writes it again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from botlib.core.errors import InvalidInput
from botlib.core.files import private_directory
from botlib.store.atomic_files import draft
from botlib.venues.market_list import MarketList
from botlib.venues.registry import shipped_markets

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from botlib.core.market import Market

logger = logging.getLogger(__name__)


def market_list_path(database: Path) -> Path:
    """Return the path of the market list beside a database."""
    return database.with_name(database.name + ".markets.json")


def save_market_list(
    database: Path, venue: str, markets: Iterable[Market], *, now: int, fee: Decimal
) -> None:
    """Store what a venue lists beside its database; a failure is logged and harmless.

    Args:
        database: path of the database.
        venue: its stamp.
        markets: everything the venue lists.
        now: when they were read, ms UTC.
        fee: fraction of the value of a fill.
    """
    listed = MarketList(
        venue=venue,
        date=now,
        fee=fee,
        complete=True,
        note=f"read from {venue}",
        markets={market.symbol: market for market in markets},
    )
    try:
        private_directory(database.parent)
        with draft(market_list_path(database), durable=False) as file:
            file.write(listed.to_json())
    except OSError as error:
        logger.warning("The markets of %s could not be stored: %s", venue, error)


def load_market_list(database: Path, venue: str) -> MarketList | None:
    """Return the stored list of a venue's markets, or else the one shipped with botlib.

    Returns:
        None if nothing is known, as for a paper market that was never connected to.
    """
    path = market_list_path(database)
    try:
        listed = MarketList.read(path)
    except FileNotFoundError:
        return shipped_markets(venue)
    except (OSError, InvalidInput) as error:
        logger.warning("The stored list of markets is not used: %s", error)
        return shipped_markets(venue)
    if listed.venue != venue:
        logger.warning("%s holds the markets of %s and is not used", path, listed.venue)
        return shipped_markets(venue)
    return listed
