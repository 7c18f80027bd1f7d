"""The check of a strategy over 100,000 candles, next to asking it about every prefix whole.

The plain way asks the strategy once for each candle with a signal, about all candles up to there,
and compares the newest one. `check` cuts there too, and does everything else. Aim: at most 10 s for
an ordinary strategy. Each way has a process of its own; the ratio is to the plain way.
"""

from __future__ import annotations

from typing import Final

from benchmarks.backtest import MARKET
from benchmarks.measuring import Row, Size, result_of

CANDLES: Final = 100_000
SMOKE_CANDLES: Final = 2_000
LIMIT: Final = 900.0
"""Seconds for the process of one way."""

PARTS: Final = """
from botlib.backtesting.checking import check
from botlib.backtesting.checking.lookahead import LookAheadCheck
from botlib.backtesting.checking.strips import compare_strips
from botlib.backtesting.checking.subject import Deadline, Subject
from botlib.backtesting.checking.truncation import has_signal, truncate_end
from botlib.backtesting.checking.windows import WindowCuts
from botlib.frames import Frames
from botlib.strategies import TrendCross
strategy = TrendCross(fast=10, slow=30, timeframes=("1m",))
frames, subject = Frames("", {{"1m": frame}}), Subject(strategy)
whole = subject.observe(frames)
rows = np.flatnonzero(has_signal(whole))
rows = rows[(rows >= strategy.warmup) & (rows < len(frame) - 1)]
ahead, slow = LookAheadCheck(subject, frames, whole), Deadline(600.0)
random = np.random.default_rng(0)
"""

TIMER: Final = """
begun = time.perf_counter()
done = run()
print(json.dumps([time.perf_counter() - begun, int(done), len(rows)]))
"""

PLAIN: Final = """
def run():
    for row in rows:
        signals = strategy.signals(truncate_end(frames, row + 1))
        assert signals.entry.iloc[-1] == whole["entry"].values[row]
        assert signals.exit.iloc[-1] == whole["exit"].values[row]
    return len(rows)
"""

WINDOWS: Final = """
def run():
    return WindowCuts(ahead).compare(len(rows), random, slow).signals
"""

STRIPS: Final = """
def run():
    return compare_strips(ahead, WindowCuts(ahead), random, slow).candles
"""

CHECK: Final = """
def run():
    report = check(strategy, frame)
    assert report.ok, str(report)
    return report.cuts
"""

WAYS: Final = (
    ("plain: every prefix whole, at every signal", PLAIN),
    ("check(): all of it, in two processes", CHECK),
    ("of it: cuts at every signal", WINDOWS),
    ("of it: prices altered after every candle", STRIPS),
)


def measure(size: Size) -> list[Row]:
    """Return the seconds of each way and their ratio to the plain way."""
    candles = SMOKE_CANDLES if size is Size.SMOKE else CANDLES
    rows: list[Row] = []
    plain = 0.0
    for name, way in WAYS:
        script = (MARKET + PARTS).format(candles=candles) + way + TIMER
        taken, looked, signals = result_of(name, ["-c", script], limit=LIMIT)
        plain = plain or taken
        rows.append(
            {
                "way": name,
                "candles": candles,
                "signals": signals,
                "looked at": looked,
                "s": taken,
                "ratio": taken / plain,
            }
        )
    return rows
