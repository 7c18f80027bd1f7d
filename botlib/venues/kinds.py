"""The kinds of markets, as badges show them: whose prices and whose money they are about."""

from __future__ import annotations

from typing import Final

KINDS: Final = {
    "paper": "invented prices, play money",
    "replay": "recorded prices, play money",
    "mirror": "real prices, play money",
    "watch": "real prices, nothing is ordered",
    "testnet": "prices of a test system, its play money",
    "demo": "real prices, play money of the venue",
    "live": "real prices, real money",
}
"""What each kind is, from the safest to the one with real money."""

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
