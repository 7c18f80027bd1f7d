"""The result of a backtest: figures, round trips, equity, pictures and a report."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from botlib.backtesting.arguments import checked
from botlib.backtesting.metrics import CurveFigures, Floats, curve_figures, profit_factor
from botlib.backtesting.significance.bootstrapped import Bootstrapped
from botlib.backtesting.simulate import REASONS, BacktestRun, SimulatedCandles, portfolio_of
from botlib.core.text import formats
from botlib.core.text.masking import masked
from botlib.core.timeframe import timeframe_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from botlib.backtesting.tearsheet import TearSheet
    from botlib.backtesting.terms import Terms
    from botlib.widgets.chart import Chart


class BacktestResult(Bootstrapped):
    """The result of a backtest; everything beyond the fills is computed when it is first used.

    ``frame`` holds the candles that were traded.
    """

    def __init__(
        self,
        *,
        strategy: str,
        symbol: str,
        timeframe: str,
        frame: pd.DataFrame,
        simulation: BacktestRun,
        terms: Terms,
    ) -> None:
        self.strategy = strategy
        self.symbol = symbol
        self.timeframe = timeframe
        self.frame = frame
        self.terms = terms
        self.cash = terms.cash
        self.costs = terms.costs
        """What fills cost."""
        self.fee = terms.costs.taker
        self.slippage = terms.costs.fixed or 0.0
        """Fraction by which orders at the market filled worse; 0 if it depends on the candle."""
        self.order_cost = terms.order_cost
        """Quote units an entry spends, ``"all"`` for all cash."""
        self.fills = simulation.fills
        self._freq_ms = simulation.freq_ms
        self.refused = simulation.refused
        """Entries and exits that the venue, or the limits, would have refused."""
        self.cut = simulation.cut
        """Fills that were smaller than wanted, since a candle had too little volume."""
        self.levels = simulation.levels
        """The stops and targets of its positions; None without any."""

    @cached_property
    def portfolio(self) -> Any:
        """The vectorbt ``Portfolio`` over the fills; the first one imports vectorbt."""
        return portfolio_of(self.frame, self.fills, self.cash, self._freq_ms)

    @cached_property
    def equity(self) -> pd.Series:
        """Cash plus the value of what is held, in quote units, at the close of every candle."""
        import pandas as pd

        return pd.Series(self._equity, index=self.frame.index, name="equity")

    @cached_property
    def roundtrips(self) -> pd.DataFrame:
        """One row per round trip, in order.

        Columns: entry_time, exit_time (NaT while held), entry_price, exit_price, amount (bought),
        sold, entry_fee, exit_fee, fees and pnl (quote units; pnl after fees), return (pnl over
        the value bought), candles (held), reason. A trip still open is valued at the last close.
        """
        from botlib.backtesting.round_trips import roundtrips

        return roundtrips(self.fills, self.frame)

    @cached_property
    def figures(self) -> CurveFigures:
        """Figures of the equity curve."""
        return curve_figures(self._equity, self.cash, timeframe_ms(self.timeframe))

    def stats(self) -> pd.Series:
        """Return the figures by name: fractions are fractions, money is in quote units.

        Definitions are those of vectorbt (`botlib.backtesting.metrics`). exposure: share of candles
        at whose close a position was held; turnover: value traded over mean equity.
        """
        import pandas as pd

        trips = self.roundtrips
        done = trips[trips["exit_time"].notna()]
        profits = done["pnl"].to_numpy(dtype=np.float64)
        from botlib.backtesting.round_trips import held_after

        figures, fills, length = self.figures, self.fills, timeframe_ms(self.timeframe)
        closes = self.frame["close"].to_numpy()
        values = {
            "start": self.frame.index[0],
            "end": self.frame.index[-1],
            "candles": len(self.frame),
            "cash": self.cash,
            "equity": float(self._equity[-1]),
            "total_return": figures.total_return,
            "annual_return": figures.annual_return,
            "benchmark_return": float(closes[-1] / closes[0] - 1),
            "volatility": figures.volatility,
            "sharpe": figures.sharpe,
            "sortino": figures.sortino,
            "calmar": figures.calmar,
            "max_drawdown": figures.max_drawdown,
            "longest_drawdown": pd.Timedelta(figures.longest_drawdown * length, unit="ms"),
            "round_trips": len(done),
            "open": len(trips) - len(done),
            "win_rate": float((profits > 0).mean()) if len(done) else np.nan,
            "profit_factor": profit_factor(profits),
            "best": float(done["return"].max()),
            "worst": float(done["return"].min()),
            "average": float(done["return"].mean()),
            "average_held": pd.Timedelta(
                (float(done["candles"].mean()) if len(done) else 0.0) * length, unit="ms"
            ),
            "exposure": float(self._spread(np.concatenate(([0.0], held_after(fills.buy)))).mean()),
            "turnover": float((fills.amount * fills.price).sum() / self._equity.mean()),
            "fees": float(fills.fee.sum()),
            "refused": self.refused,
            "cut": self.cut,
        }
        return pd.Series(values, dtype=object, name=self.strategy)

    @property
    def slippage_paid(self) -> float:
        """Quote units by which market orders filled worse than the market's price, in sum."""
        fills, candles = self.fills, SimulatedCandles.of(self.frame)
        market = fills.reason != REASONS.index("take_profit")
        taken = fills.amount / np.maximum(candles.volume[fills.row], np.finfo(float).tiny)
        share = self.costs.of_rows(candles.swing(fills.row), taken)
        worse = share / np.where(fills.buy, 1 + share, 1 - share)
        return float((fills.amount * fills.price * worse)[market].sum())

    @checked
    def plot(self, *, candles: int = 2_000) -> Any:
        """Return a plotly figure: price with entries and exits, equity, drawdown.

        Args:
            candles: most candles drawn; a longer history is merged into coarser ones.
        """
        from botlib.backtesting.views.plots import plot_result

        return plot_result(self, candles=candles)

    @checked
    def chart(
        self,
        *,
        overlays: Sequence[str] = (),
        panes: Sequence[str | Sequence[str]] = (),
        **options: Any,
    ) -> Chart:
        """Return an interactive chart of the candles with the round trips on them.

        Args:
            overlays: indicators over the candles, such as ``"ema(20)"``.
            panes: indicators below, one pane each; a list of several share one.
            options: as for `botlib.chart`: ``height``, ``title``, ``window``.
        """
        from botlib.backtesting.views.chart import chart_result

        return chart_result(self, overlays, panes, options)

    @checked
    def tearsheet(self, *, benchmark: object = None, window: str | None = None) -> TearSheet:
        """Return the tear sheet: what was earned beside a benchmark, month by month, and paid.

        Args:
            benchmark: prices or equity as a series by open time (UTC), the result of another
                backtest, or None to buy and hold what was traded.
            window: length of the rolling figures, such as ``"30d"``; None is 90 days, or a quarter
                of a shorter history.

        Raises:
            InvalidInput: the benchmark or the window cannot be used.
        """
        from botlib.backtesting.tearsheet import TearSheet

        return TearSheet(self, benchmark=benchmark, window=window)

    @checked
    def report(
        self, path: str | Path, *, benchmark: object = None, window: str | None = None
    ) -> Path:
        """Write the tear sheet and the round trips as an HTML page, and return its path.

        The page needs no network, and can be printed.

        Args:
            path: the file.
            benchmark: as for `tearsheet`.
            window: as for `tearsheet`.

        Raises:
            InvalidInput: the file cannot be written.
        """
        from botlib.backtesting.views.report import write_report

        return write_report(self.tearsheet(benchmark=benchmark, window=window), Path(path))

    def __repr__(self) -> str:
        figures, trips = self.figures, int((~self.fills.buy).sum())
        return masked(
            f"<BacktestResult {self.strategy} {self.symbol or '-'} {self.timeframe} · "
            f"{formats.count(len(self.frame))} candles · "
            f"{formats.percent(figures.total_return, sign=True)} · "
            f"sharpe {formats.number(figures.sharpe)} · "
            f"drawdown {formats.percent(figures.max_drawdown, 1)} · "
            f"{trips} round trips>"
        )

    def _repr_html_(self) -> str:
        from botlib.backtesting.views.report import result_card

        return result_card(self)

    @cached_property
    def _held(self) -> Floats:
        """Base units held at each close."""
        fills = self.fills
        change = np.where(fills.buy, fills.kept, -fills.amount)
        return self._spread(np.concatenate(([0.0], np.cumsum(change))))

    @cached_property
    def _equity(self) -> Floats:
        fills = self.fills
        value = np.where(fills.buy, -fills.kept, fills.amount) * fills.price - fills.fee
        cash = self._spread(self.cash + np.concatenate(([0.0], np.cumsum(value))))
        closes: Floats = self.frame["close"].to_numpy()
        return cash + self._held * closes

    def _spread(self, levels: Floats) -> Floats:
        """Return one value per candle from k + 1 levels, those before and after each of k fills."""
        edges = np.concatenate(([0], self.fills.row, [len(self.frame)]))
        spread: Floats = np.repeat(levels, np.diff(edges))
        return spread
