"""Walk-forward analysis: parameters chosen on past candles, traded on those that follow.

A strategy class, candles and the lengths of the windows enter; one result with every window and the
out-of-sample equity leaves. Each window is a sweep and a backtest.
"""

from botlib.backtesting.forward.result import WalkForwardResult, WalkForwardWindow
from botlib.backtesting.forward.run import walk_forward

__all__ = ["WalkForwardResult", "WalkForwardWindow", "walk_forward"]
