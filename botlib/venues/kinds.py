"""The kinds of markets, as badges show them: whose prices and whose money they are about."""

from __future__ import annotations

from typing import Final, NamedTuple


class MarketKind(NamedTuple):
    """A kind of market.

    ``note`` is what the badge of its own name leaves open, in a word or two; ``words`` say whose
    prices and whose money it is.
    """

    note: str
    words: str


KINDS: Final = {
    "paper": MarketKind("synthetic", "synthetic: not real prices"),
    "replay": MarketKind("play money", "recorded prices, play money"),
    "mirror": MarketKind("play money", "real prices, play money"),
    "watch": MarketKind("no orders", "real prices, nothing is ordered"),
    "testnet": MarketKind("play money", "prices of a test system, play money"),
    "demo": MarketKind("play money", "real prices, play money of the venue"),
    "live": MarketKind("", "real prices, real money"),
}
"""Every kind by its name, from the safest to the one with real money."""

STAND_IN: Final = MarketKind("stand-in", "a paper exchange stands in: not real prices")
"""What is said of a venue that a paper exchange stands in for, whatever the kind."""

PAPER_KINDS: Final = {
    "synthetic": "paper",
    "recording": "replay",
    "replay": "replay",
    "mirror": "mirror",
}
"""The kind of a paper market, by the word of its stamp or of the settings."""


def market_kind(venue: str, configured: str) -> str:
    """Return the kind of a market.

    Args:
        venue: its name, or the stamp of a paper market; empty if it is not known yet.
        configured: the kind by the settings.
    """
    if not venue.startswith("paper:"):
        return configured
    return PAPER_KINDS.get(venue.split(":")[1], "paper")
