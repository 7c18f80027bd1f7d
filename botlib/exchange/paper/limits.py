"""Request weights and order counts.

A window ends when either the wall clock or the market's clock enters the next one: a client that
behaves at speed 1 is not punished for a market that runs a thousand times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from botlib.exchange.paper.quotes import Json
from botlib.exchange.paper.refusals import Refusal
from botlib.timeframe import DAY, MINUTE, SECOND

MAX_WEIGHT: Final = 6_000
MAX_ORDERS_10S: Final = 100
MAX_ORDERS_1D: Final = 200_000

RATE_LIMITS: Final[list[Json]] = [
    {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": MAX_WEIGHT,
    },
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": MAX_ORDERS_10S},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": MAX_ORDERS_1D},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61_000},
]


class Counter:
    """Counts within a window of ``length`` ms."""

    def __init__(self, length: int, most: int) -> None:
        self.length = length
        self.most = most
        self.count = 0
        self._window = (-1, -1)

    def add(self, amount: int, wall: int, market: int) -> int:
        """Add to the count of the present window and return it."""
        window = (wall // self.length, market // self.length)
        if window != self._window:
            self._window = window
            self.count = 0
        self.count += amount
        return self.count


class Limits:
    """What a client has used up. One account, one address.

    Args:
        wall: returns the wall time, ms.
        market: returns the market time, ms.
    """

    def __init__(self, wall: Callable[[], int], market: Callable[[], int]) -> None:
        self._wall = wall
        self._market = market
        self.weight = Counter(MINUTE, MAX_WEIGHT)
        self.orders_10s = Counter(10 * SECOND, MAX_ORDERS_10S)
        self.orders_1d = Counter(DAY, MAX_ORDERS_1D)

    def charge(self, weight: int) -> None:
        """Charge a request.

        Raises:
            Refusal: 429 with ``Retry-After`` where the weight of a minute is used up.
        """
        wall = self._wall()
        if self.weight.add(weight, wall, self._market()) > MAX_WEIGHT:
            wait = str(60 - wall // SECOND % 60)
            raise Refusal(
                -1003,
                f"Too much request weight used; current limit is {MAX_WEIGHT} request weight per "
                "1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
                429,
                {"Retry-After": wait},
            )

    def refund(self, weight: int) -> None:
        """Give back the weight of an order that was taken."""
        self.weight.count = max(0, self.weight.count - weight)

    def check_orders(self) -> None:
        """Refuse a new order where too many were taken."""
        for counter in (self.orders_10s, self.orders_1d):
            if counter.add(0, self._wall(), self._market()) >= counter.most:
                raise Refusal(
                    -1015,
                    f"Too many new orders; current limit is {counter.most} orders per "
                    f"{counter.length // SECOND} SECOND.",
                    429,
                    {"Retry-After": "10"},
                )

    def count_order(self) -> None:
        """Count an order that was taken."""
        for counter in (self.orders_10s, self.orders_1d):
            counter.add(1, self._wall(), self._market())

    def order_counts(self) -> list[Json]:
        """Return the answer of ``/rateLimit/order``."""
        counts = [
            counter.add(0, self._wall(), self._market())
            for counter in (self.orders_10s, self.orders_1d)
        ]
        return [{**RATE_LIMITS[1], "count": counts[0]}, {**RATE_LIMITS[2], "count": counts[1]}]

    def headers(self) -> dict[str, str]:
        """Return the headers that tell of the weight used."""
        used = str(self.weight.count)
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}

    def order_headers(self) -> dict[str, str]:
        """Return the headers that tell of the orders taken."""
        return {
            "X-MBX-ORDER-COUNT-10S": str(self.orders_10s.count),
            "X-MBX-ORDER-COUNT-1D": str(self.orders_1d.count),
        }
