"""The source of a mirror: the venue, its addresses, and how long it may be silent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from botlib.paper.control import require_local
from botlib.venues.registry import VENUES, capabilities

STALE_AFTER: Final = 10.0
"""Usual seconds without a frame after which a mirror is stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSource:
    """The venue that a mirror follows.

    Attributes:
        venue: its name.
        upstream: a paper exchange that stands in for it, None for the venue itself.
        stale_after: seconds without a frame after which nothing is filled any more.
        book: whether orders walk the mirrored book; otherwise they fill at the last price.
        cache: file of its closed candles; None for a cache that ends with the process.

    Raises:
        PaperExchangeError: the upstream is not on this computer.
    """

    venue: str = "binance"
    upstream: str | None = None
    stale_after: float = STALE_AFTER
    book: bool = True
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.upstream is not None:
            require_local(self.upstream)

    @property
    def stamp(self) -> str:
        """Identity of the market: ``paper:mirror:binance``, with the port of a stand-in."""
        stand_in = "" if self.upstream is None else f"@{urlsplit(self.upstream).port}"
        return f"paper:mirror:{self.venue}{stand_in}"

    @property
    def rest(self) -> str:
        """Address of its public requests, without a path."""
        return self.upstream or capabilities(self.venue).public_rest

    @property
    def streams(self) -> str:
        """Address of its combined streams."""
        if self.upstream is not None:
            return f"{self.upstream.replace('http', 'ws', 1)}/stream"
        return f"{capabilities(self.venue).public_streams}/stream"


def mirrored_venues() -> list[str]:
    """Return the names of the venues that can be mirrored."""
    return [name for name, venue in VENUES.items() if venue.capabilities.public_rest]
