"""Small helpers for several coroutines that run side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def first_of(*work: Coroutine[Any, Any, T]) -> T:
    """Return the result of the coroutine that ends first, or raise its error.

    The others are cancelled, and their clean-up is awaited. If several end in the same turn of the
    loop, an error among them is raised; otherwise the first of them in the order given counts.

    Args:
        work: coroutines to run side by side; none of them has been awaited.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_outcome(coro)) for coro in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done = [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
    outcomes = [task.result() for task in done]
    for _, error in outcomes:
        if error is not None:
            raise error
    return outcomes[0][0]


async def _outcome(coro: Coroutine[Any, Any, T]) -> tuple[T, Exception | None]:
    # Returned, not raised: a task group would wrap the error in an exception group.
    try:
        return await coro, None
    except Exception as error:
        return None, error  # type: ignore[return-value]  # no one reads the value of an error


def innermost_error(errors: BaseException) -> BaseException:
    """Return the first error inside an exception group, at any depth; others as they are."""
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
