"""Walk-forward analysis: parameters chosen on the past, traded on what came next."""

from botlib.backtesting.forward.result import WalkForwardResult, Window
from botlib.backtesting.forward.run import walk_forward

__all__ = ["WalkForwardResult", "Window", "walk_forward"]
