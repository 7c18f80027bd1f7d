"""Waiting for the first of several things."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*work: Coroutine[Any, Any, Any]) -> None:
    """Return when the first of several coroutines ends, or raise its error; cancel the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(coro)) for coro in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
    for task in done:
        error = task.result()
        if error is not None:
            raise error


async def _outcome(coro: Coroutine[Any, Any, Any]) -> Exception | None:
    # Returned, not raised: a task group would wrap it in an exception group.
    try:
        await coro
    except Exception as error:
        return error
    return None
