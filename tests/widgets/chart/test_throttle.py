"""The limit on how often a function is called."""

from __future__ import annotations

import threading
import time

from botlib.widgets.chart.throttle import Throttle

LONG = 30.0
"""Seconds that pass only if the test fails."""


def test_a_single_request_calls_at_once() -> None:
    calls: list[str] = []
    Throttle(lambda: calls.append(threading.current_thread().name), LONG).request()
    assert calls == [threading.current_thread().name]


def test_requests_in_between_are_one_call_and_the_last_is_kept() -> None:
    told: list[int] = []
    state = 0
    second = threading.Event()

    def call() -> None:
        told.append(state)
        if len(told) == 2:
            second.set()

    throttle = Throttle(call, 0.5)
    began = time.monotonic()
    for state in range(100):  # noqa: B007
        throttle.request()
    in_time = time.monotonic() - began < 0.5
    assert second.wait(LONG)
    assert told[0] == 0 and told[-1] == 99
    assert not in_time or told == [0, 99]
    assert time.monotonic() - began >= 0.5


def test_its_thread_ends_when_nothing_is_due() -> None:
    throttle = Throttle(lambda: None, 0.01)
    throttle.request()
    throttle.request()
    deadline = time.monotonic() + LONG
    while any(thread.name == "chart" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    told = threading.Event()
    again = Throttle(told.set, 0.01)
    again.request()
    assert told.is_set()
