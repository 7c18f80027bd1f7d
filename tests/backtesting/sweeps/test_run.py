"""Sweeps: the numbers of plain vectorbt, kept work, refused spaces."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from botlib.backtesting import backtest, sweep
from botlib.backtesting.sweeps import METRICS, SweepResult
from botlib.backtesting.sweeps.candles import BoundedFrames, to_arrays
from botlib.backtesting.sweeps.local_pool import LocalPool
from botlib.backtesting.sweeps.plan import memory_bytes
from botlib.backtesting.sweeps.space import ParameterSpace
from botlib.backtesting.vectorbt_setup import load_vectorbt
from botlib.core.errors import ConfigError, InvalidInput, SweepError
from botlib.core.market import Market
from botlib.frames import Frames, candle_frame
from botlib.strategy import Signals, Strategy

ROOT = Path(__file__).resolve().parents[3]
ROWS = 1_500
START = 1_704_067_200_000


def candles(rows: int = ROWS, seed: int = 1) -> pd.DataFrame:
    dice = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(dice.normal(0, 2e-3, rows)))
    opened = np.concatenate(([close[0]], close[:-1])) * (1 + dice.normal(0, 1e-4, rows))
    high = np.maximum(opened, close) * (1 + dice.exponential(5e-4, rows))
    low = np.minimum(opened, close) * (1 - dice.exponential(5e-4, rows))
    return candle_frame(
        START + 60_000 * np.arange(rows),
        np.column_stack((opened, high, low, close, dice.exponential(1, rows))),
    )


class Cross(Strategy):
    fast: int = 10
    slow: int = 30

    @property
    def warmup(self) -> int:
        return self.slow + 1

    def signals(self, data: Frames) -> Signals:
        fast, slow = data.indicator(f"sma({self.fast})"), data.indicator(f"sma({self.slow})")
        above, below = fast > slow, fast < slow
        return Signals(
            entry=above & ~above.shift(1, fill_value=False),
            exit=below & ~below.shift(1, fill_value=False),
        )


class Dice(Strategy):
    """Random wishes: rare, dense, and meeting each other."""

    number: int = 0
    often: float = 0.1

    def signals(self, data: Frames) -> Signals:
        dice = np.random.default_rng(self.number)
        index = data.frame.index
        entry, leave = dice.random((2, len(index))) < self.often
        return Signals(entry=pd.Series(entry, index), exit=pd.Series(leave, index))


class Fragile(Cross):
    def signals(self, data: Frames) -> Signals:
        if self.fast == 7:
            raise ZeroDivisionError("seven")
        if self.fast == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().signals(data)


class Refusing(Cross):
    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]
        if self.fast >= self.slow:
            raise ConfigError(f"fast={self.fast} is not below slow={self.slow}.")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return candles()


def plain(
    frame: pd.DataFrame, entry: pd.DataFrame, leave: pd.DataFrame, engine: str, **settings: float
) -> pd.DataFrame:
    """What vectorbt itself makes of signals, one column per combination."""
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
        Dice,
        frame,
        number=range(4),
        often=rates,
        workers=0,
        progress=False,
        engine=engine,
        **settings,
    )
    data = Frames("", {"1m": frame})
    wished = {(n, r): Dice(number=n, often=r).signals(data) for n in range(4) for r in rates}
    entry = pd.DataFrame({key: value.entry for key, value in wished.items()})
    leave = pd.DataFrame({key: value.exit for key, value in wished.items()})
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
    wished = {key: Cross(fast=key[0], slow=key[1]).signals(data) for key in keys}
    entry = pd.DataFrame({key: _after(value.entry, key[1]) for key, value in wished.items()})
    leave = pd.DataFrame({key: _after(value.exit, key[1]) for key, value in wished.items()})
    assert_same_bits(result, plain(frame, entry, leave, "rust", **settings), ["fast", "slow"])


def _after(wishes: pd.Series, warmup: int) -> pd.Series:
    """Wishes of the warm-up do not count."""
    return wishes & (np.arange(len(wishes)) >= warmup)


MARKET = Market(
    symbol="BTC/USDT",
    id="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick=Decimal("0.01"),
    step=Decimal("0.001"),
    min_amount=Decimal("0.001"),
    min_cost=Decimal(5),
)


class Guarded(Cross):
    stop_loss: float | None = 0.004
    take_profit: float | None = 0.006


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
    result = sweep(Dice, frame, often=[0.0, 0.3, 0.01], workers=0, progress=False)
    assert result.frame["often"].iloc[-1] == 0.0
    assert np.isnan(result.frame["sharpe"].iloc[-1])


# -- what is asked for ---------------------------------------------------------------------------


def test_far_too_many_combinations_are_refused_with_count_and_budget(frame: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match=r"1,000,000,000,000 combinations.*500,000,000 bytes"):
        sweep(Cross, frame, fast=range(10**6), slow=range(10**6), memory="500MB", progress=False)


def test_a_random_search_draws_from_a_space_of_any_size_the_same_for_the_same_seed() -> None:
    space = ParameterSpace(
        Cross, {"fast": range(1, 10**6), "slow": range(1, 10**6)}, _fast_below_slow
    )
    drawn = space.sample(200, seed=3)
    assert len(set(drawn)) == 200 and all(fast < slow for fast, slow in drawn)
    assert drawn == space.sample(200, seed=3) != space.sample(200, seed=4)


def _fast_below_slow(parameters: dict[str, int]) -> bool:
    return parameters["fast"] < parameters["slow"]


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


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), ("0.5 GB", 5 * 10**8), (70_000_000, 7 * 10**7), ("200MiB", 2 * 10**8)],
)
def test_memory_is_read(text: str | int, size: int) -> None:
    assert memory_bytes(text) == size


# -- failures ------------------------------------------------------------------------------------


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


def test_a_dead_worker_is_replaced_and_a_deadly_combination_named(frame: pd.DataFrame) -> None:
    with pytest.raises(SweepError, match=r"died 3 times.*\(13,\)"):
        sweep(Fragile, frame, fast=[13], workers=1, progress=False)


def test_work_of_a_killed_worker_is_done_by_another(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    original = LocalPool.run

    def run(self: LocalPool, tiles: list[list[tuple[object, ...]]]) -> object:
        for number, answer in enumerate(original(self, tiles)):
            if number == 1:
                killed.append(self.pids[0])
                os.kill(self.pids[0], signal.SIGKILL)
            yield answer

    monkeypatch.setattr(LocalPool, "run", run)
    result = sweep(Cross, frame, fast=range(2, 12), slow=range(12, 22), workers=2, progress=False)
    assert killed and len(result) == 100 and result.failures.empty


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.backtesting.sweeps import test_run as t\n"
        "from botlib.backtesting.sweeps.local_pool import LocalPool\n"
        "from botlib.backtesting.sweeps.evaluator import SweepJob, SweepSettings\n"
        "from botlib.backtesting.sweeps.candles import to_arrays\n"
        "import numpy as np\n"
        "job = SweepJob(strategy=t.Cross, names=('fast',), symbol='', settings=SweepSettings(),\n"
        "          ends=np.array([99]), keep=10**6)\n"
        "pool = LocalPool(job, to_arrays(t.Frames('', {'1m': t.candles(100)})), workers=1)\n"
        "print(*pool.pids, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert psutil.pid_exists(worker)
        parent.kill()
        parent.wait()
    psutil.wait_procs([p for p in psutil.process_iter() if p.pid == worker], timeout=60)
    assert not psutil.pid_exists(worker)


# -- interrupted and resumed ---------------------------------------------------------------------


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


def test_a_real_interrupt_ends_the_workers(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = LocalPool.run
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    workers: list[int] = []

    def run(self: LocalPool, tiles: list[list[tuple[object, ...]]]) -> object:
        for answer in original(self, tiles):
            if not workers:
                workers.extend(self.pids)
                timer.start()
            yield answer

    monkeypatch.setattr(LocalPool, "run", run)
    result = sweep(Dice, frame, number=range(100_000), workers=1, progress=False)
    timer.join()
    assert result.interrupted
    assert workers and not any(map(psutil.pid_exists, workers))


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


def test_what_the_numbers_depend_on_is_not_mixed_up(frame: pd.DataFrame, tmp_path: Path) -> None:
    given: dict[str, Any] = {"directory": tmp_path, "workers": 0, "progress": False, "fast": [5]}
    sweep(Cross, frame, **given)
    sweep(Cross, frame, fee=0.002, **given)
    sweep(Cross, frame.iloc[:-1], **given)
    assert len(list(tmp_path.iterdir())) == 3
    sweep(Cross, frame, slow=[12, 30], **given)
    assert len(list(tmp_path.iterdir())) == 3  # other combinations share the file


def test_a_row_cut_off_by_a_crash_is_computed_again(frame: pd.DataFrame, tmp_path: Path) -> None:
    given: dict[str, Any] = {"directory": tmp_path, "workers": 0, "progress": False}
    first = sweep(Cross, frame, fast=[3, 4, 5], **given)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    again = sweep(Cross, frame, fast=[3, 4, 5], **given)
    pd.testing.assert_frame_equal(first.frame, again.frame, check_exact=True)


def test_a_full_disk_is_told_and_finished_work_is_kept(frame: pd.DataFrame, tmp_path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(SweepError, match="Cannot write results"):
            sweep(Cross, frame, fast=range(2, 9), directory=tmp_path, workers=0, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, before)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size > 3_000


# -- guided search -------------------------------------------------------------------------------


def test_a_guided_search_is_repeatable_and_resumes(frame: pd.DataFrame, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "fast": range(2, 200),
        "slow": range(5, 400),
        "where": _fast_below_slow,
        "method": "optuna",
        "seed": 5,
        "workers": 0,
        "progress": False,
    }
    whole = sweep(Cross, frame, samples=48, **given)
    assert len(whole) == 48
    part = sweep(Cross, frame, samples=32, directory=tmp_path, **given)
    resumed = sweep(Cross, frame, samples=48, directory=tmp_path, **given)
    assert set(zip(part.frame["fast"], part.frame["slow"], strict=True)) <= set(
        zip(resumed.frame["fast"], resumed.frame["slow"], strict=True)
    )
    pd.testing.assert_frame_equal(whole.frame, resumed.frame, check_exact=True)


# -- the result ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(frame: pd.DataFrame) -> SweepResult:
    return sweep(Cross, frame, fast=range(2, 8), slow=range(8, 14), workers=0, progress=False)


def test_the_frame_is_tidy_and_sorted(result: SweepResult) -> None:
    assert list(result.frame) == ["fast", "slow", *METRICS]
    assert result.frame["sharpe"].is_monotonic_decreasing
    top = result.frame.iloc[0]
    assert result.best_parameters == {"fast": top["fast"], "slow": top["slow"]}
    assert result.best_strategy.parameters["fast"] == top["fast"]
    assert repr(result).startswith("<SweepResult Cross · 36 of 36 combinations · best sharpe")


def test_the_best_come_with_what_their_neighbours_reach(result: SweepResult) -> None:
    best = result.best(3)
    near = result.neighbourhood()
    assert near["steps"].iloc[0] == 0 and set(near["steps"].iloc[1:]) == {1}
    assert best["neighbours"].iloc[0] == near["sharpe"].iloc[1:].median()
    assert len(result.neighbourhood({"fast": 4, "slow": 10}, reach=2)) == 25
    with pytest.raises(InvalidInput, match="not computed"):
        result.neighbourhood({"fast": 99, "slow": 10})


def test_period_returns_add_up_to_the_total(result: SweepResult) -> None:
    returns = result.period_returns()
    assert returns.shape == (480, 36) and returns.columns.names == ["fast", "slow"]
    total = np.expm1(returns.sum())
    np.testing.assert_allclose(total.to_numpy(), result.frame["total_return"], rtol=1e-9)
    blocks = result.period_returns(16, top=5)
    np.testing.assert_allclose(
        blocks.to_numpy(), returns.iloc[:, :5].to_numpy().reshape(16, 30, 5).sum(axis=1), atol=1e-12
    )
    with pytest.raises(InvalidInput, match="from 1 to 480"):
        result.period_returns(481)


def test_a_sweep_judges_its_own_best(result: SweepResult) -> None:
    report = result.overfitting(blocks=8)
    assert report.trials == 36


def test_the_pictures(result: SweepResult) -> None:
    figure = result.heatmap()
    assert figure.data[0].z.shape == (6, 6)
    assert result.heatmap("slow", "fast", metric="max_drawdown").layout.xaxis.title.text == "slow"
    assert "neighbours" in result._repr_html_() and "<script" not in result._repr_html_()
    with pytest.raises(InvalidInput, match="Did you mean 'slow'"):
        result.heatmap("slwo")


# -- memory --------------------------------------------------------------------------------------


def test_indicators_are_remembered_up_to_the_budget(frame: pd.DataFrame) -> None:
    data = BoundedFrames("", to_arrays(Frames("", {"1m": frame})), keep=3 * 8 * len(frame))
    first = data.indicator("sma(3)").to_numpy()
    assert data.indicator("sma(3)").to_numpy() is first or np.shares_memory(
        data.indicator("sma(3)").to_numpy(), first
    )
    for length in range(4, 8):
        data.indicator(f"sma({length})")
    assert len(data._indicators) == 3
    assert not np.shares_memory(data.indicator("sma(3)").to_numpy(), first)


def test_tiles_keep_neighbours_together() -> None:
    space = ParameterSpace(Cross, {"fast": range(10), "slow": range(10)})
    tiles = space.tiles(space.grid(budget=10**9), 5)
    assert len(tiles) == 4 and sum(map(len, tiles)) == 100
    assert all(len({fast for fast, _ in tile}) == 5 for tile in tiles)
