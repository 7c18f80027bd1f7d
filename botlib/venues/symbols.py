"""Symbols as people and files write them, in either form, read by the venues that are known."""

from __future__ import annotations

from botlib.core.errors import UnknownSymbol
from botlib.venues.registry import VENUES


def unified_symbol(text: str) -> str:
    """Return the unified form of a symbol: ``BTCUSDT`` and ``btc/usdt`` become ``BTC/USDT``.

    Raises:
        UnknownSymbol: the text is no symbol, or its quote asset is not known at any venue.
    """
    errors = []
    for venue in VENUES.values():
        try:
            return venue.capabilities.unified_symbol(text)
        except UnknownSymbol as error:
            errors.append(error)
    raise errors[0]
