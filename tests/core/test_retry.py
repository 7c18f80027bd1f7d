"""Asking a venue that may be away for a moment."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from botlib.core.errors import ExchangeBusy, ExchangeError, ExchangeUnavailable, OrderUnknown
from botlib.core.retry import ATTEMPTS, insist


def asked(*errors: ExchangeError) -> tuple[list[int], Callable[[], Awaitable[str]]]:
    """Return how often it was asked, and what is asked: it raises these before it answers."""
    calls: list[int] = []

    async def ask() -> str:
        calls.append(len(calls))
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return "answer"

    return calls, ask


async def test_a_venue_that_is_away_for_a_moment_is_asked_again() -> None:
    calls, ask = asked(*[ExchangeUnavailable("away.")] * (ATTEMPTS - 1))
    assert await insist(ask, rng=random.Random(1), delay=0.0) == "answer"
    assert len(calls) == ATTEMPTS


async def test_a_venue_that_stays_away_is_told_of_with_how_often_it_was_asked() -> None:
    calls, ask = asked(*[ExchangeUnavailable("away.")] * ATTEMPTS)
    with pytest.raises(ExchangeUnavailable, match=rf"away\. It was asked {ATTEMPTS} times\."):
        await insist(ask, rng=random.Random(1), delay=0.0)
    assert len(calls) == ATTEMPTS


@pytest.mark.parametrize("error", [ExchangeBusy("wait."), OrderUnknown("what now?")])
async def test_what_must_not_be_asked_again_is_raised_at_once(error: ExchangeError) -> None:
    calls, ask = asked(error, error)
    with pytest.raises(type(error)):
        await insist(ask, rng=random.Random(1), delay=0.0)
    assert len(calls) == 1
    calls, ask = asked(ExchangeUnavailable("nobody."))
    with pytest.raises(ExchangeUnavailable, match=r"^nobody\.$"):
        await insist(ask, rng=random.Random(1), hopeless=lambda error: True)
    assert len(calls) == 1
