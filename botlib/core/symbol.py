"""Symbols in their unified form ``BTC/USDT``: base asset, slash, quote asset.

The form without a slash belongs to a venue, which knows its quote assets:
`botlib.venues.symbols.unified_symbol` reads both.
"""

from __future__ import annotations

from botlib.core.errors import UnknownSymbol


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return the base and the quote asset of a unified symbol.

    Raises:
        UnknownSymbol: the symbol has no slash.
    """
    base, slash, quote = symbol.partition("/")
    if not slash:
        raise UnknownSymbol(f"{symbol!r} is no unified symbol. Accepted: 'BTC/USDT'.")
    return base, quote


def symbol_id(symbol: str) -> str:
    """Return a unified symbol without its slash, as ids are written: ``BTCUSDT``.

    Raises:
        UnknownSymbol: the symbol has no slash.
    """
    return "".join(split_symbol(symbol))
