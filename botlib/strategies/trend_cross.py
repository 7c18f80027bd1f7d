"""Follow the trend: hold while a fast moving average is above a slow one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botlib.errors import ConfigError
from botlib.strategy import Signals, Strategy

if TYPE_CHECKING:
    from botlib.frames import Frames


class TrendCross(Strategy):
    """Enter when the fast simple moving average crosses above the slow one, exit when below."""

    fast: int = 10
    slow: int = 30

    def __init__(
        self, *, timeframes: tuple[str, ...] | str | None = None, **parameters: object
    ) -> None:
        super().__init__(timeframes=timeframes, **parameters)
        if not 0 < self.fast < self.slow:
            raise ConfigError(
                f"TrendCross needs 0 < fast < slow, not fast={self.fast}, slow={self.slow}."
            )

    @property
    def warmup(self) -> int:
        return self.slow + 1

    def signals(self, data: Frames) -> Signals:
        fast, slow = (data.indicator(f"sma({length})") for length in (self.fast, self.slow))
        above = fast > slow
        before = above.shift(1, fill_value=False)
        known = slow.notna().shift(1, fill_value=False)
        return Signals(entry=above & ~before & known, exit=~above & before & known)  # type: ignore[arg-type]
