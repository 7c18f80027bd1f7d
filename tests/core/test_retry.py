"""Delays between attempts, and requests that are sent again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.errors import ExchangeBusy, ExchangeError, ExchangeUnavailable, OrderUnknown
from botlib.core.retry import (
    ATTEMPTS,
    Backoff,
    RestartCounter,
    RestartPolicy,
    backoff_delay,
    retry,
)


def requests(*errors: ExchangeError) -> tuple[list[int], Callable[[], Awaitable[str]]]:
    """Return the calls made so far, and a request that raises these errors before it answers."""
    calls: list[int] = []

    async def request() -> str:
        calls.append(len(calls))
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return "answer"

    return calls, request


async def test_a_request_is_sent_again_while_the_venue_is_unavailable() -> None:
    calls, request = requests(*[ExchangeUnavailable("away.")] * (ATTEMPTS - 1))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    assert await retry(request, rng=random.Random(1), delay=0.5, sleep=sleep) == "answer"
    assert len(calls) == ATTEMPTS
    for seconds, full in zip(slept, (0.5, 1.0, 2.0, 4.0), strict=True):
        assert full / 2 <= seconds <= full


async def test_the_error_of_the_last_attempt_names_their_number() -> None:
    calls, request = requests(*[ExchangeUnavailable("away.")] * ATTEMPTS)
    with pytest.raises(ExchangeUnavailable, match=rf"away\. It was asked {ATTEMPTS} times\."):
        await retry(request, rng=random.Random(1), delay=0.0)
    assert len(calls) == ATTEMPTS


@pytest.mark.parametrize("error", [ExchangeBusy("wait."), OrderUnknown("what now?")])
async def test_errors_that_forbid_another_attempt_are_raised_at_once(error: ExchangeError) -> None:
    calls, request = requests(error, error)
    with pytest.raises(type(error)):
        await retry(request, rng=random.Random(1), delay=0.0)
    assert len(calls) == 1
    calls, request = requests(ExchangeUnavailable("nobody."))
    with pytest.raises(ExchangeUnavailable, match=r"^nobody\.$"):
        await retry(request, rng=random.Random(1), hopeless=lambda error: True)
    assert len(calls) == 1


def test_delays_double_up_to_the_longest_and_start_over_after_a_success() -> None:
    backoff = Backoff(0.25, 2.0)
    assert [backoff.next_delay() for _ in range(5)] == [0.25, 0.5, 1.0, 2.0, 2.0]
    backoff.reset()
    assert backoff.next_delay() == 0.25


def test_the_first_attempt_may_be_immediate() -> None:
    backoff = Backoff(0.25, immediate=True, rng=random.Random(1))
    assert backoff.next_delay() == 0.0
    assert 0.125 <= backoff.next_delay() <= 0.25


async def test_the_sleep_of_a_backoff_is_passed_in() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    backoff = Backoff(1.0, sleep=sleep)
    await backoff.wait()
    await backoff.wait()
    assert slept == [1.0, 2.0]


@given(failures=st.integers(1, 10_000), seed=st.integers(), least=st.floats(0, 1))
def test_a_delay_is_drawn_from_the_upper_part_of_its_step(
    failures: int, seed: int, least: float
) -> None:
    full = min(60.0, 2.0 ** min(failures - 1, 40))
    rng = random.Random(seed)
    delay = backoff_delay(failures, first=1.0, longest=60.0, rng=rng, least=least)
    assert full * least <= delay <= full


@given(failures=st.integers(1, 10_000), seed=st.integers())
def test_restarts_back_off_up_to_the_cap_of_their_policy(failures: int, seed: int) -> None:
    policy = RestartPolicy(base=1.0, cap=60.0)
    step = min(60.0, 2.0 ** min(failures - 1, 40))
    assert step / 2 <= policy.delay(failures, random.Random(seed)) <= step


def test_restarts_are_granted_so_often_within_the_window() -> None:
    counter = RestartCounter(RestartPolicy(max_restarts=2, window=10.0))
    assert [counter.grants(now) for now in (0.0, 1.0, 2.0)] == [True, True, False]
    counter.clear()
    assert [counter.grants(now) for now in (20.0, 26.0, 32.0, 38.0)] == [True] * 4
    assert not RestartCounter(RestartPolicy(enabled=False)).grants(0.0)
