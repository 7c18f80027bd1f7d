"""The strategy of a drill, which has an order or a position almost all the time."""

from __future__ import annotations

from typing import Final

from botlib.frames import Frames
from botlib.strategy import Signals, Strategy

PERIOD: Final = 4
"""Minutes from one exit to the next."""


class Pulse(Strategy):
    """A strategy that holds a position for three minutes of every four."""

    def signals(self, data: Frames) -> Signals:
        """Return an exit on every fourth minute, and entries on all others."""
        last = data.frame.index.to_series().dt.minute % PERIOD == PERIOD - 1
        return Signals(entry=~last, exit=last)
