"""How often a chart sends."""

from __future__ import annotations

import threading
import time

from botlib.widgets.chart.throttle import Throttle

LONG = 30.0
"""Seconds that are only waited where something is broken."""


def test_a_lone_request_is_answered_at_once() -> None:
    calls: list[str] = []
    Throttle(lambda: calls.append(threading.current_thread().name), LONG).request()
    assert calls == [threading.current_thread().name]


def test_requests_in_between_are_one_call_and_the_last_is_not_lost() -> None:
    told: list[int] = []
    state = 0
    second = threading.Event()

    def call() -> None:
        told.append(state)
        if len(told) == 2:
            second.set()

    pace = Throttle(call, 0.5)
    began = time.monotonic()
    for state in range(100):  # noqa: B007
        pace.request()
    in_time = time.monotonic() - began < 0.5
    assert second.wait(LONG)
    assert told[0] == 0 and told[-1] == 99
    assert not in_time or told == [0, 99]
    assert time.monotonic() - began >= 0.5


def test_its_thread_ends_when_nothing_is_due() -> None:
    pace = Throttle(lambda: None, 0.01)
    pace.request()
    pace.request()
    deadline = time.monotonic() + LONG
    while any(thread.name == "chart" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    told = threading.Event()
    again = Throttle(told.set, 0.01)
    again.request()
    assert told.is_set()
