"""A walk forward: parameters are chosen on past candles and traded on those that follow.

The equity over all windows is out of sample: no candle was traded with parameters that were chosen
on it or on later ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from botlib.backtesting.arguments import checked
from botlib.backtesting.checking.truncation import truncate_end
from botlib.backtesting.experiments.recording import (
    Book,
    WindowTrials,
    record_walk_forward,
    window_trials,
)
from botlib.backtesting.forward.result import WalkForwardResult, WalkForwardWindow
from botlib.backtesting.inputs import frames_for, in_timeframes
from botlib.backtesting.run import run_backtest
from botlib.backtesting.sweeps.plan import SearchPlan
from botlib.backtesting.sweeps.run import run_sweep
from botlib.backtesting.terms import Terms
from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.text import formats
from botlib.core.timeframe import parse_duration, timeframe_ms
from botlib.frames import Frames
from botlib.strategy import STOPS, Signals, Strategy, strategy_class

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.costs import Costs, RangeSlippage, VolumeSlippage
    from botlib.backtesting.result import BacktestResult
    from botlib.backtesting.sweeps import SweepResult
    from botlib.core.market import Market
    from botlib.trading.risk import RiskLimits

# Fewer candles have no room for an entry, a candle in the market and the exit at the end.
_LEAST_CANDLES: Final = 4


@checked
def walk_forward(
    strategy: type[Strategy],
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    train: int | str,
    test: int | str,
    purge: int | str = 0,
    embargo: int | str = 0,
    anchored: bool = False,
    metric: str = "sharpe",
    symbol: str = "",
    timeframes: Sequence[str] | str | None = None,
    costs: Costs | None = None,
    fee: float | None = None,
    slippage: float | RangeSlippage | VolumeSlippage | None = None,
    cash: float = 10_000.0,
    order_cost: float | Literal["all"] | None = None,
    market: Market | None = None,
    limits: RiskLimits | None = None,
    where: Callable[[dict[str, Any]], bool] | None = None,
    method: str = "grid",
    samples: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    memory: str | int = "1GB",
    client: Any = None,
    directory: str | Path | None = None,
    progress: bool = True,
    book: Book = None,
    **space: object,
) -> WalkForwardResult:
    """Choose parameters on each training window by a sweep and trade the best on the next candles.

    A strategy that learns (`Strategy.fit`) learns from the training candles of each window, on a
    new object: to choose, every combination learns from their first three quarters and is ranked on
    the rest, and the best one then learns from all of them.

    Test windows follow each other without a gap and without overlap. The strategy warms up on the
    candles before each of them, which are not traded. Each begins and ends without a position: what
    is still held is sold at the open of its last candle, with fees. An interrupt ends the walk and
    returns the windows that are finished.

    Args:
        strategy: the class; its parameters are keywords with the values to try, as for `sweep`.
        data: candles as for `backtest`; costs, fee, slippage, cash, order_cost, market and limits
            as well. Dust left unsold at the end of a window goes on as its value in cash, and halts
            of the limits end with a window.
        timeframes: for a strategy that names none; the trading one first.
        train: length of a training window in candles, or a duration such as ``"90d"``. Its first
            candles warm up.
        test: length of a test window, likewise. A last window may be shorter, down to half of it.
        purge: candles, or a duration, left out between training and test: as many as an outcome
            that is learned from, such as a position, reaches into the future.
        embargo: candles left out beyond those. Training is always before its test here, so that
            the gap is the sum of both; after a test it matters in `cross_validate` only.
        anchored: whether every training window begins with the first candle instead of rolling.
        metric: the figure to choose by, more is better.
        where, method, samples, seed, workers, memory, client: as for `sweep`.
        directory: directory for the results of the sweeps, so that the walk can be resumed.
        book: as for `backtest`; the combinations of all windows are written.

    Raises:
        InvalidInput: a window is too short, or there are too few candles for one of each.
        SweepError: no combination could be computed on a training window.
    """
    strategy = strategy_class(strategy, "walk_forward")
    terms = Terms.of(
        costs=costs,
        fee=fee,
        slippage=slippage,
        cash=cash,
        order_cost=order_cost,
        market=market,
        limits=limits,
    )
    plan = SearchPlan(
        metric=metric,
        where=where,
        method=method,
        samples=samples,
        seed=seed,
        workers=workers,
        memory=memory,
        client=client,
    )
    frames = frames_for(with_defaults(strategy), in_timeframes(strategy, data, timeframes), symbol)
    length = timeframe_ms(frames.timeframes[0])
    gap = candle_count("purge", purge, length, least=0)
    gap += candle_count("embargo", embargo, length, least=0)
    spans, left_over = _window_rows(frames, train, test, gap, anchored=anchored)
    windows: list[WalkForwardWindow] = []
    tried: list[WindowTrials] = []
    interrupted = False
    try:
        for number, span in enumerate(_with_progress(spans, progress)):
            kept = None if directory is None else Path(directory) / f"window-{number:04d}"
            training = window_frames(frames, span.first, span.trained)
            inside = _validation(strategy, training, gap)
            found = run_sweep(
                strategy, training, space, terms, plan, **inside, directory=kept, progress=False
            )
            if found.interrupted:
                raise KeyboardInterrupt
            if book is not None:
                tried.append(window_trials(found))
            held = float(windows[-1].result.equity.iloc[-1]) if windows else cash
            windows.append(_test_window(frames, training, span, found, replace(terms, cash=held)))
    except KeyboardInterrupt:
        if not windows:
            raise
        interrupted = True
    result = WalkForwardResult(
        strategy=strategy,
        timeframe=frames.timeframes[0],
        symbol=frames.symbol,
        windows=tuple(windows),
        metric=metric,
        anchored=anchored,
        cash=cash,
        left_over=left_over,
        interrupted=interrupted,
    )
    record_walk_forward(book, result, frames.frame, terms, tried)
    return result


class _WindowRows(NamedTuple):
    """Rows of the trading frame: first and end of training, first and end of test."""

    first: int
    trained: int
    middle: int
    end: int


class _SellsAtEnd(Strategy):
    """A strategy that sells at the open of the last candle it is given.

    Args:
        inner: the strategy it otherwise repeats.
    """

    def __init__(self, inner: Strategy) -> None:
        super().__init__(
            timeframes=inner.timeframes, **{name: getattr(inner, name) for name in STOPS}
        )
        self._inner = inner

    @property
    def warmup(self) -> int:
        return self._inner.warmup

    def signals(self, data: Frames) -> Signals:
        signals = self._inner.signals(data)
        signals.check(data.index)
        entry, leave = signals.entry.copy(), signals.exit.copy()
        entry.iloc[-2:] = False
        leave.iloc[-2:] = True
        return Signals(entry=entry, exit=leave)

    def __repr__(self) -> str:
        return repr(self._inner)


def _validation(strategy: type[Strategy], training: Frames, gap: int) -> dict[str, Any]:
    """Return where in its training a strategy that learns is ranked, as options of a sweep.

    Every combination learns from the first three quarters, and is ranked on the rest: on candles
    that it has learned from, the one that remembers most would win.

    Args:
        gap: candles left out between both.
    """
    if strategy.fit is Strategy.fit:
        return {}
    rows = len(training.frame)
    fit = rows * 3 // 4 - gap
    if fit < _LEAST_CANDLES or rows - fit - gap < _LEAST_CANDLES:
        raise InvalidInput(
            f"{formats.count(rows)} candles of training with a gap of {formats.count(gap)} are "
            "too few to learn from three "
            "quarters and to choose on the rest. Make the training longer."
        )
    return {"fit": fit, "start": training.frame.index[fit + gap]}


def _test_window(
    frames: Frames, training: Frames, span: _WindowRows, found: SweepResult, terms: Terms
) -> WalkForwardWindow:
    """Run the best combination of a sweep over the test candles.

    One that learns has learned from all training candles before.
    """
    parameters = dict(found.best_parameters)
    strategy = found.strategy(timeframes=frames.timeframes, **parameters)
    if strategy.learns:
        strategy = strategy.fitted(training)
    index = frames.frame.index
    result = trade_rows(frames, strategy, span.middle, span.end, terms)
    return WalkForwardWindow(
        train_from=index[span.first],
        train_until=index[span.trained - 1],
        test_from=index[span.middle],
        test_until=index[span.end - 1],
        parameters=parameters,
        in_sample=float(found.frame[found.metric].iloc[0]),
        out_of_sample=float(result.stats()[found.metric]),
        result=result,
        strategy=strategy,
    )


def trade_rows(
    frames: Frames, strategy: Strategy, first: int, end: int, terms: Terms
) -> BacktestResult:
    """Run a strategy over trading candles ``first`` to ``end`` - 1, without a position at the end.

    It warms up on the candles before, and a signal of the last of them is acted on at the first
    open.
    """
    lead = max(first - max(strategy.warmup, 1), 0)
    data = window_frames(frames, lead, end)
    return run_backtest(_SellsAtEnd(strategy), data, terms, start=frames.frame.index[first])


def window_frames(frames: Frames, first: int, end: int) -> Frames:
    """Return trading candles ``first`` to ``end`` - 1, and all higher ones closed by then."""
    cut = truncate_end(frames, end)
    base = frames.timeframes[0]
    return Frames(frames.symbol, {**cut, base: cut.frame.iloc[first:]})


def _window_rows(
    frames: Frames, train: int | str, test: int | str, gap: int, *, anchored: bool
) -> tuple[list[_WindowRows], int]:
    """Return the rows of every window, and the number of candles left over.

    Args:
        gap: candles between training and test.
    """
    length = timeframe_ms(frames.timeframes[0])
    training, testing = candle_count("train", train, length), candle_count("test", test, length)
    rows = len(frames.frame)
    least = max(-(-testing // 2), _LEAST_CANDLES)
    spans = []
    middle = training + gap
    while rows - middle >= least:
        end = min(middle + testing, rows)
        trained = middle - gap
        spans.append(_WindowRows(0 if anchored else trained - training, trained, middle, end))
        middle = end
    if not spans:
        raise InvalidInput(
            f"{formats.count(rows)} candles are too few for a training window of "
            f"{formats.count(training)}, a gap of {formats.count(gap)} "
            f"and a test window of {formats.count(testing)} (at least {formats.count(least)}). "
            "Load more, or make the windows shorter."
        )
    return spans, rows - middle


def candle_count(name: str, value: int | str, length: int, *, least: int = _LEAST_CANDLES) -> int:
    """Return a length in time as a number of candles of ``length`` ms.

    Raises:
        InvalidInput: it is none, or fewer than ``least`` candles.
    """
    count = value
    if isinstance(value, str):
        exact = parse_duration(value) * 1000 / length
        count = round(exact)
    if not isinstance(count, int) or isinstance(count, bool) or count < least:
        raise InvalidInput(
            f"{name}={value!r} is no length of a window. Accepted: {least} candles or "
            "more, as a number or as a duration such as '30d'."
        )
    return count


def with_defaults(strategy: type[Strategy]) -> Strategy:
    """Return the strategy with its defaults, which names its timeframes."""
    try:
        return strategy()
    except ConfigError as error:
        raise ConfigError(f"{strategy.__name__}() has to work with its defaults: {error}") from None


def _with_progress(spans: list[_WindowRows], progress: bool) -> Iterator[_WindowRows]:
    if not progress:
        yield from spans
        return
    from tqdm import tqdm

    # A plain-text bar also shows in executed notebooks.
    yield from tqdm(spans, unit="window", leave=False, file=sys.stdout)
