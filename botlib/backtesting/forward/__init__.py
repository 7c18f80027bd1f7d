"""Walk-forward analysis: parameters chosen on the past, traded on what came next."""

from botlib.backtesting.forward.result import WalkForwardResult, WalkForwardWindow
from botlib.backtesting.forward.run import walk_forward

__all__ = ["WalkForwardResult", "WalkForwardWindow", "walk_forward"]
