"""The timeframes of a strategy that names none, in sweeps and walk forwards."""

from __future__ import annotations

from typing import Any

import pytest

from botlib.backtesting import sweep, walk_forward
from botlib.core.errors import ConfigError, InvalidInput
from botlib.strategies import TrendCross
from tests.support.samples import market

HOURS = market(600, step=0.004)
SPACE: dict[str, Any] = {"fast": [3, 5], "slow": [11, 20]}


class Hourly(TrendCross):
    timeframes = ("1h",)


def test_a_sweep_takes_the_timeframes_that_the_one_of_a_bot_takes() -> None:
    plain = sweep(TrendCross, HOURS, workers=0, progress=False, **SPACE)
    named = sweep(TrendCross, HOURS, timeframes="1h", workers=0, progress=False, **SPACE)
    assert named.frame.equals(plain.frame)
    higher = sweep(TrendCross, HOURS, timeframes=("4h",), workers=0, progress=False, **SPACE)
    assert not higher.frame["sharpe"].equals(plain.frame["sharpe"])
    walked = walk_forward(
        TrendCross, HOURS, timeframes=("1h",), train=200, test=100, progress=False, workers=0,
        **SPACE,
    )  # fmt: skip
    assert walked.windows


def test_timeframes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="Hourly looks at 1h, not at 4h"):
        sweep(Hourly, HOURS, timeframes=("4h",), progress=False, **SPACE)
    with pytest.raises(InvalidInput, match="no candles to build 30m from; given are 1h"):
        sweep(TrendCross, HOURS, timeframes=("30m",), progress=False, **SPACE)
