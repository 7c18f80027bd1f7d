"""Coroutines that run side by side."""

from __future__ import annotations

import asyncio

import pytest

from botlib.core.asynctools import first_of, innermost_error


async def answer(text: str, seconds: float, cleaned: list[str] | None = None) -> str:
    try:
        await asyncio.sleep(seconds)
    finally:
        if cleaned is not None:
            cleaned.append(text)
    return text


async def fail(error: Exception) -> str:
    await asyncio.sleep(0)
    raise error


async def test_the_first_result_is_returned_and_the_others_are_cancelled() -> None:
    cleaned: list[str] = []
    assert await first_of(answer("slow", 60, cleaned), answer("fast", 0)) == "fast"
    assert cleaned == ["slow"]


async def test_of_two_that_end_together_the_first_given_counts() -> None:
    assert await first_of(answer("one", 0), answer("two", 0)) == "one"


async def test_an_error_is_raised_as_it_is() -> None:
    with pytest.raises(LookupError, match="gone"):
        await first_of(answer("slow", 60), fail(LookupError("gone")))


async def test_an_error_counts_before_a_result_of_the_same_turn() -> None:
    with pytest.raises(LookupError, match="gone"):
        await first_of(answer("at once", 0), fail(LookupError("gone")))


async def test_a_cancellation_reaches_all_of_them() -> None:
    cleaned: list[str] = []
    waiting = asyncio.ensure_future(
        first_of(answer("one", 60, cleaned), answer("two", 60, cleaned))
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cleaned == ["one", "two"]


def test_the_innermost_error_of_nested_groups() -> None:
    error = ValueError("the cause")
    groups = ExceptionGroup("outer", [ExceptionGroup("inner", [error]), KeyError("later")])
    assert innermost_error(groups) is error
    assert innermost_error(error) is error
