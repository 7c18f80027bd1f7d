"""The result of a combinatorial purged cross-validation: splits and out-of-sample paths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from botlib.backtesting.metrics import Floats, curve_figures
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card
from botlib.core.text.tables import html_table, text_table
from botlib.core.timeframe import timeframe_ms

if TYPE_CHECKING:
    import pandas as pd

    from botlib.strategy import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSplit:
    """One combination of groups that are tested, and of rows that train.

    Attributes:
        tests: numbers of the groups, from 0.
        train: per row of the candles, whether it trains.
        parameters: those that were best on the training rows.
        in_sample: the metric over the training rows, per period of the sweep; NaN for a strategy
            that learns.
        strategy: what was tested; it keeps what it learned from the training rows.
    """

    tests: tuple[int, ...]
    train: npt.NDArray[np.bool_]
    parameters: dict[str, Any]
    in_sample: float
    strategy: Strategy


class CrossValidationResult:
    """The out-of-sample paths of a strategy.

    Attributes:
        metric: the figure the parameters were chosen by.
        edges: first row of every group, and the number of rows.
        splits: every combination of groups that were tested.
    """

    def __init__(
        self,
        *,
        strategy: type[Strategy],
        timeframe: str,
        symbol: str,
        metric: str,
        cash: float,
        index: pd.Index,
        edges: npt.NDArray[np.int64],
        splits: tuple[CrossSplit, ...],
        returns: Floats,
    ) -> None:
        self.strategy = strategy
        self.timeframe = timeframe
        self.symbol = symbol
        self.metric = metric
        self.cash = cash
        self.edges = edges
        self.splits = splits
        self._index = index
        self._returns = returns

    @cached_property
    def paths(self) -> pd.DataFrame:
        """Equity of every path in quote units, one column each, numbered from 1.

        A path has the first test of every group, the next one the second, and so on. Each group
        begins with the equity of the one before.
        """
        import pandas as pd

        groups = len(self.edges) - 1
        count = comb(groups - 1, len(self.splits[0].tests) - 1)
        returns = np.empty((len(self._index), count))
        for group in range(groups):
            rows = slice(int(self.edges[group]), int(self.edges[group + 1]))
            tested = [place for place, split in enumerate(self.splits) if group in split.tests]
            returns[rows] = self._returns[tested, rows].T
        columns = pd.RangeIndex(1, count + 1, name="path")
        equity = self.cash * np.cumprod(1 + returns, axis=0)
        return pd.DataFrame(equity, index=self._index, columns=columns)

    @cached_property
    def path_figures(self) -> pd.DataFrame:
        """One row per path: return, volatility, Sharpe ratio, drawdown and the like."""
        import pandas as pd

        rows = []
        for number in self.paths:
            equity = self.paths[number].to_numpy()
            figures = curve_figures(equity, self.cash, timeframe_ms(self.timeframe))
            rows.append({name: getattr(figures, name) for name in figures.__slots__})
        return pd.DataFrame(rows, index=self.paths.columns)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per split: the groups that were tested, the candles that trained, the choice."""
        import pandas as pd

        rows = [
            {
                "tests": tuple(group + 1 for group in split.tests),
                "train": int(split.train.sum()),
                **split.parameters,
                "in_sample": split.in_sample,
            }
            for split in self.splits
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="split"))

    @property
    def probability_of_loss(self) -> float:
        """The share of the paths that lost money."""
        return float((self.path_figures["total_return"] < 0).mean())

    def plot(self) -> Any:
        """Return a plotly figure with the equity of every path."""
        from botlib.backtesting.views.walk_forward import plot_paths

        return plot_paths(self)

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        sharpes = self.path_figures["sharpe"].dropna()
        idle = len(self.path_figures) - len(sharpes)
        low, median, high = (
            (sharpes.min(), sharpes.median(), sharpes.max()) if len(sharpes) else (np.nan,) * 3
        )
        return (
            f"{self.strategy.__name__}, {len(self.splits)} splits of {len(self.edges) - 1} groups, "
            f"{len(self.path_figures)} paths out of sample: Sharpe ratio {formats.number(median)} "
            f"in the middle, from {formats.number(low)} to {formats.number(high)}; "
            f"{formats.percent(self.probability_of_loss, 0)} of the paths lost money"
            f"{f', {idle} made no trade' if idle else ''}."
        )

    def __repr__(self) -> str:
        return (
            f"<CrossValidationResult {self.strategy.__name__} {self.symbol or '-'} "
            f"{self.timeframe} · {len(self.splits)} splits · {len(self.path_figures)} paths · "
            f"sharpe {self.path_figures['sharpe'].median():.2f} · "
            f"{self.probability_of_loss:.0%} lost>"
        )

    def __str__(self) -> str:
        return f"{self.verdict}\n{text_table(*self._table())}"

    def _repr_html_(self) -> str:
        tone = Tone.of(float(self.path_figures["sharpe"].median()))
        return card(self.verdict, html_table(*self._table()), tone=tone)

    def _table(self) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = [
            [
                number,
                formats.percent(row["total_return"], sign=True),
                formats.number(row["sharpe"]),
                formats.percent(row["max_drawdown"], 1),
            ]
            for number, row in self.path_figures.iterrows()
        ]
        return ["path", "return", "sharpe", "drawdown"], rows
