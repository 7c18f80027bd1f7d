"""Trend following: hold while a fast moving average is above a slow one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from botlib.core.errors import ConfigError
from botlib.strategy import Signals, Strategy

if TYPE_CHECKING:
    from botlib.frames import Frames


class TrendCross(Strategy):
    """Enter when the fast simple moving average crosses above the slow one, exit when below."""

    fast: int = 10
    slow: int = 30

    def __init__(
        self,
        *values: object,
        timeframes: tuple[str, ...] | str | None = None,
        **parameters: object,
    ) -> None:
        super().__init__(*values, timeframes=timeframes, **parameters)
        if not 0 < self.fast < self.slow:
            raise ConfigError(
                f"TrendCross needs 0 < fast < slow, not fast={self.fast}, slow={self.slow}."
            )

    @property
    def warmup(self) -> int:
        return self.slow + 1

    def signals(self, data: Frames) -> Signals:
        import pandas as pd

        fast, slow = (
            data.indicator(f"sma({length})").to_numpy() for length in (self.fast, self.slow)
        )
        above = fast > slow
        before = np.append(False, above[:-1])
        known = np.append(False, ~np.isnan(slow[:-1]))
        index = data.index
        return Signals(
            entry=pd.Series(above & ~before & known, index=index),
            exit=pd.Series(~above & before & known, index=index),
        )
