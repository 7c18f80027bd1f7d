"""Days of an equity curve: their returns, months and rolling figures.

A day is one of UTC. Its value is that at the close of the last candle that opens in it, and a day
without candles keeps the value of the day before. Candles longer than a day are used as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from botlib.backtesting.metrics import YEAR_MS, Floats
from botlib.core.timeframe import DAY, timeframe_ms

if TYPE_CHECKING:
    import pandas as pd


def period_ms(timeframe: str) -> int:
    """Return the length of a period in ms: a day, or a longer candle."""
    return max(DAY, timeframe_ms(timeframe))


def periods_per_year(timeframe: str) -> float:
    """Return how many periods a year of 365 days has."""
    return YEAR_MS / period_ms(timeframe)


def period_values(values: pd.Series, timeframe: str) -> pd.Series:
    """Return the last value of every period.

    Args:
        values: one value per candle, at its close; the index is the open time (UTC).
        timeframe: that of the candles.
    """
    if timeframe_ms(timeframe) >= DAY:
        return values
    return values.resample("D").last().ffill()


def returns_of(values: pd.Series, start: float) -> pd.Series:
    """Return the return of every period, the first against ``start``."""
    before = values.shift(1)
    before.iloc[:1] = start
    return values / before - 1


def sharpe(returns: pd.Series, year: float) -> float:
    """Return mean over standard deviation (n - 1), times the root of the periods in a year."""
    if len(returns) < 2:
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(returns.mean()) / returns.std(ddof=1) * np.sqrt(year))


def rolling_figures(returns: pd.Series, window: int, year: float) -> pd.DataFrame:
    """Return Sharpe ratio and volatility of the last ``window`` periods, per year.

    Returns:
        Columns sharpe and volatility; rows before the first whole window are left out.
    """
    import pandas as pd

    rolled = returns.rolling(window)
    deviation = rolled.std(ddof=1)
    # A stretch without a position has neither; rounding would make it a huge one.
    still = rolled.max() == rolled.min()
    table = pd.DataFrame(
        {
            "sharpe": (rolled.mean() / deviation * np.sqrt(year)).mask(still),
            "volatility": (deviation * np.sqrt(year)).mask(still, 0.0),
        }
    )
    return table.iloc[window - 1 :]


def monthly_returns(values: pd.Series, start: float) -> pd.DataFrame:
    """Return the return of every month: a row per year, columns 1 to 12 and ``year``.

    A month is measured from the end of the one before; the first from ``start``. Months outside of
    the values are NaN.
    """
    import pandas as pd

    index = pd.DatetimeIndex(values.index)
    ends = values.groupby([index.year, index.month]).last()
    table = returns_of(ends, start).unstack()
    table = table.reindex(columns=range(1, 13))
    table["year"] = (1 + table).prod(axis=1) - 1
    return table.rename_axis(index="year", columns="month")


def alpha_beta(returns: Floats, benchmark: Floats, year: float) -> tuple[float, float]:
    """Return alpha and beta of returns against those of a benchmark.

    Beta is the covariance over the variance of the benchmark; alpha is the mean of what beta leaves
    unexplained, compounded over a year. Jensen (1968), with a risk-free rate of zero.
    """
    if len(returns) < 2:
        return float("nan"), float("nan")
    market = benchmark - benchmark.mean()
    variance = float(np.dot(market, market))
    if variance == 0:
        return float("nan"), float("nan")
    beta = float(np.dot(returns - returns.mean(), market)) / variance
    mean = float(returns.mean() - beta * benchmark.mean())
    return (1 + mean) ** year - 1, beta
