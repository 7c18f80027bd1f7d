"""A sweep: one strategy with many combinations of parameters over the same candles."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.prepare import frames_for
from botlib.backtesting.run import check_numbers, row_of
from botlib.backtesting.sweeps.candles import Arrays, fingerprint, size_of, to_arrays
from botlib.backtesting.sweeps.collect import Answer, Collected, Pool, PoolMaker
from botlib.backtesting.sweeps.evaluate import METRICS, Evaluator, Job, Settings
from botlib.backtesting.sweeps.kernel import default_engine
from botlib.backtesting.sweeps.record import Record, identity
from botlib.backtesting.sweeps.result import SweepResult
from botlib.backtesting.sweeps.space import Combination, Space, Where
from botlib.errors import ConfigError, InvalidInput, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from botlib.exchange.base import Market
    from botlib.frames import Frames
    from botlib.strategy import Strategy

METHODS: Final = ("grid", "random", "optuna")

PERIODS: Final = 480
"""Stretches of equal length whose returns are kept of every combination: 480 has many divisors."""

_PROCESS_BYTES: Final = 160 * 2**20
"""What a worker takes before it has done anything: Python, numpy, pandas."""
_SERIES: Final = 14
"""Columns of one value per candle that are in memory at once while a combination is computed."""


def sweep(
    strategy: type[Strategy],
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    symbol: str = "",
    fee: float = 0.001,
    slippage: float = 0.0,
    cash: float = 10_000.0,
    order_cost: float | None = None,
    market: Market | None = None,
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
    **space: object,
) -> SweepResult:
    """Trade a strategy with many combinations of its parameters and rank what came of them.

    Every combination gives the numbers `backtest` and plain vectorbt give. The work is done in
    processes of its own, so live tasks of this one are not held up. An interrupt ends the sweep
    and returns what is finished; with a ``directory`` the same call later takes it up again.

    Args:
        strategy: the class; its parameters are given as keywords, each with the values to try:
            ``fast=range(5, 50), slow=range(20, 200)``.
        data: candles as for `backtest`; fee, slippage, cash, order_cost, market and start as well.
        metric: the figure to rank by: one of `METRICS`; more is better.
        where: condition on the parameters by name: ``lambda p: p["fast"] < p["slow"]``.
        method: "grid" tries all, "random" draws ``samples`` of them, "optuna" searches with as many
            (a tree-structured Parzen estimator).
        seed: of the drawing; the same seed gives the same combinations.
        workers: processes; one per core where not given, 0 computes in this process.
        memory: for all workers together, as bytes or as "500MB", "2GB".
        client: a Dask ``Client``, or the address of a scheduler, to compute on instead.
        directory: where to keep results, so that a sweep can be resumed.
        engine: "rust" or "numba"; the faster one that is installed where not given.

    Raises:
        InvalidInput: the candles, a number or the space is not accepted.
        ConfigError: the strategy has no such parameter.
        SweepError: no combination could be computed, or workers kept dying.
    """
    _check_choice("metric", metric, METRICS)
    _check_choice("method", method, METHODS)
    _check_choice("engine", engine or "numba", ("rust", "numba"))
    if samples is not None and samples < 1:
        raise InvalidInput(f"samples must be at least 1, not {samples!r}.")
    if not isinstance(seed, int):
        raise InvalidInput(f"seed must be a whole number, not {seed!r}.")
    check_numbers(fee=fee, slippage=slippage, cash=cash, order_cost=order_cost)
    budget = memory_bytes(memory)
    tried = Space(strategy, space, where)
    plan = _plan(tried, method, samples, seed, budget)

    frames = frames_for(_specimen(strategy, tried, plan), data, symbol)
    arrays = to_arrays(frames)
    settings = Settings(
        fee=fee,
        slippage=slippage,
        cash=cash,
        order_cost=order_cost,
        market=market,
        start=row_of(frames.frame, start),
        engine=engine or default_engine(),
    )
    count = len(plan) if plan is not None else int(samples or 0)
    ends = _ends(len(frames.frame) - settings.start, count, budget)
    processes = _processes(workers, count)
    job = Job(
        strategy=strategy,
        names=tried.names,
        symbol=frames.symbol,
        settings=settings,
        ends=ends,
        keep=_indicator_bytes(
            budget, processes, arrays, len(frames.frame), 2 * 8 * count * (len(ends) + len(METRICS))
        ),
    )
    times = frames.frame.index[settings.start :].to_numpy()[ends]
    collected = Collected(tried, count, progress)
    with contextlib.ExitStack() as stack:
        if directory is not None:
            marks = identity(
                strategy, fingerprint(arrays), settings, ends.tolist(), str(settings.engine)
            )
            collected.record = Record(
                Path(directory), strategy.__name__, marks, tried.names, len(ends)
            )
            stack.callback(collected.record.close)
        stack.callback(collected.close)
        try:
            open_pool = _pool_maker(job, arrays, processes, client)
            if plan is not None:
                side = _side(job, len(frames.frame), len(tried.names))
                collected.all(plan, open_pool, side)
            else:
                from botlib.backtesting.sweeps.search import search

                search(tried, collected, open_pool, metric=metric, samples=count, seed=seed)
        except KeyboardInterrupt:
            collected.interrupted = True
    return collected.result(
        strategy=strategy, frames=frames, settings=settings, metric=metric, times=times
    )


class _InProcess:
    """Computes in this process: for a debugger, and for the shortest sweeps."""

    def __init__(self, job: Job, arrays: Arrays) -> None:
        self._evaluator = Evaluator(job, arrays)

    def run(self, tiles: Sequence[list[Combination]]) -> Iterator[Answer]:
        for tile in tiles:
            for combination in tile:
                yield [combination], self._evaluator.run([combination])


def _pool_maker(job: Job, arrays: Arrays, processes: int, client: Any) -> PoolMaker:
    def open_pool() -> AbstractContextManager[Pool]:
        if client is not None:
            from botlib.backtesting.sweeps.cluster import ClusterPool

            return ClusterPool(job, arrays, client)
        if not processes:
            return contextlib.nullcontext(_InProcess(job, arrays))
        from botlib.backtesting.sweeps.local import LocalPool

        return LocalPool(job, arrays, workers=processes)

    return open_pool


def memory_bytes(memory: str | int) -> int:
    """Return a number of bytes: 500_000_000, "500MB" and "0.5 GB" are the same.

    Raises:
        InvalidInput: it cannot be read, or is less than 64 MB.
    """
    found = re.fullmatch(r"\s*([\d.]+)\s*([kMGT]?)i?B?\s*", str(memory).replace("_", ""), re.I)
    try:
        assert found is not None
        size = int(float(found[1]) * 1_000 ** " KMGT".index(found[2].upper() or " "))
    except (AssertionError, ValueError):
        raise InvalidInput(
            f"Cannot read memory={memory!r}. Accepted: bytes, or text such as '500MB' or '2GB'."
        ) from None
    if size < 64_000_000:
        raise InvalidInput(f"memory={memory!r} is too little for a sweep: give at least '64MB'.")
    return size


def _plan(
    space: Space, method: str, samples: int | None, seed: int, budget: int
) -> list[Combination] | None:
    """Return the combinations to try; None where a search finds them as it goes."""
    if method == "grid":
        if samples is not None:
            raise InvalidInput("samples= goes with method='random' or 'optuna'; a grid tries all.")
        return space.grid(budget=budget)
    if samples is None:
        raise InvalidInput(f"method={method!r} needs samples=, how many combinations to try.")
    return space.sample(samples, seed) if method == "random" else None


def _specimen(
    strategy: type[Strategy], space: Space, plan: Sequence[Combination] | None
) -> Strategy:
    """Return the strategy with the first combination it accepts, to learn what it looks at.

    Raises:
        ConfigError: it accepts none of the first thousand.
    """
    refused: ConfigError | None = None
    for combination in (plan or space.sample(1_000, 0))[:1_000]:
        try:
            return strategy(**space.named(combination))
        except ConfigError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _ends(rows: int, combinations: int, budget: int) -> npt.NDArray[np.int64]:
    """Return the last row of each period; all together take at most a quarter of the memory."""
    affordable = budget // 4 // (8 * max(combinations, 1))
    periods = max(1, min(PERIODS, rows, affordable))
    return np.arange(1, periods + 1, dtype=np.int64) * rows // periods - 1


def _processes(workers: int | None, combinations: int) -> int:
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        workers = workers or os.cpu_count() or 1
    if workers < 0:
        raise InvalidInput(f"workers must be 0 or more, not {workers!r}.")
    return min(workers, max(combinations, 1))


def _indicator_bytes(budget: int, processes: int, arrays: Arrays, rows: int, kept: int) -> int:
    """Return how many bytes of indicators a worker may remember.

    Args:
        kept: bytes of results in this process.

    Raises:
        InvalidInput: the budget does not even hold one combination per worker.
    """
    workers = max(processes, 1)
    # Every process maps the candles and counts them as its own; an eighth is for what an allocator
    # keeps beside what is in use.
    own = _PROCESS_BYTES + _SERIES * 8 * rows + size_of(arrays)
    left = (budget * 7 // 8 - kept) // workers - own
    if left < 8 * rows * 2:
        needed = (workers * (own + 16 * rows) + kept) * 8 // 7 + 1
        raise InvalidInput(
            f"A budget of {budget:,} bytes is too little for {workers} workers over {rows:,} "
            f"candles: they need {needed:,}. Give more memory=, or fewer workers=."
        )
    return left


def _side(job: Job, rows: int, parameters: int) -> int:
    """Return how many values per parameter a tile may span for its indicators to be remembered."""
    return max(2, job.keep // (8 * rows) // (2 * parameters))


def _check_choice(name: str, value: str, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise InvalidInput(
            f"{name} {value!r} is not known. Accepted: {', '.join(accepted)}."
            f"{did_you_mean(value, accepted)}"
        )
