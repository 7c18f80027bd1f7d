"""Rate limits: request weights, bans, connections and orders."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from botlib.core.timeframe import DAY, MINUTE, SECOND
from botlib.paper.api import rate_limits as module
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.protocol.refusals import Refusal

HERE, THERE = "127.0.0.1", "127.0.0.2"


class Clocks:
    """A wall clock and a market clock that are set by hand."""

    def __init__(self) -> None:
        self.wall = 30 * SECOND
        self.market = 0

    def limits(self) -> RateLimits:
        return RateLimits(lambda: self.wall, lambda: self.market)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


def test_a_used_up_weight_is_refused_with_retry_after(clocks: Clocks) -> None:
    limits = clocks.limits()
    limits.charge(6_000, HERE)
    answer = refused(lambda: limits.charge(1, HERE))
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, -1003, "30")
    assert answer.data == {"serverTime": 30 * SECOND, "retryAfter": MINUTE}
    assert "current limit is 6000 request weight per 1 MINUTE" in answer.message
    limits.charge(1, THERE)
    clocks.wall = MINUTE
    limits.charge(1, HERE)
    assert limits.headers(HERE)["X-MBX-USED-WEIGHT-1M"] == "1"


def test_a_window_ends_with_the_market_clock_too(clocks: Clocks) -> None:
    limits = clocks.limits()
    limits.charge(6_000, HERE)
    clocks.market = MINUTE
    limits.charge(6_000, HERE)


def test_continued_requests_are_banned_for_longer_each_time(clocks: Clocks) -> None:
    limits = clocks.limits()
    waited = []
    for _ in range(3):
        limits.charge(6_000, HERE)
        statuses = [refused(lambda: limits.charge(1, HERE)).status for _ in range(22)]
        assert statuses == [429] * 20 + [418] * 2
        answer = refused(lambda: limits.charge(1, HERE))
        assert f"IP banned until {limits.usage(HERE).banned_until}." in answer.message
        waited.append(int(answer.headers["Retry-After"]))
        clocks.market += DAY  # a ban follows the wall clock only
        assert refused(lambda: limits.connect(HERE)).status == 418
        clocks.wall = limits.usage(HERE).banned_until
    assert waited == [120, 240, 480]
    limits.charge(1, HERE)


def test_raw_requests_are_limited_whatever_their_weight(
    clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RAW", 3)
    limits = clocks.limits()
    for _ in range(3):
        limits.charge(0, HERE)
    assert refused(lambda: limits.charge(0, HERE)).status == 429


def test_three_hundred_connections_may_be_opened_in_five_minutes(clocks: Clocks) -> None:
    limits = clocks.limits()
    for _ in range(300):
        limits.connect(HERE)
    assert refused(lambda: limits.connect(HERE)).headers["Retry-After"] == "270"
    limits.connect(THERE)
    clocks.wall += 5 * MINUTE
    limits.connect(HERE)


def test_a_connection_to_the_websocket_api_has_a_weight(clocks: Clocks) -> None:
    limits = clocks.limits()
    limits.connect(HERE, 2)
    assert limits.weight_used(HERE) == 2


def test_orders_are_limited_by_account(clocks: Clocks) -> None:
    limits = clocks.limits()
    limits.change(orders_10s=2)
    for _ in range(2):
        limits.check_orders()
        limits.count_orders()
    answer = refused(limits.check_orders)
    assert (answer.status, answer.code, answer.headers) == (429, -1015, {"Retry-After": "10"})
    assert answer.message == "Too many new orders; current limit is 2 orders per 10 SECOND."
    limits.check_orders(2, "other")
    assert refused(lambda: limits.check_orders(3, "other")).code == -1015
    assert limits.order_headers()["X-MBX-ORDER-COUNT-10S"] == "2"
    clocks.market = 10 * SECOND
    limits.check_orders()
    assert limits.order_headers() == {"X-MBX-ORDER-COUNT-10S": "0", "X-MBX-ORDER-COUNT-1D": "2"}


def test_traded_orders_reduce_the_order_count(clocks: Clocks) -> None:
    limits = clocks.limits()

    def count() -> str:
        return limits.order_headers()["X-MBX-ORDER-COUNT-10S"]

    for _ in range(7):
        with limits.counting(1, "main"):
            pass
    limits.credit_fill("main", maker=False)
    assert count() == "6"
    limits.credit_fill("main", maker=True)
    assert count() == "1"
    limits.credit_fill("main", maker=True)
    assert count() == "0"  # the count is never negative
    with pytest.raises(Refusal), limits.counting(2, "main"):
        raise Refusal(-2010, "Market is closed.")
    assert count() == "0"


def test_the_number_of_stored_addresses_is_bounded(clocks: Clocks) -> None:
    limits = clocks.limits()
    for number in range(5_000):
        limits.charge(1, str(number))
    assert len(limits._addresses) == module._MAX_ADDRESSES
