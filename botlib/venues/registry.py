"""The registry of venues: which ones there are, and how the exchange of each is built."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.venues.binance.capabilities import BINANCE, BINANCE_DEMO, BINANCE_TESTNET

if TYPE_CHECKING:
    from collections.abc import Callable

    from botlib.venues.base import Exchange, ExchangeOptions
    from botlib.venues.capabilities import VenueCapabilities
    from botlib.venues.market_list import MarketList

PAPER_PREFIX: Final = "paper:"
"""What the stamp of every paper market begins with, such as ``paper:synthetic:seed=42``."""

SYNTHETIC_PREFIX: Final = f"{PAPER_PREFIX}synthetic:"
"""What the stamp of a paper market begins with whose candles are invented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVenue:
    """One venue: its record, and the class that reaches it.

    The class is named by ``module:class``, because the library behind it takes seconds to import.
    """

    capabilities: VenueCapabilities
    exchange: str
    markets: str | None = None
    """File of the shipped list of its largest markets, relative to this package, if any."""

    def load(self) -> Callable[..., Exchange]:
        """Import the class of its exchange, and return it."""
        module, _, name = self.exchange.partition(":")
        loaded: Callable[..., Exchange] = getattr(import_module(module), name)
        return loaded

    def build(self, venue: str, **options: Unpack[ExchangeOptions]) -> Exchange:
        """Return a new exchange, not connected yet, whose data are stamped with ``venue``."""
        return self.load()(venue=venue, capabilities=self.capabilities, **options)


_BINANCE: Final = "botlib.venues.binance.venue:BinanceExchange"

VENUES: Final[dict[str, RegisteredVenue]] = {
    BINANCE.name: RegisteredVenue(
        capabilities=BINANCE, exchange=_BINANCE, markets="binance/markets.json"
    ),
    BINANCE_TESTNET.name: RegisteredVenue(capabilities=BINANCE_TESTNET, exchange=_BINANCE),
    BINANCE_DEMO.name: RegisteredVenue(capabilities=BINANCE_DEMO, exchange=_BINANCE),
}
"""Every venue by its name."""

DEFAULT_VENUE: Final = BINANCE.name
"""The venue of research and live trading; paper exchanges speak its protocol."""


def registered(venue: str) -> RegisteredVenue:
    """Return the entry of a venue, or of the stamp of a paper market.

    Raises:
        InvalidInput: the venue is not registered.
    """
    name = DEFAULT_VENUE if venue.startswith(PAPER_PREFIX) else venue
    try:
        return VENUES[name]
    except KeyError:
        raise InvalidInput(
            f"Unknown venue {venue!r}. Accepted: {', '.join(VENUES)}, or the stamp of a paper "
            f"market such as 'paper:synthetic:seed=42'.{did_you_mean(name, VENUES)}"
        ) from None


def capabilities(venue: str = DEFAULT_VENUE) -> VenueCapabilities:
    """Return the record of a venue, or of the stamp of a paper market.

    Raises:
        InvalidInput: the venue is not registered.
    """
    return registered(venue).capabilities


def venue_in(environment: str) -> str:
    """Return the name of the venue of live trading in one of its environments."""
    return next(
        name for name, venue in VENUES.items() if venue.capabilities.environment == environment
    )


def shipped_markets(venue: str) -> MarketList | None:
    """Return the list of a venue's largest markets that botlib ships, if there is one."""
    markets = VENUES[venue].markets if venue in VENUES else None
    if markets is None:
        return None
    from botlib.venues.market_list import MarketList

    return MarketList.read(Path(__file__).parent / markets)


def build_exchange(venue: str, **options: Unpack[ExchangeOptions]) -> Exchange:
    """Return a new exchange of a venue, not connected yet.

    Args:
        venue: the name of a venue, or the stamp of a paper market.
        options: as `ExchangeOptions` lists them.

    Raises:
        InvalidInput: the venue is not registered, or an option is not accepted.
    """
    return registered(venue).build(venue, **options)
