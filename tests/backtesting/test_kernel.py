"""The compiled kernels beside vectorbt itself."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_VECTORBT = """
import sys, threading
import numpy as np
from botlib.strategies import TrendCross
from tests.support.backtests import backtest, wandering

candles = wandering(5_000, 3)
strategy = TrendCross(timeframes=("1m",))
first = backtest(strategy, candles, order_cost=100.0, slippage=0.0001)
assert len(first.stats()) and len(first.fills) > 100
assert "vectorbt" not in sys.modules and "vectorbt.portfolio.enums" not in sys.modules

# Meanwhile another thread imports the real one, and gets all of it.
found = []

def load():
    import vectorbt
    found.append(vectorbt.Portfolio)

other = threading.Thread(target=load)
other.start()
while other.is_alive():
    again = backtest(strategy, candles, order_cost=100.0, slippage=0.0001)
    assert np.array_equal(again.fills.amount, first.fills.amount)
    assert np.array_equal(again.equity, first.equity)
    other.join(0.01)
assert found == [type(first.portfolio)]
kept = first.portfolio.order_records
assert np.array_equal(kept["size"], first.fills.amount)
assert np.array_equal(kept["price"], first.fills.price)
assert np.array_equal(kept["fees"], first.fills.fee)
"""


def test_a_backtest_needs_no_vectorbt_and_leaves_it_whole_for_others() -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", WITHOUT_VECTORBT],
        check=True,
        timeout=100,
    )
