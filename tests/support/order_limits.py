"""The limits of requests of a venue in memory: what it counts, refuses, and says in its answers."""

from __future__ import annotations

from dataclasses import replace

from botlib.core.clock import SystemClock
from botlib.venues.binance.capabilities import BINANCE
from botlib.venues.budget import Counted, RequestBudget


class OrderLimits:
    """The limits of a venue and how much of each is used, beside what the kit knows of it.

    Unlike at Binance, orders that trade stay counted, so that limits are near.
    """

    def __init__(self) -> None:
        self._now = SystemClock().now
        self.budget = RequestBudget(BINANCE.request_limits, self._now)
        """What the kit knows."""
        self._most = {limit.name: limit.most for limit in self.budget.limits}
        self._used: dict[str, tuple[int, int]] = {}
        """How much of a limit is used, and in which window."""

    def set(self, **most: int) -> None:
        """Set limits by their names, and announce them."""
        self._most |= most
        self.budget.announce(replace(one, most=self._most[one.name]) for one in self.budget.limits)

    def spend(self, weight: int, orders: int = 0) -> float:
        """Count a request; return the seconds until a limit that it breaks begins anew, or 0."""
        now, wait = self._now(), 0.0
        for limit in self.budget.limits:
            amount = weight if limit.counted is Counted.WEIGHT else orders
            used = self.used(limit.name, limit.period) + amount
            self._used[limit.name] = (used, now // limit.period)
            if amount > 0 and used > self._most[limit.name]:
                wait = max(wait, (limit.period - now % limit.period) / 1_000)
        return wait

    def used(self, name: str, period: int) -> int:
        """Return how much of a limit is used in the present window."""
        used, window = self._used.get(name, (0, -1))
        return used if window == self._now() // period else 0

    def tell(self, request: int) -> None:
        """Say in the answer to a request how much is used, as the headers of a venue do."""
        for limit in self.budget.limits:
            used = self.used(limit.name, limit.period)
            self.budget.report(limit.counted, limit.period, used, request)
