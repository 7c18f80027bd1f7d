"""Mean reversion: buy when the price has fallen far below its average."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botlib.indicators import warmup
from botlib.strategy import Signals, Strategy

if TYPE_CHECKING:
    from botlib.frames import Frames


class BandReversion(Strategy):
    """Enter below the lower Bollinger band while the RSI is low, exit above the middle band."""

    length: int = 20
    width: float = 2.0
    """Distance of the bands from the average, in standard deviations."""
    rsi: int = 14
    oversold: float = 30.0

    @property
    def warmup(self) -> int:
        return max(warmup(self._bands), warmup(self._rsi))

    def signals(self, data: Frames) -> Signals:
        close = data.frame["close"]
        bands, strength = data.indicator(self._bands), data.indicator(self._rsi)
        fallen = (close < bands["lower"]) & (strength < self.oversold)
        return Signals(entry=fallen, exit=close > bands["middle"])  # type: ignore[arg-type]

    @property
    def _bands(self) -> str:
        return f"bbands({self.length}, {self.width})"

    @property
    def _rsi(self) -> str:
        return f"rsi({self.rsi})"
