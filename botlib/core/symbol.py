"""Symbols: the unified form ``BTC/USDT`` used everywhere, and the venue's id ``BTCUSDT``.

Configuration accepts both. The id alone does not say where the base ends, so it is split by the
quote assets Binance has listed, the longest first.
"""

from __future__ import annotations

import re
from typing import Final

from botlib.core.errors import UnknownSymbol

QUOTE_ASSETS: Final = (
    "FDUSD",
    "USDT",
    "USDC",
    "TUSD",
    "BUSD",
    "USDP",
    "USDS",
    "USD1",
    "IDRT",
    "BIDR",
    "BVND",
    "BKRW",
    "GYEN",
    "DOGE",
    "AEUR",
    "EURI",
    "VAI",
    "DAI",
    "PAX",
    "BTC",
    "ETH",
    "BNB",
    "XRP",
    "TRX",
    "DOT",
    "SOL",
    "EUR",
    "GBP",
    "AUD",
    "TRY",
    "BRL",
    "RUB",
    "UAH",
    "NGN",
    "ZAR",
    "PLN",
    "RON",
    "ARS",
    "JPY",
    "MXN",
    "CZK",
    "COP",
    "IDR",
    "USD",
)

# ADAEUR is ADA/EUR: AEUR was listed against these alone, EUR against many that end in A.
_ONLY_BASES: Final = {"AEUR": frozenset({"BTC", "ETH", "EUR"})}

_ASSET = r"[A-Z0-9]{1,20}"
_UNIFIED = re.compile(rf"({_ASSET})/({_ASSET})")
_ID = re.compile(_ASSET)


def unified_symbol(text: str) -> str:
    """Return the unified form of a symbol: ``BTCUSDT`` and ``btc/usdt`` become ``BTC/USDT``.

    Raises:
        UnknownSymbol: the text is no symbol, or its quote asset is not known.
    """
    word = text.strip().upper() if isinstance(text, str) else ""
    if _UNIFIED.fullmatch(word):
        return word
    if _ID.fullmatch(word):
        for quote in QUOTE_ASSETS:
            base = word.removesuffix(quote)
            if base and base != word and base in _ONLY_BASES.get(quote, (base,)):
                return f"{base}/{quote}"
    raise UnknownSymbol(
        f"Cannot read {text!r} as a symbol. Accepted: 'BTC/USDT' or 'BTCUSDT'; "
        "write the slash where the quote asset is an unusual one."
    )


def symbol_id(symbol: str) -> str:
    """Return the venue's id of a symbol: ``BTC/USDT`` becomes ``BTCUSDT``."""
    base, quote = split_symbol(symbol)
    return base + quote


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return the base and the quote asset of a symbol in either form."""
    base, _, quote = unified_symbol(symbol).partition("/")
    return base, quote
