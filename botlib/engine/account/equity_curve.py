"""`EquityCurve`: the equity over a whole run in a bounded number of points."""

from __future__ import annotations

from typing import Final

POINTS: Final = 240
"""Most points of a curve."""


class EquityCurve:
    """Values over time; when there are too many, every second one is dropped.

    The interval between two points grows with the run, so the curve always covers all of it.

    Args:
        points: most points to keep.
    """

    def __init__(self, points: int = POINTS) -> None:
        self._most = points
        self._spacing = 0
        self._points: list[tuple[int, float]] = []

    def add(self, time: int, value: float) -> None:
        """Add a value at a time in ms; one too close to the last replaces it."""
        points = self._points
        if len(points) > 1 and time - points[-2][0] < self._spacing:
            points[-1] = (time, value)
            return
        points.append((time, value))
        if len(points) > self._most:
            del points[1:-1:2]
            self._spacing = 2 * (points[-1][0] - points[0][0]) // self._most

    @property
    def values(self) -> list[float]:
        """The values, oldest first."""
        return [value for _, value in self._points]
