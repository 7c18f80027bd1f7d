"""The result of a walk forward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from botlib.backtesting.metrics import CurveFigures, curve_figures
from botlib.backtesting.significance.bootstrapped import Bootstrapped
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card
from botlib.core.text.masking import masked
from botlib.core.text.tables import html_table, text_table
from botlib.core.timeframe import timeframe_ms

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.result import BacktestResult
    from botlib.strategy import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardWindow:
    """One window of a walk forward: parameters chosen in sample, traded out of sample.

    Attributes:
        train_from, train_until, test_from, test_until: open times of the first and last candles.
        in_sample: the metric of the best combination over the training candles.
        out_of_sample: the same metric of the same parameters over the test candles.
        result: the backtest over the test candles, which ends without a position.
        strategy: what was traded; it keeps what it learned from the training candles.
    """

    train_from: pd.Timestamp
    train_until: pd.Timestamp
    test_from: pd.Timestamp
    test_until: pd.Timestamp
    parameters: dict[str, object]
    in_sample: float
    out_of_sample: float
    result: BacktestResult
    strategy: Strategy


class WalkForwardResult(Bootstrapped):
    """The result of a walk forward.

    Attributes:
        metric: the figure the parameters were chosen by.
        left_over: candles after the last window, too few for another one.
        interrupted: whether the walk ended before its last window.
    """

    def __init__(
        self,
        *,
        strategy: type[Strategy],
        timeframe: str,
        symbol: str,
        windows: tuple[WalkForwardWindow, ...],
        metric: str,
        anchored: bool,
        cash: float,
        left_over: int,
        interrupted: bool,
    ) -> None:
        self.strategy = strategy
        self.timeframe = timeframe
        self.symbol = symbol
        self.windows = windows
        self.metric = metric
        self.anchored = anchored
        self.cash = cash
        self.left_over = left_over
        self.interrupted = interrupted

    @property
    def frame(self) -> pd.DataFrame:
        """One row per window: its times, parameters, and the metric in and out of sample."""
        import pandas as pd

        rows = [
            {
                "train_from": window.train_from,
                "train_until": window.train_until,
                "test_from": window.test_from,
                "test_until": window.test_until,
                **window.parameters,
                "in_sample": window.in_sample,
                "out_of_sample": window.out_of_sample,
                "total_return": window.result.figures.total_return,
                "round_trips": int((~window.result.fills.buy).sum()),
            }
            for window in self.windows
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="window"))

    @property
    def equity(self) -> pd.Series:
        """Out-of-sample equity in quote units at the close of every test candle."""
        import pandas as pd

        equity: pd.Series = pd.concat([window.result.equity for window in self.windows])
        return equity

    @property
    def roundtrips(self) -> pd.DataFrame:
        """The round trips of all windows, see `BacktestResult.roundtrips`."""
        import pandas as pd

        found = [window.result.roundtrips for window in self.windows]
        some = [trips for trips in found if len(trips)]
        return pd.concat(some, ignore_index=True) if some else found[0]

    @property
    def figures(self) -> CurveFigures:
        """Figures of the out-of-sample equity."""
        equity = self.equity.to_numpy(dtype=np.float64)
        return curve_figures(equity, self.cash, timeframe_ms(self.timeframe))

    @property
    def unrated(self) -> tuple[WalkForwardWindow, ...]:
        """The windows without a finite metric, in or out of sample.

        A Sharpe ratio needs a round trip, a profit factor a loss. They are in neither mean, so that
        both are over the same windows; `verdict` names how many there are.
        """
        return tuple(window for window in self.windows if not _is_rated(window))

    @property
    def in_sample(self) -> float:
        """Mean of the metric in sample, over all windows but `unrated`; NaN if none is left."""
        return _mean([window.in_sample for window in self.windows if _is_rated(window)])

    @property
    def out_of_sample(self) -> float:
        """Mean of the metric out of sample, over all windows but `unrated`; NaN if none is left."""
        return _mean([window.out_of_sample for window in self.windows if _is_rated(window)])

    @property
    def degradation(self) -> float:
        """The share of the in-sample metric that was lost out of sample: 0 none, 1 all of it.

        NaN if the metric in sample is not above 0.
        """
        before = self.in_sample
        return 1 - self.out_of_sample / before if before > 0 else math.nan

    def plot(self) -> Any:
        """Return a plotly figure: stitched equity, and the metric in and out of sample."""
        from botlib.backtesting.views.walk_forward import plot_walk_forward

        return plot_walk_forward(self)

    def __repr__(self) -> str:
        figures = self.figures
        return masked(
            f"<WalkForwardResult {self.strategy.__name__} {self.symbol or '-'} {self.timeframe} · "
            f"{len(self.windows)} {'anchored' if self.anchored else 'rolling'} windows · "
            f"{self.metric} {self.in_sample:.2f} in sample, {self.out_of_sample:.2f} out · "
            f"{figures.total_return:+.2%} · drawdown {figures.max_drawdown:.1%}"
            f"{f' · {len(self.unrated)} unrated' if self.unrated else ''}"
            f"{' · interrupted' if self.interrupted else ''}>"
        )

    def __str__(self) -> str:
        return f"{self.verdict}\n{text_table(*self._table())}"

    def _repr_html_(self) -> str:
        return card(self.verdict, html_table(*self._table()), tone=Tone.of(self.out_of_sample))

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        lost = self.degradation
        kept = (
            ""
            if math.isnan(lost)
            else f", {formats.percent(lost, 0)} lost"
            if lost > 0
            else ", nothing lost"
        )
        figures = self.figures
        return (
            f"{self.strategy.__name__}, {len(self.windows)} windows: mean {self.metric} "
            f"{formats.number(self.in_sample)} in sample, "
            f"{formats.number(self.out_of_sample)} out of sample{kept}; "
            f"{formats.percent(figures.total_return, sign=True)} with a drawdown of "
            f"{formats.percent(figures.max_drawdown, 1)} "
            f"out of sample{self._untold()}{'; interrupted' if self.interrupted else ''}."
        )

    def _untold(self) -> str:
        """Return how many windows the means leave out, as the rest of a sentence."""
        if not self.unrated:
            return ""
        idle = sum(not len(window.result.fills) for window in self.unrated)
        return (
            f"; {len(self.unrated)} of {len(self.windows)} windows have no {self.metric} and are "
            f"in neither mean ({idle} of them without a trade out of sample)"
        )

    def _table(self) -> tuple[list[str], list[list[object]]]:
        names = list(self.windows[0].parameters)
        headers = ["test from", "until", *names, f"{self.metric} in", "out", "return", "trips"]
        rows: list[list[object]] = [
            [
                window.test_from,
                window.test_until,
                *window.parameters.values(),
                formats.number(window.in_sample),
                formats.number(window.out_of_sample),
                formats.percent(window.result.figures.total_return, sign=True),
                int((~window.result.fills.buy).sum()),
            ]
            for window in self.windows
        ]
        return headers, rows


def _is_rated(window: WalkForwardWindow) -> bool:
    return math.isfinite(window.in_sample) and math.isfinite(window.out_of_sample)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
