"""Validation: parameters chosen and models fitted on some candles, traded on others.

A strategy class, candles and the lengths of the windows enter; one result with every window and the
out-of-sample equity leaves. A walk forward trains on the past of each test, a cross-validation on
everything but the tests, which gives several out-of-sample histories.
"""

from botlib.backtesting.forward.cross_validation import cross_validate
from botlib.backtesting.forward.paths import CrossValidationResult
from botlib.backtesting.forward.result import WalkForwardResult, WalkForwardWindow
from botlib.backtesting.forward.run import walk_forward

__all__ = [
    "CrossValidationResult",
    "WalkForwardResult",
    "WalkForwardWindow",
    "cross_validate",
    "walk_forward",
]
