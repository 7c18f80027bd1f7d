"""`TearSheet`: the figures and tables of a backtest that one looks at first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from botlib.backtesting.tearsheet.benchmark import benchmark_values
from botlib.backtesting.tearsheet.drawdowns import drawdown_list
from botlib.backtesting.tearsheet.excursions import excursions
from botlib.backtesting.tearsheet.periods import (
    alpha_beta,
    monthly_returns,
    period_ms,
    period_values,
    periods_per_year,
    returns_of,
    rolling_figures,
    sharpe,
)
from botlib.core.errors import InvalidInput
from botlib.core.received import refused
from botlib.core.text import formats
from botlib.core.timeframe import parse_duration

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.result import BacktestResult

WINDOW: Final = "90d"
"""The longest window of the rolling figures; a shorter history has one of a quarter of it."""

LEAST_WINDOW: Final = 5
"""Periods."""

DRAWDOWNS: Final = 10
"""Rows of the list of drawdowns."""


class TearSheet:
    """A backtest beside a benchmark: tables, and a card that shows them in a notebook.

    Returns, Sharpe ratio and volatility are those of days (UTC); candles longer than a day are used
    as they are. ``name`` is that of the benchmark.

    Args:
        result: the backtest.
        benchmark: prices or equity as a series by open time, another result, or None to buy and
            hold what was traded.
        window: length of the rolling figures, such as ``"30d"``.

    Raises:
        InvalidInput: the benchmark or the window cannot be used.
    """

    def __init__(
        self, result: BacktestResult, *, benchmark: object = None, window: str | None = None
    ) -> None:
        self.result = result
        self.name, held, start = benchmark_values(benchmark, result)
        self.equity = period_values(result.equity, result.timeframe)
        """Value at the end of every day."""
        self.year = periods_per_year(result.timeframe)
        self.returns = returns_of(self.equity, result.cash).rename("return")
        self.beside = held * (result.cash / start)
        """Value of the benchmark at every candle, from the same cash."""
        self.benchmark = period_values(self.beside, result.timeframe)
        """Value of the benchmark at the end of every day."""
        self.benchmark_returns = returns_of(self.benchmark, result.cash).rename(self.name)
        self.window = self._periods(window)
        """Periods of the rolling figures."""

    @cached_property
    def monthly(self) -> pd.DataFrame:
        """The return of every month: a row per year, columns 1 to 12 and ``year``."""
        return monthly_returns(self.equity, self.result.cash)

    @cached_property
    def rolling(self) -> pd.DataFrame:
        """Sharpe ratio and volatility of the last `window` days, per year."""
        return rolling_figures(self.returns, self.window, self.year)

    @cached_property
    def drawdowns(self) -> pd.DataFrame:
        """The deepest drawdowns: peak, trough, recovered, depth, length, recovery."""
        return drawdown_list(self.result.equity, self.result.cash, DRAWDOWNS)

    @cached_property
    def trips(self) -> pd.DataFrame:
        """The round trips with ``mae`` and ``mfe``: the farthest they went against and for it.

        Fractions of the entry price. Of the candle of the exit only the exit price counts.
        """
        trips = self.result.roundtrips
        against, along = excursions(trips, self.result.frame)
        return trips.assign(mae=against, mfe=along)

    @cached_property
    def figures(self) -> dict[str, float]:
        """Figures beside those of ``result.stats()``: fractions, money in quote units."""
        alpha, beta = alpha_beta(
            self.returns.to_numpy(), self.benchmark_returns.to_numpy(), self.year
        )
        returns, trips = self.returns, self.trips
        done = trips[trips["exit_time"].notna()]
        won = done[done["pnl"] > 0]
        months = self.monthly.drop(columns="year").to_numpy(dtype=np.float64)
        return {
            "benchmark_return": float(self.benchmark.iloc[-1] / self.result.cash - 1),
            "benchmark_sharpe_daily": sharpe(self.benchmark_returns, self.year),
            "alpha": alpha,
            "beta": beta,
            "sharpe_daily": sharpe(returns, self.year),
            "volatility_daily": float(returns.std(ddof=1) * np.sqrt(self.year)),
            "best_day": float(returns.max()),
            "worst_day": float(returns.min()),
            "months_won": float((months[~np.isnan(months)] > 0).mean()),
            "average_win": float(won["return"].mean()),
            "average_loss": float(done.loc[done["pnl"] <= 0, "return"].mean()),
            "mae": float(done["mae"].mean()),
            "mfe": float(done["mfe"].mean()),
            "slippage_paid": self.result.slippage_paid,
        }

    def stats(self) -> pd.Series:
        """Return the figures of the backtest, and with them those of `figures`."""
        import pandas as pd

        stats = self.result.stats()
        added = pd.Series(self.figures, dtype=object)
        # The benchmark may be another one than that of the result.
        kept = stats.drop(labels=added.index, errors="ignore")
        return pd.Series({**kept, **added}, dtype=object, name=stats.name)

    def __repr__(self) -> str:
        one = self.figures
        return (
            f"<TearSheet {self.result.strategy} · {formats.count(len(self.equity))} days · "
            f"daily sharpe {formats.number(one['sharpe_daily'])} · "
            f"alpha {formats.percent(one['alpha'], sign=True)} · "
            f"beta {formats.number(one['beta'])} beside {self.name}>"
        )

    def _repr_html_(self) -> str:
        from botlib.backtesting.views.tear_sheet import tear_sheet_card

        return tear_sheet_card(self)

    def _periods(self, window: object) -> int:
        length = period_ms(self.result.timeframe)
        if window is None:
            most = round(parse_duration(WINDOW) * 1_000 / length)
            return max(LEAST_WINDOW, min(most, len(self.returns) // 4))
        if not isinstance(window, str):
            raise refused("window", window, "a span such as '30d'")
        periods = round(parse_duration(window) * 1_000 / length)
        if periods < 2:
            raise InvalidInput(
                f"window={window!r} is shorter than two of the periods that are measured, which "
                f"are {formats.interval(length / 1_000)} long. Accepted: a span such as '30d'."
            )
        return periods
