"""Asking a venue that may be away for a moment."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from botlib.core.errors import ExchangeBusy, ExchangeUnavailable

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 5
FIRST_DELAY: Final = 0.5
"""Seconds before the second attempt; before each further one twice as many."""

T = TypeVar("T")


async def insist(
    ask: Callable[[], Awaitable[T]],
    *,
    rng: random.Random,
    delay: float = FIRST_DELAY,
    hopeless: Callable[[ExchangeUnavailable], bool] = lambda error: False,
) -> T:
    """Ask until there is an answer, `ATTEMPTS` times at most, and ever later.

    Args:
        ask: what is asked; it changes nothing, so that it may be asked again.
        rng: source of the jitter of the delays.
        delay: seconds before the second attempt.
        hopeless: tells whether asking again is of no use.

    Raises:
        ExchangeUnavailable: there was none.
        ExchangeBusy: the venue asks to wait for long; asking again would prolong that.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return await ask()
        except ExchangeBusy:
            raise
        except ExchangeUnavailable as error:
            if hopeless(error):
                raise
            pause = delay * 2 ** (attempt - 1) * rng.uniform(0.5, 1.0)
            logger.warning("asking the venue again in %.1f s: %s", pause, error)
        await asyncio.sleep(pause)
    try:
        return await ask()
    except ExchangeBusy:
        raise
    except ExchangeUnavailable as error:
        raise ExchangeUnavailable(f"{error} It was asked {ATTEMPTS} times.") from error
