"""Rate limits: request weights and connections by network address, orders by account.

A window ends when the wall clock or the market clock enters the next one, so that a client within
the limits at speed 1 stays within them if the market runs a thousand times faster. Bans follow the
wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from botlib.core.timeframe import DAY, MINUTE, SECOND
from botlib.paper.market.quotes import Json
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.refusals import Refusal

MAX_WEIGHT: Final = 6_000
MAX_RAW: Final = 300_000
MAX_CONNECTIONS: Final = 300
MAX_ORDERS_10S: Final = 100
MAX_ORDERS_1D: Final = 200_000
MAKER_CREDIT: Final = 5
"""Orders credited when a resting order trades for the first time."""
REFUSALS_BEFORE_BAN: Final = 20
"""Answers with status 429 in one minute before an address is banned."""
FIRST_BAN: Final = 2 * MINUTE
LONGEST_BAN: Final = 3 * DAY
CONNECTION_WEIGHT: Final = 2
_MAX_ADDRESSES: Final = 4_096

PERIODS: Final = (
    ("REQUEST_WEIGHT", "MINUTE", 1),
    ("ORDERS", "SECOND", 10),
    ("ORDERS", "DAY", 1),
    ("RAW_REQUESTS", "MINUTE", 5),
)
"""Kind, interval and number of intervals of every limit, as they are announced."""


class WindowCounter:
    """A counter that starts again with every window of ``length`` ms."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.count = 0
        self._window = (-1, -1)

    def add(self, amount: int, wall: int, market: int) -> int:
        """Add to the count of the present window, and return the count.

        Args:
            amount: amount to add.
            wall: wall time, ms.
            market: market time, ms.
        """
        window = (wall // self.length, market // self.length)
        if window != self._window:
            self._window = window
            self.count = 0
        self.count += amount
        return self.count


class AddressUsage:
    """The counters of one network address.

    Attributes:
        banned_until: wall time (ms) at which the present ban ends, 0 for none.
        next_ban: length of the next ban, ms.
    """

    def __init__(self) -> None:
        self.weight = WindowCounter(MINUTE)
        self.raw = WindowCounter(5 * MINUTE)
        self.connections = WindowCounter(5 * MINUTE)
        self.refused = WindowCounter(MINUTE)
        self.banned_until = 0
        self.next_ban = FIRST_BAN


class OrderRateLimit:
    """The order counters of one account."""

    def __init__(self) -> None:
        self.in_10s = WindowCounter(10 * SECOND)
        self.in_1d = WindowCounter(DAY)

    @property
    def counters(self) -> tuple[tuple[WindowCounter, str], ...]:
        """Every counter with the text of its period."""
        return ((self.in_10s, "10 SECOND"), (self.in_1d, "1 DAY"))


class RateLimits:
    """The rate limits of all clients.

    Args:
        wall: returns the wall time, ms.
        market: returns the market time, ms.

    Attributes:
        max_weight: request weight that an address may use in a minute.
        max_orders: new orders that an account may send in 10 seconds, and in a day.
    """

    def __init__(self, wall: Callable[[], int], market: Callable[[], int]) -> None:
        self.max_weight = MAX_WEIGHT
        self.max_orders = (MAX_ORDERS_10S, MAX_ORDERS_1D)
        self._wall = wall
        self._market = market
        self._addresses: dict[str, AddressUsage] = {}
        self._orders: dict[str, OrderRateLimit] = {}

    def change(
        self,
        *,
        weight: int | None = None,
        orders_10s: int | None = None,
        orders_1d: int | None = None,
    ) -> None:
        """Set limits; None leaves one as it is."""
        in_10s, in_1d = self.max_orders
        self.max_weight = self.max_weight if weight is None else weight
        self.max_orders = (
            in_10s if orders_10s is None else orders_10s,
            in_1d if orders_1d is None else orders_1d,
        )

    def announcement(self) -> list[Json]:
        """Return the limits as ``exchangeInfo`` announces them."""
        return [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for (kind, interval, number), limit in zip(
                PERIODS, (self.max_weight, *self.max_orders, MAX_RAW), strict=True
            )
        ]

    # -- requests, by address

    def usage(self, address: str) -> AddressUsage:
        """Return the counters of an address."""
        found = self._addresses.get(address)
        if found is None:
            if len(self._addresses) >= _MAX_ADDRESSES:
                self._addresses.pop(next(iter(self._addresses)))
            found = self._addresses[address] = AddressUsage()
        return found

    def charge(self, weight: int, address: str = "") -> None:
        """Charge a request.

        Raises:
            Refusal: status 429 if the weight of the minute or the number of requests is used up,
                418 if the address is banned. Both have ``Retry-After``.
        """
        used, wall, market = self.usage(address), self._wall(), self._market()
        self._check_ban(used, wall)
        raw = used.raw.add(1, wall, market)
        heavy = used.weight.add(weight, wall, market) > self.max_weight
        if not heavy and raw <= MAX_RAW:
            return
        if used.refused.add(1, wall, market) > REFUSALS_BEFORE_BAN:
            used.banned_until = wall + used.next_ban
            used.next_ban = min(2 * used.next_ban, LONGEST_BAN)
            self._check_ban(used, wall)
        if heavy:
            text = f"{self.max_weight} request weight per 1 MINUTE"
            retry = _next_window(wall, MINUTE)
            raise _too_many(
                f"Too much request weight used; current limit is {text}. Please use WebSocket "
                "Streams for live updates to avoid polling the API.",
                429,
                wall,
                retry,
            )
        raise _too_many(
            f"Too many requests; current limit is {MAX_RAW} requests per 5 MINUTE.",
            429,
            wall,
            _next_window(wall, 5 * MINUTE),
        )

    def connect(self, address: str, weight: int = 0) -> None:
        """Charge a new connection.

        Raises:
            Refusal: too many connections were opened, or the address is banned.
        """
        if weight:
            self.charge(weight, address)
        used, wall = self.usage(address), self._wall()
        self._check_ban(used, wall)
        if used.connections.add(1, wall, self._market()) > MAX_CONNECTIONS:
            raise _too_many(
                f"Too many connections; current limit is {MAX_CONNECTIONS} connections per "
                "5 MINUTE.",
                429,
                wall,
                _next_window(wall, 5 * MINUTE),
            )

    def refund(self, weight: int, address: str = "") -> None:
        """Refund the weight of an accepted order."""
        counter = self.usage(address).weight
        counter.count = max(0, counter.count - weight)

    @staticmethod
    def _check_ban(used: AddressUsage, wall: int) -> None:
        if wall < used.banned_until:
            raise _too_many(
                f"Way too much request weight used; IP banned until {used.banned_until}. Please "
                "use WebSocket Streams for live updates to avoid bans.",
                418,
                wall,
                used.banned_until,
            )

    def weight_used(self, address: str = "") -> int:
        """Return the weight an address has used in the present minute."""
        return self.usage(address).weight.add(0, self._wall(), self._market())

    def headers(self, address: str = "") -> dict[str, str]:
        """Return the HTTP headers about the used weight."""
        used = str(self.weight_used(address))
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}

    def weight_status(self, address: str = "") -> Json:
        """Return the used weight as answers of the WebSocket API show it."""
        return {**self.announcement()[0], "count": self.weight_used(address)}

    # -- orders, by account

    def _order_counters(self, account: str) -> OrderRateLimit:
        return self._orders.setdefault(account, OrderRateLimit())

    def check_orders(self, count: int = 1, account: str = DEFAULT_ACCOUNT) -> None:
        """Check that an account can send ``count`` new orders.

        Raises:
            Refusal: too many were sent: status 429, with ``Retry-After``.
        """
        wall, market = self._wall(), self._market()
        counters = self._order_counters(account).counters
        for (counter, period), limit in zip(counters, self.max_orders, strict=True):
            if counter.add(0, wall, market) + count > limit:
                text = f"Too many new orders; current limit is {limit} orders per {period}."
                raise _too_many(text, 429, wall, _next_window(wall, counter.length), code=-1015)

    def count_orders(self, count: int = 1, account: str = DEFAULT_ACCOUNT) -> None:
        """Count new orders of an account; a negative number reduces the count."""
        for counter, _ in self._order_counters(account).counters:
            if counter.add(count, self._wall(), self._market()) < 0:
                counter.count = 0

    @contextmanager
    def counting(self, count: int, account: str) -> Iterator[None]:
        """Count new orders for the time of the context, and undo it if they are refused."""
        self.count_orders(count, account)
        try:
            yield
        except Refusal:
            self.count_orders(-count, account)
            raise

    def credit_fill(self, account: str, maker: bool) -> None:
        """Reduce the count of an account, because an order of it traded for the first time."""
        self.count_orders(-MAKER_CREDIT if maker else -1, account)

    def order_counts(self, account: str = DEFAULT_ACCOUNT) -> list[Json]:
        """Return the answer of ``/rateLimit/order``."""
        counters = self._order_counters(account).counters
        return [
            {**limit, "count": counter.add(0, self._wall(), self._market())}
            for limit, (counter, _) in zip(self.announcement()[1:3], counters, strict=True)
        ]

    def order_headers(self, account: str = DEFAULT_ACCOUNT) -> dict[str, str]:
        """Return the HTTP headers about the counted orders."""
        counts = [str(one["count"]) for one in self.order_counts(account)]
        return {"X-MBX-ORDER-COUNT-10S": counts[0], "X-MBX-ORDER-COUNT-1D": counts[1]}


def _next_window(wall: int, length: int) -> int:
    return wall - wall % length + length


def _too_many(message: str, status: int, wall: int, retry: int, code: int = -1003) -> Refusal:
    return Refusal(
        code,
        message,
        status,
        {"Retry-After": str(max(1, -(-(retry - wall) // SECOND)))},
        data={"serverTime": wall, "retryAfter": retry},
    )
