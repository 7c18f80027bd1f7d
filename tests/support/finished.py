"""Coroutines run to their end without a loop, where nothing has to be waited for."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that only lets other tasks run now and then, and return its result."""
    while True:
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
