"""A sweep: one strategy with many combinations of parameters over the same candles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from botlib.backtesting.arguments import checked
from botlib.backtesting.experiments.recording import Book, record_sweep
from botlib.backtesting.inputs import frames_for, in_timeframes
from botlib.backtesting.kernel import default_engine
from botlib.backtesting.run import row_of
from botlib.backtesting.sweeps.candles import Arrays, fingerprint, size_of, to_arrays
from botlib.backtesting.sweeps.collector import (
    EvaluatedChunk,
    PoolFactory,
    SweepCollector,
    WorkerPool,
)
from botlib.backtesting.sweeps.evaluator import METRICS, Evaluator, SweepJob, SweepSettings
from botlib.backtesting.sweeps.plan import SearchPlan
from botlib.backtesting.sweeps.record import SweepRecord, identity
from botlib.backtesting.sweeps.result import SweepResult
from botlib.backtesting.sweeps.space import Combination, ParameterSpace, Where
from botlib.backtesting.terms import Terms
from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.text import formats
from botlib.strategy import Strategy, strategy_class

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.costs import Costs, RangeSlippage, VolumeSlippage
    from botlib.core.market import Market
    from botlib.frames import Frames
    from botlib.trading.risk import RiskLimits

PERIODS: Final = 480
"""Periods of equal length whose returns are kept per combination: 480 has many divisors."""

_PROCESS_BYTES: Final = 160 * 2**20
"""Memory of a worker before it has done anything: Python, numpy, pandas."""
_SERIES: Final = 14
"""Columns of one float per candle in memory at once while a combination is computed."""


@checked
def sweep(
    strategy: type[Strategy],
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    symbol: str = "",
    timeframes: Sequence[str] | str | None = None,
    costs: Costs | None = None,
    fee: float | None = None,
    slippage: float | RangeSlippage | VolumeSlippage | None = None,
    cash: float = 10_000.0,
    order_cost: float | Literal["all"] | None = None,
    market: Market | None = None,
    limits: RiskLimits | None = None,
    start: str | pd.Timestamp | None = None,
    metric: str = "sharpe",
    where: Where | None = None,
    method: str = "grid",
    samples: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    memory: str | int = "1GB",
    client: Any = None,
    directory: str | Path | None = None,
    progress: bool = True,
    engine: str | None = None,
    book: Book = None,
    **space: object,
) -> SweepResult:
    """Run a strategy with many combinations of its parameters and rank the results.

    Every combination has the numbers that `backtest` and plain vectorbt give. The work is done in
    other processes, so that live tasks of this one are not delayed. An interrupt ends the sweep and
    returns what is finished; with a ``directory`` the same call later continues it.

    Args:
        strategy: the class; its parameters are given as keywords, each with the values to try:
            ``fast=range(5, 50), slow=range(20, 200)``.
        data: candles as for `backtest`; costs, fee, slippage, cash, order_cost, market, limits and
            start as well.
        timeframes: for a strategy that names none; the trading one first.
        metric: the figure to rank by, one of `METRICS`; more is better.
        where: condition on the parameters by name: ``lambda p: p["fast"] < p["slow"]``.
        method: "grid" tries all, "random" draws ``samples`` of them, "optuna" searches with as many
            (a tree-structured Parzen estimator).
        seed: seed of the random choice; the same seed gives the same combinations.
        workers: processes, by default one per core; 0 computes in this process.
        memory: memory for all workers together, in bytes or as "500MB", "2GB".
        client: a Dask ``Client``, or the address of a scheduler, to compute on instead.
        directory: directory to keep results in, so that a sweep can be resumed.
        engine: "rust" or "numba", by default the faster one that is installed.
        book: as for `backtest`; `SweepResult.overfitting` then counts the trials of earlier runs.

    Raises:
        InvalidInput: the candles, a number or the space is not accepted.
        ConfigError: the strategy has no such parameter.
        SweepError: no combination could be computed, or workers kept dying.
    """
    strategy = strategy_class(strategy, "sweep")
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
        engine=engine,
    )
    result = run_sweep(
        strategy,
        in_timeframes(strategy, data, timeframes),
        space,
        terms,
        plan,
        symbol=symbol,
        start=start,
        directory=directory,
        progress=progress,
    )
    record_sweep(book, result)
    return result


def run_sweep(
    strategy: type[Strategy],
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    axes: Mapping[str, object],
    terms: Terms,
    plan: SearchPlan,
    *,
    symbol: str = "",
    start: str | pd.Timestamp | None = None,
    fit: int = 0,
    directory: str | Path | None = None,
    progress: bool = True,
) -> SweepResult:
    """Run a sweep on given terms by a given plan; everything else is as for `sweep`.

    Args:
        axes: parameter → the values to try.
        fit: rows of the trading frame from which a strategy that learns learns, before ``start``.

    Raises:
        ConfigError: the strategy learns, and there is nothing for it to learn from.
    """
    space = ParameterSpace(strategy, axes, plan.where)
    combinations = plan.combinations(space)
    frames = frames_for(_example_strategy(strategy, space, combinations), data, symbol)
    settings = SweepSettings(
        terms=terms,
        start=row_of(frames.frame, start),
        fit=fit,
        engine=plan.engine or default_engine(),
    )
    if not 0 < fit <= settings.start and strategy.fit is not Strategy.fit:
        raise ConfigError(
            f"{strategy.__name__} learns from candles (it defines fit), and a sweep has no candles "
            "to learn from that it does not trade. Use walk_forward or cross_validate."
        )
    count = len(combinations) if combinations is not None else int(plan.samples or 0)
    job, arrays = _job(strategy, space, frames, settings, plan, count)
    collected = SweepCollector(space, count, progress)
    with contextlib.ExitStack() as stack:
        if directory is not None:
            collected.record = _record(Path(directory), job, arrays)
            stack.callback(collected.record.close)
        stack.callback(collected.close)
        open_pool = _pool_maker(job, arrays, plan.processes(count), plan.client)
        try:
            if combinations is not None:
                side = _side(job, len(frames.frame), len(space.names))
                collected.all(combinations, open_pool, side)
            else:
                from botlib.backtesting.sweeps.search import search

                search(
                    space, collected, open_pool, metric=plan.metric, samples=count, seed=plan.seed
                )
        except KeyboardInterrupt:
            collected.interrupted = True
    return collected.result(
        strategy=strategy,
        frames=frames,
        settings=settings,
        metric=plan.metric,
        times=frames.frame.index[settings.start :].to_numpy()[job.ends],
    )


def _job(
    strategy: type[Strategy],
    space: ParameterSpace,
    frames: Frames,
    settings: SweepSettings,
    plan: SearchPlan,
    count: int,
) -> tuple[SweepJob, Arrays]:
    """Return the job of the workers and the candles they work on."""
    arrays, rows = to_arrays(frames), len(frames.frame)
    ends = _ends(rows - settings.start, count, plan.budget)
    kept = 2 * 8 * count * (len(ends) + len(METRICS))
    keep = _indicator_bytes(plan.budget, plan.processes(count), arrays, rows, kept)
    return (
        SweepJob(
            strategy=strategy,
            names=space.names,
            symbol=frames.symbol,
            settings=settings,
            ends=ends,
            keep=keep,
        ),
        arrays,
    )


def _record(directory: Path, job: SweepJob, arrays: Arrays) -> SweepRecord:
    marks = identity(
        job.strategy, fingerprint(arrays), job.settings, job.ends.tolist(), str(job.settings.engine)
    )
    return SweepRecord(directory, job.strategy.__name__, marks, job.names, len(job.ends))


class _InProcessPool:
    """A pool that computes in this process, for a debugger and for the shortest sweeps."""

    def __init__(self, job: SweepJob, arrays: Arrays) -> None:
        self._evaluator = Evaluator(job, arrays)

    def run(self, tiles: Sequence[list[Combination]]) -> Iterator[EvaluatedChunk]:
        for tile in tiles:
            for combination in tile:
                yield [combination], self._evaluator.run([combination])


def _pool_maker(job: SweepJob, arrays: Arrays, processes: int, client: Any) -> PoolFactory:
    def open_pool() -> AbstractContextManager[WorkerPool]:
        if client is not None:
            from botlib.backtesting.sweeps.cluster_pool import ClusterPool

            return ClusterPool(job, arrays, client)
        if not processes:
            return contextlib.nullcontext(_InProcessPool(job, arrays))
        from botlib.backtesting.sweeps.local_pool import LocalPool

        return LocalPool(job, arrays, workers=processes)

    return open_pool


def _example_strategy(
    strategy: type[Strategy], space: ParameterSpace, combinations: Sequence[Combination] | None
) -> Strategy:
    """Return the strategy with the first combination it accepts, which names its timeframes.

    Raises:
        ConfigError: the strategy accepts none of the first thousand.
    """
    refused: ConfigError | None = None
    for combination in (combinations or space.sample(1_000, 0))[:1_000]:
        try:
            return strategy(**space.named(combination))
        except ConfigError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _ends(rows: int, combinations: int, budget: int) -> npt.NDArray[np.int64]:
    """Return the last row of each period; their equity takes at most a quarter of the memory."""
    affordable = budget // 4 // (8 * max(combinations, 1))
    periods = max(1, min(PERIODS, rows, affordable))
    return np.arange(1, periods + 1, dtype=np.int64) * rows // periods - 1


def _indicator_bytes(budget: int, processes: int, arrays: Arrays, rows: int, kept: int) -> int:
    """Return how many bytes of indicators a worker may keep.

    Args:
        kept: bytes of results in this process.

    Raises:
        InvalidInput: the budget does not even hold one combination per worker.
    """
    workers = max(processes, 1)
    # Every process counts the candles it maps as its own. An eighth of the budget is left for
    # memory that the allocator holds beyond what is in use.
    own = _PROCESS_BYTES + _SERIES * 8 * rows + size_of(arrays)
    left = (budget * 7 // 8 - kept) // workers - own
    if left < 8 * rows * 2:
        needed = (workers * (own + 16 * rows) + kept) * 8 // 7 + 1
        raise InvalidInput(
            f"A budget of {formats.count(budget)} bytes is too little for {workers} workers over "
            f"{formats.count(rows)} "
            f"candles: they need {formats.count(needed)}. Give more memory=, or fewer workers=."
        )
    return left


def _side(job: SweepJob, rows: int, parameters: int) -> int:
    """Return how many values per parameter a tile may span so that its indicators are kept."""
    return max(2, job.keep // (8 * rows) // (2 * parameters))
