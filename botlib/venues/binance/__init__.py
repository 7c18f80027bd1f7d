"""Binance spot through ccxt.pro: the same way to the real venue and to the paper exchange.

ccxt belongs to this package alone. `BinanceExchange` is all that others need.
"""

from botlib.venues.binance.venue import BinanceExchange

__all__ = ["BinanceExchange"]
