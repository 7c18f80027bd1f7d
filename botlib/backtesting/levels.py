"""Where the stop and the target of a position lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from botlib.backtesting.account import Account

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """Fractions of the entry price, or None."""

    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None

    def __bool__(self) -> bool:
        return (self.stop_loss, self.take_profit, self.trailing_stop) != (None, None, None)


class Levels:
    """The prices that stops come to on an account, which rounds them as its venue does."""

    def __init__(self, stops: Stops, account: Account) -> None:
        self.stops = stops
        self._account = account

    def fixed(self, entry: float) -> float:
        """Return where the stop loss of an entry at a price lies, minus infinity without one."""
        if not self.stops.stop_loss:
            return -np.inf
        return self._account.stop_price(entry * (1 - self.stops.stop_loss))

    def target(self, entry: float) -> float:
        """Return where profit is taken, infinity where it is not."""
        if not self.stops.take_profit:
            return np.inf
        return self._account.target_price(entry * (1 + self.stops.take_profit))

    def trail(self, fixed: float, peaks: Floats) -> Floats:
        """Return where a trailing stop lies, candle by candle, never below a fixed one.

        Args:
            peaks: highest price from the entry to the close of the candle before, one a candle.
        """
        trails = peaks * (1 - (self.stops.trailing_stop or 0.0))
        distinct, inverse = np.unique(trails, return_inverse=True)
        rounded = np.array([self._account.stop_price(float(level)) for level in distinct])
        levels: Floats = np.maximum(fixed, rounded[inverse])
        return levels

    def steps(self, entry: float, highs: Floats) -> list[tuple[int, float]]:
        """Return where the stop of a position lay from which candle on; nothing without one.

        Args:
            highs: of the candles it was held in, that of the entry first.
        """
        fixed = self.fixed(entry)
        if not self.stops.trailing_stop:
            return [(0, fixed)] if self.stops.stop_loss else []
        levels = self.trail(fixed, np.maximum.accumulate(np.concatenate(([entry], highs[:-1]))))
        moved = np.flatnonzero(np.diff(levels, prepend=np.nan))
        return [(row, float(levels[row])) for row in moved.tolist()]
