"""`BookResult`: what a book earned, by day and by round trip."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from botlib.core.model import Fill, Position, Side
from botlib.core.timeframe import open_time

ZERO: Final = Decimal(0)

DUST_SHARE: Final = Decimal("0.01")
"""Share of a purchase that is dust: less of it dates no position, and ends a round trip."""


@dataclass(slots=True)
class BookResult:
    """What a book earned so far, kept up to date fill by fill. Money is in quote units."""

    realised: Decimal = ZERO
    days: dict[int, Decimal] = field(default_factory=dict)
    """Booked profit by the first moment of a UTC day, ms."""
    finished: int = 0
    """Round trips that have ended, without the newest one."""
    won: int = 0
    """Those of them that earned something."""
    _bought: Decimal = ZERO
    _before: Decimal = ZERO
    _held: Decimal = ZERO
    _sold: bool = False

    def add(self, fill: Fill, after: Position) -> None:
        """Add a fill and the position of the book after it."""
        gained = after.realised - self.realised
        if fill.side is Side.BUY:
            if self._sold:
                self.finished, self.won = self.trips, self.wins
                self._bought, self._before, self._sold = ZERO, self.realised, False
            self._bought += fill.amount
        else:
            self._sold = True
            day = open_time(fill.timestamp, "1d")
            self.days[day] = self.days.get(day, ZERO) + gained
        self.realised, self._held = after.realised, after.amount

    @property
    def _over(self) -> bool:
        return self._sold and self._held <= self._bought * DUST_SHARE

    @property
    def trips(self) -> int:
        """Round trips that have ended."""
        return self.finished + self._over

    @property
    def wins(self) -> int:
        """Those of them that earned something."""
        return self.won + (self._over and self.realised > self._before)

    def day(self, now: int) -> Decimal:
        """Return what was booked in the UTC day of a time in ms."""
        return self.days.get(open_time(now, "1d"), ZERO)
