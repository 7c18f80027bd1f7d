"""The profiles of the synthetic market's symbols: usual price, volatility and turnover."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import numpy as np

from botlib.core.symbol import split_symbol
from botlib.core.timeframe import DAY, MINUTE

MINUTES_A_DAY: Final = DAY // MINUTE

_FIAT: Final = {
    **dict.fromkeys(("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "DAI", "USD", "USD1"), 1.0),
    **{"EUR": 1.1, "AEUR": 1.1, "EURI": 1.1, "GBP": 1.3, "AUD": 0.66, "JPY": 0.0067, "TRY": 0.03},
    **{"BRL": 0.18, "RUB": 0.011, "UAH": 0.024, "PLN": 0.26, "RON": 0.22, "ZAR": 0.055},
    **{"ARS": 0.001, "MXN": 0.055, "CZK": 0.044, "COP": 0.00025, "IDR": 0.000062, "NGN": 0.00065},
}
# Usual price in USD, daily volatility, and turnover of the USDT pair in millions of USD a day.
_COINS: Final[dict[str, tuple[float, float, float]]] = {
    "BTC": (60_000, 0.026, 1_500),
    "ETH": (3_000, 0.034, 900),
    "BNB": (550, 0.032, 150),
    "SOL": (140, 0.045, 350),
    "XRP": (0.6, 0.042, 250),
    "ADA": (0.5, 0.045, 80),
    "DOGE": (0.15, 0.052, 200),
    "AVAX": (30, 0.05, 60),
    "LINK": (15, 0.048, 60),
    "LTC": (80, 0.04, 50),
    "DOT": (6, 0.046, 40),
    "TRX": (0.15, 0.03, 50),
    "SHIB": (0.000018, 0.055, 60),
    "PEPE": (0.00001, 0.07, 150),
}


class SymbolProfile(NamedTuple):
    """The properties in which symbols differ."""

    usual_price: float
    """Usual price, in quote units."""
    volatility: float
    """Standard deviation of a usual day's log return."""
    correlation: float
    """Correlation of its shocks with those of the whole market."""
    turnover: float
    """Usual volume of a minute, base units."""
    key: int
    """Seed of its generators."""


def seed_of(seed: int, name: str) -> int:
    """Return the seed of one of the market's generators, by its name."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:16], "big")


def _coin(asset: str) -> tuple[float, float, float, float]:
    """Return an asset's price in USD, daily volatility, turnover in millions, and correlation."""
    if asset in _FIAT:
        steady = _FIAT[asset] == 1.0
        return _FIAT[asset], 0.0004 if steady else 0.005, 300.0, 0.05
    if asset in _COINS:
        price, volatility, turnover = _COINS[asset]
        return price, volatility, turnover, 0.85 if volatility < 0.04 else 0.75
    # An unknown coin has the same profile under every seed; only its path differs.
    draw = np.random.Generator(np.random.PCG64(seed_of(0, asset))).random(3)
    price = float(f"{10 ** (-2 + 4 * draw[0]):.3g}")
    return price, float(0.045 + 0.035 * draw[1]), float(10 ** (0.5 + 1.5 * draw[2])), 0.7


def symbol_profile(seed: int, symbol: str) -> SymbolProfile:
    """Return the profile of a unified symbol in the market of a seed."""
    base, quote = split_symbol(symbol)
    price, volatility, turnover, correlation = _coin(base)
    quote_price, quote_volatility, quote_turnover, quote_correlation = _coin(quote)
    if volatility > 0.01 and quote_volatility > 0.01:
        # The shocks that both coins share with the market cancel out in the pair.
        correlation, turnover = 0.25, 0.05 * min(turnover, quote_turnover)
        volatility = 0.7 * max(volatility, quote_volatility)
    else:
        correlation = max(correlation, quote_correlation)
        volatility = max(volatility, quote_volatility)
    return SymbolProfile(
        # A lower price would have too few ticks of 1e-8.
        usual_price=max(price / quote_price, 1e-5),
        volatility=volatility,
        correlation=correlation,
        turnover=turnover * 1e6 / price / MINUTES_A_DAY,
        key=seed_of(seed, symbol),
    )


def profile_decimals(profile: SymbolProfile) -> tuple[int, int]:
    """Return decimals of price and amount: about 10,000 ticks a price, 1,000 steps a minute."""
    price = int(np.clip(4 - np.floor(np.log10(profile.usual_price)), 0, 8))
    amount = int(np.clip(3 - np.floor(np.log10(profile.turnover)), 0, 8))
    return price, amount
