"""One backtest of a year of 1m candles, next to raw vectorbt, raptorbt and backtesting.py.

The same moving-average cross, filled at the next open with a fee of 0.1 %, statistics included,
each way in a process of its own: seconds of the first call and of the best later one, and peak
memory. Aims: at most 0.6 times the best raw vectorbt call that computes the same figures, 50 times
faster than plain vectorbt on a tz-aware index.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from benchmarks.measuring import Row, Size, absent, result_of, skipped

CANDLES: Final = 525_600
SMOKE_CANDLES: Final = 3_000
TIMES: Final = 9
LIMIT: Final = 600.0
"""Seconds for the process of one way."""

MARKET: Final = """
import json, resource, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
random = np.random.default_rng(1)
rows = {candles}
path = 20_000 * np.exp(np.cumsum(random.normal(0, 5e-4, rows + 1)))
opens, closes = path[:-1], path[1:]
spread = np.abs(random.normal(0, 2e-4, (2, rows)))
frame = pd.DataFrame(
    {{
        "open": opens,
        "high": np.maximum(opens, closes) * (1 + spread[0]),
        "low": np.minimum(opens, closes) * (1 - spread[1]),
        "close": closes,
        "volume": np.ones(rows),
    }},
    index=pd.DatetimeIndex(
        (1_704_067_200_000 + np.arange(rows) * 60_000).astype("datetime64[ms]"), name="timestamp"
    ),
)
"""

TIMER: Final = """
taken = []
for _ in range({times}):
    begun = time.perf_counter()
    value = float(run())
    taken.append(time.perf_counter() - begun)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([taken, peak, value]))
"""

BOTLIB: Final = """
from botlib.backtesting import backtest
from botlib.backtesting.costs import Costs
from botlib.strategies import TrendCross
strategy = TrendCross(fast=10, slow=50, timeframes=("1m",))
def run():
    result = backtest(strategy, frame, costs=Costs.none(fee=0.001), order_cost="all")
    return result.stats()["total_return"]
"""

VECTORBT: Final = """
import vectorbt as vbt
frame.index = frame.index.tz_localize({zone})
def run():
    fast, slow = frame["close"].rolling(10).mean(), frame["close"].rolling(50).mean()
    above = fast > slow
    before = above.shift(1, fill_value=False)
    known = slow.notna().shift(1, fill_value=False)
    portfolio = vbt.Portfolio.from_signals(
        frame["close"],
        (above & ~before & known).shift(1, fill_value=False),
        (~above & before & known).shift(1, fill_value=False),
        price=frame["open"], fees=0.001, init_cash=10_000.0, freq="1min", engine={engine!r},
    )
    {statistics}
    return portfolio.total_return()
"""

PEER: Final = """
from backtesting import Backtest, Strategy
data = frame.rename(columns=str.capitalize)
class Cross(Strategy):
    def init(self):
        mean = lambda values, length: pd.Series(values).rolling(length).mean()
        self.fast, self.slow = self.I(mean, self.data.Close, 10), self.I(mean, self.data.Close, 50)
    def next(self):
        above, before = self.fast[-1] > self.slow[-1], self.fast[-2] > self.slow[-2]
        if above and not before:
            self.buy()
        elif before and not above and self.position:
            self.position.close()
def run():
    # backtesting.py trades whole units only, so it gets more cash than any price.
    done = Backtest(data, Cross, cash=1e9, commission=0.001, finalize_trades=False).run()
    return done["Return [%]"] / 100
"""

RAPTOR: Final = """
import os
os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"
import raptorbt
config = raptorbt.BacktestConfig(
    initial_capital=10_000.0, fees=0.001, fill_timing="next_bar_open", periods_per_year=525_600.0
)
times = frame.index.as_unit("ns").asi8
columns = [frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
def run():
    fast = frame["close"].rolling(10).mean().to_numpy()
    slow = frame["close"].rolling(50).mean().to_numpy()
    above = fast > slow
    before = np.append(False, above[:-1])
    known = np.append(False, ~np.isnan(slow[:-1]))
    entries, exits = above & ~before & known, ~above & before & known
    done = raptorbt.run_single_backtest(times, *columns, entries, exits, config=config)
    return done.metrics.total_return_pct / 100
"""

ALL_STATISTICS: Final = "portfolio.stats()"
SAME_STATISTICS: Final = """
    portfolio.sharpe_ratio(), portfolio.sortino_ratio(), portfolio.calmar_ratio()
    portfolio.max_drawdown(), portfolio.annualized_volatility()
    portfolio.trades.closed.win_rate(), portfolio.trades.closed.profit_factor()
"""


class Way(NamedTuple):
    """One way to run the same backtest."""

    name: str
    code: str
    times: int
    package: str = "vectorbt"


def _vectorbt(index: str, engine: str, statistics: str, times: int = TIMES) -> Way:
    said, code = FIGURES[statistics]
    zone = "'UTC'" if index == "tz-aware" else None
    name = f"vectorbt, {index} index, {engine}, {said}"
    return Way(name, VECTORBT.format(zone=zone, engine=engine, statistics=code), times)


FIGURES: Final = {
    "none": ("return only", ""),
    "same": ("the same figures", SAME_STATISTICS),
    "all": ("stats()", ALL_STATISTICS),
}
OURS: Final = Way("botlib", BOTLIB, TIMES)
RAPTOR_WAY: Final = Way("raptorbt", RAPTOR, TIMES, "raptorbt")
PEER_WAY: Final = Way("backtesting.py", PEER, 1, "backtesting")
WAYS: Final = (
    OURS,
    _vectorbt("naive", "rust", "none"),
    _vectorbt("naive", "rust", "same"),
    _vectorbt("naive", "rust", "all"),
    _vectorbt("naive", "numba", "same"),
    _vectorbt("tz-aware", "rust", "same", 2),
    _vectorbt("tz-aware", "numba", "same", 2),
    RAPTOR_WAY,
    PEER_WAY,
)
SMOKE_WAYS: Final = (OURS, _vectorbt("naive", "rust", "same"), PEER_WAY)


def run(way: Way, candles: int = CANDLES) -> tuple[list[float], float, float]:
    """Run one way in a process of its own; return seconds per call, peak MB and total return."""
    code = MARKET.format(candles=candles) + way.code + TIMER.format(times=way.times)
    taken, peak, value = result_of(way.name, ["-c", code], limit=LIMIT)
    return taken, peak, value


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per way: seconds, ratio to botlib, peak memory, and the return it found."""
    smoke = size is Size.SMOKE
    candles = SMOKE_CANDLES if smoke else CANDLES
    header = f"backtest of {candles:,} candles"
    rows: list[Row] = []
    best_of_ours = 0.0
    for way in SMOKE_WAYS if smoke else WAYS:
        if reason := absent(way.package):
            rows.append(skipped(header, way.name, reason))
            continue
        taken, peak, value = run(way, candles)
        best = min(taken[1:] or taken)
        best_of_ours = best_of_ours or best
        rows.append(
            {
                header: way.name,
                "first s": round(taken[0], 3),
                "best s": round(best, 4),
                "times botlib": round(best / best_of_ours, 2),
                "peak MB": round(peak),
                "total return": f"{value:.6%}",
            }
        )
    return rows
