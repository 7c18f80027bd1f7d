"""The budget of requests: what a venue allows within a while, shared by reads, entries and exits.

A venue counts the weight of requests by network address, and new orders by account. It announces
its limits and says in its answers how much is used, so that other bots of the computer or the
account are counted as well. Near a limit, reads and entries wait: the rest is kept for exits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from botlib.core.text import formats
from botlib.core.timeframe import DAY, MINUTE, SECOND

logger = logging.getLogger(__name__)

RESERVE: Final = 6
"""One part in this many of each limit is kept for exits."""

EXITS_FIRST: Final = 0.25
"""Seconds by which exits go before all other requests after the venue has asked to wait."""

CLOCK_ERROR: Final = 500
"""Milliseconds by which the clocks of computer and venue may differ."""

CLAIM_AGE: Final = 60_000
"""Milliseconds for which orders are kept for the position that an entry may open."""

POLL: Final = 1.0
"""Longest seconds until a waiting read looks again."""


class Purpose(Enum):
    """What a request is for, which says how much of a limit it leaves."""

    READ = "reads"
    """A question that can wait for as long as it takes."""
    CHECK = "checks"
    """A routine question of a desk, which is asked another time rather than waited for."""
    ENTRY = "entries"
    ENQUIRY = "questions about unknown orders"
    """A question on which the protection of a position depends; it is not waited for either."""

    def leaves(self, most: int) -> int:
        """Return how much of a limit is left alone."""
        kept = -(-most // RESERVE)
        return kept // 2 if self is Purpose.ENQUIRY else kept


class Counted(StrEnum):
    """What a limit counts."""

    WEIGHT = "request_weight"
    ORDERS = "orders"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimit:
    """A limit of a venue: at most ``most`` within each ``period`` (ms)."""

    counted: Counted
    most: int
    period: int

    @property
    def name(self) -> str:
        """The name of the rule, such as ``request_weight_1m`` or ``orders_10s``."""
        for letter, length in (("d", DAY), ("m", MINUTE)):
            if self.period % length == 0:
                return f"{self.counted}_{self.period // length}{letter}"
        return f"{self.counted}_{self.period // SECOND}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Why a request may not be made now.

    Attributes:
        purpose: of the request.
        limit: the limit that is nearly used up.
        used: how much of it is used, or kept for positions that entries may open.
        wait: seconds until it begins anew.
    """

    purpose: Purpose
    limit: RequestLimit
    used: int
    wait: float

    @property
    def rule(self) -> str:
        """The name of the limit."""
        return self.limit.name

    def __str__(self) -> str:
        limit, kept = self.limit, self.purpose.leaves(self.limit.most)
        return (
            f"{formats.count(self.used)} of the venue's limit of {formats.count(limit.most)} "
            f"({limit.name}) are used, and "
            f"the last {formats.count(kept)} are kept for exits; it begins anew in "
            f"{self.wait:.0f} s"
        )


class _Window:
    """How much of a limit is used in the present window, as the venue said last."""

    def __init__(self, limit: RequestLimit) -> None:
        self.limit = limit
        self.flying = 0
        """Of requests that are not answered."""
        self._reported = 0
        self._request = -1
        """Number of the newest request whose answer said how much is used."""
        self._told = 0
        """When it said so, ms."""
        self._window = (-1, -1)

    def used(self, now: int, market: int) -> int:
        """Return how much is used.

        The venue may begin a window later than our clock says, so that the end of one is waited
        for; what it says meanwhile counts for the next one.
        """
        window = ((now - CLOCK_ERROR) // self.limit.period, market // self.limit.period)
        if window != self._window:
            if self._told < window[0] * self.limit.period or window[1] != self._window[1]:
                self._reported = 0
            self._window = window
        return self._reported + self.flying

    def report(self, used: int, request: int, now: int, market: int) -> None:
        if request < self._request:
            return  # A later request was answered before.
        self.used(now, market)
        self._request, self._reported, self._told = request, used, now

    def wait(self, now: int) -> float:
        """Return the seconds until the next window."""
        return (self.limit.period - (now - CLOCK_ERROR) % self.limit.period) / 1_000


class RequestBudget:
    """The requests that one connection to a venue may make, and what each is for.

    Args:
        limits: of the venue, until it announces others.
        now: returns the venue's calendar time, ms.
    """

    def __init__(self, limits: Iterable[RequestLimit], now: Callable[[], int]) -> None:
        self._now = now
        self._windows = [_Window(limit) for limit in limits]
        self._flying: dict[int, dict[Counted, int]] = {}
        self._made = 0
        self._claims: dict[str, tuple[int, int]] = {}
        """Orders kept for each entry, and until when (ms)."""
        self._told: dict[tuple[str, Purpose], int] = {}
        self.market: Callable[[], int] = lambda: 0
        """Returns the market's time in ms, where the venue counts anew with it as well."""
        self.on_short: Callable[[Shortage], None] = lambda shortage: None
        """Is called when requests of a purpose are held back, once in a window."""

    @property
    def limits(self) -> list[RequestLimit]:
        """The limits of the venue."""
        return [one.limit for one in self._windows]

    def announce(self, limits: Iterable[RequestLimit]) -> None:
        """Set the limits as the venue announces them; what is used stays known."""
        known = {(one.limit.counted, one.limit.period): one for one in self._windows}
        found = list(limits)
        if not found:
            return
        self._windows = []
        for limit in found:
            window = known.get((limit.counted, limit.period)) or _Window(limit)
            window.limit = limit
            self._windows.append(window)

    # What is used

    def begin(self, *, weight: int, orders: int = 0) -> int:
        """Count a request that is made now; return its number, for `end`."""
        self._made += 1
        amounts = {Counted.WEIGHT: weight, Counted.ORDERS: orders}
        self._flying[self._made] = amounts
        for window in self._windows:
            window.flying += amounts[window.limit.counted]
        return self._made

    def end(self, request: int) -> None:
        """Note that a request has ended: the venue has counted it, or it was not made."""
        amounts = self._flying.pop(request)
        for window in self._windows:
            window.flying = max(0, window.flying - amounts[window.limit.counted])

    def report(self, counted: Counted, period: int, used: int, request: int) -> None:
        """Note what the venue says is used of a limit, in the answer to a request."""
        for window in self._windows:
            if (window.limit.counted, window.limit.period) == (counted, period):
                window.report(used, request, self._now(), self.market())

    def used(self, counted: Counted, period: int) -> int:
        """Return how much is used of a limit, requests without an answer included."""
        return sum(
            window.used(self._now(), self.market())
            for window in self._windows
            if (window.limit.counted, window.limit.period) == (counted, period)
        )

    # What may be used

    def claim(self, entry: str, orders: int) -> None:
        """Keep orders for the position that an entry may open, so that its protection can follow.

        Args:
            entry: client order id.
            orders: how many, the entry itself included until it is sent; 0 keeps none.
        """
        now = self._now()
        self._claims = {
            name: claim for name, claim in self._claims.items() if name != entry and claim[1] > now
        }
        if orders > 0:
            self._claims[entry] = (orders, now + CLAIM_AGE)

    def claimed(self, entry: str) -> int:
        """Return how many orders are kept for an entry and its position."""
        return self._claims.get(entry, (0, 0))[0]

    def shortage(self, purpose: Purpose, *, weight: int, orders: int = 0) -> Shortage | None:
        """Return why a request may not be made now, None if it may."""
        now, market = self._now(), self.market()
        amounts = {Counted.WEIGHT: weight, Counted.ORDERS: orders}
        for window in self._windows:
            limit, amount = window.limit, amounts[window.limit.counted]
            if not amount:
                continue
            used = window.used(now, market)
            if limit.counted is Counted.ORDERS:
                used += sum(kept for kept, until in list(self._claims.values()) if until > now)
            if used + amount > limit.most - purpose.leaves(limit.most):
                return Shortage(purpose=purpose, limit=limit, used=used, wait=window.wait(now))
        return None

    async def admit(self, purpose: Purpose, *, weight: int) -> None:
        """Wait until a request may be made."""
        while (short := self.shortage(purpose, weight=weight)) is not None:
            self.tell(short)
            await asyncio.sleep(min(short.wait, POLL))

    def tell(self, short: Shortage) -> None:
        """Publish that requests are held back, once for each limit and purpose in a window."""
        window = (self._now() - CLOCK_ERROR) // short.limit.period
        key = (short.rule, short.purpose)
        if self._told.get(key) == window:
            return
        self._told[key] = window
        logger.warning("%s are held back: %s", short.purpose.value, short)
        self.on_short(short)
