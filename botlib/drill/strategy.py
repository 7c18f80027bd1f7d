"""The strategy of a drill: always under way, so that a fault meets an order or a position."""

from __future__ import annotations

from botlib.frames import Frames
from botlib.strategy import Signals, Strategy


class Pulse(Strategy):
    """Holds for three minutes in every four."""

    def signals(self, data: Frames) -> Signals:
        """Enter, and leave again on every fourth minute."""
        fourth = data.frame.index.to_series().dt.minute % 4 == 3
        return Signals(entry=~fourth, exit=fourth)
