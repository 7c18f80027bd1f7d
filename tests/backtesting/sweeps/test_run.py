"""Sweeps: the numbers of plain vectorbt, failures, interrupts and refused arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting.sweeps import METRICS, SweepResult
from botlib.backtesting.sweeps.local_pool import LocalPool
from botlib.backtesting.vectorbt_setup import load_vectorbt
from botlib.core.errors import ConfigError, InvalidInput, SweepError
from botlib.frames import Frames
from botlib.strategy import Strategy
from tests.support.backtests import backtest
from tests.support.sweeps import (
    MARKET,
    Cross,
    Fragile,
    Guarded,
    RandomSignals,
    Refusing,
    candles,
    sweep,
)


def plain(
    frame: pd.DataFrame, entry: pd.DataFrame, leave: pd.DataFrame, engine: str, **settings: float
) -> pd.DataFrame:
    """Return the figures of plain vectorbt, one row per combination."""
    portfolio = load_vectorbt().Portfolio.from_signals(
        frame["close"],
        (entry & ~leave).vbt.signals.fshift(1),
        leave.vbt.signals.fshift(1),
        price=frame["open"],
        fees=settings["fee"],
        slippage=settings["slippage"],
        init_cash=settings["cash"],
        freq="1min",
        engine=engine,
    )
    trades = portfolio.trades
    return pd.DataFrame(
        {
            "total_return": portfolio.total_return(engine=engine),
            "sharpe": portfolio.sharpe_ratio(engine=engine),
            "sortino": portfolio.sortino_ratio(engine=engine),
            "max_drawdown": portfolio.max_drawdown(engine=engine),
            "trades": trades.count(),
        }
    )


def assert_same_bits(result: SweepResult, expected: pd.DataFrame, names: list[str]) -> None:
    found = result.frame.set_index(names if len(names) > 1 else names[0]).loc[expected.index]
    for name in ("total_return", "sharpe", "sortino", "max_drawdown"):
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy(), name)
    np.testing.assert_array_equal(found["round_trips"] + found["open"], expected["trades"])


@pytest.mark.parametrize("engine", ["rust", "numba"])
def test_random_signals_give_the_numbers_of_plain_vectorbt_to_the_last_bit(
    frame: pd.DataFrame, engine: str
) -> None:
    settings = {"fee": 0.0013, "slippage": 0.0007, "cash": 7_777.77}
    rates = [0.002, 0.1, 0.6]
    result = sweep(
        RandomSignals,
        frame,
        number=range(4),
        often=rates,
        workers=0,
        progress=False,
        engine=engine,
        **settings,
    )
    data = Frames("", {"1m": frame})
    signals = {
        (n, r): RandomSignals(number=n, often=r).signals(data) for n in range(4) for r in rates
    }
    entry = pd.DataFrame({key: value.entry for key, value in signals.items()})
    leave = pd.DataFrame({key: value.exit for key, value in signals.items()})
    expected = plain(frame, entry, leave, engine, **settings)
    assert expected["trades"].max() > 100
    assert_same_bits(result, expected, ["number", "often"])


def test_a_grid_in_worker_processes_gives_the_numbers_of_plain_vectorbt(
    frame: pd.DataFrame,
) -> None:
    settings = {"fee": 0.001, "slippage": 0.0, "cash": 10_000.0}
    result = sweep(
        Cross,
        frame,
        fast=range(2, 14),
        slow=range(2, 14),
        where=lambda p: p["fast"] < p["slow"],
        workers=2,
        progress=False,
        **settings,
    )
    assert len(result) == result.wanted == 66 and not result.interrupted
    data = Frames("", {"1m": frame})
    keys = [(fast, slow) for fast in range(2, 14) for slow in range(fast + 1, 14)]
    signals = {key: Cross(fast=key[0], slow=key[1]).signals(data) for key in keys}
    entry = pd.DataFrame({key: _after(value.entry, key[1]) for key, value in signals.items()})
    leave = pd.DataFrame({key: _after(value.exit, key[1]) for key, value in signals.items()})
    assert_same_bits(result, plain(frame, entry, leave, "rust", **settings), ["fast", "slow"])


def _after(signal: pd.Series, warmup: int) -> pd.Series:
    """Return signals without those of the warm-up."""
    return signal & (np.arange(len(signal)) >= warmup)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Cross, {}),
        (Cross, {"order_cost": 500.0, "slippage": 0.001}),
        (Cross, {"market": MARKET, "order_cost": 500.0}),
        (Guarded, {}),
        (Guarded, {"market": MARKET, "order_cost": 500.0}),
        (Cross, {"start": "2024-01-01 08:00"}),
    ],
)
def test_each_combination_is_a_backtest(
    frame: pd.DataFrame, kind: type[Strategy], given: dict[str, object]
) -> None:
    result = sweep(kind, frame, fast=[3, 8], slow=[12, 20], workers=0, progress=False, **given)
    for row in result.frame.to_dict("records"):
        single = backtest(kind(fast=row["fast"], slow=row["slow"]), frame, **given)
        stats = single.stats()
        assert stats["round_trips"] > 3
        for name in METRICS:
            assert row[name] == pytest.approx(float(stats[name]), rel=1e-9, nan_ok=True), name


def test_a_combination_that_never_trades_ranks_last(frame: pd.DataFrame) -> None:
    result = sweep(RandomSignals, frame, often=[0.0, 0.3, 0.01], workers=0, progress=False)
    assert result.frame["often"].iloc[-1] == 0.0
    assert np.isnan(result.frame["sharpe"].iloc[-1])


def test_far_too_many_combinations_are_refused_with_count_and_budget(frame: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match=r"1.000.000.000.000 combinations.*500.000.000 bytes"):
        sweep(Cross, frame, fast=range(10**6), slow=range(10**6), memory="500MB", progress=False)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"fats": range(3)}, ConfigError, "Did you mean 'fast'"),
        ({"fast": []}, InvalidInput, "no values"),
        ({"fast": [3], "metric": "sharp"}, InvalidInput, "Did you mean 'sharpe'"),
        ({"fast": [3], "method": "gird"}, InvalidInput, "Did you mean 'grid'"),
        ({"fast": [3], "method": "random"}, InvalidInput, "needs samples="),
        ({"fast": [3], "samples": 3}, InvalidInput, "a grid tries all"),
        ({"fast": [3], "memory": "much"}, InvalidInput, "Cannot read memory"),
        ({"fast": [3], "seed": range(3)}, InvalidInput, "seed"),
        ({"fast": [3], "where": lambda p: False}, InvalidInput, "refused all 1"),
        ({"fast": ["x"]}, ConfigError, "must be int"),
        ({"fast": [3], "workers": -1}, InvalidInput, "workers"),
        ({}, InvalidInput, "at least one parameter"),
    ],
)
def test_what_cannot_be_swept_is_refused(
    frame: pd.DataFrame, given: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sweep(Cross, frame, progress=False, **given)  # type: ignore[arg-type]


def test_memory_too_small_for_the_candles_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too little for 8 workers"):
        sweep(Cross, candles(5_000), fast=range(2, 30), workers=8, memory="300MB", progress=False)


def test_a_combination_that_raises_is_reported_and_the_others_are_kept(
    frame: pd.DataFrame,
) -> None:
    result = sweep(Fragile, frame, fast=[5, 6, 7, 8], workers=0, progress=False)
    assert sorted(result.frame["fast"]) == [5, 6, 8]
    assert result.failures.to_dict("records") == [{"fast": 7, "error": "ZeroDivisionError: seven"}]
    assert "1 failed" in repr(result)


def test_a_strategy_that_always_raises_ends_the_sweep_with_its_error(frame: pd.DataFrame) -> None:
    with pytest.raises(SweepError, match=r"'fast': 7.*ZeroDivisionError: seven"):
        sweep(Fragile, frame, fast=[7], slow=range(9, 30), workers=0, progress=False)


def test_combinations_the_strategy_refuses_are_failures(frame: pd.DataFrame) -> None:
    result = sweep(
        Refusing, frame, fast=range(18, 26), slow=range(18, 22), workers=0, progress=False
    )
    assert len(result) == 6 and len(result.failures) == 26


def test_an_interrupt_keeps_what_is_done_and_the_next_call_resumes(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = LocalPool.run

    def run(self: LocalPool, tiles: list[list[tuple[object, ...]]]) -> object:
        for number, answer in enumerate(original(self, tiles)):
            yield answer
            if number == 1:
                raise KeyboardInterrupt

    space: dict[str, Any] = {"fast": range(2, 12), "slow": range(12, 22)}
    given: dict[str, Any] = {"directory": tmp_path, "workers": 1, "progress": False}
    monkeypatch.setattr(LocalPool, "run", run)
    partial = sweep(Cross, frame, **space, **given)
    assert partial.interrupted and 0 < len(partial) < 100
    assert "interrupted" in repr(partial)

    computed: list[int] = []

    def count(self: LocalPool, tiles: list[list[tuple[object, ...]]]) -> object:
        computed.append(sum(map(len, tiles)))
        yield from original(self, tiles)

    monkeypatch.setattr(LocalPool, "run", count)
    whole = sweep(Cross, frame, **space, **given)
    assert computed == [100 - len(partial)] and len(whole) == 100
    fresh = sweep(Cross, frame, **space, workers=0, progress=False)
    pd.testing.assert_frame_equal(whole.frame, fresh.frame, check_exact=True)
    pd.testing.assert_frame_equal(whole.period_returns(), fresh.period_returns(), check_exact=True)


def test_an_interrupt_before_anything_is_done_gives_an_empty_result(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: LocalPool, tiles: list[list[tuple[object, ...]]]) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalPool, "run", run)
    empty = sweep(Cross, frame, fast=[3, 4], workers=1, progress=True)
    assert empty.interrupted and len(empty.frame) == len(empty.best()) == 0
    assert repr(empty) == "<SweepResult Cross · 0 of 2 combinations · interrupted>"
    assert "interrupted" in empty._repr_html_()
    for ask in (empty.period_returns, empty.neighbourhood, empty.heatmap):
        with pytest.raises(InvalidInput, match="interrupted before"):
            ask()
