"""Retries: the delay before each further attempt, and when to stop trying.

Delays double with every failure in a row, up to a limit, and are drawn at random from their upper
part, so that clients that failed together do not come back together. The source of randomness, the
sleep and the time are passed in by the caller.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from botlib.core.errors import ExchangeBusy, ExchangeUnavailable

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 5
FIRST_DELAY: Final = 0.5
"""Seconds before the second attempt."""
LEAST_JITTER: Final = 0.5
"""Smallest fraction of the full delay that may be drawn."""

_DOUBLINGS: Final = 32
"""Exponent from which on the delay does not grow any more; keeps the power finite."""

T = TypeVar("T")


def backoff_delay(
    failures: int,
    *,
    first: float,
    longest: float = math.inf,
    rng: random.Random | None = None,
    least: float = LEAST_JITTER,
) -> float:
    """Return the seconds to wait after a number of failures in a row.

    Args:
        failures: failures in a row; 0 gives no delay.
        first: full delay after one failure, in seconds; every further one doubles it.
        longest: limit of the full delay in seconds.
        rng: source of the jitter; without one the full delay is returned.
        least: smallest fraction of the full delay that the jitter may draw.
    """
    full = min(longest, first * 2.0 ** min(failures - 1, _DOUBLINGS)) if failures > 0 else 0.0
    return full if rng is None else full * rng.uniform(least, 1.0)


class Backoff:
    """The growing delays of one loop that tries again for ever.

    Args:
        first: full delay after the first failure, in seconds.
        longest: limit of the full delay in seconds.
        rng: source of the jitter; without one there is none.
        least: smallest fraction of the full delay that the jitter may draw.
        immediate: whether the first attempt after a failure is made without a delay.
        sleep: waits for a number of seconds; the running loop's timer by default.
    """

    def __init__(
        self,
        first: float,
        longest: float = math.inf,
        *,
        rng: random.Random | None = None,
        least: float = LEAST_JITTER,
        immediate: bool = False,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.first = first
        self.longest = longest
        self._rng = rng
        self._least = least
        self._sleep = sleep
        self._failures = -1 if immediate else 0

    def next_delay(self) -> float:
        """Count a failure and return the seconds to wait before the next attempt."""
        self._failures += 1
        return backoff_delay(
            self._failures, first=self.first, longest=self.longest, rng=self._rng, least=self._least
        )

    async def wait(self) -> None:
        """Count a failure and sleep until the next attempt is due."""
        await self._sleep(self.next_delay())

    def reset(self) -> None:
        """Start over after a success: the next delay is the first one again."""
        self._failures = 0


async def retry(
    request: Callable[[], Awaitable[T]],
    *,
    rng: random.Random,
    delay: float = FIRST_DELAY,
    attempts: int = ATTEMPTS,
    hopeless: Callable[[ExchangeUnavailable], bool] = lambda error: False,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """Send a request until it is answered, a limited number of times and with growing delays.

    Args:
        request: sends the request; it changes nothing at the venue, so it may be sent again.
        rng: source of the jitter of the delays.
        delay: full delay in seconds before the second attempt.
        attempts: number of attempts.
        hopeless: returns whether another attempt after this error is of no use.
        sleep: waits for a number of seconds; the running loop's timer by default.

    Returns:
        The answer.

    Raises:
        ExchangeUnavailable: every attempt failed.
        ExchangeBusy: the venue asks to wait for long; another request would prolong that.
    """
    backoff = Backoff(delay, rng=rng, sleep=sleep)
    for _ in range(attempts - 1):
        try:
            return await request()
        except ExchangeBusy:
            raise
        except ExchangeUnavailable as error:
            if hopeless(error):
                raise
            pause = backoff.next_delay()
            logger.warning("Asking the venue again in %.1f s: %s", pause, error)
        await sleep(pause)
    try:
        return await request()
    except ExchangeBusy:
        raise
    except ExchangeUnavailable as error:
        raise ExchangeUnavailable(f"{error} It was asked {attempts} times.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When and how often something that failed is started again.

    Args:
        enabled: whether it is started again at all.
        max_restarts: restarts granted within ``window``; one failure more ends it for good.
        window: seconds over which failures are counted.
        base: full delay in seconds before the first restart; every further failure in a row
            doubles it.
        cap: limit of the full delay in seconds.
    """

    enabled: bool = True
    max_restarts: int = 5
    window: float = 300.0
    base: float = 1.0
    cap: float = 60.0

    def delay(self, failures: int, rng: random.Random) -> float:
        """Return the seconds to wait after a number of failures in a row (1 or more)."""
        return backoff_delay(failures, first=self.base, longest=self.cap, rng=rng)


class RestartCounter:
    """The failures of one thing within the window of its restart policy."""

    __slots__ = ("_failures", "_policy")

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._failures: deque[float] = deque()

    def grants(self, now: float) -> bool:
        """Count a failure and return whether a restart is granted.

        Args:
            now: monotonic time of the failure in seconds.
        """
        policy = self._policy
        if not policy.enabled:
            return False
        failures = self._failures
        failures.append(now)
        while now - failures[0] > policy.window:
            failures.popleft()
        return len(failures) <= policy.max_restarts

    def clear(self) -> None:
        """Discard all counted failures, after a start by a person."""
        self._failures.clear()
