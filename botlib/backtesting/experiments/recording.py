"""Recording of runs in the experiment book; one that fails stops no run, and is told in a line."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.metrics import YEAR_MS
from botlib.backtesting.significance.overfitting import independent_trials
from botlib.backtesting.source import code_hash
from botlib.core.timeframe import timeframe_ms
from botlib.frames import COLUMNS, open_times
from botlib.store.experiment_book import EarlierTrials, Experiment, ExperimentBook

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.forward.paths import CrossValidationResult
    from botlib.backtesting.forward.result import WalkForwardResult
    from botlib.backtesting.result import BacktestResult
    from botlib.backtesting.sweeps.result import SweepResult
    from botlib.backtesting.terms import Terms
    from botlib.strategy import Strategy

Book = ExperimentBook | str | os.PathLike[str] | None
"""An experiment book, the data directory that has it, or None for no book."""

WindowTrials = tuple[Mapping[bytes, float], float]
"""Combinations with their Sharpe ratios, and the number of independent trials they are worth."""

POINTS: Final = 400
"""Most points of an equity curve in the book."""

FIGURES: Final = (
    "total_return", "annual_return", "volatility", "sharpe", "sortino", "calmar", "max_drawdown",
    "round_trips", "win_rate", "profit_factor", "exposure", "fees",
)  # fmt: skip
"""The figures of a run that are kept, as far as it has them."""


def record_backtest(book: Book, strategy: Strategy, result: BacktestResult) -> None:
    """Write a backtest into the book."""
    if book is None:
        return
    with _harmless(book) as opened:
        figures = {name: value for name, value in result.stats().items() if name in FIGURES}
        run = _experiment(
            "backtest",
            type(strategy),
            result.frame,
            result.timeframe,
            result.terms,
            symbol=result.symbol,
            parameters=strategy.parameters,
            figures=figures,
            curve=result.equity,
        )
        opened.add(run, {trial_key(strategy): float(figures["sharpe"])})


def record_sweep(book: Book, result: SweepResult) -> None:
    """Write a sweep with all its combinations into the book, which the result then knows."""
    if book is None or not len(result):
        return
    with _harmless(book) as opened:
        result.book = opened
        frame = result.traded
        best = result.best_strategy
        values = result.frame.iloc[0]
        equity = result.equity_of_best
        run = _experiment(
            "sweep",
            result.strategy,
            frame,
            result.frames.timeframes[0],
            result.settings.terms,
            symbol=result.frames.symbol,
            parameters=best.parameters,
            figures={name: float(values[name]) for name in FIGURES if name in values},
            curve=equity,
            metric=result.metric,
            trials=len(result),
            independent=independent_trials(result.period_returns()),
        )
        opened.add(run, trials_of(result))


def record_walk_forward(
    book: Book,
    result: WalkForwardResult,
    frame: pd.DataFrame,
    terms: Terms,
    sweeps: Iterable[WindowTrials],
) -> None:
    """Write a walk forward with the combinations of all its windows into the book.

    Args:
        frame: all candles, those of training included.
        sweeps: what was tried in each window.
    """
    if book is None:
        return
    with _harmless(book) as opened:
        tried: dict[bytes, list[float]] = {}
        worth = 1.0
        for trials, independent in sweeps:
            worth = max(worth, independent)
            for key, sharpe in trials.items():
                tried.setdefault(key, []).append(sharpe)
        curve, newest = result.figures, result.windows[-1]
        run = _experiment(
            "walk_forward",
            result.strategy,
            frame,
            result.timeframe,
            terms,
            symbol=result.symbol,
            parameters=newest.parameters,
            figures={
                **{name: getattr(curve, name) for name in FIGURES if hasattr(curve, name)},
                "round_trips": float(len(result.roundtrips)),
                "in_sample": result.in_sample,
                "out_of_sample": result.out_of_sample,
            },
            curve=result.equity,
            metric=result.metric,
            trials=len(tried),
            independent=worth,
        )
        opened.add(run, {key: float(np.mean(sharpes)) for key, sharpes in tried.items()})


def record_cross_validation(
    book: Book,
    result: CrossValidationResult,
    frame: pd.DataFrame,
    terms: Terms,
    tried: WindowTrials,
) -> None:
    """Write a cross-validation into the book, with the path of the median return as its curve."""
    if book is None:
        return
    with _harmless(book) as opened:
        trials, independent = tried
        figures = result.path_figures
        median = int(figures["total_return"].sort_values().index[(len(figures) - 1) // 2])
        run = _experiment(
            "cross_validation",
            result.strategy,
            frame,
            result.timeframe,
            terms,
            symbol=result.symbol,
            parameters=result.splits[-1].parameters,
            figures={name: float(figures[name].median()) for name in FIGURES if name in figures},
            curve=result.paths[median],
            metric=result.metric,
            trials=len(trials),
            independent=independent,
        )
        opened.add(run, trials)


def window_trials(result: SweepResult) -> WindowTrials:
    """Return what the sweep of a training window tried."""
    return trials_of(result), independent_trials(result.period_returns())


def earlier_trials(book: ExperimentBook, result: SweepResult) -> EarlierTrials | None:
    """Return what was tried on the strategy and the candles of a sweep, besides its combinations.

    Returns:
        None if the book cannot be read, which is told.
    """
    frame = result.traded
    times = open_times(frame.index)
    with _harmless(book) as opened:
        return opened.earlier(
            strategy=result.strategy.__name__,
            code=code_hash(result.strategy),
            data=data_hash(frame),
            symbol=result.frames.symbol,
            first=int(times[0]),
            last=int(times[-1]),
            without=trials_of(result).keys(),
        )
    return None


def trials_of(result: SweepResult) -> dict[bytes, float]:
    """Return the key of every combination of a sweep, with its Sharpe ratio per year."""
    timeframes, sharpes = result.frames.timeframes, result.frame["sharpe"].to_numpy()
    found = {}
    for values, sharpe in zip(result.combinations, sharpes, strict=True):
        named: dict[str, Any] = dict(zip(result.parameters, values, strict=True))
        found[trial_key(result.strategy(timeframes=timeframes, **named))] = float(sharpe)
    return found


def trial_key(strategy: Strategy) -> bytes:
    """Return a hash of all parameters of a strategy, its timeframes included."""
    text = repr((tuple(strategy.timeframes), sorted(strategy.parameters.items())))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def data_hash(frame: pd.DataFrame) -> str:
    """Return a hash of candles: of their open times and values."""
    digest = hashlib.blake2b(np.ascontiguousarray(open_times(frame.index)).data, digest_size=16)
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(frame[name].to_numpy(dtype=np.float64)).data)
    return digest.hexdigest()


def sharpes_per_period(earlier: EarlierTrials, result: SweepResult) -> npt.NDArray[np.float64]:
    """Return the Sharpe ratios of earlier trials per period of a sweep's period returns."""
    candles = len(result.traded) / len(result.equity_of_best)
    length = candles * timeframe_ms(result.frames.timeframes[0])
    ratios: npt.NDArray[np.float64] = earlier.sharpes / np.sqrt(YEAR_MS / length)
    return ratios


def _experiment(
    kind: str,
    strategy: type[Strategy],
    frame: pd.DataFrame,
    timeframe: str,
    terms: Terms,
    *,
    symbol: str,
    parameters: Mapping[str, object],
    figures: Mapping[str, float],
    curve: pd.Series,
    metric: str = "",
    trials: int = 1,
    independent: float = 1.0,
) -> Experiment:
    times = open_times(frame.index)
    kept = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), POINTS)).round().astype(int))
    return Experiment(
        recorded=time.time_ns() // 1_000_000,
        kind=kind,
        strategy=strategy.__name__,
        code=code_hash(strategy),
        data=data_hash(frame),
        symbol=symbol,
        timeframe=timeframe,
        first=int(times[0]),
        last=int(times[-1]),
        candles=len(frame),
        metric=metric,
        trials=trials,
        independent=independent,
        cash=terms.cash,
        parameters=parameters,
        terms={
            **{one.name: getattr(terms, one.name) for one in fields(terms)},
            "fee": terms.costs.taker,
            "costs": str(terms.costs),
            "market": None if terms.market is None else "lots of the venue",
            "limits": None if terms.limits is None else str(terms.limits),
        },
        figures=figures,
        times=open_times(curve.index)[kept],
        equity=curve.to_numpy(dtype=np.float64)[kept],
    )


@contextmanager
def _harmless(book: ExperimentBook | str | os.PathLike[str]) -> Iterator[ExperimentBook]:
    """Open the book; an error is told in a line, since the run itself is done and right."""
    try:
        yield book if isinstance(book, ExperimentBook) else ExperimentBook(book)
    except Exception as error:
        sys.stdout.write(f"The experiment book is not used: {error}\n")
