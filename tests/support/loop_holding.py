"""A measure of how long a coroutine computes between two turns of other tasks."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Coroutine
from typing import Any

LONGEST = 0.05
"""Most seconds of computation between two turns of other tasks."""


async def longest_hold(request: Coroutine[Any, Any, Any]) -> float:
    """Return the most seconds of this thread's computation between two turns of the loop.

    What other processes do counts only as far as they slow this thread down.
    """
    asked = asyncio.ensure_future(request)
    # A collection of the garbage of all tests so far is no work of the exchange.
    gc.disable()
    try:
        longest, before = 0.0, time.thread_time()
        while not asked.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now
    finally:
        gc.enable()
    asked.result()
    return longest
