"""Figures of an equity curve and of round trips, by vectorbt's definitions.

A year has 365 days, as the market never closes. Returns are those from candle to candle, the first
against the cash at the start; the risk-free rate is zero. Undefined ratios are NaN, and an annual
return too large for a float is infinite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from botlib.core.timeframe import DAY

Floats = npt.NDArray[np.float64]

YEAR_MS: Final = 365 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveFigures:
    """Figures of one equity curve: fractions, drawdowns negative."""

    total_return: float
    annual_return: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    longest_drawdown: int
    """Most candles from a peak until it is reached again, or until the end."""


def candle_returns(equity: Floats, cash: float) -> Floats:
    """Return the return of each candle. ``equity`` is the value at each close, in quote units."""
    returns = np.empty_like(equity)
    returns[:1] = equity[:1] / cash - 1
    np.divide(equity[1:], equity[:-1], out=returns[1:])
    returns[1:] -= 1
    return returns


def curve_figures(equity: Floats, cash: float, freq_ms: int) -> CurveFigures:
    """Return the figures of an equity curve of n closes, ``freq_ms`` apart.

    Sharpe (1994): mean over standard deviation (n - 1), times the root of candles per year.
    Sortino and Price (1994): mean over the root mean square of the losses, likewise.
    Calmar (Young 1991): compounded annual return over the deepest drawdown.
    """
    returns = candle_returns(equity, cash)
    year = YEAR_MS / freq_ms
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = returns.mean()
        deviation = returns.std(ddof=1) if len(returns) > 1 else np.nan
        losses = np.minimum(returns, 0.0)
        downside = np.sqrt(np.dot(losses, losses) / len(returns))
        total = equity[-1] / cash - 1
        annual = (equity[-1] / cash) ** (year / len(equity)) - 1
        depth, longest = drawdown(equity, cash)
        return CurveFigures(
            total_return=float(total),
            annual_return=float(annual),
            volatility=float(deviation * np.sqrt(year)),
            sharpe=float(np.divide(mean, deviation) * np.sqrt(year)),
            sortino=float(np.divide(mean, downside) * np.sqrt(year)),
            calmar=float(np.divide(annual, -depth)),
            max_drawdown=depth,
            longest_drawdown=longest,
        )


def drawdown(equity: Floats, cash: float) -> tuple[float, int]:
    """Return the deepest drawdown (a negative fraction or 0) and the longest one in candles."""
    peaks = np.maximum(np.maximum.accumulate(equity), cash)
    depth = float((equity / peaks).min() - 1)
    at_peak = np.concatenate(([-1], np.flatnonzero(equity >= peaks)))
    between = np.diff(at_peak)
    recovered = int(between.max(initial=0))
    unrecovered = len(equity) - 1 - int(at_peak[-1])
    # Two peaks on neighbouring candles have no drawdown between them.
    return min(depth, 0.0), max(recovered if recovered > 1 else 0, unrecovered)


def profit_factor(profits: Floats) -> float:
    """Return the sum of the profits over the sum of the losses; NaN without either."""
    won = float(profits[profits > 0].sum())
    lost = float(-profits[profits < 0].sum())
    if lost == 0:
        return np.inf if won > 0 else np.nan
    return won / lost
