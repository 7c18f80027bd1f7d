"""The evaluator of combinations: signals, simulation and figures of one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.inputs import Flags, entries_and_exits, next_open
from botlib.backtesting.kernel import ORDER, Records, load_kernel
from botlib.backtesting.metrics import YEAR_MS, Floats, profit_factor
from botlib.backtesting.round_trips import held_after, order_profits
from botlib.backtesting.simulate import (
    Fills,
    SimulatedCandles,
    account_fills,
    market_orders,
    relevant_rows,
)
from botlib.backtesting.sweeps.candles import Arrays, BoundedFrames
from botlib.backtesting.sweeps.space import Combination
from botlib.backtesting.terms import Terms
from botlib.core.errors import InvalidInput
from botlib.core.timeframe import timeframe_ms
from botlib.trading.stops import StopRules

if TYPE_CHECKING:
    from botlib.strategy import Strategy

METRICS: Final = (
    "total_return",
    "annual_return",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "round_trips",
    "open",
    "win_rate",
    "profit_factor",
    "exposure",
    "fees",
)
"""Figures of a combination; names and meanings are those of a backtest's ``stats()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """The settings that all combinations of a sweep share."""

    terms: Terms = field(default_factory=Terms)
    start: int = 0
    """Row of the trading frame from which to trade; earlier candles only warm up."""
    engine: str | None = None
    fit: int = 0
    """Rows of the trading frame from which a strategy that learns learns, the first ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepJob:
    """Everything a worker needs besides the candles."""

    strategy: type[Strategy]
    names: tuple[str, ...]
    symbol: str
    settings: SweepSettings
    ends: npt.NDArray[np.int64]
    """Rows, counted from ``start``, whose equity is kept: the ends of the periods."""
    keep: int
    """Bytes of indicators to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinationResults:
    """The results of k combinations, in their order.

    Attributes:
        figures: (k, len(METRICS)); NaN in the row of a combination that failed.
        equity: (k, periods), quote units; NaN likewise.
        errors: per combination, the error it failed with, or None.
    """

    figures: Floats
    equity: Floats
    errors: list[str | None]


class Evaluator:
    """Evaluates combinations over candles in memory."""

    def __init__(self, job: SweepJob, arrays: Arrays) -> None:
        self._job = job
        self._kernel = load_kernel(job.settings.engine)
        self._frames = BoundedFrames(job.symbol, arrays, keep=job.keep)
        frame, start = self._frames.frame, job.settings.start
        self._candles = SimulatedCandles.of(frame, start)
        self._before = float(frame["close"].iloc[max(start - 1, 0)])
        self._year = YEAR_MS / timeframe_ms(self._frames.timeframes[0])

    def run(self, combinations: Sequence[Combination]) -> CombinationResults:
        """Return the results of combinations; an error of a strategy becomes part of them."""
        figures = np.full((len(combinations), len(METRICS)), np.nan)
        equity = np.full((len(combinations), len(self._job.ends)), np.nan)
        errors: list[str | None] = []
        for row, combination in enumerate(combinations):
            try:
                figures[row], equity[row] = self._evaluate(combination)
                errors.append(None)
            except Exception as error:  # A strategy may raise anything; the others go on.
                errors.append(f"{type(error).__name__}: {error}")
        return CombinationResults(figures=figures, equity=equity, errors=errors)

    def _evaluate(self, combination: Combination) -> tuple[list[float], Floats]:
        strategy = self._strategy(combination)
        entry, leave = entries_and_exits(strategy, self._frames)
        start = self._job.settings.start
        orders, rows = self._trade(
            next_open(entry)[start:], next_open(leave)[start:], StopRules.of(strategy)
        )
        return self._figures(orders, rows)

    def _strategy(self, combination: Combination) -> Strategy:
        parameters: dict[str, Any] = dict(zip(self._job.names, combination, strict=True))
        strategy = self._job.strategy(timeframes=self._frames.timeframes, **parameters)
        if strategy.warmup >= len(self._frames.frame):
            raise InvalidInput(
                f"{strategy!r} needs {strategy.warmup} candles to warm up; "
                f"there are {len(self._frames.frame)}."
            )
        if strategy.learns:
            # Imported here, as a worker needs nothing else of the checks.
            from botlib.backtesting.checking.truncation import truncate_end

            return strategy.fitted(truncate_end(self._frames, self._job.settings.fit))
        return strategy

    def _trade(
        self, entries: Flags, exits: Flags, stops: StopRules
    ) -> tuple[Records, npt.NDArray[np.int64]]:
        """Return the orders, and the candles that their rows refer to."""
        terms, candles, before = self._job.settings.terms, self._candles, self._before
        if terms.vectorised and not stops.limited:
            found = market_orders(self._kernel, entries, exits, candles, terms=terms, before=before)
            if found is not None:
                return found
        fills, _ = account_fills(
            candles,
            entries,
            exits,
            terms=terms,
            stops=stops,
            before=before,
            symbol=self._job.symbol,
        )
        touched = np.zeros(len(entries), dtype=bool)
        touched[fills.row] = True
        rows = relevant_rows(touched)
        return _records(fills, rows), rows

    def _figures(self, orders: Records, rows: npt.NDArray[np.int64]) -> tuple[list[float], Floats]:
        kernel, initial, close = self._kernel, self._job.settings.terms.cash, self._candles.close
        cash, held = kernel.holdings(orders, len(rows), initial)
        lengths = np.diff(rows, append=len(close))
        value = np.repeat(held, lengths)
        value *= close
        value += np.repeat(cash, lengths)
        returns = kernel.returns(value, initial)
        profits, still_open = order_profits(orders)
        total = kernel.profit(orders, close[rows]) / initial
        deepest = kernel.max_drawdown(returns)
        traded = len(orders) > 0
        annual = (value[-1] / initial) ** (self._year / len(value)) - 1
        return [
            total,
            float(annual),
            kernel.sharpe(returns, self._year) if traded else math.nan,
            kernel.sortino(returns, self._year) if traded else math.nan,
            float(annual / -deepest) if deepest else math.nan,
            deepest,
            float(len(profits)),
            float(still_open),
            float((profits > 0).mean()) if len(profits) else math.nan,
            profit_factor(profits),
            _exposure(orders, rows, len(close)),
            float(orders["fees"].sum()),
        ], value[self._job.ends]


def _records(fills: Fills, rows: npt.NDArray[np.int64]) -> Records:
    records = np.zeros(len(fills), dtype=ORDER)
    records["id"] = np.arange(len(fills))
    records["idx"] = np.searchsorted(rows, fills.row)
    # As in `botlib.backtesting.simulate`: a fee taken from the amount bought is booked in cash.
    records["size"] = np.where(fills.buy, fills.kept, fills.amount)
    records["price"] = fills.price
    records["fees"] = fills.fee
    records["side"] = np.where(fills.buy, 0, 1)
    return records


def _exposure(orders: Records, rows: npt.NDArray[np.int64], candles: int) -> float:
    """Return the share of candles at whose close a position was held; dust does not count."""
    spans = np.diff(rows[orders["idx"]], append=candles)
    return float(spans[held_after(orders["side"] == 0)].sum() / candles)
