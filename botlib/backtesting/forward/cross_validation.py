"""Combinatorial purged cross-validation: several out-of-sample histories of one strategy.

The candles are cut into N groups. In every combination k of them are tested, and the others train:
parameters are chosen on them, and a strategy that learns learns from them. Every group is tested in
several combinations; one test of each group makes a path, an out-of-sample history of the whole
time. There are C(N, k) combinations and k/N C(N, k) = C(N - 1, k - 1) paths.

Around a test, training candles are left out: ``purge`` of them before and after it, since an
outcome that is learned from overlaps with the test, and ``embargo`` more after it, since what
happens in the test is still felt then.

Source: M. López de Prado, "Advances in Financial Machine Learning", Wiley 2018: chapter 7 (purge
and embargo, 7.4) and chapter 12 (combinatorial purged cross-validation, 12.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from botlib.backtesting.arguments import checked
from botlib.backtesting.experiments.recording import (
    Book,
    WindowTrials,
    record_cross_validation,
    trial_key,
    window_trials,
)
from botlib.backtesting.forward.paths import CrossSplit, CrossValidationResult
from botlib.backtesting.forward.run import candle_count, trade_rows, with_defaults
from botlib.backtesting.inputs import frames_for, in_timeframes
from botlib.backtesting.metrics import Floats, candle_returns
from botlib.backtesting.significance.block_scores import SCORED, block_scorer
from botlib.backtesting.sweeps.plan import SearchPlan
from botlib.backtesting.sweeps.run import run_sweep
from botlib.backtesting.sweeps.space import ParameterSpace
from botlib.backtesting.terms import Terms
from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.text import formats
from botlib.core.timeframe import timeframe_ms
from botlib.frames import Frames, open_times
from botlib.strategy import Strategy, strategy_class

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.costs import Costs, RangeSlippage, VolumeSlippage
    from botlib.core.market import Market
    from botlib.trading.risk import RiskLimits

Rows = npt.NDArray[np.bool_]

Choice = tuple[dict[str, Any], float]
"""Parameters and their score on the training rows."""

MOST_GROUPS: Final = 16
_LEAST_CANDLES: Final = 4


@checked
def cross_validate(
    strategy: type[Strategy],
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    groups: int = 6,
    tests: int = 2,
    purge: int | str = 0,
    embargo: int | str = 0,
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
    workers: int | None = None,
    memory: str | int = "1GB",
    client: Any = None,
    progress: bool = True,
    book: Book = None,
    **space: object,
) -> CrossValidationResult:
    """Choose parameters on most groups of candles and test on the others, in every combination.

    Each test begins and ends without a position, and warms up on the candles before it. A strategy
    that learns (`Strategy.fit`) learns from the training candles of each combination, on a new
    object; since every other choice would be on candles it has learned from, it is validated with
    one combination of its parameters.

    Args:
        strategy: the class; its parameters are keywords with the values to try, as for `sweep`.
        data: candles as for `backtest`; costs, fee, slippage, cash, order_cost, market and limits
            as well.
        groups: N, of equal numbers of candles.
        tests: k, groups that are tested at a time.
        purge: candles, or a duration, that do not train before and after each test: as many as an
            outcome that is learned from, such as a position, reaches into the future.
        embargo: candles that do not train after each test, beyond those; usually a hundredth of
            all candles.
        metric: the figure to choose by: ``sharpe``, ``sortino``, ``calmar``, ``total_return``,
            ``annual_return`` or ``max_drawdown``.
        timeframes: for a strategy that names none; the trading one first.
        where, workers, memory, client: as for `sweep`.
        book: as for `backtest`.

    Raises:
        InvalidInput: a number is out of range, or no candle is left to train on.
        ConfigError: the strategy learns, and several combinations were given.
        SweepError: no combination could be computed.
    """
    strategy = strategy_class(strategy, "cross_validate")
    plan = SearchPlan(metric=metric, where=where, workers=workers, memory=memory, client=client)
    if metric not in SCORED:
        raise InvalidInput(
            f"metric {metric!r} cannot be taken over a part of the candles. Accepted: "
            f"{', '.join(SCORED)}."
        )
    terms = Terms.of(
        costs=costs,
        fee=fee,
        slippage=slippage,
        cash=cash,
        order_cost=order_cost,
        market=market,
        limits=limits,
    )
    frames = frames_for(with_defaults(strategy), in_timeframes(strategy, data, timeframes), symbol)
    edges = _edges(len(frames.frame), groups, tests)
    length = timeframe_ms(frames.timeframes[0])
    before = candle_count("purge", purge, length, least=0)
    after = before + candle_count("embargo", embargo, length, least=0)
    chosen = list(combinations(range(groups), tests))
    trains = [train_rows(edges, tested, before, after) for tested in chosen]
    if strategy.fit is Strategy.fit:
        picks, tried = _choices(strategy, frames, space, terms, plan, trains, progress)
    else:
        picks, tried = _single(strategy, frames, space, plan, len(chosen))
    splits, returns = _test(
        strategy, frames, terms, edges, list(zip(chosen, trains, picks, strict=True))
    )
    found = CrossValidationResult(
        strategy=strategy,
        timeframe=frames.timeframes[0],
        symbol=frames.symbol,
        metric=metric,
        cash=cash,
        index=frames.frame.index,
        edges=edges,
        splits=splits,
        returns=returns,
    )
    record_cross_validation(book, found, frames.frame, terms, tried)
    return found


def _test(
    strategy: type[Strategy],
    frames: Frames,
    terms: Terms,
    edges: npt.NDArray[np.int64],
    plans: Sequence[tuple[tuple[int, ...], Rows, Choice]],
) -> tuple[tuple[CrossSplit, ...], Floats]:
    """Return the splits, and the return of every candle in each of them, NaN where none is tested.

    Args:
        plans: per split, the groups that are tested, the rows that train, and what was chosen.
    """
    splits, returns = [], np.full((len(plans), len(frames.frame)), np.nan)
    known: dict[tuple[int, str], Floats] = {}
    for row, (tested, train, (parameters, score)) in enumerate(plans):
        made = strategy(timeframes=frames.timeframes, **parameters)
        if made.learns:
            made = made.fitted(training_frames(frames, train))
            known.clear()
        for group in tested:
            first, end = int(edges[group]), int(edges[group + 1])
            key = (group, repr(parameters))
            if key not in known:
                equity = trade_rows(frames, made, first, end, terms).equity.to_numpy()
                known[key] = candle_returns(equity, terms.cash)
            returns[row, first:end] = known[key]
        splits.append(
            CrossSplit(
                tests=tested, train=train, parameters=parameters, in_sample=score, strategy=made
            )
        )
    return tuple(splits), returns


def train_rows(
    edges: npt.NDArray[np.int64], tested: Sequence[int], before: int, after: int
) -> Rows:
    """Return which rows train: those of no test, nor ``before`` or ``after`` candles of one.

    Raises:
        InvalidInput: none is left.
    """
    rows = np.ones(int(edges[-1]), dtype=bool)
    for group in tested:
        rows[max(int(edges[group]) - before, 0) : int(edges[group + 1]) + after] = False
    if rows.sum() < _LEAST_CANDLES:
        raise InvalidInput(
            f"With purge and embargo no candle is left to train on while the groups "
            f"{', '.join(str(group + 1) for group in tested)} are tested. Make them shorter, or "
            "load more candles."
        )
    return rows


def training_frames(frames: Frames, train: Rows) -> Frames:
    """Return the candles of the rows that train; higher ones only if they lie within such rows."""
    base = frames.timeframes[0]
    length = timeframe_ms(base)
    opens = open_times(frames.frame.index)
    kept = {base: frames.frame[train]}
    left_out = opens[~train]
    for timeframe in frames.timeframes[1:]:
        frame = frames[timeframe]
        first = open_times(frame.index)
        last = first + timeframe_ms(timeframe)
        # A candle of a higher timeframe knows every trading candle that overlaps with it.
        clean = np.searchsorted(left_out + length, first, side="right") == np.searchsorted(
            left_out, last, side="left"
        )
        inside = (first >= opens[0]) & (last <= opens[-1] + length)
        kept[timeframe] = frame[clean & inside]
    return Frames(frames.symbol, kept)


def _edges(rows: int, groups: int, tests: int) -> npt.NDArray[np.int64]:
    """Return the first row of every group, and the number of rows."""
    for name, value, least, most in (
        ("groups", groups, 2, MOST_GROUPS),
        ("tests", tests, 1, groups - 1 if isinstance(groups, int) else MOST_GROUPS),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidInput(f"{name} must be from {least} to {most}, not {value!r}.")
    if rows < groups * _LEAST_CANDLES:
        raise InvalidInput(
            f"{formats.count(rows)} candles are too few for {groups} groups of at least "
            f"{_LEAST_CANDLES}."
        )
    return np.linspace(0, rows, groups + 1).astype(np.int64)


def _choices(
    strategy: type[Strategy],
    frames: Frames,
    space: Mapping[str, object],
    terms: Terms,
    plan: SearchPlan,
    trains: Sequence[Rows],
    progress: bool,
) -> tuple[list[Choice], WindowTrials]:
    """Return the best combination of every split with its score, and what was tried.

    One sweep over all candles serves all splits: its signals know only the past, and each split
    scores the periods that lie in its training rows as a whole.
    """
    found = run_sweep(strategy, frames, space, terms, plan, progress=progress)
    if found.interrupted:
        raise KeyboardInterrupt
    # In an order that no candle has a say in: the first of equals is chosen.
    order = sorted(range(len(found)), key=lambda place: repr(found.combinations[place]))
    values = found.period_returns().to_numpy()[:, order]
    ends = frames.frame.index.get_indexer(found.equity_of_best.index) + 1
    starts = np.concatenate(([0], ends[:-1]))
    picks = []
    for train in trains:
        idle = np.concatenate(([0], np.cumsum(~train)))
        inside = values[idle[ends] == idle[starts]]
        if len(inside) < 2:
            raise InvalidInput(
                "Fewer than two periods are left to choose on. Load more candles, or make purge "
                "and embargo shorter."
            )
        edges = np.array([0, len(inside)])
        scores = block_scorer(plan.metric, inside, edges)(np.ones((1, 1)))[0]
        best = int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))
        named = dict(zip(found.parameters, found.combinations[order[best]], strict=True))
        picks.append((named, float(scores[best])))
    return picks, window_trials(found)


def _single(
    strategy: type[Strategy],
    frames: Frames,
    space: Mapping[str, object],
    plan: SearchPlan,
    splits: int,
) -> tuple[list[Choice], WindowTrials]:
    """Return the only combination of a strategy that learns, for every split."""
    named: dict[str, Any] = {}
    if space:
        every = ParameterSpace(strategy, space, plan.where)
        found = plan.combinations(every) or []
        if len(found) != 1:
            raise ConfigError(
                f"{strategy.__name__} learns from candles (it defines fit): {len(found)} "
                "combinations could only be ranked on candles it has learned from. Give one value "
                "for each parameter, and compare them in several calls; walk_forward chooses."
            )
        named = every.named(found[0])
    key = trial_key(strategy(timeframes=frames.timeframes, **named))
    return [(named, np.nan)] * splits, ({key: np.nan}, 1.0)
