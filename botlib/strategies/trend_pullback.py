"""Two timeframes: buy dips of the trading timeframe while the higher one rises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botlib.core.errors import ConfigError
from botlib.strategy import Signals, Strategy

if TYPE_CHECKING:
    from botlib.frames import Frames


class TrendPullback(Strategy):
    """Enter when the price rises above its average in an up-trend of the higher timeframe.

    Exit when it falls below its average, or when the trend ends.
    """

    timeframes = ("15m", "4h")
    length: int = 20
    """Candles of the trading timeframe in the average that the price has to exceed."""
    trend: int = 12
    """Candles of the higher timeframe in the average that shows the trend."""

    def __init__(
        self,
        *values: object,
        timeframes: tuple[str, ...] | str | None = None,
        **parameters: object,
    ) -> None:
        super().__init__(*values, timeframes=timeframes, **parameters)
        if len(self.timeframes) != 2 or min(self.length, self.trend) < 1:
            raise ConfigError(
                "TrendPullback needs two timeframes and averages of at least one candle, not "
                f"{self.timeframes}, length={self.length}, trend={self.trend}."
            )

    @property
    def warmup(self) -> int:
        return max(self.length + 1, self.trend)

    def warmup_of(self, timeframe: str) -> int:
        return self.length + 1 if timeframe == self.timeframes[0] else self.trend

    def signals(self, data: Frames) -> Signals:
        higher = self.timeframes[1]
        average = data.indicator(f"sma({self.trend})", higher)
        rising = data.align(data[higher]["close"] - average, higher) > 0
        close, mean = data.frame["close"], data.indicator(f"sma({self.length})")
        above = close > mean
        before = above.shift(1, fill_value=True)
        return Signals(entry=above & ~before & rising, exit=(close < mean) | ~rising)
