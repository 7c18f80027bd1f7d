"""The strategy of a drill, which has an order or a position almost all the time."""

from __future__ import annotations

from botlib.frames import Frames
from botlib.strategy import Signals, Strategy


class Pulse(Strategy):
    """A strategy that holds a position for three minutes of every four."""

    def signals(self, data: Frames) -> Signals:
        """Return an exit on every fourth minute, and entries on all others."""
        fourth = data.frame.index.to_series().dt.minute % 4 == 3
        return Signals(entry=~fourth, exit=fourth)
