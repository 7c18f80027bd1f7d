"""Requests to Binance: what may be repeated, what is sent once, and what each error means."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from botlib.core.clock import SystemClock
from botlib.core.errors import (
    ExchangeBusy,
    ExchangeError,
    ExchangeUnavailable,
    OrderRejected,
    OrderUnknown,
)
from botlib.venues.binance import order_requests
from botlib.venues.binance.api import SpotBinance, Unreachable, VenueError
from botlib.venues.binance.gate import KEY_REFUSED
from botlib.venues.binance.weights import weight_of
from botlib.venues.budget import EXITS_FIRST, Purpose, RequestBudget, RequestLimit
from botlib.venues.obstacles import wrong_clock

logger = logging.getLogger(__name__)

TIMESTAMP_REJECTED: Final = -1021

CLOCKS_AGREE: Final = 500
"""Difference of the clocks in ms that needs no correction: a request may be a second early."""

NEW_ORDER_REJECTED: Final = -2010

UNDECIDED_CODES: Final = frozenset({-1000, -1001, -1006, -1007})
"""Error codes after which the outcome of a request is unknown."""

T = TypeVar("T")


class VenueRequests:
    """The requests of one connection: reads wait and are repeated, orders are sent once.

    Args:
        venue: the stamp of the market.
        max_wait: longest wait in seconds that a "slow down" answer may impose on a read.
        armed: whether orders may be sent.
        limits: of requests, until the venue announces its own.
    """

    def __init__(
        self, venue: str, *, max_wait: float, armed: bool, limits: Iterable[RequestLimit]
    ) -> None:
        self.venue = venue
        self._ahead = 0
        """Milliseconds by which the computer's clock was ahead of the venue's, when compared."""
        clock = SystemClock()
        self.budget = RequestBudget(limits, lambda: clock.now() - self._ahead)
        self._max_wait = max_wait
        self._armed = armed
        self._api_made: SpotBinance | None = None
        self._until: asyncio.Timeout | None = None
        """The end of an attempt to connect; waits that the venue asks for are not part of it."""

    @property
    def _api(self) -> SpotBinance:
        if self._api_made is None:
            raise ExchangeError(f"{self.venue} is not connected; await connect() first.")
        return self._api_made

    async def _read(
        self,
        endpoint: str,
        params: Mapping[str, object] | None = None,
        purpose: Purpose = Purpose.READ,
    ) -> Any:
        """Call one of ccxt's raw endpoints, and return the answer."""
        weight = weight_of(endpoint, params)
        if purpose is Purpose.READ:
            return await self._patient(
                lambda: self._api.call(endpoint, params, routine=True), weight
            )
        return await self._at_once(endpoint, params, purpose, weight)

    async def _at_once(
        self,
        endpoint: str,
        params: Mapping[str, object] | None,
        purpose: Purpose,
        weight: int,
    ) -> Any:
        """Run a read that is not waited for: a desk asks another time instead.

        Raises:
            ExchangeBusy: it would have to wait.
            VenueError: the venue answered with an error.
        """
        short = self.budget.shortage(purpose, weight=weight)
        if short is not None:
            self.budget.tell(short)
            raise ExchangeBusy(f"Not asked: {short}.", retry_after=short.wait)
        routine = purpose is Purpose.CHECK
        try:
            return await self._synced(lambda: self._api.call(endpoint, params, routine=routine))
        except VenueError as error:
            if error.status in (418, 429):
                wait = max(error.retry_after or 0.0, self._api.gate.pause(signed=True))
                raise ExchangeBusy(str(error), retry_after=wait) from None
            if error.status >= 500:
                raise ExchangeUnavailable(str(error)) from None
            raise

    async def _patient(self, call: Callable[[], Awaitable[T]], weight: int) -> T:
        """Run a read; if the venue says "slow down", wait as long as it says, within a limit.

        Args:
            call: makes the request.
            weight: of the request; it waits while the budget has no room for it.
        """
        waited = 0.0
        while True:
            await self.budget.admit(Purpose.READ, weight=weight)
            try:
                return await self._synced(call)
            except VenueError as error:
                if error.status not in (418, 429):
                    if error.status >= 500:
                        raise ExchangeUnavailable(str(error)) from None
                    raise
                wait = error.retry_after if error.retry_after is not None else 1.0
                # "Retry-After: 0" must not become a busy loop.
                waited += max(wait, 0.1)
                if waited > self._max_wait + EXITS_FIRST:
                    raise ExchangeBusy(
                        f"The venue asks to wait {math.ceil(wait)} s (HTTP {error.status}): "
                        f"{error.message} "
                        f"Waits of up to {self._max_wait:g} s are taken; try again later.",
                        retry_after=wait,
                    ) from None
                if self._until is not None and (end := self._until.when()) is not None:
                    self._until.reschedule(end + max(wait, 0.1))
                await asyncio.sleep(max(wait, 0.1))

    async def _send(
        self, endpoint: str, params: Mapping[str, object], what: str, *, parts: bool = False
    ) -> Any:
        """Send an order or a cancellation, once.

        Args:
            parts: raise the venue's own error if it has a part for each of two orders.
        """
        if not self._armed:
            raise OrderRejected(
                f"Not sent: {what}. Live trading is not armed. Write 'mode: live' into the "
                "configuration and pass live=True to connect()."
            )
        try:
            # A rejected timestamp is a definite refusal, so signing again is no second order.
            return await self._synced(lambda: self._api.call(endpoint, params))
        except VenueError as error:
            if parts and error.code in order_requests.REPLACE_FAILED and error.data is not None:
                raise
            if error.status in (403, 418, 429) or error.code in KEY_REFUSED:
                wait = max(error.retry_after or 0.0, self._api.gate.pause(signed=True))
                raise OrderRejected(f"Not taken: {what}. {error}", retry_after=wait) from None
            if error.status >= 500 or error.code in UNDECIDED_CODES or error.code is None:
                raise OrderUnknown(
                    f"Unknown outcome: {what}. {error} Ask for the order; do not send it again."
                ) from None
            if error.code == NEW_ORDER_REJECTED and "duplicate" in error.message.lower():
                raise OrderUnknown(
                    f"{what} exists already: {error} Ask for the order; do not send it again."
                ) from None
            raise OrderRejected(
                f"Refused: {what}. {error}",
                rules=order_requests.by_rules(error.code, error.message),
            ) from None
        except Unreachable as error:
            if error.sent:
                raise OrderUnknown(
                    f"Unknown outcome: {what}. {error} Ask for the order; do not send it again."
                ) from None
            raise OrderRejected(f"Not sent: {what}. {error}", retry_after=1.0) from None

    async def _synced(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run a call; if the venue rejects our timestamp, set the clock and try once more.

        The venue refuses a request with a wrong timestamp before it processes it.
        """
        try:
            return await call()
        except VenueError as error:
            if error.code != TIMESTAMP_REJECTED:
                raise
            logger.warning("The venue rejected our timestamp; setting the clock by the venue's.")
        self._api.options["timeDifference"] = await self._clock_difference()
        return await call()

    async def _compare_clocks(self) -> None:
        """Set the clock of requests by the venue's, if they differ by more than `CLOCKS_AGREE`."""
        difference = await self._clock_difference()
        if abs(difference) > CLOCKS_AGREE:
            logger.warning("%s", wrong_clock(difference))
            self._api.options["timeDifference"] = difference

    async def _clock_difference(self) -> int:
        """Return by how many ms the computer's clock is ahead of the venue's."""
        api = self._api
        before = api.milliseconds()
        server = int((await api.call("publicGetTime"))["serverTime"])
        after = api.milliseconds()
        self._ahead = (before + after) // 2 - server
        return self._ahead


def certain(what: str, read: Callable[[], T]) -> T:
    """Parse the answer to an order or cancellation.

    Raises:
        OrderUnknown: the answer cannot be read, which leaves the outcome unknown.
    """
    try:
        return read()
    except (ExchangeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise OrderUnknown(
            f"Unknown outcome: {what}; the answer cannot be read ({error}). Ask for the order."
        ) from None
