"""Strategies that learn from candles, for tests."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from botlib.frames import Frames
from botlib.strategy import Signals, Strategy


class Level(Strategy):
    """Long below the mean close of what it learned from; it notes every call of `fit`."""

    timeframes = ("1h",)
    share: float = 1.0
    calls: ClassVar[list[pd.DatetimeIndex]] = []

    def fit(self, train: Frames) -> None:
        self.calls.append(train.frame.index)
        assert not hasattr(self, "level"), "it learns on a new object"
        self.level = float(train.frame["close"].mean()) * self.share

    def signals(self, data: Frames) -> Signals:
        below = data.frame["close"] < self.level
        return Signals(entry=below, exit=~below)


class Memory(Strategy):
    """It remembers the candles that rose, if ``remembers``; else it is long at every third hour."""

    timeframes = ("1h",)
    remembers: bool = False

    def fit(self, train: Frames) -> None:
        close = train.frame["close"]
        self.rising = set(close.index[(close.shift(-1) > close).to_numpy()])

    def signals(self, data: Frames) -> Signals:
        index = data.frame.index
        wanted = (
            index.isin(list(self.rising)) if self.remembers else np.asarray(index.hour % 3 == 0)
        )
        entry = pd.Series(wanted, index=index)
        return Signals(entry=entry, exit=~entry)
